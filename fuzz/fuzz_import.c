/*
 * A file that is imported, up to the call that the library would be given. The first byte says how it is read (csv or jsonl, with or
 * without --map, --input-includes-cache; or as all formats that are known, by lines and as a whole); the file follows.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "draft.h"
#include "fuzz.h"
#include "import_format.h"
#include "import_lines.h"
#include "import_map.h"
#include "import_tracker.h"

enum { HOW_JSONL = 1, HOW_MAPPED = 2, HOW_CACHE = 4, HOW_FORMATS = 8 };

static void check_name(const char *name)
{
	FUZZ_CHECK(!name || ul_name_is_valid(name, strlen(name)));
}

/* What is passed on is what the library takes. */
static void check_draft(const struct draft *draft)
{
	const struct usagelog_attributes *attributes = &draft->names.attributes;
	check_name(draft->names.provider);
	check_name(draft->names.model);
	check_name(attributes->operation);
	check_name(attributes->error_type);
	check_name(attributes->service_tier);
	check_name(attributes->session_id);
	FUZZ_CHECK(draft->call.reasoning_tokens <= draft->call.output_tokens);
	FUZZ_CHECK(draft->call.flags & USAGELOG_COST || !draft->call.cost_pico_usd);
	FUZZ_CHECK(!draft->call.call_id || draft->call.call_id == draft->id);
	static char context[UL_CONTEXT_BYTES_MAX];
	struct ul_attributes built = {attributes->operation, attributes->error_type, attributes->service_tier,
				      attributes->session_id, attributes->metadata};
	size_t bytes;
	ul_context_build(&built, context, &bytes);
}

static void take(struct import_map *map, struct draft_rules *rules, uint8_t how, struct line *line)
{
	static struct draft draft;
	struct field_value values[FIELD_COUNT] = {0};
	struct refusal why = {0};
	if (line->too_long || line->open_quote)
		return;
	if (!(how & HOW_JSONL ? import_map_json : import_map_csv)(map, line, values, &why) ||
	    !draft_make(&draft, rules, values, &why)) {
		FUZZ_CHECK(memchr(why.reason, '\0', sizeof(why.reason)) && why.reason[0] && why.field <= FIELD_COUNT);
		return;
	}
	check_draft(&draft);
}

/* ---- formats that are known ---------------------------------------------------------------------------------- */

static void take_record(void *arg, const char *at, enum import_verdict verdict,
			const struct field_value values[FIELD_COUNT], const struct refusal *why)
{
	static struct draft draft;
	struct refusal refusal = {0};
	FUZZ_CHECK(at);
	if (verdict == IMPORT_REFUSED)
		FUZZ_CHECK(memchr(why->reason, '\0', sizeof(why->reason)) && why->field <= FIELD_COUNT);
	if (verdict == IMPORT_CALL && draft_make(&draft, arg, values, &refusal))
		check_draft(&draft);
}

static void take_by_formats(const char *text, size_t bytes)
{
	static struct import_formats formats;
	static bool opened;
	static struct draft draft;
	struct draft_rules rules = {0};
	const struct import_sink sink = {&rules, take_record, NULL};
	struct refusal why;
	bool json;
	if (!opened)
		FUZZ_CHECK(!import_formats_open(&formats));
	opened = true;
	(void)import_formats_find(&formats, text, bytes, &json);
	for (size_t i = 0; import_format_at(i); i++) {
		struct import_reader *reader = import_formats_reader(&formats, import_format_at(i));
		import_reader_reset(reader);
		reader->sink = &sink;
		for (const char *at = text, *end = text + bytes; at < end;) {
			const char *newline = memchr(at, '\n', (size_t)(end - at));
			(void)import_reader_take(reader, at, (size_t)((newline ? newline : end) - at), false, &why);
			at = newline ? newline + 1 : end;
		}
		(void)import_reader_take(reader, text, bytes, true, &why);
	}
	struct import_tracker tracker = {.rules = &rules, .draft = &draft};
	FUZZ_CHECK(!import_tracker_take(&tracker, import_formats_reader(&formats, &format_tracker), text, bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const char spec[] =
		"time=TIMESTAMP,input_tokens=usage.input,cache_read_tokens=usage.cached,output_tokens=out,"
		"cost_usd=cost,is_error=failed,metadata=m,call_id=id,latency_ms=d,model=a.b";
	if (!bytes)
		return 0;
	fuzz_silence();
	uint8_t how = data[0];
	if (how & HOW_FORMATS) {
		/* In memory of just its size. */
		char *text = malloc(bytes - 1 ? bytes - 1 : 1);
		FUZZ_CHECK(text);
		memcpy(text, data + 1, bytes - 1);
		take_by_formats(text, bytes - 1);
		free(text);
		return 0;
	}
	struct draft_rules rules = {.input_includes_cache = how & HOW_CACHE};
	struct import_map map;
	FUZZ_CHECK(import_map_open(&map, how & HOW_MAPPED ? spec : NULL));
	int fd = fuzz_file(data + 1, bytes - 1);
	struct lines *lines = lines_open(fd, !(how & HOW_JSONL), UINT64_MAX);
	FUZZ_CHECK(lines);
	struct line line;
	uint64_t number = 0;
	bool headed = how & HOW_JSONL || (lines_next(lines, &line) == 1 && import_map_header(&map, "fuzz", &line));
	while (headed && lines_next(lines, &line) == 1) {
		FUZZ_CHECK(line.number > number);
		number = line.number;
		take(&map, &rules, how, &line);
	}
	FUZZ_CHECK(!headed || lines_bytes(lines) == bytes - 1);
	lines_close(lines);
	close(fd);
	import_map_close(&map);
	return 0;
}
