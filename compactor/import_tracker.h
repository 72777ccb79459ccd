/*
 * The file of the old tracker: its last 1,000 calls, and totals of all. What the totals have beyond the calls is taken over as opening
 * balances (FORMAT.md 3.4), by day and by model, so that both come out as the file has them.
 */
#ifndef USAGELOG_IMPORT_TRACKER_H
#define USAGELOG_IMPORT_TRACKER_H

#include "import_log.h"
#include "import_reader.h"
#include "names.h"
#include "table.h"

struct import_tracker {
	struct import_log *log; /* NULL: only look */
	const struct draft_rules *rules;
	struct draft *draft;
	struct names names;
	struct table rests, seen;
	uint64_t known, new;     /* calls of the file that the log has, and has not */
	uint64_t balances;       /* that were added */
	uint64_t contradictions; /* totals that are less than their calls */
	bool gap;                /* the log has this file, but none of these calls: some are lost */
	int error;
};

/* Look at a file that is JSON of this kind, before its calls are recorded, and record the balances. 0 or a negative error. */
int import_tracker_take(struct import_tracker *tracker, struct import_reader *reader, const char *text, size_t bytes);

#endif
