/* The JSON scanner: what it takes, what it refuses and where, and that the canonical form is one. */
#include "support.h"

#include <stdio.h>
#include <time.h>

#include "json.h"

static struct ul_json_span parse(const char *text)
{
	return ul_json_parse(text, strlen(text));
}

static void takes_every_kind_of_value(void **state)
{
	static const struct {
		const char *text;
		enum ul_json_type type;
		const char *value;
	} cases[] = {
		{"null", UL_JSON_NULL, "null"},
		{" true ", UL_JSON_TRUE, "true"},
		{"\t\r\nfalse\n", UL_JSON_FALSE, "false"},
		{"0", UL_JSON_NUMBER, "0"},
		{"-0", UL_JSON_NUMBER, "-0"},
		{"-0.0e-00", UL_JSON_NUMBER, "-0.0e-00"},
		{"9007199254740993", UL_JSON_NUMBER, "9007199254740993"},
		{"1.50E+3", UL_JSON_NUMBER, "1.50E+3"},
		{"\"\"", UL_JSON_STRING, "\"\""},
		{" \"a\\\"b\" ", UL_JSON_STRING, "\"a\\\"b\""},
		{"\"\x7f\"", UL_JSON_STRING, "\"\x7f\""},
		{"\"\\/\\b\\f\\n\\r\\t\\\\\\u0000\"", UL_JSON_STRING, "\"\\/\\b\\f\\n\\r\\t\\\\\\u0000\""},
		{"[]", UL_JSON_ARRAY, "[]"},
		{"[ ]", UL_JSON_ARRAY, "[ ]"},
		{"{ }", UL_JSON_OBJECT, "{ }"},
		{" [1 , [ ] , {} ] ", UL_JSON_ARRAY, "[1 , [ ] , {} ]"},
		{"{\"a\" : {\"b\":[null]} , \"a\":1}", UL_JSON_OBJECT, "{\"a\" : {\"b\":[null]} , \"a\":1}"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ul_json_span span = parse(cases[i].text);
		assert_int_equal(span.type, cases[i].type);
		assert_int_equal(span.bytes, strlen(cases[i].value));
		assert_memory_equal(span.text, cases[i].value, span.bytes);
	}
}

static void refuses_what_is_not_json_and_says_where(void **state)
{
	static const struct {
		const char *text;
		size_t wrong;
	} cases[] = {
		{"", 0},
		{"  ", 2},
		{"nul", 3},
		{"nulL", 3},
		{"True", 0},
		{"1 2", 2},
		{"01", 1},
		{"-", 1},
		{"+1", 0},
		{".5", 0},
		{"1.", 2},
		{"1.e3", 2},
		{"1e", 2},
		{"1e+", 3},
		{"0x10", 1},
		{"NaN", 0},
		{"'a'", 0},
		{"\"a", 2},
		{"\"a\nb\"", 2},
		{"\"\x1f\"", 1},
		{"\"a\\x\"", 2},
		{"\"a\\", 2},
		{"\"a\\u12\"", 2},
		{"\"a\\u12g4\"", 2},
		{"[1,]", 3},
		{"[,1]", 1},
		{"[1 2]", 3},
		{"[1", 2},
		{"[1}", 2},
		{"]", 0},
		{"{\"a\"}", 4},
		{"{\"a\":}", 5},
		{"{\"a\":1,}", 7},
		{"{a:1}", 1},
		{"{1:1}", 1},
		{"{\"a\":1 \"b\":2}", 7},
		{"{\"a\":1]", 6},
		{"{,}", 1},
		{"{:1}", 1},
		{"{} {}", 3},
		{"\xef\xbb\xbf{}", 0},
		{"//c\n1", 0},
		/* Surrogates that are alone, in the wrong order, or not escaped. */
		{"\"\\ud83d\"", 1},
		{"\"\\ude00\"", 1},
		{"\"\\ud83d\\u0041\"", 1},
		{"\"\\ud83dx\"", 1},
		{"\"\\udc00\"", 1},
		{"\"\\udfff\"", 1},
		{"\"\\udbff\"", 1},
		{"\"\\ud83d\\udbff\"", 1},
		{"\"\\ud83d\\ue000\"", 1},
		{"\"\\ude00\\ud83d\"", 1},
		{"\"\xed\xa0\xbd\"", 1},
		/* Not UTF-8: a byte out of place, overlong forms, beyond U+10FFFF, cut short. */
		{"\"a\x80\"", 2},
		{"\"\xff\"", 1},
		{"\"\xc0\x80\"", 1},
		{"\"\xc1\xbf\"", 1},
		{"\"\xe0\x80\x80\"", 1},
		{"\"\xf0\x8f\xbf\xbf\"", 1},
		{"\"\xf4\x90\x80\x80\"", 1},
		{"\"\xf5\x80\x80\x80\"", 1},
		{"\"\xc3\"", 1},
		{"\"\xe2\x82\"", 1},
		{"\"\xe2\x82", 1},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t bytes = strlen(cases[i].text);
		char *exact = test_exact_copy(cases[i].text, bytes);
		struct ul_json_span span = ul_json_parse(exact, bytes);
		if (span.type != UL_JSON_ERROR || span.text != exact + cases[i].wrong)
			fail_msg("case %zu (%s): type %d at %td", i, cases[i].text, span.type, span.text - exact);
		free(exact);
	}
	assert_int_equal(ul_json_parse("1\0", 2).type, UL_JSON_ERROR);
	assert_int_equal(ul_json_parse("\"\\\0\"", 4).type, UL_JSON_ERROR);
}

static void nesting_is_bounded(void **state)
{
	char text[256];
	(void)state;
	for (size_t depth = 1; depth < 64; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		struct ul_json_span span = ul_json_parse(text, 2 * depth);
		assert_int_equal(span.type, depth <= UL_JSON_DEPTH_MAX ? UL_JSON_ARRAY : UL_JSON_ERROR);
	}
	char deep[UL_JSON_DEPTH_MAX * 6 + 2] = "";
	for (size_t i = 0; i < UL_JSON_DEPTH_MAX; i++)
		strcat(deep, "{\"\":");
	size_t opened = strlen(deep);
	deep[opened] = '0';
	memset(deep + opened + 1, '}', UL_JSON_DEPTH_MAX);
	assert_int_equal(ul_json_parse(deep, opened + 1 + UL_JSON_DEPTH_MAX).type, UL_JSON_OBJECT);
}

static const char document[] =
	"{\"a\":[1,-2.5e3,\"x\\u00e9\xc3\xa9\\ud83d\\ude00\"],\"b\":{\"c\":null,\"\":[{},[]]},\"d\" : true}";

static void no_part_of_a_document_is_one(void **state)
{
	(void)state;
	assert_int_equal(parse(document).type, UL_JSON_OBJECT);
	for (size_t bytes = 0; bytes < strlen(document); bytes++) {
		char *exact = test_exact_copy(document, bytes);
		struct ul_json_span span = ul_json_parse(exact, bytes);
		assert_int_equal(span.type, UL_JSON_ERROR);
		assert_true(span.text >= exact && span.text <= exact + bytes);
		free(exact);
	}
}

/* Visit everything inside, as users do; counts the values. */
static size_t count_values(struct ul_json_span value)
{
	size_t count = 1;
	struct ul_json_walk walk;
	if (value.type != UL_JSON_OBJECT && value.type != UL_JSON_ARRAY)
		return 1;
	ul_json_enter(&walk, value);
	for (;;) {
		struct ul_json_span key = {0};
		struct ul_json_span next = ul_json_next(&walk, &key);
		if (next.type == UL_JSON_END)
			return count;
		assert_int_equal(key.type, value.type == UL_JSON_OBJECT ? UL_JSON_STRING : UL_JSON_ERROR);
		assert_true(next.text >= value.text && next.text + next.bytes < value.text + value.bytes);
		assert_int_equal(ul_json_parse(next.text, next.bytes).type, next.type);
		count += count_values(next);
	}
}

/* Every document that differs in one byte: refused, or sound in all that is done with it afterwards. */
static void one_changed_byte_does_no_harm(void **state)
{
	size_t bytes = strlen(document);
	char *exact = test_exact_copy(document, bytes);
	size_t taken = 0;
	(void)state;
	for (size_t i = 0; i < bytes; i++) {
		for (int byte = 0; byte < 256; byte++) {
			char once[512];
			char twice[512];
			exact[i] = (char)byte;
			struct ul_json_span span = ul_json_parse(exact, bytes);
			if (span.type == UL_JSON_ERROR)
				continue;
			taken++;
			count_values(span);
			ptrdiff_t length = ul_json_canonical(span, once, sizeof(once));
			if (length == UL_JSON_KEY_TWICE)
				continue;
			assert_true(length > 0);
			struct ul_json_span again = ul_json_parse(once, (size_t)length);
			assert_int_equal(again.type, span.type);
			assert_int_equal(ul_json_canonical(again, twice, sizeof(twice)), length);
			assert_memory_equal(once, twice, (size_t)length);
		}
		exact[i] = document[i];
	}
	assert_true(taken > bytes);
	free(exact);
}

static void walks_what_is_inside(void **state)
{
	struct ul_json_span key;
	struct ul_json_walk walk;
	struct ul_json_span span = parse(" { \"a\" : [ ] ,\"b\":\"]}\\\"\" , \"c\":{\"x\":[1,2]} , \"d\":-1.5 } ");
	static const struct {
		const char *key;
		enum ul_json_type type;
		const char *value;
	} wanted[] = {
		{"\"a\"", UL_JSON_ARRAY, "[ ]"},
		{"\"b\"", UL_JSON_STRING, "\"]}\\\"\""},
		{"\"c\"", UL_JSON_OBJECT, "{\"x\":[1,2]}"},
		{"\"d\"", UL_JSON_NUMBER, "-1.5"},
	};
	(void)state;
	assert_int_equal(span.type, UL_JSON_OBJECT);
	ul_json_enter(&walk, span);
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		struct ul_json_span value = ul_json_next(&walk, &key);
		assert_int_equal(value.type, wanted[i].type);
		assert_int_equal(value.bytes, strlen(wanted[i].value));
		assert_memory_equal(value.text, wanted[i].value, value.bytes);
		assert_int_equal(key.bytes, strlen(wanted[i].key));
		assert_memory_equal(key.text, wanted[i].key, key.bytes);
	}
	assert_int_equal(ul_json_next(&walk, &key).type, UL_JSON_END);
	assert_int_equal(ul_json_next(&walk, NULL).type, UL_JSON_END);
	assert_int_equal(count_values(parse(document)), 11);
}

