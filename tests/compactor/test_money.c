/* Money as text. */
#include "support.h"

#include "money.h"

static void expect_exact(money_t amount, const char *wanted)
{
	char text[MONEY_TEXT_BYTES];
	assert_int_equal(money_print(text, amount), (int)__builtin_strlen(wanted));
	assert_string_equal(text, wanted);
}

static void exact(void **state)
{
	(void)state;
	expect_exact(0, "0");
	expect_exact(1, "0.000000000001");
	expect_exact(-1, "-0.000000000001");
	expect_exact(200000000, "0.0002");
	expect_exact((money_t)3625000000000, "3.625");
	expect_exact((money_t)-12500000000000, "-12.5");
	expect_exact(INT64_MAX, "9223372.036854775807");
	expect_exact(INT64_MIN, "-9223372.036854775808");
	money_t most = (money_t)(~(unsigned __int128)0 >> 1);
	expect_exact(most, "170141183460469231731687303.715884105727");
	expect_exact(-most - 1, "-170141183460469231731687303.715884105728");
}

static void shown(void **state)
{
	char text[MONEY_SHOWN_BYTES];
	(void)state;
	money_show(text, (money_t)1234567891200000000, 2);
	assert_string_equal(text, "1,234,567.89");
	money_show(text, (money_t)995000000000, 2);
	assert_string_equal(text, "1.00"); /* half up */
	money_show(text, -1, 4);
	assert_string_equal(text, "0.0000"); /* no negative zero */
	money_show(text, (money_t)-1500000000000, 0);
	assert_string_equal(text, "-2");
	count_show(text, INT64_MIN);
	assert_string_equal(text, "-9,223,372,036,854,775,808");
	count_show(text, 999);
	assert_string_equal(text, "999");
}

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *shown;
	} cases[] = {
		{0, "0 B"},
		{1023, "1023 B"},
		{1024, "1.0 KiB"},
		{1024 * 1024 - 1, "1023.9 KiB"},
		{1024 * 1024, "1.0 MiB"},
		{1288490189, "1.2 GiB"},
		{UINT64_MAX, "15.9 EiB"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[MONEY_SHOWN_BYTES];
		size_show(text, cases[i].bytes);
		assert_string_equal(text, cases[i].shown);
	}
}

static void stored(void **state)
{
	(void)state;
	money_t amounts[] = {0, 1, -1, INT64_MIN, (money_t)INT64_MAX * 4, (money_t)INT64_MIN * 4};
	for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++)
		assert_true(money_of(money_stored(amounts[i])) == amounts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact),
		cmocka_unit_test(shown),
		cmocka_unit_test(sizes),
		cmocka_unit_test(stored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
