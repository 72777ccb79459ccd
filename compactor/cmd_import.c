/*
 * usagelog import: calls of a file, line by line: a line's fields (import_map.h), the call they make (draft.h),
 * whether the log has it (call_ids.h), and then the library. Lines that are wrong are refused one by one; nothing of
 * a line but its mapped fields is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "call_ids.h"
#include "command.h"
#include "context.h"
#include "draft.h"
#include "import_lines.h"
#include "import_map.h"
#include "import_source.h"
#include "log_open.h"
#include "money.h"
#include "os.h"
#include "progress.h"

enum { REFUSALS_SHOWN = 20, LINES_A_LOOK = 4096 };

static const char *format_text, *map_text, *defaults[FIELD_COUNT];
static bool input_includes_cache, all_or_nothing, again;

static const struct option_entry entries[] = {
	{"format", "csv|jsonl", "what the file is; required", &format_text, NULL},
	{"map", "FIELD=COLUMN,...", "where fields are read from; default: their names", &map_text, NULL},
	{"provider", "P", "the provider of calls that have none in the file", &defaults[FIELD_PROVIDER], NULL},
	{"model", "M", "the model of calls that have none", &defaults[FIELD_MODEL], NULL},
	{"operation", "O", "the operation of calls that have none", &defaults[FIELD_OPERATION], NULL},
	{"input-includes-cache", NULL, "the file's input counts cached tokens too", NULL, &input_includes_cache},
	{"all-or-nothing", NULL, "record nothing if any line is refused", NULL, &all_or_nothing},
	{"again", NULL, "record also calls that the log has, without ids", NULL, &again},
};
enum { ENTRY_COUNT = sizeof(entries) / sizeof(entries[0]) };

struct import {
	const char *file; /* for messages */
	bool csv;
	struct import_source source;
	struct import_map map;
	struct lines *lines;
	struct field_value defaults[FIELD_COUNT]; /* what a line begins with */
	struct draft_rules rules;
	struct draft draft;
	struct ul_directory directory;
	usagelog *log;        /* NULL: lines are only looked at */
	struct call_ids *ids; /* NULL with --again */
	int lock;
	uint64_t added, there, changed, refused; /* `changed`: there, with other content */
	uint64_t unended; /* the number of a last line of CSV that has no line end and was added */
};

/* ---- one line ------------------------------------------------------------------------------------------------ */

static void complain_line(struct import *import, uint64_t number, const struct refusal *why)
{
	if (++import->refused > REFUSALS_SHOWN)
		return;
	if (why->field == FIELD_COUNT)
		complain("%s:%" PRIu64 ": %s", import->file, number, why->reason);
	else
		complain("%s:%" PRIu64 ": %s: %s", import->file, number, field_names[why->field], why->reason);
}

static bool refuse(struct refusal *why, enum call_field field, const char *reason)
{
	why->field = field;
	snprintf(why->reason, sizeof(why->reason), "%s", reason);
	return false;
}

static bool take_line(struct import *import, struct line *line, struct refusal *why)
{
	struct field_value values[FIELD_COUNT];
	if (line->too_long)
		return refuse(why, FIELD_COUNT, "is longer than 1 MiB");
	if (line->open_quote)
		return refuse(why, FIELD_COUNT,
			      "opens a quote that is not closed, so that the rest of the file belongs to it");
	memcpy(values, import->defaults, sizeof(values));
	if (!(import->csv ? import_map_csv : import_map_json)(&import->map, line, values, why))
		return false;
	if (!draft_make(&import->draft, &import->rules, values, why))
		return false;
	return import->draft.call.time_ns || refuse(why, FIELD_TIME, "is missing");
}

/* The log cannot take more: what was done is said, so that the same command can go on from there. */
static int complain_stop(struct import *import, uint64_t number, int error)
{
	complain("%s: the log cannot take the call of %s:%" PRIu64
		 ": %s; when that is mended, import the file again: calls that "
		 "are there are not added twice",
		 import->directory.path, import->file, number, usagelog_strerror(error));
	return STATUS_FILES;
}

static int record(struct import *import, const struct line *line)
{
	struct usagelog_call *call = &import->draft.call;
	if (again)
		call->call_id = NULL;
	else if (!call->call_id)
		call->call_id = line->id;
	uint64_t content = import->ids ? draft_content(&import->draft) : 0;
	enum call_ids_found found = import->ids ? call_ids_find(import->ids, call->call_id, content) : CALL_IDS_NONE;
	if (found != CALL_IDS_NONE) {
		import->there += found == CALL_IDS_SAME;
		import->changed += found == CALL_IDS_OTHER;
		return 0;
	}
	int error = usagelog_record_names(import->log, &import->draft.names, call);
	/* Held in memory is not in the log: the barrier says when it is. */
	if (error == USAGELOG_ERROR_HELD)
		error = usagelog_flush(import->log, 10000);
	if (!error && import->ids)
		error = call_ids_add(import->ids, call->call_id, content);
	if (error)
		return complain_stop(import, line->number, error);
	import->added++;
	if (import->csv && line->unended)
		import->unended = line->number;
	return 0;
}

