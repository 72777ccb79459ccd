/*
 * A file that is imported, up to the call that the library would be given. The first byte says how it is read (csv or jsonl, with or
 * without --map, --input-includes-cache); the file follows.
 */
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "draft.h"
#include "fuzz.h"
#include "import_lines.h"
#include "import_map.h"

enum { HOW_JSONL = 1, HOW_MAPPED = 2, HOW_CACHE = 4 };

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const char spec[] =
		"time=TIMESTAMP,input_tokens=usage.input,cache_read_tokens=usage.cached,output_tokens=out,"
		"cost_usd=cost,is_error=failed,metadata=m,call_id=id,latency_ms=d,model=a.b";
	if (!bytes)
		return 0;
	fuzz_silence();
	uint8_t how = data[0];
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
