/* Days and local times, across the changes of summer time. */
#include "support.h"

#include <stdlib.h>
#include <time.h>

#include "calendar.h"

static const int64_t second = 1000000000;

static void expect_day(int64_t at_second, const char *wanted)
{
	struct calendar calendar = {0};
	char text[CALENDAR_DAY_BYTES];
	calendar_print_day(text, calendar_day(&calendar, at_second * second));
	assert_string_equal(text, wanted);
	/* The answer must hold for all of the stretch that is kept. */
	struct calendar fresh = {0};
	assert_int_equal(calendar_day(&fresh, calendar.start_ns), calendar.day);
	fresh = (struct calendar){0};
	assert_int_equal(calendar_day(&fresh, calendar.end_ns - 1), calendar.day);
}

static void berlin(void **state)
{
	(void)state;
	assert_int_equal(calendar_set_zone("Europe/Berlin"), 0);
	expect_day(1711839599, "2024-03-30"); /* 23:59:59 CET before the change to summer time */
	expect_day(1711839600, "2024-03-31"); /* 00:00 CET */
	expect_day(1711846800, "2024-03-31"); /* 03:00 CEST, an hour after 01:59 CET */
	expect_day(1711922399, "2024-03-31"); /* 23:59:59 CEST: a day of 23 hours */
	expect_day(1711922400, "2024-04-01");
	expect_day(1729979999, "2024-10-26");
	expect_day(1729980000, "2024-10-27"); /* a day of 25 hours */
	expect_day(1730069999, "2024-10-27");
	expect_day(1730070000, "2024-10-28");
}

static void new_york(void **state)
{
	(void)state;
	assert_int_equal(calendar_set_zone("America/New_York"), 0);
	expect_day(1710046799, "2024-03-09");
	expect_day(1710046800, "2024-03-10");
	expect_day(1710129599, "2024-03-10");
	expect_day(1710129600, "2024-03-11");
	expect_day(1730606399, "2024-11-02");
	expect_day(1730606400, "2024-11-03");
	expect_day(1730696399, "2024-11-03");
	expect_day(1730696400, "2024-11-04");
}

/* Against localtime_r() at random moments, with one cache for all: St. John's changed at a minute past midnight, and Havana at midnight. */
static void agrees_with_libc(void **state)
{
	static const char *const zones[] = {
		"Europe/Berlin",       "America/New_York", "America/St_Johns", "America/Havana",
		"Australia/Lord_Howe", "Pacific/Apia",     "Asia/Kathmandu",   "UTC"};
	(void)state;
	for (size_t zone = 0; zone < sizeof(zones) / sizeof(zones[0]); zone++) {
		struct calendar calendar = {0};
		assert_int_equal(calendar_set_zone(zones[zone]), 0);
		uint64_t random = 42;
		for (int i = 0; i < 20000; i++) {
			random = random * 6364136223846793005 + 1442695040888963407;
			/* 1980 to 2040, stepping often by minutes, so that the cache is used. */
			time_t at = i % 2 ? (time_t)(315532800 + (random >> 33) % 1893456000)
					  : (time_t)(562000000 + i * 600);
			struct tm local;
			localtime_r(&at, &local);
			struct calendar_date date = calendar_date_of(calendar_day(&calendar, at * second));
			assert_int_equal(date.year, local.tm_year + 1900);
			assert_int_equal(date.month, local.tm_mon + 1);
			assert_int_equal(date.day, local.tm_mday);
		}
	}
}

static int32_t quarter_at(int64_t at_second)
{
	return (int32_t)(at_second / 900);
}

static void expect_hour(int64_t at_second, const char *wanted)
{
	char text[CALENDAR_TIME_BYTES];
	calendar_print_hour(text, quarter_at(at_second));
	assert_string_equal(text, wanted);
}

static int32_t hour_of(int64_t at_second)
{
	struct calendar_hour hour = {0};
	return calendar_hour_of(&hour, quarter_at(at_second));
}

