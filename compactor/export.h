/*
 * A log for other programs: its calls as JSON lines, CSV and OpenTelemetry spans; its totals for Prometheus. Each prints to a stream and says on
 * standard error what of the log it could not take. Options, and where it goes, are cmd_export.c's.
 */
#ifndef USAGELOG_EXPORT_H
#define USAGELOG_EXPORT_H

#include <stdint.h>
#include <stdio.h>

#include "calls.h"

/* Calls with `since_ns` <= time < `until_ns`. */
struct export_period {
	int64_t since_ns, until_ns;
};

enum export_kind { EXPORT_JSONL, EXPORT_CSV, EXPORT_OTLP };

/* An exit status; STATUS_FILES also if the stream takes no more, without a message. */
int export_calls(const struct ul_directory *directory, enum export_kind kind, struct export_period period,
		 FILE *stream);
int export_prometheus(const char *log, FILE *stream);

/* How a kind prints: to export->stream. */
struct export
{
	FILE *stream;
	char log_id[UL_ID_TEXT_BYTES];
	uint64_t lines;
};
struct export_format {
	struct call_format texts; /* model and context */
	void (*begin)(struct export *export);
	void (*line)(struct export *export, const struct call_line *line, const struct ul_id *id);
	void (*end)(struct export *export);
	bool calls_only; /* there is no place for opening balances */
};
extern const struct export_format export_jsonl, export_csv, export_otlp;

#endif
