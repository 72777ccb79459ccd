/* What the log comes to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report_overview.h"

#include "calendar.h"
#include "command.h"
#include "money.h"
#include "os.h"
#include "summary.h"
#include "view.h"

enum { COST_DECIMALS = 4 };

/* All that is shown. */
struct shown {
	struct view *view;
	struct checkpoint *whole;
	bool raw_names;
	int32_t days_asked;
	int32_t today;
	int32_t first_day, last_day; /* of the period */
	bool all_days;               /* no call in the days asked for: the period is all there is */
	struct totals some_days;     /* those of the period, unless it is all days */
	struct breakdown all, period;
	struct ul_sum today_total;
	struct ul_sum month; /* of the calendar month of today, so far */
	int32_t average_days;
};

/* ---- figures ----------------------------------------------------------------------------------------------- */

static struct ul_sum day_range_total(const struct shown *shown, int32_t first, int32_t last)
{
	const struct table *days = &shown->whole->totals.sums[TOTAL_DAYS];
	struct ul_sum range = {0};
	for (uint32_t i = 0; i < days->count; i++) {
		const struct ul_sum *day = table_record(days, i);
		/* Parts of a sum that did not overflow as a whole: if one does nevertheless, what is shown is wrapped. */
		if (day->number >= first && day->number <= last)
			(void)sum_add(&range, day);
	}
	return range;
}

static const struct totals *period_totals(const struct shown *shown)
{
	return shown->all_days ? &shown->whole->totals : &shown->some_days;
}

/* The period is the days asked for, up to today; all days if those have no call. */
static int choose_period(struct shown *shown)
{
	int32_t first = shown->today, last = shown->today;
	shown->last_day = shown->today;
	shown->first_day = shown->today - shown->days_asked + 1;
	bool any = totals_day_bounds(&shown->whole->totals, &first, &last);
	shown->average_days = shown->days_asked;
	if (any && (last < shown->first_day || first > shown->last_day)) {
		shown->all_days = true;
		shown->first_day = first;
		shown->last_day = last;
	}
	/* A log younger than the period has its average over the days that it has. */
	if (any && first > shown->first_day)
		shown->average_days = shown->last_day - first + 1;
	else if (shown->all_days)
		shown->average_days = last - first + 1;
	if (shown->average_days < 1)
		shown->average_days = 1;
	int error = shown->all_days ? 0
				    : view_sum_days(shown->view, shown->whole, shown->first_day, shown->last_day,
						    &shown->some_days);
	if (error)
		return error;
	error = breakdown_make(&shown->period, &period_totals(shown)->facts.rows, &shown->view->names);
	return error || shown->raw_names ? error : breakdown_join_providers(&shown->period, &shown->view->names);
}

static int gather(struct shown *shown)
{
	struct calendar calendar = {0};
	shown->today = calendar_day(&calendar, os_time_ns());
	int error = breakdown_make(&shown->all, &shown->whole->totals.facts.rows, &shown->view->names);
	if (!error)
		error = choose_period(shown);
	if (error)
		return error;
	struct calendar_date date = calendar_date_of(shown->today);
	shown->today_total = day_range_total(shown, shown->today, shown->today);
	shown->month = day_range_total(shown, shown->today - (int32_t)date.day + 1, shown->today);
	return 0;
}

static money_t average_cost(const struct shown *shown)
{
	return money_of(shown->period.all.cost_pico_usd) / shown->average_days;
}

/* This month so far, and the average for each day that is left of it. */
static money_t projected_cost(const struct shown *shown)
{
	struct calendar_date date = calendar_date_of(shown->today);
	uint32_t left = calendar_days_in_month(date.year, date.month) - date.day;
	money_t rest = shown->all_days ? 0 : average_cost(shown) * (int32_t)left;
	return money_of(shown->month.cost_pico_usd) + rest;
}

/* ---- for people -------------------------------------------------------------------------------------------- */

/* Names stand last in a line, so that they may be as long and as strange as they like. */
static void print_line(const struct ul_sum *total, const char *name, size_t name_bytes)
{
	char calls[MONEY_SHOWN_BYTES], tokens[MONEY_SHOWN_BYTES], cost[MONEY_SHOWN_BYTES], errors[MONEY_SHOWN_BYTES];
	count_show(calls, total->calls);
	count_show(errors, total->errors);
	count_show(tokens, sum_tokens(total));
	money_show(cost, money_of(total->cost_pico_usd), COST_DECIMALS);
	printf("%14s %10s %20s %18s  ", calls, errors, tokens, cost);
	print_safely(stdout, name, name_bytes);
	printf("\n");
}

