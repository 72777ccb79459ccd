/* Slots, header pages and state blocks: every class, every rule that parts them, every single flipped bit. */
#include "support.h"

#include "seal.h"
#include "slot.h"

enum { SLOT = 300 };
#define SEED UINT64_C(0x0123456789abcdef)

static void seal(struct ul_slot *slot)
{
	uint64_t body[7];
	memcpy(body, &slot->tag, sizeof(body));
	slot->checksum = ul_slot_checksum(body, ul_slot_seed(SEED, SLOT));
}

static enum ul_slot_state classify_sealed(struct ul_slot slot)
{
	seal(&slot);
	return ul_slot_classify(&slot, SEED, SLOT);
}

static struct ul_slot call(void)
{
	return (struct ul_slot){
		.tag = ul_tag(UL_KIND_CALL, 256),
		.word = 257 | UL_LATENCY_MS,
		.body.call = {1768041126413623000, 200000000, 1, 2, 3, 4, 5, 6, 80, 7},
	};
}

static struct ul_slot definition(uint32_t class, uint32_t bytes, uint32_t next)
{
	struct ul_slot slot = {.tag = ul_tag(UL_KIND_DEFINITION, next), .word = class << 28 | bytes};
	memset(slot.body.text, 'x', bytes < UL_CHUNK_BYTES ? bytes : UL_CHUNK_BYTES);
	return slot;
}

static struct ul_slot continuation(uint32_t offset, uint32_t next)
{
	struct ul_slot slot = {.tag = ul_tag(UL_KIND_CONTINUATION, next), .word = offset};
	memset(slot.body.text, 'x', UL_CHUNK_BYTES);
	return slot;
}

static struct ul_slot call_id(void)
{
	struct ul_slot slot = {.tag = ul_tag(UL_KIND_CALL_ID, 0)};
	memset(&slot.body.call_id, 0xab, sizeof(slot.body.call_id));
	return slot;
}

static struct ul_slot balance(void)
{
	return (struct ul_slot){
		.tag = ul_tag(UL_KIND_BALANCE, 256),
		.word = 0,
		.body.balance = {.time_ns = -1,
				 .cost_pico_usd = 5,
				 .calls = UL_BALANCE_MAX - 1,
				 .tokens = UL_BALANCE_MAX - 1,
				 .scope = 3},
	};
}

static void checksums_are_those_of_the_format(void **state)
{
	struct ul_slot slot = call();
	struct ul_id id = {{1, 2, 3}};
	uint8_t bytes[56];
	(void)state;
	seal(&slot);
	memcpy(bytes, (const uint8_t *)&slot + 8, sizeof(bytes));
	uint64_t seed = SEED + UINT64_C(300) * UINT64_C(0x9e3779b97f4a7c15);
	assert_true(slot.checksum == XXH3_64bits_withSeed(bytes, 56, seed));
	assert_true(ul_segment_seed(&id) == XXH3_64bits(&id, 16));
}

static void every_kind_is_valid(void **state)
{
	struct ul_slot reversal = call();
	struct ul_slot unpriced = call();
	struct ul_slot unknown_latency = call();
	struct ul_slot unpriced_balance = balance();
	(void)state;
	reversal.tag = ul_tag(UL_KIND_REVERSAL, 256);
	unpriced.word |= UL_UNPRICED;
	unpriced.body.call.cost_pico_usd = 0;
	unknown_latency.word = UL_LATENCY_UNKNOWN;
	unknown_latency.body.call.latency = 0;
	unpriced_balance.word = UL_UNPRICED;
	unpriced_balance.body.balance.cost_pico_usd = 0;
	struct ul_slot day_balance = balance();
	day_balance.body.balance.scope = 1;
	const struct ul_slot valid[] = {
		call(),
		day_balance,
		reversal,
		unpriced,
		unknown_latency,
		{.tag = ul_tag(UL_KIND_CALL, 0)},
		{.tag = ul_tag(UL_KIND_CALL, UL_SLOT_MASK), .word = UL_SLOT_MASK},
		definition(UL_CLASS_MODEL, 1, 0),
		definition(UL_CLASS_CONTEXT, 48, 0),
		definition(UL_CLASS_CONTEXT, 49, 9),
		definition(UL_CLASS_CONTEXT, UL_CONTEXT_BYTES_MAX, 9),
		continuation(48, 0),
		continuation(96, 5),
		continuation(16368, 0),
		call_id(),
		{.tag = ul_tag(UL_KIND_CALL_ID, 0)},
		balance(),
		unpriced_balance,
		{.tag = ul_tag(UL_KIND_PADDING, 0)},
	};
	for (size_t i = 0; i < COUNT_OF(valid); i++)
		if (classify_sealed(valid[i]) != UL_SLOT_VALID)
			fail_msg("case %zu", i);
}

