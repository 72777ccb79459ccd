/*
 * Writes the golden files and verdicts.json into a directory: make_golden DIRECTORY.
 *
 * The verdicts are what this program meant when it wrote a byte, not what a reader made of it, so that a reader which
 * is wrong cannot agree with itself. Nothing here depends on the clock or the machine: the same bytes each time. Golden
 * files are only ever added: whoever adds one adds its function to main()'s table and runs this by hand on
 * format/golden.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "json.h"
#include "samples.h"
#include "seal.h"
#include "slot.h"

enum {
	SEGMENT_BYTES = 65536,
	FIRST_PAGE = 4,
	RUNS_MAX = 16,
};

#define PAGES(count) ((size_t)(count)*UL_PAGE_BYTES)

static const char *directory;
static FILE *verdicts;
static bool first_verdict = true;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void write_file(const char *name, const void *bytes, size_t size_bytes)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, size_bytes, file) != size_bytes || fclose(file) != 0)
		die(path);
}

/* Print a JSON string. */
static void print_text(FILE *out, const char *text)
{
	static char quoted[6 * UL_CONTEXT_BYTES_MAX];
	ptrdiff_t bytes = ul_json_quote(text, strlen(text), quoted, sizeof(quoted));
	assert(bytes > 0);
	fprintf(out, "%.*s", (int)bytes, quoted);
}

static void print_id(FILE *out, const struct ul_id *id)
{
	char text[UL_ID_TEXT_BYTES];
	ul_id_format(text, id);
	fprintf(out, "\"%s\"", text);
}

static void begin_verdict(const char *name, const char *type)
{
	fprintf(verdicts, "%s\n    \"%s\": {\"type\": \"%s\"", first_verdict ? "" : ",", name, type);
	first_verdict = false;
}

/* Slots that a reader must report, as runs of [first, count]. */
struct runs {
	uint32_t first[RUNS_MAX];
	uint32_t count[RUNS_MAX];
	size_t used;
};

static void runs_add(struct runs *runs, uint32_t slot)
{
	if (runs->used && runs->first[runs->used - 1] + runs->count[runs->used - 1] == slot) {
		runs->count[runs->used - 1]++;
		return;
	}
	assert(runs->used < RUNS_MAX);
	runs->first[runs->used] = slot;
	runs->count[runs->used++] = 1;
}

static void print_runs(const char *name, const struct runs *runs)
{
	fprintf(verdicts, ", \"%s\": [", name);
	for (size_t i = 0; i < runs->used; i++)
		fprintf(verdicts, "%s[%u, %u]", i ? ", " : "", runs->first[i], runs->count[i]);
	fprintf(verdicts, "]");
}

/* A list of calls in the making. */
struct list {
	FILE *out;
	char *text;
	size_t bytes;
	bool first;
};

static void list_begin(struct list *list)
{
	*list = (struct list){.first = true};
	list->out = open_memstream(&list->text, &list->bytes);
	if (!list->out)
		die("memory");
}

static void list_end(struct list *list)
{
	if (fclose(list->out) != 0)
		die("memory");
	fprintf(verdicts, ", \"calls\": [%s]", list->text);
	free(list->text);
}

/* The segment in the making. */
static struct segment {
	_Alignas(64) uint8_t bytes[SEGMENT_BYTES];
	struct ul_segment_header header;
	uint64_t seed;
	uint32_t valid;
	struct runs unknown, unfinished, damaged, holes;
	uint32_t table_damaged;
	struct list calls;
	const char *page_verdicts[2];
	const char *header_verdict;
} segment;

static struct ul_slot *slot_at(uint32_t slot)
{
	return (struct ul_slot *)(void *)(segment.bytes + (size_t)slot * UL_SLOT_BYTES);
}

/* Ids differ in their last byte. All begin with the time of 2026-01-10T10:32:00Z. */
static struct ul_id segment_id(uint8_t number)
{
	return (struct ul_id){{0x01, 0x9b, 0xa7, 0x76, 0x81, 0x00, 1, 2, 3, 4, 5, 6, 7, 8, 9, number}};
}

static void segment_begin(uint8_t number)
{
	memset(&segment, 0, sizeof(segment));
	segment.header = (struct ul_segment_header){
		.version = UL_VERSION,
		.segment_id = segment_id(number),
		.log_id = sample_log_id,
		.inode = 4242,
		.size_bytes = SEGMENT_BYTES,
	};
	segment.seed = ul_segment_seed(&segment.header.segment_id);
	segment.page_verdicts[0] = segment.page_verdicts[1] = segment.header_verdict = "valid";
	list_begin(&segment.calls);
}

