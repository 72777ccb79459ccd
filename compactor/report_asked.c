/* What was asked of a report. */
#include "report_asked.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"
#include "directory.h"
#include "os.h"

const struct report_view report_overview_view = {"overview", "", ASKED_DAYS_DEFAULT};
const struct report_view report_statusline_view = {"statusline", "", ASKED_DAYS_DEFAULT};

static const struct report_view views[] = {
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
enum { VIEWS = sizeof(views) / sizeof(views[0]) };

/* ---- views, keys and filters ----------------------------------------------------------------------------------- */

const char *asked_view_name(const void *arg, size_t index)
{
	(void)arg;
	return index < VIEWS ? views[index].name : index == VIEWS ? report_statusline_view.name : NULL;
}

static bool find_view(struct asked *asked, const char *name)
{
	char suggestion[SUGGESTION_BYTES];
	if (!strcmp(report_statusline_view.name, name))
		asked->view = &report_statusline_view;
	for (size_t i = 0; i < VIEWS; i++)
		if (!strcmp(views[i].name, name))
			asked->view = &views[i];
	if (asked->view)
		return true;
	suggest(name, asked_view_name, NULL, suggestion);
	complain("report has no view %s%s; see usagelog report --help", name, suggestion);
	return false;
}

/* Does an option want a table? */
static bool wants_table(const struct asked *asked)
{
	return asked->since || asked->until || asked->by || asked->sort || asked->top || asked->time_zone ||
	       asked->locale_name || *asked->models || *asked->providers || *asked->operations || *asked->where ||
	       asked->breakdown || asked->narrow || asked->csv || asked->live || asked->html ||
	       (asked->days && !strcmp(asked->days, "all"));
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
	if (asked->view && *asked->view->key && !add_key(asked, asked->view->key))
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
	return !asked->view || strcmp(asked->view->name, "errors") != 0 || add_filter(asked, "error_type", NULL);
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
	long days = asked->view ? asked->view->days : ASKED_DAYS_DEFAULT, top = 0;
	if (asked->days && (asked->since || asked->until)) {
		complain("--days goes back from today: give it, or --since and --until");
		return false;
	}
	if (asked->days && strcmp(asked->days, "all") != 0 && !parse_count("days", asked->days, ASKED_DAYS_MAX, &days))
		return false;
	if (asked->top && !parse_count("top", asked->top, INT32_MAX, &top))
		return false;
	asked->days_shown = asked->days && !strcmp(asked->days, "all") ? 0 : (int32_t)days;
	asked->top_lines = (size_t)top;
	return true;
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

/* A locale by its own name, or as browsers write it: de_DE.UTF-8, de_DE, de-DE. */
static bool find_locale(struct asked *asked)
{
	char name[64];
	const char *given = asked->locale_name;
	int mask = LC_TIME_MASK | LC_NUMERIC_MASK | LC_CTYPE_MASK;
	if (!given)
		return true;
	snprintf(name, sizeof(name), "%s%s", given, strchr(given, '.') ? "" : ".UTF-8");
	for (char *dash = name; (dash = strchr(dash, '-')) && dash < name + strcspn(name, ".");)
		*dash = '_';
	asked->locale = newlocale(mask, name, (locale_t)0);
	if (!asked->locale)
		asked->locale = newlocale(mask, given, (locale_t)0);
	if (!asked->locale)
		complain("--locale %s: this host has no such locale; locale -a lists those it has", given);
	return asked->locale != (locale_t)0;
}

static bool parse_budget(struct asked *asked)
{
	static const char *const periods[] = {[BUDGET_DAY] = "day", [BUDGET_WEEK] = "week", [BUDGET_MONTH] = "month"};
	const char *text = asked->budget_text, *slash = text ? strchr(text, '/') : NULL;
	if (!text)
		return true;
	for (enum budget_period i = BUDGET_DAY; i <= BUDGET_MONTH && slash; i++)
		if (!strcmp(slash + 1, periods[i]))
			asked->budget_period = i;
	if (asked->budget_period &&
	    decimal_parse(text, (size_t)(slash - text), 12, &asked->budget_pico_usd) == DECIMAL_OK &&
	    asked->budget_pico_usd >= 0)
		return true;
	complain("--budget \"%s\" is no budget; give US dollars a day, week or month, such as 50/day", text);
	return false;
}

int32_t asked_budget_from(const struct asked *asked, int32_t today)
{
	if (asked->budget_period == BUDGET_MONTH)
		return today - (int32_t)calendar_date_of(today).day + 1;
	return asked->budget_period == BUDGET_WEEK ? report_week_of(today) : today;
}

static bool check_forms(const struct asked *asked)
{
	const char *view = asked->view ? asked->view->name : "";
	if (asked->json && asked->csv) {
		complain("--json and --csv are two forms of one answer; give one of them");
		return false;
	}
	if (asked->live && (asked->json || asked->csv)) {
		complain("--live refreshes a table on the terminal; leave --json and --csv out");
		return false;
	}
	if (asked->view == &report_statusline_view &&
	    (asked->since || asked->until || asked->days || asked->by || asked->sort || asked->top ||
	     asked->breakdown || asked->csv || asked->live)) {
		complain("%s is one line on today, the block and the month; of the options those that choose calls, "
			 "--timezone, --locale, --budget and --json go with it",
			 view);
		return false;
	}
	return true;
}

static bool check_html(const struct asked *asked, const char *view)
{
	if (!asked->html ||
	    (!view && !asked->by && !asked->sort && !asked->top && !asked->time_zone && !asked->locale_name &&
	     !asked->budget_text && !asked->breakdown && !asked->narrow && !asked->json && !asked->csv && !asked->live))
		return true;
	complain("--html is a page with every view in it; only --raw-names and what chooses days and calls go with it");
	return false;
}

bool asked_understand(struct asked *asked, const char *view)
{
	asked->by_names = asked->by ? os_duplicate(asked->by) : NULL;
	if (asked->by && !asked->by_names) {
		complain("no memory to report");
		return false;
	}
	if (view && !find_view(asked, view))
		return false;
	if (!asked->view && !asked->by)
		asked->view = wants_table(asked) ? &views[0] : &report_overview_view;
	if (asked->time_zone && !ul_time_zone_is_known(asked->time_zone)) {
		complain("--timezone %s: this host knows no such time zone; give a name such as Europe/Berlin or UTC",
			 asked->time_zone);
		return false;
	}
	if (!check_html(asked, view) || !check_forms(asked) || !add_keys(asked) || !add_filters(asked) ||
	    !parse_sort(asked) || !parse_period(asked) || !find_locale(asked) || !parse_budget(asked))
		return false;
	asked->report.breakdown = asked->breakdown;
	if (asked->breakdown)
		add_part_key(&asked->report);
	asked->report.raw_names = asked->raw_names;
	return true;
}

void asked_clear(struct asked *asked)
{
	free(asked->by_names);
	if (asked->locale)
		freelocale(asked->locale);
}

/* ---- the period ------------------------------------------------------------------------------------------------ */

/* Whole weeks and months, where nobody said from which day on. */
static int32_t whole_from(const struct asked *asked, int32_t day)
{
	const char *key = asked->view && !asked->days ? asked->view->key : "";
	if (!strcmp(key, "month"))
		return day - (int32_t)calendar_date_of(day).day + 1;
	return !strcmp(key, "week") ? report_week_of(day) : day;
}

/* The period is the days asked for, up to today; all days if those have no call. */
bool asked_find_days(const struct asked *asked, struct report *report, int32_t today, bool any, int32_t first,
		     int32_t last, bool *all_days)
{
	bool given = asked->since || asked->until;
	*all_days = false;
	report->first_day = given ? first : whole_from(asked, today - asked->days_shown + 1);
	report->last_day = given && any && last > today ? last : today;
	if (!parse_day("since", asked->since, today, &report->first_day) ||
	    !parse_day("until", asked->until, today, &report->last_day))
		return false;
	if (asked->since && asked->until && report->first_day > report->last_day) {
		complain("--since %s is after --until %s", asked->since, asked->until);
		return false;
	}
	/* Nothing lies between the two, and they are in order where they are shown. */
	if (report->first_day > report->last_day) {
		if (asked->since)
			report->last_day = report->first_day;
		else
			report->first_day = report->last_day;
	}
	if (!given && any && (!asked->days_shown || last < report->first_day || first > report->last_day)) {
		*all_days = true;
		report->first_day = first;
		report->last_day = last;
	}
	return true;
}
