/*
 * The frame that fact files, checkpoints, id sets, price tables and merged files share (FORMAT.md 6): a header with one checksum over everything,
 * and typed sections of fixed-size records. Opening one checks all that makes it valid, down to the orders and indexes
 * inside the records, so that whoever reads them afterwards need not.
 */
#ifndef USAGELOG_CONTAINER_H
#define USAGELOG_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#include "format.h"

enum { UL_SECTIONS_MAX = 64 };

enum ul_container_kind {
	UL_CONTAINER_FACTS,
	UL_CONTAINER_CHECKPOINT,
	UL_CONTAINER_IDS,
	UL_CONTAINER_MERGED,
	UL_CONTAINER_PRICES,
	UL_CONTAINER_KINDS
};

enum ul_container_state {
	UL_CONTAINER_VALID,
	UL_CONTAINER_NEWER,
	UL_CONTAINER_DAMAGED,
};

/* A container in memory: 8-byte aligned bytes that somebody else owns. */
struct ul_container {
	const uint8_t *bytes;
	size_t size_bytes;
	const struct ul_container_header *header;
	const struct ul_section *sections;
};

/* Check a container of this kind: frame, checksum, all sections that this version requires with their record sizes,
 * orders and indexes as FORMAT.md names them. `bytes` must be 8-byte aligned. `*container` is set unless damaged; of
 * a newer one only the header means anything, and `sections` is NULL. `log_id` NULL: any log's; another log's
 * container counts as damaged. */
enum ul_container_state ul_container_open(struct ul_container *container, enum ul_container_kind kind,
					  const void *bytes, size_t size_bytes, const struct ul_id *log_id);

/* The records of a section, and how many; NULL and 0 if there is no such section. */
const void *ul_container_records(const struct ul_container *container, enum ul_section_type type,
				 uint64_t *record_count);

/* String `index` of a valid container; not terminated. */
struct ul_text {
	const char *text;
	uint32_t bytes;
};
struct ul_text ul_container_string(const struct ul_container *container, uint32_t index);

/* What to write: sections in rising order of type. */
struct ul_section_data {
	enum ul_section_type type;
	uint32_t record_bytes;
	const void *records;
	uint64_t record_count;
};

/* Set the magic, the size and the checksum of bytes that begin with a container's header. */
void ul_container_seal(void *bytes, size_t size_bytes, enum ul_container_kind kind);

/* Lay out and seal a container. What the records say is not checked: open what was built to know. Returns malloc'd
 * bytes that the caller frees and sets `*size_bytes`, or NULL if there is no memory. */
void *ul_container_build(enum ul_container_kind kind, const struct ul_id *log_id,
			 const struct ul_section_data *sections, size_t section_count, size_t *size_bytes);

/* The last bucket: that of UINT64_MAX. */
enum { UL_BUCKET_MAX = 3775 };

/* The histogram's bucket of a value in us, and the least and greatest value of a bucket up to UL_BUCKET_MAX
 * (FORMAT.md 7). */
static inline uint32_t ul_bucket_of(uint64_t value_us)
{
	uint32_t shift = 57 - (uint32_t)__builtin_clzll(value_us | 64); /* 0 below 128 */
	return 64 * shift + (uint32_t)(value_us >> shift);
}
void ul_bucket_range(uint32_t bucket, uint64_t *least_us, uint64_t *greatest_us);

#endif