static void finds_members_by_their_unescaped_name(void **state)
{
	struct ul_json_span span = parse("{\"a\":1,\"\\u00e9\":2,\"a\":3,\"aa\":4,\"\":5,\"\\u0061b\":6}");
	(void)state;
	assert_memory_equal(ul_json_member(span, "a").text, "3", 1);
	assert_memory_equal(ul_json_member(span, "\xc3\xa9").text, "2", 1);
	assert_memory_equal(ul_json_member(span, "").text, "5", 1);
	assert_memory_equal(ul_json_member(span, "ab").text, "6", 1);
	assert_int_equal(ul_json_member(span, "abc").type, UL_JSON_END);
	assert_int_equal(ul_json_member(span, "b").type, UL_JSON_END);
	assert_int_equal(ul_json_member(parse("{}"), "a").type, UL_JSON_END);
	/* Quotes that end a string, and such that do not. */
	span = parse("{\"a\\\\\":\"\\\"\",\"\\\\\":[\"\\\\\\\"]\",\"\\\\\"],\"b\":\"\\\\\",\"c\":7}");
	assert_memory_equal(ul_json_member(span, "a\\").text, "\"\\\"\"", 4);
	assert_int_equal(ul_json_member(span, "\\").bytes, strlen("[\"\\\\\\\"]\",\"\\\\\"]"));
	assert_memory_equal(ul_json_member(span, "c").text, "7", 1);
}