static void seal_headers(void)
{
	ul_header_seal(segment.bytes, &segment.header);
	ul_header_seal(segment.bytes + UL_PAGE_BYTES, &segment.header);
}

static void seal_slot(uint32_t number)
{
	struct ul_slot *slot = slot_at(number);
	uint64_t body[7];
	memcpy(body, &slot->tag, sizeof(body));
	slot->checksum = ul_slot_checksum(body, ul_slot_seed(segment.seed, number));
}

static void put(uint32_t number, uint32_t tag, uint32_t word, const void *body, size_t bytes)
{
	struct ul_slot *slot = slot_at(number);
	slot->tag = tag;
	slot->word = word;
	memcpy(&slot->body, body, bytes);
	seal_slot(number);
	segment.valid++;
}

/* Put a text into these slots, the definition into the first. */
static void put_text(enum ul_class class, const char *text, uint32_t bytes, const uint32_t *slots)
{
	for (uint32_t chunk = 0; chunk < ul_text_slots(bytes); chunk++) {
		uint32_t offset = chunk * UL_CHUNK_BYTES;
		uint32_t chunk_bytes = bytes - offset < UL_CHUNK_BYTES ? bytes - offset : UL_CHUNK_BYTES;
		uint32_t next = chunk + 1 < ul_text_slots(bytes) ? slots[chunk + 1] : 0;
		uint32_t word = chunk ? offset : (uint32_t) class << 28 | bytes;
		put(slots[chunk], ul_tag(chunk ? UL_KIND_CONTINUATION : UL_KIND_DEFINITION, next), word, text + offset,
		    chunk_bytes);
	}
}

/* A call as it is put, and the names that a reader must find for it. */
struct call {
	enum ul_kind kind;
	uint32_t model_slot;
	uint32_t context;
	const char *provider;
	const char *model;
	const char *attributes;
	struct ul_call_body body;
	const struct ul_id *id;
};

/* What calls and balances have in common. */
static void list_call(struct list *list, uint32_t slot, const char *kind, const struct call *call)
{
	fprintf(list->out, "%s\n      {\"slot\": %u, \"kind\": \"%s\", \"provider\": ", list->first ? "" : ",", slot,
		kind);
	print_text(list->out, call->provider ? call->provider : "(unknown)");
	fprintf(list->out, ", \"model\": ");
	print_text(list->out, call->model ? call->model : "(unknown)");
	fprintf(list->out, ", \"context\": ");
	print_text(list->out, call->attributes ? call->attributes : "{}");
	fprintf(list->out, ", \"time_ns\": \"%" PRId64 "\", \"cost_pico_usd\": \"%" PRId64 "\", \"unpriced\": %s",
		call->body.time_ns, call->body.cost_pico_usd, call->context & UL_UNPRICED ? "true" : "false");
	list->first = false;
}

static void list_counts(struct list *list, const struct call *call)
{
	const struct ul_call_body *body = &call->body;
	const char *unit = call->context & UL_LATENCY_UNKNOWN ? "unknown" : call->context & UL_LATENCY_MS ? "ms" : "us";
	fprintf(list->out,
		", \"tokens\": [%u, %u, %u, %u, %u, %u], \"latency\": %u, \"latency_unit\": \"%s\", \"ttft_us\": %u, "
		"\"call_id\": ",
		body->input_tokens, body->cache_read_tokens, body->cache_write_5m_tokens, body->cache_write_1h_tokens,
		body->output_tokens, body->reasoning_tokens, body->latency, unit, body->ttft_us);
	if (call->id)
		print_id(list->out, call->id);
	else
		fprintf(list->out, "null");
	fprintf(list->out, "}");
}

static void list_whole_call(struct list *list, uint32_t slot, const struct call *call)
{
	list_call(list, slot, call->kind == UL_KIND_REVERSAL ? "reversal" : "call", call);
	list_counts(list, call);
}

/* Write the slot, without saying anything of it yet. */
static void write_call(uint32_t slot, const struct call *call)
{
	enum ul_kind kind = call->kind ? call->kind : UL_KIND_CALL;
	put(slot, ul_tag(kind, call->model_slot), call->context, &call->body, sizeof(call->body));
}

static void put_call(uint32_t slot, const struct call *call)
{
	write_call(slot, call);
	list_whole_call(&segment.calls, slot, call);
}

static void put_balance(uint32_t slot, const struct call *call, const struct ul_balance_body *body)
{
	put(slot, ul_tag(UL_KIND_BALANCE, call->model_slot), call->context, body, sizeof(*body));
	list_call(&segment.calls, slot, "balance", call);
	fprintf(segment.calls.out, ", \"calls\": \"%" PRIu64 "\", \"balance_tokens\": \"%" PRIu64 "\", \"scope\": %u}",
		body->calls, body->tokens, body->scope);
}

