/* Fields to calls. One table says what each field is; the rules that join fields (cached tokens, reasoning, errors)
 * stand at the end. */
#include "draft.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "context.h"
#include "decimal.h"
#include "ids.h"
#include "slot.h"

const char *const field_names[FIELD_COUNT] = {
	[FIELD_TIME] = "time",
	[FIELD_PROVIDER] = "provider",
	[FIELD_MODEL] = "model",
	[FIELD_OPERATION] = "operation",
	[FIELD_INPUT_TOKENS] = "input_tokens",
	[FIELD_CACHE_READ_TOKENS] = "cache_read_tokens",
	[FIELD_CACHE_WRITE_5M_TOKENS] = "cache_write_5m_tokens",
	[FIELD_CACHE_WRITE_1H_TOKENS] = "cache_write_1h_tokens",
	[FIELD_OUTPUT_TOKENS] = "output_tokens",
	[FIELD_REASONING_TOKENS] = "reasoning_tokens",
	[FIELD_COST_USD] = "cost_usd",
	[FIELD_LATENCY_MS] = "latency_ms",
	[FIELD_TTFT_MS] = "ttft_ms",
	[FIELD_ERROR_TYPE] = "error_type",
	[FIELD_SERVICE_TIER] = "service_tier",
	[FIELD_SESSION_ID] = "session_id",
	[FIELD_CALL_ID] = "call_id",
	[FIELD_METADATA] = "metadata",
	[FIELD_IS_ERROR] = "is_error",
	[FIELD_KIND] = "kind",
	[FIELD_SEGMENT] = "segment",
	[FIELD_SLOT] = "slot",
	[FIELD_CALLS] = "calls",
	[FIELD_TOKENS] = "tokens",
	[FIELD_SCOPE] = "scope",
};

const char *const field_attributes[FIELD_COUNT] = {
	[FIELD_PROVIDER] = "gen_ai.provider.name",
	[FIELD_MODEL] = "gen_ai.request.model",
	[FIELD_OPERATION] = "gen_ai.operation.name",
	[FIELD_INPUT_TOKENS] = "gen_ai.usage.input_tokens",
	[FIELD_CACHE_READ_TOKENS] = "gen_ai.usage.cache_read.input_tokens",
	[FIELD_OUTPUT_TOKENS] = "gen_ai.usage.output_tokens",
	[FIELD_REASONING_TOKENS] = "gen_ai.usage.reasoning.output_tokens",
	[FIELD_ERROR_TYPE] = "error.type",
	[FIELD_SESSION_ID] = "gen_ai.conversation.id",
};

/* The API's limit of a latency, 4,294,967,295 ms, in us. */
#define LATENCY_US_MAX ((uint64_t)UINT32_MAX * 1000)

/* The reason follows the field's text, cut to what is worth seeing. */
static bool refuse(struct refusal *why, enum call_field field, struct field_value value, const char *reason)
{
	enum { SHOWN_BYTES = 40 };
	int shown = value.bytes > SHOWN_BYTES ? SHOWN_BYTES : (int)value.bytes;
	why->field = field;
	if (value.bytes)
		snprintf(why->reason, sizeof(why->reason), "\"%.*s%s\" %s", shown, value.text,
			 value.bytes > SHOWN_BYTES ? "..." : "", reason);
	else
		snprintf(why->reason, sizeof(why->reason), "%s", reason);
	return false;
}

static struct field_value trimmed(struct field_value value)
{
	while (value.bytes && (*value.text == ' ' || *value.text == '\t'))
		value.text++, value.bytes--;
	while (value.bytes && (value.text[value.bytes - 1] == ' ' || value.text[value.bytes - 1] == '\t'))
		value.bytes--;
	return value;
}

static bool take_count(const struct field_value values[FIELD_COUNT], enum call_field field, uint64_t most,
		       uint64_t *out, struct refusal *why)
{
	*out = 0;
	if (!values[field].bytes)
		return true;
	struct field_value value = trimmed(values[field]);
	if (!value.bytes)
		return true;
	enum decimal_error error = decimal_parse_count(value.text, value.bytes, most, out);
	if (error == DECIMAL_RANGE)
		return refuse(why, field, value, "is above 4,294,967,295");
	return !error || refuse(why, field, value, decimal_strerror(error));
}

