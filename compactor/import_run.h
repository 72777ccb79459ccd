/*
 * An import under way: files to records, records to drafts, drafts to the log; and what became of each, counted. Which files, formats and
 * options these are is cmd_import.c's to say.
 */
#ifndef USAGELOG_IMPORT_RUN_H
#define USAGELOG_IMPORT_RUN_H

#include "import_files.h"
#include "import_format.h"
#include "import_lines.h"
#include "import_log.h"
#include "import_map.h"
#include "import_source.h"
#include "table.h"

struct import_counts {
	uint64_t files, records;
	uint64_t repeats; /* rows of a call that has another one */
	uint64_t others;  /* no calls */
	uint64_t undated; /* calls without a time: they count when their file was last changed */
};

struct import_run {
	struct import_files files;
	struct import_formats formats;
	struct import_map map; /* of CSV, and of JSON that is not of these formats */
	struct field_value defaults[FIELD_COUNT];
	struct draft_rules rules;
	struct draft draft;
	struct import_log *log; /* NULL: records are only looked at */
	bool again;             /* record calls that the log has */
	bool twice;             /* what was looked at is what is recorded */

	/* The file at hand: */
	size_t at;
	struct lines *lines;
	const struct line *line;
	uint8_t line_hash[16], first_id[16]; /* what it is; and its id, if there is no other like it */
	const char *text;                    /* of the whole file, if that is one JSON text */
	uint64_t told;                       /* bytes, to the progress bar */
	char file_time[32];
	struct table alike; /* lines that were there before, and how often */
	/* Rows of calls that may have several: the one that counts so far, by the call's id. */
	struct table rows;
	bool gather;
	int status;

	uint64_t refused;
	uint64_t unknown, unread; /* files below directories: of no format that is known; that could not be read */
	uint64_t unended;         /* the number of a last line of CSV that has no line end and was added */
	uint64_t balances, contradictions, gaps;
	struct import_counts counts[IMPORT_FORMATS + 1]; /* by format; the last: CSV and lines of JSON by a map */
};

/* Memory for it. False after a message. */
bool import_run_open(struct import_run *run, const char *map);
void import_run_close(struct import_run *run);

/* Find out what each file is; those below directories that are nothing known are left out. `csv` or `format` if that is given. 0, or an exit
 * status after a message. */
int import_run_recognize(struct import_run *run, const char *format);

/* All records of all files. 0 or an exit status after a message; what was refused, and why, was said. */
int import_run_take(struct import_run *run);

/* What a file is called in messages. */
const char *import_file_name(const struct import_file *file);

#endif
