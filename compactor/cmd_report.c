/* usagelog report: what calls come to, grouped as one likes. Writes nothing. */
#include <errno.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "os.h"
#include "report_shown.h"
#include "report_source.h"

/* A view is a name for keys and a period. */
struct view_kind {
	const char *name;
	const char *key;
	int32_t days; /* that are shown if none are asked for */
};

static const struct view_kind view_kinds[] = {
	{"daily", "day", 30},
	{"weekly", "week", 78},
	{"monthly", "month", 335},
	{"hourly", "hour", 2},
	{"models", "model", 30},
	{"providers", "provider", 30},
	{"operations", "operation", 30},
	{"sessions", "session_id", 30},
	{"errors", "error_type", 30},
	{"blocks", "block", 7},
};
enum { VIEW_KINDS = sizeof(view_kinds) / sizeof(view_kinds[0]), DAYS_DEFAULT = 30, DAYS_MAX = 36500 };

/* What was asked for. */
struct asked {
	const char *since, *until, *days, *by, *sort, *top;
	const char *models[OPTION_VALUES_MAX + 1], *providers[OPTION_VALUES_MAX + 1],
		*operations[OPTION_VALUES_MAX + 1], *where[OPTION_VALUES_MAX + 1];
	bool breakdown, raw_names, narrow, json, csv;
	const struct view_kind *kind; /* NULL: only keys were given */
	char *by_names;               /* `by`, cut at its commas */
	struct report report;
	struct report_order order;
	size_t top_lines;
	int32_t days_shown;
	int32_t first_day, last_day; /* INT32_MIN, INT32_MAX: not given */
};

/* ---- what was asked for ---------------------------------------------------------------------------------------- */

static const char *kind_name(const void *arg, size_t index)
{
	(void)arg;
	return index < VIEW_KINDS ? view_kinds[index].name : NULL;
}

static bool find_kind(struct asked *asked, const char *name)
{
	char suggestion[SUGGESTION_BYTES];
	for (size_t i = 0; i < VIEW_KINDS; i++)
		if (!strcmp(view_kinds[i].name, name)) {
			asked->kind = &view_kinds[i];
			return true;
		}
	suggest(name, kind_name, NULL, suggestion);
	complain("report has no view %s%s; see usagelog report --help", name, suggestion);
	return false;
}

static bool add_key(struct asked *asked, const char *name)
{
	struct report *report = &asked->report;
	struct report_grouping *shown = &report->groupings[GROUPS_SHOWN];
	struct report_key key;
	if (shown->key_count == REPORT_KEYS_MAX - 1 || !*name || !report_find_key(report, name, &key)) {
		complain(*name ? "--by: %s is one key too many: with the view's own there may be %d"
			       : "--by: a key is missing%.0s; give names between commas, no more than %d",
			 name, REPORT_KEYS_MAX - 1);
		return false;
	}
	for (uint32_t i = 0; i < shown->key_count; i++)
		if (shown->keys[i].kind == key.kind && shown->keys[i].attribute == key.attribute)
			return true;
	shown->keys[shown->key_count++] = key;
	return true;
}

static bool add_keys(struct asked *asked)
{
	if (asked->kind && !add_key(asked, asked->kind->key))
		return false;
	for (char *at = asked->by_names, *name; at && (name = strsep(&at, ",")) != NULL;)
		if (!add_key(asked, name))
			return false;
	return true;
}

/* Parts are by model; of a model by provider; of both by operation. */
static void add_part_key(struct report *report)
{
	static const char *const names[] = {"model", "provider", "operation"};
	const struct report_grouping *shown = &report->groupings[GROUPS_SHOWN];
	struct report_grouping *parts = &report->groupings[GROUPS_PARTS];
	*parts = *shown;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct report_key key;
		bool taken = !report_find_key(report, names[i], &key);
		for (uint32_t j = 0; j < shown->key_count; j++)
			taken |= shown->keys[j].kind == key.kind && shown->keys[j].attribute == key.attribute;
		if (taken)
			continue;
		parts->keys[parts->key_count++] = key;
		return;
	}
}

