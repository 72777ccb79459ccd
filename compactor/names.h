/*
 * The strings of one run: providers, models, operations and attribute sets, each kept once and known by a
 * number from then on, so that keys are compared as numbers. Files number their strings anew, in order of
 * their bytes; names_collect() makes that order. It must not know what a string means.
 */
#ifndef USAGELOG_NAMES_H
#define USAGELOG_NAMES_H

#include <stdbool.h>

#include "container.h"

/* Strings that are always there. */
enum { NAME_EMPTY = 0, NAME_NO_DIMENSIONS = 1, NAME_UNKNOWN = 2 };

struct name_entry {
	size_t offset;
	uint32_t bytes;
};

struct names {
	char *text;
	size_t text_bytes, text_room;
	struct name_entry *entries;
	uint32_t count, room;
	uint32_t *buckets; /* number of the entry + 1; 0: free */
	uint32_t bucket_mask;
	int error; /* -ENOMEM, for good: numbers given since then mean nothing */
};

/* 0 or -ENOMEM. */
int names_init(struct names *names);
void names_clear(struct names *names);

/* The number of a string, added if it is new. On lack of memory NAME_EMPTY, and `error` is set. */
uint32_t names_intern(struct names *names, const char *text, size_t bytes);

static inline struct ul_text names_text(const struct names *names, uint32_t name)
{
	const struct name_entry *entry = &names->entries[name];
	return (struct ul_text){names->text + entry->offset, entry->bytes};
}

/* The numbers of a container's strings, by their index there. malloc'd; NULL: no memory. */
uint32_t *names_of_file(struct names *names, const struct ul_container *file);

/* The order of two strings by their bytes. */
int names_compare(struct ul_text left, struct ul_text right);

/* The sections 2 and 3 of a file (FORMAT.md 6), and which index each name has in them. */
struct name_sections {
	uint32_t *index; /* by name; only of those that are used */
	struct ul_string_record *records;
	uint32_t record_count;
	char *bytes;
	uint32_t byte_count;
};

/* `used`: a byte for each name, not 0 if the file names it. 0, -ENOMEM, or -EOVERFLOW (beyond 4 GiB of text). */
int names_collect(const struct names *names, const uint8_t *used, struct name_sections *sections);
void name_sections_clear(struct name_sections *sections);

#endif
