/* The formats that are lines of JSON, or could be. */
#include "import_format.h"

#include <inttypes.h>
#include <string.h>

#include "decimal.h"

static const struct import_format *const formats[IMPORT_FORMATS] = {
	&format_tracker, &format_otlp, &format_codex, &format_claude_code, &format_litellm, &format_responses,
};

const struct import_format *import_format_at(size_t index)
{
	return index < IMPORT_FORMATS ? formats[index] : NULL;
}

const struct import_format *import_format_named(const char *name)
{
	size_t index = 0;
	while (import_format_at(index) && strcmp(formats[index]->name, name) != 0)
		index++;
	return import_format_at(index);
}

/* ---- paths --------------------------------------------------------------------------------------------------- */

enum { PLACES_A_PATH = 32, PATH_TEXTS_BYTES = 16384 };

/* Paths under each place. The joined texts must live on: they stand in the reader's state, behind the format's own. */
static bool add_paths(const struct import_format *format, struct import_reader *reader, char *texts, size_t room)
{
	static const char *const whole[] = {"", NULL};
	const char *const *places = format->places ? format->places : whole;
	for (unsigned place = 0; places[place]; place++) {
		for (unsigned i = 0; format->paths[i].path; i++) {
			size_t head = strlen(places[place]), tail = strlen(format->paths[i].path) + 1;
			if (head + tail > room || i >= PLACES_A_PATH)
				return false;
			memcpy(texts, places[place], head);
			memcpy(texts + head, format->paths[i].path, tail);
			if (!ul_json_paths_add(&reader->paths, texts, format->paths[i].slot, place * PLACES_A_PATH + i))
				return false;
			texts += head + tail;
			room -= head + tail;
		}
	}
	for (unsigned i = 0; format->events && format->events[i].path; i++)
		if (!ul_json_paths_event(&reader->paths, format->events[i].path, format->events[i].slot))
			return false;
	return true;
}

static int import_format_open(const struct import_format *format, struct import_reader *reader)
{
	int error = import_reader_open(reader, format->state_bytes, PATH_TEXTS_BYTES);
	if (error)
		return error;
	bool added = add_paths(format, reader, reader->texts, PATH_TEXTS_BYTES);
	/* A table that is too long is a mistake of the program. */
	assert(added);
	(void)added;
	/* Some fill slots that no path leads to. */
	reader->paths.slots = UL_JSON_SLOTS_MAX;
	reader->take = format->take;
	reader->event = format->event;
	if (format->provider)
		reader->defaults[FIELD_PROVIDER] = (struct field_value){format->provider, strlen(format->provider)};
	return 0;
}

int import_formats_open(struct import_formats *all)
{
	int error = 0;
	for (size_t i = 0; import_format_at(i) && !error; i++)
		error = import_format_open(formats[i], &all->readers[i]);
	if (error)
		import_formats_close(all);
	return error;
}

void import_formats_close(struct import_formats *all)
{
	for (size_t i = 0; import_format_at(i); i++)
		import_reader_close(&all->readers[i]);
}

struct import_reader *import_formats_reader(struct import_formats *all, const struct import_format *format)
{
	size_t index = 0;
	while (formats[index] != format)
		index++;
	return &all->readers[index];
}

const struct import_format *import_formats_find(struct import_formats *all, const char *text, size_t bytes, bool *json)
{
	*json = true;
	for (size_t i = 0; import_format_at(i); i++) {
		*json = import_reader_look(&all->readers[i], text, bytes);
		if (!*json)
			return NULL;
		if (formats[i]->is(&all->readers[i]))
			return formats[i];
	}
	return NULL;
}

/* ---- what several formats have ------------------------------------------------------------------------------- */

static bool is_object(struct import_reader *reader, unsigned slot)
{
	return found(reader, slot).type == UL_JSON_OBJECT;
}

static bool is_there(struct import_reader *reader, unsigned slot)
{
	return found(reader, slot).type > UL_JSON_NULL;
}

static struct field_value text_of(const char *text)
{
	return (struct field_value){text, strlen(text)};
}

static struct field_value count_text(struct import_reader *reader, uint64_t count)
{
	return make_text(reader, "%" PRIu64, count);
}

static bool value_count(struct field_value value, uint64_t *count)
{
	*count = 0;
	return !value.bytes || !decimal_parse_count(value.text, value.bytes, UINT64_MAX >> 2, count);
}

