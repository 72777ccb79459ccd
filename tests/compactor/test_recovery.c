/* The decision table of FORMAT.md 10, walked cell by cell, and the sets that checkpoints are made of. */
#include "support.h"

#include <stdlib.h>

#include "recovery.h"

struct cell {
	enum file_state current, previous;
	enum recovery without_facts, with_facts;
};

static const struct cell cells[] = {
	{FILE_MISSING, FILE_MISSING, RECOVERY_EMPTY, RECOVERY_REBUILD},
	{FILE_MISSING, FILE_SOUND, RECOVERY_PREVIOUS, RECOVERY_PREVIOUS},
	{FILE_MISSING, FILE_DAMAGED, RECOVERY_REBUILD, RECOVERY_REBUILD},
	{FILE_MISSING, FILE_NEWER, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_MISSING, FILE_UNREADABLE, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_SOUND, FILE_MISSING, RECOVERY_CURRENT, RECOVERY_CURRENT},
	{FILE_SOUND, FILE_SOUND, RECOVERY_CURRENT, RECOVERY_CURRENT},
	{FILE_SOUND, FILE_DAMAGED, RECOVERY_CURRENT, RECOVERY_CURRENT},
	{FILE_SOUND, FILE_NEWER, RECOVERY_CURRENT, RECOVERY_CURRENT},
	{FILE_SOUND, FILE_UNREADABLE, RECOVERY_CURRENT, RECOVERY_CURRENT},
	{FILE_DAMAGED, FILE_MISSING, RECOVERY_REBUILD, RECOVERY_REBUILD},
	{FILE_DAMAGED, FILE_SOUND, RECOVERY_PREVIOUS, RECOVERY_PREVIOUS},
	{FILE_DAMAGED, FILE_DAMAGED, RECOVERY_REBUILD, RECOVERY_REBUILD},
	{FILE_DAMAGED, FILE_NEWER, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_DAMAGED, FILE_UNREADABLE, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_NEWER, FILE_MISSING, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_NEWER, FILE_SOUND, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_NEWER, FILE_DAMAGED, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_NEWER, FILE_NEWER, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_NEWER, FILE_UNREADABLE, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_UNREADABLE, FILE_MISSING, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_UNREADABLE, FILE_SOUND, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_UNREADABLE, FILE_DAMAGED, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_UNREADABLE, FILE_NEWER, RECOVERY_REFUSE, RECOVERY_REFUSE},
	{FILE_UNREADABLE, FILE_UNREADABLE, RECOVERY_REFUSE, RECOVERY_REFUSE},
};

static void every_cell(void **state)
{
	(void)state;
	assert_int_equal(sizeof(cells) / sizeof(cells[0]), FILE_STATES * FILE_STATES);
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		assert_int_equal(recovery_decide(cells[i].current, cells[i].previous, false), cells[i].without_facts);
		assert_int_equal(recovery_decide(cells[i].current, cells[i].previous, true), cells[i].with_facts);
	}
}

static void file_names(void **state)
{
	int32_t day;
	uint64_t generation;
	char name[STORE_NAME_BYTES];
	(void)state;
	store_fact_name(name, 20463, 7);
	assert_string_equal(name, "2026-01-10.7.facts");
	assert_true(store_parse_fact_name(name, &day, &generation));
	assert_int_equal(day, 20463);
	assert_int_equal(generation, 7);
	assert_false(store_parse_fact_name("2026-01-10.07.facts", &day, &generation));
	assert_false(store_parse_fact_name("2026-01-10.0.facts", &day, &generation));
	assert_false(store_parse_fact_name("2026-01-10.7.facts.new", &day, &generation));
	assert_false(store_parse_fact_name("2026-01-10.99999999999999999999.facts", &day, &generation));
	assert_false(store_parse_fact_name("2026-01-10", &day, &generation));
	assert_false(store_parse_ids_name("../1.ids", &generation));
	assert_true(store_is_draft_name("2026-01-10.7.facts.new"));
	assert_true(store_is_draft_name("checkpoint.previous.new"));
	assert_false(store_is_draft_name("log.conf.00.new"));
	assert_false(store_is_draft_name("mine.new"));
}

/* Sets of slots against a plain array of booleans. */
static void runs_behave_as_sets(void **state)
{
	enum { SLOTS = 300 };
	uint64_t random = 7;
	(void)state;
	for (int round = 0; round < 300; round++) {
		bool has[SLOTS] = {false};
		struct runs runs = {0}, more = {0};
		for (uint32_t i = 0; i < SLOTS; i++) {
			random = random * 6364136223846793005 + 1442695040888963407;
			bool in_first = random >> 62 == 0, in_second = random >> 60 & 1;
			has[i] = in_first || in_second;
			if (in_first)
				assert_int_equal(runs_append(&runs, i), 0);
			if (in_second)
				assert_int_equal(runs_append(&more, i), 0);
		}
		assert_int_equal(runs_unite(&runs, &more), 0);
		uint64_t total = 0;
		for (uint32_t i = 0; i < SLOTS; i++) {
			uint32_t wanted = i, unwanted = i;
			while (wanted < SLOTS && !has[wanted])
				wanted++;
			while (unwanted < SLOTS && has[unwanted])
				unwanted++;
			assert_int_equal(runs_next(&runs, i, SLOTS, true), wanted);
			assert_int_equal(runs_next(&runs, i, SLOTS, false), unwanted);
			total += has[i];
		}
		assert_int_equal(runs_total(&runs), total);
		for (uint32_t i = 1; i < runs.count; i++)
			assert_true(runs.items[i].first_slot >
				    runs.items[i - 1].first_slot + runs.items[i - 1].slot_count);
		runs_clear(&runs);
		runs_clear(&more);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell),
		cmocka_unit_test(file_names),
		cmocka_unit_test(runs_behave_as_sets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
