/* The old tracker's file. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "import_tracker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "context.h"
#include "decimal.h"
#include "import_format.h"
#include "money.h"
#include "timetext.h"

/* ---- the format ---------------------------------------------------------------------------------------------- */

enum { TRACKER_DAYS = SLOT_OWN, TRACKER_MODELS, TRACKER_CALLS, TRACKER_TOKENS, TRACKER_COST, TRACKER_TOTAL };

static const struct import_path tracker_paths[] = {
	{"sessions[].timestamp", FIELD_TIME},
	{"sessions[].model", FIELD_MODEL},
	{"sessions[].provider", FIELD_PROVIDER},
	{"sessions[].input_tokens", FIELD_INPUT_TOKENS},
	{"sessions[].output_tokens", FIELD_OUTPUT_TOKENS},
	{"sessions[].total_tokens", TRACKER_TOTAL},
	{"sessions[].cost_usd", FIELD_COST_USD},
	{"sessions[].latency_ms", FIELD_LATENCY_MS},
	{"sessions[].operation", FIELD_OPERATION},
	{"sessions[].metadata", FIELD_METADATA},
	{"daily_totals", TRACKER_DAYS},
	{"daily_totals.*.calls", TRACKER_CALLS},
	{"daily_totals.*.tokens", TRACKER_TOKENS},
	{"daily_totals.*.cost", TRACKER_COST},
	{"model_breakdown", TRACKER_MODELS},
	{"model_breakdown.*.calls", TRACKER_CALLS},
	{"model_breakdown.*.tokens", TRACKER_TOKENS},
	{"model_breakdown.*.cost", TRACKER_COST},
	{NULL, 0},
};

enum { EVENT_SESSION = 1, EVENT_DAY, EVENT_MODEL };
static const struct import_path tracker_events[] = {
	{"sessions[]", EVENT_SESSION}, {"daily_totals.*", EVENT_DAY}, {"model_breakdown.*", EVENT_MODEL}, {NULL, 0}};

static bool is_tracker(struct import_reader *reader)
{
	return reader->find.spans[TRACKER_DAYS].type == UL_JSON_OBJECT;
}

/* Which provider a model's name tells of: well-known families. */
static const char *provider_of(struct field_value model)
{
	static const struct {
		const char *family, *provider;
	} families[] = {{"claude", "anthropic"}, {"gpt", "openai"}, {"chatgpt", "openai"}, {"o1", "openai"},
			{"o3", "openai"},        {"o4", "openai"},  {"gemini", "google"}};
	const char *from = model.text, *end = model.text + model.bytes;
	/* A family begins the name, or a part of it. */
	for (const char *at = from; at < end; at++) {
		if (at > from && at[-1] != '/' && at[-1] != '.')
			continue;
		for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
			size_t bytes = strlen(families[i].family);
			if ((size_t)(end - at) >= bytes && !strncasecmp(at, families[i].family, bytes) &&
			    (at + bytes == end || !((at[bytes] | 0x20) >= 'a' && (at[bytes] | 0x20) <= 'z')))
				return families[i].provider;
		}
	}
	return "unknown";
}

/* The calls have no ids: they are known by what they are, but for cost and latency, which are rounded on some ways that a file can go. Two that
 * are alike in all of this, to the microsecond, are one. */
static enum import_verdict take_session(struct import_reader *reader, struct field_value values[FIELD_COUNT],
					struct refusal *why)
{
	(void)why;
	if (!values[FIELD_PROVIDER].bytes) {
		const char *provider = provider_of(values[FIELD_MODEL]);
		values[FIELD_PROVIDER] = (struct field_value){provider, strlen(provider)};
	}
	static const enum call_field parts[] = {FIELD_TIME, FIELD_MODEL, FIELD_INPUT_TOKENS, FIELD_OUTPUT_TOKENS};
	struct field_value id = make_text(reader, "tracker");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		id = make_text(reader, "%.*s\n%.*s", (int)id.bytes, id.text, (int)values[parts[i]].bytes,
			       values[parts[i]].bytes ? values[parts[i]].text : "");
	values[FIELD_CALL_ID] = id;
	return IMPORT_CALL;
}

static void tracker_event(struct import_reader *reader, unsigned event, struct ul_json_span key,
			  struct ul_json_span value)
{
	if (event == EVENT_SESSION) {
		import_reader_record(reader, value);
		return;
	}
	uint64_t calls, tokens;
	int64_t cost = 0;
	struct refusal why = {0};
	struct ul_json_span *spans = reader->find.spans;
	struct field_value cost_text = found_text(reader, TRACKER_COST);
	if (!found_count(reader, TRACKER_CALLS, &calls) || !found_count(reader, TRACKER_TOKENS, &tokens) ||
	    (cost_text.bytes && decimal_parse(cost_text.text, cost_text.bytes, 12, &cost)) || calls >= UL_BALANCE_MAX ||
	    tokens >= UL_BALANCE_MAX) {
		refuse_record(&why, FIELD_COUNT, "has a total that is no count, no amount of money, or out of range");
		reader->sink->record(reader->sink->arg, value.text, IMPORT_REFUSED, NULL, &why);
	} else if (reader->sink->total) {
		spans[TRACKER_TOTAL] = key;
		reader->sink->total(reader->sink->arg, event == EVENT_DAY ? IMPORT_TOTAL_DAY : IMPORT_TOTAL_MODEL,
				    found_text(reader, TRACKER_TOTAL), calls, tokens, cost);
	}
	for (unsigned slot = TRACKER_CALLS; slot <= TRACKER_TOTAL; slot++)
		spans[slot].type = UL_JSON_END;
	reader->free = reader->scratch;
}

