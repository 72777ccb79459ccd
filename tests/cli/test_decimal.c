/* Decimal text to integers: exact, halves to even, and errors where there is no integer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "decimal.h"

static void expect(const char *text, int scale, int64_t value)
{
	int64_t found = -77;
	assert_int_equal(decimal_parse(text, strlen(text), scale, &found), DECIMAL_OK);
	if (found != value)
		fail_msg("%s * 10^%d: %lld, expected %lld", text, scale, (long long)found, (long long)value);
}

static void expect_error(const char *text, int scale, enum decimal_error error)
{
	int64_t found = -77;
	if (decimal_parse(text, strlen(text), scale, &found) != error)
		fail_msg("\"%s\" * 10^%d: another error than expected", text, scale);
	assert_int_equal(found, -77);
}

static void test_exact(void **state)
{
	(void)state;
	expect("0", 12, 0);
	expect("-0", 12, 0);
	expect("1", 12, 1000000000000);
	expect("0.0002", 12, 200000000);
	expect("2e-05", 12, 20000000);
	expect("2E-5", 12, 20000000);
	expect("+1.5", 3, 1500);
	expect(".5", 3, 500);
	expect("5.", 3, 5000);
	expect("-12.5", 12, -12500000000000);
	expect("000000000000000000000000000001", 0, 1);
	expect("1776685494.855935", 9, 1776685494855935000);
	expect("9007199254740993", 0, 9007199254740993); /* a double has it not */
	expect("0.000000000000000000000001e24", 0, 1);
	expect("123456789e-9", 9, 123456789);
}

static void test_rounding(void **state)
{
	(void)state;
	expect("0.5", 0, 0);
	expect("1.5", 0, 2);
	expect("2.5", 0, 2);
	expect("-2.5", 0, -2);
	expect("-3.5", 0, -4);
	expect("2.50000000000000000000000000000000001", 0, 3);
	expect("2.49999999999999999999999999999999999", 0, 2);
	expect("0.0000000000005", 12, 0);
	expect("0.0000000000015", 12, 2);
	expect("0.0000000000004999", 12, 0);
	expect("0.05", 0, 0);
	expect("0.99", 0, 1);
	expect("9.5", 0, 10);
	expect("14716.823816299438", 3, 14716824);
	expect("1e-1000000000000", 12, 0);
}

static void test_limits(void **state)
{
	(void)state;
	expect("9223372036854775807", 0, INT64_MAX);
	expect("-9223372036854775808", 0, INT64_MIN);
	expect("9223372036854775807.4", 0, INT64_MAX);
	expect("0e999999999999999999999", 12, 0);
	expect_error("9223372036854775808", 0, DECIMAL_RANGE);
	expect_error("9223372036854775807.5", 0, DECIMAL_RANGE);
	expect_error("-9223372036854775809", 0, DECIMAL_RANGE);
	expect_error("99999999999999999999", 0, DECIMAL_RANGE);
	expect_error("1e19", 0, DECIMAL_RANGE);
	expect_error("1e999999999999999999999", 0, DECIMAL_RANGE);
	expect_error("9223373", 12, DECIMAL_RANGE);
}

static void test_syntax(void **state)
{
	static const char *const bad[] = {"",    "-",   "+",   ".",  "e5", "1e",  "1e+",   "1e-", "1.2.3", "1,5",
					  "0x1", "nan", "inf", " 1", "1 ", "--1", "1e1.5", "1f",  "1e5e5", "१"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_error(bad[i], 0, DECIMAL_SYNTAX);
	int64_t found;
	/* The bytes count, not a zero behind them. */
	assert_int_equal(decimal_parse("12345", 2, 0, &found), DECIMAL_OK);
	assert_int_equal(found, 12);
	assert_int_equal(decimal_parse("1\0", 2, 0, &found), DECIMAL_SYNTAX);
	assert_int_equal(decimal_parse(NULL, 0, 0, &found), DECIMAL_SYNTAX);
}

static void expect_count(const char *text, enum decimal_error error, uint64_t value)
{
	uint64_t found = 77;
	if (decimal_parse_count(text, strlen(text), UINT32_MAX, &found) != error)
		fail_msg("count \"%s\": another result than expected", text);
	assert_int_equal(found, error ? 77 : value);
}

static void test_counts(void **state)
{
	(void)state;
	expect_count("0", DECIMAL_OK, 0);
	expect_count("-0", DECIMAL_OK, 0);
	expect_count("4294967295", DECIMAL_OK, UINT32_MAX);
	expect_count("100.0", DECIMAL_OK, 100);
	expect_count("1e2", DECIMAL_OK, 100);
	expect_count("0000000000000000000007", DECIMAL_OK, 7);
	expect_count("4294967296", DECIMAL_RANGE, 0);
	expect_count("18446744073709551617", DECIMAL_RANGE, 0);
	expect_count("-1", DECIMAL_NEGATIVE, 0);
	expect_count("-0.001", DECIMAL_NEGATIVE, 0);
	expect_count("1.5", DECIMAL_FRACTION, 0);
	expect_count("0.001", DECIMAL_FRACTION, 0);
	expect_count("4294967295.0000000000000000000001", DECIMAL_FRACTION, 0);
	expect_count("ten", DECIMAL_SYNTAX, 0);
	expect_count("", DECIMAL_SYNTAX, 0);
}

static void test_positive(void **state)
{
	uint64_t found = 77;
	(void)state;
	assert_int_equal(decimal_parse_positive("4294967.295", 11, 3, UINT32_MAX, &found), DECIMAL_OK);
	assert_int_equal(found, UINT32_MAX);
	assert_int_equal(decimal_parse_positive("4294967.2956", 12, 3, UINT32_MAX, &found), DECIMAL_RANGE);
	assert_int_equal(decimal_parse_positive("-0.1", 4, 3, UINT32_MAX, &found), DECIMAL_NEGATIVE);
	assert_int_equal(found, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),  cmocka_unit_test(test_rounding), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_syntax), cmocka_unit_test(test_counts),   cmocka_unit_test(test_positive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
