/* A report for people: a table as wide as the terminal, aligned by libsmartcols. */
#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "command.h"
#include "os.h"
#include "report_cells.h"
#include "report_shown.h"

enum { GAP_COLUMNS = 1, BAR_COLUMNS = 10, NAME_COLUMNS_MIN = 16 };

static const char bold[] = "\033[1m", red[] = "\033[31m", cyan[] = "\033[36m";

/* Columns of the table; which of them go first where there is not enough room: the one with the highest number. */
static const struct {
	const char *heading;
	int drop;    /* 0: never */
	bool tokens; /* may be shown as 1.23M */
	bool narrow; /* shown by --narrow too */
	bool hidden; /* where it says nothing in any line */
} columns[REPORT_COLUMNS] = {
	[COLUMN_CALLS] = {"calls", 1, false, true, false},
	[COLUMN_ERRORS] = {"errors", 6, false, false, false},
	[COLUMN_INPUT] = {"input", 4, true, false, false},
	[COLUMN_CACHE_READ] = {"cache read", 7, true, false, true},
	[COLUMN_CACHE_WRITE] = {"cache write", 8, true, false, true},
	[COLUMN_OUTPUT] = {"output", 3, true, false, false},
	[COLUMN_REASONING] = {"reasoning", 12, true, false, true},
	[COLUMN_TOKENS] = {"tokens", 2, true, true, false},
	[COLUMN_COST] = {"USD", 0, false, true, false},
	[COLUMN_SHARE] = {"share", 5, false, true, false},
	[COLUMN_P50] = {"p50", 9, false, false, true},
	[COLUMN_P95] = {"p95", 10, false, false, true},
	[COLUMN_P99] = {"p99", 13, false, false, true},
	[COLUMN_TTFT] = {"ttft p50", 11, false, false, true},
};

struct cells {
	char *keys[REPORT_KEYS_MAX]; /* malloc'd */
	char figures[REPORT_COLUMNS][REPORT_CELL_BYTES];
	char brief[REPORT_COLUMNS][REPORT_CELL_BYTES]; /* of columns of tokens */
	char bar[4 * BAR_COLUMNS + 1];
	const struct report_line *line;
	bool is_part, is_total;
	struct cells *parts;
};

struct text {
	const struct report_shown *shown;
	const struct report_style *style;
	struct cells *cells; /* of the lines; the totals last */
	size_t count;
	bool column_shown[REPORT_COLUMNS];
	bool brief, bars;
	int error;
};

/* ---- cells ----------------------------------------------------------------------------------------------------- */

/* Cents are what people count in; less than one is shown in four decimals. */
static unsigned cost_decimals(const struct text *text)
{
	money_t all = money_of(report_line_group(&text->shown->lines->all)->sum.cost_pico_usd);
	return all < 10 * REPORT_USD && all > -10 * REPORT_USD ? 4 : 2;
}

static void print_figure(struct text *text, struct cells *cells, enum report_column column)
{
	char *out = cells->figures[column];
	locale_t locale = text->style->locale;
	money_t value;
	if (!report_value(text->shown->lines, cells->line, column, &value)) {
		value = 0;
		snprintf(out, REPORT_CELL_BYTES, "-");
	} else if (column == COLUMN_COST) {
		report_print_money(out, locale, value, cost_decimals(text));
	} else if (column == COLUMN_SHARE) {
		report_print_share(out, locale, value);
	} else if (column >= COLUMN_P50) {
		report_print_duration(out, locale, (int64_t)value);
	} else {
		report_print_count(out, locale, value);
	}
	if (columns[column].tokens)
		report_print_brief(cells->brief[column], locale, value);
	else
		memcpy(cells->brief[column], out, REPORT_CELL_BYTES);
}

/* Eighths of a character cell, where the terminal can. */
static void print_bar(const struct text *text, struct cells *cells, money_t most)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	money_t cost = money_of(report_line_group(cells->line)->sum.cost_pico_usd), scaled;
	size_t used = 0;
	if (cells->is_total || most <= 0 || cost <= 0 ||
	    __builtin_mul_overflow(cost, (money_t)8 * BAR_COLUMNS, &scaled))
		return;
	int length = (int)((scaled + most - 1) / most);
	for (int i = 0; i < length / 8; i++)
		used += (size_t)snprintf(cells->bar + used, sizeof(cells->bar) - used, "%s",
					 text->style->utf8 ? "█" : "#");
	snprintf(cells->bar + used, sizeof(cells->bar) - used, "%s", text->style->utf8 ? eighths[length % 8] : "");
}

static char *print_to_memory(struct text *text, const char *head, struct ul_text name)
{
	char *out = NULL;
	size_t bytes;
	FILE *stream = os_memory_stream(&out, &bytes);
	if (stream) {
		fputs(head, stream);
		print_safely(stream, name.text, name.bytes);
	}
	if (!stream || fclose(stream)) {
		free(out);
		out = NULL;
		text->error = -ENOMEM;
	}
	return out;
}

