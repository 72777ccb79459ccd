/* What calls come to now. */
#include "report_status.h"

#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "report_cells.h"
#include "report_source.h"
#include "summary.h"

/* ---- sums ------------------------------------------------------------------------------------------------------ */

/* Sum the calls that are asked for up by one key, or all together. The report is to be closed in any case. */
static int sum_up(struct report *report, const struct asked *asked, struct view *view, const struct checkpoint *whole,
		  const char *time_zone, const char *key, int32_t first_day, int32_t last_day)
{
	struct report_grouping *shown = &report->groupings[GROUPS_SHOWN];
	*report = asked->report;
	memset(report->groupings, 0, sizeof(report->groupings));
	report->breakdown = false;
	report->sums_only = true;
	report->names = &view->names;
	report->first_day = first_day;
	report->last_day = last_day;
	if (key && report_find_key(report, key, &shown->keys[0]))
		shown->key_count = 1;
	report_open(report);
	return report_gather(report, view, whole, time_zone);
}

/* All that a report counted. */
static struct ul_sum sum_of_all(const struct report *report)
{
	const struct table *all = &report->groupings[GROUPS_ALL].groups;
	return all->count ? ((const struct report_group *)table_record(all, 0))->sum : (struct ul_sum){0};
}

static int sum_days(struct ul_sum *sum, const struct asked *asked, struct view *view, const struct checkpoint *whole,
		    const char *time_zone, int32_t first_day, int32_t last_day)
{
	struct report report;
	int error = sum_up(&report, asked, view, whole, time_zone, NULL, first_day, last_day);
	if (!error)
		*sum = sum_of_all(&report);
	report_close(&report);
	return error;
}

/* The block that now is in, if one has begun; it may have begun yesterday. */
static int find_block(struct report_status *status, const struct asked *asked, struct view *view,
		      const struct checkpoint *whole, const char *time_zone, int32_t today, int64_t now_ns)
{
	struct report report;
	int error = sum_up(&report, asked, view, whole, time_zone, "block", today - 1, today);
	const struct table *groups = &report.groupings[GROUPS_SHOWN].groups;
	int32_t now = quarter_of(now_ns);
	for (size_t i = 0; i < report.block_count && !error; i++) {
		if (report.blocks[i] > now || now - report.blocks[i] >= REPORT_BLOCK_QUARTERS)
			continue;
		status->any_block = true;
		status->block_quarter = report.blocks[i];
		status->block_left_ns = ((int64_t)report.blocks[i] + REPORT_BLOCK_QUARTERS) * UL_QUARTER_NS - now_ns;
	}
	for (uint32_t i = 0; i < groups->count && !error; i++) {
		const struct report_group *group = table_record(groups, i);
		if (status->any_block && (int32_t)group->keys[0] == status->block_quarter)
			status->block = group->sum;
	}
	report_close(&report);
	return error;
}

