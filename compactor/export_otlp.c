/*
 * Calls as OpenTelemetry spans: each line of text is an ExportTraceServiceRequest in OTLP's JSON, of at most 1,000 spans, as collectors
 * take it. Ids are those of the calls, so that what is sent twice is the same spans.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <inttypes.h>
#include <string.h>

#include "draft.h"
#include "export.h"
#include "money.h"
#include "usagelog.h"

enum { SPANS_A_REQUEST = 1000, SPAN_KIND_CLIENT = 3, STATUS_CODE_ERROR = 2 };

/* ---- definitions --------------------------------------------------------------------------------------------- */

/* {"key":KEY,"value":{"stringValue":TEXT}} */
static void print_string(FILE *stream, const char *key, const char *text, size_t bytes)
{
	fprintf(stream, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
	calls_print_json(stream, text, bytes);
	fputs("}}", stream);
}

/* Text as it stands inside of a JSON string. */
static void print_inside(FILE *stream, const char *text, size_t bytes)
{
	char quoted[6 * UL_NAME_BYTES_MAX + 2];
	ptrdiff_t length = ul_json_quote(text, bytes, quoted, sizeof(quoted));
	if (length > 2)
		fwrite(quoted + 1, 1, (size_t)length - 2, stream);
}

/* Head: the model's name, inside of a string. Tail: attributes. */
static void print_model(FILE *head, FILE *tail, struct ul_text provider, struct ul_text model)
{
	print_inside(head, model.text, model.bytes);
	print_string(tail, field_attributes[FIELD_PROVIDER], provider.text, provider.bytes);
	putc(',', tail);
	print_string(tail, field_attributes[FIELD_MODEL], model.text, model.bytes);
}

static void print_member(FILE *stream, enum call_field field, const char *key, struct ul_json_span context)
{
	char plain[UL_CONTEXT_BYTES_MAX];
	struct ul_json_span value = ul_json_member(context, field_names[field]);
	if (value.type == UL_JSON_END)
		return;
	putc(',', stream);
	if (value.type == UL_JSON_STRING) {
		ptrdiff_t bytes = ul_json_unescape(value, plain, sizeof(plain));
		print_string(stream, key, plain, bytes < 0 ? 0 : (size_t)bytes);
	} else {
		print_string(stream, key, value.text, value.bytes);
	}
}

/* Head: what stands before the model in the span's name, inside of a string. Tail: more attributes, their end, and the status. */
static void print_context(FILE *head, FILE *tail, struct ul_json_span context)
{
	char plain[UL_CONTEXT_BYTES_MAX];
	struct ul_json_span operation = ul_json_member(context, field_names[FIELD_OPERATION]);
	if (operation.type == UL_JSON_STRING) {
		ptrdiff_t bytes = ul_json_unescape(operation, plain, sizeof(plain));
		print_inside(head, plain, bytes < 0 ? 0 : (size_t)bytes);
		putc(' ', head);
	}
	print_member(tail, FIELD_OPERATION, field_attributes[FIELD_OPERATION], context);
	print_member(tail, FIELD_ERROR_TYPE, field_attributes[FIELD_ERROR_TYPE], context);
	print_member(tail, FIELD_SESSION_ID, field_attributes[FIELD_SESSION_ID], context);
	print_member(tail, FIELD_SERVICE_TIER, "usagelog.service_tier", context);
	print_member(tail, FIELD_METADATA, "usagelog.metadata", context);
	fputs("],\"status\":{", tail);
	if (ul_json_member(context, field_names[FIELD_ERROR_TYPE]).type != UL_JSON_END)
		fprintf(tail, "\"code\":%d", STATUS_CODE_ERROR);
	putc('}', tail);
}

/* ---- spans ----------------------------------------------------------------------------------------------------- */

/* In OTLP's JSON, 64-bit integers are strings. */
static void print_count(FILE *stream, const char *key, uint64_t count)
{
	fprintf(stream, ",{\"key\":\"%s\",\"value\":{\"intValue\":\"%" PRIu64 "\"}}", key, count);
}

static void print_counts(FILE *stream, const struct ul_call_body *call)
{
	uint64_t written = (uint64_t)call->cache_write_5m_tokens + call->cache_write_1h_tokens;
	print_count(stream, field_attributes[FIELD_INPUT_TOKENS],
		    (uint64_t)call->input_tokens + call->cache_read_tokens + written);
	print_count(stream, field_attributes[FIELD_OUTPUT_TOKENS], call->output_tokens);
	if (call->cache_read_tokens)
		print_count(stream, field_attributes[FIELD_CACHE_READ_TOKENS], call->cache_read_tokens);
	if (written)
		print_count(stream, "gen_ai.usage.cache_creation.input_tokens", written);
	if (call->cache_write_1h_tokens)
		print_count(stream, "usagelog.cache_write_1h_tokens", call->cache_write_1h_tokens);
	if (call->reasoning_tokens)
		print_count(stream, field_attributes[FIELD_REASONING_TOKENS], call->reasoning_tokens);
}

static void print_cost_and_times(FILE *stream, const struct ul_slot *slot)
{
	char money[MONEY_TEXT_BYTES];
	uint32_t ttft_us = slot->body.call.ttft_us;
	if (!(slot->word & UL_UNPRICED))
		fprintf(stream, ",{\"key\":\"usagelog.cost_usd\",\"value\":{\"doubleValue\":%.*s}}",
			(int)money_print(money, slot->body.call.cost_pico_usd), money);
	if (ttft_us)
		fprintf(stream,
			",{\"key\":\"gen_ai.response.time_to_first_chunk\",\"value\":{\"doubleValue\":%" PRIu32
			".%06" PRIu32 "}}",
			ttft_us / 1000000, ttft_us % 1000000);
}

/* A trace is one call: its id is the call's. No id may be zero. */
static void print_ids(FILE *stream, const struct ul_id *id)
{
	char digits[UL_ID_TEXT_BYTES];
	uint64_t span = XXH3_64bits(id, sizeof(*id));
	ul_id_format(digits, id);
	fprintf(stream, "{\"traceId\":\"%s\",\"spanId\":\"%016" PRIx64 "\",", digits, span ? span : 1);
}

static void begin_request(const struct export *export)
{
	fprintf(export->stream, "%s{\"resourceSpans\":[{\"resource\":{\"attributes\":[",
		export->lines ? "]}]}]}\n" : "");
	print_string(export->stream, "service.name", "usagelog", strlen("usagelog"));
	putc(',', export->stream);
	print_string(export->stream, "usagelog.log_id", export->log_id, strlen(export->log_id));
	fprintf(export->stream, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"usagelog\",\"version\":\"%s\"},\"spans\":[",
		usagelog_version());
}

static void print_line(struct export *export, const struct call_line *line, const struct ul_id *id)
{
	FILE *stream = export->stream;
	const struct ul_call_body *call = &line->slot->body.call;
	/* Times of spans are unsigned; nobody called a model before 1970. */
	uint64_t begin_ns = call->time_ns < 0 ? 0 : (uint64_t)call->time_ns, us;
	if (export->lines % SPANS_A_REQUEST)
		putc(',', stream);
	else
		begin_request(export);
	print_ids(stream, id);
	fprintf(stream, "\"name\":\"%s%s\",\"kind\":%d,\"startTimeUnixNano\":\"%" PRIu64 "\",", line->context.head,
		line->model.head, SPAN_KIND_CLIENT, begin_ns);
	fprintf(stream, "\"endTimeUnixNano\":\"%" PRIu64 "\",\"attributes\":[",
		calls_latency_us(line->slot, &us) ? begin_ns + us * 1000 : begin_ns);
	fputs(line->model.tail, stream);
	print_counts(stream, call);
	print_cost_and_times(stream, line->slot);
	fputs(line->context.tail, stream);
	putc('}', stream);
}

static void end_last_request(struct export *export)
{
	if (export->lines)
		fputs("]}]}]}\n", export->stream);
}

const struct export_format export_otlp = {.texts = {.model = print_model, .context = print_context},
					  .line = print_line,
					  .end = end_last_request,
					  .calls_only = true};