/* Cache writes as a sum and as its two parts: what is said of neither time was kept for the shorter one. Values that are no counts are left to
 * be refused. */
static void split_writes(struct import_reader *reader, struct field_value values[FIELD_COUNT], unsigned sum_slot)
{
	uint64_t sum, short_time, long_time;
	if (!found_count(reader, sum_slot, &sum)) {
		values[FIELD_CACHE_WRITE_5M_TOKENS] = found_text(reader, sum_slot);
		return;
	}
	if (!value_count(values[FIELD_CACHE_WRITE_5M_TOKENS], &short_time) ||
	    !value_count(values[FIELD_CACHE_WRITE_1H_TOKENS], &long_time))
		return;
	if (sum > short_time + long_time)
		values[FIELD_CACHE_WRITE_5M_TOKENS] = count_text(reader, sum - long_time);
}

/* The input counts what came from and went to a cache; a source that says more of them than of input did not count them in it. */
static void subtract_cached(struct import_reader *reader, struct field_value values[FIELD_COUNT])
{
	uint64_t input, cached = 0;
	if (!value_count(values[FIELD_INPUT_TOKENS], &input))
		return;
	for (enum call_field field = FIELD_CACHE_READ_TOKENS; field <= FIELD_CACHE_WRITE_1H_TOKENS; field++) {
		uint64_t count;
		if (!value_count(values[field], &count) || __builtin_add_overflow(cached, count, &cached))
			return;
	}
	if (cached && cached <= input)
		values[FIELD_INPUT_TOKENS] = count_text(reader, input - cached);
}

/* The ms between two times in seconds; of no bytes if there are none, or not in this order. */
static struct field_value ms_between(struct import_reader *reader, struct field_value from, struct field_value to)
{
	int64_t begin_ns, end_ns;
	if (decimal_parse(from.text, from.bytes, 9, &begin_ns) || decimal_parse(to.text, to.bytes, 9, &end_ns) ||
	    begin_ns <= 0 || end_ns <= begin_ns)
		return (struct field_value){0};
	return make_text(reader, "%" PRId64 ".%06" PRId64, (end_ns - begin_ns) / 1000000,
			 (end_ns - begin_ns) % 1000000);
}

/* A member of the metadata, as it stands in the JSON. */
static void add_metadata(struct import_reader *reader, struct field_value values[FIELD_COUNT], const char *key,
			 struct ul_json_span value)
{
	struct field_value before = values[FIELD_METADATA];
	/* Longer than a context can be: not worth losing the call for. */
	enum { VALUE_BYTES_MAX = 4096 };
	if (value.type <= UL_JSON_NULL || value.bytes > VALUE_BYTES_MAX ||
	    (value.type == UL_JSON_STRING && value.bytes == 2))
		return;
	values[FIELD_METADATA] = make_text(reader, "%.*s%s\"%s\":%.*s}", before.bytes ? (int)before.bytes - 1 : 0,
					   before.text, before.bytes ? "," : "{", key, (int)value.bytes, value.text);
}

/* ---- Claude Code's session logs ------------------------------------------------------------------------------ */

enum { CLAUDE_USAGE = SLOT_OWN, CLAUDE_WRITES, CLAUDE_ID, CLAUDE_REQUEST, CLAUDE_UUID, CLAUDE_CWD, CLAUDE_SIDECHAIN };

static const struct import_path claude_paths[] = {
	{"timestamp", FIELD_TIME},
	{"sessionId", FIELD_SESSION_ID},
	{"costUSD", FIELD_COST_USD},
	{"durationMs", FIELD_LATENCY_MS},
	{"message.model", FIELD_MODEL},
	{"message.usage.input_tokens", FIELD_INPUT_TOKENS},
	{"message.usage.cache_read_input_tokens", FIELD_CACHE_READ_TOKENS},
	{"message.usage.cache_creation.ephemeral_5m_input_tokens", FIELD_CACHE_WRITE_5M_TOKENS},
	{"message.usage.cache_creation.ephemeral_1h_input_tokens", FIELD_CACHE_WRITE_1H_TOKENS},
	{"message.usage.cache_creation_input_tokens", CLAUDE_WRITES},
	{"message.usage.output_tokens", FIELD_OUTPUT_TOKENS},
	{"message.usage.service_tier", FIELD_SERVICE_TIER},
	{"message.usage", CLAUDE_USAGE},
	{"message.id", CLAUDE_ID},
	{"requestId", CLAUDE_REQUEST},
	{"uuid", CLAUDE_UUID},
	{"cwd", CLAUDE_CWD},
	{"isSidechain", CLAUDE_SIDECHAIN},
	{NULL, 0},
};

