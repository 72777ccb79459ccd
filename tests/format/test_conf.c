/* log.conf: what is printed is parsed again, and nothing else. */
#include "support.h"

#include <stdio.h>

#include "conf.h"
#include "seal.h"
#include "slot.h"

static char text_out[UL_CONF_BYTES_MAX];

/* A conf of string constants; only its copies are ever cleared. */
static struct ul_conf sample(void)
{
	static char zone[] = "Europe/Berlin", backup[] = "/mnt/backup dir/\xc3\xa9", emergency[] = "/tmp/x",
		    summary[] = "summary.json", user[] = "user", team[] = "team";
	struct ul_conf conf = {
		.time_zone = zone,
		.fallbacks = {backup, emergency},
		.fallback_count = 2,
		.summary = summary,
		.retention_days = 4294967295,
		.group_by = {user, team},
		.group_by_count = 2,
	};
	assert_true(ul_id_parse(&conf.log_id, "00112233445566778899aabbccddeeff"));
	return conf;
}

/* Put the checksum's line behind a text and parse it, from memory that ends where the text ends. */
static enum ul_conf_error parse_sealed(const char *text)
{
	static char sealed[2048];
	struct ul_conf conf = {.retention_days = 99};
	int bytes = snprintf(sealed, sizeof(sealed), "%schecksum %016llx\n", text,
			     (unsigned long long)XXH3_64bits(text, strlen(text)));
	assert_true(bytes > 0 && (size_t)bytes < sizeof(sealed));
	char *exact = test_exact_copy(sealed, (size_t)bytes);
	enum ul_conf_error error = ul_conf_parse(&conf, exact, (size_t)bytes);
	if (error)
		assert_int_equal(conf.retention_days, 99);
	else
		ul_conf_clear(&conf);
	free(exact);
	return error;
}

#define ID_LINE "log_id 00112233445566778899aabbccddeeff\n"

static void prints_what_the_format_says(void **state)
{
	static const char wanted[] =
		"usagelog 1\n" ID_LINE "time_zone Europe/Berlin\nfallback /mnt/backup dir/\xc3\xa9\n"
		"fallback /tmp/x\nsummary summary.json\nretention_days 4294967295\ngroup_by user\n"
		"group_by team\nchecksum ";
	struct ul_conf conf = sample();
	size_t bytes = ul_conf_print(&conf, text_out);
	(void)state;
	assert_int_equal(bytes, strlen(wanted) + 17);
	assert_memory_equal(text_out, wanted, strlen(wanted));
}

static void parses_what_it_prints(void **state)
{
	struct ul_conf conf = sample();
	struct ul_conf found;
	size_t bytes = ul_conf_print(&conf, text_out);
	(void)state;
	assert_int_equal(ul_conf_parse(&found, text_out, bytes), UL_CONF_OK);
	assert_memory_equal(&found.log_id, &conf.log_id, sizeof(conf.log_id));
	assert_string_equal(found.time_zone, conf.time_zone);
	assert_int_equal(found.fallback_count, 2);
	assert_string_equal(found.fallbacks[0], conf.fallbacks[0]);
	assert_string_equal(found.fallbacks[1], conf.fallbacks[1]);
	assert_string_equal(found.summary, conf.summary);
	assert_int_equal(found.retention_days, 4294967295);
	assert_int_equal(found.group_by_count, 2);
	assert_string_equal(found.group_by[0], "user");
	assert_string_equal(found.group_by[1], "team");
	ul_conf_clear(&found);
	assert_null(found.time_zone);
}

static void every_change_is_seen(void **state)
{
	struct ul_conf conf = sample();
	struct ul_conf found;
	size_t bytes = ul_conf_print(&conf, text_out);
	char *exact = test_exact_copy(text_out, bytes);
	(void)state;
	for (size_t i = 0; i < bytes; i++) {
		for (int bit = 0; bit < 8; bit++) {
			exact[i] = (char)(text_out[i] ^ 1 << bit);
			assert_int_not_equal(ul_conf_parse(&found, exact, bytes), UL_CONF_OK);
		}
		exact[i] = text_out[i];
	}
	free(exact);
	for (size_t shorter = 0; shorter < bytes; shorter++) {
		exact = test_exact_copy(text_out, shorter);
		assert_int_equal(ul_conf_parse(&found, exact, shorter), UL_CONF_DAMAGED);
		free(exact);
	}
	text_out[bytes] = '\n';
	assert_int_equal(ul_conf_parse(&found, text_out, bytes + 1), UL_CONF_DAMAGED);
}

