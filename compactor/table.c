/* A table of records that begin with a 16-byte key. */
#include "table.h"

#include <stdlib.h>

#include "os.h"

enum { ROOM_FIRST = 16, LINE_BYTES = 64 };

void table_clear(struct table *table)
{
	free(table->memory);
	free(table->buckets);
	table_init(table, table->record_bytes);
}

static uint32_t bucket_of(const struct table *table, const uint64_t key[2])
{
	/* Keys are small numbers side by side: multiply, so that each reaches the upper bits, and take those. */
	uint64_t mixed = (key[0] * 0x9e3779b97f4a7c15) ^ (key[1] * 0xc2b2ae3d27d4eb4f);
	mixed ^= mixed >> 32;
	return (uint32_t)((mixed * 0x165667b19e3779f9) >> 32) & table->bucket_mask;
}

/* Double the room; the buckets stay at most half full. */
static int grow(struct table *table)
{
	uint32_t room = table->room ? 2 * table->room : ROOM_FIRST;
	if (room > UINT32_MAX / 4)
		return -1;
	void *memory = os_reallocate(NULL, (size_t)room * table->record_bytes + LINE_BYTES, 1);
	if (!memory)
		return -1;
	uint8_t *records = memory;
	records += -(uintptr_t)records % LINE_BYTES;
	if (table->count)
		memcpy(records, table->records, table->count * table->record_bytes);
	free(table->memory);
	table->memory = memory;
	table->records = records;
	uint32_t *buckets = os_allocate((size_t)room * 2, sizeof(*buckets));
	if (!buckets)
		return -1;
	free(table->buckets);
	table->buckets = buckets;
	table->bucket_mask = room * 2 - 1;
	table->room = room;
	for (uint32_t i = 0; i < table->count; i++) {
		uint64_t key[2];
		memcpy(key, table_record(table, i), sizeof(key));
		uint32_t at = bucket_of(table, key);
		while (buckets[at])
			at = (at + 1) & table->bucket_mask;
		buckets[at] = i + 1;
	}
	return 0;
}

/* The bucket that leads to the record with this key, or the empty one where it would stand. */
static uint32_t bucket_for(const struct table *table, const uint64_t key[2])
{
	uint32_t at = bucket_of(table, key);
	while (table->buckets[at] && memcmp(table_record(table, table->buckets[at] - 1), key, TABLE_KEY_BYTES) != 0)
		at = (at + 1) & table->bucket_mask;
	return at;
}

void *table_search(struct table *table, const uint64_t key[2])
{
	uint32_t at = table->room ? bucket_for(table, key) : 0;
	if (table->room && table->buckets[at]) {
		table->last = table->buckets[at] - 1;
		return table_record(table, table->last);
	}
	if (table->count == table->room) {
		if (grow(table))
			return NULL;
		at = bucket_for(table, key);
	}
	void *record = table_record(table, table->count);
	memset(record, 0, table->record_bytes);
	memcpy(record, key, TABLE_KEY_BYTES);
	table->last = table->count++;
	table->buckets[at] = table->count;
	return record;
}