const struct import_format format_tracker = {
	.name = "tracker",
	.what = "the old tracker's file",
	.paths = tracker_paths,
	.events = tracker_events,
	.is = is_tracker,
	.take = take_session,
	.event = tracker_event,
	.document = true,
};

/* ---- what the totals have beyond the calls ------------------------------------------------------------------- */

/* Of a day or a model: the total less the calls. */
struct rest {
	uint64_t kind, name; /* the table's key */
	uint64_t provider;   /* a name; 0: none seen */
	int64_t calls, tokens;
	money_t cost;
	uint64_t total_calls, total_tokens;
	money_t total_cost;
	bool stands; /* there is a total */
};

/* A call of the file, by its id. */
struct seen {
	uint8_t id[16];
	uint64_t nothing;
};

/* Sums of floats, in the old tracker: a call. */
static const money_t noise_pico_usd = 1000000;

static struct rest *rest_of(struct import_tracker *tracker, enum import_total kind, const char *name, size_t bytes)
{
	uint64_t key[2] = {kind, names_intern(&tracker->names, name, bytes)};
	struct rest *rest = table_get(&tracker->rests, key);
	if (!rest || tracker->names.error)
		tracker->error = -ENOMEM;
	return tracker->error ? NULL : rest;
}

static void add_total(void *arg, enum import_total kind, struct field_value name, uint64_t calls, uint64_t tokens,
		      int64_t cost_pico_usd)
{
	struct rest *rest = rest_of(arg, kind, name.text, name.bytes);
	if (!rest)
		return;
	rest->stands = true;
	rest->calls += (int64_t)calls;
	rest->tokens += (int64_t)tokens;
	rest->cost += cost_pico_usd;
	rest->total_calls += calls;
	rest->total_tokens += tokens;
	rest->total_cost += cost_pico_usd;
}

static void subtract(struct import_tracker *tracker, enum import_total kind, const char *name, size_t bytes)
{
	const struct usagelog_call *call = &tracker->draft->call;
	struct rest *rest = rest_of(tracker, kind, name, bytes);
	if (!rest)
		return;
	rest->calls--;
	rest->tokens -= (int64_t)call->input_tokens + call->output_tokens;
	rest->cost -= call->flags & USAGELOG_COST ? call->cost_pico_usd : 0;
	rest->provider = names_intern(&tracker->names, tracker->draft->provider, strlen(tracker->draft->provider));
}

/* A call: it is none of what is left. */
static void look_at_call(void *arg, const char *at, enum import_verdict verdict,
			 const struct field_value values[FIELD_COUNT], const struct refusal *why)
{
	enum { DAY_BYTES = 10 };
	struct import_tracker *tracker = arg;
	struct refusal ignored;
	struct draft_rules rules = *tracker->rules;
	(void)at;
	(void)why;
	/* What will be refused stays in the totals. */
	if (verdict != IMPORT_CALL || !draft_make(tracker->draft, &rules, values, &ignored) ||
	    values[FIELD_TIME].bytes < DAY_BYTES)
		return;
	uint32_t count = tracker->seen.count;
	if (!table_get(&tracker->seen, tracker->draft->id))
		tracker->error = -ENOMEM;
	if (tracker->error || tracker->seen.count == count)
		return;
	bool known = tracker->log && import_log_has(tracker->log, tracker->draft->id);
	tracker->known += known;
	tracker->new += !known;
	subtract(tracker, IMPORT_TOTAL_DAY, values[FIELD_TIME].text, DAY_BYTES);
	subtract(tracker, IMPORT_TOTAL_MODEL, tracker->draft->model, strlen(tracker->draft->model));
}

/* Noon of a day, in the log's zone; 0: it is none. */
static int64_t noon_of(struct ul_text day)
{
	char text[64];
	int64_t time_ns;
	struct timetext_zone zone = {0};
	int length = snprintf(text, sizeof(text), "%.*sT12:00:00", (int)day.bytes, day.text);
	if (day.bytes != 10 || length < 0 || timetext_parse(&zone, text, (size_t)length, &time_ns))
		return 0;
	return time_ns;
}

struct balance_days {
	struct ul_text first, last;
	char first_totals[MONEY_TEXT_BYTES + 64]; /* nothing if it is the last day too */
};