static void refuses_other_shapes(void **state)
{
	static const char *const cases[] = {
		"",
		"usagelog 1\n",
		"usagelog 0\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 01\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 1 \n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n",
		"Usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 1\r\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 1\ntime_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "summary s\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\n",
		"usagelog 1\n" ID_LINE "summary s\ntime_zone UTC\nretention_days 0\n",
		"usagelog 1\n" ID_LINE ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 1\nlog_id 00112233445566778899AABBCCDDEEFF\ntime_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 1\nlog_id 00112233445566778899aabbccddeef\ntime_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 1\nlog_id 00112233445566778899aabbccddeefff\ntime_zone UTC\nsummary s\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone \nsummary s\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone\nsummary s\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary a\tb\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary a\x7f\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary a\xff\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days -1\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 00\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 4294967296\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 99999999999999999999\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 1d\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nfallback rel\nsummary s\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nfallback /a\nretention_days 0\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\nother x\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n\n",
		"usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0",
		"usagelog 1\n" ID_LINE
		"time_zone UTC\nfallback /1\nfallback /2\nfallback /3\nfallback /4\nfallback /5\n"
		"fallback /6\nfallback /7\nfallback /8\nfallback /9\nsummary s\nretention_days 0\n",
		"usagelog 1\n" ID_LINE
		"time_zone UTC\nsummary s\nretention_days 0\ngroup_by 1\ngroup_by 2\ngroup_by 3\n"
		"group_by 4\ngroup_by 5\ngroup_by 6\ngroup_by 7\ngroup_by 8\ngroup_by 9\ngroup_by 10\ngroup_by 11\n"
		"group_by 12\ngroup_by 13\ngroup_by 14\ngroup_by 15\ngroup_by 16\ngroup_by 17\n",
	};
	(void)state;
	assert_int_equal(parse_sealed("usagelog 1\n" ID_LINE "time_zone UTC\nsummary s\nretention_days 0\n"),
			 UL_CONF_OK);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (parse_sealed(cases[i]) != UL_CONF_DAMAGED)
			fail_msg("case %zu: %s", i, cases[i]);
}

static void a_newer_version_is_told_apart(void **state)
{
	struct ul_conf conf;
	(void)state;
	assert_int_equal(parse_sealed("usagelog 2\nanything\n"), UL_CONF_NEWER);
	assert_int_equal(parse_sealed("usagelog 18446744073709551617\n"), UL_CONF_NEWER);
	/* What follows may be sealed in another way, so a first line that is whole is believed. */
	assert_int_equal(ul_conf_parse(&conf, "usagelog 10\n", 12), UL_CONF_NEWER);
	assert_int_equal(ul_conf_parse(&conf, "usagelog 10", 11), UL_CONF_DAMAGED);
	assert_int_equal(ul_conf_parse(&conf, "usagelog 2a\n", 12), UL_CONF_DAMAGED);
}

static void values(void **state)
{
	char longest[UL_CONF_VALUE_BYTES_MAX + 2];
	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[UL_CONF_VALUE_BYTES_MAX + 1] = '\0';
	assert_false(ul_conf_value_is_valid(longest));
	longest[UL_CONF_VALUE_BYTES_MAX] = '\0';
	assert_true(ul_conf_value_is_valid(longest));
	assert_true(ul_conf_value_is_valid("a b \xc3\xa9"));
	assert_false(ul_conf_value_is_valid(""));
	assert_false(ul_conf_value_is_valid("a\n"));
	assert_false(ul_conf_value_is_valid("\x7f"));
	assert_false(ul_conf_value_is_valid("\xc3"));
}

