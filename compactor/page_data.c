/* What the page shows. */
#include "page_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "context.h"
#include "os.h"
#include "page_sums.h"
#include "usagelog.h"
#include "utf8.h"

static void put_number(struct json_text *json, int64_t value)
{
	json_integer(json, json_key(""), value);
}

/* Whole millionths of a US dollar, and the pico-USD that are left: 0 to 999,999. */
static void put_amount(struct json_text *json, money_t amount)
{
	const money_t million = 1000000;
	money_t whole = amount / million, rest = amount % million;
	if (rest < 0) {
		rest += million;
		whole--;
	}
	/* Beyond 9,007,199,254 USD a script's numbers are not exact anyway. */
	put_number(json, whole > INT64_MAX ? INT64_MAX : whole < INT64_MIN ? INT64_MIN : (int64_t)whole);
	put_number(json, (int64_t)rest);
}

static void begin_numbers(struct json_text *json, const char *key)
{
	json_in_a_line(json);
	json_begin_array(json, json_key(key));
}

/* provider, model, operation, error, scope. */
static void put_groups(struct json_text *json, const struct page_sums *sums)
{
	begin_numbers(json, "groups");
	for (uint32_t i = 0; i < sums->groups.count; i++) {
		const struct page_group *group = table_record(&sums->groups, i);
		put_number(json, group->provider);
		put_number(json, group->model);
		put_number(json, group->operation);
		put_number(json, group->error_and_scope / 4);
		put_number(json, group->error_and_scope % 4);
	}
	json_end(json);
}

/* day, group, calls, errors, unpriced, 6 kinds of tokens, tokens of unknown kind, amount (2). */
static int put_rows(struct json_text *json, const struct page_sums *sums)
{
	struct sum_list list = {0};
	int error = sum_list_gather(&list, &sums->rows, NULL);
	if (!error)
		sum_list_sort(&list);
	begin_numbers(json, "rows");
	for (size_t i = 0; i < list.count; i++) {
		const struct ul_sum *sum = &list.items[i];
		put_number(json, sum->number - sums->report->first_day);
		put_number(json, sum->first);
		put_number(json, sum->calls);
		put_number(json, sum->errors);
		put_number(json, sum->unpriced_calls);
		for (size_t j = 0; j < UL_TOKEN_KINDS; j++)
			put_number(json, sum->tokens[j]);
		put_number(json, sum->balance_tokens);
		put_amount(json, money_of(sum->cost_pico_usd));
	}
	json_end(json);
	sum_list_clear(&list);
	return error;
}

static void put_short_row(struct json_text *json, const struct page_sums *sums, uint32_t number,
			  const struct ul_sum *sum)
{
	put_number(json, number);
	put_number(json, sum->number - sums->report->first_day);
	put_number(json, sum->second);
	put_number(json, sum->calls);
	put_number(json, sum->errors);
	put_number(json, sum->unpriced_calls);
	put_number(json, sum_tokens(sum));
	put_amount(json, money_of(sum->cost_pico_usd));
}

/* session, day, model, calls, errors, unpriced, tokens, amount (2). */
static int put_session_rows(struct json_text *json, const struct page_sums *sums, struct page_names *sessions)
{
	struct sum_list list = {0};
	int error = sum_list_gather(&list, &sums->sessions, NULL);
	if (!error)
		sum_list_sort(&list);
	begin_numbers(json, "session_rows");
	for (size_t i = 0; i < list.count && !error; i++) {
		uint32_t session;
		error = page_names_find(sessions, list.items[i].first, &session);
		if (!error && session <= PAGE_SESSIONS)
			put_short_row(json, sums, session, &list.items[i]);
	}
	json_end(json);
	sum_list_clear(&list);
	return error;
}

static int put_sessions(struct json_text *json, const struct page_sums *sums)
{
	struct page_names sessions = {0};
	int error = page_sums_choose_sessions(sums, &sessions);
	json_integer(json, json_key("session_count"), (int64_t)sessions.list.count);
	page_names_put(&sessions, json, "sessions", &sums->view->names);
	if (!error)
		error = put_session_rows(json, sums, &sessions);
	page_names_clear(&sessions);
	return error;
}