static struct balance_days find_days(const struct import_tracker *tracker)
{
	struct balance_days days = {{"", 0}, {"", 0}, ""};
	const struct rest *first = NULL;
	for (uint32_t i = 0; i < tracker->rests.count; i++) {
		const struct rest *rest = table_record(&tracker->rests, i);
		struct ul_text name = names_text(&tracker->names, (uint32_t)rest->name);
		if (rest->kind != IMPORT_TOTAL_DAY || !rest->stands || !noon_of(name))
			continue;
		if (!first || names_compare(name, days.first) < 0) {
			days.first = name;
			first = rest;
		}
		if (!days.last.bytes || names_compare(name, days.last) > 0)
			days.last = name;
	}
	if (first && names_compare(days.first, days.last) != 0) {
		char cost[MONEY_TEXT_BYTES];
		money_print(cost, first->total_cost);
		snprintf(days.first_totals, sizeof(days.first_totals), "%" PRIu64 " %" PRIu64 " %s", first->total_calls,
			 first->total_tokens, cost);
	}
	return days;
}

/* A file is known by its first day, whose totals no longer change once there is another. */
static void balance_id(const struct balance_days *days, const char *what, struct ul_text name, uint8_t id[16])
{
	char text[2048];
	int length =
		snprintf(text, sizeof(text), "tracker\n%.*s\n%s\n%s\n%.*s", (int)days->first.bytes, days->first.text,
			 days->first_totals, what, name.bytes > 1024 ? 1024 : (int)name.bytes, name.text);
	usagelog_call_id(text, (size_t)length, id);
}

static bool is_nothing(const struct rest *rest)
{
	money_t cost = rest->cost < 0 ? -rest->cost : rest->cost;
	return !rest->calls && !rest->tokens && cost <= noise_pico_usd * 1000;
}

static int add_balance(struct import_tracker *tracker, const struct balance_days *days, const struct rest *rest)
{
	struct ul_text name = names_text(&tracker->names, (uint32_t)rest->name);
	bool day = rest->kind == IMPORT_TOTAL_DAY;
	struct ul_balance_body balance = {.time_ns = noon_of(day ? name : days->last), .scope = day ? 1 : 2};
	char model[UL_NAME_BYTES_MAX + 1] = "(unknown)";
	const char *provider = "(unknown)";
	uint8_t id[16];
	if (!rest->stands || is_nothing(rest))
		return 0;
	if (rest->calls < 0 || rest->tokens < 0 || !balance.time_ns || rest->cost != (int64_t)rest->cost) {
		tracker->contradictions++;
		return 0;
	}
	if (!day && name.bytes <= UL_NAME_BYTES_MAX && ul_name_is_valid(name.text, name.bytes)) {
		memcpy(model, name.text, name.bytes);
		model[name.bytes] = '\0';
		provider = provider_of((struct field_value){name.text, name.bytes});
	}
	char seen[UL_NAME_BYTES_MAX + 1];
	if (!day && rest->provider) {
		struct ul_text text = names_text(&tracker->names, (uint32_t)rest->provider);
		memcpy(seen, text.text, text.bytes);
		seen[text.bytes] = '\0';
		provider = seen;
	}
	balance.calls = (uint64_t)rest->calls;
	balance.tokens = (uint64_t)rest->tokens;
	balance.cost_pico_usd = (int64_t)rest->cost;
	balance_id(days, day ? "day" : "model", name, id);
	tracker->balances += !import_log_has(tracker->log, id);
	return import_log_balance(tracker->log, id, provider, model, &balance);
}

/* The balances are taken over once, before the calls, with the first import of a file. Later ones find some of its calls in the log: their own calls
 * are all that is new then, or, if there is none, calls have passed that were in no file that was imported. */
static int add_balances(struct import_tracker *tracker)
{
	struct balance_days days = find_days(tracker);
	struct ul_balance_body nothing = {.time_ns = noon_of(days.last), .scope = 1};
	uint8_t mark[16];
	int error = 0;
	if (!days.first.bytes)
		return 0;
	balance_id(&days, "whole", (struct ul_text){"", 0}, mark);
	if (import_log_has(tracker->log, mark) && tracker->new && !tracker->known)
		tracker->gap = true;
	if (import_log_has(tracker->log, mark))
		return 0;
	for (uint32_t i = 0; i < tracker->rests.count && !error && !tracker->known; i++)
		error = add_balance(tracker, &days, table_record(&tracker->rests, i));
	return error ? error : import_log_balance(tracker->log, mark, "(unknown)", "(unknown)", &nothing);
}

int import_tracker_take(struct import_tracker *tracker, struct import_reader *reader, const char *text, size_t bytes)
{
	const struct import_sink *before = reader->sink, sink = {tracker, look_at_call, add_total};
	struct refusal why;
	int error = names_init(&tracker->names);
	if (error)
		return error;
	table_init(&tracker->rests, sizeof(struct rest));
	table_init(&tracker->seen, sizeof(struct seen));
	reader->sink = &sink;
	bool json = import_reader_take(reader, text, bytes, true, &why);
	reader->sink = before;
	error = tracker->error;
	if (json && !error && tracker->log)
		error = add_balances(tracker);
	table_clear(&tracker->rests);
	table_clear(&tracker->seen);
	names_clear(&tracker->names);
	return error;
}
