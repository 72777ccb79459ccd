/*
 * A table of records that begin with a 16-byte key, as the rows, quarters and histograms of FORMAT.md 7 do:
 * found by the key or added zeroed, and never removed. It must not know what the rest of a record is.
 */
#ifndef USAGELOG_TABLE_H
#define USAGELOG_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { TABLE_KEY_BYTES = 16 };

struct table {
	uint8_t *records; /* in `memory`, at a cache line's border */
	void *memory;
	size_t record_bytes;
	uint32_t count, room;
	uint32_t *buckets; /* number of the record + 1; 0: free */
	uint32_t bucket_mask;
	uint32_t last; /* found last: calls come in bursts of the same names */
};

/* Memory is taken with the first record. */
static inline void table_init(struct table *table, size_t record_bytes)
{
	*table = (struct table){.record_bytes = record_bytes};
}
void table_clear(struct table *table);

static inline void *table_record(const struct table *table, uint32_t number)
{
	return table->records + (size_t)number * table->record_bytes;
}

/* table_get() for a key that is not the last one's. */
void *table_search(struct table *table, const uint64_t key[2]);

/* The record with this key, added if it is new; good until another one is added. NULL: no memory. */
static inline void *table_get(struct table *table, const void *key)
{
	uint64_t wanted[2];
	memcpy(wanted, key, sizeof(wanted));
	if (table->count) {
		void *record = table_record(table, table->last);
		uint64_t found[2];
		memcpy(found, record, sizeof(found));
		if (found[0] == wanted[0] && found[1] == wanted[1])
			return record;
	}
	return table_search(table, wanted);
}

/* The number of a record. */
static inline uint32_t table_number(const struct table *table, const void *record)
{
	return (uint32_t)((size_t)((const uint8_t *)record - table->records) / table->record_bytes);
}

#endif
