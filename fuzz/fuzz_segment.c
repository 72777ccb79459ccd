/* A segment file as the reader takes it: opened, every slot classified, every text followed. */
#include "fuzz.h"

#include <string.h>

#include "context.h"
#include "reader.h"
#include "segment_mutator.h"

/* Slots looked at in one input: a header may claim 16 GiB, of which the file is a hole. */
enum { SLOTS_MAX = 65536 };

/* Slots whose text was looked at in this input: most calls name the same few. */
static uint8_t seen[SLOTS_MAX / 8];

static void check_text(const struct ul_reader *reader, uint32_t number)
{
	static char text[UL_CONTEXT_BYTES_MAX];
	if (number < SLOTS_MAX) {
		if (seen[number / 8] & 1 << number % 8)
			return;
		seen[number / 8] |= (uint8_t)(1 << number % 8);
	}
	size_t provider_bytes;
	ssize_t model = ul_reader_text(reader, number, UL_CLASS_MODEL, text);
	FUZZ_CHECK(model <= UL_CONTEXT_BYTES_MAX);
	FUZZ_CHECK(model < 0 || ul_model_text_is_valid(text, (size_t)model, &provider_bytes));
	ssize_t context = ul_reader_text(reader, number, UL_CLASS_CONTEXT, text);
	FUZZ_CHECK(context <= UL_CONTEXT_BYTES_MAX);
	FUZZ_CHECK(context < 0 || ul_context_is_valid(text, (size_t)context));
	/* A text has one class. */
	FUZZ_CHECK(model < 0 || context < 0);
}

static void check_slot(const struct ul_reader *reader, uint32_t number, struct ul_slot slot)
{
	enum ul_slot_state state = ul_reader_classify(reader, number, &slot);
	FUZZ_CHECK(state == ul_slot_classify(&slot, reader->seed, number));
	if (state != UL_SLOT_VALID)
		return;
	/* The same bytes in the next slot are not valid there. */
	FUZZ_CHECK(ul_slot_classify(&slot, reader->seed, number + 1) == UL_SLOT_DAMAGED);
	check_text(reader, number);
	if (ul_slot_kind(&slot) != UL_KIND_CALL)
		return;
	check_text(reader, slot.tag & UL_SLOT_MASK);
	check_text(reader, slot.word & UL_SLOT_MASK);
}

static void check_state(const struct ul_reader *reader)
{
	for (uint32_t page = 0; page < reader->page_count; page++)
		FUZZ_CHECK(reader->durable[page] <= UL_PAGE_SLOTS);
	for (uint32_t index = 0; index < UL_STATE_BLOCKS; index++)
		ul_block_classify(&reader->blocks[index], reader->seed, index);
	const struct ul_state_block *boot = ul_block_pair(reader->blocks, reader->seed, UL_BLOCK_BOOT);
	FUZZ_CHECK(!boot || boot == &reader->blocks[UL_BLOCK_BOOT] || boot == &reader->blocks[UL_BLOCK_BOOT + 1]);
	ul_block_pair(reader->blocks, reader->seed, UL_BLOCK_COUNTERS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct ul_reader reader;
	if (ul_reader_open_fd(&reader, fuzz_file(data, bytes)))
		return 0;
	fuzz_sound++;
	FUZZ_CHECK(reader.first_slot <= reader.end_slot && reader.end_slot <= UL_SLOT_MASK + 1);
	check_state(&reader);
	memset(seen, 0, sizeof(seen));
	struct ul_slot slots[UL_PAGE_SLOTS];
	for (uint32_t at = reader.first_slot, looked = 0; looked < SLOTS_MAX;
	     at += UL_PAGE_SLOTS, looked += UL_PAGE_SLOTS) {
		uint32_t next = ul_reader_next_data(&reader, at);
		FUZZ_CHECK(next >= at || next == reader.end_slot);
		if (next >= reader.end_slot)
			break;
		at = next;
		FUZZ_CHECK(ul_reader_read(&reader, at, UL_PAGE_SLOTS, slots) == 0);
		for (uint32_t i = 0; i < UL_PAGE_SLOTS && at + i < reader.end_slot; i++)
			check_slot(&reader, at + i, slots[i]);
	}
	check_text(&reader, 0);
	check_text(&reader, UL_SLOT_MASK);
	FUZZ_CHECK(ul_reader_refresh(&reader) == 0);
	ul_reader_close(&reader);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	return segment_mutate(data, bytes, bytes_max, seed);
}