/* Where a block ends is told too; the offset from UTC is not. */
static void print_hour(const struct text *text, int32_t quarter, bool block, char out[REPORT_CELL_BYTES])
{
	char begin[REPORT_TEXT_BYTES], end[REPORT_TEXT_BYTES];
	int32_t day = calendar_quarter_day(quarter);
	calendar_print_hour(begin, quarter);
	calendar_print_hour(end, quarter + REPORT_BLOCK_QUARTERS);
	report_print_day(out, text->style->locale, day);
	size_t used = strlen(out);
	snprintf(out + used, REPORT_CELL_BYTES - used, block ? " %.5s-%.5s" : " %.5s", strchr(begin, 'T') + 1,
		 strchr(end, 'T') + 1);
}

static char *print_key(struct text *text, const struct report_key *key, uint32_t value)
{
	static const struct ul_text none = {"(none)", sizeof("(none)") - 1};
	char exact[REPORT_TEXT_BYTES], own[REPORT_CELL_BYTES];
	if (key->kind == KEY_HOUR || key->kind == KEY_BLOCK) {
		print_hour(text, (int32_t)value, key->kind == KEY_BLOCK, own);
		return print_to_memory(text, own, (struct ul_text){"", 0});
	}
	if (key->kind == KEY_DAY || key->kind == KEY_WEEK) {
		report_print_day(own, text->style->locale, (int32_t)value);
		return print_to_memory(text, own, (struct ul_text){"", 0});
	}
	struct ul_text name = report_key_text(text->shown->report, key, value, exact);
	return print_to_memory(text, "", name.bytes ? name : none);
}

static void print_keys(struct text *text, struct cells *cells)
{
	const struct report *report = text->shown->report;
	const struct report_grouping *grouping = &report->groupings[cells->is_part ? GROUPS_PARTS : GROUPS_SHOWN];
	uint32_t first = cells->is_part ? grouping->key_count - 1 : 0;
	char others[REPORT_CELL_BYTES] = "total";
	if (!cells->line->group && !cells->is_total)
		snprintf(others, sizeof(others), "(%zu others)", cells->line->rest_count);
	if (cells->is_total || !cells->line->group) {
		cells->keys[0] = print_to_memory(text, others, (struct ul_text){"", 0});
		return;
	}
	/* Of a part the first column tells what it is a part by. */
	for (uint32_t i = first; i < grouping->key_count; i++)
		cells->keys[i - first] = print_key(text, &grouping->keys[i], cells->line->group->keys[i]);
}

static money_t greatest_cost(const struct report_lines *lines)
{
	money_t most = 0;
	for (size_t i = 0; i < lines->count; i++) {
		money_t cost = money_of(report_line_group(&lines->items[i])->sum.cost_pico_usd);
		most = cost > most ? cost : most;
	}
	return most;
}

static void fill(struct text *text, struct cells *cells, const struct report_line *line, money_t most)
{
	cells->line = line;
	print_keys(text, cells);
	for (enum report_column i = 0; i < REPORT_COLUMNS; i++)
		print_figure(text, cells, i);
	print_bar(text, cells, most);
	if (!line->part_count || text->error)
		return;
	cells->parts = os_allocate(line->part_count, sizeof(*cells->parts));
	if (!cells->parts)
		text->error = -ENOMEM;
	for (size_t i = 0; i < line->part_count && !text->error; i++) {
		cells->parts[i].is_part = true;
		fill(text, &cells->parts[i], &line->parts[i], most);
	}
}

static void clear_cells(struct cells *cells)
{
	for (size_t i = 0; i < REPORT_KEYS_MAX; i++)
		free(cells->keys[i]);
	for (size_t i = 0; cells->parts && i < cells->line->part_count; i++)
		clear_cells(&cells->parts[i]);
	free(cells->parts);
}

/* ---- columns --------------------------------------------------------------------------------------------------- */

static size_t width_of(const char *cell)
{
	wchar_t wide[REPORT_CELL_BYTES];
	size_t count = mbstowcs(wide, cell, REPORT_CELL_BYTES);
	int width = count == (size_t)-1 || count == REPORT_CELL_BYTES ? -1 : wcswidth(wide, count);
	return width < 0 ? strlen(cell) : (size_t)width;
}

static void widen(size_t *width, const char *cell)
{
	size_t own = cell ? width_of(cell) : 0;
	*width = own > *width ? own : *width;
}

