/* Times as text, in zones whose clocks are set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "calendar.h"
#include "timetext.h"

static struct timetext_zone zone;

static void use_zone(const char *name)
{
	assert_int_equal(calendar_set_zone(name), 0);
	zone = (struct timetext_zone){0};
}

/* The text is this moment, which is printed as `utc`. */
static void expect(const char *text, const char *utc)
{
	int64_t time_ns = 0;
	char printed[TIMETEXT_BYTES];
	if (timetext_parse(&zone, text, strlen(text), &time_ns) != TIMETEXT_OK)
		fail_msg("\"%s\" is refused", text);
	timetext_print(printed, time_ns);
	if (strcmp(printed, utc) != 0)
		fail_msg("\"%s\": %s, expected %s", text, printed, utc);
}

static void expect_error(const char *text, enum timetext_error error)
{
	int64_t time_ns = 77;
	enum timetext_error found = timetext_parse(&zone, text, strlen(text), &time_ns);
	if (found != error)
		fail_msg("\"%s\": result %d, expected %d", text, (int)found, (int)error);
	assert_int_equal(time_ns, 77);
}

static void test_rfc3339(void **state)
{
	(void)state;
	use_zone("Asia/Tokyo"); /* which must not matter */
	expect("2026-01-10T22:32:06Z", "2026-01-10T22:32:06.000000000Z");
	expect("2026-01-10t22:32:06z", "2026-01-10T22:32:06.000000000Z");
	expect("2026-01-10 22:32:06.5+01:00", "2026-01-10T21:32:06.500000000Z");
	expect("2026-01-10T00:30:00-08:30", "2026-01-10T09:00:00.000000000Z");
	expect("2026-04-20T11:45:09.572759+00:00", "2026-04-20T11:45:09.572759000Z");
	expect("2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000000000Z");
	expect("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000000Z");
	expect("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z");
	expect("1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43.145224192Z");
	expect("2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z");
	expect("2026-01-10T22:32:06.1234567885Z", "2026-01-10T22:32:06.123456788Z");
	expect("2026-01-10T22:32:06.1234567895Z", "2026-01-10T22:32:06.123456790Z");
	expect("2026-01-10T22:32:59.9999999999Z", "2026-01-10T22:33:00.000000000Z");
}

static void test_seconds(void **state)
{
	(void)state;
	expect("1776685494.855935", "2026-04-20T11:44:54.855935000Z");
	expect("0", "1970-01-01T00:00:00.000000000Z");
	expect("-1.5", "1969-12-31T23:59:58.500000000Z");
	expect("1.776685494855935e9", "2026-04-20T11:44:54.855935000Z");
	expect_error("1776685494855", TIMETEXT_RANGE);
}

static void test_bad(void **state)
{
	static const char *const syntax[] = {"",
					     "now",
					     "2026-01-10",
					     "2026-01-10T22:32",
					     "2026-01-10x22:32:06",
					     "2026-01-10T22:32:06.",
					     "2026-01-10T22:32:06.Z",
					     "2026-01-10T22:32:06+0100",
					     "2026-01-10T22:32:06+24:00",
					     "2026-01-10T22:32:06 UTC",
					     "2026-01-10T22:32:06ZZ",
					     "10.01.2026 22:32:06",
					     "22:32:06"};
	static const char *const dates[] = {"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
					    "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
					    "2026-01-01T00:00:61Z", "2026-01-01T0a:00:00Z", "2026-0x-01T00:00:00Z"};
	(void)state;
	for (size_t i = 0; i < sizeof(syntax) / sizeof(syntax[0]); i++)
		expect_error(syntax[i], TIMETEXT_SYNTAX);
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
		expect_error(dates[i], TIMETEXT_DATE);
	expect_error("2262-04-11T23:47:16.854775808Z", TIMETEXT_RANGE);
	expect_error("1677-09-21T00:12:43.145224191Z", TIMETEXT_RANGE);
	expect_error("9999-12-31T23:59:59Z", TIMETEXT_RANGE);
	expect_error("0000-01-01T00:00:00Z", TIMETEXT_RANGE);
}

static void test_local(void **state)
{
	(void)state;
	use_zone("UTC");
	expect("2023-11-16 18:17:03.9799600", "2023-11-16T18:17:03.979960000Z");
	use_zone("Europe/Berlin");
	expect("2026-01-10 22:32:06.413623", "2026-01-10T21:32:06.413623000Z");
	expect("2026-07-10T22:32:06", "2026-07-10T20:32:06.000000000Z");
	use_zone("Asia/Kathmandu");
	expect("2026-01-10 00:00:00", "2026-01-09T18:15:00.000000000Z");
}

/* Berlin 2026: set forward on 29 March at 02:00, back on 25 October at 03:00. */
static void test_clock_changes(void **state)
{
	(void)state;
	for (int remembered = 0; remembered < 2; remembered++) {
		use_zone("Europe/Berlin");
		if (remembered)
			expect("2026-03-28 12:00:00", "2026-03-28T11:00:00.000000000Z");
		expect("2026-03-29 01:59:59", "2026-03-29T00:59:59.000000000Z");
		expect("2026-03-29 02:30:00", "2026-03-29T01:30:00.000000000Z");
		expect("2026-03-29 03:00:00", "2026-03-29T01:00:00.000000000Z");
		if (remembered)
			expect("2026-10-24 12:00:00", "2026-10-24T10:00:00.000000000Z");
		expect("2026-10-25 01:59:59", "2026-10-24T23:59:59.000000000Z");
		expect("2026-10-25 02:00:00", "2026-10-25T00:00:00.000000000Z");
		expect("2026-10-25 02:59:59", "2026-10-25T00:59:59.000000000Z");
		expect("2026-10-25 03:00:00", "2026-10-25T02:00:00.000000000Z");
	}
	/* Apia left out 30 December 2011. */
	use_zone("Pacific/Apia");
	expect("2011-12-29 23:59:59", "2011-12-30T09:59:59.000000000Z");
	expect("2011-12-31 00:00:00", "2011-12-30T10:00:00.000000000Z");
	expect("2011-12-30 12:00:00", "2011-12-30T22:00:00.000000000Z");
	/* Lord Howe is set by half an hour. */
	use_zone("Australia/Lord_Howe");
	expect("2026-04-05 01:45:00", "2026-04-04T14:45:00.000000000Z");
}

/* What is remembered changes no result: hours of two years, forward and then each alone. */
static void test_remembered(void **state)
{
	(void)state;
	use_zone("America/New_York");
	for (int64_t hour = 490000; hour < 490000 + 2 * 366 * 24; hour++) {
		char text[TIMETEXT_BYTES];
		int64_t remembered, alone;
		struct timetext_zone none = {0};
		timetext_print(text, hour * 3600000000000 + 1800000000000);
		assert_int_equal(timetext_parse(&zone, text, 19, &remembered), TIMETEXT_OK);
		assert_int_equal(timetext_parse(&none, text, 19, &alone), TIMETEXT_OK);
		assert_int_equal(remembered, alone);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc3339), cmocka_unit_test(test_seconds),       cmocka_unit_test(test_bad),
		cmocka_unit_test(test_local),   cmocka_unit_test(test_clock_changes), cmocka_unit_test(test_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