static void unescapes(void **state)
{
	static const struct {
		const char *text;
		const char *value;
		size_t bytes;
	} cases[] = {
		{"\"\"", "", 0},
		{"\"abc\"", "abc", 3},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
		{"\"\\u0000x\"", "\0x", 2},
		{"\"\\u007F\\u0080\\u07fF\\u0800\\uFFFF\"", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11},
		{"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8},
		{"\"\\ud7ff\\ue000\"", "\xed\x9f\xbf\xee\x80\x80", 6},
		{"\"a\\u00e9\xc3\xa9z\"", "a\xc3\xa9\xc3\xa9z", 6},
	};
	char out[64];
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ul_json_span span = parse(cases[i].text);
		assert_int_equal(ul_json_unescape(span, out, cases[i].bytes), cases[i].bytes);
		assert_memory_equal(out, cases[i].value, cases[i].bytes);
		assert_true(ul_json_string_is(span, cases[i].value, cases[i].bytes));
		if (cases[i].bytes) {
			assert_int_equal(ul_json_unescape(span, out, cases[i].bytes - 1), -1);
			assert_false(ul_json_string_is(span, cases[i].value, cases[i].bytes - 1));
		}
	}
}

static void canonical_form(void **state)
{
	static const struct {
		const char *text;
		const char *canonical;
	} cases[] = {
		{" [ 1.50 , -0 , 1E400 ] ", "[1.50,-0,1E400]"},
		{"{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}", "{\"a\":{\"c\":{},\"d\":[]},\"b\":1}"},
		{"{\"aa\":1,\"a\":2,\"\":3,\"b\":4}", "{\"\":3,\"a\":2,\"aa\":1,\"b\":4}"},
		/* Sorted by the bytes of the keys that are meant, not of those that are written. */
		{"{\"\\u007a\":1,\"y\":2,\"\\u00e9\":3,\"\\n\":4}", "{\"\\u000a\":4,\"y\":2,\"z\":1,\"\xc3\xa9\":3}"},
		/* U+FFFF sorts before U+10000 in UTF-8, though not in UTF-16. */
		{"{\"\\ud800\\udc00\":1,\"\\uffff\":2}", "{\"\xef\xbf\xbf\":2,\"\xf0\x90\x80\x80\":1}"},
		{"\"\\/\\b\\f\\n\\r\\t\\\"\\\\\\u0041\"", "\"/\\u0008\\u000c\\u000a\\u000d\\u0009\\\"\\\\A\""},
		{"\"\x7f\\u0080\xc2\x9f\xc2\xa0\"", "\"\\u007f\\u0080\\u009f\xc2\xa0\""},
		{"\"\\u0000\\u001F\"", "\"\\u0000\\u001f\""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t bytes = strlen(cases[i].canonical);
		char out[128];
		assert_int_equal(ul_json_canonical(parse(cases[i].text), out, bytes), bytes);
		assert_memory_equal(out, cases[i].canonical, bytes);
	}
}

static void canonical_form_fits_or_is_refused(void **state)
{
	struct ul_json_span span = parse(document);
	char out[256];
	ptrdiff_t length = ul_json_canonical(span, out, sizeof(out));
	(void)state;
	assert_true(length > 0);
	for (size_t bytes = 0; bytes < (size_t)length; bytes++) {
		char *exact = test_exact_copy(document, bytes);
		assert_int_equal(ul_json_canonical(span, exact, bytes), UL_JSON_TOO_LONG);
		free(exact);
	}
	/* The tightest case for the list of members that shares the space: nothing but the shortest members. */
	static const char sorted[] = "{\"\":2,\"a\":0,\"b\":1}";
	char *tight = test_exact_copy(sorted, strlen(sorted));
	assert_int_equal(ul_json_canonical(parse("{\"b\":1,\"a\":0,\"\":2}"), tight, strlen(sorted)), strlen(sorted));
	assert_memory_equal(tight, sorted, strlen(sorted));
	free(tight);
}

static void refuses_a_key_twice(void **state)
{
	static const char *const cases[] = {
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,\"b\":2,\"\\u0061\":3}",
		"[0,{\"x\":{\"\":1,\"\":2}}]",
		"{\"\xc3\xa9\":1,\"\\u00e9\":2}",
	};
	char out[128];
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(ul_json_canonical(parse(cases[i]), out, sizeof(out)), UL_JSON_KEY_TWICE);
	assert_int_equal(ul_json_canonical(parse("[{\"a\":1},{\"a\":1}]"), out, sizeof(out)), 17);
}

/* Random objects, and the order of their keys by the plainest of sorts. */
static void sorts_as_memcmp_does(void **state)
{
	uint64_t seed = 1;
	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint32_t keys[64] = {0};
		size_t count = test_random(&seed) % 64;
		char text[2048] = "{";
		char wanted[2048] = "{";
		for (size_t i = 0; i < count; i++) {
			char member[32];
			keys[i] = (uint32_t)(test_random(&seed) % 100000 * 64 + i);
			/* Half of the keys begin with an escape, which the order must not see. */
			snprintf(member, sizeof(member), "%s\"%s%08x\":%zu", i ? "," : "",
				 test_random(&seed) % 2 ? "k" : "\\u006b", keys[i], i);
			strcat(text, member);
		}
		strcat(text, "}");
		for (uint32_t taken = 0, least; taken < count; taken++) {
			least = UINT32_MAX;
			for (size_t i = 0; i < count; i++)
				if (keys[i] < least)
					least = keys[i];
			char member[32];
			snprintf(member, sizeof(member), "%s\"k%08x\":%u", taken ? "," : "", least, least % 64);
			strcat(wanted, member);
			for (size_t i = 0; i < count; i++)
				if (keys[i] == least)
					keys[i] = UINT32_MAX;
		}
		strcat(wanted, "}");
		char out[2048];
		ptrdiff_t length = ul_json_canonical(parse(text), out, strlen(wanted));
		assert_int_equal(length, strlen(wanted));
		assert_memory_equal(out, wanted, (size_t)length);
	}
}