static void print_heading(const char *what)
{
	printf("\n%14s %10s %20s %18s  %s\n", "calls", "errors", "tokens", "USD", what);
}

static void print_table(struct sum_list *list, const struct names *names, const char *what)
{
	if (!list->count)
		return;
	breakdown_sort_by_cost(list, names);
	print_heading(what);
	for (size_t i = 0; i < list->count; i++) {
		struct ul_text name = names_text(names, list->items[i].first);
		print_line(&list->items[i], name.text, name.bytes);
	}
}

static void print_average(const struct shown *shown)
{
	const struct ul_sum *period = &shown->period.all;
	struct ul_sum average = {.calls = period->calls / shown->average_days,
				 .errors = period->errors / shown->average_days,
				 .balance_tokens = sum_tokens(period) / shown->average_days,
				 .cost_pico_usd = money_stored(average_cost(shown))};
	char name[64];
	int length = snprintf(name, sizeof(name), "a day, on average of %d day%s", shown->average_days,
			      shown->average_days == 1 ? "" : "s");
	print_line(&average, name, (size_t)length);
}

static void print_projection(const struct shown *shown)
{
	char cost[MONEY_SHOWN_BYTES];
	struct calendar_date date = calendar_date_of(shown->today);
	money_show(cost, projected_cost(shown), COST_DECIMALS);
	printf("%14s %10s %20s %18s  %04d-%02u, projected\n", "", "", "", cost, date.year, date.month);
}

static void print_tokens(const struct ul_sum *total)
{
	static const char *const names[UL_TOKEN_KINDS] = {"input",
							  "cache read",
							  "cache write, 5 min",
							  "cache write, 1 h",
							  "output",
							  "reasoning (part of output)"};
	char count[MONEY_SHOWN_BYTES];
	printf("\n%20s  tokens, all days\n", "");
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++) {
		count_show(count, total->tokens[i]);
		printf("%20s  %s\n", count, names[i]);
	}
	if (!total->balance_tokens)
		return;
	count_show(count, total->balance_tokens);
	printf("%20s  of unknown kind, taken over\n", count);
}

static void print_period_name(const struct shown *shown, char *out, size_t out_bytes)
{
	char first[CALENDAR_DAY_BYTES], last[CALENDAR_DAY_BYTES];
	calendar_print_day(first, shown->first_day);
	calendar_print_day(last, shown->last_day);
	if (shown->all_days)
		snprintf(out, out_bytes, "%s to %s (no calls in the last %d days)", first, last, shown->days_asked);
	else
		snprintf(out, out_bytes, "%s to %s (%d days)", first, last, shown->days_asked);
}

static void print_footing(const struct shown *shown)
{
	char exact[MONEY_TEXT_BYTES], unpriced[MONEY_SHOWN_BYTES], pending[MONEY_SHOWN_BYTES];
	const struct ul_sum *all = &shown->all.all;
	const struct fold *fold = &shown->view->pending.fold;
	money_print(exact, money_of(all->cost_pico_usd));
	printf("\nAll calls cost exactly %s USD", exact);
	count_show(unpriced, all->unpriced_calls);
	if (all->unpriced_calls)
		printf("; %s of them have no price", unpriced);
	printf(".\n");
	count_show(pending, (int64_t)(fold->calls + fold->balances));
	if (fold->calls + fold->balances)
		printf("%s of them are not in summary.json yet; usagelog compact folds them.\n", pending);
}

/* Calls that a clock which is years off has put into days that they cannot be of. */
static void print_suspect_days(const struct shown *shown)
{
	const struct table *days = &shown->whole->totals.sums[TOTAL_DAYS];
	char text[CALENDAR_DAY_BYTES], count[MONEY_SHOWN_BYTES];
	int64_t suspect = 0;
	int32_t first = 0;
	for (uint32_t i = 0; i < days->count; i++) {
		const struct ul_sum *day = table_record(days, i);
		if (sum_is_zero(day) || !summary_day_is_suspect(day->number, shown->today))
			continue;
		first = suspect && first < day->number ? first : day->number;
		suspect++;
	}
	if (!suspect)
		return;
	calendar_print_day(text, first);
	count_show(count, suspect);
	printf("%s day%s before 2020 or more than two days from now, the first on %s: a clock was wrong.\n", count,
	       suspect == 1 ? " lies" : "s lie", text);
}

