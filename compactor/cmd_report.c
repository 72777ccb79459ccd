/* usagelog report, and its default view by the name of usagelog summary. Writes nothing. */
#include <errno.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "end_signal.h"
#include "os.h"
#include "report_asked.h"
#include "report_overview.h"
#include "report_page.h"
#include "report_shown.h"
#include "report_source.h"
#include "report_status.h"

/* ---- the terminal ---------------------------------------------------------------------------------------------- */

static bool is_terminal(void)
{
	const char *terminal = getenv("TERM");
	return isatty(STDOUT_FILENO) && !(terminal && !strcmp(terminal, "dumb"));
}

/* 0: there is no terminal, and nobody said. */
static uint32_t terminal_columns(void)
{
	const char *given = getenv("COLUMNS");
	uint32_t columns, lines;
	long wanted = given ? strtol(given, NULL, 10) : 0;
	os_terminal_size(STDOUT_FILENO, &columns, &lines);
	return wanted > 0 && wanted <= UINT16_MAX ? (uint32_t)wanted : columns;
}

static struct report_style choose_style(const struct asked *asked)
{
	const char *no_colour = getenv("NO_COLOR");
	return (struct report_style){.width = terminal_columns(),
				     .narrow = asked->narrow,
				     .colours = is_terminal() && !(no_colour && *no_colour),
				     .bars = is_terminal(),
				     .utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8"),
				     .locale = asked->locale};
}

/* ---- one answer ------------------------------------------------------------------------------------------------ */

/* A log as it is now, and what is wanted of it. */
struct answer {
	const struct asked *asked;
	struct view view;
	struct checkpoint *whole; /* with what is pending */
	const char *time_zone;
	bool own_zone;
	int64_t now_ns;
	int32_t today;
	struct report_status status;
};

/* Days are cut in the zone that is asked for from here on; what is pending was folded before, in the log's. */
static int set_zone(struct answer *answer)
{
	const char *own = answer->view.directory.conf.time_zone, *wanted = answer->asked->time_zone;
	struct calendar calendar = {0};
	answer->time_zone = wanted ? wanted : own;
	answer->own_zone = !strcmp(answer->time_zone, own);
	int error = answer->own_zone ? 0 : calendar_set_zone(wanted);
	answer->now_ns = os_time_ns();
	answer->today = calendar_day(&calendar, answer->now_ns);
	return error;
}

static int print_json(const struct answer *answer, const struct report_shown *shown)
{
	struct json_text json = {0};
	json_begin_object(&json, json_key(""));
	if (shown) {
		report_put_json(&json, shown);
	} else {
		json_string(&json, json_key("time_zone"), json_key(answer->time_zone));
		report_put_status(&json, &answer->status);
	}
	report_put_budget(&json, &answer->status, answer->asked);
	json_end(&json);
	return json_text_print(&json);
}

/* 0, a negative code, or an exit status after a message. */
static int show_table(struct answer *answer, FILE *stream)
{
	const struct asked *asked = answer->asked;
	struct report report = asked->report;
	struct report_lines lines = {0};
	struct report_shown shown = {.report = &report,
				     .lines = &lines,
				     .view = &answer->view,
				     .name = asked->view ? asked->view->name : NULL,
				     .time_zone = answer->time_zone,
				     .days_asked = asked->days_shown};
	int32_t first = answer->today, last = answer->today;
	bool any = totals_day_bounds(&answer->whole->totals, &first, &last);
	/* Days of another zone begin up to a day before. */
	if (!asked_find_days(asked, &report, answer->today, any, first - !answer->own_zone, last + !answer->own_zone,
			     &shown.all_days))
		return STATUS_USAGE;
	report.names = &answer->view.names;
	report_open(&report);
	int error = report_gather(&report, &answer->view, answer->whole, answer->time_zone);
	if (!error)
		error = report_make_lines(&report, &lines, asked->order, asked->top_lines);
	if (!error && asked->json) {
		error = print_json(answer, &shown);
	} else if (!error && asked->csv) {
		report_print_csv(stream, &shown);
	} else if (!error) {
		const struct report_style style = choose_style(asked);
		error = report_print_text(stream, &shown, &style);
	}
	report_lines_clear(&lines);
	report_close(&report);
	return error;
}

/* Sums of days, which the page is made of, know of the metadata only what the log groups by. */
static bool page_knows_filters(const struct report *report, const struct ul_conf *conf)
{
	for (uint32_t i = 0; i < report->filter_count; i++) {
		const struct report_key *key = &report->filters[i].key;
		bool known = key->kind != KEY_ATTRIBUTE || report_is_own_attribute(key);
		for (size_t j = 0; j < conf->group_by_count && !known; j++)
			known = !strcmp(conf->group_by[j], key->name);
		if (known)
			continue;
		complain("--html with --where %s: the page is made of sums by day, in which %s is not told apart; "
			 "usagelog config group_by %s sees to that",
			 key->name, key->name, key->name);
		return false;
	}
	return true;
}