static bool is_claude(struct import_reader *reader)
{
	return is_there(reader, FIELD_SESSION_ID) && is_there(reader, CLAUDE_UUID) && is_there(reader, FIELD_TIME);
}

static enum import_verdict take_claude(struct import_reader *reader, struct field_value values[FIELD_COUNT],
				       struct refusal *why)
{
	(void)why;
	/* Other rows, and those that the program made up itself. */
	if (!is_object(reader, CLAUDE_USAGE) || value_is(values[FIELD_MODEL], "<synthetic>"))
		return IMPORT_NO_CALL;
	struct field_value id = found_text(reader, CLAUDE_ID), request = found_text(reader, CLAUDE_REQUEST);
	values[FIELD_CALL_ID] = !id.bytes       ? found_text(reader, CLAUDE_UUID)
				: request.bytes ? make_text(reader, "%.*s:%.*s", (int)id.bytes, id.text,
							    (int)request.bytes, request.text)
						: id;
	values[FIELD_OPERATION] = text_of("chat");
	split_writes(reader, values, CLAUDE_WRITES);
	add_metadata(reader, values, "project", found(reader, CLAUDE_CWD));
	if (found(reader, CLAUDE_SIDECHAIN).type == UL_JSON_TRUE)
		add_metadata(reader, values, "sidechain", found(reader, CLAUDE_SIDECHAIN));
	return IMPORT_CALL;
}

const struct import_format format_claude_code = {
	.name = "claude-code",
	.what = "Claude Code's session logs",
	.paths = claude_paths,
	.is = is_claude,
	.take = take_claude,
	.provider = "anthropic",
	.streamed = true,
	.copies = true,
};

/* ---- LiteLLM's standard logging payloads --------------------------------------------------------------------- */

enum {
	LITELLM_END = SLOT_OWN,
	LITELLM_FIRST,
	LITELLM_STREAM,
	LITELLM_TYPE,
	LITELLM_STATUS,
	LITELLM_WRITES,
	LITELLM_END_USER,
	LITELLM_TAGS,
	LITELLM_CACHE_HIT,
};

#define LITELLM_USAGE(place)                                                                           \
	{place "prompt_tokens", FIELD_INPUT_TOKENS}, {place "completion_tokens", FIELD_OUTPUT_TOKENS}, \
		{place "prompt_tokens_details.cached_tokens", FIELD_CACHE_READ_TOKENS},                \
		{place "cache_read_input_tokens", FIELD_CACHE_READ_TOKENS},                            \
		{place "prompt_tokens_details.cache_creation_tokens", LITELLM_WRITES},                 \
		{place "cache_creation_input_tokens", LITELLM_WRITES},                                 \
		{place "prompt_tokens_details.cache_creation_token_details.ephemeral_5m_input_tokens", \
		 FIELD_CACHE_WRITE_5M_TOKENS},                                                         \
		{place "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens", \
		 FIELD_CACHE_WRITE_1H_TOKENS},                                                         \
	{                                                                                              \
		place "completion_tokens_details.reasoning_tokens", FIELD_REASONING_TOKENS             \
	}

static const struct import_path litellm_paths[] = {
	{"id", FIELD_CALL_ID},
	{"startTime", FIELD_TIME},
	{"endTime", LITELLM_END},
	{"completionStartTime", LITELLM_FIRST},
	{"stream", LITELLM_STREAM},
	{"call_type", LITELLM_TYPE},
	{"status", LITELLM_STATUS},
	{"model", FIELD_MODEL},
	{"custom_llm_provider", FIELD_PROVIDER},
	{"response_cost", FIELD_COST_USD},
	{"error_information.error_code", FIELD_ERROR_TYPE},
	{"error_information.error_class", FIELD_ERROR_TYPE},
	LITELLM_USAGE("metadata.usage_object."),
	{"prompt_tokens", FIELD_INPUT_TOKENS},
	{"completion_tokens", FIELD_OUTPUT_TOKENS},
	{"response.service_tier", FIELD_SERVICE_TIER},
	{"metadata.session_id", FIELD_SESSION_ID},
	{"session_id", FIELD_SESSION_ID},
	{"end_user", LITELLM_END_USER},
	{"request_tags", LITELLM_TAGS},
	{"cache_hit", LITELLM_CACHE_HIT},
	{NULL, 0},
};

