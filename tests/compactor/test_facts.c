/* Facts and checkpoints: sums do not depend on order, files come back as they went, and a sum beyond its field is told. */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "ids.h"
#include "money.h"

static const struct ul_id log_id = {{1, 2, 3}};

static struct names names;

static int make_names(void **state)
{
	(void)state;
	return names_init(&names);
}

static int drop_names(void **state)
{
	(void)state;
	names_clear(&names);
	return 0;
}

static uint32_t name(const char *text)
{
	return names_intern(&names, text, strlen(text));
}

static uint64_t next_random(uint64_t *random)
{
	*random = *random * 6364136223846793005 + 1442695040888963407;
	return *random >> 33;
}

/* The i-th of a series of calls that hit many keys. */
static struct ul_slot make_call(uint32_t i, struct call_names *who)
{
	uint64_t random = i * 7919 + 1;
	static const char *const models[] = {"gpt-4o", "claude", "gemini-pro"};
	static const char *const dimensions[] = {
		"{}", "{\"operation\":\"chat\"}",
		"{\"error_type\":\"429\",\"operation\":\"chat\",\"session_id\":\"s\"}"};
	size_t kind = next_random(&random) % 3;
	struct ul_slot slot = {.tag = ul_tag(UL_KIND_CALL, 0)};
	*who = (struct call_names){name("openai"),
				   name(models[next_random(&random) % 3]),
				   name(dimensions[kind]),
				   kind ? name("chat") : NAME_EMPTY,
				   NAME_EMPTY,
				   kind == 2};
	slot.body.call = (struct ul_call_body){.time_ns = (int64_t)(next_random(&random) % 86400) * 1000000000,
					       .cost_pico_usd = (int64_t)next_random(&random),
					       .input_tokens = (uint32_t)next_random(&random) % 600000,
					       .output_tokens = (uint32_t)next_random(&random) % 1000,
					       .latency = (uint32_t)next_random(&random) % 1000000,
					       .ttft_us = (uint32_t)next_random(&random) % 1000};
	if (i % 5 == 0) {
		slot.word = UL_UNPRICED | UL_LATENCY_MS;
		slot.body.call.cost_pico_usd = 0;
	}
	return slot;
}

enum { CALLS = 500 };

static void add_calls(struct facts *facts, uint32_t first, uint32_t last, bool backwards)
{
	for (uint32_t i = first; i < last; i++) {
		struct call_names who;
		struct ul_slot slot = make_call(backwards ? last - 1 - (i - first) : i, &who);
		facts_add_call(facts, &who, &slot);
	}
}

static void *encode(const struct facts *facts, size_t *bytes)
{
	int error;
	void *file = facts_encode(facts, &names, &log_id, &(struct facts_origin){3, 4, 0}, bytes, &error);
	assert_int_equal(error, 0);
	assert_non_null(file);
	return file;
}

static void expect_same(const struct facts *left, const struct facts *right)
{
	size_t left_bytes, right_bytes;
	void *left_file = encode(left, &left_bytes), *right_file = encode(right, &right_bytes);
	assert_int_equal(left_bytes, right_bytes);
	assert_memory_equal(left_file, right_file, left_bytes);
	free(left_file);
	free(right_file);
}

static void order_does_not_matter(void **state)
{
	struct facts forwards, backwards;
	(void)state;
	facts_init(&forwards, 10);
	facts_init(&backwards, 10);
	add_calls(&forwards, 0, CALLS, false);
	add_calls(&backwards, 0, CALLS, true);
	expect_same(&forwards, &backwards);
	assert_int_equal(facts_calls(&forwards), CALLS);
	facts_clear(&forwards);
	facts_clear(&backwards);
}

static void file_comes_back(void **state)
{
	struct facts half, rest, whole;
	struct ul_container container;
	size_t bytes;
	(void)state;
	facts_init(&half, 10);
	facts_init(&rest, 10);
	facts_init(&whole, 10);
	add_calls(&half, 0, CALLS / 2, false);
	void *file = encode(&half, &bytes);
	assert_int_equal(ul_container_open(&container, UL_CONTAINER_FACTS, file, bytes, &log_id), UL_CONTAINER_VALID);
	add_calls(&rest, CALLS / 2, CALLS, false);
	facts_add_file(&rest, &names, &container);
	add_calls(&whole, 0, CALLS, false);
	expect_same(&rest, &whole);
	free(file);
	facts_clear(&half);
	facts_clear(&rest);
	facts_clear(&whole);
}