static void hours(void **state)
{
	(void)state;
	assert_int_equal(calendar_set_zone("Europe/Berlin"), 0);
	/* 2024-10-27: 02:00 to 03:00 comes twice. */
	for (int64_t at = 1729987200; at < 1729987200 + 4 * 3600; at += 900)
		assert_int_equal(hour_of(at), quarter_at(at / 3600 * 3600));
	expect_hour(1729987200, "2024-10-27T02:00+02:00");
	expect_hour(1729990800, "2024-10-27T02:00+01:00");
	assert_int_equal(calendar_set_zone("Asia/Kathmandu"), 0); /* 5:45 ahead */
	expect_hour(1729988100, "2024-10-27T06:00+05:45");
	assert_int_equal(hour_of(1729988100), quarter_at(1729988100));
	assert_int_equal(hour_of(1729988100 + 2700), quarter_at(1729988100));
	assert_int_equal(hour_of(1729988100 + 3600), quarter_at(1729988100 + 3600));
	/* 2024-04-07 02:00 is 01:30 again, half an hour later the hour goes on. */
	assert_int_equal(calendar_set_zone("Australia/Lord_Howe"), 0);
	assert_int_equal(hour_of(1712415600 - 900), quarter_at(1712415600 - 3600));
	assert_int_equal(hour_of(1712415600), quarter_at(1712415600));
	assert_int_equal(hour_of(1712415600 + 900), quarter_at(1712415600));
	assert_int_equal(hour_of(1712415600 + 1800), quarter_at(1712415600 + 1800));
	assert_int_equal(calendar_quarter_day(quarter_at(1712415600)), 19820);
	expect_hour(1712415600 - 3600, "2024-04-07T01:00+11:00");
	expect_hour(1712415600, "2024-04-07T01:00+10:30");
	assert_int_equal(calendar_set_zone("Africa/Monrovia"), 0); /* 44:30 behind until 1972 */
	expect_hour(3600, "1970-01-01T00:00-00:44:30");
	/* What a hostile file may say. */
	struct calendar_hour hour = {0};
	assert_true(calendar_hour_of(&hour, INT32_MIN) == INT32_MIN);
	assert_true(calendar_hour_of(&hour, INT32_MAX) > INT32_MAX - 4);
	calendar_quarter_day(INT32_MIN);
	calendar_quarter_day(INT32_MAX);
}

static void extremes(void **state)
{
	char text[CALENDAR_TIME_BYTES];
	struct calendar calendar = {0};
	(void)state;
	assert_int_equal(calendar_set_zone("UTC"), 0);
	calendar_print_time(text, INT64_MIN);
	assert_string_equal(text, "1677-09-21T00:12:43.145224");
	calendar_print_time(text, INT64_MAX);
	assert_string_equal(text, "2262-04-11T23:47:16.854775");
	assert_int_equal(calendar_day(&calendar, INT64_MIN), -106752);
	assert_int_equal(calendar_day(&calendar, INT64_MAX), 106751);
	assert_int_equal(calendar_day(&calendar, -1), -1);
	assert_int_equal(calendar_day(&calendar, 0), 0);
}

static void local_time(void **state)
{
	char text[CALENDAR_TIME_BYTES];
	(void)state;
	assert_int_equal(calendar_set_zone("Europe/Berlin"), 0);
	calendar_print_time(text, 1768080726413623999);
	assert_string_equal(text, "2026-01-10T22:32:06.413623");
}

static void parses_days(void **state)
{
	int32_t day = 0;
	(void)state;
	assert_true(calendar_parse_day(&day, "1970-01-01"));
	assert_int_equal(day, 0);
	assert_true(calendar_parse_day(&day, "2024-02-29"));
	assert_int_equal(day, 19782);
	assert_false(calendar_parse_day(&day, "2023-02-29"));
	assert_false(calendar_parse_day(&day, "2024-13-01"));
	assert_false(calendar_parse_day(&day, "2024-1-011"));
	assert_false(calendar_parse_day(&day, "2024-00-10"));
	for (int32_t each = -150000; each < 150000; each++)
		assert_int_equal(calendar_day_of(calendar_date_of(each)), each);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(berlin),      cmocka_unit_test(new_york), cmocka_unit_test(agrees_with_libc),
		cmocka_unit_test(hours),       cmocka_unit_test(extremes), cmocka_unit_test(local_time),
		cmocka_unit_test(parses_days),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
