/*
 * A log as it is now, to look at: the checkpoint, and what is not folded yet folded in memory. Takes no lock and opens
 * nothing to write, so it works beside writers and a compactor.
 */
#ifndef USAGELOG_VIEW_H
#define USAGELOG_VIEW_H

#include "pass.h"
#include "pricing.h"
#include "recovery.h"

struct view {
	struct ul_directory directory;
	struct names names;
	struct findings findings;
	struct recovery_state state; /* its checkpoint is as the file says */
	struct checkpoint none;
	const struct checkpoint
		*from; /* what pending calls come on top of: state.checkpoint, or none if settings changed */
	struct segments segments;
	struct pricing pricing; /* the price tables, and which one each day names */
	struct pass pending;    /* priced */
};

/* 0, or a negative code and `why`; then nothing is open. Sets the process's time zone to the log's. */
int view_open(struct view *view, const char *log, struct ul_message *why);
void view_close(struct view *view);

/* Add the pending calls to the checkpoint's totals. To be called once. 0, -ENOMEM or -EOVERFLOW. */
int view_add_pending(struct view *view, struct checkpoint **whole);

/* After that: the totals of some days, first and last included, out of their fact files; of a day whose file is lost, what the checkpoint
 * has, and that is a finding. 0, -ENOMEM or -EOVERFLOW. */
int view_sum_days(struct view *view, const struct checkpoint *whole, int32_t first, int32_t last,
		  struct totals *totals);

/* The same, day by day in order: `visit` gets all that there is of each. 0, what it returns if that is not 0, -ENOMEM or -EOVERFLOW. */
int view_visit_days(struct view *view, const struct checkpoint *whole, int32_t first, int32_t last,
		    int (*visit)(void *arg, const struct facts *facts), void *arg);

/* The same without adding a day's parts up, for who adds them up himself. */
int view_visit_parts(struct view *view, const struct checkpoint *whole, int32_t first, int32_t last,
		     int (*visit)(void *arg, const struct facts_parts *parts), void *arg);

#endif
