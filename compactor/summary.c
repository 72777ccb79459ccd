/* summary.json. */
#include "summary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "context.h"
#include "json.h"
#include "latency.h"
#include "merged.h"
#include "money.h"
#include "slot.h"
#include "os.h"
#include "store.h"

/* ---- totals ------------------------------------------------------------------------------------------------ */

static const char *const token_names[UL_TOKEN_KINDS] = {
	[UL_INPUT] = "input_tokens",
	[UL_CACHE_READ] = "cache_read_tokens",
	[UL_CACHE_WRITE_5M] = "cache_write_5m_tokens",
	[UL_CACHE_WRITE_1H] = "cache_write_1h_tokens",
	[UL_OUTPUT] = "output_tokens",
	[UL_REASONING] = "reasoning_tokens",
};

static void put_tokens_by_kind(struct json_text *json, const struct ul_sum *sum)
{
	json_begin_object(json, json_key("tokens_by_kind"));
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		json_integer(json, json_key(token_names[i]), sum->tokens[i]);
	json_integer(json, json_key("unknown_kind_tokens"), sum->balance_tokens);
	json_end(json);
}

void summary_members(struct json_text *json, const struct ul_sum *sum, bool by_kind)
{
	int64_t tokens = sum_tokens(sum);
	money_t cost = money_of(sum->cost_pico_usd);
	json_integer(json, json_key("tokens"), tokens);
	json_exact(json, json_key("tokens_exact"), tokens);
	json_money(json, json_key("cost"), cost);
	json_money_exact(json, json_key("cost_exact"), cost);
	json_integer(json, json_key("calls"), sum->calls);
	json_integer(json, json_key("errors"), sum->errors);
	json_integer(json, json_key("unpriced"), sum->unpriced_calls);
	if (by_kind)
		put_tokens_by_kind(json, sum);
}

static void put_total(struct json_text *json, struct ul_text key, const struct ul_sum *sum, bool by_kind)
{
	json_in_a_line(json);
	json_begin_object(json, key);
	summary_members(json, sum, by_kind);
	json_end(json);
}

void summary_total(struct json_text *json, const char *key, const struct ul_sum *sum, bool by_kind)
{
	put_total(json, json_key(key), sum, by_kind);
}

void summary_totals_by_name(struct json_text *json, const char *key, struct sum_list *list, const struct names *names)
{
	json_begin_object(json, json_key(key));
	breakdown_sort_by_name(list, names);
	for (size_t i = 0; i < list->count; i++)
		put_total(json, names_text(names, list->items[i].first), &list->items[i], false);
	json_end(json);
}

static struct ul_text day_text(char text[CALENDAR_DAY_BYTES], int32_t day)
{
	calendar_print_day(text, day);
	return json_key(text);
}

int summary_totals_by_day(struct json_text *json, const char *key, const struct table *days)
{
	struct sum_list list = {0};
	char text[CALENDAR_DAY_BYTES];
	int error = sum_list_gather(&list, days, NULL);
	if (!error)
		sum_list_sort(&list);
	json_begin_object(json, json_key(key));
	for (size_t i = 0; i < list.count; i++)
		put_total(json, day_text(text, list.items[i].number), &list.items[i], false);
	json_end(json);
	sum_list_clear(&list);
	return error;
}

bool summary_day_is_suspect(int32_t day, int32_t today)
{
	return day < calendar_day_of((struct calendar_date){2020, 1, 1}) || day > (int64_t)today + 2;
}

static int put_suspect_days(struct json_text *json, const struct table *days, int64_t now_ns)
{
	struct calendar calendar = {0};
	struct sum_list list = {0};
	char text[CALENDAR_DAY_BYTES];
	int32_t today = calendar_day(&calendar, now_ns);
	int error = sum_list_gather(&list, days, NULL);
	if (!error)
		sum_list_sort(&list);
	json_in_a_line(json);
	json_begin_array(json, json_key("suspect_days"));
	for (size_t i = 0; i < list.count; i++)
		if (summary_day_is_suspect(list.items[i].number, today))
			json_string(json, json_key(""), day_text(text, list.items[i].number));
	json_end(json);
	sum_list_clear(&list);
	return error;
}