/* The page has its own choice of days, and all days to choose from, unless somebody asked for some. */
static int write_page(struct answer *answer)
{
	const struct asked *asked = answer->asked;
	struct report report = asked->report;
	int32_t first = answer->today, last = answer->today;
	bool any = totals_day_bounds(&answer->whole->totals, &first, &last), all_days;
	bool given = asked->days || asked->since || asked->until;
	if (!page_knows_filters(&report, &answer->view.directory.conf) ||
	    !asked_find_days(asked, &report, answer->today, any, first, last, &all_days))
		return STATUS_USAGE;
	if (!given) {
		report.first_day = first;
		report.last_day = last;
	}
	report.names = &answer->view.names;
	report.groupings[GROUPS_SHOWN] = (struct report_grouping){0};
	return page_write(asked->html, &answer->view, answer->whole, &report, given) ? 0 : STATUS_FILES;
}

static int show(struct answer *answer, FILE *stream)
{
	const struct asked *asked = answer->asked;
	bool is_status = asked->view == &report_statusline_view;
	int error = view_add_pending(&answer->view, &answer->whole);
	if (!error)
		error = set_zone(answer);
	if (!error && (is_status || asked->budget_period))
		error = report_find_status(&answer->status, asked, &answer->view, answer->whole, answer->time_zone,
					   is_status, answer->now_ns);
	if (error)
		return error;
	if (asked->html)
		return write_page(answer);
	if (asked->view == &report_overview_view)
		return report_overview(&answer->view, answer->whole, asked->days_shown, asked->json, asked->raw_names);
	if (!is_status)
		return show_table(answer, stream);
	if (asked->json)
		return print_json(answer, NULL);
	report_print_status(stream, &answer->status, asked);
	return 0;
}

