/*
 * Calls as JSON lines and as CSV: one table of fields for both, under OpenTelemetry's names where there are some (draft.h). JSON lines are exact and import
 * takes them as they are; in CSV, text that a spreadsheet would take for a formula has a quote before it.
 */
#include <inttypes.h>
#include <string.h>

#include "csv.h"
#include "draft.h"
#include "export.h"
#include "money.h"
#include "timetext.h"

static const char created[] = "gen_ai.usage.cache_creation.input_tokens";

/* What stands before a value: the comma, and in JSON the name. */
static void begin_value(FILE *stream, bool csv, const char *name)
{
	if (csv)
		putc(',', stream);
	else
		fprintf(stream, ",\"%s\":", name);
}

static const char *name_of(enum call_field field)
{
	return field_attributes[field] ? field_attributes[field] : field_names[field];
}

static void print_none(FILE *stream, bool csv)
{
	if (!csv)
		fputs("null", stream);
}

/* ---- text ---------------------------------------------------------------------------------------------------- */

/* Spreadsheets take text that begins so for a formula. */
static bool is_formula(const char *text, size_t bytes)
{
	return bytes && strchr("=+-@\t\r", *text);
}

static void print_cell(FILE *stream, const char *text, size_t bytes)
{
	char quoted[UL_CONTEXT_BYTES_MAX + 1];
	if (!is_formula(text, bytes) || bytes > UL_CONTEXT_BYTES_MAX) {
		csv_print(stream, text, bytes);
		return;
	}
	quoted[0] = '\'';
	memcpy(quoted + 1, text, bytes);
	csv_print(stream, quoted, bytes + 1);
}

static void print_text(FILE *stream, bool csv, enum call_field field, struct ul_text text)
{
	begin_value(stream, csv, name_of(field));
	if (csv)
		print_cell(stream, text.text, text.bytes);
	else
		calls_print_json(stream, text.text, text.bytes);
}

static void print_model(FILE *stream, bool csv, struct ul_text provider, struct ul_text model)
{
	print_text(stream, csv, FIELD_PROVIDER, provider);
	print_text(stream, csv, FIELD_MODEL, model);
}

/* A member of the context: JSON as it is, in CSV the plain text. */
static void print_member(FILE *stream, bool csv, enum call_field field, struct ul_json_span context)
{
	char plain[UL_CONTEXT_BYTES_MAX];
	struct ul_json_span value = ul_json_member(context, field_names[field]);
	begin_value(stream, csv, name_of(field));
	if (value.type == UL_JSON_END) {
		print_none(stream, csv);
	} else if (!csv) {
		fwrite(value.text, 1, value.bytes, stream);
	} else if (value.type == UL_JSON_STRING) {
		ptrdiff_t bytes = ul_json_unescape(value, plain, sizeof(plain));
		print_cell(stream, plain, bytes < 0 ? 0 : (size_t)bytes);
	} else {
		print_cell(stream, value.text, value.bytes);
	}
}

static void print_context(FILE *head, FILE *tail, bool csv, struct ul_json_span context)
{
	print_member(head, csv, FIELD_OPERATION, context);
	print_member(tail, csv, FIELD_ERROR_TYPE, context);
	print_member(tail, csv, FIELD_SERVICE_TIER, context);
	print_member(tail, csv, FIELD_SESSION_ID, context);
	print_member(tail, csv, FIELD_METADATA, context);
}

static void json_model(FILE *head, FILE *tail, struct ul_text provider, struct ul_text model)
{
	(void)tail;
	print_model(head, false, provider, model);
}

static void csv_model(FILE *head, FILE *tail, struct ul_text provider, struct ul_text model)
{
	(void)tail;
	print_model(head, true, provider, model);
}

static void json_context(FILE *head, FILE *tail, struct ul_json_span context)
{
	print_context(head, tail, false, context);
}

