/* summary.json. */
#include "summary.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "context.h"
#include "json.h"
#include "merged.h"
#include "money.h"
#include "slot.h"
#include "os.h"
#include "store.h"

/* cJSON prints a double with as many digits as it takes to read the same double back. Integers beyond 2^53 are not whole then, so
 * they stand beside as decimal text. */
enum { INTEGER_TEXT_BYTES = 24 };

/* Add an item to an object, or lose both: NULL from cJSON is lack of memory, noticed by whoever adds the object. */
static bool put(cJSON *object, const char *key, cJSON *item)
{
	if (item && cJSON_AddItemToObject(object, key, item))
		return true;
	cJSON_Delete(item);
	return false;
}

static bool put_count(cJSON *object, const char *key, int64_t count)
{
	return put(object, key, cJSON_CreateNumber((double)count));
}

static bool put_exact(cJSON *object, const char *key, int64_t count)
{
	char text[INTEGER_TEXT_BYTES];
	snprintf(text, sizeof(text), "%lld", (long long)count);
	return put(object, key, cJSON_CreateString(text));
}

static bool put_money(cJSON *object, const char *key, const char *exact_key, money_t pico_usd)
{
	char text[MONEY_TEXT_BYTES];
	money_print(text, pico_usd);
	return put(object, key, cJSON_CreateNumber(money_to_double(pico_usd))) &&
	       put(object, exact_key, cJSON_CreateString(text));
}

static cJSON *whole(cJSON *object, bool ok)
{
	if (object && ok)
		return object;
	cJSON_Delete(object);
	return NULL;
}

/* ---- totals ------------------------------------------------------------------------------------------------ */

cJSON *summary_total(const struct ul_sum *sum)
{
	cJSON *object = cJSON_CreateObject();
	int64_t tokens = sum_tokens(sum);
	bool ok = object && put_count(object, "tokens", tokens) && put_exact(object, "tokens_exact", tokens) &&
		  put_money(object, "cost", "cost_exact", money_of(sum->cost_pico_usd)) &&
		  put_count(object, "calls", sum->calls) && put_count(object, "errors", sum->errors) &&
		  put_count(object, "unpriced", sum->unpriced_calls);
	return whole(object, ok);
}

static const char *const token_names[UL_TOKEN_KINDS] = {
	[UL_INPUT] = "input_tokens",
	[UL_CACHE_READ] = "cache_read_tokens",
	[UL_CACHE_WRITE_5M] = "cache_write_5m_tokens",
	[UL_CACHE_WRITE_1H] = "cache_write_1h_tokens",
	[UL_OUTPUT] = "output_tokens",
	[UL_REASONING] = "reasoning_tokens",
};

cJSON *summary_tokens(const struct ul_sum *sum)
{
	cJSON *object = cJSON_CreateObject();
	bool ok = object != NULL;
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		ok = ok && put_count(object, token_names[i], sum->tokens[i]);
	ok = ok && put_count(object, "unknown_kind_tokens", sum->balance_tokens);
	return whole(object, ok);
}

/* Keys are names, so they are copied: up to 1,024 bytes, terminated. */
static bool put_named(cJSON *object, struct ul_text name, cJSON *item)
{
	char key[UL_NAME_BYTES_MAX + 1];
	size_t bytes = name.bytes < UL_NAME_BYTES_MAX ? name.bytes : UL_NAME_BYTES_MAX;
	memcpy(key, name.text, bytes);
	key[bytes] = '\0';
	return put(object, key, item);
}

cJSON *summary_totals_by_name(struct sum_list *list, const struct names *names)
{
	cJSON *object = cJSON_CreateObject();
	bool ok = object != NULL;
	breakdown_sort_by_name(list, names);
	for (size_t i = 0; i < list->count && ok; i++)
		ok = put_named(object, names_text(names, list->items[i].first), summary_total(&list->items[i]));
	return whole(object, ok);
}

cJSON *summary_totals_by_day(const struct table *days)
{
	struct sum_list list = {0};
	cJSON *object = cJSON_CreateObject();
	bool ok = object && !sum_list_gather(&list, days, NULL);
	if (ok)
		sum_list_sort(&list);
	for (size_t i = 0; i < list.count && ok; i++) {
		char day[CALENDAR_DAY_BYTES];
		calendar_print_day(day, list.items[i].number);
		ok = put(object, day, summary_total(&list.items[i]));
	}
	sum_list_clear(&list);
	return whole(object, ok);
}

static cJSON *render_totals(const struct ul_sum *sum)
{
	cJSON *object = summary_total(sum);
	return whole(object, object && put(object, "tokens_by_kind", summary_tokens(sum)));
}

/* ---- the last calls ------------------------------------------------------------------------------------------ */

/* A string of a call's context, or null. */
static bool put_attribute(cJSON *object, const char *key, struct ul_text context)
{
	char text[UL_NAME_BYTES_MAX + 1];
	size_t bytes = ul_context_string(context.text, context.bytes, key, text);
	return put(object, key, bytes ? cJSON_CreateString(text) : cJSON_CreateNull());
}