/* ---- of the newest days -------------------------------------------------------------------------------------- */

/* The sums by day and model, whoever the provider is: `first` becomes the model. */
static int sum_models(struct sum_list *list, const struct totals *totals)
{
	struct table models;
	const struct table *recent = &totals->sums[TOTAL_RECENT];
	int error = 0;
	table_init(&models, sizeof(struct ul_sum));
	for (uint32_t i = 0; i < recent->count && !error; i++) {
		const struct ul_sum *part = table_record(recent, i);
		struct ul_sum key = {.number = part->number, .first = part->second};
		struct ul_sum *sum = table_get(&models, &key);
		if (!sum)
			error = -ENOMEM;
		else if (!sum_add(sum, part))
			error = -EOVERFLOW;
	}
	if (!error)
		error = sum_list_gather(list, &models, NULL);
	table_clear(&models);
	return error;
}

static int compare_day_models(const void *left, const void *right, void *names)
{
	const struct ul_sum *a = left, *b = right;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return names_compare(names_text(names, a->first), names_text(names, b->first));
}

static int put_day_models(struct json_text *json, const struct totals *totals, struct names *names)
{
	struct sum_list list = {0};
	char text[CALENDAR_DAY_BYTES];
	int error = sum_models(&list, totals);
	if (list.count)
		qsort_r(list.items, list.count, sizeof(*list.items), compare_day_models, names);
	json_begin_object(json, json_key("daily_model_totals"));
	for (size_t i = 0; i < list.count;) {
		int32_t day = list.items[i].number;
		json_begin_object(json, day_text(text, day));
		for (; i < list.count && list.items[i].number == day; i++)
			put_total(json, names_text(names, list.items[i].first), &list.items[i], false);
		json_end(json);
	}
	json_end(json);
	sum_list_clear(&list);
	return error;
}

static int put_hours(struct json_text *json, const struct totals *totals)
{
	struct sum_list list = {0};
	char text[CALENDAR_TIME_BYTES];
	int error = sum_list_gather(&list, &totals->sums[TOTAL_HOURS], NULL);
	if (!error)
		sum_list_sort(&list);
	json_begin_object(json, json_key("hourly_totals"));
	for (size_t i = 0; i < list.count; i++) {
		calendar_print_hour(text, list.items[i].number);
		put_total(json, json_key(text), &list.items[i], false);
	}
	json_end(json);
	sum_list_clear(&list);
	return error;
}

/* ---- attributes ---------------------------------------------------------------------------------------------- */

static const char other[] = "(other)";

/* By key; those of a key by cost, the most first, then calls, then value. */
static int compare_attributes(const void *left, const void *right, void *names)
{
	const struct ul_sum *a = left, *b = right;
	money_t cost_a = money_of(a->cost_pico_usd), cost_b = money_of(b->cost_pico_usd);
	if (a->first != b->first)
		return names_compare(names_text(names, a->first), names_text(names, b->first));
	if (cost_a != cost_b)
		return cost_a > cost_b ? -1 : 1;
	if (a->calls != b->calls)
		return a->calls > b->calls ? -1 : 1;
	return names_compare(names_text(names, a->second), names_text(names, b->second));
}

/* The values of one key. A value that is called "(other)" itself is one of the others. */
static int put_values(struct json_text *json, const struct ul_sum *sums, size_t count, const struct names *names)
{
	struct ul_sum rest = {0};
	size_t shown = 0;
	bool any_rest = false;
	json_begin_object(json, names_text(names, sums[0].first));
	for (size_t i = 0; i < count; i++) {
		struct ul_text value = names_text(names, sums[i].second);
		bool is_other = value.bytes == strlen(other) && memcmp(value.text, other, value.bytes) == 0;
		if (!is_other && shown < SUMMARY_VALUES) {
			put_total(json, value, &sums[i], false);
			shown++;
			continue;
		}
		any_rest = true;
		if (!sum_add(&rest, &sums[i]))
			return -EOVERFLOW;
	}
	if (any_rest)
		put_total(json, json_key(other), &rest, false);
	json_end(json);
	return 0;
}

