/* The JSON scanner: whole documents, walked, made canonical; and the same text as the metadata of a call. */
#include <string.h>

#include "context.h"
#include "fuzz.h"
#include "json.h"

enum { OUT_BYTES = 1 << 18 };

static void check_string(struct ul_json_span string)
{
	static char unescaped[OUT_BYTES], quoted[OUT_BYTES];
	ptrdiff_t bytes = ul_json_unescape(string, unescaped, sizeof(unescaped));
	FUZZ_CHECK(bytes >= 0 && (size_t)bytes <= string.bytes);
	FUZZ_CHECK(ul_json_string_is(string, unescaped, (size_t)bytes));
	ptrdiff_t quoted_bytes = ul_json_quote(unescaped, (size_t)bytes, quoted, sizeof(quoted));
	FUZZ_CHECK(quoted_bytes >= 2);
	struct ul_json_span again = ul_json_parse(quoted, (size_t)quoted_bytes);
	FUZZ_CHECK(again.type == UL_JSON_STRING && ul_json_string_is(again, unescaped, (size_t)bytes));
	/* Too little room is said, and kept to: the sanitizer watches the byte behind. */
	if (bytes > 0)
		FUZZ_CHECK(ul_json_unescape(string, unescaped, (size_t)bytes - 1) == -1);
}

/* Walk all of it; the depth is bounded by the scanner. */
static size_t walk(struct ul_json_span value, struct ul_json_span document)
{
	FUZZ_CHECK(value.type != UL_JSON_ERROR && value.type != UL_JSON_END);
	FUZZ_CHECK(value.bytes && value.text >= document.text &&
		   value.text + value.bytes <= document.text + document.bytes);
	if (value.type == UL_JSON_STRING)
		check_string(value);
	if (value.type != UL_JSON_ARRAY && value.type != UL_JSON_OBJECT)
		return 1;
	size_t values = 1;
	struct ul_json_walk at;
	struct ul_json_span key, member;
	for (ul_json_enter(&at, value); (member = ul_json_next(&at, &key)).type != UL_JSON_END;) {
		if (value.type == UL_JSON_OBJECT)
			check_string(key);
		values += walk(member, document);
	}
	if (value.type == UL_JSON_OBJECT)
		ul_json_member(value, "metadata");
	return values;
}

static void check_canonical(struct ul_json_span document)
{
	static char once[OUT_BYTES], twice[OUT_BYTES];
	ptrdiff_t bytes = ul_json_canonical(document, once, sizeof(once));
	if (bytes < 0) {
		FUZZ_CHECK(bytes == UL_JSON_KEY_TWICE);
		return;
	}
	struct ul_json_span again = ul_json_parse(once, (size_t)bytes);
	FUZZ_CHECK(again.type == document.type && again.bytes == (size_t)bytes);
	FUZZ_CHECK(ul_json_canonical(again, twice, sizeof(twice)) == bytes && !memcmp(once, twice, (size_t)bytes));
	FUZZ_CHECK(walk(document, document) == walk(again, again));
}

static void check_dimensions(const char *context, size_t bytes, const char *const *group_by, size_t count)
{
	static char dimensions[UL_CONTEXT_BYTES_MAX], again[UL_CONTEXT_BYTES_MAX];
	char operation[UL_NAME_BYTES_MAX + 1];
	size_t reduced = ul_context_dimensions(context, bytes, group_by, count, dimensions);
	FUZZ_CHECK(reduced >= 2 && (reduced <= bytes || reduced == 2));
	FUZZ_CHECK(reduced == 2 || ul_context_is_valid(dimensions, reduced));
	/* Reduced once is reduced. */
	if (reduced > 2) {
		FUZZ_CHECK(ul_context_dimensions(dimensions, reduced, group_by, count, again) == reduced);
		FUZZ_CHECK(!memcmp(dimensions, again, reduced));
	}
	size_t operation_bytes = ul_context_string(context, bytes, "operation", operation);
	FUZZ_CHECK(operation_bytes == strlen(operation));
}

/* The text as metadata, and as a context by itself. */
static void check_context(const char *text, size_t bytes)
{
	static const char *const group_by[] = {"a", "user", "metadata"};
	static char context[UL_CONTEXT_BYTES_MAX];
	struct ul_attributes attributes = {.operation = "chat", .metadata = text};
	size_t context_bytes;
	if (ul_context_build(&attributes, context, &context_bytes) == UL_CONTEXT_OK) {
		FUZZ_CHECK(ul_context_is_valid(context, context_bytes));
		check_dimensions(context, context_bytes, group_by, 3);
		check_dimensions(context, context_bytes, NULL, 0);
	}
	if (ul_context_is_valid(text, bytes))
		check_dimensions(text, bytes, group_by, 3);
	size_t provider_bytes;
	ul_model_text_is_valid(text, bytes, &provider_bytes);
	ul_name_is_valid(text, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	/* A string may grow to six times its bytes. */
	if (bytes > OUT_BYTES / 8)
		return 0;
	struct ul_json_span document = ul_json_parse((const char *)data, bytes);
	if (document.type != UL_JSON_ERROR) {
		walk(document, document);
		check_canonical(document);
	} else {
		FUZZ_CHECK(document.text >= (const char *)data && document.text <= (const char *)data + bytes);
	}
	char *text = malloc(bytes + 1);
	FUZZ_CHECK(text);
	memcpy(text, data, bytes);
	text[bytes] = '\0';
	check_context(text, strlen(text));
	free(text);
	return 0;
}