static void what_this_version_does_not_define_is_unknown(void **state)
{
	struct ul_slot slots[64];
	size_t count = 0;
	(void)state;
	for (uint32_t kind = 0; kind < 16; kind++) {
		slots[count] = (struct ul_slot){.tag = kind << 28};
		slots[count].body.words[0] = 1;
		count += kind == UL_KIND_RESERVED || kind > UL_KIND_PADDING;
	}
	slots[count] = call();
	slots[count++].word |= UL_CONTEXT_RESERVED;
	slots[count] = call();
	slots[count++].word |= UL_UNPRICED;
	slots[count] = call();
	slots[count++].word = UL_LATENCY_UNKNOWN;
	slots[count] = call();
	slots[count].body.call.latency = 0;
	slots[count++].word |= UL_LATENCY_UNKNOWN;
	slots[count] = call();
	slots[count].tag = ul_tag(UL_KIND_REVERSAL, 0);
	slots[count++].word |= UL_CONTEXT_RESERVED;
	slots[count++] = definition(0, 3, 0);
	slots[count++] = definition(3, 3, 0);
	slots[count++] = definition(UL_CLASS_MODEL, 0, 0);
	slots[count++] = definition(UL_CLASS_MODEL, 48, 9);
	slots[count++] = definition(UL_CLASS_MODEL, 49, 0);
	slots[count++] = definition(UL_CLASS_CONTEXT, UL_CONTEXT_BYTES_MAX + 1, 9);
	slots[count] = definition(UL_CLASS_MODEL, 3, 0);
	slots[count++].body.text[3] = 1;
	slots[count] = definition(UL_CLASS_MODEL, 47, 0);
	slots[count++].body.text[47] = 1;
	slots[count++] = continuation(0, 0);
	slots[count++] = continuation(47, 0);
	slots[count++] = continuation(16384, 0);
	slots[count++] = continuation(16416, 0);
	slots[count++] = continuation(1U << 28 | 48, 0);
	slots[count] = call_id();
	slots[count++].tag |= 1;
	slots[count] = call_id();
	slots[count++].word = 1;
	slots[count] = call_id();
	slots[count++].body.text[16] = 1;
	slots[count] = call_id();
	slots[count++].body.text[47] = 1;
	slots[count] = balance();
	slots[count++].word = UL_CONTEXT_RESERVED;
	slots[count] = balance();
	slots[count++].word = UL_LATENCY_UNKNOWN;
	slots[count] = balance();
	slots[count++].word = UL_LATENCY_MS;
	slots[count] = balance();
	slots[count++].word = UL_UNPRICED;
	slots[count] = balance();
	slots[count++].body.balance.calls = UL_BALANCE_MAX;
	slots[count] = balance();
	slots[count++].body.balance.tokens = UL_BALANCE_MAX;
	slots[count] = balance();
	slots[count++].body.balance.tokens = UINT64_MAX;
	slots[count] = balance();
	slots[count++].body.balance.scope = 0;
	slots[count] = balance();
	slots[count++].body.balance.scope = 4;
	slots[count] = balance();
	slots[count++].body.balance.zero[0] = 1;
	slots[count] = balance();
	slots[count++].body.balance.zero[2] = 1U << 31;
	slots[count++] = (struct ul_slot){.tag = ul_tag(UL_KIND_PADDING, 1)};
	slots[count++] = (struct ul_slot){.tag = ul_tag(UL_KIND_PADDING, 0), .word = 1};
	slots[count] = (struct ul_slot){.tag = ul_tag(UL_KIND_PADDING, 0)};
	slots[count++].body.text[47] = 1;
	assert_true(count <= COUNT_OF(slots));
	for (size_t i = 0; i < count; i++)
		if (classify_sealed(slots[i]) != UL_SLOT_UNKNOWN)
			fail_msg("case %zu", i);
}