static bool add_filter(struct asked *asked, const char *key, const char *pattern)
{
	struct report *report = &asked->report;
	struct report_filter *filter = &report->filters[report->filter_count];
	if (report->filter_count == REPORT_FILTERS_MAX || !report_find_key(report, key, &filter->key)) {
		complain("there are too many conditions: %d at most, with %d keys of the metadata", REPORT_FILTERS_MAX,
			 REPORT_ATTRIBUTES_MAX - 4);
		return false;
	}
	if (filter->key.kind < KEY_PROVIDER) {
		complain("--where %s: days are chosen by --since, --until and --days", key);
		return false;
	}
	filter->pattern = pattern;
	report->filter_count++;
	return true;
}

static bool add_filters(struct asked *asked)
{
	const struct {
		const char *key;
		const char *const *values;
	} own[] = {{"model", asked->models}, {"provider", asked->providers}, {"operation", asked->operations}};
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		for (size_t j = 0; own[i].values[j]; j++)
			if (!add_filter(asked, own[i].key, own[i].values[j]))
				return false;
	for (size_t i = 0; asked->where[i]; i++) {
		char *text = (char *)(uintptr_t)asked->where[i], *equals = strchr(text, '=');
		if (!equals || equals == text) {
			complain("--where %s: give a key and its value, KEY=VALUE", text);
			return false;
		}
		*equals = '\0';
		if (!add_filter(asked, text, equals + 1))
			return false;
	}
	return !asked->kind || strcmp(asked->kind->name, "errors") != 0 || add_filter(asked, "error_type", NULL);
}

static const char *column_name(const void *arg, size_t index)
{
	(void)arg;
	return index < REPORT_COLUMNS ? report_column_names[index] : index == REPORT_COLUMNS ? "key" : NULL;
}

static bool parse_sort(struct asked *asked)
{
	char suggestion[SUGGESTION_BYTES];
	const char *name = asked->sort;
	bool by_time = false;
	for (uint32_t i = 0; i < asked->report.groupings[GROUPS_SHOWN].key_count; i++)
		by_time |= asked->report.groupings[GROUPS_SHOWN].keys[i].kind < KEY_PROVIDER;
	asked->order.column = by_time ? -1 : COLUMN_COST;
	if (!name)
		return true;
	asked->order.reversed = *name == '-';
	name += asked->order.reversed;
	for (int i = 0; column_name(NULL, (size_t)i); i++)
		if (!strcmp(name, column_name(NULL, (size_t)i))) {
			asked->order.column = i == REPORT_COLUMNS ? -1 : i;
			return true;
		}
	suggest(name, column_name, NULL, suggestion);
	complain("--sort: there is no column %s%s; give \"key\", or one of calls, errors, input, cache_read, "
		 "cache_write, output, reasoning, tokens, cost, share, p50, p95, p99, ttft",
		 name, suggestion);
	return false;
}

static bool parse_count(const char *name, const char *text, long most, long *count)
{
	char *end;
	errno = 0;
	*count = strtol(text, &end, 10);
	if (!errno && !*end && *text >= '0' && *text <= '9' && *count >= 1 && *count <= most)
		return true;
	complain("--%s \"%s\" is not a number from 1 to %ld", name, text, most);
	return false;
}

/* YYYY-MM-DD, YYYYMMDD, today or yesterday. */
static bool parse_day(const char *name, const char *text, int32_t today, int32_t *day)
{
	char dashed[CALENDAR_DAY_BYTES] = "";
	if (!text)
		return true;
	if (!strcmp(text, "today") || !strcmp(text, "yesterday")) {
		*day = today - (*text == 'y');
		return true;
	}
	if (strlen(text) == strlen("YYYYMMDD"))
		snprintf(dashed, sizeof(dashed), "%.4s-%.2s-%.2s", text, text + 4, text + 6);
	else if (strlen(text) == strlen("YYYY-MM-DD"))
		snprintf(dashed, sizeof(dashed), "%s", text);
	if (*dashed && calendar_parse_day(day, dashed))
		return true;
	complain("--%s \"%s\" is not a day; give YYYY-MM-DD, YYYYMMDD, today or yesterday", name, text);
	return false;
}

