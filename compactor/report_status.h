/*
 * What calls come to now: today, this month, the block at hand, and how far a budget is used up.
 */
#ifndef USAGELOG_REPORT_STATUS_H
#define USAGELOG_REPORT_STATUS_H

#include "json_text.h"
#include "report_asked.h"
#include "report_shown.h"

struct report_status {
	struct ul_sum today, month, budget;
	struct ul_sum block;
	bool any_block;        /* one has begun and is not over */
	int32_t block_quarter; /* its first */
	int64_t block_left_ns;
};

/* Only calls that `asked` lets through; the block, and the sums of today and this month, if `full`. Days are of this time zone, the process's. 0 or a negative code. */
int report_find_status(struct report_status *status, const struct asked *asked, struct view *view,
		       const struct checkpoint *whole, const char *time_zone, bool full, int64_t now_ns);

/* One line. */
void report_print_status(FILE *stream, const struct report_status *status, const struct asked *asked);
void report_put_status(struct json_text *json, const struct report_status *status);

/* Is the budget used up and more? */
bool report_exceeds_budget(const struct report_status *status, const struct asked *asked);
/* A member "budget", if there is one. */
void report_put_budget(struct json_text *json, const struct report_status *status, const struct asked *asked);
/* A sentence for standard error. */
void report_warn_of_budget(const struct report_status *status, const struct asked *asked);

#endif