static void put_id(uint32_t slot, const struct ul_id *id)
{
	put(slot, ul_tag(UL_KIND_CALL_ID, 0), 0, id, sizeof(*id));
}

/* What is written is spoiled: one bit of the slot's byte `offset`. */
static void damage(uint32_t slot, uint32_t offset)
{
	((uint8_t *)slot_at(slot))[offset] ^= 1;
	segment.valid--;
	runs_add(&segment.damaged, slot);
}

static void make_unfinished(uint32_t slot)
{
	slot_at(slot)->checksum = 0;
	segment.valid--;
}

static void make_unknown(uint32_t slot)
{
	seal_slot(slot);
	segment.valid--;
	runs_add(&segment.unknown, slot);
}

static void set_durable(uint32_t page, uint8_t count)
{
	segment.bytes[UL_TABLE_PAGE * UL_PAGE_BYTES + page] = count;
}

static struct ul_state_block *block_at(uint32_t index)
{
	return (struct ul_state_block *)(void *)(segment.bytes + UL_STATE_PAGE * UL_PAGE_BYTES) + index;
}

static void seal_block(uint32_t index, uint64_t sequence)
{
	block_at(index)->sequence = sequence;
	block_at(index)->checksum = ul_block_checksum(block_at(index), segment.seed, index);
}

/* Write the file, which ends after so many bytes, and begin its verdict; what a sound header leads to is for the
 * caller. */
static void segment_write(const char *name, size_t bytes)
{
	write_file(name, segment.bytes, bytes);
	begin_verdict(name, "segment");
	fprintf(verdicts, ", \"header_pages\": [\"%s\", \"%s\"], \"header\": \"%s\"", segment.page_verdicts[0],
		segment.page_verdicts[1], segment.header_verdict);
}

/* The verdict on a segment that must not, or cannot, be read. */
static void segment_end_refused(const char *name, size_t bytes)
{
	segment_write(name, bytes);
	fclose(segment.calls.out);
	free(segment.calls.text);
	fprintf(verdicts, "}");
}

/* What the state page must be found to say; as JSON. */
struct state {
	const char *boot_id;
	const char *counters;
	const char *syncs;
};

static void segment_end(const char *name, size_t bytes, const struct state *state)
{
	segment_write(name, bytes);
	fprintf(verdicts, ", \"segment_id\": ");
	print_id(verdicts, &segment.header.segment_id);
	fprintf(verdicts, ", \"log_id\": ");
	print_id(verdicts, &segment.header.log_id);
	fprintf(verdicts, ", \"size\": %" PRIu64 ", \"generation\": %u, \"may_write\": %s,\n     ",
		segment.header.size_bytes, segment.header.generation,
		segment.header.flags_read_compatible ? "false" : "true");
	fprintf(verdicts, "\"boot_id\": %s, \"counters\": %s, \"syncs\": %s, \"table_damaged\": %u,\n     ",
		state && state->boot_id ? state->boot_id : "null", state && state->counters ? state->counters : "null",
		state && state->syncs ? state->syncs : "[]", segment.table_damaged);
	fprintf(verdicts, "\"valid\": %u", segment.valid);
	print_runs("unknown", &segment.unknown);
	print_runs("unfinished", &segment.unfinished);
	print_runs("damaged", &segment.damaged);
	print_runs("holes", &segment.holes);
	list_end(&segment.calls);
	fprintf(verdicts, "}");
}

/* A call that is in most of the segments, at slot 257, and its model's definition at 256. */

static const char model_text[] = "openai\0gpt-5";
#define MODEL_BYTES (sizeof(model_text) - 1)
#define TIME_NS INT64_C(1768041126413623000)

static struct call plain_call(uint32_t tokens)
{
	return (struct call){
		.model_slot = 256,
		.provider = "openai",
		.model = "gpt-5",
		.body = {TIME_NS, 125000000, tokens, 0, 0, 0, 50, 20, 80000, 12000},
	};
}

static void put_plain(void)
{
	struct call call = plain_call(100);
	put_text(UL_CLASS_MODEL, model_text, MODEL_BYTES, (const uint32_t[]){256});
	put_call(257, &call);
	set_durable(FIRST_PAGE, 2);
}

/* The segments. */