static int put_attributes(struct json_text *json, const struct totals *totals, struct names *names)
{
	struct sum_list list = {0};
	int error = sum_list_gather(&list, &totals->sums[TOTAL_ATTRIBUTES], NULL);
	if (list.count)
		qsort_r(list.items, list.count, sizeof(*list.items), compare_attributes, names);
	json_begin_object(json, json_key("attributes"));
	for (size_t i = 0, next; i < list.count && !error; i = next) {
		for (next = i; next < list.count && list.items[next].first == list.items[i].first;)
			next++;
		error = put_values(json, &list.items[i], next - i, names);
	}
	json_end(json);
	sum_list_clear(&list);
	return error;
}

/* ---- latencies ----------------------------------------------------------------------------------------------- */

static void put_latency(struct json_text *json, struct ul_text key, const struct latency *latency)
{
	json_in_a_line(json);
	json_begin_object(json, key);
	json_integer(json, json_key("calls"), latency->calls);
	json_thousandths(json, json_key("mean"), latency_mean_us(latency));
	for (size_t i = 0; i < LATENCY_QUANTILES; i++) {
		char name[8];
		snprintf(name, sizeof(name), "p%u", latency_percents[i] % 100);
		json_thousandths(json, json_key(name), latency->quantiles_us[i]);
	}
	json_end(json);
}

static int put_latencies(struct json_text *json, const char *key, const struct totals *totals, enum ul_measure measure,
			 const struct names *names)
{
	struct latency_list list;
	int error = latency_make(&list, &totals->facts, measure, names);
	bool any = list.count && list.items[0].model == NAME_EMPTY;
	json_begin_object(json, json_key(key));
	if (any)
		put_latency(json, json_key("all"), &list.items[0]);
	else
		json_null(json, json_key("all"));
	json_begin_object(json, json_key("by_model"));
	for (size_t i = any; i < list.count; i++)
		put_latency(json, names_text(names, (uint32_t)list.items[i].model), &list.items[i]);
	json_end(json);
	json_end(json);
	latency_clear(&list);
	return error;
}

/* ---- the last calls ------------------------------------------------------------------------------------------ */

/* A string of a call's context, or null. */
static void put_attribute(struct json_text *json, const char *key, struct ul_text context)
{
	char text[UL_NAME_BYTES_MAX + 1];
	size_t bytes = ul_context_string(context.text, context.bytes, key, text);
	if (bytes)
		json_string(json, json_key(key), (struct ul_text){text, (uint32_t)bytes});
	else
		json_null(json, json_key(key));
}

/* The metadata as they were given, their numbers verbatim. */
static void put_metadata(struct json_text *json, struct ul_text context)
{
	struct ul_json_span all = ul_json_parse(context.text, context.bytes);
	struct ul_json_span metadata = {.type = UL_JSON_END};
	if (all.type == UL_JSON_OBJECT)
		metadata = ul_json_member(all, "metadata");
	if (metadata.type == UL_JSON_OBJECT)
		json_verbatim(json, json_key("metadata"), (struct ul_text){metadata.text, (uint32_t)metadata.bytes});
	else
		json_verbatim(json, json_key("metadata"), json_key("{}"));
}

static void put_call_latency(struct json_text *json, const struct ul_last_call *call)
{
	bool in_ms = call->flags & UL_LATENCY_MS >> 28;
	if (call->flags & UL_LATENCY_UNKNOWN >> 28)
		json_null(json, json_key("latency_ms"));
	else
		json_thousandths(json, json_key("latency_ms"),
				 call->call.latency * (in_ms ? INT64_C(1000) : INT64_C(1)));
	if (call->call.ttft_us)
		json_thousandths(json, json_key("ttft_ms"), call->call.ttft_us);
	else
		json_null(json, json_key("ttft_ms"));
}

static void put_call_tokens(struct json_text *json, const struct ul_call_body *call)
{
	int64_t total = (int64_t)call->input_tokens + call->cache_read_tokens + call->cache_write_5m_tokens +
			call->cache_write_1h_tokens + call->output_tokens;
	json_integer(json, json_key("input_tokens"), call->input_tokens);
	json_integer(json, json_key("output_tokens"), call->output_tokens);
	json_integer(json, json_key("total_tokens"), total);
	json_integer(json, json_key("cache_read_tokens"), call->cache_read_tokens);
	json_integer(json, json_key("cache_write_5m_tokens"), call->cache_write_5m_tokens);
	json_integer(json, json_key("cache_write_1h_tokens"), call->cache_write_1h_tokens);
	json_integer(json, json_key("reasoning_tokens"), call->reasoning_tokens);
}

