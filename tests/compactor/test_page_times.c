/* How long calls took, for the page: days and months, whose models are wanted, and buckets joined until there is room for all. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "page_times.h"

enum { MODELS = 20, UNWANTED = 19, NEWEST = 20000 };

static int find_model(void *arg, const struct histogram *histogram, uint32_t *model)
{
	(void)arg;
	*model = histogram->model + 100;
	return histogram->model != UNWANTED;
}

static struct page_times *make_times(int32_t first_day)
{
	struct page_times *times = calloc(1, sizeof(*times));
	assert_non_null(times);
	times->first_day = first_day;
	times->last_day = NEWEST;
	times->find_model = find_model;
	page_times_open(times);
	return times;
}

static void drop_times(struct page_times *times)
{
	page_times_clear(times);
	free(times);
}

/* A day with one call of each model in so many buckets from one on, of two providers. */
static void add_day(struct page_times *times, int32_t day, uint32_t models, uint32_t first, uint32_t count)
{
	struct facts facts;
	facts_init(&facts, day);
	for (uint32_t model = 0; model < models; model++)
		for (uint32_t i = 0; i < count; i++) {
			const struct call_names names = {.provider = i % 2, .model = model};
			uint32_t number = facts_find_histogram(&facts, &names, UL_MEASURE_LATENCY);
			++*facts_reach(&facts, number, first + i);
		}
	assert_int_equal(facts.error, 0);
	assert_int_equal(page_times_add(times, &facts), 0);
	facts_clear(&facts);
}

/* All calls of all entries, which must be sound. */
static int64_t count_calls(const struct page_times *times)
{
	int64_t calls = 0;
	size_t pairs = 0, at = 0;
	while (at < times->count) {
		const int64_t *entry = &times->entries[at];
		assert_int_equal(entry[0], UL_MEASURE_LATENCY);
		assert_true(entry[1] <= entry[2]);
		assert_in_range(entry[3], 100, 100 + MODELS - 1);
		assert_int_not_equal(entry[3], 100 + UNWANTED);
		for (int64_t i = 0; i < entry[4]; i++) {
			assert_true(!i || entry[5 + 2 * i] > entry[3 + 2 * i]);
			calls += entry[6 + 2 * i];
		}
		pairs += (size_t)entry[4];
		at += 5 + 2 * (size_t)entry[4];
	}
	assert_int_equal(at, times->count);
	assert_int_equal(pairs, times->pair_count);
	return calls;
}

static void test_days_and_months(void **state)
{
	(void)state;
	const int32_t first = calendar_day_of((struct calendar_date){2024, 1, 30});
	struct page_times *times = make_times(first);
	/* Three in January and February; the last two of the newest days are kept apart. */
	const int32_t days[] = {first, first + 1, first + 2, NEWEST - 92, NEWEST - 91, NEWEST};
	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++)
		add_day(times, days[i], 1, 200, 3);
	assert_int_equal(page_times_end(times), 0);
	assert_int_equal(count_calls(times), 18);
	static const int64_t entries[][11] = {
		{1, 0, 1, 100, 3, 200, 2, 201, 2, 202, 2},
		{1, 2, 2, 100, 3, 200, 1, 201, 1, 202, 1},
	};
	assert_memory_equal(times->entries, entries, sizeof(entries));
	assert_int_equal(times->count, 5 * 11);
	struct json_text json = {0};
	json_begin_object(&json, json_key(""));
	page_times_put(times, &json);
	json_end(&json);
	assert_non_null(strstr(json.text, "\"latency_shift\": 0"));
	assert_non_null(
		strstr(json.text, "\"latency\": [1, 0, 1, 100, 3, 200, 2, 1, 2, 1, 2, 1, 2, 2, 100, 3, 200, 1"));
	json_text_clear(&json);
	drop_times(times);
}

static void test_joined_buckets(void **state)
{
	(void)state;
	enum { DAYS = 92, COUNT = 1280 };
	struct page_times *times = make_times(NEWEST - DAYS + 1);
	for (int32_t day = NEWEST - DAYS + 1; day <= NEWEST; day++)
		add_day(times, day, MODELS, 640, COUNT);
	assert_int_equal(page_times_end(times), 0);
	/* 19 x 92 x 1,280 pairs are more than two millions, so that four buckets are one. */
	assert_int_equal(times->shift, 2);
	assert_int_equal(times->pair_count, 19 * DAYS * COUNT / 4);
	assert_int_equal(count_calls(times), (int64_t)(MODELS - 1) * DAYS * COUNT);
	assert_int_equal(times->entries[5], 640 / 4);
	assert_int_equal(times->entries[6], 4);
	drop_times(times);
}

static void test_nothing(void **state)
{
	(void)state;
	struct page_times *times = make_times(NEWEST);
	assert_int_equal(page_times_end(times), 0);
	assert_int_equal(times->count, 0);
	drop_times(times);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_days_and_months),
		cmocka_unit_test(test_joined_buckets),
		cmocka_unit_test(test_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