static const char *const litellm_places[] = {"standard_logging_object.", "", NULL};

static bool is_litellm(struct import_reader *reader)
{
	return is_there(reader, LITELLM_TYPE) && is_there(reader, FIELD_TIME) && is_there(reader, FIELD_MODEL);
}

static struct field_value litellm_operation(struct field_value type)
{
	static const struct {
		const char *type, *operation;
	} operations[] = {{"completion", "chat"},
			  {"acompletion", "chat"},
			  {"responses", "chat"},
			  {"aresponses", "chat"},
			  {"text_completion", "text_completion"},
			  {"atext_completion", "text_completion"},
			  {"embedding", "embeddings"},
			  {"aembedding", "embeddings"}};
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (value_is(type, operations[i].type))
			return text_of(operations[i].operation);
	return type;
}

static bool is_zero(struct field_value number)
{
	int64_t value;
	return !number.bytes || (!decimal_parse(number.text, number.bytes, 12, &value) && !value);
}

static enum import_verdict take_litellm(struct import_reader *reader, struct field_value values[FIELD_COUNT],
					struct refusal *why)
{
	(void)why;
	if (!is_litellm(reader))
		return IMPORT_NO_CALL;
	values[FIELD_OPERATION] = litellm_operation(found_text(reader, LITELLM_TYPE));
	values[FIELD_LATENCY_MS] = ms_between(reader, values[FIELD_TIME], found_text(reader, LITELLM_END));
	if (found(reader, LITELLM_STREAM).type == UL_JSON_TRUE)
		values[FIELD_TTFT_MS] = ms_between(reader, values[FIELD_TIME], found_text(reader, LITELLM_FIRST));
	if (!found_is(reader, LITELLM_STATUS, "failure"))
		values[FIELD_ERROR_TYPE] = (struct field_value){0};
	else if (!values[FIELD_ERROR_TYPE].bytes)
		values[FIELD_ERROR_TYPE] = text_of("error");
	/* A call that failed costs nothing that LiteLLM knows of, which is not the same as nothing. */
	if (values[FIELD_ERROR_TYPE].bytes && is_zero(values[FIELD_COST_USD]))
		values[FIELD_COST_USD] = (struct field_value){0};
	split_writes(reader, values, LITELLM_WRITES);
	subtract_cached(reader, values);
	add_metadata(reader, values, "end_user", found(reader, LITELLM_END_USER));
	if (found(reader, LITELLM_TAGS).type == UL_JSON_ARRAY && found(reader, LITELLM_TAGS).bytes > 2)
		add_metadata(reader, values, "tags", found(reader, LITELLM_TAGS));
	if (found(reader, LITELLM_CACHE_HIT).type == UL_JSON_TRUE)
		add_metadata(reader, values, "cache_hit", found(reader, LITELLM_CACHE_HIT));
	return IMPORT_CALL;
}

const struct import_format format_litellm = {
	.name = "litellm",
	.what = "LiteLLM's standard logging payloads",
	.paths = litellm_paths,
	.places = litellm_places,
	.is = is_litellm,
	.take = take_litellm,
};

/* ---- OpenAI's and Anthropic's responses ---------------------------------------------------------------------- */

enum {
	RESPONSE_USAGE = SLOT_OWN,
	RESPONSE_WRITES,
	RESPONSE_TYPE,
	RESPONSE_OBJECT,
	RESPONSE_STATUS,
	RESPONSE_ERROR,
	RESPONSE_BATCH,
};