static void reversal_leaves_nothing(void **state)
{
	struct facts facts, empty;
	(void)state;
	facts_init(&facts, 10);
	facts_init(&empty, 10);
	add_calls(&facts, 0, CALLS, false);
	for (uint32_t i = 0; i < CALLS; i++) {
		struct call_names who;
		struct ul_slot slot = make_call(i, &who);
		slot.tag = ul_tag(UL_KIND_REVERSAL, 0);
		facts_add_call(&facts, &who, &slot);
	}
	expect_same(&facts, &empty);
	facts_clear(&facts);
	facts_clear(&empty);
}

static void overflow_is_told(void **state)
{
	struct facts facts;
	struct ul_row row = {
		.provider = name("p"), .model = name("m"), .dimensions = NAME_NO_DIMENSIONS, .calls = INT64_MAX};
	(void)state;
	facts_init(&facts, 10);
	facts_add_row(&facts, &row);
	assert_int_equal(facts.error, 0);
	facts_add_row(&facts, &row);
	assert_int_equal(facts.error, -EOVERFLOW);
	facts_clear(&facts);
}

static void costs_go_beyond_64_bits(void **state)
{
	struct facts facts;
	(void)state;
	facts_init(&facts, 10);
	struct call_names who = {name("p"), name("m"), NAME_NO_DIMENSIONS, NAME_EMPTY, NAME_EMPTY, false};
	struct ul_slot slot = {.tag = ul_tag(UL_KIND_CALL, 0), .word = UL_LATENCY_UNKNOWN};
	slot.body.call.cost_pico_usd = INT64_MAX;
	for (int i = 0; i < 3; i++)
		facts_add_call(&facts, &who, &slot);
	const struct ul_row *row = table_record(&facts.rows, 0);
	assert_int_equal(facts.error, 0);
	assert_true(money_of(row->cost_pico_usd) == (money_t)INT64_MAX * 3);
	assert_int_equal(row->latency_calls, 0);
	facts_clear(&facts);
}

static void bands(void **state)
{
	(void)state;
	assert_int_equal(prompt_band(0), 0);
	assert_int_equal(prompt_band(128000), 0);
	assert_int_equal(prompt_band(128001), 1);
	assert_int_equal(prompt_band(200000), 1);
	assert_int_equal(prompt_band(256000), 2);
	assert_int_equal(prompt_band(272001), 4);
	assert_int_equal(prompt_band(512001), 5);
}

/* ---- the checkpoint ------------------------------------------------------------------------------------------ */

static struct ul_last_call last_call(int64_t time_ns, uint32_t slot)
{
	struct ul_last_call call = {
		.slot = slot, .provider = name("p"), .model = name("m"), .context = NAME_NO_DIMENSIONS};
	call.call.time_ns = time_ns;
	return call;
}

static void fill(struct checkpoint *checkpoint)
{
	struct facts facts;
	checkpoint->generation = 5;
	checkpoint->settings = 6;
	checkpoint->newest_ns = 7;
	for (uint32_t i = 9; i <= 9; i -= 4) { /* 9, 5, 1 */
		struct ul_id id = {{(uint8_t)i}};
		struct segment_state *segment = checkpoint_get_segment(checkpoint, &id);
		assert_non_null(segment);
		segment->record.calls = i;
		assert_int_equal(runs_append(&segment->runs, 256 + i), 0);
		assert_int_equal(runs_append(&segment->runs, 300 + i), 0);
	}
	for (int32_t day = 12; day > 9; day--) {
		struct ul_day record = {.day = day, .generation = 5, .calls = day};
		facts_init(&facts, day);
		add_calls(&facts, 0, CALLS, false);
		assert_int_equal(checkpoint_set_day(checkpoint, &record), 0);
		assert_int_equal(totals_add(&checkpoint->totals, &names, &facts), 0);
		assert_int_equal(checkpoint_agrees(checkpoint, &names, &facts), 1);
		facts_clear(&facts);
	}
	struct ul_last_call calls[] = {last_call(30, 1), last_call(10, 2), last_call(20, 3)};
	assert_int_equal(checkpoint_add_calls(checkpoint, calls, 3), 0);
}

static void checkpoint_comes_back(void **state)
{
	struct checkpoint first = {0}, second = {0};
	struct ul_container container;
	size_t first_bytes, second_bytes;
	int error;
	(void)state;
	fill(&first);
	void *first_file = checkpoint_encode(&first, &names, &log_id, &first_bytes, &error);
	assert_int_equal(error, 0);
	assert_int_equal(ul_container_open(&container, UL_CONTAINER_CHECKPOINT, first_file, first_bytes, &log_id),
			 UL_CONTAINER_VALID);
	assert_int_equal(checkpoint_load(&second, &names, &container), 0);
	assert_int_equal(second.generation, 5);
	assert_int_equal(second.segment_count, 3);
	assert_int_equal(second.calls[0].call.time_ns, 10);
	void *second_file = checkpoint_encode(&second, &names, &log_id, &second_bytes, &error);
	assert_int_equal(first_bytes, second_bytes);
	assert_memory_equal(first_file, second_file, first_bytes);
	free(first_file);
	free(second_file);
	checkpoint_clear(&first);
	checkpoint_clear(&second);
}

