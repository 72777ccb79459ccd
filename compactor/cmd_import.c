/*
 * usagelog import: calls of files, whatever wrote them: what the files are (import_run.h, import_format.h), the calls their records make
 * (draft.h), whether the log has them (import_log.h), and a summary of what became of each. Nothing of a record but its wanted members is kept.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "context.h"
#include "import_run.h"
#include "money.h"

static const char *format_text, *map_text, *defaults[FIELD_COUNT];
static bool input_includes_cache, all_or_nothing, again;

static const struct option_entry entries[] = {
	{"format", "csv|jsonl|claude-code|codex|litellm|responses|otlp|tracker", "default: what the files look like",
	 &format_text, NULL},
	{"map", "FIELD=COLUMN,...", "where fields are read from; default: their names", &map_text, NULL},
	{"provider", "P", "the provider of calls that have none in the file", &defaults[FIELD_PROVIDER], NULL},
	{"model", "M", "the model of calls that have none", &defaults[FIELD_MODEL], NULL},
	{"operation", "O", "the operation of calls that have none", &defaults[FIELD_OPERATION], NULL},
	{"time", "T", "the time of calls that have none", &defaults[FIELD_TIME], NULL},
	{"input-includes-cache", NULL, "the file's input counts cached tokens too", NULL, &input_includes_cache},
	{"all-or-nothing", NULL, "record nothing if any line is refused", NULL, &all_or_nothing},
	{"again", NULL, "record also calls that the log has, without ids", NULL, &again},
};
enum { ENTRY_COUNT = sizeof(entries) / sizeof(entries[0]) };

/* ---- what became of it --------------------------------------------------------------------------------------- */

struct shown {
	char text[MONEY_SHOWN_BYTES];
};