static size_t column_width(const struct text *text, enum report_column column)
{
	size_t width = strlen(columns[column].heading);
	for (size_t i = 0; i < text->count; i++) {
		const struct cells *cells = &text->cells[i];
		widen(&width, text->brief ? cells->brief[column] : cells->figures[column]);
		for (size_t j = 0; cells->parts && j < cells->line->part_count; j++)
			widen(&width, text->brief ? cells->parts[j].brief[column] : cells->parts[j].figures[column]);
	}
	return width + GAP_COLUMNS;
}

/* Does a key's column hold names, which may be cut? Those of parts stand in the first one. */
static bool holds_names(const struct text *text, uint32_t i)
{
	const struct report *report = text->shown->report;
	return report->groupings[GROUPS_SHOWN].keys[i].kind >= KEY_PROVIDER || (!i && report->breakdown);
}

/* What keys need: names are cut, but not to less than they have or some columns. */
static size_t keys_width(const struct text *text)
{
	enum { BRANCH_COLUMNS = 2 };
	const struct report_grouping *grouping = &text->shown->report->groupings[GROUPS_SHOWN];
	size_t all = 0;
	for (uint32_t i = 0; i < grouping->key_count; i++) {
		const struct report_key *key = &grouping->keys[i];
		size_t own = strlen(key->name), parts = 0;
		for (size_t j = 0; j < text->count; j++) {
			const struct cells *cells = &text->cells[j];
			widen(&own, cells->keys[i]);
			for (size_t k = 0; !i && cells->parts && k < cells->line->part_count; k++)
				widen(&parts, cells->parts[k].keys[0]);
		}
		parts += parts ? BRANCH_COLUMNS : 0;
		size_t least = key->kind < KEY_PROVIDER || own < NAME_COLUMNS_MIN ? own : NAME_COLUMNS_MIN;
		if (parts > least)
			least = parts < NAME_COLUMNS_MIN ? parts : least > NAME_COLUMNS_MIN ? least : NAME_COLUMNS_MIN;
		all += least + (i ? GAP_COLUMNS : 0);
	}
	return all;
}

static bool fits(const struct text *text)
{
	size_t all = keys_width(text) + (text->bars ? BAR_COLUMNS + GAP_COLUMNS : 0);
	for (enum report_column i = 0; i < REPORT_COLUMNS; i++)
		if (text->column_shown[i])
			all += column_width(text, i);
	return all <= text->style->width;
}

static bool says_something(const struct text *text, enum report_column column)
{
	for (size_t i = 0; i < text->count; i++) {
		const char *cell = text->cells[i].figures[column];
		if (strcmp(cell, "0") != 0 && strcmp(cell, "-") != 0)
			return true;
	}
	return false;
}

