/*
 * Sums (FORMAT.md 7, 8): what calls come to, under a number and two names. How they are added to, and how a table of them becomes a section
 * of a file. It must not know what the number and the names mean.
 */
#ifndef USAGELOG_SUMS_H
#define USAGELOG_SUMS_H

#include <stdbool.h>

#include "names.h"
#include "table.h"

/* Add the numbers to another sum's, whose key stays. False: a sum left its field. */
bool sum_add(struct ul_sum *sum, const struct ul_sum *more);
/* The same with a row's. `error`: its calls are errors. */
bool sum_add_row(struct ul_sum *sum, const struct ul_row *row, bool error);

/* Are all its numbers zero? Such a sum is left out of files. */
bool sum_is_zero(const struct ul_sum *sum);

/* All tokens: input, cache reads and writes, output, and those of unknown kind. */
int64_t sum_tokens(const struct ul_sum *sum);

/* Sums out of a table, in any order: a section on its way to a file, or to be shown. */
struct sum_list {
	struct ul_sum *items;
	size_t count;
};

/* Copy what is not zero out of a table, and note in `used`, unless it is NULL, which names it takes. 0 or -ENOMEM. */
int sum_list_gather(struct sum_list *list, const struct table *table, uint8_t *used);
/* Sort by number, then by the numbers of the names. */
void sum_list_sort(struct sum_list *list);
/* Names become indexes of the file, and the sums stand in its order. */
void sum_list_lay_out(struct sum_list *list, const uint32_t *index);
void sum_list_clear(struct sum_list *list);

#endif
