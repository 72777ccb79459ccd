/* A report for programs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "csv.h"
#include "report_shown.h"
#include "summary.h"

static const struct report_grouping *grouping_of(const struct report_shown *shown, bool part)
{
	return &shown->report->groupings[part ? GROUPS_PARTS : GROUPS_SHOWN];
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void put_day(struct json_text *json, const char *key, int32_t day)
{
	char text[CALENDAR_DAY_BYTES];
	calendar_print_day(text, day);
	json_string(json, json_key(key), json_key(text));
}

static void put_times(struct json_text *json, const char *key, const struct report_line *line, int measure)
{
	const struct report_group *group = report_line_group(line);
	if (group->timed_calls[measure] <= 0) {
		json_null(json, json_key(key));
		return;
	}
	const struct latency mean = {.calls = group->timed_calls[measure], .sum_us = group->timed_us[measure]};
	json_begin_object(json, json_key(key));
	json_integer(json, json_key("calls"), mean.calls);
	json_thousandths(json, json_key("mean"), latency_mean_us(&mean));
	for (size_t i = 0; i < LATENCY_QUANTILES; i++) {
		char name[8];
		snprintf(name, sizeof(name), "p%u", latency_percents[i] % 100);
		if (line->quantiles_known[measure])
			json_thousandths(json, json_key(name), line->quantiles_us[measure][i]);
		else
			json_null(json, json_key(name));
	}
	json_end(json);
}

static void put_figures(struct json_text *json, const struct report_shown *shown, const struct report_line *line)
{
	money_t share;
	const struct report_group *group = report_line_group(line);
	summary_members(json, &group->sum, true);
	if (report_value(shown->lines, line, COLUMN_SHARE, &share))
		json_thousandths(json, json_key("share_percent"), (int64_t)share);
	else
		json_null(json, json_key("share_percent"));
	put_times(json, "latency_ms", line, 0);
	put_times(json, "ttft_ms", line, 1);
}

static void put_keys(struct json_text *json, const struct report_shown *shown, const struct report_line *line,
		     const struct report_grouping *grouping, uint32_t from)
{
	char text[REPORT_TEXT_BYTES];
	for (uint32_t i = from; i < grouping->key_count; i++) {
		const struct report_key *key = &grouping->keys[i];
		struct ul_text value = {"", 0};
		if (line->group)
			value = report_key_text(shown->report, key, line->group->keys[i], text);
		if (value.bytes)
			json_string(json, json_key(key->name), value);
		else
			json_null(json, json_key(key->name));
	}
	if (!line->group)
		json_integer(json, json_key("others"), (int64_t)line->rest_count);
}

static void put_line(struct json_text *json, const struct report_shown *shown, const struct report_line *line)
{
	if (!shown->report->breakdown)
		json_in_a_line(json);
	json_begin_object(json, json_key(""));
	put_keys(json, shown, line, grouping_of(shown, false), 0);
	if (!grouping_of(shown, false)->by_time) {
		put_day(json, "first_day", report_line_group(line)->first_day);
		put_day(json, "last_day", report_line_group(line)->last_day);
	}
	put_figures(json, shown, line);
	if (shown->report->breakdown) {
		const struct report_grouping *parts = grouping_of(shown, true);
		json_begin_array(json, json_key("breakdown"));
		for (size_t i = 0; i < line->part_count; i++) {
			json_in_a_line(json);
			json_begin_object(json, json_key(""));
			put_keys(json, shown, &line->parts[i], parts, parts->key_count - 1);
			put_figures(json, shown, &line->parts[i]);
			json_end(json);
		}
		json_end(json);
	}
	json_end(json);
}

void report_put_json(struct json_text *json, const struct report_shown *shown)
{
	const struct fold *fold = &shown->view->pending.fold;
	if (shown->name)
		json_string(json, json_key("view"), json_key(shown->name));
	else
		json_null(json, json_key("view"));
	json_string(json, json_key("time_zone"), json_key(shown->time_zone));
	put_day(json, "first_day", shown->report->first_day);
	put_day(json, "last_day", shown->report->last_day);
	json_boolean(json, json_key("all_days"), shown->all_days);
	json_begin_array(json, json_key("rows"));
	for (size_t i = 0; i < shown->lines->count; i++)
		put_line(json, shown, &shown->lines->items[i]);
	json_end(json);
	json_in_a_line(json);
	json_begin_object(json, json_key("totals"));
	put_figures(json, shown, &shown->lines->all);
	json_end(json);
	json_integer(json, json_key("folded"), (int64_t)checkpoint_calls(shown->view->from));
	json_integer(json, json_key("pending"), (int64_t)(fold->calls + fold->balances));
	json_integer(json, json_key("damaged"), (int64_t)fold->counts.damaged);
}

/* ---- CSV ------------------------------------------------------------------------------------------------------- */