static void put_call_id(struct json_text *json, const struct ul_id *id)
{
	static const struct ul_id none;
	char text[UL_ID_TEXT_BYTES];
	ul_id_format(text, id);
	if (memcmp(id, &none, sizeof(none)) != 0)
		json_string(json, json_key("call_id"), json_key(text));
	else
		json_null(json, json_key("call_id"));
}

static void put_call(struct json_text *json, const struct ul_last_call *call, const struct names *names)
{
	char time[CALENDAR_TIME_BYTES];
	struct ul_text context = names_text(names, call->context);
	calendar_print_time(time, call->call.time_ns);
	json_in_a_line(json);
	json_begin_object(json, json_key(""));
	json_string(json, json_key("timestamp"), json_key(time));
	json_string(json, json_key("model"), names_text(names, call->model));
	json_string(json, json_key("provider"), names_text(names, call->provider));
	put_call_tokens(json, &call->call);
	json_money(json, json_key("cost_usd"), last_call_cost(call));
	json_money_exact(json, json_key("cost_usd_exact"), last_call_cost(call));
	json_boolean(json, json_key("priced"), last_call_has_cost(call));
	put_call_latency(json, call);
	put_attribute(json, "operation", context);
	put_attribute(json, "error_type", context);
	put_attribute(json, "service_tier", context);
	put_attribute(json, "session_id", context);
	put_call_id(json, &call->call_id);
	put_metadata(json, context);
	json_end(json);
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static void put_dropped(struct json_text *json, const struct summary_log *log)
{
	static const char *const names[] = {
		[UL_CAUSE_SPACE] = "space",           [UL_CAUSE_LIMIT] = "limit", [UL_CAUSE_IO] = "io",
		[UL_CAUSE_PERMISSION] = "permission", [UL_CAUSE_GONE] = "gone",   [UL_CAUSE_REENTERED] = "reentered",
	};
	json_integer(json, json_key("dropped_at_least"), (int64_t)log->dropped);
	json_in_a_line(json);
	json_begin_object(json, json_key("dropped_by_cause"));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_integer(json, json_key(names[i]), (int64_t)log->dropped_by_cause[i]);
	json_end(json);
}

static void put_log(struct json_text *json, const struct checkpoint *checkpoint, const struct ul_conf *conf,
		    const struct summary_log *log, const struct ul_sum *all)
{
	char id[UL_ID_TEXT_BYTES], time[CALENDAR_TIME_BYTES];
	ul_id_format(id, &conf->log_id);
	json_begin_object(json, json_key("log"));
	json_string(json, json_key("log_id"), json_key(id));
	json_string(json, json_key("time_zone"), json_key(conf->time_zone));
	json_integer(json, json_key("generation"), (int64_t)checkpoint->generation);
	json_integer(json, json_key("segments"), (int64_t)log->segments);
	json_integer(json, json_key("folded"), (int64_t)log->folded);
	json_integer(json, json_key("pending"), (int64_t)log->pending);
	json_integer(json, json_key("damaged"), (int64_t)log->damaged);
	put_dropped(json, log);
	json_integer(json, json_key("unpriced"), all->unpriced_calls);
	if (log->folded) {
		calendar_print_time(time, checkpoint->newest_ns);
		json_string(json, json_key("durable_through"), json_key(time));
	} else {
		json_null(json, json_key("durable_through"));
	}
	json_end(json);
}

static void put_parts(struct json_text *json, const struct merged *merged)
{
	char id[UL_ID_TEXT_BYTES];
	json_begin_array(json, json_key("logs"));
	for (size_t i = 0; i < merged->count; i++) {
		const struct merged_part *part = &merged->parts[i];
		ul_id_format(id, &part->log_id);
		json_begin_object(json, json_key(""));
		json_string(json, json_key("log_id"), json_key(id));
		json_integer(json, json_key("generation"), (int64_t)part->generation);
		json_integer(json, json_key("folded"), (int64_t)part->calls);
		json_end(json);
	}
	json_end(json);
}

static void put_calls(struct json_text *json, const struct checkpoint *checkpoint, const struct names *names)
{
	json_begin_array(json, json_key("sessions"));
	for (size_t i = 0; i < checkpoint->call_count; i++)
		put_call(json, &checkpoint->calls[i], names);
	json_end(json);
}

/* What needs no more than the totals. */
static int put_totals(struct json_text *json, const struct totals *totals, struct names *names,
		      struct breakdown *breakdown)
{
	int error = summary_totals_by_day(json, "daily_totals", &totals->sums[TOTAL_DAYS]);
	summary_totals_by_name(json, "model_breakdown", &breakdown->models, names);
	summary_totals_by_name(json, "provider_breakdown", &breakdown->providers, names);
	summary_totals_by_name(json, "operation_breakdown", &breakdown->operations, names);
	summary_totals_by_name(json, "error_breakdown", &breakdown->errors, names);
	if (!error)
		error = put_attributes(json, totals, names);
	if (!error)
		error = put_day_models(json, totals, names);
	if (!error)
		error = put_hours(json, totals);
	if (!error)
		error = put_latencies(json, "latency_ms", totals, UL_MEASURE_LATENCY, names);
	if (!error)
		error = put_latencies(json, "ttft_ms", totals, UL_MEASURE_TTFT, names);
	return error;
}

char *summary_render(const struct checkpoint *checkpoint, struct names *names, const struct ul_conf *conf,
		     const struct summary_log *log, int64_t now_ns)
{
	struct breakdown breakdown;
	struct json_text json = {0};
	char time[CALENDAR_TIME_BYTES];
	int error = breakdown_make(&breakdown, &checkpoint->totals.facts.rows, names);
	calendar_print_time(time, now_ns);
	json_begin_object(&json, json_key(""));
	put_calls(&json, checkpoint, names);
	if (!error)
		error = put_totals(&json, &checkpoint->totals, names, &breakdown);
	summary_total(&json, "totals", &breakdown.all, true);
	if (log->merged)
		put_parts(&json, log->merged);
	else
		put_log(&json, checkpoint, conf, log, &breakdown.all);
	if (!error)
		error = put_suspect_days(&json, &checkpoint->totals.sums[TOTAL_DAYS], now_ns);
	json_string(&json, json_key("last_updated"), json_key(time));
	json_end(&json);
	breakdown_clear(&breakdown);
	if (error || json.error)
		json_text_clear(&json);
	return json.text;
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
	if (!store_is_reserved_name(name))
		return false;
	/* What cannot be told apart is not overwritten. */
	return os_stat(fd, &there) || os_stat(directory->fd, &ours) ||
	       (there.st_dev == ours.st_dev && there.st_ino == ours.st_ino);
}

/* May the summary take this place? What it is that may not be replaced is told; another error is negative. */
static int check_place(const struct ul_directory *directory, int fd, const char *name, const char **obstacle)
{
	struct stat found;
	if (is_own_file(directory, fd, name)) {
		*obstacle = "a file of the log itself and is not overwritten";
		return -EINVAL;
	}
	int error = os_stat_at(fd, name, &found);
	if (error)
		return error == -ENOENT ? 0 : error;
	/* Such as /dev/null, of which root would make a file for everybody. */
	if (S_ISCHR(found.st_mode) || S_ISBLK(found.st_mode)) {
		*obstacle = "a device and is not replaced";
		return -EINVAL;
	}
	return 0;
}

int summary_write(const struct ul_directory *directory, const char *text, struct ul_message *why)
{
	struct ul_message path = summary_path(directory);
	char *slash = strrchr(path.text, '/');
	const char *name = slash + 1;
	*slash = '\0';
	int fd = os_open_directory(slash == path.text ? "/" : path.text);
	const char *obstacle = NULL;
	int error = fd < 0 ? fd : check_place(directory, fd, name, &obstacle);
	if (obstacle) {
		os_close(fd);
		ul_message_set(
			why, "%s/%s: is %s by the summary; set another path: usagelog config summary_path summary.json",
			path.text, name, obstacle);
		return error;
	}
	if (!error)
		error = store_write(fd, name, text, strlen(text));
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