/* 16 KiB of members in the worst orders: far from the second that a quadratic sort would take under a sanitizer. */
static void no_order_is_slow(void **state)
{
	static char text[16384];
	static char out[16384];
	(void)state;
	for (int shape = 0; shape < 3; shape++) {
		size_t used = 1;
		text[0] = '{';
		for (uint32_t i = 0; used + 16 < sizeof(text); i++) {
			uint32_t key = shape == 0 ? i : shape == 1 ? 0xfff - i : i * 1657 % 4096;
			used += (size_t)sprintf(text + used, "%s\"%03x\":0", i ? "," : "", key);
		}
		text[used++] = '}';
		clock_t before = clock();
		assert_int_equal(ul_json_canonical(ul_json_parse(text, used), out, used), used);
		assert_true(clock() - before < CLOCKS_PER_SEC / 10);
	}
}

static void quotes(void **state)
{
	char out[64];
	static const char text[] = "a\"b\\c\n\x7f\xc2\x85\xc3\xa9/";
	static const char wanted[] = "\"a\\\"b\\\\c\\u000a\\u007f\\u0085\xc3\xa9/\"";
	(void)state;
	assert_int_equal(ul_json_quote(text, strlen(text), out, sizeof(out)), strlen(wanted));
	assert_memory_equal(out, wanted, strlen(wanted));
	for (size_t bytes = 0; bytes < strlen(wanted); bytes++)
		assert_int_equal(ul_json_quote(text, strlen(text), out, bytes), -1);
	char *exact = test_exact_copy("plain", 5);
	assert_int_equal(ul_json_quote(exact, 5, out, sizeof(out)), 7);
	assert_memory_equal(out, "\"plain\"", 7);
	free(exact);
	assert_int_equal(ul_json_quote("\\n\0", 3, out, sizeof(out)), 11);
	assert_memory_equal(out, "\"\\\\n\\u0000\"", 11);
	assert_int_equal(ul_json_quote("\xc3", 1, out, sizeof(out)), -1);
}