static bool take_ms(const struct field_value values[FIELD_COUNT], enum call_field field, uint64_t us_max, uint64_t *us,
		    struct refusal *why)
{
	struct field_value value = trimmed(values[field]);
	*us = 0;
	if (!value.bytes)
		return true;
	enum decimal_error error = decimal_parse_positive(value.text, value.bytes, 3, us_max, us);
	if (error == DECIMAL_RANGE)
		return refuse(why, field, value,
			      us_max == LATENCY_US_MAX ? "is above 4,294,967,295 ms" : "is above 4,294,967.295 ms");
	return !error || refuse(why, field, value, decimal_strerror(error));
}

static bool take_cost(const struct field_value values[FIELD_COUNT], struct usagelog_call *call, struct refusal *why)
{
	struct field_value value = trimmed(values[FIELD_COST_USD]);
	if (!value.bytes)
		return true;
	enum decimal_error error = decimal_parse(value.text, value.bytes, 12, &call->cost_pico_usd);
	if (error == DECIMAL_RANGE)
		return refuse(why, FIELD_COST_USD, value, "is above 9,223,372 US dollars");
	if (error)
		return refuse(why, FIELD_COST_USD, value, decimal_strerror(error));
	call->flags |= USAGELOG_COST;
	return true;
}

static bool take_time(struct draft_rules *rules, const struct field_value values[FIELD_COUNT],
		      struct usagelog_call *call, struct refusal *why)
{
	struct field_value value = trimmed(values[FIELD_TIME]);
	if (!value.bytes)
		return true;
	enum timetext_error error = timetext_parse(&rules->zone, value.text, value.bytes, &call->time_ns);
	if (error)
		return refuse(why, FIELD_TIME, value, timetext_strerror(error));
	/* 0 stands for "now" in a call, and for a missing time in most sources. */
	return call->time_ns || refuse(why, FIELD_TIME, value, "is the beginning of 1970, where no call was made");
}

/* Copy a name to `out`, terminated; `*name` is NULL if it is not given. */
static bool take_name(const struct field_value values[FIELD_COUNT], enum call_field field,
		      char out[UL_NAME_BYTES_MAX + 1], const char **name, struct refusal *why)
{
	struct field_value value = values[field];
	*name = NULL;
	if (!value.bytes)
		return true;
	if (value.bytes > UL_NAME_BYTES_MAX)
		return refuse(why, field, value, "is longer than 1,024 bytes");
	*name = out;
	/* What stands there from the call before was found valid. */
	if (strlen(out) == value.bytes && !memcmp(out, value.text, value.bytes))
		return true;
	if (!ul_name_is_valid(value.text, value.bytes))
		return refuse(why, field, value, "has control characters or is not UTF-8");
	memcpy(out, value.text, value.bytes);
	out[value.bytes] = '\0';
	return true;
}

/* The library's own check is made beforehand: so a file can be refused before a call of it is recorded. Only metadata
 * can be wrong: the other attributes are names, and four of them fit. */
static bool make_context(struct draft *draft, struct refusal *why)
{
	const struct usagelog_attributes *given = &draft->names.attributes;
	struct ul_attributes attributes = {given->operation, given->error_type, given->service_tier, given->session_id,
					   given->metadata};
	draft->context_bytes = 0;
	if (!given->operation && !given->error_type && !given->service_tier && !given->session_id && !given->metadata)
		return true;
	switch (ul_context_build(&attributes, draft->context, &draft->context_bytes)) {
	case UL_CONTEXT_OK:
		return true;
	case UL_CONTEXT_TOO_LONG:
		return refuse(why, FIELD_METADATA, (struct field_value){0},
			      "is longer than 16,384 bytes, with the other attributes");
	default:
		return refuse(why, FIELD_METADATA, (struct field_value){0},
			      "is not a JSON object, is nested deeper than 32 levels, or has a key twice");
	}
}

static bool take_metadata(const struct field_value values[FIELD_COUNT], struct draft *draft, struct refusal *why)
{
	struct field_value value = values[FIELD_METADATA];
	draft->names.attributes.metadata = NULL;
	if (!value.bytes)
		return true;
	if (value.bytes > UL_CONTEXT_BYTES_MAX)
		return refuse(why, FIELD_METADATA, (struct field_value){0}, "is longer than 16,384 bytes");
	if (memchr(value.text, '\0', value.bytes))
		return refuse(why, FIELD_METADATA, (struct field_value){0}, "is not a JSON object");
	memcpy(draft->metadata, value.text, value.bytes);
	draft->metadata[value.bytes] = '\0';
	draft->names.attributes.metadata = draft->metadata;
	return true;
}