/* The metadata as they were given, their numbers verbatim. */
static bool put_metadata(cJSON *object, struct ul_text context)
{
	char text[UL_CONTEXT_BYTES_MAX + 1];
	struct ul_json_span all = ul_json_parse(context.text, context.bytes);
	struct ul_json_span metadata = {.type = UL_JSON_END};
	if (all.type == UL_JSON_OBJECT)
		metadata = ul_json_member(all, "metadata");
	if (metadata.type != UL_JSON_OBJECT)
		return put(object, "metadata", cJSON_CreateObject());
	assert(metadata.bytes <= UL_CONTEXT_BYTES_MAX);
	memcpy(text, metadata.text, metadata.bytes);
	text[metadata.bytes] = '\0';
	return put(object, "metadata", cJSON_CreateRaw(text));
}

static bool put_latency(cJSON *object, const struct ul_last_call *call)
{
	cJSON *latency = cJSON_CreateNull();
	if (!(call->flags & UL_LATENCY_UNKNOWN >> 28)) {
		cJSON_Delete(latency);
		latency = cJSON_CreateNumber(call->flags & UL_LATENCY_MS >> 28 ? call->call.latency
									       : call->call.latency / 1000.0);
	}
	return put(object, "latency_ms", latency) &&
	       put(object, "ttft_ms",
		   call->call.ttft_us ? cJSON_CreateNumber(call->call.ttft_us / 1000.0) : cJSON_CreateNull());
}

static bool put_call_tokens(cJSON *object, const struct ul_call_body *call)
{
	int64_t total = (int64_t)call->input_tokens + call->cache_read_tokens + call->cache_write_5m_tokens +
			call->cache_write_1h_tokens + call->output_tokens;
	return put_count(object, "input_tokens", call->input_tokens) &&
	       put_count(object, "output_tokens", call->output_tokens) && put_count(object, "total_tokens", total) &&
	       put_count(object, "cache_read_tokens", call->cache_read_tokens) &&
	       put_count(object, "cache_write_5m_tokens", call->cache_write_5m_tokens) &&
	       put_count(object, "cache_write_1h_tokens", call->cache_write_1h_tokens) &&
	       put_count(object, "reasoning_tokens", call->reasoning_tokens);
}