static void csv_context(FILE *head, FILE *tail, struct ul_json_span context)
{
	print_context(head, tail, true, context);
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

/* A balance's tokens are of unknown kind: it has none of these. */
static void print_count(FILE *stream, bool csv, const char *name, bool has, uint64_t count)
{
	begin_value(stream, csv, name);
	if (has)
		fprintf(stream, "%" PRIu64, count);
	else
		print_none(stream, csv);
}

static void print_tokens(FILE *stream, bool csv, const struct ul_slot *slot)
{
	const struct ul_call_body *call = &slot->body.call;
	bool has = ul_slot_kind(slot) == UL_KIND_CALL;
	uint64_t written = (uint64_t)call->cache_write_5m_tokens + call->cache_write_1h_tokens;
	print_count(stream, csv, name_of(FIELD_INPUT_TOKENS), has,
		    (uint64_t)call->input_tokens + call->cache_read_tokens + written);
	print_count(stream, csv, name_of(FIELD_CACHE_READ_TOKENS), has, call->cache_read_tokens);
	print_count(stream, csv, created, has, written);
	print_count(stream, csv, name_of(FIELD_CACHE_WRITE_5M_TOKENS), has, call->cache_write_5m_tokens);
	print_count(stream, csv, name_of(FIELD_CACHE_WRITE_1H_TOKENS), has, call->cache_write_1h_tokens);
	print_count(stream, csv, name_of(FIELD_OUTPUT_TOKENS), has, call->output_tokens);
	print_count(stream, csv, name_of(FIELD_REASONING_TOKENS), has, call->reasoning_tokens);
}

static void print_ms(FILE *stream, bool csv, enum call_field field, bool has, uint64_t us)
{
	begin_value(stream, csv, name_of(field));
	if (has)
		calls_print_ms(stream, us);
	else
		print_none(stream, csv);
}

static void print_cost_and_times(FILE *stream, bool csv, const struct ul_slot *slot)
{
	char money[MONEY_TEXT_BYTES];
	uint64_t us = 0;
	bool call = ul_slot_kind(slot) == UL_KIND_CALL;
	begin_value(stream, csv, name_of(FIELD_COST_USD));
	if (slot->word & UL_UNPRICED)
		print_none(stream, csv);
	else
		fwrite(money, 1, money_print(money, slot->body.call.cost_pico_usd), stream);
	bool known = call && calls_latency_us(slot, &us);
	print_ms(stream, csv, FIELD_LATENCY_MS, known, us);
	print_ms(stream, csv, FIELD_TTFT_MS, call && slot->body.call.ttft_us, slot->body.call.ttft_us);
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static void print_id(FILE *stream, bool csv, enum call_field field, const struct ul_id *id)
{
	char digits[UL_ID_TEXT_BYTES];
	ul_id_format(digits, id);
	begin_value(stream, csv, name_of(field));
	fprintf(stream, csv ? "%s" : "\"%s\"", digits);
}

static void print_line(FILE *stream, bool csv, const struct call_line *line, const struct ul_id *id)
{
	const struct ul_slot *slot = line->slot;
	bool balance = ul_slot_kind(slot) == UL_KIND_BALANCE;
	char time[TIMETEXT_BYTES];
	timetext_print(time, slot->body.call.time_ns);
	fprintf(stream, csv ? "%s" : "{\"time\":\"%s\"", time);
	fputs(line->model.head, stream);
	fputs(line->context.head, stream);
	print_tokens(stream, csv, slot);
	print_cost_and_times(stream, csv, slot);
	fputs(line->context.tail, stream);
	print_id(stream, csv, FIELD_SEGMENT, line->segment);
	print_count(stream, csv, name_of(FIELD_SLOT), true, line->number);
	print_id(stream, csv, FIELD_CALL_ID, id);
	if (balance || csv) {
		begin_value(stream, csv, name_of(FIELD_KIND));
		fputs(!balance ? "" : csv ? "balance" : "\"balance\"", stream);
		print_count(stream, csv, "calls", balance, slot->body.balance.calls);
		print_count(stream, csv, "tokens", balance, slot->body.balance.tokens);
		print_count(stream, csv, "scope", balance, slot->body.balance.scope);
	}
	fputs(csv ? "\n" : "}\n", stream);
}

static void json_line(struct export *export, const struct call_line *line, const struct ul_id *id)
{
	print_line(export->stream, false, line, id);
}

static void csv_line(struct export *export, const struct call_line *line, const struct ul_id *id)
{
	print_line(export->stream, true, line, id);
}

/* The names in the order of print_line(). */
static void csv_begin(struct export *export)
{
	static const char *const balance[] = {"kind", "calls", "tokens", "scope"};
	static const enum call_field before[] = {FIELD_PROVIDER, FIELD_MODEL, FIELD_OPERATION, FIELD_INPUT_TOKENS,
						 FIELD_CACHE_READ_TOKENS};
	static const enum call_field after[] = {FIELD_CACHE_WRITE_5M_TOKENS,
						FIELD_CACHE_WRITE_1H_TOKENS,
						FIELD_OUTPUT_TOKENS,
						FIELD_REASONING_TOKENS,
						FIELD_COST_USD,
						FIELD_LATENCY_MS,
						FIELD_TTFT_MS,
						FIELD_ERROR_TYPE,
						FIELD_SERVICE_TIER,
						FIELD_SESSION_ID,
						FIELD_METADATA,
						FIELD_SEGMENT,
						FIELD_SLOT,
						FIELD_CALL_ID};
	fputs(field_names[FIELD_TIME], export->stream);
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		fprintf(export->stream, ",%s", name_of(before[i]));
	fprintf(export->stream, ",%s", created);
	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++)
		fprintf(export->stream, ",%s", name_of(after[i]));
	for (size_t i = 0; i < sizeof(balance) / sizeof(balance[0]); i++)
		fprintf(export->stream, ",%s", balance[i]);
	putc('\n', export->stream);
}

const struct export_format export_jsonl = {.texts = {.model = json_model, .context = json_context}, .line = json_line};
const struct export_format export_csv = {
	.texts = {.model = csv_model, .context = csv_context}, .begin = csv_begin, .line = csv_line};