static bool take_error(const struct field_value values[FIELD_COUNT], struct draft *draft, struct refusal *why)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = {{"false", false}, {"0", false}, {"true", true}, {"1", true}};
	struct field_value value = trimmed(values[FIELD_IS_ERROR]);
	if (!take_name(values, FIELD_ERROR_TYPE, draft->error_type, &draft->names.attributes.error_type, why))
		return false;
	if (!value.bytes)
		return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i].text) != value.bytes || strncasecmp(words[i].text, value.text, value.bytes) != 0)
			continue;
		if (words[i].value && !draft->names.attributes.error_type)
			draft->names.attributes.error_type = "error";
		return true;
	}
	return refuse(why, FIELD_IS_ERROR, value, "is neither true nor false");
}

static bool take_names(const struct field_value values[FIELD_COUNT], struct draft *draft, struct refusal *why)
{
	struct usagelog_names *names = &draft->names;
	if (!take_name(values, FIELD_PROVIDER, draft->provider, &names->provider, why) ||
	    !take_name(values, FIELD_MODEL, draft->model, &names->model, why))
		return false;
	if (!names->provider)
		return refuse(why, FIELD_PROVIDER, (struct field_value){0}, "is missing");
	if (!names->model)
		return refuse(why, FIELD_MODEL, (struct field_value){0}, "is missing");
	return take_name(values, FIELD_OPERATION, draft->operation, &names->attributes.operation, why) &&
	       take_name(values, FIELD_SERVICE_TIER, draft->service_tier, &names->attributes.service_tier, why) &&
	       take_name(values, FIELD_SESSION_ID, draft->session_id, &names->attributes.session_id, why) &&
	       take_error(values, draft, why) && take_metadata(values, draft, why) && make_context(draft, why);
}

/* 32 digits as a log writes an id. */
static bool parse_id(struct field_value value, struct ul_id *id)
{
	return value.bytes == UL_ID_TEXT_BYTES - 1 && ul_id_parse(id, value.text);
}

/* Is it a line of a dump or an export? */
static bool is_dumped(const struct field_value values[FIELD_COUNT])
{
	struct ul_id segment;
	uint64_t slot;
	return parse_id(values[FIELD_SEGMENT], &segment) && values[FIELD_SLOT].bytes &&
	       !decimal_parse_count(values[FIELD_SLOT].text, values[FIELD_SLOT].bytes, UINT32_MAX, &slot);
}

static bool take_counts(const struct draft_rules *rules, const struct field_value values[FIELD_COUNT],
			struct usagelog_call *call, struct refusal *why)
{
	/* Four counts may be in one. */
	uint64_t counts[FIELD_COUNT], most_input = rules->input_includes_cache ? 4 * (uint64_t)UINT32_MAX : UINT32_MAX;
	for (enum call_field field = FIELD_INPUT_TOKENS; field <= FIELD_REASONING_TOKENS; field++)
		if (!take_count(values, field, field == FIELD_INPUT_TOKENS ? most_input : UINT32_MAX, &counts[field],
				why))
			return false;
	uint64_t cached = counts[FIELD_CACHE_READ_TOKENS] + counts[FIELD_CACHE_WRITE_5M_TOKENS] +
			  counts[FIELD_CACHE_WRITE_1H_TOKENS];
	if (rules->input_includes_cache) {
		if (cached > counts[FIELD_INPUT_TOKENS])
			return refuse(why, FIELD_INPUT_TOKENS, values[FIELD_INPUT_TOKENS],
				      "is less than the cached tokens that it is said to include");
		counts[FIELD_INPUT_TOKENS] -= cached;
		if (counts[FIELD_INPUT_TOKENS] > UINT32_MAX)
			return refuse(why, FIELD_INPUT_TOKENS, values[FIELD_INPUT_TOKENS],
				      "less the cached tokens is above 4,294,967,295");
	}
	/* What a log has is taken as it has it. */
	if (counts[FIELD_REASONING_TOKENS] > counts[FIELD_OUTPUT_TOKENS] && !is_dumped(values))
		return refuse(why, FIELD_REASONING_TOKENS, values[FIELD_REASONING_TOKENS],
			      "is above output_tokens, of which it is a part");
	call->input_tokens = (uint32_t)counts[FIELD_INPUT_TOKENS];
	call->cache_read_tokens = (uint32_t)counts[FIELD_CACHE_READ_TOKENS];
	call->cache_write_5m_tokens = (uint32_t)counts[FIELD_CACHE_WRITE_5M_TOKENS];
	call->cache_write_1h_tokens = (uint32_t)counts[FIELD_CACHE_WRITE_1H_TOKENS];
	call->output_tokens = (uint32_t)counts[FIELD_OUTPUT_TOKENS];
	call->reasoning_tokens = (uint32_t)counts[FIELD_REASONING_TOKENS];
	return true;
}