static const char chat[] = "{\"operation\":\"chat\"}";
static const char long_context[] =
	"{\"error_type\":\"rate_limit_exceeded\",\"metadata\":{\"\":null,\"note\":\"quote \\\" backslash \\\\ "
	"line\\u000a"
	" caf\xc3\xa9 "
	"\xf0\x9f\x98\x80\",\"numbers\":[1.50,-0,9007199254740993,1E400],\"user\":\"ann\"},\"operation\":\"chat\","
	"\"service_tier\":\"flex\",\"session_id\":\"s-1\"}";
static const char long_model_text[] = "azure.ai.inference\0a-model-whose-name-does-not-fit-into-one-slot/"
				      "so-that-it-goes-on-in-two-more/2026-01-10-preview";

/* Definitions whose chunks lie in any order and page. */
static void put_definitions(void)
{
	put_text(UL_CLASS_MODEL, model_text, MODEL_BYTES, (const uint32_t[]){258});
	put_text(UL_CLASS_MODEL, long_model_text, sizeof(long_model_text) - 1, (const uint32_t[]){259, 320, 256});
	put_text(UL_CLASS_CONTEXT, chat, sizeof(chat) - 1, (const uint32_t[]){261});
	put_text(UL_CLASS_CONTEXT, long_context, sizeof(long_context) - 1, (const uint32_t[]){262, 322, 257, 321, 260});
}

