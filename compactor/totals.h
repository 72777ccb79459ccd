/*
 * The totals of all time (FORMAT.md 8): what a checkpoint holds of the calls themselves, so that a run need not read the days that it adds
 * nothing to. Facts of a day are added; order does not matter. It must not know where they came from.
 */
#ifndef USAGELOG_TOTALS_H
#define USAGELOG_TOTALS_H

#include "facts.h"
#include "json.h"

enum total_kind {
	TOTAL_DAYS,       /* by day */
	TOTAL_RECENT,     /* by day, provider and model: the newest days only */
	TOTAL_HOURS,      /* by local hour: likewise */
	TOTAL_ATTRIBUTES, /* by key and value */
	TOTAL_KINDS,
};

/* Zeroed memory is one that holds nothing. */
struct totals {
	struct facts facts; /* rows reduced to operation and error_type, and histograms; no quarters */
	struct table sums[TOTAL_KINDS];
	struct table readings; /* what dimensions say, by their name: read once */
	struct attribute *attributes;
	uint32_t attribute_count, attribute_room;
};

void totals_clear(struct totals *totals);

/* Make empty totals the same as others. 0, -ENOMEM or -EOVERFLOW. */
int totals_copy(struct totals *copy, const struct totals *totals);

/* Add all that facts of a day hold. 0, -ENOMEM or -EOVERFLOW, and then they are of no use. */
int totals_add(struct totals *totals, struct names *names, const struct facts *facts);

/* Drop what lies before the days from which on sums are held by model, and by hour. 0 or -ENOMEM, and then nothing changed. */
int totals_trim(struct totals *totals, int32_t recent_from, int32_t hours_from);

/* Add the totals of a valid checkpoint. 0, -ENOMEM or -EOVERFLOW. */
int totals_load(struct totals *totals, const uint32_t *name_of, const struct ul_container *file);

/* The day that a sum is of. Not for attributes. */
int32_t totals_day_of(enum total_kind kind, const struct ul_sum *sum);

/* The sum of a day; of zeros if there is none. */
struct ul_sum totals_day(const struct totals *totals, int32_t day);

/* The first and last day with calls; false: there is none. */
bool totals_day_bounds(const struct totals *totals, int32_t *first, int32_t *last);

/* Do facts, all that there are of a day, come to the day's sum, and by model too if `recent`? 1, 0, -ENOMEM or -EOVERFLOW. */
int totals_agree(const struct totals *totals, struct names *names, const struct facts *facts, bool recent);

/* Add rows to facts of a day of which nothing else is left: one model's or, unless the day is held by model, those of (unknown). */
void totals_stand_in(const struct totals *totals, struct names *names, struct facts *facts);

/* The name of an attribute's key or value: a string that is a name stands for itself, anything else for its canonical text. */
uint32_t totals_value_name(struct names *names, struct ul_json_span value);

/* Totals on their way to a file. */
struct totals_draft {
	struct facts_draft facts;
	struct sum_list sums[TOTAL_KINDS];
};
int totals_draft_gather(struct totals_draft *draft, const struct totals *totals, uint8_t *used);
void totals_draft_lay_out(struct totals_draft *draft, const uint32_t *index);
void totals_draft_clear(struct totals_draft *draft);

#endif
