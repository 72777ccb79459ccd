#include "segment_mutator.h"

#include <string.h>

#include "fuzz.h"
#include "seal.h"
#include "slot.h"

void segment_seal_header(uint8_t *page)
{
	static const uint8_t magic[8] = {0x89, 'U', 'L', 'S', 'E', 'G', '\r', '\n'};
	uint64_t sum;
	memcpy(page, magic, sizeof(magic));
	sum = ul_header_checksum(page);
	memcpy(page + 8, &sum, sizeof(sum));
}

static void seal_slots(uint8_t *data, size_t bytes, uint64_t seed, uint32_t first)
{
	for (uint32_t number = first; ((size_t)number + 1) * UL_SLOT_BYTES <= bytes; number++) {
		struct ul_slot slot;
		uint64_t body[7];
		memcpy(&slot, data + (size_t)number * UL_SLOT_BYTES, sizeof(slot));
		if (!slot.checksum)
			continue;
		memcpy(body, data + (size_t)number * UL_SLOT_BYTES + 8, sizeof(body));
		slot.checksum = ul_slot_checksum(body, ul_slot_seed(seed, number));
		memcpy(data + (size_t)number * UL_SLOT_BYTES, &slot.checksum, sizeof(slot.checksum));
	}
}

static void seal_blocks(uint8_t *data, uint64_t seed)
{
	for (uint32_t index = 0; index < UL_STATE_BLOCKS; index++) {
		struct ul_state_block block;
		uint8_t *at = data + UL_STATE_PAGE * UL_PAGE_BYTES + index * sizeof(block);
		memcpy(&block, at, sizeof(block));
		block.checksum = block.checksum ? ul_block_checksum(&block, seed, index) : 0;
		memcpy(at, &block, sizeof(block));
	}
}

/* Change one piece in place: lengths stay, so that slots stay where they are. */
static void change(uint8_t *data, size_t bytes, uint64_t *random)
{
	static const size_t header_bytes = UL_SEGMENT_HEADER_BYTES;
	size_t slots = bytes / UL_SLOT_BYTES, entries = 4 * (size_t)UL_PAGE_SLOTS;
	size_t at = 16, count = header_bytes - 16;
	uint32_t choice = fuzz_random(random) % 16;
	if (choice == 0)
		at += fuzz_random(random) % 2 ? UL_PAGE_BYTES : 0;
	else if (choice == 1)
		at = UL_STATE_PAGE * UL_PAGE_BYTES + fuzz_random(random) % 12 * 128, count = 128;
	else if (choice == 2)
		at = UL_TABLE_PAGE * UL_PAGE_BYTES, count = 32;
	else if (slots > entries)
		at = (entries + fuzz_random(random) % (slots - entries)) * UL_SLOT_BYTES, count = UL_SLOT_BYTES;
	if (at + count > bytes)
		return;
	if (choice == 15 && slots > entries)
		memcpy(data + at, data + (entries + fuzz_random(random) % (slots - entries)) * UL_SLOT_BYTES, count);
	else
		LLVMFuzzerMutate(data + at, count, count);
}

size_t segment_mutate(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	uint64_t random = seed;
	if (bytes < 4 * UL_PAGE_BYTES || fuzz_random(&random) % 16 == 0)
		bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
	if (bytes < 4 * UL_PAGE_BYTES)
		return bytes;
	change(data, bytes, &random);
	/* Now and then what was changed stays damaged. */
	if (fuzz_random(&random) % 8 == 0)
		return bytes;
	segment_seal_header(data);
	if (fuzz_random(&random) % 8)
		memcpy(data + UL_PAGE_BYTES, data, UL_PAGE_BYTES);
	struct ul_segment_header header;
	if (ul_header_classify(data, &header) == UL_HEADER_DAMAGED)
		return bytes;
	/* A segment of up to 16 GiB is read through a table of as many pages: seldom, or there is time for nothing else. */
	if (header.size_bytes > UL_SEGMENT_BYTES_MIN && fuzz_random(&random) % 64) {
		header.size_bytes = UL_SEGMENT_BYTES_MIN;
		ul_header_seal(data, &header);
		memcpy(data + UL_PAGE_BYTES, data, UL_PAGE_BYTES);
	}
	uint64_t segment_seed = ul_segment_seed(&header.segment_id);
	seal_blocks(data, segment_seed);
	seal_slots(data, bytes, segment_seed, ul_first_page(header.size_bytes) * UL_PAGE_SLOTS);
	return bytes;
}
