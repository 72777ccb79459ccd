/*
 * log.conf (FORMAT.md 2), from text and to text. No files here: lib reads and links them.
 */
#ifndef USAGELOG_CONF_H
#define USAGELOG_CONF_H

#include <stddef.h>

#include "format.h"

enum {
	UL_CONF_BYTES_MAX = 65536,
	UL_CONF_VALUE_BYTES_MAX = 4096,
	UL_CONF_FALLBACKS_MAX = 8,
	UL_CONF_GROUP_BY_MAX = 16,
};

/* The settings of a log. Strings are owned by the conf and freed by ul_conf_clear(). */
struct ul_conf {
	struct ul_id log_id;
	char *time_zone;
	char *fallbacks[UL_CONF_FALLBACKS_MAX];
	size_t fallback_count;
	char *summary;
	uint32_t retention_days;
	char *group_by[UL_CONF_GROUP_BY_MAX];
	size_t group_by_count;
};

enum ul_conf_error {
	UL_CONF_OK = 0,
	UL_CONF_DAMAGED, /* not of the shape, or the checksum disagrees */
	UL_CONF_NEWER,   /* made by a newer program */
	UL_CONF_NO_MEMORY,
};

/* Parse. On success `*conf` is filled, else untouched. */
enum ul_conf_error ul_conf_parse(struct ul_conf *conf, const char *text, size_t bytes);

/* Print, checksum included; not terminated. Returns the length, or 0 if a value is not allowed or the text would be
 * too long. */
size_t ul_conf_print(const struct ul_conf *conf, char out[UL_CONF_BYTES_MAX]);

/* Is this allowed as a value: 1 to 4,096 bytes, valid UTF-8, no byte below 0x20 and no 0x7f? */
int ul_conf_value_is_valid(const char *value);

void ul_conf_clear(struct ul_conf *conf);

/* What facts depend on: FORMAT.md 8, "settings". */
uint64_t ul_conf_settings(const struct ul_conf *conf);

#endif