static const struct import_path response_paths[] = {
	{"id", FIELD_CALL_ID},
	{"model", FIELD_MODEL},
	{"created", FIELD_TIME},
	{"created_at", FIELD_TIME},
	{"timestamp", FIELD_TIME},
	{"time", FIELD_TIME},
	{"usage.prompt_tokens", FIELD_INPUT_TOKENS},
	{"usage.input_tokens", FIELD_INPUT_TOKENS},
	{"usage.prompt_tokens_details.cached_tokens", FIELD_CACHE_READ_TOKENS},
	{"usage.input_tokens_details.cached_tokens", FIELD_CACHE_READ_TOKENS},
	{"usage.cache_read_input_tokens", FIELD_CACHE_READ_TOKENS},
	{"usage.cache_creation.ephemeral_5m_input_tokens", FIELD_CACHE_WRITE_5M_TOKENS},
	{"usage.cache_creation.ephemeral_1h_input_tokens", FIELD_CACHE_WRITE_1H_TOKENS},
	{"usage.cache_creation_input_tokens", RESPONSE_WRITES},
	{"usage.completion_tokens", FIELD_OUTPUT_TOKENS},
	{"usage.output_tokens", FIELD_OUTPUT_TOKENS},
	{"usage.completion_tokens_details.reasoning_tokens", FIELD_REASONING_TOKENS},
	{"usage.output_tokens_details.reasoning_tokens", FIELD_REASONING_TOKENS},
	{"usage.service_tier", FIELD_SERVICE_TIER},
	{"service_tier", FIELD_SERVICE_TIER},
	{"usage", RESPONSE_USAGE},
	{"type", RESPONSE_TYPE},
	{"object", RESPONSE_OBJECT},
	{"status", RESPONSE_STATUS},
	{"error.code", RESPONSE_ERROR},
	{"custom_id", RESPONSE_BATCH},
	{NULL, 0},
};

/* As they come from the API; in the results of OpenAI's and of Anthropic's batches; and as a member of a line of one's own. */
static const char *const response_places[] = {"response.body.", "result.message.", "response.", "body.", "", NULL};

static bool is_anthropic(struct import_reader *reader)
{
	return found_is(reader, RESPONSE_TYPE, "message");
}

static bool is_response(struct import_reader *reader)
{
	return is_object(reader, RESPONSE_USAGE) && is_there(reader, FIELD_MODEL) &&
	       (is_anthropic(reader) || is_there(reader, RESPONSE_OBJECT));
}

static struct field_value response_operation(struct import_reader *reader)
{
	if (found_is(reader, RESPONSE_OBJECT, "text_completion"))
		return text_of("text_completion");
	return text_of(found_is(reader, RESPONSE_OBJECT, "list") ? "embeddings" : "chat");
}

static enum import_verdict take_response(struct import_reader *reader, struct field_value values[FIELD_COUNT],
					 struct refusal *why)
{
	(void)why;
	/* Errors, and all but the last chunk of a stream. */
	if (!is_object(reader, RESPONSE_USAGE))
		return IMPORT_NO_CALL;
	values[FIELD_OPERATION] = response_operation(reader);
	if (!values[FIELD_PROVIDER].bytes)
		values[FIELD_PROVIDER] = text_of(is_anthropic(reader) ? "anthropic" : "openai");
	if (found_is(reader, RESPONSE_STATUS, "failed")) {
		values[FIELD_ERROR_TYPE] = found_text(reader, RESPONSE_ERROR);
		if (!values[FIELD_ERROR_TYPE].bytes)
			values[FIELD_ERROR_TYPE] = text_of("failed");
	}
	if (is_there(reader, RESPONSE_BATCH))
		values[FIELD_SERVICE_TIER] = text_of("batch");
	split_writes(reader, values, RESPONSE_WRITES);
	if (!is_anthropic(reader))
		subtract_cached(reader, values);
	return IMPORT_CALL;
}

const struct import_format format_responses = {
	.name = "responses",
	.what = "response bodies of OpenAI and Anthropic",
	.paths = response_paths,
	.places = response_places,
	.is = is_response,
	.take = take_response,
	.undated = true,
	.copies = true,
};

/* ---- Codex CLI's session logs -------------------------------------------------------------------------------- */

enum { CODEX_COUNTS = 4, CODEX_CWD_BYTES = 4096 };

enum {
	CODEX_TYPE = SLOT_OWN,
	CODEX_KIND,
	CODEX_PAYLOAD,
	CODEX_ID,
	CODEX_FORKED_FROM,
	CODEX_CWD,
	CODEX_MODEL,
	CODEX_PROVIDER,
	CODEX_TOTALS,
	CODEX_TOTAL,
	CODEX_LAST = CODEX_TOTAL + CODEX_COUNTS,
};