static bool is_blank(const struct line *line)
{
	for (size_t i = 0; i < line->bytes; i++)
		if (line->text[i] != ' ' && line->text[i] != '\t')
			return false;
	return !line->too_long;
}

/* All lines from here to the end. 0 or an exit status; refused lines are counted. */
static int take_lines(struct import *import)
{
	struct line line;
	struct refusal why;
	int got, status = 0;
	uint64_t told = 0;
	progress_begin(import->log ? "importing" : "checking", import->source.bytes_expected);
	for (uint64_t taken = 1; !status && (got = lines_next(import->lines, &line)) > 0; taken++) {
		if (is_blank(&line))
			continue;
		if (import->ids)
			call_ids_prefetch(import->ids, line.id);
		if (!take_line(import, &line, &why))
			complain_line(import, line.number, &why);
		else if (import->log)
			status = record(import, &line);
		if (taken % LINES_A_LOOK == 0) {
			progress_add(lines_bytes(import->lines) - told);
			told = lines_bytes(import->lines);
		}
	}
	progress_end();
	if (!status && got < 0) {
		complain("%s: cannot be read to its end: %s; what was read is kept", import->file, strerror(-got));
		status = STATUS_FILES;
	}
	return status;
}

/* ---- the whole file ------------------------------------------------------------------------------------------ */

/* Begin reading at the source's beginning; of CSV, the header is taken. 0 or an exit status. */
static int begin_lines(struct import *import)
{
	struct line header;
	lines_close(import->lines);
	import->lines = import_source_rewind(&import->source)
				? NULL
				: lines_open(import->source.fd, import->csv, import->source.bytes);
	if (!import->lines) {
		complain("%s: cannot be read from its beginning, or there is no memory", import->file);
		return STATUS_FILES;
	}
	if (!import->csv)
		return 0;
	int got = lines_next(import->lines, &header);
	if (got < 0) {
		complain("%s: cannot be read: %s", import->file, strerror(-got));
		return STATUS_FILES;
	}
	if (!got) {
		complain("%s: has no header line, so nothing was recorded: CSV begins with a line of column names",
			 import->file);
		return STATUS_PART;
	}
	return import_map_header(&import->map, import->file, &header) ? 0 : STATUS_USAGE;
}

/* Does any of the first lines have each member that --map names? Looked at before there is a log. 0 or an exit
 * status. */
static int check_paths(struct import *import)
{
	enum { OBJECTS_LOOKED_AT = 1000 };
	struct import_map *map = &import->map;
	struct line line;
	struct refusal why;
	if (import->csv || !map->given)
		return 0;
	while (map->objects < OBJECTS_LOOKED_AT && lines_next(import->lines, &line) > 0) {
		struct field_value values[FIELD_COUNT] = {0};
		/* What is wrong with a line is said when it is its turn. */
		if (!line.too_long)
			(void)import_map_json(map, &line, values, &why);
	}
	enum call_field field = import_map_unseen(map);
	if (field == FIELD_COUNT)
		return begin_lines(import);
	complain("%s: no line has \"%s\", from which --map reads %s; nothing was recorded", import->file,
		 map->paths[field], field_names[field]);
	return STATUS_USAGE;
}