static struct shown show(uint64_t count)
{
	struct shown shown;
	count_show(shown.text, (int64_t)count);
	return shown;
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void print_counts(const char *what, const struct import_counts *counts)
{
	printf("%s: %s file%s, %s record%s", what, show(counts->files).text, plural(counts->files),
	       show(counts->records).text, plural(counts->records));
	if (counts->repeats)
		printf(", %s of them repeated", show(counts->repeats).text);
	if (counts->others)
		printf(", %s without a call", show(counts->others).text);
	putchar('\n');
}

static void print_result(const struct import_run *run, const struct timespec *begin)
{
	const struct import_log *log = run->log;
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	for (size_t i = 0; import_format_at(i); i++)
		if (run->counts[i].files)
			print_counts(import_format_at(i)->what, &run->counts[i]);
	if (run->balances)
		printf("the old tracker's totals: %s taken over\n", show(run->balances).text);
	printf("imported %s call%s (%s already there, ", show(log->added).text, plural(log->added),
	       show(log->there).text);
	if (log->changed)
		printf("%s already there with other content, which was not changed, ", show(log->changed).text);
	printf("%s refused) in %s ms; all durable\n", show(run->refused).text,
	       show((uint64_t)((end.tv_sec - begin->tv_sec) * 1000 + (end.tv_nsec - begin->tv_nsec) / 1000000)).text);
}

/* What is right, but may be other than expected. */
static void print_warnings(const struct import_run *run)
{
	uint64_t undated = 0;
	for (size_t i = 0; import_format_at(i); i++)
		undated += run->counts[i].undated;
	if (undated)
		complain("%s call%s no time: counted when the file was last changed; --time says another one",
			 show(undated).text, undated == 1 ? " says" : "s say");
	if (run->unknown)
		complain("%s file%s below the directories given %s of no format that import recognizes",
			 show(run->unknown).text, plural(run->unknown), run->unknown == 1 ? "is" : "are");
	if (run->unread)
		complain("%s file%s below the directories given could not be read; import them again",
			 show(run->unread).text, plural(run->unread));
	if (run->contradictions)
		complain("%s of the old tracker's totals %s less than its calls come to, and %s left out",
			 show(run->contradictions).text, run->contradictions == 1 ? "is" : "are",
			 run->contradictions == 1 ? "is" : "are");
	if (run->gaps)
		complain("the old tracker's file keeps 1,000 calls, and of those the log had none: calls between this "
			 "import and the last one may be lost; import it more often");
	if (run->unended)
		complain("%s:%" PRIu64 ": the last line has no line end; if the file is still being written, this call "
			 "may be cut, and is added again when the line is whole",
			 import_file_name(&run->files.files[run->files.count - 1]), run->unended);
}

/* ---- the run ------------------------------------------------------------------------------------------------- */

/* Look at all records without recording one. */
static int check_all(struct import_run *run, struct import_log *log)
{
	run->log = NULL;
	int status = import_run_take(run);
	run->log = log;
	if (!status && run->refused) {
		complain("nothing was recorded, because %" PRIu64 " of its lines %s refused", run->refused,
			 run->refused == 1 ? "is" : "are");
		status = STATUS_PART;
	}
	return status;
}

static int import_all(struct import_run *run, struct import_log *log)
{
	struct timespec begin;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	int status = all_or_nothing ? check_all(run, log) : 0;
	if (status)
		return status;
	run->log = log;
	status = import_run_take(run);
	print_warnings(run);
	int error = usagelog_flush(log->log, -1);
	if (error) {
		complain("%s: the calls are recorded, but not known to be on the disk: %s", log->directory.path,
			 usagelog_strerror(error));
		return STATUS_FILES;
	}
	if (status)
		return status;
	print_result(run, &begin);
	return run->refused || run->unread || log->changed ? STATUS_PART : STATUS_DONE;
}

static int import_into(struct import_run *run, const char *path)
{
	struct import_log log;
	int status = import_log_open(&log, path, again);
	return status ? status : import_log_close(&log, import_all(run, &log));
}

/* ---- the command line ---------------------------------------------------------------------------------------- */

static int check_options(const struct command_line *line)
{
	if (!line->operand_count) {
		complain("import takes files or directories, or - for the standard input; see usagelog import --help");
		return STATUS_USAGE;
	}
	if (format_text && map_text && import_format_named(format_text)) {
		complain("--map is for csv and jsonl: what the members of --format %s mean is known", format_text);
		return STATUS_USAGE;
	}
	for (size_t i = 0; i < ENTRY_COUNT; i++) {
		const char **text = entries[i].text;
		if (text < defaults || text >= defaults + FIELD_COUNT || !*text ||
		    ul_name_is_valid(*text, strlen(*text)))
			continue;
		complain("--%s: the value is empty, longer than 1,024 bytes, not UTF-8, or has control characters",
			 entries[i].name);
		return STATUS_USAGE;
	}
	return 0;
}

static int run(const struct command *command, const char *log_path, int argc, char **argv)
{
	static struct import_run import; /* a draft is large */
	struct command_line line;
	int status = command_parse(command, entries, ENTRY_COUNT, log_path, argc, argv, &line);
	if (status >= 0)
		return status;
	status = check_options(&line);
	if (status)
		return status;
	import.rules.input_includes_cache = input_includes_cache;
	import.again = again;
	import.twice = all_or_nothing;
	for (enum call_field field = 0; field < FIELD_COUNT; field++)
		if (defaults[field])
			import.defaults[field] = (struct field_value){defaults[field], strlen(defaults[field])};
	/* All that can be wrong with the command itself, before a log is made. */
	status = import_run_open(&import, map_text) ? 0 : STATUS_USAGE;
	for (int i = 0; i < line.operand_count && !status; i++)
		status = import_files_add(&import.files, line.operands[i]);
	if (!status)
		status = import_run_recognize(&import, format_text);
	if (!status)
		status = import_into(&import, line.log);
	import_run_close(&import);
	return status;
}

const struct command command_import = {
	.name = "import",
	.operands = "FILE|-...",
	.summary = "record the calls that files hold, each once",
	.details = "Fields of csv and jsonl: time provider model operation input_tokens\n"
		   "cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens\n"
		   "output_tokens reasoning_tokens cost_usd latency_ms ttft_ms error_type\n"
		   "service_tier session_id call_id metadata is_error. A COLUMN of JSON may lie\n"
		   "deeper: input_tokens=usage.input_tokens. FIELD alone is FIELD=FIELD.\n"
		   "Exit status: 0 all recorded, 1 some lines were not, 2 another import is\n"
		   "running, 8 could not read or write, 16 wrong usage.",
	.run = run,
};