static const struct import_path codex_paths[] = {
	{"timestamp", FIELD_TIME},
	{"type", CODEX_TYPE},
	{"payload", CODEX_PAYLOAD},
	{"payload.type", CODEX_KIND},
	{"payload.id", CODEX_ID},
	{"payload.forked_from_id", CODEX_FORKED_FROM},
	{"payload.cwd", CODEX_CWD},
	{"payload.model", CODEX_MODEL},
	{"payload.model_provider", CODEX_PROVIDER},
	{"payload.info.total_token_usage", CODEX_TOTALS},
	{"payload.info.total_token_usage.input_tokens", CODEX_TOTAL},
	{"payload.info.total_token_usage.cached_input_tokens", CODEX_TOTAL + 1},
	{"payload.info.total_token_usage.output_tokens", CODEX_TOTAL + 2},
	{"payload.info.total_token_usage.reasoning_output_tokens", CODEX_TOTAL + 3},
	{"payload.info.last_token_usage.input_tokens", CODEX_LAST},
	{"payload.info.last_token_usage.cached_input_tokens", CODEX_LAST + 1},
	{"payload.info.last_token_usage.output_tokens", CODEX_LAST + 2},
	{"payload.info.last_token_usage.reasoning_output_tokens", CODEX_LAST + 3},
	{NULL, 0},
};

/* What the rows of a file have said so far. */
struct codex_state {
	char session[UL_NAME_BYTES_MAX + 1];
	char root[UL_NAME_BYTES_MAX + 1]; /* the session that the totals began in */
	char model[UL_NAME_BYTES_MAX + 1];
	char provider[UL_NAME_BYTES_MAX + 1];
	char cwd[CODEX_CWD_BYTES + 1]; /* as it stands in the JSON */
	bool any;
	uint64_t totals[CODEX_COUNTS];
};

static bool is_codex(struct import_reader *reader)
{
	static const char *const types[] = {"session_meta", "turn_context", "event_msg", "response_item", "compacted"};
	bool known = false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		known |= found_is(reader, CODEX_TYPE, types[i]);
	return known && is_object(reader, CODEX_PAYLOAD) && is_there(reader, FIELD_TIME);
}

/* Remember a text, if it is there and fits. */
static void keep(char *out, size_t room, struct field_value text)
{
	if (!text.bytes || text.bytes >= room || memchr(text.text, '\0', text.bytes))
		return;
	memcpy(out, text.text, text.bytes);
	out[text.bytes] = '\0';
}

/* A fork begins with a copy of its parent's rows, under new times: the parent's own first row among them, or only its id. Calls are known by
 * the session in which the totals began, so that the copies are the parent's calls. */
static void keep_session(struct import_reader *reader, struct codex_state *state)
{
	struct field_value id = found_text(reader, CODEX_ID), parent = found_text(reader, CODEX_FORKED_FROM);
	if (!*state->session)
		keep(state->session, sizeof(state->session), id);
	keep(state->root, sizeof(state->root), id);
	keep(state->root, sizeof(state->root), parent);
}

static void keep_context(struct import_reader *reader, struct codex_state *state)
{
	struct ul_json_span cwd = found(reader, CODEX_CWD);
	keep(state->model, sizeof(state->model), found_text(reader, CODEX_MODEL));
	keep(state->provider, sizeof(state->provider), found_text(reader, CODEX_PROVIDER));
	if (cwd.type == UL_JSON_STRING)
		keep(state->cwd, sizeof(state->cwd), (struct field_value){cwd.text, cwd.bytes});
}

/* What the call added to the totals. Where they began before this file, or began anew, the last call's own counts say it. False: a count is none. */
static bool codex_difference(struct import_reader *reader, struct codex_state *state, uint64_t counts[CODEX_COUNTS])
{
	uint64_t totals[CODEX_COUNTS];
	bool on = state->any, has_last = is_there(reader, CODEX_LAST);
	for (unsigned i = 0; i < CODEX_COUNTS; i++) {
		if (!found_count(reader, CODEX_TOTAL + i, &totals[i]))
			return false;
		on = on && totals[i] >= state->totals[i];
	}
	for (unsigned i = 0; i < CODEX_COUNTS; i++) {
		counts[i] = on ? totals[i] - state->totals[i] : totals[i];
		if (!on && has_last && !found_count(reader, CODEX_LAST + i, &counts[i]))
			return false;
	}
	memcpy(state->totals, totals, sizeof(totals));
	state->any = true;
	return true;
}