/* ---- wanted paths -------------------------------------------------------------------------------------------- */

struct found {
	struct ul_json_find find;
	char events[512];
};

static void note_event(void *arg, unsigned event, struct ul_json_span key, struct ul_json_span value)
{
	struct found *found = arg;
	size_t used = strlen(found->events);
	snprintf(found->events + used, sizeof(found->events) - used, "%u:%.*s=%.*s;", event,
		 key.type == UL_JSON_STRING ? (int)key.bytes : 0, key.type == UL_JSON_STRING ? key.text : "",
		 (int)value.bytes, value.text);
}

/* What is found in slot 0 of the document, which stands in memory of just its size. */
static void expect_found(const struct ul_json_paths *paths, const char *text, const char *value, const char *events)
{
	static struct found found;
	size_t bytes = strlen(text);
	char *exact = test_exact_copy(text, bytes);
	memset(&found, 0xff, sizeof(found));
	found.events[0] = '\0';
	found.find.paths = paths;
	found.find.visit = note_event;
	found.find.arg = &found;
	ul_json_find_clear(&found.find);
	assert_int_not_equal(ul_json_find(exact, bytes, &found.find).type, UL_JSON_ERROR);
	if (value) {
		assert_int_not_equal(found.find.spans[0].type, UL_JSON_END);
		assert_int_equal(found.find.spans[0].bytes, strlen(value));
		assert_memory_equal(found.find.spans[0].text, value, strlen(value));
	} else {
		assert_int_equal(found.find.spans[0].type, UL_JSON_END);
	}
	assert_string_equal(found.events, events);
	free(exact);
}