/* Show all of it once. Returns an exit status. */
static int show_once(const struct asked *asked, const char *log, FILE *stream)
{
	struct answer answer = {.asked = asked};
	struct ul_message why;
	if (view_open(&answer.view, log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int result = show(&answer, stream), status = STATUS_DONE;
	const struct findings *findings = &answer.view.findings;
	for (size_t i = 0; i < findings->count && !asked->live; i++)
		complain("%s", findings->items[i].text);
	if (result < 0)
		complain("%s: cannot be summed up: %s", answer.view.directory.path, usagelog_strerror(result));
	else if (!result && report_exceeds_budget(&answer.status, asked) && !asked->live)
		report_warn_of_budget(&answer.status, asked);
	if (result)
		status = result < 0 ? STATUS_FILES : result;
	else if (findings->counts[FINDING_LEFT_OUT])
		status = STATUS_PART;
	else if (report_exceeds_budget(&answer.status, asked))
		status = STATUS_BUDGET;
	view_close(&answer.view);
	return status;
}

/* ---- live ------------------------------------------------------------------------------------------------------ */

/* Lines of a table, as many as the terminal has, or all where it does not say: those above its first line always, of the others the last
 * ones. */
static void print_frame(char *text)
{
	enum { HEAD_LINES = 3 };
	uint32_t columns, lines_max;
	size_t lines = 0, number = 0;
	os_terminal_size(STDOUT_FILENO, &columns, &lines_max);
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	fputs("\033[H", stdout);
	for (char *rest = text, *line; (line = strsep(&rest, "\n")) && rest; number++)
		if (number < HEAD_LINES || !lines_max || lines < lines_max || number + lines_max > lines + HEAD_LINES)
			printf("%s\033[K\n", line);
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* Make a frame; the first one only to see that it can be made. */
static int show_frame(const struct asked *asked, const char *log, bool shown)
{
	char *text = NULL;
	size_t bytes;
	FILE *stream = os_memory_stream(&text, &bytes);
	int status = stream ? show_once(asked, log, stream) : STATUS_FILES;
	if (!stream || fclose(stream)) {
		complain("no memory to report");
		status = STATUS_FILES;
	}
	if (shown && status != STATUS_FILES && status != STATUS_USAGE)
		print_frame(text);
	free(text);
	return status;
}

/* Until a signal ends it. A frame each half second, so that a call is seen within one. */
static int show_live(const struct asked *asked, const char *log)
{
	static const uint64_t pause_ns = 500000000;
	if (!is_terminal()) {
		complain("--live refreshes a table in place, and standard output is no terminal");
		return STATUS_USAGE;
	}
	int end = end_signal_open(), status;
	if (end < 0) {
		complain("no signals can be had to end --live: %s", usagelog_strerror(end));
		return STATUS_FILES;
	}
	status = show_frame(asked, log, false);
	bool begun = status != STATUS_FILES && status != STATUS_USAGE;
	/* The terminal's other screen, and no cursor. */
	if (begun)
		fputs("\033[?1049h\033[?25l", stdout);
	while (status != STATUS_FILES && status != STATUS_USAGE && !ferror(stdout)) {
		status = show_frame(asked, log, true);
		if (os_wait_two(end, -1, pause_ns))
			break;
	}
	if (begun)
		fputs("\033[?25h\033[?1049l", stdout);
	if (begun && status == STATUS_FILES)
		complain("--live ends: no further frame could be made; usagelog verify tells how the log is");
	os_close(end);
	return status == STATUS_FILES || status == STATUS_USAGE ? status : STATUS_DONE;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static int report(struct asked *asked, const struct command_line *line)
{
	int status = STATUS_USAGE;
	if (line->operand_count > 1)
		complain("report shows one view, but %s and %s were given", line->operands[0], line->operands[1]);
	else if (asked_understand(asked, line->operand_count ? line->operands[0] : NULL))
		status = asked->live ? show_live(asked, line->log) : show_once(asked, line->log, stdout);
	return status;
}

/* Parse by a table, and answer; what is asked for is too large for the stack. */
static int run_asked(const struct command *command, const char *log, int argc, char **argv, struct asked *asked,
		     const struct option_entry *entries, size_t entry_count)
{
	struct command_line line;
	int status = command_parse(command, entries, entry_count, log, argc, argv, &line);
	if (status < 0 && line.operand_count && !command->operand_word) {
		complain("%s takes no operand, but \"%s\" was given", command->name, line.operands[0]);
		status = STATUS_USAGE;
	}
	if (status < 0)
		status = report(asked, &line);
	asked_clear(asked);
	free(asked);
	return status;
}

static struct asked *new_asked(void)
{
	struct asked *asked = os_allocate(1, sizeof(*asked));
	if (!asked)
		complain("no memory to report");
	return asked;
}

static int run_report(const struct command *command, const char *log, int argc, char **argv)
{
	struct asked *asked = new_asked();
	if (!asked)
		return STATUS_FILES;
	const struct option_entry entries[] = {
		{"since", "DAY", "", &asked->since, NULL},
		{"until", "DAY", "YYYY-MM-DD, today or yesterday; both are included", &asked->until, NULL},
		{"days", "N", "the last N days, or \"all\"; default 30", &asked->days, NULL},
		{"model", "NAME...", "", asked->models, NULL},
		{"provider", "NAME...", "", asked->providers, NULL},
		{"operation", "NAME...", "alone; * is any text", asked->operations, NULL},
		{"where", "KEY=VALUE...", "calls with this attribute alone", asked->where, NULL},
		{"by", "KEY[,KEY]", "group by these (too)", &asked->by, NULL},
		{"sort", "[-]COLUMN", "by this, the most first; - the least first", &asked->sort, NULL},
		{"top", "N", "only the first N, the others together", &asked->top, NULL},
		{"breakdown", NULL, "each by model, too", NULL, &asked->breakdown},
		{"budget", "USD/PERIOD", "status 3 if day, week or month cost more: 50/day", &asked->budget_text, NULL},
		{"timezone", "ZONE", "", &asked->time_zone, NULL},
		{"locale", "NAME", "of days; of days and numbers", &asked->locale_name, NULL},
		{"raw-names", NULL, "providers as they were given, none taken together", NULL, &asked->raw_names},
		{"narrow", NULL, "", NULL, &asked->narrow},
		{"live", NULL, "fewer columns; refresh until Ctrl-C", NULL, &asked->live},
		{"json", NULL, "", NULL, &asked->json},
		{"csv", NULL, "for programs: all columns, exactly", NULL, &asked->csv},
		{"html", "FILE", "write a page with charts; - is standard output", &asked->html, NULL},
	};
	return run_asked(command, log, argc, argv, asked, entries, sizeof(entries) / sizeof(entries[0]));
}

static int run_summary(const struct command *command, const char *log, int argc, char **argv)
{
	struct asked *asked = new_asked();
	if (!asked)
		return STATUS_FILES;
	const struct option_entry entries[] = {
		{"days", "N", "sum up the last N days (1 to 36500; default 30)", &asked->days, NULL},
		{"raw-names", NULL, "providers as they were given, none taken together", NULL, &asked->raw_names},
		{"json", NULL, "print one JSON object", NULL, &asked->json},
	};
	return run_asked(command, log, argc, argv, asked, entries, sizeof(entries) / sizeof(entries[0]));
}

const struct command command_report = {
	.name = "report",
	.operands = "[VIEW]",
	.summary = "show usage by day, model, session or what you like",
	.details = "Views: daily weekly monthly hourly models providers operations sessions errors\n"
		   "blocks statusline. Without one, and without options: as usagelog summary.",
	.run = run_report,
	.operand_word = asked_view_name,
};

const struct command command_summary = {
	.name = "summary",
	.operands = "",
	.summary = "show totals and breakdowns, calls not folded yet included",
	.details = "Writes nothing and takes no lock. Breakdowns are of the last N days; if none of\n"
		   "those has a call, of all days. The average is over those days, or over the days\n"
		   "since the first call if these are fewer. The projected month is this month so\n"
		   "far, and the average for each day that is left of it.\n"
		   "\n"
		   "Exit status: 0 done; 1 done, but something was left out, as said on standard\n"
		   "error; 8 could not read; 16 usage.",
	.run = run_summary,
};
