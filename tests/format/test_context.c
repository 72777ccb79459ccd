/* Names, the canonical context of a call's attributes, and what is taken from it again. */
#include "support.h"

#include "context.h"

static void names(void **state)
{
	char longest[UL_NAME_BYTES_MAX + 1];
	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_true(ul_name_is_valid("a", 1));
	assert_true(ul_name_is_valid("gpt-5 \"\\/ \xc3\xa9 \xf0\x9f\x98\x80", 17));
	assert_true(ul_name_is_valid(longest, UL_NAME_BYTES_MAX));
	assert_false(ul_name_is_valid(longest, UL_NAME_BYTES_MAX + 1));
	assert_false(ul_name_is_valid("", 0));
	static const char *const refused[] = {"a\n",       "\x1f", "\x7f", "\xc2\x80",
					      "a\xc2\x9f", "\xff", "\xc3", "\xed\xa0\x80"};
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		char *exact = test_exact_copy(refused[i], strlen(refused[i]));
		assert_false(ul_name_is_valid(exact, strlen(refused[i])));
		free(exact);
	}
	assert_false(ul_name_is_valid("a\0b", 3));
	assert_true(ul_name_is_valid("\xc2\xa0", 2));
}

static void builds_the_canonical_text(void **state)
{
	static const struct {
		struct ul_attributes attributes;
		const char *text;
	} cases[] = {
		{{0}, ""},
		{{.metadata = " { } "}, ""},
		{{.operation = "chat"}, "{\"operation\":\"chat\"}"},
		{{.metadata = "{\"z\": [1.0, {}], \"a\":\"\\u00e9\"}"},
		 "{\"metadata\":{\"a\":\"\xc3\xa9\",\"z\":[1.0,{}]}}"},
		{{.operation = "o",
		  .error_type = "e",
		  .service_tier = "t",
		  .session_id = "s",
		  .metadata = "{\"k\":null}"},
		 "{\"error_type\":\"e\",\"metadata\":{\"k\":null},\"operation\":\"o\",\"service_tier\":\"t\",\"session_"
		 "id\":\"s\"}"},
		{{.session_id = "a\"b\\c"}, "{\"session_id\":\"a\\\"b\\\\c\"}"},
		{{.service_tier = "x", .metadata = "{}"}, "{\"service_tier\":\"x\"}"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char out[UL_CONTEXT_BYTES_MAX];
		size_t bytes = 999999;
		assert_int_equal(ul_context_build(&cases[i].attributes, out, &bytes), UL_CONTEXT_OK);
		assert_int_equal(bytes, strlen(cases[i].text));
		assert_memory_equal(out, cases[i].text, bytes);
		assert_true(bytes == 0 || ul_context_is_valid(out, bytes));
	}
}

static void refuses_what_is_no_context(void **state)
{
	static const struct {
		struct ul_attributes attributes;
		enum ul_context_error error;
	} cases[] = {
		{{.operation = ""}, UL_CONTEXT_NAME},
		{{.error_type = "a\nb"}, UL_CONTEXT_NAME},
		{{.session_id = "\xff"}, UL_CONTEXT_NAME},
		{{.metadata = ""}, UL_CONTEXT_METADATA},
		{{.metadata = "[]"}, UL_CONTEXT_METADATA},
		{{.metadata = "null"}, UL_CONTEXT_METADATA},
		{{.metadata = "{\"a\":1}x"}, UL_CONTEXT_METADATA},
		{{.metadata = "{\"a\":1,\"\\u0061\":2}"}, UL_CONTEXT_METADATA},
		{{.metadata = "{\"a\":{\"b\":1,\"b\":1}}"}, UL_CONTEXT_METADATA},
	};
	char out[UL_CONTEXT_BYTES_MAX];
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t bytes = 12345;
		assert_int_equal(ul_context_build(&cases[i].attributes, out, &bytes), cases[i].error);
		assert_int_equal(bytes, 12345);
	}
	char name[UL_NAME_BYTES_MAX + 2];
	size_t bytes;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(ul_context_build(&(struct ul_attributes){.operation = name}, out, &bytes), UL_CONTEXT_NAME);
	name[UL_NAME_BYTES_MAX] = '\0';
	assert_int_equal(ul_context_build(&(struct ul_attributes){.operation = name}, out, &bytes), UL_CONTEXT_OK);
	assert_int_equal(bytes, UL_NAME_BYTES_MAX + strlen("{\"operation\":\"\"}"));
}