/* All that there is to say, if there is room; else tokens are shown in brief; then bars go, and columns. */
static void choose_columns(struct text *text)
{
	for (enum report_column i = 0; i < REPORT_COLUMNS; i++)
		text->column_shown[i] =
			(columns[i].narrow || !text->style->narrow) && (!columns[i].hidden || says_something(text, i));
	text->bars = text->style->bars;
	text->brief = text->style->narrow;
	if (!text->style->width || fits(text))
		return;
	text->brief = true;
	while (!fits(text)) {
		int worst = -1;
		for (int i = 0; i < REPORT_COLUMNS; i++)
			if (text->column_shown[i] && columns[i].drop &&
			    (worst < 0 || columns[i].drop > columns[worst].drop))
				worst = i;
		if (worst < 0)
			return;
		if (text->bars && columns[worst].drop < columns[COLUMN_ERRORS].drop)
			text->bars = false;
		else
			text->column_shown[worst] = false;
	}
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

static void add_cells(struct text *text, struct libscols_table *table, struct libscols_line *parent,
		      const struct cells *cells)
{
	const struct report_grouping *grouping = &text->shown->report->groupings[GROUPS_SHOWN];
	struct libscols_line *line = scols_table_new_line(table, parent);
	size_t at = 0;
	bool failed = !line;
	if (line && cells->is_total)
		failed |= scols_line_set_color(line, bold) != 0;
	for (uint32_t i = 0; i < grouping->key_count && !failed; i++, at++)
		failed |= cells->keys[i] && scols_line_set_data(line, at, cells->keys[i]) != 0;
	for (enum report_column i = 0; i < REPORT_COLUMNS && !failed; i++) {
		if (!text->column_shown[i])
			continue;
		const char *cell = text->brief ? cells->brief[i] : cells->figures[i];
		failed |= scols_line_set_data(line, at, cell) != 0;
		if (!failed && i == COLUMN_ERRORS && strcmp(cell, "0") != 0)
			failed |= scols_cell_set_color(scols_line_get_cell(line, at), red) != 0;
		at++;
	}
	if (!failed && text->bars)
		failed |= scols_line_set_data(line, at, cells->bar) != 0;
	if (failed)
		text->error = -ENOMEM;
	for (size_t i = 0; cells->parts && i < cells->line->part_count && !text->error; i++)
		add_cells(text, table, line, &cells->parts[i]);
}

static void add_columns(struct text *text, struct libscols_table *table)
{
	const struct report_grouping *grouping = &text->shown->report->groupings[GROUPS_SHOWN];
	struct libscols_column *column;
	bool failed = false;
	for (uint32_t i = 0; i < grouping->key_count && !failed; i++) {
		int cut = holds_names(text, i) ? SCOLS_FL_TRUNC : 0;
		int tree = !i && text->shown->report->breakdown ? SCOLS_FL_TREE : 0;
		failed = !scols_table_new_column(table, grouping->keys[i].name, 0, cut | tree);
	}
	for (enum report_column i = 0; i < REPORT_COLUMNS && !failed; i++)
		if (text->column_shown[i])
			failed = !scols_table_new_column(table, columns[i].heading, 0, SCOLS_FL_RIGHT);
	if (text->bars && !failed) {
		column = scols_table_new_column(table, "", BAR_COLUMNS, 0);
		failed = !column || scols_column_set_color(column, cyan) != 0;
	}
	for (size_t i = 0; text->style->colours && !failed && (column = scols_table_get_column(table, i)); i++)
		failed = scols_cell_set_color(scols_column_get_header(column), bold) != 0;
	if (failed)
		text->error = -ENOMEM;
}

static void print_table(struct text *text, FILE *stream)
{
	struct libscols_table *table = scols_new_table();
	if (!table) {
		text->error = -ENOMEM;
		return;
	}
	add_columns(text, table);
	for (size_t i = 0; i < text->count && !text->error; i++)
		add_cells(text, table, NULL, &text->cells[i]);
	/* What is unfit for a terminal was made fit; so it would be again. */
	scols_table_enable_noencoding(table, 1);
	scols_table_enable_colors(table, text->style->colours);
	scols_table_enable_ascii(table, !text->style->utf8);
	scols_table_set_stream(table, stream);
	scols_table_set_termforce(table, text->style->width ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
	if (text->style->width)
		scols_table_set_termwidth(table, text->style->width);
	if (!text->error && scols_print_table(table))
		text->error = -ENOMEM;
	scols_unref_table(table);
}

/* ---- around it ------------------------------------------------------------------------------------------------- */

static void print_title(const struct text *text, FILE *stream)
{
	const struct report_shown *shown = text->shown;
	const struct report *report = shown->report;
	char first[REPORT_CELL_BYTES], last[REPORT_CELL_BYTES];
	report_print_day(first, text->style->locale, report->first_day);
	report_print_day(last, text->style->locale, report->last_day);
	fprintf(stream, "%s%s to %s%s, days in %s", text->style->colours ? bold : "", first, last,
		text->style->colours ? "\033[0m" : "", shown->time_zone);
	if (shown->all_days && shown->days_asked)
		fprintf(stream, " (all: there are no calls in the last %d days)", shown->days_asked);
	fprintf(stream, "\n\n");
}

static void print_notes(const struct text *text, FILE *stream)
{
	const struct report_shown *shown = text->shown;
	const struct ul_sum *all = &report_line_group(&shown->lines->all)->sum;
	char exact[MONEY_TEXT_BYTES], count[MONEY_SHOWN_BYTES];
	money_print(exact, money_of(all->cost_pico_usd));
	fprintf(stream, "\nThat is exactly %s USD", exact);
	if (all->unpriced_calls) {
		count_show(count, all->unpriced_calls);
		fprintf(stream, "; %s call%s no price", count, all->unpriced_calls == 1 ? " has" : "s have");
	}
	fprintf(stream, ".\n");
}

int report_print_text(FILE *stream, const struct report_shown *shown, const struct report_style *style)
{
	const struct report_lines *lines = shown->lines;
	struct text text = {.shown = shown, .style = style};
	if (!lines->count) {
		print_title(&text, stream);
		fprintf(stream, "There are no such calls.\n");
		return 0;
	}
	text.cells = os_allocate(lines->count + 1, sizeof(*text.cells));
	if (!text.cells)
		return -ENOMEM;
	text.count = lines->count + 1;
	text.cells[lines->count].is_total = true;
	for (size_t i = 0; i < text.count && !text.error; i++)
		fill(&text, &text.cells[i], i < lines->count ? &lines->items[i] : &lines->all, greatest_cost(lines));
	if (!text.error) {
		choose_columns(&text);
		print_title(&text, stream);
		print_table(&text, stream);
	}
	if (!text.error)
		print_notes(&text, stream);
	for (size_t i = 0; i < text.count; i++)
		if (text.cells[i].line)
			clear_cells(&text.cells[i]);
	free(text.cells);
	return text.error;
}