static bool parse_period(struct asked *asked)
{
	long days = asked->kind ? asked->kind->days : DAYS_DEFAULT, top = 0;
	if (asked->days && (asked->since || asked->until)) {
		complain("--days goes back from today: give it, or --since and --until");
		return false;
	}
	if (asked->days && strcmp(asked->days, "all") != 0 && !parse_count("days", asked->days, DAYS_MAX, &days))
		return false;
	if (asked->top && !parse_count("top", asked->top, INT32_MAX, &top))
		return false;
	asked->days_shown = (int32_t)days;
	asked->top_lines = (size_t)top;
	return true;
}

static bool understand(struct asked *asked, const struct command_line *line)
{
	if (line->operand_count > 1) {
		complain("report shows one view, but %s and %s were given", line->operands[0], line->operands[1]);
		return false;
	}
	if (line->operand_count && !find_kind(asked, line->operands[0]))
		return false;
	if (!asked->kind && !asked->by)
		asked->kind = &view_kinds[0];
	if (asked->json && asked->csv) {
		complain("--json and --csv are two forms of one answer; give one of them");
		return false;
	}
	if (!add_keys(asked) || !add_filters(asked) || !parse_sort(asked) || !parse_period(asked))
		return false;
	asked->report.breakdown = asked->breakdown;
	if (asked->breakdown)
		add_part_key(&asked->report);
	asked->report.raw_names = asked->raw_names;
	return true;
}

/* ---- the period ------------------------------------------------------------------------------------------------ */

/* Whole weeks and months, where nobody said from which day on. */
static int32_t whole_from(const struct asked *asked, int32_t day)
{
	const char *key = asked->kind && !asked->days ? asked->kind->key : "";
	struct calendar_date date = calendar_date_of(day);
	if (!strcmp(key, "month"))
		return day - (int32_t)date.day + 1;
	return !strcmp(key, "week") ? report_week_of(day) : day;
}