/* day, model, tokens read from the cache, amount (2). */
static int put_savings(struct json_text *json, const struct page_sums *sums)
{
	struct sum_list list = {0};
	int error = sum_list_gather(&list, &sums->savings, NULL);
	if (!error)
		sum_list_sort(&list);
	begin_numbers(json, "savings");
	for (size_t i = 0; i < list.count; i++) {
		const struct ul_sum *sum = &list.items[i];
		put_number(json, sum->number - sums->report->first_day);
		put_number(json, sum->first);
		put_number(json, sum->tokens[UL_CACHE_READ]);
		put_amount(json, money_of(sum->cost_pico_usd));
	}
	json_end(json);
	sum_list_clear(&list);
	return error;
}

/* value, day, model, calls, errors, unpriced, tokens, amount (2). */
static int put_attribute_rows(struct json_text *json, const struct page_sums *sums,
			      const struct page_attribute *attribute)
{
	struct sum_list list = {0};
	int error = sum_list_gather(&list, &attribute->sums, NULL);
	if (!error)
		sum_list_sort(&list);
	begin_numbers(json, "rows");
	for (size_t i = 0; i < list.count; i++)
		put_short_row(json, sums, list.items[i].first, &list.items[i]);
	json_end(json);
	sum_list_clear(&list);
	return error;
}

static int put_attributes(struct json_text *json, const struct page_sums *sums)
{
	int error = 0;
	json_begin_array(json, json_key("attributes"));
	for (uint32_t i = 0; i < sums->attribute_count && !error; i++) {
		const struct page_attribute *attribute = &sums->attributes[i];
		if (!attribute->values.list.count)
			continue;
		json_begin_object(json, json_key(""));
		json_string(json, json_key("key"), json_key(attribute->key.name));
		json_boolean(json, json_key("by_model"), attribute->by_model);
		page_names_put(&attribute->values, json, "values", &sums->view->names);
		error = put_attribute_rows(json, sums, attribute);
		json_end(json);
	}
	json_end(json);
	return error;
}

static void put_attribute(struct json_text *json, const char *name, struct ul_text context)
{
	char text[UL_NAME_BYTES_MAX + 1];
	size_t bytes = ul_context_string(context.text, context.bytes, name, text);
	json_string(json, json_key(""), (struct ul_text){text, (uint32_t)bytes});
}

static void put_duration(struct json_text *json, bool known, int64_t us)
{
	if (known)
		put_number(json, us);
	else
		json_null(json, json_key(""));
}

static int put_call(struct json_text *json, struct page_sums *sums, const struct ul_last_call *call, int32_t day)
{
	struct report_maker maker;
	int wanted = page_sums_want_call(sums, call, &maker);
	if (wanted <= 0)
		return wanted;
	const struct names *names = &sums->view->names;
	struct ul_text context = names_text(names, call->context);
	const struct ul_call_body *body = &call->call;
	char time[CALENDAR_TIME_BYTES];
	uint32_t model;
	int error = page_names_find(&sums->names[PAGE_MODELS], call->model, &model);
	calendar_print_time(time, body->time_ns);
	json_in_a_line(json);
	json_begin_array(json, json_key(""));
	put_number(json, day - sums->report->first_day);
	put_number(json, model);
	json_string(json, json_key(""), json_key(time));
	json_string(json, json_key(""), names_text(names, maker.shown_provider));
	json_string(json, json_key(""), names_text(names, call->model));
	put_attribute(json, "operation", context);
	put_attribute(json, "error_type", context);
	put_attribute(json, "session_id", context);
	put_number(json, body->input_tokens);
	put_number(json, body->cache_read_tokens);
	put_number(json, (int64_t)body->cache_write_5m_tokens + body->cache_write_1h_tokens);
	put_number(json, body->output_tokens);
	json_boolean(json, json_key(""), last_call_has_cost(call));
	put_amount(json, last_call_cost(call));
	put_duration(json, !(call->flags & UL_LATENCY_UNKNOWN >> 28),
		     body->latency * (call->flags & UL_LATENCY_MS >> 28 ? INT64_C(1000) : INT64_C(1)));
	put_duration(json, body->ttft_us, body->ttft_us);
	json_end(json);
	return error;
}

