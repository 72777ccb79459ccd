/*
 * Where the calls of a group go in the facts of a day: what facts_find_row() and its likes said, remembered by model, context, price class and
 * prompt band, in tables so small that they stay in the processor's cache. What was forgotten is found again. It must not know how
 * calls are read.
 */
#ifndef USAGELOG_PLACES_H
#define USAGELOG_PLACES_H

#include "facts.h"

enum { PLACES = 8192, QUARTER_PLACES = 256 };

struct place {
	uint64_t call, epoch;
	uint32_t row, latency, ttft, zero;
};

struct quarter_place {
	uint64_t epoch;
	int32_t quarter;
	uint32_t model;
	uint32_t record, zero;
};

struct places {
	struct place rows[PLACES];
	struct quarter_place quarters[QUARTER_PLACES];
};

/* A call's day, group, names and quarter, as numbers. */
struct place_key {
	uint64_t epoch; /* of the group and the day; never 0 */
	uint64_t call;  /* of model, context, price class and prompt band, within the group */
	uint32_t model; /* within the group, below 2^28 */
	int32_t quarter;
};

/* `context` likewise. */
static inline struct place_key place_key(uint64_t epoch, uint32_t model, uint32_t context, int32_t quarter,
					 const struct ul_slot *slot)
{
	uint64_t call = (uint64_t)(slot->word & UL_UNPRICED) << 32 |
			(uint64_t)call_prompt_band(&slot->body.call) << 61 | (uint64_t)context << 28 | model;
	return (struct place_key){epoch, call, model, quarter};
}

static inline struct place *places_row(struct places *places, const struct place_key *key)
{
	static_assert(PLACES == 1 << (64 - 51), "an index is the upper bits of the product");
	return &places->rows[(key->call * UINT64_C(0x9e3779b97f4a7c15)) >> 51];
}

static inline struct quarter_place *places_quarter(struct places *places, const struct place_key *key)
{
	return &places->quarters[key->model % QUARTER_PLACES];
}

/* Is it remembered where the call goes? */
static inline bool places_know(struct places *places, const struct place_key *key, struct facts_place *found)
{
	const struct place *row = places_row(places, key);
	const struct quarter_place *quarter = places_quarter(places, key);
	*found = (struct facts_place){row->row, row->latency, row->ttft, quarter->record};
	return row->call == key->call && row->epoch == key->epoch && quarter->model == key->model &&
	       quarter->quarter == key->quarter && quarter->epoch == key->epoch;
}

/* Find where the call goes, and remember it. False: no memory, and the facts' error is set. */
bool places_find(struct places *places, struct facts *facts, const struct place_key *key,
		 const struct call_names *names, const struct ul_slot *slot, struct facts_place *found);

#endif
