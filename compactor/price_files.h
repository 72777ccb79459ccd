/*
 * What the subcommands about prices share: maps read from files, and days given as text.
 */
#ifndef USAGELOG_PRICE_FILES_H
#define USAGELOG_PRICE_FILES_H

#include "price_map.h"

/* Open a map, and read files into it, later ones over earlier ones. STATUS_DONE, or another status when all is said: one without prices is none that
 * somebody means. */
int price_files_read(struct price_map *map, char *const *paths, int count, struct price_map_counts *counts);

/* "1,234 models with prices" and what is odd about them, in one line of words; the details are `usagelog prices check`'s. */
void price_files_tell_odd(const struct price_map *map);

/* A day, YYYY-MM-DD; said if it is none. */
bool price_files_day(const char *option, const char *text, int32_t *day);

#endif