static int take_lock(struct import *import)
{
	struct ul_message why;
	import->lock = call_ids_lock(&import->directory);
	if (import->lock == -EAGAIN) {
		complain("%s: another import is running; start this one when it is done", import->directory.path);
		return STATUS_BUSY;
	}
	if (import->lock < 0) {
		complain("%s/import.lock: cannot be locked: %s", import->directory.path,
			 usagelog_strerror(import->lock));
		return STATUS_FILES;
	}
	/* After the lock: what an import before this one added is there to be read. */
	if (!again && call_ids_read(&import->ids, &import->directory, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	return 0;
}

/* Look at all lines without recording one. */
static int check_all(struct import *import)
{
	usagelog *log = import->log;
	import->log = NULL;
	int status = take_lines(import);
	import->log = log;
	if (!status && import->refused) {
		complain("%s: nothing was recorded, because %" PRIu64 " of its lines %s refused", import->file,
			 import->refused, import->refused == 1 ? "is" : "are");
		status = STATUS_PART;
	}
	/* What was looked at is what is recorded: a file that grows meanwhile is read to the same place. */
	if (!status)
		import->source.bytes = lines_bytes(import->lines);
	return status ? status : begin_lines(import);
}

static void print_result(const struct import *import, const struct timespec *begin)
{
	char added[MONEY_SHOWN_BYTES], there[MONEY_SHOWN_BYTES], refused[MONEY_SHOWN_BYTES], took[MONEY_SHOWN_BYTES];
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	count_show(added, (int64_t)import->added);
	count_show(there, (int64_t)import->there);
	count_show(refused, (int64_t)import->refused);
	count_show(took, (end.tv_sec - begin->tv_sec) * 1000 + (end.tv_nsec - begin->tv_nsec) / 1000000);
	printf("imported %s call%s (%s already there, ", added, import->added == 1 ? "" : "s", there);
	if (import->changed) {
		char changed[MONEY_SHOWN_BYTES];
		count_show(changed, (int64_t)import->changed);
		printf("%s already there with other content, which was not changed, ", changed);
	}
	printf("%s refused) in %s ms; all durable\n", refused, took);
}

static int import_all(struct import *import)
{
	struct timespec begin;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	int status = take_lock(import);
	if (!status && all_or_nothing)
		status = check_all(import);
	if (status)
		return status;
	status = take_lines(import);
	if (import->refused > REFUSALS_SHOWN)
		complain("%s: %" PRIu64 " more lines are refused", import->file, import->refused - REFUSALS_SHOWN);
	if (import->unended)
		complain("%s:%" PRIu64 ": the last line has no line end; if the file is still being written, this call "
			 "may be cut, and is added again when the line is whole",
			 import->file, import->unended);
	int error = usagelog_flush(import->log, -1);
	if (error) {
		complain("%s: the calls are recorded, but not known to be on the disk: %s", import->directory.path,
			 usagelog_strerror(error));
		return STATUS_FILES;
	}
	if (status)
		return status;
	print_result(import, &begin);
	return import->refused || import->changed ? STATUS_PART : STATUS_DONE;
}

static int import_into(struct import *import, const char *log_path)
{
	int status = log_open_to_record(&import->directory, &import->log, log_path, 0);
	if (status)
		return status;
	status = import_all(import);
	call_ids_close(import->ids);
	/* Closed first: the calls are in the files before another importer reads them. */
	int error = usagelog_close(import->log, 10000);
	if (error && !status) {
		complain("%s: not closed in good order: %s", import->directory.path, usagelog_strerror(error));
		status = STATUS_FILES;
	}
	if (import->lock >= 0)
		os_close(import->lock);
	ul_directory_close(&import->directory);
	return status;
}

/* ---- the command line ---------------------------------------------------------------------------------------- */

static int check_options(const struct command_line *line, bool *csv)
{
	if (line->operand_count != 1) {
		complain("import takes one file, or - for the standard input; see usagelog import --help");
		return STATUS_USAGE;
	}
	if (!format_text) {
		complain("--format is required: csv or jsonl");
		return STATUS_USAGE;
	}
	*csv = !strcmp(format_text, "csv");
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
	static struct import import; /* a draft is large */
	struct command_line line;
	int status = command_parse(command, entries, ENTRY_COUNT, log_path, argc, argv, &line);
	if (status >= 0)
		return status;
	status = check_options(&line, &import.csv);
	if (status)
		return status;
	import.lock = -1;
	import.file = strcmp(line.operands[0], "-") ? line.operands[0] : "(standard input)";
	import.rules.input_includes_cache = input_includes_cache;
	for (enum call_field field = 0; field < FIELD_COUNT; field++)
		if (defaults[field])
			import.defaults[field] = (struct field_value){defaults[field], strlen(defaults[field])};
	/* JSON is looked at for the members that --map names before it is read. */
	bool twice = all_or_nothing || (map_text && !import.csv);
	/* All that can be wrong with the command itself, before a log is made. */
	status = import_map_open(&import.map, map_text) ? import_source_open(&import.source, line.operands[0], twice)
							: STATUS_USAGE;
	if (!status) {
		status = begin_lines(&import);
		if (!status)
			status = check_paths(&import);
		if (!status)
			status = import_into(&import, line.log);
		import_source_close(&import.source);
	}
	lines_close(import.lines);
	import_map_close(&import.map);
	return status;
}

const struct command command_import = {
	.name = "import",
	.operands = "FILE|-",
	.summary = "record the calls of a CSV or JSON Lines file, each once",
	.details = "Fields: time provider model operation input_tokens cache_read_tokens\n"
		   "cache_write_5m_tokens cache_write_1h_tokens output_tokens reasoning_tokens\n"
		   "cost_usd latency_ms ttft_ms error_type service_tier session_id call_id metadata\n"
		   "is_error. A COLUMN of JSON may lie deeper: input_tokens=usage.input_tokens.\n"
		   "FIELD alone is FIELD=FIELD.\n"
		   "Exit status: 0 all recorded, 1 some lines were not, 2 another import is\n"
		   "running, 8 could not read or write, 16 wrong usage.",
	.run = run,
};
