/*
 * The checkpoint in memory (FORMAT.md 8): what is folded, and the totals. Loaded from a container, changed by a
 * fold, encoded again. It must not know files, nor how calls are read. Names are numbers of `names`, here as in facts.
 */
#ifndef USAGELOG_CHECKPOINT_H
#define USAGELOG_CHECKPOINT_H

#include <stdbool.h>

#include "runs.h"
#include "totals.h"

struct segment_state {
	struct ul_folded_segment record; /* first_run and run_count are the file's affair */
	struct runs runs;
};

struct checkpoint {
	uint64_t generation; /* 0: none was ever written */
	uint64_t settings;
	uint64_t base_generation;
	int64_t newest_ns;
	struct segment_state *segments; /* by id */
	size_t segment_count;
	struct ul_day *days; /* by day */
	size_t day_count;
	struct totals totals;
	struct ul_last_call *calls; /* by time, segment, slot */
	size_t call_count;
	struct ul_named_file *files;
	size_t file_count;
};

void checkpoint_clear(struct checkpoint *checkpoint);

/* Fill an empty checkpoint from a valid container. 0 or -ENOMEM, and then it is empty. */
int checkpoint_load(struct checkpoint *checkpoint, struct names *names, const struct ul_container *file);

/* Make an empty checkpoint the same as another one. 0 or -ENOMEM, and then it is empty. */
int checkpoint_copy(struct checkpoint *copy, const struct checkpoint *checkpoint);

/* The file. malloc'd; NULL and `*error`. */
void *checkpoint_encode(const struct checkpoint *checkpoint, const struct names *names, const struct ul_id *log_id,
			size_t *size_bytes, int *error);

/* Totals as the file of a checkpoint that holds nothing else, of no log: equal bytes are equal totals. malloc'd; NULL and `*error`. */
void *checkpoint_encode_totals(const struct totals *totals, const struct names *names, size_t *size_bytes, int *error);

/* What is known of a segment; NULL if nothing. */
struct segment_state *checkpoint_find_segment(const struct checkpoint *checkpoint, const struct ul_id *id);
/* The same, added if it is new. NULL: no memory. Moves the segments. */
struct segment_state *checkpoint_get_segment(struct checkpoint *checkpoint, const struct ul_id *id);

struct ul_day *checkpoint_find_day(const struct checkpoint *checkpoint, int32_t day);
/* Set a day's fact file, adding the day if it is new. 0 or -ENOMEM. */
int checkpoint_set_day(struct checkpoint *checkpoint, const struct ul_day *day);

/* Name this id set, in the place of the one that is named. 0 or -ENOMEM. */
int checkpoint_set_ids(struct checkpoint *checkpoint, const struct ul_named_file *file);

/* The days from which on sums are held by model and by hour: the newest that there are. */
struct checkpoint_window {
	int32_t recent_from, hours_from;
};
struct checkpoint_window checkpoint_window(const struct checkpoint *checkpoint);

/* Drop the sums of days that the window has left. 0 or -ENOMEM. */
int checkpoint_trim(struct checkpoint *checkpoint);

/* Do facts, all that there are of a day, come to what the totals have of it? 1, 0, -ENOMEM or -EOVERFLOW. */
int checkpoint_agrees(const struct checkpoint *checkpoint, struct names *names, const struct facts *facts);

/* Make `calls` one list with the checkpoint's, in order, and keep the last 1,000. 0 or -ENOMEM. */
int checkpoint_add_calls(struct checkpoint *checkpoint, const struct ul_last_call *calls, size_t count);

/* What a call cost: as it was given, or as it was priced when folded. */
static inline bool last_call_has_cost(const struct ul_last_call *call)
{
	return call->priced || !(call->flags & UL_UNPRICED >> 28);
}

static inline int64_t last_call_cost(const struct ul_last_call *call)
{
	return call->priced ? call->priced_pico_usd : call->call.cost_pico_usd;
}

/* The order of the last calls. */
int last_call_compare(const void *left, const void *right);

/* Was a segment deleted, as older than retention_days? */
bool checkpoint_any_pruned(const struct checkpoint *checkpoint);

/* All calls folded. */
uint64_t checkpoint_calls(const struct checkpoint *checkpoint);

#endif