int report_find_status(struct report_status *status, const struct asked *asked, struct view *view,
		       const struct checkpoint *whole, const char *time_zone, bool full, int64_t now_ns)
{
	struct calendar calendar = {0};
	int32_t today = calendar_day(&calendar, now_ns);
	int32_t month = today - (int32_t)calendar_date_of(today).day + 1;
	int error = 0;
	*status = (struct report_status){0};
	if (full)
		error = sum_days(&status->today, asked, view, whole, time_zone, today, today);
	if (!error && full)
		error = sum_days(&status->month, asked, view, whole, time_zone, month, today);
	if (!error && full)
		error = find_block(status, asked, view, whole, time_zone, today, now_ns);
	if (!error && asked->budget_period)
		error = sum_days(&status->budget, asked, view, whole, time_zone, asked_budget_from(asked, today),
				 today);
	return error;
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

enum { MINUTE = 60, HOUR = 3600, SECOND_NS = 1000000000 };

static void print_cost(FILE *stream, const struct asked *asked, struct ul_i128 cost)
{
	char text[REPORT_CELL_BYTES];
	money_t amount = money_of(cost);
	report_print_money(text, asked->locale, amount, amount < 10 * REPORT_USD && amount > -10 * REPORT_USD ? 4 : 2);
	fprintf(stream, "$%s", text);
}

void report_print_status(FILE *stream, const struct report_status *status, const struct asked *asked)
{
	char calls[REPORT_CELL_BYTES], tokens[REPORT_CELL_BYTES];
	report_print_count(calls, asked->locale, status->today.calls);
	report_print_brief(tokens, asked->locale, sum_tokens(&status->today));
	print_cost(stream, asked, status->today.cost_pico_usd);
	fprintf(stream, " today, %s call%s, %s tokens", calls, status->today.calls == 1 ? "" : "s", tokens);
	if (status->today.errors)
		fprintf(stream, ", %" PRId64 " error%s", status->today.errors, status->today.errors == 1 ? "" : "s");
	if (status->any_block) {
		int64_t left = status->block_left_ns / SECOND_NS;
		fprintf(stream, " | ");
		print_cost(stream, asked, status->block.cost_pico_usd);
		fprintf(stream, " block, %" PRId64 "h%02dm left", left / HOUR, (int)(left % HOUR / MINUTE));
	}
	fprintf(stream, " | ");
	print_cost(stream, asked, status->month.cost_pico_usd);
	fprintf(stream, " month");
	if (asked->budget_period) {
		money_t spent = money_of(status->budget.cost_pico_usd);
		fprintf(stream, " | ");
		print_cost(stream, asked, status->budget.cost_pico_usd);
		fprintf(stream, " of $%s", asked->budget_text);
		if (asked->budget_pico_usd)
			fprintf(stream, " (%" PRId64 " %%)", (int64_t)(spent * 100 / asked->budget_pico_usd));
	}
	putc('\n', stream);
}

void report_put_status(struct json_text *json, const struct report_status *status)
{
	summary_total(json, "today", &status->today, true);
	summary_total(json, "month_so_far", &status->month, true);
	if (status->any_block) {
		char begin[CALENDAR_TIME_BYTES], end[CALENDAR_TIME_BYTES];
		calendar_print_hour(begin, status->block_quarter);
		calendar_print_hour(end, status->block_quarter + REPORT_BLOCK_QUARTERS);
		json_in_a_line(json);
		json_begin_object(json, json_key("block"));
		json_string(json, json_key("begin"), json_key(begin));
		json_string(json, json_key("end"), json_key(end));
		json_integer(json, json_key("seconds_left"), status->block_left_ns / SECOND_NS);
		summary_members(json, &status->block, true);
		json_end(json);
	} else {
		json_null(json, json_key("block"));
	}
}

bool report_exceeds_budget(const struct report_status *status, const struct asked *asked)
{
	return asked->budget_period && money_of(status->budget.cost_pico_usd) > asked->budget_pico_usd;
}

void report_put_budget(struct json_text *json, const struct report_status *status, const struct asked *asked)
{
	money_t spent = money_of(status->budget.cost_pico_usd);
	if (!asked->budget_period)
		return;
	json_in_a_line(json);
	json_begin_object(json, json_key("budget"));
	json_money(json, json_key("budget"), asked->budget_pico_usd);
	json_string(json, json_key("period"), json_key(strchr(asked->budget_text, '/') + 1));
	json_money(json, json_key("cost"), spent);
	json_money_exact(json, json_key("cost_exact"), spent);
	json_boolean(json, json_key("exceeded"), report_exceeds_budget(status, asked));
	json_end(json);
}

void report_warn_of_budget(const struct report_status *status, const struct asked *asked)
{
	static const char *const periods[] = {
		[BUDGET_DAY] = "today", [BUDGET_WEEK] = "this week", [BUDGET_MONTH] = "this month"};
	char spent[MONEY_TEXT_BYTES], budget[MONEY_TEXT_BYTES];
	money_print(spent, money_of(status->budget.cost_pico_usd));
	money_print(budget, asked->budget_pico_usd);
	complain("the budget is exceeded: %s of %s USD %s%s", spent, budget, periods[asked->budget_period],
		 asked->report.filter_count ? ", by the calls chosen" : "");
}