/* `{"metadata":{"k":"xx...x"}}` of exactly so many bytes. */
static enum ul_context_error build_of_length(size_t length, char *out, size_t *bytes)
{
	static char metadata[UL_CONTEXT_BYTES_MAX + 64];
	static const char before[] = "{\"k\":\"";
	size_t fill = length - strlen("{\"metadata\":{\"k\":\"\"}}");
	memcpy(metadata, before, strlen(before));
	memset(metadata + strlen(before), 'x', fill);
	strcpy(metadata + strlen(before) + fill, "\"}");
	return ul_context_build(&(struct ul_attributes){.metadata = metadata}, out, bytes);
}

static void length_is_bounded(void **state)
{
	char out[UL_CONTEXT_BYTES_MAX];
	size_t bytes = 0;
	(void)state;
	assert_int_equal(build_of_length(UL_CONTEXT_BYTES_MAX, out, &bytes), UL_CONTEXT_OK);
	assert_int_equal(bytes, UL_CONTEXT_BYTES_MAX);
	assert_true(ul_context_is_valid(out, bytes));
	assert_int_equal(build_of_length(UL_CONTEXT_BYTES_MAX + 1, out, &bytes), UL_CONTEXT_TOO_LONG);
	assert_int_equal(build_of_length(UL_CONTEXT_BYTES_MAX + 10, out, &bytes), UL_CONTEXT_TOO_LONG);
	char *long_text = malloc(UL_CONTEXT_BYTES_MAX + 1);
	assert_non_null(long_text);
	memset(long_text, ' ', UL_CONTEXT_BYTES_MAX + 1);
	assert_false(ul_context_is_valid(long_text, UL_CONTEXT_BYTES_MAX + 1));
	free(long_text);
}

/* A context is 32 levels deep at most, and metadata is its second. */
static void depth_is_bounded(void **state)
{
	char out[UL_CONTEXT_BYTES_MAX];
	(void)state;
	for (size_t depth = 1; depth <= 40; depth++) {
		char text[512] = "";
		size_t bytes;
		for (size_t i = 0; i < depth; i++)
			strcat(text, "{\"a\":");
		strcat(text, "1");
		for (size_t i = 0; i < depth; i++)
			strcat(text, "}");
		assert_int_equal(ul_context_build(&(struct ul_attributes){.metadata = text}, out, &bytes),
				 depth <= 31 ? UL_CONTEXT_OK : UL_CONTEXT_METADATA);
	}
}

static void only_canonical_texts_are_valid(void **state)
{
	static const char *const valid[] = {
		"{}",
		"{\"operation\":\"chat\"}",
		"{\"metadata\":{\"a\":[1,2],\"b\":{}},\"session_id\":\"\xc3\xa9\"}",
		"{\"metadata\":{\"\":\"\\u0000\"}}",
	};
	static const char *const invalid[] = {
		"",
		"{",
		"[]",
		" {}",
		"{} ",
		"{\"operation\": \"chat\"}",
		"{\"operation\":\"\"}",
		"{\"operation\":1}",
		"{\"operation\":\"\\u0001\"}",
		"{\"operation\":\"\\u0063hat\"}",
		"{\"operation\":\"a\",\"operation\":\"a\"}",
		"{\"operation\":\"a\",\"error_type\":\"b\"}",
		"{\"other\":\"a\"}",
		"{\"metadata\":{}}",
		"{\"metadata\":{\"a\":[1, 2]}}",
		"{\"metadata\":[]}",
		"{\"metadata\":\"x\"}",
		"{\"metadata\":{\"b\":1,\"a\":2}}",
		"{\"metadata\":{\"a\":\"\\n\"}}",
		"{\"metadata\":{\"a\":\"\\u000A\"}}",
		"{\"metadata\":{\"a\":\"\x7f\"}}",
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(valid); i++)
		assert_true(ul_context_is_valid(valid[i], strlen(valid[i])));
	for (size_t i = 0; i < COUNT_OF(invalid); i++) {
		char *exact = test_exact_copy(invalid[i], strlen(invalid[i]));
		if (ul_context_is_valid(exact, strlen(invalid[i])))
			fail_msg("taken: %s", invalid[i]);
		free(exact);
	}
}