static enum import_verdict take_codex(struct import_reader *reader, struct field_value values[FIELD_COUNT],
				      struct refusal *why)
{
	static const enum call_field fields[CODEX_COUNTS] = {FIELD_INPUT_TOKENS, FIELD_CACHE_READ_TOKENS,
							     FIELD_OUTPUT_TOKENS, FIELD_REASONING_TOKENS};
	struct codex_state *state = reader->state;
	uint64_t counts[CODEX_COUNTS];
	if (found_is(reader, CODEX_TYPE, "session_meta"))
		keep_session(reader, state);
	if (found_is(reader, CODEX_TYPE, "session_meta") || found_is(reader, CODEX_TYPE, "turn_context"))
		keep_context(reader, state);
	if (!found_is(reader, CODEX_KIND, "token_count") || !is_object(reader, CODEX_TOTALS))
		return IMPORT_NO_CALL;
	if (!codex_difference(reader, state, counts))
		return refuse_record(why, FIELD_COUNT,
				     "has a count in total_token_usage or last_token_usage that is not a whole number");
	if (!counts[0] && !counts[2])
		return IMPORT_REPEAT;
	for (unsigned i = 0; i < CODEX_COUNTS; i++)
		values[fields[i]] = count_text(reader, counts[i]);
	subtract_cached(reader, values);
	if (*state->model)
		values[FIELD_MODEL] = text_of(state->model);
	if (*state->provider)
		values[FIELD_PROVIDER] = text_of(state->provider);
	values[FIELD_OPERATION] = text_of("chat");
	values[FIELD_SESSION_ID] = text_of(state->session);
	values[FIELD_CALL_ID] = make_text(reader, "codex:%s:%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%" PRIu64, state->root,
					  state->totals[0], state->totals[1], state->totals[2], state->totals[3]);
	if (*state->cwd)
		add_metadata(reader, values, "project",
			     (struct ul_json_span){UL_JSON_STRING, state->cwd, strlen(state->cwd)});
	return IMPORT_CALL;
}

const struct import_format format_codex = {
	.name = "codex",
	.what = "Codex CLI's session logs",
	.paths = codex_paths,
	.is = is_codex,
	.take = take_codex,
	.state_bytes = sizeof(struct codex_state),
	.provider = "openai",
	.copies = true,
};

/* ---- OpenTelemetry's GenAI spans ----------------------------------------------------------------------------- */

enum {
	SPAN_KEY = SLOT_OWN,
	SPAN_VALUE,
	SPAN_TRACE,
	SPAN_ID,
	SPAN_START,
	SPAN_END,
	SPAN_STATUS,
	SPAN_WRITES,
	SPAN_SLOTS,
};

#define SPANS "resourceSpans[].scopeSpans[].spans[]"
static const struct import_path span_paths[] = {
	{SPANS ".traceId", SPAN_TRACE},
	{SPANS ".spanId", SPAN_ID},
	{SPANS ".startTimeUnixNano", SPAN_START},
	{SPANS ".endTimeUnixNano", SPAN_END},
	{SPANS ".status.code", SPAN_STATUS},
	{SPANS ".attributes[].key", SPAN_KEY},
	{SPANS ".attributes[].value.stringValue", SPAN_VALUE},
	{SPANS ".attributes[].value.intValue", SPAN_VALUE},
	{SPANS ".attributes[].value.doubleValue", SPAN_VALUE},
	{NULL, 0},
};

enum { EVENT_SPAN = 1, EVENT_ATTRIBUTE };
static const struct import_path span_events[] = {
	{SPANS, EVENT_SPAN}, {SPANS ".attributes[]", EVENT_ATTRIBUTE}, {NULL, 0}};

/* Attributes, old names behind new ones; the first one that is there counts. */
static const struct import_path span_attributes[] = {
	{"gen_ai.provider.name", FIELD_PROVIDER},
	{"gen_ai.system", FIELD_PROVIDER},
	{"gen_ai.response.model", FIELD_MODEL},
	{"gen_ai.request.model", FIELD_MODEL},
	{"gen_ai.operation.name", FIELD_OPERATION},
	{"gen_ai.usage.input_tokens", FIELD_INPUT_TOKENS},
	{"gen_ai.usage.prompt_tokens", FIELD_INPUT_TOKENS},
	{"gen_ai.usage.output_tokens", FIELD_OUTPUT_TOKENS},
	{"gen_ai.usage.completion_tokens", FIELD_OUTPUT_TOKENS},
	{"gen_ai.usage.cache_read.input_tokens", FIELD_CACHE_READ_TOKENS},
	{"gen_ai.usage.cache_read_input_tokens", FIELD_CACHE_READ_TOKENS},
	{"gen_ai.usage.cache_creation.input_tokens", SPAN_WRITES},
	{"gen_ai.usage.cache_creation_input_tokens", SPAN_WRITES},
	{"gen_ai.usage.reasoning.output_tokens", FIELD_REASONING_TOKENS},
	{"gen_ai.usage.reasoning_tokens", FIELD_REASONING_TOKENS},
	{"gen_ai.conversation.id", FIELD_SESSION_ID},
	{"session.id", FIELD_SESSION_ID},
	{"openai.response.service_tier", FIELD_SERVICE_TIER},
	{"gen_ai.openai.response.service_tier", FIELD_SERVICE_TIER},
	{"error.type", FIELD_ERROR_TYPE},
	{NULL, 0},
};

