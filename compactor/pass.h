/*
 * One pass over all segments of a log: every group opened, folded, and synced if asked. A group that cannot be read or synced is
 * excluded, and the pass begun anew without it, so that one bad file stops nothing and no half of one is counted.
 */
#ifndef USAGELOG_PASS_H
#define USAGELOG_PASS_H

#include "fold.h"

/* What a pass did in one group. */
struct group_result {
	struct runs added;
	int64_t calls; /* calls and reversals folded */
	uint64_t attempted, dropped;
	uint64_t dropped_by_cause[UL_CAUSES];
	uint64_t size_bytes;
	uint64_t bad;      /* slots that are damaged or of a newer program */
	uint32_t end_slot; /* after the last one that its files have room for */
};

struct pass {
	const struct ul_directory *directory;
	struct segments *segments;
	const struct checkpoint *checkpoint;
	struct names *names;
	struct findings *findings;
	bool again; /* fold what is folded already, and nothing else */
	bool sync;
	uint32_t threads;         /* 0: as many as serve */
	const int32_t *only_days; /* in order; NULL: all */
	size_t only_day_count;
	struct group_result *results; /* by group: made by pass_run() */
	struct fold fold;             /* likewise */
};

/* 0; -ENOMEM or -EOVERFLOW. In any case pass_clear() frees what was made. */
int pass_run(struct pass *pass);
void pass_clear(struct pass *pass);

/* Segments that the checkpoint holds and that are not there any more become findings. */
void pass_report_missing(const struct pass *pass);
/* A segment that ends before the last of its slots that were folded becomes a finding; pass_run() reports these itself. */
void pass_report_cut(struct findings *findings, const struct group_reader *reader, const struct runs *runs);

/* After a pass that folded everything anew: the first segment of which `old` holds slots that are not there any more, or NULL. */
const struct segment_state *pass_find_lost(const struct pass *pass, const struct checkpoint *old);

#endif