static void totals_tell_a_missing_call(void **state)
{
	struct checkpoint checkpoint = {0};
	struct facts facts;
	(void)state;
	fill(&checkpoint);
	facts_init(&facts, 10);
	add_calls(&facts, 1, CALLS, false);
	assert_int_equal(checkpoint_agrees(&checkpoint, &names, &facts), 0);
	facts_clear(&facts);
	facts_init(&facts, 10);
	assert_int_equal(checkpoint_agrees(&checkpoint, &names, &facts), 0);
	facts_clear(&facts);
	checkpoint_clear(&checkpoint);
}

/* Facts of one model and one hour of a day, UTC. */
static void make_day(struct facts *facts, int32_t day, uint32_t calls)
{
	struct call_names who = {
		name("p"),  name("m"),    name("{\"metadata\":{\"n\":1,\"user\":\"ann\"},\"service_tier\":\"flex\"}"),
		NAME_EMPTY, name("flex"), false};
	struct ul_slot slot = {.tag = ul_tag(UL_KIND_CALL, 0), .word = UL_LATENCY_UNKNOWN};
	slot.body.call.time_ns = day * INT64_C(86400000000000) + INT64_C(5400000000000);
	slot.body.call.input_tokens = 10;
	facts_init(facts, day);
	for (uint32_t i = 0; i < calls; i++)
		facts_add_call(facts, &who, &slot);
}

static void add_day(struct checkpoint *checkpoint, int32_t day, uint32_t calls)
{
	struct facts facts;
	struct ul_day record = {.day = day, .calls = calls};
	make_day(&facts, day, calls);
	assert_int_equal(checkpoint_set_day(checkpoint, &record), 0);
	assert_int_equal(totals_add(&checkpoint->totals, &names, &facts), 0);
	facts_clear(&facts);
}

static void expect_same_checkpoint(const struct checkpoint *left, const struct checkpoint *right)
{
	size_t left_bytes, right_bytes;
	int error;
	void *left_file = checkpoint_encode(left, &names, &log_id, &left_bytes, &error);
	assert_int_equal(error, 0);
	void *right_file = checkpoint_encode(right, &names, &log_id, &right_bytes, &error);
	assert_int_equal(error, 0);
	assert_int_equal(left_bytes, right_bytes);
	assert_memory_equal(left_file, right_file, left_bytes);
	free(left_file);
	free(right_file);
}

/* Whatever is added first, and whenever the window is moved, the same days are in it. One that is far off takes one place. */
static void window_does_not_depend_on_order(void **state)
{
	enum { DAYS = 100 };
	struct checkpoint at_once = {0}, forwards = {0}, backwards = {0};
	(void)state;
	for (int32_t i = 0; i < DAYS; i++) {
		add_day(&at_once, 2 * i, 1);
		add_day(&forwards, 2 * i, 1);
		assert_int_equal(checkpoint_trim(&forwards), 0);
		add_day(&backwards, i ? 2 * (DAYS - i) : 40000, 1);
		assert_int_equal(checkpoint_trim(&backwards), 0);
	}
	add_day(&at_once, 40000, 1);
	add_day(&forwards, 40000, 1);
	add_day(&backwards, 0, 1);
	assert_int_equal(checkpoint_trim(&at_once), 0);
	assert_int_equal(checkpoint_trim(&forwards), 0);
	assert_int_equal(checkpoint_trim(&backwards), 0);
	expect_same_checkpoint(&at_once, &forwards);
	expect_same_checkpoint(&at_once, &backwards);
	assert_int_equal(at_once.totals.sums[TOTAL_DAYS].count, DAYS + 1);
	assert_int_equal(at_once.totals.sums[TOTAL_RECENT].count, UL_RECENT_DAYS);
	assert_int_equal(at_once.totals.sums[TOTAL_HOURS].count, UL_HOUR_DAYS);
	assert_int_equal(checkpoint_window(&at_once).recent_from, 2 * (DAYS - (UL_RECENT_DAYS - 1)));
	checkpoint_clear(&at_once);
	checkpoint_clear(&forwards);
	checkpoint_clear(&backwards);
}

