/*
 * summary.json: a view of the checkpoint for people and scripts (format/summary.schema.json). Nothing is ever read back
 * from it.
 */
#ifndef USAGELOG_SUMMARY_H
#define USAGELOG_SUMMARY_H

#include "breakdown.h"
#include "checkpoint.h"
#include "directory.h"

struct cJSON;
struct merged;

/* What the summary says of the log itself. */
struct summary_log {
	uint64_t segments;
	uint64_t folded; /* calls and opening balances' slots that the checkpoint counts */
	uint64_t pending;
	uint64_t damaged;
	uint64_t dropped;            /* by the writers, at least */
	const struct merged *merged; /* of what logs this is the sum; NULL: of one */
};

/* The text, malloc'd; NULL: no memory, or a sum beyond its field. `now_ns` is when it was made. */
char *summary_render(const struct checkpoint *checkpoint, struct names *names, const struct ul_conf *conf,
		     const struct summary_log *log, int64_t now_ns);

/* Write it where log.conf says, whatever stands there: what cannot be replaced is set aside. 0 or -errno and `why`. */
int summary_write(const struct ul_directory *directory, const char *text, struct ul_message *why);

/* Where it is. */
struct ul_message summary_path(const struct ul_directory *directory);

/* {"tokens", "cost", "calls", ...} of a sum, for this and other views. NULL: no memory. */
struct cJSON *summary_total(const struct ul_sum *sum);
/* The same by name, as an object. */
struct cJSON *summary_totals_by_name(struct sum_list *list, const struct names *names);
struct cJSON *summary_totals_by_day(const struct table *days);
/* And a sum's tokens by kind. */
struct cJSON *summary_tokens(const struct ul_sum *sum);

#endif