static void put_ids_and_balances(void)
{
	static const struct ul_id id = {{0xde, 0xad, 0xbe, 0xef, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};
	struct call call = {.model_slot = 258,
			    .provider = "openai",
			    .model = "gpt-5",
			    .context = 261,
			    .attributes = chat,
			    .id = &id,
			    .body = {TIME_NS + 2, -5, 7, 0, 0, 0, 8, 0, 90, 0}};
	struct call balance = {.body = {.time_ns = -1, .cost_pico_usd = INT64_MAX}};
	put_id(265, &id);
	put_call(266, &call);
	put(267, ul_tag(UL_KIND_PADDING, 0), 0, "", 0);
	put_balance(268, &balance, &(struct ul_balance_body){-1, INT64_MAX, UL_BALANCE_MAX - 1, 3190, 3, {0}});
	balance = (struct call){.model_slot = 258,
				.provider = "openai",
				.model = "gpt-5",
				.context = 261 | UL_UNPRICED,
				.attributes = chat,
				.body = {.time_ns = TIME_NS}};
	put_balance(269, &balance, &(struct ul_balance_body){TIME_NS, 0, 20, UL_BALANCE_MAX - 1, 2, {0}});
	put_id(270, &id);
	call.kind = UL_KIND_REVERSAL;
	put_call(271, &call);
}

/* Calls that name what is not there, or not what they say. */
static void put_calls_without_names(void)
{
	static const struct ul_id id = {{0xff}};
	static const char blank[] = "{\"operation\": \"chat\"}";
	struct call call = {.context = UL_UNPRICED | UL_LATENCY_UNKNOWN,
			    .body = {.time_ns = TIME_NS, .input_tokens = 1}};
	put_call(272, &call);
	call = (struct call){.context = UL_SLOT_MASK,
			     .model_slot = UL_SLOT_MASK,
			     .body = {INT64_MIN, INT64_MIN, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
				      UINT32_MAX, UINT32_MAX, UINT32_MAX}};
	put_call(273, &call);
	put_id(274, &id);
	put(275, ul_tag(UL_KIND_PADDING, 0), 0, "", 0);
	/* The model's slot holds a context, the context's a model. */
	call = (struct call){.model_slot = 261, .context = 258, .body = {.time_ns = TIME_NS}};
	put_call(276, &call);
	/* A context that is not canonical, and a model whose second chunk is another text's third. */
	put_text(UL_CLASS_CONTEXT, blank, sizeof(blank) - 1, (const uint32_t[]){277});
	put(278, ul_tag(UL_KIND_DEFINITION, 256), (uint32_t)UL_CLASS_MODEL << 28 | 60, long_model_text, UL_CHUNK_BYTES);
	call = (struct call){.model_slot = 278, .context = 277, .body = {.time_ns = TIME_NS}};
	put_call(279, &call);
	/* A model's name that holds a line end. */
	put_text(UL_CLASS_MODEL, "a\0b\n", 4, (const uint32_t[]){280});
	call = (struct call){.model_slot = 280, .body = {.time_ns = TIME_NS}};
	put_call(281, &call);
}

static void make_all_kinds(void)
{
	struct call call = {.model_slot = 258,
			    .provider = "openai",
			    .model = "gpt-5",
			    .context = 261,
			    .attributes = chat,
			    .body = {TIME_NS, 200000000, 100, 10, 20, 30, 50, 5, 80000, 12000}};
	static const struct state state = {
		.boot_id = "\"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\"",
		.counters = "{\"attempted\": \"12\", \"dropped\": [1, 0, 2, 0, 0, 3, 0, 0]}",
	};
	segment_begin(1);
	seal_headers();
	put_definitions();
	put_call(263, &call);
	call = (struct call){.model_slot = 259,
			     .provider = long_model_text,
			     .model = strchr(long_model_text, '\0') + 1,
			     .context = 262 | UL_LATENCY_MS,
			     .attributes = long_context,
			     .body = {TIME_NS + 1, 1, 1, 2, 3, 4, 5, 6, 4294968, 0}};
	put_call(264, &call);
	put_ids_and_balances();
	put_calls_without_names();
	set_durable(4, 20);
	set_durable(5, 3);
	for (uint8_t i = 0; i < UL_ID_BYTES; i++)
		block_at(0)->payload.boot_id[i] = (uint8_t)(0xa0 + i);
	seal_block(0, 1);
	block_at(2)->payload.counters.attempted = 12;
	block_at(2)->payload.counters.dropped[UL_CAUSE_SPACE] = 1;
	block_at(2)->payload.counters.dropped[UL_CAUSE_IO] = 2;
	block_at(2)->payload.counters.dropped[UL_CAUSE_REENTERED] = 3;
	seal_block(2, 1);
	segment_end("all-kinds.seg", PAGES(6), &state);
}

/* Page 4, of which nothing is known to be durable. */
static void put_troubled_page(void)
{
	struct call call = plain_call(1);
	put_text(UL_CLASS_MODEL, model_text, MODEL_BYTES, (const uint32_t[]){256});
	put_call(257, &call);
	runs_add(&segment.holes, 258);
	write_call(259, &call);
	make_unfinished(259);
	runs_add(&segment.unfinished, 259);
	write_call(260, &call);
	damage(260, 24);
	write_call(261, &call);
	slot_at(261)->tag = ul_tag(9, 256);
	make_unknown(261);
	write_call(262, &call);
	slot_at(262)->word |= UL_CONTEXT_RESERVED;
	make_unknown(262);
	put_call(263, &call);
	write_call(264, &call);
	damage(264, 0);
}

/* Page 5, of which four slots are said to be durable: two of them are lost. */
static void put_lossy_page(void)
{
	struct call call = plain_call(2);
	put_call(320, &call);
	runs_add(&segment.damaged, 321);
	write_call(322, &call);
	make_unfinished(322);
	runs_add(&segment.damaged, 322);
	put_call(323, &call);
	runs_add(&segment.holes, 324);
	put_call(325, &call);
	set_durable(5, 4);
}

static void make_trouble(void)
{
	static const struct ul_id id = {{1, 2, 3}};
	struct call call = plain_call(3);
	segment_begin(2);
	seal_headers();
	put_troubled_page();
	put_lossy_page();
	/* Page 6: its table entry cannot be, and its last slot's id does not reach into the next page. */
	put_call(384, &call);
	for (uint32_t slot = 385; slot < 447; slot++)
		runs_add(&segment.holes, slot);
	put_id(447, &id);
	set_durable(6, 65);
	segment.table_damaged = 1;
	put_call(448, &call);
	segment_end("trouble.seg", PAGES(8), NULL);
}

static void set_sync(uint32_t index, uint64_t first_page, uint64_t page_count)
{
	block_at(index)->payload.sync.first_page = first_page;
	block_at(index)->payload.sync.page_count = page_count;
	seal_block(index, 3);
}

static void make_state(void)
{
	static const struct state state = {
		.boot_id = "\"0b000000000000000000000000000000\"",
		.counters = "{\"attempted\": \"9\", \"dropped\": [0, 0, 0, 0, 0, 0, 0, 0]}",
		.syncs = "[{\"block\": 4, \"state\": \"set\", \"first_page\": 4, \"page_count\": 2}, {\"block\": 5, "
			 "\"state\": \"torn\"}, "
			 "{\"block\": 7, \"state\": \"torn\"}]",
	};
	segment_begin(3);
	seal_headers();
	put_plain();
	block_at(0)->payload.boot_id[0] = 0x0a;
	seal_block(0, 4);
	block_at(1)->payload.boot_id[0] = 0x0b;
	seal_block(1, 5);
	block_at(2)->payload.counters.attempted = 9;
	seal_block(2, 9);
	block_at(3)->payload.counters.attempted = 10;
	seal_block(3, 10);
	block_at(3)->payload.counters.attempted = 11;
	set_sync(4, 4, 2);
	set_sync(5, 4, 2);
	block_at(5)->payload.sync.page_count = 3;
	set_sync(6, 4, 0);
	set_sync(7, 5, 1);
	block_at(7)->checksum = 0;
	segment_end("state.seg", PAGES(5), &state);
}

static void make_damaged_headers(void)
{
	segment_begin(4);
	seal_headers();
	put_plain();
	segment.bytes[70] ^= 1;
	segment.page_verdicts[0] = "damaged";
	segment_end("first-header-damaged.seg", PAGES(5), NULL);

	segment_begin(5);
	seal_headers();
	put_plain();
	memset(segment.bytes, 0, 512);
	segment.bytes[UL_PAGE_BYTES + 4000] ^= 1;
	segment.page_verdicts[0] = segment.page_verdicts[1] = segment.header_verdict = "damaged";
	segment_end_refused("both-headers-damaged.seg", PAGES(5));

	segment_begin(6);
	seal_headers();
	segment.header_verdict = segment.page_verdicts[0] = segment.page_verdicts[1] = "damaged";
	segment_end_refused("cut-in-header.seg", 60);

	/* What is cut off reads as zeros, and here it was zero. */
	segment_begin(17);
	seal_headers();
	segment.page_verdicts[1] = "damaged";
	segment_end("cut-behind-header.seg", 100, NULL);

	segment_begin(7);
	segment.header_verdict = segment.page_verdicts[0] = segment.page_verdicts[1] = "damaged";
	segment_end_refused("no-bytes.seg", 0);
}

/* A sealed header that breaks a rule. */
static void make_header(uint8_t number, const char *name, const char *verdict, void (*change)(void))
{
	segment_begin(number);
	change();
	segment.header_verdict = segment.page_verdicts[0] = segment.page_verdicts[1] = verdict;
	segment_end_refused(name, PAGES(2));
}

static void change_version(void)
{
	segment.header.version = 2;
	seal_headers();
}

static void change_incompatible(void)
{
	segment.header.flags_incompatible = 4;
	seal_headers();
}

static void change_size(void)
{
	segment.header.size_bytes = SEGMENT_BYTES + 512;
	seal_headers();
}

static void change_reserved(void)
{
	seal_headers();
	for (size_t page = 0; page < 2; page++) {
		uint8_t *bytes = segment.bytes + page * UL_PAGE_BYTES;
		bytes[UL_SEGMENT_HEADER_BYTES] = 1;
		uint64_t sum = ul_header_checksum(bytes);
		memcpy(bytes + offsetof(struct ul_segment_header, checksum), &sum, sizeof(sum));
	}
}

static void make_refused_headers(void)
{
	make_header(8, "newer-version.seg", "newer", change_version);
	make_header(9, "newer-incompatible-flag.seg", "newer", change_incompatible);
	make_header(10, "size-out-of-range.seg", "damaged", change_size);
	make_header(11, "reserved-not-zero.seg", "damaged", change_reserved);
}

static void make_flags(void)
{
	segment_begin(12);
	segment.header.flags_read_compatible = 1;
	seal_headers();
	put_plain();
	segment_end("read-compatible-flag.seg", PAGES(5), NULL);

	segment_begin(13);
	segment.header.flags_compatible = 1U << 31;
	seal_headers();
	put_plain();
	segment_end("compatible-flag.seg", PAGES(5), NULL);

	/* Both pages are sound, and the first one counts. */
	segment_begin(14);
	segment.header.inode = 1;
	seal_headers();
	segment.header.generation = 9;
	ul_header_seal(segment.bytes + UL_PAGE_BYTES, &segment.header);
	segment.header.generation = 0;
	segment_end("headers-differ.seg", PAGES(4), NULL);

	segment_begin(15);
	seal_headers();
	segment_end("never-used.seg", PAGES(2), NULL);
}

/* A segment and its rescue file: slot 258 is damaged in the first alone, 259 differs, 260 and 261 are in the rescue
 * file alone, 262 is damaged in both. */
static void make_rescue(void)
{
	struct list merged;
	struct call calls[8];
	char name[UL_ID_TEXT_BYTES];
	char file[2][UL_ID_TEXT_BYTES + sizeof(".1.seg")];
	struct ul_id id = segment_id(16);
	list_begin(&merged);
	for (uint32_t i = 0; i < 8; i++)
		calls[i] = plain_call(1000 + i);
	for (uint32_t generation = 0; generation < 2; generation++) {
		segment_begin(16);
		segment.header.generation = generation;
		segment.header.inode += generation;
		seal_headers();
		put_text(UL_CLASS_MODEL, model_text, MODEL_BYTES, (const uint32_t[]){256});
		put_call(257, &calls[1]);
		if (generation == 0) {
			write_call(258, &calls[2]);
			damage(258, 40);
		} else {
			put_call(258, &calls[2]);
		}
		put_call(259, &calls[generation ? 7 : 3]);
		if (generation == 0) {
			runs_add(&segment.holes, 260);
			runs_add(&segment.holes, 261);
		} else {
			put_call(260, &calls[4]);
			put_call(261, &calls[5]);
		}
		write_call(262, &calls[6]);
		damage(262, 20 + generation);
		set_durable(FIRST_PAGE, generation ? 7 : 2);
		ul_id_format(name, &id);
		snprintf(file[generation], sizeof(file[generation]), generation ? "%s.1.seg" : "%s.seg", name);
		segment_end(file[generation], PAGES(5), NULL);
	}
	for (uint32_t i = 1; i <= 5; i++)
		list_whole_call(&merged, 256 + i, &calls[i]);
	fprintf(verdicts, "\n  },\n  \"groups\": [{\"files\": [\"%s\", \"%s\"], \"valid\": 6, \"conflicts\": [259]",
		file[0], file[1]);
	list_end(&merged);
	fprintf(verdicts, "}]");
}

/* log.conf. */

static void end_verdict(const char *verdict, const char *why)
{
	fprintf(verdicts, ", \"verdict\": \"%s\", \"why\": ", verdict);
	print_text(verdicts, why);
	fprintf(verdicts, "}");
}

static void make_sealed_conf(const char *name, const char *text, const char *verdict, const char *why)
{
	char sealed[1024];
	int bytes = snprintf(sealed, sizeof(sealed), "%schecksum %016" PRIx64 "\n", text,
			     (uint64_t)XXH3_64bits(text, strlen(text)));
	write_file(name, sealed, (size_t)bytes);
	begin_verdict(name, "conf");
	end_verdict(verdict, why);
}

#define CONF_HEAD "usagelog 1\nlog_id 00112233445566778899aabbccddeeff\n"

static void make_confs(void)
{
	static const char full[] = CONF_HEAD
		"time_zone Europe/Berlin\nfallback /mnt/backup/usagelog\nfallback /var/tmp/a b\n"
		"summary /srv/www/caf\xc3\xa9.json\nretention_days 4294967295\ngroup_by user\ngroup_by team\n";
	static const char damaged[] =
		CONF_HEAD "time_zone UTC\nsummary summary.json\nretention_days 0\nchecksum 0123456789abcdef\n";
	make_sealed_conf("full.conf", full, "valid", "every key is there");
	make_sealed_conf("least.conf", CONF_HEAD "time_zone UTC\nsummary summary.json\nretention_days 0\n", "valid",
			 "no key that may be absent is there");
	write_file("bad-checksum.conf", damaged, sizeof(damaged) - 1);
	begin_verdict("bad-checksum.conf", "conf");
	end_verdict("damaged", "the checksum disagrees");
	make_sealed_conf("bad-order.conf", CONF_HEAD "summary summary.json\ntime_zone UTC\nretention_days 0\n",
			 "damaged", "the keys stand in another order");
	make_sealed_conf("empty-value.conf", CONF_HEAD "time_zone \nsummary summary.json\nretention_days 0\n",
			 "damaged", "a value is empty");
	make_sealed_conf("relative-fallback.conf",
			 CONF_HEAD "time_zone UTC\nfallback backup\nsummary summary.json\nretention_days 0\n",
			 "damaged", "a fallback is no absolute path");
	make_sealed_conf("unknown-key.conf",
			 CONF_HEAD "time_zone UTC\nsummary summary.json\nretention_days 0\ncolour blue\n", "damaged",
			 "a key that version 1 does not have");
	make_sealed_conf("newer.conf", "usagelog 2\ncolour blue\n", "newer", "the first line names version 2");
}

/* Containers. */

static const char *const container_names[UL_CONTAINER_KINDS][2] = {
	[UL_CONTAINER_FACTS] = {"facts", "facts"},
	[UL_CONTAINER_CHECKPOINT] = {"checkpoint", "checkpoint"},
	[UL_CONTAINER_IDS] = {"ids", "ids"},
	[UL_CONTAINER_PRICES] = {"prices", "prices"},
};

static void put_container(enum ul_container_kind kind, const char *variant, void *bytes, size_t size_bytes,
			  const char *verdict, const char *why)
{
	char name[64];
	snprintf(name, sizeof(name), "%s.%s", variant, container_names[kind][1]);
	write_file(name, bytes, size_bytes);
	begin_verdict(name, container_names[kind][0]);
	end_verdict(verdict, why);
	free(bytes);
}

static void make_container_variants(enum ul_container_kind kind)
{
	size_t size;
	struct ul_container_header *bytes = sample_build(kind, 0, 0, &size);
	put_container(kind, "good", bytes, size, "valid", "every section is in use");
	bytes = sample_build(kind, 0, 0, &size);
	((uint8_t *)bytes)[size - 9] ^= 1;
	put_container(kind, "bad-checksum", bytes, size, "damaged", "one bit near the end is another");
	bytes = sample_build(kind, 0, 0, &size);
	bytes->version = 2;
	sample_seal(bytes, size);
	put_container(kind, "newer-version", bytes, size, "newer", "version 2");
	bytes = sample_build(kind, 999, 0, &size);
	put_container(kind, "unknown-optional", bytes, size, "valid", "an unknown section of type 999 is ignored");
	bytes = sample_build(kind, UL_SECTION_MANDATORY, 0, &size);
	put_container(kind, "unknown-mandatory", bytes, size, "newer",
		      "an unknown section of type 1000 must not be ignored");
}

/* Of the many ways to break a rule, those that a careless reader overlooks; test_container.c has them all. */
static void make_spoiled_containers(void)
{
	static const struct {
		const char *variant;
		const char *why;
	} chosen[] = {
		{"bad-index", "dimensions' index out of range"},
		{"bad-dimensions", "dimensions are no context"},
		{"row-twice", "a row twice"},
		{"strings-order", "strings do not rise"},
		{"shared-bucket", "histograms share a bucket"},
		{"runs-touch", "runs touch"},
		{"unknown-state", "unknown state"},
		{"calls-order", "call's time falls"},
		{"total-band", "totals' row with a prompt band"},
		{"day-name", "a day's sum with a name"},
		{"model-twice", "a model's sum twice"},
		{"hour-zero", "an hour whose zero is not"},
		{"attribute-number", "an attribute's sum with a number"},
		{"id-twice", "an id twice"},
		{"standing", "standing 2"},
		{"huge-count", "so many records that their size wraps"},
		{"bands-overlap", "bands overlap"},
	};
	for (size_t i = 0; i < sizeof(chosen) / sizeof(chosen[0]); i++) {
		size_t change = 0;
		while (strcmp(sample_changes[change].why, chosen[i].why) != 0)
			change++;
		size_t size;
		void *bytes = sample_build(sample_changes[change].kind, 0, 0, &size);
		sample_spoil(bytes, size, &sample_changes[change]);
		put_container(sample_changes[change].kind, chosen[i].variant, bytes, size, "damaged", chosen[i].why);
	}
}

static void make_containers(void)
{
	size_t size;
	make_container_variants(UL_CONTAINER_FACTS);
	make_container_variants(UL_CONTAINER_CHECKPOINT);
	make_container_variants(UL_CONTAINER_IDS);
	struct ul_container_header *bytes = sample_build(UL_CONTAINER_CHECKPOINT, 0, 0, &size);
	bytes->flags_incompatible = 1;
	sample_seal(bytes, size);
	put_container(UL_CONTAINER_CHECKPOINT, "newer-flag", bytes, size, "newer", "an unknown incompatible flag");
	bytes = sample_build(UL_CONTAINER_FACTS, 0, UL_SECTION_QUARTERS, &size);
	put_container(UL_CONTAINER_FACTS, "no-quarters", bytes, size, "damaged", "a required section is missing");
	bytes = sample_build(UL_CONTAINER_IDS, 0, 0, &size);
	put_container(UL_CONTAINER_IDS, "cut", bytes, size - 32, "damaged", "the last record is missing");
	make_spoiled_containers();
	make_container_variants(UL_CONTAINER_PRICES);
}

int main(int argc, char **argv)
{
	/* Rescue is the last: it ends the files and begins the groups. */
	static void (*const steps[])(void) = {
		make_confs,           make_containers,      make_all_kinds, make_trouble, make_state,
		make_damaged_headers, make_refused_headers, make_flags,     make_rescue,
	};
	char *text;
	size_t bytes;
	if (argc != 2) {
		fprintf(stderr, "usage: make_golden DIRECTORY\n");
		return 16;
	}
	directory = argv[1];
	verdicts = open_memstream(&text, &bytes);
	if (!verdicts)
		die("memory");
	fprintf(verdicts, "{\n  \"format_version\": %d,\n  \"files\": {", UL_VERSION);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		steps[i]();
	fprintf(verdicts, "\n}\n");
	if (fclose(verdicts) != 0)
		die("memory");
	write_file("verdicts.json", text, bytes);
	free(text);
	return 0;
}