/* Only strings that are names stand for themselves. */
static void attributes_are_summed_up(void **state)
{
	static const char *const keys[] = {"n", "user", "service_tier"};
	static const char *const values[] = {"1", "ann", "flex"};
	struct checkpoint checkpoint = {0};
	(void)state;
	add_day(&checkpoint, 10, 3);
	add_day(&checkpoint, 11, 4);
	const struct table *attributes = &checkpoint.totals.sums[TOTAL_ATTRIBUTES];
	assert_int_equal(attributes->count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct ul_sum *sum = table_record(attributes, i);
		assert_int_equal(sum->first, name(keys[i]));
		assert_int_equal(sum->second, name(values[i]));
		assert_int_equal(sum->calls, 7);
		assert_int_equal(sum->tokens[UL_INPUT], 70);
	}
	checkpoint_clear(&checkpoint);
}

static void what_stands_in_comes_to_the_same(void **state)
{
	struct checkpoint checkpoint = {0};
	struct facts facts;
	(void)state;
	fill(&checkpoint);
	for (int32_t day = 100; day < 100 + UL_RECENT_DAYS; day++)
		add_day(&checkpoint, day, 1);
	assert_int_equal(checkpoint_trim(&checkpoint), 0);
	/* One day within the window, held by model, and one before it. */
	for (int32_t day = 100; day > 0; day -= 90) {
		facts_init(&facts, day);
		totals_stand_in(&checkpoint.totals, &names, &facts);
		assert_int_equal(facts.error, 0);
		assert_int_equal(checkpoint_agrees(&checkpoint, &names, &facts), 1);
		const struct ul_row *row = table_record(&facts.rows, 0);
		assert_int_equal(row->model, day == 100 ? name("m") : (uint32_t)NAME_UNKNOWN);
		for (uint32_t i = 0; i < facts.rows.count; i++)
			assert_true(((const struct ul_row *)table_record(&facts.rows, i))->calls >= 0);
		facts_clear(&facts);
	}
	checkpoint_clear(&checkpoint);
}

static void keeps_the_last_thousand(void **state)
{
	struct checkpoint checkpoint = {0};
	(void)state;
	for (uint32_t i = 0; i < 30; i++) {
		struct ul_last_call calls[100];
		for (uint32_t j = 0; j < 100; j++)
			calls[j] = last_call((int64_t)(j * 30 + i), i * 100 + j + 1);
		assert_int_equal(checkpoint_add_calls(&checkpoint, calls, 100), 0);
	}
	assert_int_equal(checkpoint.call_count, UL_LAST_CALLS);
	for (uint32_t i = 0; i < UL_LAST_CALLS; i++)
		assert_int_equal(checkpoint.calls[i].call.time_ns, 2000 + i);
	checkpoint_clear(&checkpoint);
}

/* ---- ids ----------------------------------------------------------------------------------------------------- */

static void ids_do_not_depend_on_order(void **state)
{
	struct ul_id id = {{9}}, other = {{8}};
	struct id_change changes[] = {{id, 100, 1}, {id, 100, -1}, {id, 50, 1}, {other, 3, 1}};
	struct id_change reversed[] = {{other, 3, 1}, {id, 50, 1}, {id, 100, -1}, {id, 100, 1}};
	size_t count, again_count, later_count;
	(void)state;
	struct ul_id_record *records = ids_apply(NULL, 0, changes, 4, &count);
	struct ul_id_record *again = ids_apply(NULL, 0, reversed, 4, &again_count);
	assert_int_equal(count, 2);
	assert_int_equal(again_count, 2);
	assert_memory_equal(records, again, 2 * sizeof(*records));
	assert_int_equal(records[1].content, 50);
	assert_int_equal(records[1].standing, 1);
	struct id_change taken[] = {{id, 50, -1}};
	struct ul_id_record *later = ids_apply(records, 2, taken, 1, &later_count);
	assert_int_equal(later_count, 2);
	assert_int_equal(later[1].standing, 0);
	assert_int_equal(later[0].standing, 1);
	free(records);
	free(again);
	free(later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_does_not_matter),
		cmocka_unit_test(file_comes_back),
		cmocka_unit_test(reversal_leaves_nothing),
		cmocka_unit_test(overflow_is_told),
		cmocka_unit_test(costs_go_beyond_64_bits),
		cmocka_unit_test(bands),
		cmocka_unit_test(checkpoint_comes_back),
		cmocka_unit_test(totals_tell_a_missing_call),
		cmocka_unit_test(window_does_not_depend_on_order),
		cmocka_unit_test(attributes_are_summed_up),
		cmocka_unit_test(what_stands_in_comes_to_the_same),
		cmocka_unit_test(keeps_the_last_thousand),
		cmocka_unit_test(ids_do_not_depend_on_order),
	};
	return cmocka_run_group_tests(tests, make_names, drop_names);
}