/* Spreadsheets take what begins so for a formula, and run it. */
static void print_name(FILE *stream, struct ul_text text)
{
	static const char begins_formula[] = "=+-@\t\r";
	char quoted[UL_CONTEXT_BYTES_MAX + 1];
	if (!text.bytes || !strchr(begins_formula, text.text[0]) || text.bytes >= sizeof(quoted)) {
		csv_print(stream, text.text, text.bytes);
		return;
	}
	quoted[0] = '\'';
	memcpy(quoted + 1, text.text, text.bytes);
	csv_print(stream, quoted, text.bytes + (size_t)1);
}

static void print_ms(FILE *stream, int64_t us)
{
	fprintf(stream, "%" PRId64 ".%03u", us / 1000, (unsigned)(us % 1000));
}

static void print_figures(FILE *stream, const struct report_shown *shown, const struct report_line *line)
{
	char money[MONEY_TEXT_BYTES];
	money_t share;
	const struct ul_sum *sum = &report_line_group(line)->sum;
	fprintf(stream, ",%" PRId64 ",%" PRId64 ",%" PRId64, sum->calls, sum->errors, sum->unpriced_calls);
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		fprintf(stream, ",%" PRId64, sum->tokens[i]);
	fprintf(stream, ",%" PRId64 ",", sum_tokens(sum));
	fwrite(money, 1, money_print(money, money_of(sum->cost_pico_usd)), stream);
	putc(',', stream);
	if (report_value(shown->lines, line, COLUMN_SHARE, &share))
		fprintf(stream, "%s%" PRId64 ".%03u", share < 0 ? "-" : "",
			(int64_t)(share < 0 ? -share : share) / 1000, (unsigned)((share < 0 ? -share : share) % 1000));
	for (int measure = 0; measure < 2; measure++)
		for (size_t i = 0; i < LATENCY_QUANTILES; i++) {
			putc(',', stream);
			if (line->quantiles_known[measure])
				print_ms(stream, line->quantiles_us[measure][i]);
		}
	putc('\n', stream);
}

static void print_keys(FILE *stream, const struct report_shown *shown, const struct report_line *line,
		       const struct report_grouping *grouping)
{
	static const struct ul_text others = {"(other)", sizeof("(other)") - 1};
	char text[REPORT_TEXT_BYTES];
	for (uint32_t i = 0; i < grouping->key_count; i++) {
		if (i)
			putc(',', stream);
		print_name(stream,
			   line->group ? report_key_text(shown->report, &grouping->keys[i], line->group->keys[i], text)
				       : others);
	}
}

/* With a breakdown its parts alone: lines of both kinds would be counted twice. */
void report_print_csv(FILE *stream, const struct report_shown *shown)
{
	const struct report_grouping *grouping = grouping_of(shown, shown->report->breakdown);
	for (uint32_t i = 0; i < grouping->key_count; i++) {
		if (i)
			putc(',', stream);
		print_name(stream, json_key(grouping->keys[i].name));
	}
	fputs(",calls,errors,unpriced,input_tokens,cache_read_tokens,cache_write_5m_tokens,cache_write_1h_tokens,"
	      "output_tokens,reasoning_tokens,total_tokens,cost_usd,share_percent,latency_p50_ms,latency_p90_ms,"
	      "latency_p95_ms,latency_p99_ms,ttft_p50_ms,ttft_p90_ms,ttft_p95_ms,ttft_p99_ms\n",
	      stream);
	for (size_t i = 0; i < shown->lines->count; i++) {
		const struct report_line *line = &shown->lines->items[i];
		for (size_t j = 0; j < line->part_count; j++) {
			print_keys(stream, shown, &line->parts[j], grouping);
			print_figures(stream, shown, &line->parts[j]);
		}
		if (shown->report->breakdown && line->group)
			continue;
		print_keys(stream, shown, line, grouping);
		print_figures(stream, shown, line);
	}
}