static bool is_kind(const struct field_value values[FIELD_COUNT], const char *kind)
{
	return values[FIELD_KIND].bytes == strlen(kind) && !memcmp(values[FIELD_KIND].text, kind, strlen(kind));
}

/* A reversal is a line of a dump too; taken as a call it would count what it takes back. */
static bool check_kind(const struct field_value values[FIELD_COUNT], struct refusal *why)
{
	return !is_kind(values, "reversal") || refuse(why, FIELD_KIND, values[FIELD_KIND],
						      "takes a call back, and only calls and balances can be imported");
}

/* The figures of an opening balance; time and cost are a call's. */
static bool take_balance(const struct field_value values[FIELD_COUNT], struct draft *draft, struct refusal *why)
{
	enum { SCOPE_MAX = 3 }; /* FORMAT.md 3.4 */
	uint64_t scope;
	draft->is_balance = true;
	draft->balance =
		(struct ul_balance_body){.time_ns = draft->call.time_ns, .cost_pico_usd = draft->call.cost_pico_usd};
	if (!take_count(values, FIELD_CALLS, UL_BALANCE_MAX - 1, &draft->balance.calls, why) ||
	    !take_count(values, FIELD_TOKENS, UL_BALANCE_MAX - 1, &draft->balance.tokens, why) ||
	    !take_count(values, FIELD_SCOPE, UINT32_MAX, &scope, why))
		return false;
	if (!scope || scope > SCOPE_MAX)
		return refuse(why, FIELD_SCOPE, values[FIELD_SCOPE], "is not 1, 2 or 3");
	draft->balance.scope = (uint32_t)scope;
	return true;
}

/* A dump's call_id is the id itself: hashed like a text it would be another one, and the calls of a dump that is
 * imported into its own log would all be added once more. */
static void take_id(const struct field_value values[FIELD_COUNT], struct draft *draft)
{
	struct field_value value = values[FIELD_CALL_ID];
	struct ul_id id;
	if (!value.bytes)
		return;
	if (is_dumped(values) && parse_id(value, &id))
		memcpy(draft->id, id.bytes, sizeof(draft->id));
	else
		usagelog_call_id(value.text, value.bytes, draft->id);
	draft->call.call_id = draft->id;
}

bool draft_make(struct draft *draft, struct draft_rules *rules, const struct field_value values[FIELD_COUNT],
		struct refusal *why)
{
	struct usagelog_call *call = &draft->call;
	uint64_t ttft_us;
	*call = (struct usagelog_call){0};
	draft->is_balance = false;
	if (!check_kind(values, why) || !take_time(rules, values, call, why) || !take_names(values, draft, why) ||
	    !take_counts(rules, values, call, why) || !take_cost(values, call, why) ||
	    !take_ms(values, FIELD_LATENCY_MS, LATENCY_US_MAX, &call->latency_us, why) ||
	    !take_ms(values, FIELD_TTFT_MS, UINT32_MAX, &ttft_us, why))
		return false;
	call->ttft_us = (uint32_t)ttft_us;
	take_id(values, draft);
	return !is_kind(values, "balance") || take_balance(values, draft, why);
}

uint64_t draft_content(const struct draft *draft)
{
	const struct usagelog_call *call = &draft->call;
	struct ul_text context = {draft->context, draft->context_bytes};
	/* In us, and in ms what is too long for that: as the library writes it. */
	uint64_t latency = call->latency_us;
	if (latency > UINT32_MAX)
		latency = latency / 1000 + (latency % 1000 >= 500);
	struct ul_slot slot = {.body.call = {
				       .time_ns = call->time_ns,
				       .cost_pico_usd = call->flags & USAGELOG_COST ? call->cost_pico_usd : 0,
				       .input_tokens = call->input_tokens,
				       .cache_read_tokens = call->cache_read_tokens,
				       .cache_write_5m_tokens = call->cache_write_5m_tokens,
				       .cache_write_1h_tokens = call->cache_write_1h_tokens,
				       .output_tokens = call->output_tokens,
				       .reasoning_tokens = call->reasoning_tokens,
				       .latency = (uint32_t)latency,
				       .ttft_us = call->ttft_us,
			       }};
	if (!context.bytes)
		context = (struct ul_text){"{}", 2};
	return id_content((struct ul_text){draft->provider, strlen(draft->provider)},
			  (struct ul_text){draft->model, strlen(draft->model)}, context, &slot);
}