/* The newest first. */
static int put_calls(struct json_text *json, struct page_sums *sums)
{
	struct calendar calendar = {0};
	int error = 0;
	json_begin_array(json, json_key("calls"));
	for (size_t i = sums->whole->call_count; i-- > 0 && !error;) {
		const struct ul_last_call *call = &sums->whole->calls[i];
		int32_t day = calendar_day(&calendar, call->call.time_ns);
		if (day >= sums->report->first_day && day <= sums->report->last_day)
			error = put_call(json, sums, call, day);
	}
	json_end(json);
	return error;
}

/* Text that may hold a path, which need not be UTF-8: bytes that are none become question marks. */
static void put_text(struct json_text *json, const char *key, const char *text)
{
	char *copy = os_duplicate(text);
	if (!copy) {
		json->error = -ENOMEM;
		return;
	}
	for (const char *at = copy, *end = copy + strlen(copy); at < end;)
		if (ul_utf8_read(&at, end) < 0)
			copy[at++ - copy] = '?';
	json_string(json, json_key(key), json_key(copy));
	free(copy);
}

/* What is wrong with the log, in words. */
static void put_notes(struct json_text *json, const struct findings *findings)
{
	json_begin_array(json, json_key("notes"));
	for (size_t i = 0; i < findings->count; i++)
		if (findings->items[i].kind >= FINDING_DAMAGE)
			put_text(json, "", findings->items[i].text);
	json_end(json);
}

static void put_day(struct json_text *json, const char *key, int32_t day)
{
	char text[CALENDAR_DAY_BYTES];
	calendar_print_day(text, day);
	json_string(json, json_key(key), json_key(text));
}

/* What was asked for on the command line: only such calls are here. */
static void put_filters(struct json_text *json, const struct report *report)
{
	json_begin_array(json, json_key("filters"));
	for (uint32_t i = 0; i < report->filter_count; i++) {
		const struct report_filter *filter = &report->filters[i];
		json_begin_array(json, json_key(""));
		put_text(json, "", filter->key.name);
		put_text(json, "", filter->pattern ? filter->pattern : "*");
		json_end(json);
	}
	json_end(json);
}

static void put_log(struct json_text *json, const struct page_sums *sums, bool period_given)
{
	const struct view *view = sums->view;
	const struct fold *fold = &view->pending.fold;
	struct calendar calendar = {0};
	char time[CALENDAR_TIME_BYTES];
	int64_t now_ns = os_time_ns();
	calendar_print_time(time, now_ns);
	put_text(json, "log", view->directory.path);
	json_string(json, json_key("version"), json_key(usagelog_version()));
	json_string(json, json_key("time_zone"), json_key(view->directory.conf.time_zone));
	json_string(json, json_key("made"), json_key(time));
	put_day(json, "today", calendar_day(&calendar, now_ns));
	put_day(json, "first_day", sums->report->first_day);
	put_day(json, "last_day", sums->report->last_day);
	json_boolean(json, json_key("period_given"), period_given);
	json_integer(json, json_key("pending"), (int64_t)(fold->calls + fold->balances));
	json_integer(json, json_key("damaged"), (int64_t)fold->counts.damaged);
}

static int put_all(struct json_text *json, struct page_sums *sums, bool period_given)
{
	static const char *const keys[PAGE_KINDS] = {"providers", "models", "operations", "errors"};
	json_begin_object(json, json_key(""));
	put_log(json, sums, period_given);
	put_filters(json, sums->report);
	put_notes(json, &sums->view->findings);
	for (size_t i = 0; i < PAGE_KINDS; i++)
		page_names_put(&sums->names[i], json, keys[i], &sums->view->names);
	put_groups(json, sums);
	int error = put_rows(json, sums);
	if (!error)
		error = put_sessions(json, sums);
	if (!error)
		error = put_attributes(json, sums);
	if (!error)
		error = put_savings(json, sums);
	page_times_put(&sums->times, json);
	if (!error)
		error = put_calls(json, sums);
	json_end(json);
	return error ? error : json->error;
}

int page_data_write(struct json_text *json, struct view *view, struct checkpoint *whole, struct report *report,
		    bool period_given)
{
	struct page_sums *sums = os_allocate(1, sizeof(*sums));
	if (!sums)
		return -ENOMEM;
	sums->view = view;
	sums->whole = whole;
	sums->report = report;
	int error = page_sums_gather(sums);
	if (!error)
		error = put_all(json, sums, period_given);
	page_sums_clear(sums);
	free(sums);
	return error;
}