struct span_state {
	struct ul_json_span found[SPAN_SLOTS];
	uint8_t ranks[SPAN_SLOTS];
};

static bool is_otlp(struct import_reader *reader)
{
	return is_there(reader, SPAN_TRACE) && is_there(reader, SPAN_ID);
}

static void take_attribute(struct import_reader *reader, struct span_state *state)
{
	struct ul_json_span key = found(reader, SPAN_KEY), value = found(reader, SPAN_VALUE);
	for (uint8_t i = 0; key.type == UL_JSON_STRING && span_attributes[i].path; i++) {
		uint8_t slot = span_attributes[i].slot;
		if (!ul_json_string_is(key, span_attributes[i].path, strlen(span_attributes[i].path)))
			continue;
		if (value.type > UL_JSON_NULL && (!state->found[slot].text || i <= state->ranks[slot])) {
			state->found[slot] = value;
			state->ranks[slot] = i;
		}
		break;
	}
	reader->find.spans[SPAN_KEY].type = reader->find.spans[SPAN_VALUE].type = UL_JSON_END;
}

static void span_event(struct import_reader *reader, unsigned event, struct ul_json_span key, struct ul_json_span value)
{
	struct span_state *state = reader->state;
	(void)key;
	if (event == EVENT_ATTRIBUTE) {
		take_attribute(reader, state);
		return;
	}
	for (unsigned slot = 0; slot < SPAN_SLOTS; slot++)
		if (state->found[slot].text)
			reader->find.spans[slot] = state->found[slot];
	import_reader_record(reader, value);
	*state = (struct span_state){0};
}

/* Spans around calls of the model repeat what these have used. */
static bool is_around_calls(struct field_value operation)
{
	static const char *const names[] = {"execute_tool", "create_agent", "invoke_agent", "invoke_workflow"};
	bool around = false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		around |= value_is(operation, names[i]);
	return around;
}

static enum import_verdict take_span(struct import_reader *reader, struct field_value values[FIELD_COUNT],
				     struct refusal *why)
{
	uint64_t start_ns, end_ns;
	if (!values[FIELD_MODEL].bytes || is_around_calls(values[FIELD_OPERATION]))
		return IMPORT_NO_CALL;
	if (!found_count(reader, SPAN_START, &start_ns) || !found_count(reader, SPAN_END, &end_ns))
		return refuse_record(why, FIELD_TIME, "is no number of nanoseconds");
	if (start_ns)
		values[FIELD_TIME] =
			make_text(reader, "%" PRIu64 ".%09" PRIu64, start_ns / 1000000000, start_ns % 1000000000);
	if (start_ns && end_ns > start_ns)
		values[FIELD_LATENCY_MS] = make_text(reader, "%" PRIu64 ".%06" PRIu64, (end_ns - start_ns) / 1000000,
						     (end_ns - start_ns) % 1000000);
	struct field_value trace = found_text(reader, SPAN_TRACE), id = found_text(reader, SPAN_ID);
	if (!trace.bytes || !id.bytes)
		return refuse_record(why, FIELD_CALL_ID, "is missing: the span has no traceId or no spanId");
	values[FIELD_CALL_ID] = make_text(reader, "%.*s:%.*s", (int)trace.bytes, trace.text, (int)id.bytes, id.text);
	bool failed = found_is(reader, SPAN_STATUS, "2") || found_is(reader, SPAN_STATUS, "STATUS_CODE_ERROR");
	if (failed && !values[FIELD_ERROR_TYPE].bytes)
		values[FIELD_ERROR_TYPE] = text_of("error");
	split_writes(reader, values, SPAN_WRITES);
	subtract_cached(reader, values);
	return IMPORT_CALL;
}

const struct import_format format_otlp = {
	.name = "otlp",
	.what = "OpenTelemetry's GenAI spans (OTLP JSON)",
	.paths = span_paths,
	.is = is_otlp,
	.take = take_span,
	.event = span_event,
	.events = span_events,
	.state_bytes = sizeof(struct span_state),
};
