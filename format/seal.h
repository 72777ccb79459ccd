/*
 * The checksums: one inline function for each thing that has one, used by whoever writes it and by whoever
 * checks it, so that the two cannot drift apart. Inlined because record() calls ul_slot_checksum(): xxHash
 * is included as a header and compiled for the 56 bytes at hand.
 */
#ifndef USAGELOG_SEAL_H
#define USAGELOG_SEAL_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdbool.h>
#include <string.h>

#include "format.h"

/* The seed that all checksums inside one segment start from. */
static inline uint64_t ul_segment_seed(const struct ul_id *segment_id)
{
	return XXH3_64bits(segment_id->bytes, sizeof(segment_id->bytes));
}

static inline uint64_t ul_slot_seed(uint64_t segment_seed, uint32_t slot_number)
{
	return segment_seed + slot_number * UL_SEED_STEP;
}

/* The checksum of a slot's body, its seven words from byte 8 on; never 0. */
static inline uint64_t ul_slot_checksum(const uint64_t body[7], uint64_t slot_seed)
{
	uint64_t sum = XXH3_64bits_withSeed(body, 56, slot_seed);
	return sum + (sum == 0);
}

static inline uint64_t ul_block_checksum(const struct ul_state_block *block, uint64_t segment_seed, uint32_t index)
{
	uint64_t sum =
		XXH3_64bits_withSeed(&block->sequence, sizeof(*block) - sizeof(block->checksum), segment_seed + index);
	return sum + (sum == 0);
}

static inline uint64_t ul_header_checksum(const uint8_t page[UL_PAGE_BYTES])
{
	return XXH3_64bits(page + 16, UL_PAGE_BYTES - 16);
}

/* Is what must stay unused unused? Checksums leave it out, or cover any bytes of it. */
static inline bool ul_is_zero(const void *bytes, size_t count)
{
	const uint8_t *byte = bytes;
	for (size_t i = 0; i < count; i++)
		if (byte[i])
			return false;
	return true;
}

/* The id of a call that has one of its own (FORMAT.md 3.4). */
static inline struct ul_id ul_call_id(const char *id, size_t bytes)
{
	XXH3_state_t state;
	XXH128_canonical_t canonical;
	struct ul_id out;
	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, "id", sizeof("id"));
	XXH3_128bits_update(&state, id, bytes);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
	memcpy(out.bytes, canonical.digest, sizeof(out.bytes));
	return out;
}

#endif
