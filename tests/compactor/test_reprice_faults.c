/*
 * While history is priced again every call to the system fails, once or from then on. Whatever came of that run, all is priced as before or all
 * anew, in each of the sums; and the next one prices it anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "calendar.h"
#include "compact.h"
#include "../lib/fault_plan.h"
#include "os.h"
#include "usagelog.h"

enum { CALLS = 20, DAYS = 3 };

/* 1 and 2 pico-USD a token. */
static const char old_map[] = "{\"m\": {\"input_cost_per_token\": 1e-12, \"output_cost_per_token\": 0}}";
static const char new_map[] = "{\"m\": {\"input_cost_per_token\": 2e-12, \"output_cost_per_token\": 0}}";

static char path[] = "/tmp/usagelog-reprice-XXXXXX";

static void record_day(int64_t day)
{
	usagelog *log;
	struct usagelog_options options = {
		.size = sizeof(options), .flags = USAGELOG_NO_HELPER, .segment_size_bytes = 65536, .time_zone = "UTC"};
	assert_int_equal(usagelog_open(&log, path, &options), 0);
	for (uint32_t i = 0; i < CALLS; i++) {
		struct usagelog_names names = {.provider = "p", .model = "m"};
		struct usagelog_call call = {.time_ns = (day * 86400 + i) * 1000000000, .input_tokens = i};
		assert_int_equal(usagelog_record_names(log, &names, &call), 0);
	}
	assert_int_equal(usagelog_close(log, 0), 0);
}

/* Fold, with a map or none; `again`: and price from the second day on with it. What calls cost then, by rows, days and hours. */
static int fold(const char *map_text, bool again, int64_t costs[3])
{
	struct ul_directory directory;
	struct ul_message why;
	struct names names;
	struct checkpoint checkpoint = {0};
	struct compact_result result;
	struct findings findings = {0};
	struct price_map map;
	const struct compact_options options = {
		.prices = map_text ? &map : NULL, .prices_since = again ? 1 : 0, .reprice = again};
	int lock = -1, error = ul_directory_open(&directory, path, &why);
	if (error)
		return error;
	bool named = names_init(&names) == 0, mapped = price_map_open(&map) == 0;
	error = named && mapped ? 0 : -ENOMEM;
	if (!error && map_text)
		error = price_map_add(&map, "map", map_text, strlen(map_text), &why);
	if (!error)
		lock = store_lock(directory.fd);
	if (!error && lock < 0)
		error = lock;
	if (!error) {
		error = compact_run(&directory, &options, &checkpoint, &names, &result, &findings, &why);
		compact_result_clear(&result);
	}
	const struct table *tables[3] = {&checkpoint.totals.facts.rows, &checkpoint.totals.sums[TOTAL_DAYS],
					 &checkpoint.totals.sums[TOTAL_HOURS]};
	for (size_t i = 0; i < 3; i++) {
		costs[i] = 0;
		for (uint32_t j = 0; j < tables[i]->count && !error; j++) {
			const void *record = table_record(tables[i], j);
			costs[i] += (int64_t)(i ? ((const struct ul_sum *)record)->cost_pico_usd.low
						: ((const struct ul_row *)record)->cost_pico_usd.low);
		}
	}
	checkpoint_clear(&checkpoint);
	findings_clear(&findings);
	price_map_clear(&map);
	names_clear(&names);
	os_close(lock);
	ul_directory_close(&directory);
	return error;
}

/* The first day is before those that are priced again. */
static bool all_are(const int64_t costs[3], int64_t later_price)
{
	int64_t day = CALLS * (CALLS - 1) / 2;
	for (size_t i = 0; i < 3; i++)
		if (costs[i] != day + (DAYS - 1) * later_price * day)
			return false;
	return true;
}

static uint32_t disturb(int kind, uint32_t first, uint32_t count, int error)
{
	char command[200];
	int64_t costs[3];
	snprintf(command, sizeof(command), "rm -rf '%s'/*", path);
	assert_int_equal(system(command), 0);
	record_day(0);
	record_day(1);
	assert_int_equal(fold(old_map, false, costs), 0);
	record_day(2);
	fail_calls((enum os_call)kind, first, count, error);
	(void)fold(new_map, true, costs);
	fail_nothing();
	assert_int_equal(fold(NULL, false, costs), 0);
	assert_true(all_are(costs, 1) || all_are(costs, 2));
	assert_int_equal(fold(new_map, true, costs), 0);
	assert_true(all_are(costs, 2));
	return plan.seen;
}

static void all_or_nothing(void **state)
{
	static const int errors[] = {EIO, ENOSPC, ENOMEM};
	uint32_t points = 0;
	(void)state;
	for (int kind = 0; kind < OS_CALLS; kind++) {
		uint32_t seen = disturb(kind, UINT32_MAX, 0, EIO);
		for (uint32_t n = 1; n <= seen; n += n < 6 ? 1 : n / 3) {
			disturb(kind, n, 1, errors[n % 3]);
			disturb(kind, n, UINT32_MAX, errors[n % 3]);
			points += 2;
		}
	}
	print_message("%u points\n", points);
	assert_true(points > 60);
}

static int set_up(void **state)
{
	(void)state;
	os_fault = answer;
	return mkdtemp(path) && !calendar_set_zone("UTC") ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[200];
	(void)state;
	os_fault = NULL;
	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(all_or_nothing)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