static void dimensions_are_a_part(void **state)
{
	static const char whole[] = "{\"error_type\":\"429\",\"metadata\":{\"a\\\"b\":[2],\"team\":\"x\",\"user\":{"
				    "\"n\":1},\"\xc3\xa9\":1},"
				    "\"operation\":\"chat\",\"session_id\":\"s\"}";
	static const struct {
		const char *context;
		const char *group_by[3];
		const char *dimensions;
	} cases[] = {
		{"", {"user"}, "{}"},
		{"{}", {"user"}, "{}"},
		{"{\"metadata\":{\"a\":1}}", {NULL}, "{}"},
		{"{\"metadata\":{\"a\":1}}", {"b"}, "{}"},
		{"{\"metadata\":{\"a\":1}}", {"a"}, "{\"metadata\":{\"a\":1}}"},
		{"{\"service_tier\":\"flex\"}", {NULL}, "{\"service_tier\":\"flex\"}"},
		{whole, {NULL}, "{\"error_type\":\"429\",\"operation\":\"chat\",\"session_id\":\"s\"}"},
		{whole,
		 {"user", "team"},
		 "{\"error_type\":\"429\",\"metadata\":{\"team\":\"x\",\"user\":{\"n\":1}},\"operation\":\"chat\","
		 "\"session_id\":\"s\"}"},
		{whole,
		 {"a\"b", "n"},
		 "{\"error_type\":\"429\",\"metadata\":{\"a\\\"b\":[2]},\"operation\":\"chat\",\"session_id\":\"s\"}"},
	};
	(void)state;
	assert_true(ul_context_is_valid(whole, strlen(whole)));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char out[UL_CONTEXT_BYTES_MAX];
		size_t count = 0;
		while (count < 3 && cases[i].group_by[count])
			count++;
		size_t bytes = ul_context_dimensions(cases[i].context, strlen(cases[i].context), cases[i].group_by,
						     count, out);
		assert_int_equal(bytes, strlen(cases[i].dimensions));
		assert_memory_equal(out, cases[i].dimensions, bytes);
		assert_true(ul_context_is_valid(out, bytes));
	}
}

static void strings_are_found(void **state)
{
	static const char text[] = "{\"metadata\":{\"operation\":\"no\"},\"operation\":\"a\\\"b\\\\\"}";
	char out[UL_NAME_BYTES_MAX + 1];
	(void)state;
	assert_true(ul_context_is_valid(text, strlen(text)));
	assert_int_equal(ul_context_string(text, strlen(text), "operation", out), 4);
	assert_string_equal(out, "a\"b\\");
	assert_int_equal(ul_context_string(text, strlen(text), "error_type", out), 0);
	assert_string_equal(out, "");
	assert_int_equal(ul_context_string(text, strlen(text), "metadata", out), 0);
	assert_int_equal(ul_context_string("", 0, "operation", out), 0);
}

static void model_texts(void **state)
{
	size_t provider_bytes = 77;
	(void)state;
	assert_true(ul_model_text_is_valid("openai\0gpt-5", 12, &provider_bytes));
	assert_int_equal(provider_bytes, 6);
	provider_bytes = 77;
	assert_false(ul_model_text_is_valid("openai", 6, &provider_bytes));
	assert_false(ul_model_text_is_valid("openai\0", 7, &provider_bytes));
	assert_false(ul_model_text_is_valid("\0gpt-5", 6, &provider_bytes));
	assert_false(ul_model_text_is_valid("a\0b\0c", 5, &provider_bytes));
	assert_false(ul_model_text_is_valid("a\0b\n", 4, &provider_bytes));
	assert_false(ul_model_text_is_valid("", 0, &provider_bytes));
	assert_int_equal(provider_bytes, 77);
	char text[2 * UL_NAME_BYTES_MAX + 2];
	memset(text, 'm', sizeof(text));
	text[UL_NAME_BYTES_MAX] = '\0';
	assert_true(ul_model_text_is_valid(text, 2 * UL_NAME_BYTES_MAX + 1, &provider_bytes));
	assert_false(ul_model_text_is_valid(text, 2 * UL_NAME_BYTES_MAX + 2, &provider_bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(builds_the_canonical_text),
		cmocka_unit_test(refuses_what_is_no_context),
		cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(only_canonical_texts_are_valid),
		cmocka_unit_test(dimensions_are_a_part),
		cmocka_unit_test(strings_are_found),
		cmocka_unit_test(model_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