static void print_text(struct shown *shown)
{
	struct names *names = &shown->view->names;
	char period[96];
	printf("Usage log ");
	print_safely(stdout, shown->view->directory.path, strlen(shown->view->directory.path));
	printf(", days in %s\n", shown->view->directory.conf.time_zone);
	print_heading("when");
	print_line(&shown->all.all, "all days", 8);
	print_period_name(shown, period, sizeof(period));
	print_line(&shown->period.all, period, strlen(period));
	print_average(shown);
	print_line(&shown->today_total, "today", 5);
	print_projection(shown);
	print_table(&shown->period.models, names, "model");
	print_table(&shown->period.providers, names, "provider");
	print_table(&shown->period.operations, names, "operation");
	print_table(&shown->period.errors, names, "error");
	print_tokens(&shown->all.all);
	print_footing(shown);
	print_suspect_days(shown);
}

/* ---- for scripts -------------------------------------------------------------------------------------------- */

static void put_day(struct json_text *json, const char *key, int32_t day)
{
	char text[CALENDAR_DAY_BYTES];
	calendar_print_day(text, day);
	json_string(json, json_key(key), json_key(text));
}

static void put_cost(struct json_text *json, money_t amount)
{
	json_money(json, json_key("cost"), amount);
	json_money_exact(json, json_key("cost_exact"), amount);
}

/* A day's share, to a thousandth. */
static void put_share(struct json_text *json, const char *key, int64_t sum, int32_t days)
{
	json_thousandths(json, json_key(key), (int64_t)((__int128)sum * 1000 / days));
}

static void put_average(struct json_text *json, const struct shown *shown)
{
	json_in_a_line(json);
	json_begin_object(json, json_key("average_per_day"));
	put_cost(json, average_cost(shown));
	json_integer(json, json_key("days"), shown->average_days);
	put_share(json, "calls", shown->period.all.calls, shown->average_days);
	put_share(json, "tokens", sum_tokens(&shown->period.all), shown->average_days);
	json_end(json);
}

static void put_sums(struct json_text *json, const struct shown *shown)
{
	summary_total(json, "totals", &shown->all.all, true);
	summary_total(json, "period", &shown->period.all, true);
	summary_total(json, "today", &shown->today_total, true);
	summary_total(json, "month_so_far", &shown->month, true);
	json_in_a_line(json);
	json_begin_object(json, json_key("projected_month"));
	put_cost(json, projected_cost(shown));
	json_end(json);
	put_average(json, shown);
}

static int print_json(struct shown *shown)
{
	struct names *names = &shown->view->names;
	const struct fold *fold = &shown->view->pending.fold;
	struct json_text json = {0};
	json_begin_object(&json, json_key(""));
	json_string(&json, json_key("time_zone"), json_key(shown->view->directory.conf.time_zone));
	put_day(&json, "today_is", shown->today);
	put_day(&json, "first_day", shown->first_day);
	put_day(&json, "last_day", shown->last_day);
	json_boolean(&json, json_key("all_days"), shown->all_days);
	put_sums(&json, shown);
	int error = summary_totals_by_day(&json, "daily_totals", &period_totals(shown)->sums[TOTAL_DAYS]);
	summary_totals_by_name(&json, "model_breakdown", &shown->period.models, names);
	summary_totals_by_name(&json, "provider_breakdown", &shown->period.providers, names);
	summary_totals_by_name(&json, "operation_breakdown", &shown->period.operations, names);
	summary_totals_by_name(&json, "error_breakdown", &shown->period.errors, names);
	json_integer(&json, json_key("folded"), (int64_t)checkpoint_calls(shown->view->from));
	json_integer(&json, json_key("pending"), (int64_t)(fold->calls + fold->balances));
	json_integer(&json, json_key("damaged"), (int64_t)fold->counts.damaged);
	json_end(&json);
	json.error = error ? error : json.error;
	return json_text_print(&json);
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

int report_overview(struct view *view, struct checkpoint *whole, int32_t days, bool json, bool raw_names)
{
	struct shown shown = {.view = view, .whole = whole, .days_asked = days, .raw_names = raw_names};
	int error = gather(&shown);
	if (!error && json)
		error = print_json(&shown);
	else if (!error)
		print_text(&shown);
	breakdown_clear(&shown.all);
	breakdown_clear(&shown.period);
	totals_clear(&shown.some_days);
	return error;
}