static void every_flipped_bit_is_seen(void **state)
{
	const struct ul_slot kinds[] = {call(),    definition(UL_CLASS_MODEL, 20, 0),  continuation(48, 0), call_id(),
					balance(), {.tag = ul_tag(UL_KIND_PADDING, 0)}};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct ul_slot slot = kinds[i];
		seal(&slot);
		assert_int_equal(ul_slot_classify(&slot, SEED, SLOT), UL_SLOT_VALID);
		for (size_t bit = 0; bit < sizeof(slot) * 8; bit++) {
			((uint8_t *)&slot)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(ul_slot_classify(&slot, SEED, SLOT), UL_SLOT_DAMAGED);
			((uint8_t *)&slot)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		slot.checksum = 0;
		assert_int_equal(ul_slot_classify(&slot, SEED, SLOT), UL_SLOT_UNFINISHED);
	}
}

static void every_body_bit_makes_a_slot_unfinished(void **state)
{
	struct ul_slot slot = {0};
	(void)state;
	assert_int_equal(ul_slot_classify(&slot, SEED, SLOT), UL_SLOT_EMPTY);
	for (size_t bit = 0; bit < sizeof(slot) * 8; bit++) {
		((uint8_t *)&slot)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(ul_slot_classify(&slot, SEED, SLOT), bit < 64 ? UL_SLOT_DAMAGED : UL_SLOT_UNFINISHED);
		((uint8_t *)&slot)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void a_slot_is_valid_in_its_place_only(void **state)
{
	struct ul_slot slot = call();
	(void)state;
	seal(&slot);
	assert_int_equal(ul_slot_classify(&slot, SEED, SLOT + 1), UL_SLOT_DAMAGED);
	assert_int_equal(ul_slot_classify(&slot, SEED, SLOT + (1 << 27)), UL_SLOT_DAMAGED);
	assert_int_equal(ul_slot_classify(&slot, SEED + 1, SLOT), UL_SLOT_DAMAGED);
}

static struct ul_segment_header sample_header(void)
{
	return (struct ul_segment_header){
		.version = UL_VERSION,
		.segment_id = {{1, 2, 3}},
		.log_id = {{4, 5, 6}},
		.inode = 99,
		.size_bytes = UL_SEGMENT_BYTES_MIN,
		.generation = 2,
	};
}

static enum ul_header_state classify_header(struct ul_segment_header header)
{
	uint8_t page[UL_PAGE_BYTES];
	struct ul_segment_header found;
	ul_header_seal(page, &header);
	return ul_header_classify(page, &found);
}

static void headers_read_as_written(void **state)
{
	uint8_t page[UL_PAGE_BYTES];
	struct ul_segment_header header = sample_header();
	struct ul_segment_header found;
	(void)state;
	memset(&found, 0xff, sizeof(found));
	memset(page, 0xff, sizeof(page));
	ul_header_seal(page, &header);
	assert_memory_equal(page, "\x89ULSEG\r\n", 8);
	assert_int_equal(ul_header_classify(page, &found), UL_HEADER_VALID);
	assert_int_equal(found.inode, 99);
	assert_int_equal(found.generation, 2);
	assert_memory_equal(&found.segment_id, &header.segment_id, 2 * UL_ID_BYTES);
}

static void every_header_bit_counts(void **state)
{
	uint8_t page[UL_PAGE_BYTES];
	struct ul_segment_header header = sample_header();
	struct ul_segment_header found = {.inode = 5};
	(void)state;
	ul_header_seal(page, &header);
	for (size_t bit = 0; bit < sizeof(page) * 8; bit++) {
		page[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(ul_header_classify(page, &found), UL_HEADER_DAMAGED);
		page[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(found.inode, 5);
}

static void header_rules(void **state)
{
	struct ul_segment_header header = sample_header();
	(void)state;
	header.size_bytes = UL_SEGMENT_BYTES_MAX;
	assert_int_equal(classify_header(header), UL_HEADER_VALID);
	header.size_bytes = UL_SEGMENT_BYTES_MAX + UL_PAGE_BYTES;
	assert_int_equal(classify_header(header), UL_HEADER_DAMAGED);
	header.size_bytes = UL_SEGMENT_BYTES_MIN - UL_PAGE_BYTES;
	assert_int_equal(classify_header(header), UL_HEADER_DAMAGED);
	header.size_bytes = UL_SEGMENT_BYTES_MIN + 64;
	assert_int_equal(classify_header(header), UL_HEADER_DAMAGED);
	header = sample_header();
	header.version = 0;
	assert_int_equal(classify_header(header), UL_HEADER_DAMAGED);
	header.version = 2;
	header.size_bytes = 0;
	assert_int_equal(classify_header(header), UL_HEADER_NEWER);
	header = sample_header();
	header.flags_incompatible = 1U << 31;
	assert_int_equal(classify_header(header), UL_HEADER_NEWER);
	header.flags_incompatible = 0;
	header.flags_compatible = header.flags_read_compatible = UINT32_MAX;
	assert_int_equal(classify_header(header), UL_HEADER_VALID);
}

static void bytes_behind_the_header_are_zero(void **state)
{
	static const size_t places[] = {UL_SEGMENT_HEADER_BYTES, UL_SEGMENT_HEADER_BYTES + 3, 88, 2048,
					UL_PAGE_BYTES - 1};
	struct ul_segment_header header = sample_header();
	struct ul_segment_header found;
	(void)state;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		uint8_t page[UL_PAGE_BYTES];
		ul_header_seal(page, &header);
		page[places[i]] = 1;
		uint64_t sum = ul_header_checksum(page);
		memcpy(page + 8, &sum, sizeof(sum));
		assert_int_equal(ul_header_classify(page, &found), UL_HEADER_DAMAGED);
	}
}

static void write_block(struct ul_state_block *block, uint32_t index, uint64_t sequence)
{
	memset(block, 0, sizeof(*block));
	block->sequence = sequence;
	memset(block->payload.boot_id, 0xcd, sizeof(block->payload.boot_id));
	block->checksum = ul_block_checksum(block, SEED, index);
}

static void blocks(void **state)
{
	struct ul_state_block block;
	(void)state;
	memset(&block, 0, sizeof(block));
	assert_int_equal(ul_block_classify(&block, SEED, 0), UL_BLOCK_CLEAR);
	for (uint32_t index = 0; index < UL_STATE_BLOCKS; index++) {
		write_block(&block, index, 1);
		assert_int_equal(ul_block_classify(&block, SEED, index), UL_BLOCK_VALID);
		assert_int_equal(ul_block_classify(&block, SEED, index + 1), UL_BLOCK_TORN);
		assert_int_equal(ul_block_classify(&block, SEED + 100, index), UL_BLOCK_TORN);
		for (size_t bit = 0; bit < sizeof(block) * 8; bit++) {
			((uint8_t *)&block)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(ul_block_classify(&block, SEED, index), UL_BLOCK_TORN);
			((uint8_t *)&block)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	memset(&block, 0, sizeof(block));
	block.payload.bytes[111] = 1;
	assert_int_equal(ul_block_classify(&block, SEED, 0), UL_BLOCK_TORN);
}

static void of_a_pair_the_later_valid_block_holds(void **state)
{
	struct ul_state_block pair[UL_STATE_BLOCKS];
	(void)state;
	memset(pair, 0, sizeof(pair));
	assert_null(ul_block_pair(pair, SEED, UL_BLOCK_COUNTERS));
	write_block(&pair[2], 2, 5);
	assert_ptr_equal(ul_block_pair(pair, SEED, UL_BLOCK_COUNTERS), &pair[2]);
	assert_null(ul_block_pair(pair, SEED, UL_BLOCK_BOOT));
	write_block(&pair[3], 3, 6);
	assert_ptr_equal(ul_block_pair(pair, SEED, UL_BLOCK_COUNTERS), &pair[3]);
	write_block(&pair[2], 2, 7);
	assert_ptr_equal(ul_block_pair(pair, SEED, UL_BLOCK_COUNTERS), &pair[2]);
	pair[2].payload.bytes[100] ^= 1;
	assert_ptr_equal(ul_block_pair(pair, SEED, UL_BLOCK_COUNTERS), &pair[3]);
	pair[3].sequence++;
	assert_null(ul_block_pair(pair, SEED, UL_BLOCK_COUNTERS));
}

static void ids_as_text(void **state)
{
	static const char digits[] = "00112233445566778899aabbccddeeff";
	struct ul_id id = {{0}};
	char text[UL_ID_TEXT_BYTES];
	(void)state;
	assert_true(ul_id_parse(&id, "00112233445566778899aabbccddeeff.seg"));
	assert_int_equal(id.bytes[1], 0x11);
	assert_int_equal(id.bytes[15], 0xff);
	ul_id_format(text, &id);
	assert_string_equal(text, digits);
	for (size_t i = 0; i < 32; i++) {
		static const char wrong[] = {'A', 'g', '/', ':', '`', ' ', '\0', (char)0xff};
		for (size_t j = 0; j < sizeof(wrong); j++) {
			char *exact = test_exact_copy(digits, 32);
			exact[i] = wrong[j];
			assert_false(ul_id_parse(&id, exact));
			free(exact);
		}
	}
	assert_int_equal(id.bytes[15], 0xff);
}

static void first_pages(void **state)
{
	(void)state;
	assert_int_equal(ul_first_page(UL_SEGMENT_BYTES_MIN), 4);
	assert_int_equal(ul_first_page(UINT64_C(4096) * 4096), 4);
	assert_int_equal(ul_first_page(UINT64_C(4097) * 4096), 5);
	assert_int_equal(ul_first_page(UINT64_C(1) << 26), 7);
	assert_int_equal(ul_first_page(UL_SEGMENT_BYTES_MAX), 3 + 1024);
	assert_int_equal(ul_text_slots(1), 1);
	assert_int_equal(ul_text_slots(48), 1);
	assert_int_equal(ul_text_slots(49), 2);
	assert_int_equal(ul_text_slots(UL_CONTEXT_BYTES_MAX), 342);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums_are_those_of_the_format),
		cmocka_unit_test(every_kind_is_valid),
		cmocka_unit_test(what_this_version_does_not_define_is_unknown),
		cmocka_unit_test(every_flipped_bit_is_seen),
		cmocka_unit_test(every_body_bit_makes_a_slot_unfinished),
		cmocka_unit_test(a_slot_is_valid_in_its_place_only),
		cmocka_unit_test(headers_read_as_written),
		cmocka_unit_test(every_header_bit_counts),
		cmocka_unit_test(header_rules),
		cmocka_unit_test(bytes_behind_the_header_are_zero),
		cmocka_unit_test(blocks),
		cmocka_unit_test(of_a_pair_the_later_valid_block_holds),
		cmocka_unit_test(ids_as_text),
		cmocka_unit_test(first_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