static void finds_wanted_paths(void **state)
{
	static struct ul_json_paths paths;
	(void)state;
	ul_json_paths_init(&paths);
	assert_true(ul_json_paths_add(&paths, "a.b", 0, 1));
	assert_true(ul_json_paths_add(&paths, "c", 0, 0));
	expect_found(&paths, "{\"a\":{\"b\":1}}", "1", "");
	expect_found(&paths, "{\"x\":{\"a\":{\"b\":1}},\"a.b\":2,\"b\":3}", NULL, "");
	expect_found(&paths, "{\"\\u0061\":{\"\\u0062\":\"x\"}}", "\"x\"", "");
	expect_found(&paths, "{\"a\":[{\"b\":1}]}", NULL, "");
	expect_found(&paths, "{\"a\":{\"b\":{\"b\" : [ 1 ] } }}", "{\"b\" : [ 1 ] }", "");
	/* The lower rank, wherever it stands; null is none; of two that are alike the last. */
	expect_found(&paths, "{\"c\":5,\"a\":{\"b\":1}}", "5", "");
	expect_found(&paths, "{\"a\":{\"b\":1},\"c\":5}", "5", "");
	expect_found(&paths, "{\"c\":null,\"a\":{\"b\":1},\"c\":null}", "1", "");
	expect_found(&paths, "{\"c\":null}", "null", "");
	expect_found(&paths, "{\"c\":1,\"c\":2}", "2", "");
	/* An array as a whole has nothing; its elements are wholes. */
	expect_found(&paths, "[{\"c\":1},[{\"c\":2}]]", "1", "");
	expect_found(&paths, "7", NULL, "");
}

static void visits_what_ends(void **state)
{
	static struct ul_json_paths paths;
	(void)state;
	ul_json_paths_init(&paths);
	assert_true(ul_json_paths_add(&paths, "l[].v", 0, 0));
	assert_true(ul_json_paths_event(&paths, "l[]", 1));
	assert_true(ul_json_paths_event(&paths, "m.*", 2));
	assert_true(ul_json_paths_event(&paths, "m.*.z", 3));
	expect_found(&paths, "{\"l\":[{\"v\":1},2,[{\"v\":3}],{}],\"v\":4}", "1",
		     "1:={\"v\":1};1:=2;1:=[{\"v\":3}];1:={};");
	expect_found(&paths, "{\"m\":{\"p\":1,\"q\":{\"z\":[],\"y\":{\"z\":2}}},\"p\":3}", NULL,
		     "2:\"p\"=1;3:\"z\"=[];2:\"q\"={\"z\":[],\"y\":{\"z\":2}};");
	expect_found(&paths, "{\"m\":[{\"p\":1}]}", NULL, "");
}

static void finds_names_with_dots(void **state)
{
	static struct ul_json_paths paths;
	(void)state;
	ul_json_paths_init(&paths);
	assert_true(ul_json_paths_add_names(&paths, "a.b.c", 0));
	expect_found(&paths, "{\"a\":{\"b\":{\"c\":1}}}", "1", "");
	expect_found(&paths, "{\"a.b.c\":2,\"a\":{\"b\":{\"c\":1},\"b.c\":3}}", "2", "");
	expect_found(&paths, "{\"a\":{\"b\":{\"c\":1},\"b.c\":3}}", "3", "");
	expect_found(&paths, "{\"a.b\":{\"c\":4}}", "4", "");
	/* What stands for any name, or for elements, is a name here. */
	ul_json_paths_init(&paths);
	assert_true(ul_json_paths_add_names(&paths, "*", 0));
	assert_true(ul_json_paths_add_names(&paths, "x[]", 0));
	expect_found(&paths, "{\"a\":1,\"x\":[2]}", NULL, "");
	expect_found(&paths, "{\"*\":1}", "1", "");
	/* As many as there is room for. */
	assert_false(ul_json_paths_add_names(&paths, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_every_kind_of_value),
		cmocka_unit_test(refuses_what_is_not_json_and_says_where),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(no_part_of_a_document_is_one),
		cmocka_unit_test(one_changed_byte_does_no_harm),
		cmocka_unit_test(walks_what_is_inside),
		cmocka_unit_test(finds_members_by_their_unescaped_name),
		cmocka_unit_test(unescapes),
		cmocka_unit_test(canonical_form),
		cmocka_unit_test(canonical_form_fits_or_is_refused),
		cmocka_unit_test(refuses_a_key_twice),
		cmocka_unit_test(sorts_as_memcmp_does),
		cmocka_unit_test(no_order_is_slow),
		cmocka_unit_test(quotes),
		cmocka_unit_test(finds_wanted_paths),
		cmocka_unit_test(visits_what_ends),
		cmocka_unit_test(finds_names_with_dots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