/* The period is the days asked for, up to today; all days if those have no call. False: said already. */
static bool choose_period(struct asked *asked, struct report_shown *shown, const struct checkpoint *whole,
			  int32_t today)
{
	struct report *report = &asked->report;
	int32_t first = today, last = today;
	bool any = totals_day_bounds(&whole->totals, &first, &last);
	bool given = asked->since || asked->until;
	bool all = asked->days && !strcmp(asked->days, "all");
	report->first_day = given ? first : whole_from(asked, today - asked->days_shown + 1);
	report->last_day = given && last > today ? last : today;
	if (!parse_day("since", asked->since, today, &report->first_day) ||
	    !parse_day("until", asked->until, today, &report->last_day))
		return false;
	if (given && report->first_day > report->last_day && asked->since && asked->until) {
		complain("--since %s is after --until %s", asked->since, asked->until);
		return false;
	}
	if (!given && any && (all || last < report->first_day || first > report->last_day)) {
		shown->all_days = true;
		report->first_day = first;
		report->last_day = last;
	}
	shown->days_asked = all ? 0 : asked->days_shown;
	return true;
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

static int print_json(const struct report_shown *shown)
{
	struct json_text json = {0};
	int error = report_put_json(&json, shown);
	if (!error)
		printf("%s\n", json.text);
	json_text_clear(&json);
	return error;
}

/* How wide the terminal is; 0: there is none, and nobody said. */
static size_t terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	long given = columns ? strtol(columns, NULL, 10) : 0;
	if (given > 0 && given <= UINT16_MAX)
		return (size_t)given;
	return isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

static struct report_style choose_style(const struct asked *asked)
{
	const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
	bool is_terminal = isatty(STDOUT_FILENO) && !(terminal && !strcmp(terminal, "dumb"));
	return (struct report_style){.width = terminal_width(),
				     .narrow = asked->narrow,
				     .colours = is_terminal && !(no_colour && *no_colour),
				     .bars = is_terminal,
				     .utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8")};
}

static int print(const struct asked *asked, const struct report_shown *shown)
{
	if (asked->json)
		return print_json(shown);
	if (asked->csv) {
		report_print_csv(stdout, shown);
		return 0;
	}
	const struct report_style style = choose_style(asked);
	return report_print_text(stdout, shown, &style);
}

static int show(struct asked *asked, struct view *view)
{
	struct report *report = &asked->report;
	struct checkpoint *whole;
	struct calendar calendar = {0};
	struct report_lines lines = {0};
	struct report_shown shown = {.report = report,
				     .lines = &lines,
				     .view = view,
				     .name = asked->kind ? asked->kind->name : NULL,
				     .time_zone = view->directory.conf.time_zone};
	int32_t today = calendar_day(&calendar, os_time_ns());
	report->names = &view->names;
	int error = view_add_pending(view, &whole);
	if (!error && !choose_period(asked, &shown, whole, today))
		return STATUS_USAGE;
	report_open(report);
	if (!error)
		error = report_gather(report, view, whole, true);
	if (!error)
		error = report_make_lines(report, &lines, asked->order, asked->top_lines);
	for (size_t i = 0; i < view->findings.count; i++)
		complain("%s", view->findings.items[i].text);
	if (!error)
		error = print(asked, &shown);
	if (error)
		complain("%s: cannot be reported on: %s", view->directory.path, usagelog_strerror(error));
	report_lines_clear(&lines);
	report_close(report);
	if (error)
		return STATUS_FILES;
	return view->findings.counts[FINDING_LEFT_OUT] ? STATUS_PART : STATUS_DONE;
}

static int report(struct asked *asked, const struct command_line *line)
{
	struct view view;
	struct ul_message why;
	asked->by_names = asked->by ? os_duplicate(asked->by) : NULL;
	if (asked->by && !asked->by_names) {
		complain("no memory to report");
		return STATUS_FILES;
	}
	if (!understand(asked, line))
		return STATUS_USAGE;
	if (view_open(&view, line->log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int status = show(asked, &view);
	view_close(&view);
	return status;
}

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	struct asked *asked = os_allocate(1, sizeof(*asked));
	if (!asked) {
		complain("no memory to report");
		return STATUS_FILES;
	}
	const struct option_entry entries[] = {
		{"since", "DAY", "", &asked->since, NULL},
		{"until", "DAY", "YYYY-MM-DD, today or yesterday; both are included", &asked->until, NULL},
		{"days", "N", "the last N days, or \"all\"; default 30", &asked->days, NULL},
		{"model", "NAME...", "", asked->models, NULL},
		{"provider", "NAME...", "", asked->providers, NULL},
		{"operation", "NAME...", "alone; * is any text", asked->operations, NULL},
		{"where", "KEY=VALUE...", "calls with this dimension alone", asked->where, NULL},
		{"by", "KEY[,KEY]", "group by these (too)", &asked->by, NULL},
		{"sort", "[-]COLUMN", "by this, the most first; - the least first", &asked->sort, NULL},
		{"top", "N", "only the first N, the others together", &asked->top, NULL},
		{"breakdown", NULL, "each by model, too", NULL, &asked->breakdown},
		{"raw-names", NULL, "providers as they were given, none taken together", NULL, &asked->raw_names},
		{"narrow", NULL, "only the columns that matter most", NULL, &asked->narrow},
		{"json", NULL, "", NULL, &asked->json},
		{"csv", NULL, "for programs: all columns, exactly", NULL, &asked->csv},
	};
	struct command_line line;
	int status = command_parse(command, entries, sizeof(entries) / sizeof(entries[0]), log, argc, argv, &line);
	if (status < 0)
		status = report(asked, &line);
	free(asked->by_names);
	free(asked);
	return status;
}

const struct command command_report = {
	.name = "report",
	.operands = "[VIEW]",
	.summary = "show usage by day, model, session or what you like",
	.details = "Views: daily weekly monthly hourly models providers operations sessions errors\n       blocks (of "
		   "five hours)",
	.run = run,
	.operand_word = kind_name,
};
