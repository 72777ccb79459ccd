/* usagelog export: a log for other programs; in a file, all of it or as it was. */
#include <stdio.h>
#include <string.h>

#include "calendar.h"
#include "command.h"
#include "export.h"
#include "log_open.h"
#include "output.h"
#include "timetext.h"

enum { DAY_BYTES = 10 };

static const char *format_text, *since_text, *until_text, *output_path;

static const struct option_entry entries[] = {
	{"format", "jsonl|csv|prometheus|otlp-json", "required", &format_text, NULL},
	{"since", "DATE", "calls from that day or time on", &since_text, NULL},
	{"until", "DATE", "calls up to that day, it included; or before a time", &until_text, NULL},
	{"output", "FILE", "replace FILE once all is there", &output_path, NULL},
};

/* A day, or a time as --time of record takes it. A day that ends the period is in it. */
static bool parse_moment(const char *option, const char *text, bool ends, int64_t *time_ns)
{
	struct timetext_zone zone = {0};
	char day_text[CALENDAR_DAY_BYTES];
	int32_t day;
	if (!text)
		return true;
	if (strlen(text) == DAY_BYTES && calendar_parse_day(&day, text)) {
		calendar_print_day(day_text, ends ? day + 1 : day);
		char midnight[CALENDAR_DAY_BYTES + sizeof("T00:00:00")];
		snprintf(midnight, sizeof(midnight), "%sT00:00:00", day_text);
		if (!timetext_parse(&zone, midnight, strlen(midnight), time_ns))
			return true;
	}
	enum timetext_error error = timetext_parse(&zone, text, strlen(text), time_ns);
	if (error)
		complain("--%s: \"%s\" %s; or write a day: 2026-01-10", option, text, timetext_strerror(error));
	return !error;
}

/* In the zone that is set. */
static int parse_period(struct export_period *period)
{
	*period = (struct export_period){INT64_MIN, INT64_MAX};
	if (!parse_moment("since", since_text, false, &period->since_ns) ||
	    !parse_moment("until", until_text, true, &period->until_ns))
		return STATUS_USAGE;
	if (period->since_ns < period->until_ns)
		return STATUS_DONE;
	complain("--until is not after --since, so that there is nothing in between");
	return STATUS_USAGE;
}

static int export_in_period(const char *log, enum export_kind kind, FILE *stream)
{
	struct ul_directory directory;
	struct export_period period;
	int status = log_open_to_read(&directory, log);
	if (status)
		return status;
	/* Days are the log's. */
	status = parse_period(&period);
	if (!status)
		status = export_calls(&directory, kind, period, stream);
	ul_directory_close(&directory);
	return status;
}

static int check(const struct command_line *line, bool prometheus)
{
	struct export_period period;
	if (line->operand_count) {
		complain("export takes options only; \"%s\" is none; a file's name stands behind --output",
			 line->operands[0]);
		return STATUS_USAGE;
	}
	if (!format_text) {
		complain("--format is required: jsonl, csv, prometheus or otlp-json");
		return STATUS_USAGE;
	}
	if (prometheus && (since_text || until_text)) {
		complain("--format prometheus has counters, which are of all time: leave --%s out",
			 since_text ? "since" : "until");
		return STATUS_USAGE;
	}
	/* What is wrong in any zone is said before the file is begun. */
	return parse_period(&period);
}

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	static const char *const kinds[] = {
		[EXPORT_JSONL] = "jsonl", [EXPORT_CSV] = "csv", [EXPORT_OTLP] = "otlp-json"};
	struct command_line line;
	struct output output;
	int status = command_parse(command, entries, sizeof(entries) / sizeof(entries[0]), log, argc, argv, &line);
	if (status >= 0)
		return status;
	bool prometheus = format_text && !strcmp(format_text, "prometheus");
	status = check(&line, prometheus);
	if (status)
		return status;
	if (!output_open(&output, output_path, false))
		return STATUS_FILES;
	enum export_kind kind = EXPORT_JSONL;
	while (!prometheus && strcmp(kinds[kind], format_text) != 0)
		kind++;
	status = prometheus ? export_prometheus(line.log, output.stream)
			    : export_in_period(line.log, kind, output.stream);
	/* What could not be read whole does not take the place of what was there; what had to be left out has been said. */
	if (!output_close(&output, status == STATUS_DONE || status == STATUS_PART))
		status = STATUS_FILES;
	return status;
}

const struct command command_export = {
	.name = "export",
	.operands = "",
	.summary = "print calls or totals for other programs",
	.details = "Each call once, under OpenTelemetry's names: jsonl, exact, which import takes;\n"
		   "csv, safe to open in a spreadsheet; otlp-json, spans for a collector, 1,000 a\n"
		   "line. prometheus: the totals of all time, for node_exporter's textfile\n"
		   "collector. What retention has deleted is said on standard error.\n"
		   "\n"
		   "Exit status: 0 done; 1 a part could not be, as said on standard error; 8 could\n"
		   "not read or write, and FILE is as it was; 16 usage.",
	.run = run,
};
