/* JSON on its way out: its shape, its numbers, and what a string may hold. */
#include "support.h"

#include <string.h>

#include "json.h"
#include "json_text.h"

static const struct ul_text none;

static void expect(struct json_text *json, const char *wanted)
{
	assert_int_equal(json->error, 0);
	assert_string_equal(json->text, wanted);
	assert_int_equal(json->bytes, strlen(wanted));
	assert_int_not_equal(ul_json_parse(json->text, json->bytes).type, UL_JSON_ERROR);
	json_text_clear(json);
}

static void shape(void **state)
{
	struct json_text json = {0};
	(void)state;
	json_begin_object(&json, none);
	json_begin_array(&json, json_key("empty"));
	json_end(&json);
	json_begin_array(&json, json_key("two"));
	json_null(&json, none);
	json_boolean(&json, none, true);
	json_end(&json);
	json_in_a_line(&json);
	json_begin_object(&json, json_key("line"));
	json_integer(&json, json_key("a"), 1);
	json_in_a_line(&json);
	json_begin_object(&json, json_key("inner"));
	json_integer(&json, json_key(""), -2);
	json_end(&json);
	json_end(&json);
	json_verbatim(&json, json_key("as it is"), json_key("[1.50]"));
	json_end(&json);
	expect(&json, "{\n\t\"empty\": [],\n\t\"two\": [\n\t\tnull,\n\t\ttrue\n\t],\n\t\"line\": {\"a\": 1, \"inner\": "
		      "{\"\": -2}},\n"
		      "\t\"as it is\": [1.50]\n}");
}

static void dense(void **state)
{
	struct json_text json = {.dense = true};
	(void)state;
	json_begin_object(&json, none);
	json_begin_array(&json, json_key("a b"));
	json_null(&json, none);
	json_string(&json, none, json_key("c, d"));
	json_end(&json);
	json_in_a_line(&json);
	json_begin_object(&json, json_key("line"));
	json_integer(&json, json_key("e"), 1);
	json_integer(&json, json_key("f"), 2);
	json_end(&json);
	json_end(&json);
	expect(&json, "{\"a b\":[null,\"c, d\"],\"line\":{\"e\":1,\"f\":2}}");
}

static void numbers(void **state)
{
	struct json_text json = {0};
	(void)state;
	json_in_a_line(&json);
	json_begin_array(&json, none);
	json_integer(&json, none, INT64_MIN);
	json_integer(&json, none, INT64_MAX);
	json_exact(&json, none, INT64_MIN);
	json_thousandths(&json, none, 80123);
	json_thousandths(&json, none, 80120);
	json_thousandths(&json, none, 80000);
	json_thousandths(&json, none, 0);
	json_thousandths(&json, none, -7);
	json_thousandths(&json, none, -1007);
	json_thousandths(&json, none, INT64_MIN);
	json_money(&json, none, (money_t)INT64_MAX * 4);
	json_money_exact(&json, none, -1);
	json_end(&json);
	expect(&json,
	       "[-9223372036854775808, 9223372036854775807, \"-9223372036854775808\", 80.123, 80.12, 80, 0, -0.007, "
	       "-1.007, -9223372036854775.808, 36893488.147419103228, \"-0.000000000001\"]");
}

static void strings(void **state)
{
	struct json_text json = {0};
	(void)state;
	json_string(&json, none, (struct ul_text){"a\"\\\n\0\x7f\xc3\xa9", 8});
	expect(&json, "\"a\\\"\\\\\\u000a\\u0000\\u007f\xc3\xa9\"");
	/* Long enough for several steps of memory. */
	static char text[100000];
	memset(text, 1, sizeof(text));
	json_begin_array(&json, none);
	json_string(&json, none, (struct ul_text){text, sizeof(text)});
	json_end(&json);
	assert_int_equal(json.bytes, strlen("[\n\t\"\"\n]") + 6 * sizeof(text));
	json_text_clear(&json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shape),
		cmocka_unit_test(dense),
		cmocka_unit_test(numbers),
		cmocka_unit_test(strings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
