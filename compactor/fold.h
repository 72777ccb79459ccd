/*
 * The fold: valid slots become sums by day, the last calls and the changes of call ids. A pure function of the slots and of
 * log.conf; order does not matter. It must not write anything, so that `summary` and `verify` fold too.
 */
#ifndef USAGELOG_FOLD_H
#define USAGELOG_FOLD_H

#include <pthread.h>

#include "calendar.h"
#include "checkpoint.h"
#include "ids.h"
#include "merge.h"
#include "places.h"

/* A call that may be among the last ones: seen while folding, read again when it turns out to be. */
struct candidate {
	int64_t time_ns;
	uint32_t group; /* rises with the segment's id */
	uint32_t slot;
	uint32_t call; /* in `last_calls`, or CANDIDATE_NEW */
};

/* A reversal of a call with an id. */
struct taken_back {
	struct ul_last_call call; /* as the list would hold the call */
};

/* Calls of one page that may be among the last ones: they become candidates when the group ends, if they still may be. */
struct candidate_page {
	int64_t newest_ns;
	uint32_t first;
	uint64_t calls; /* a bit for each slot */
};

enum {
	CANDIDATE_PAGES = 512,
	FULL_PAGES = 32,
	FULL_PAGE_CALLS = UL_LAST_CALLS / FULL_PAGES + 1,
};

/* A stretch of time in which day and quarter of an hour are the same: [start, start + length). */
struct fold_span {
	uint64_t start_ns, length_ns;
	struct facts *facts; /* NULL: the day is not wanted */
	int32_t quarter;
	uint32_t number;     /* of the span; 0 is none */
	uint32_t day_number; /* the same for spans of one group and day, one after the other */
};

struct fold {
	const struct ul_conf *conf;
	struct names *names;
	pthread_mutex_t *names_lock; /* held by whoever uses the names; NULL: nobody else does */
	struct calendar calendar;
	const int32_t *only_days; /* in order; NULL: all days */
	size_t only_day_count;

	struct facts **days; /* by day */
	size_t day_count, day_room;
	struct facts *current; /* the day of the call before */

	struct candidate *candidates;
	size_t candidate_count;
	struct candidate_page *candidate_pages; /* of the group at hand */
	size_t candidate_page_count;
	int64_t full_pages_oldest_ns[FULL_PAGES]; /* of the pages with enough calls: the latest of their oldest ones */
	struct ul_last_call *last_calls;
	size_t last_call_count, last_call_room;
	int64_t candidate_from_ns; /* older calls cannot be among the last */
	struct taken_back *taken_back;
	size_t taken_back_count, taken_back_room;
	struct id_change *id_changes;
	size_t id_change_count, id_change_room;

	struct slot_counts counts;
	uint64_t calls; /* calls and reversals */
	uint64_t balances;
	bool any_call;
	int64_t newest_ns;

	struct group_reader *reader; /* of the group being folded */
	uint32_t group_number;
	struct table models; /* of its definitions */
	struct table contexts;
	struct places *places;
	struct fold_span span;
	struct runs *added;
	int error; /* -ENOMEM or -EOVERFLOW, for good */
};

/* Ready to fold. Calls before the oldest of a full list of last calls do not enter it: `oldest_ns`, or INT64_MIN. 0 or -ENOMEM. */
int fold_open(struct fold *fold, const struct ul_conf *conf, struct names *names, int64_t oldest_ns);
void fold_close(struct fold *fold);

/*
 * Fold the valid slots of a range of a group that are not in `runs` (`again`: that are), appending them to `added` unless that is NULL.
 * Groups must be numbered in the order of their ids. 0; a negative code of a read, after which the sums are of no use, but another fold
 * without the group can be made; fold->error, if it is set, means that none can.
 */
int fold_group(struct fold *fold, struct group_reader *reader, uint32_t group_number, const struct runs *runs,
	       bool again, struct slot_range range, struct runs *added);

/* Add all that another fold found, which is left without facts. Its names are the same, and its groups are the last ones of this one or come after
 * them. False: `error` is set. */
bool fold_merge(struct fold *fold, struct fold *more);

/* The facts of a day; NULL if it has none. */
struct facts *fold_find_day(const struct fold *fold, int32_t day);
/* The same, made if there are none. NULL: no memory, and `error` is set. */
struct facts *fold_get_day(struct fold *fold, int32_t day);

/* Bring the last calls of a checkpoint up to date. 0 or -ENOMEM. */
int fold_update_last_calls(const struct fold *fold, struct checkpoint *checkpoint);

#endif