static void prints_only_what_is_allowed(void **state)
{
	static char empty[] = "", control[] = "a\nb", relative[] = "rel";
	static char longest[UL_CONF_VALUE_BYTES_MAX + 1];
	(void)state;
	struct ul_conf conf = sample();
	conf.time_zone = empty;
	assert_int_equal(ul_conf_print(&conf, text_out), 0);
	conf = sample();
	conf.time_zone = NULL;
	assert_int_equal(ul_conf_print(&conf, text_out), 0);
	conf = sample();
	conf.group_by[1] = control;
	assert_int_equal(ul_conf_print(&conf, text_out), 0);
	conf = sample();
	conf.fallbacks[0] = relative;
	assert_int_equal(ul_conf_print(&conf, text_out), 0);
	conf = sample();
	conf.group_by_count = UL_CONF_GROUP_BY_MAX + 1;
	assert_int_equal(ul_conf_print(&conf, text_out), 0);
	/* 17 values of the greatest length exceed 64 KiB; 15 do not. */
	memset(longest, '/', sizeof(longest) - 1);
	conf = sample();
	conf.time_zone = longest;
	conf.group_by_count = 16;
	for (size_t i = 0; i < 16; i++)
		conf.group_by[i] = longest;
	assert_int_equal(ul_conf_print(&conf, text_out), 0);
	conf.group_by_count = 14;
	size_t bytes = ul_conf_print(&conf, text_out);
	assert_true(bytes > 15 * UL_CONF_VALUE_BYTES_MAX);
	struct ul_conf found;
	assert_int_equal(ul_conf_parse(&found, text_out, bytes), UL_CONF_OK);
	ul_conf_clear(&found);
}

/* As many of each as may be, and a text of exactly 64 KiB; one byte more is too long. */
static void the_longest_conf(void **state)
{
	static char value[UL_CONF_VALUE_BYTES_MAX + 1];
	static char rest[UL_CONF_VALUE_BYTES_MAX + 1];
	static char name[] = "/f";
	struct ul_conf conf = sample();
	struct ul_conf found;
	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	conf.fallback_count = UL_CONF_FALLBACKS_MAX;
	conf.group_by_count = UL_CONF_GROUP_BY_MAX;
	for (size_t i = 0; i < UL_CONF_FALLBACKS_MAX; i++)
		conf.fallbacks[i] = name;
	for (size_t i = 0; i < UL_CONF_GROUP_BY_MAX; i++)
		conf.group_by[i] = i < 15 ? value : name;
	conf.group_by[15] = rest;
	rest[0] = 'r';
	size_t bytes = ul_conf_print(&conf, text_out);
	assert_true(bytes > 0 && bytes < UL_CONF_BYTES_MAX);
	memset(rest, 'r', UL_CONF_BYTES_MAX - bytes + 1);
	assert_int_equal(ul_conf_print(&conf, text_out), UL_CONF_BYTES_MAX);
	assert_int_equal(ul_conf_parse(&found, text_out, UL_CONF_BYTES_MAX), UL_CONF_OK);
	assert_int_equal(found.fallback_count, UL_CONF_FALLBACKS_MAX);
	assert_int_equal(found.group_by_count, UL_CONF_GROUP_BY_MAX);
	ul_conf_clear(&found);
	rest[strlen(rest)] = 'r';
	assert_int_equal(ul_conf_print(&conf, text_out), 0);
}

static void settings_depend_on_zone_and_keys_only(void **state)
{
	struct ul_conf conf = sample();
	uint64_t settings = ul_conf_settings(&conf);
	(void)state;
	assert_true(settings == XXH3_64bits("Europe/Berlin\0user\0team", 23));
	conf.retention_days = 1;
	conf.fallback_count = 0;
	assert_true(ul_conf_settings(&conf) == settings);
	conf.group_by_count = 1;
	assert_true(ul_conf_settings(&conf) == XXH3_64bits("Europe/Berlin\0user", 18));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_what_the_format_says),
		cmocka_unit_test(parses_what_it_prints),
		cmocka_unit_test(every_change_is_seen),
		cmocka_unit_test(refuses_other_shapes),
		cmocka_unit_test(a_newer_version_is_told_apart),
		cmocka_unit_test(values),
		cmocka_unit_test(prints_only_what_is_allowed),
		cmocka_unit_test(the_longest_conf),
		cmocka_unit_test(settings_depend_on_zone_and_keys_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