static bool put_call_id(cJSON *object, const struct ul_id *id)
{
	static const struct ul_id none;
	char text[UL_ID_TEXT_BYTES];
	ul_id_format(text, id);
	return put(object, "call_id", memcmp(id, &none, sizeof(none)) ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static bool put_name(cJSON *object, const char *key, struct ul_text name)
{
	char text[UL_NAME_BYTES_MAX + 1];
	size_t bytes = name.bytes < UL_NAME_BYTES_MAX ? name.bytes : UL_NAME_BYTES_MAX;
	memcpy(text, name.text, bytes);
	text[bytes] = '\0';
	return put(object, key, cJSON_CreateString(text));
}

static cJSON *render_call(const struct ul_last_call *call, const struct names *names)
{
	char time[CALENDAR_TIME_BYTES];
	struct ul_text context = names_text(names, call->context);
	bool priced = !(call->flags & UL_UNPRICED >> 28);
	calendar_print_time(time, call->call.time_ns);
	cJSON *object = cJSON_CreateObject();
	bool ok = object && put(object, "timestamp", cJSON_CreateString(time)) &&
		  put_name(object, "model", names_text(names, call->model)) &&
		  put_name(object, "provider", names_text(names, call->provider)) &&
		  put_call_tokens(object, &call->call) &&
		  put_money(object, "cost_usd", "cost_usd_exact", call->call.cost_pico_usd) &&
		  put(object, "priced", cJSON_CreateBool(priced)) && put_latency(object, call) &&
		  put_attribute(object, "operation", context) && put_attribute(object, "error_type", context) &&
		  put_attribute(object, "service_tier", context) && put_attribute(object, "session_id", context) &&
		  put_call_id(object, &call->call_id) && put_metadata(object, context);
	return whole(object, ok);
}

static cJSON *render_calls(const struct checkpoint *checkpoint, const struct names *names)
{
	cJSON *array = cJSON_CreateArray();
	bool ok = array != NULL;
	for (size_t i = 0; i < checkpoint->call_count && ok; i++) {
		cJSON *call = render_call(&checkpoint->calls[i], names);
		ok = call && cJSON_AddItemToArray(array, call);
		if (!ok)
			cJSON_Delete(call);
	}
	return whole(array, ok);
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static cJSON *render_log(const struct checkpoint *checkpoint, const struct ul_conf *conf, const struct summary_log *log)
{
	char id[UL_ID_TEXT_BYTES];
	ul_id_format(id, &conf->log_id);
	cJSON *object = cJSON_CreateObject();
	bool ok = object && put(object, "log_id", cJSON_CreateString(id)) &&
		  put(object, "time_zone", cJSON_CreateString(conf->time_zone)) &&
		  put_count(object, "generation", (int64_t)checkpoint->generation) &&
		  put_count(object, "segments", (int64_t)log->segments) &&
		  put_count(object, "folded", (int64_t)log->folded) &&
		  put_count(object, "pending", (int64_t)log->pending) &&
		  put_count(object, "damaged", (int64_t)log->damaged) &&
		  put_count(object, "dropped_at_least", (int64_t)log->dropped);
	return whole(object, ok);
}

static cJSON *render_part(const struct merged_part *part)
{
	char id[UL_ID_TEXT_BYTES];
	ul_id_format(id, &part->log_id);
	cJSON *object = cJSON_CreateObject();
	bool ok = object && put(object, "log_id", cJSON_CreateString(id)) &&
		  put_count(object, "generation", (int64_t)part->generation) &&
		  put_count(object, "folded", (int64_t)part->calls);
	return whole(object, ok);
}

static cJSON *render_parts(const struct merged *merged)
{
	cJSON *array = cJSON_CreateArray();
	bool ok = array != NULL;
	for (size_t i = 0; i < merged->count && ok; i++) {
		cJSON *part = render_part(&merged->parts[i]);
		ok = part && cJSON_AddItemToArray(array, part);
	}
	return whole(array, ok);
}

static cJSON *render(const struct checkpoint *checkpoint, struct names *names, const struct ul_conf *conf,
		     const struct summary_log *log, struct breakdown *breakdown, int64_t now_ns)
{
	char time[CALENDAR_TIME_BYTES];
	calendar_print_time(time, now_ns);
	cJSON *object = cJSON_CreateObject();
	bool ok = object && put(object, "sessions", render_calls(checkpoint, names)) &&
		  put(object, "daily_totals", summary_totals_by_day(&checkpoint->totals.sums[TOTAL_DAYS])) &&
		  put(object, "model_breakdown", summary_totals_by_name(&breakdown->models, names)) &&
		  put(object, "provider_breakdown", summary_totals_by_name(&breakdown->providers, names)) &&
		  put(object, "operation_breakdown", summary_totals_by_name(&breakdown->operations, names)) &&
		  put(object, "error_breakdown", summary_totals_by_name(&breakdown->errors, names)) &&
		  put(object, "totals", render_totals(&breakdown->all)) &&
		  (log->merged ? put(object, "logs", render_parts(log->merged))
			       : put(object, "log", render_log(checkpoint, conf, log))) &&
		  put(object, "last_updated", cJSON_CreateString(time));
	return whole(object, ok);
}

char *summary_render(const struct checkpoint *checkpoint, struct names *names, const struct ul_conf *conf,
		     const struct summary_log *log, int64_t now_ns)
{
	struct breakdown breakdown;
	char *text = NULL;
	if (!breakdown_make(&breakdown, &checkpoint->totals.facts.rows, names)) {
		cJSON *object = render(checkpoint, names, conf, log, &breakdown, now_ns);
		text = object ? cJSON_Print(object) : NULL;
		cJSON_Delete(object);
	}
	breakdown_clear(&breakdown);
	return text;
}

struct ul_message summary_path(const struct ul_directory *directory)
{
	struct ul_message path;
	if (directory->conf.summary[0] == '/')
		ul_message_set(&path, "%s", directory->conf.summary);
	else
		ul_message_set(&path, "%s/%s", directory->path, directory->conf.summary);
	return path;
}

/* Does the path lead to a file of the log itself, by whatever way? */
static bool is_own_file(const struct ul_directory *directory, int fd, const char *name)
{
	struct stat there, ours;
	return store_is_reserved_name(name) && !os_stat(fd, &there) && !os_stat(directory->fd, &ours) &&
	       there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
}

int summary_write(const struct ul_directory *directory, const char *text, struct ul_message *why)
{
	struct ul_message path = summary_path(directory);
	char *slash = strrchr(path.text, '/');
	const char *name = slash + 1;
	*slash = '\0';
	int fd = os_open_directory(slash == path.text ? "/" : path.text);
	if (fd >= 0 && is_own_file(directory, fd, name)) {
		os_close(fd);
		ul_message_set(why,
			       "%s/%s: is a file of the log itself and is not overwritten by the summary; set another "
			       "path: usagelog config summary_path summary.json",
			       path.text, name);
		return -EINVAL;
	}
	int error = fd < 0 ? fd : store_write(fd, name, text, strlen(text));
	if (error == -EISDIR || error == -ENOTEMPTY || error == -EEXIST) {
		char renamed[2 * STORE_NAME_BYTES];
		error = store_set_aside(fd, name, renamed);
		if (!error)
			error = store_write(fd, name, text, strlen(text));
	}
	if (!error)
		error = os_sync(fd);
	os_close(fd);
	if (error)
		ul_message_set(why,
			       "%s/%s: the summary cannot be written: %s; the totals are safe in the checkpoint; see "
			       "to that, or set another "
			       "path (usagelog config summary_path)",
			       path.text, name, usagelog_strerror(error));
	return error;
}
