/*
 * summary.json: a view of the checkpoint for people and scripts (format/summary.schema.json). Nothing is ever read back
 * from it.
 */
#ifndef USAGELOG_SUMMARY_H
#define USAGELOG_SUMMARY_H

#include "breakdown.h"
#include "checkpoint.h"
#include "directory.h"
#include "json_text.h"

struct merged;

/* What the summary says of the log itself. */
struct summary_log {
	uint64_t segments;
	uint64_t folded; /* calls and opening balances' slots that the checkpoint counts */
	uint64_t pending;
	uint64_t damaged;
	uint64_t dropped; /* by the writers, at least */
	uint64_t dropped_by_cause[UL_CAUSES];
	const struct merged *merged; /* of what logs this is the sum; NULL: of one */
};

/* The most values that are shown of an attribute, beside "(other)". */
enum { SUMMARY_VALUES = 100 };

/* The text, malloc'd; NULL: no memory, or a sum beyond its field. `now_ns` is when it was made. */
char *summary_render(const struct checkpoint *checkpoint, struct names *names, const struct ul_conf *conf,
		     const struct summary_log *log, int64_t now_ns);

/* Write it where log.conf says, whatever stands there: what cannot be replaced is set aside. 0 or -errno and `why`. */
int summary_write(const struct ul_directory *directory, const char *text, struct ul_message *why);

/* Where it is. */
struct ul_message summary_path(const struct ul_directory *directory);

/* A day that no call can have been made on, in the eyes of somebody who looks at it today: before 2020, or more than two days from now. */
bool summary_day_is_suspect(int32_t day, int32_t today);

/* {"tokens", "cost", "calls", ...} of a sum, for this and other views; with its tokens by kind. */
void summary_total(struct json_text *json, const char *key, const struct ul_sum *sum, bool by_kind);
/* What stands in its braces. */
void summary_members(struct json_text *json, const struct ul_sum *sum, bool by_kind);
/* The same by name, as an object, and by day. The list is sorted. */
void summary_totals_by_name(struct json_text *json, const char *key, struct sum_list *list, const struct names *names);
int summary_totals_by_day(struct json_text *json, const char *key, const struct table *days);

#endif
