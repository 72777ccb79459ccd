/*
 * Where the calls of a group go in the facts of a day: numbers of records, remembered by what of a call's slot decides it, in a table so
 * small that it stays in the processor's cache. What was forgotten is found again. It must not know how calls are read.
 */
#ifndef USAGELOG_PLACES_H
#define USAGELOG_PLACES_H

#include "facts.h"

/* Fuzzers have a table of few places, so that calls put each other out of them. */
#ifndef PLACES_BITS
#define PLACES_BITS 13
#endif
enum { QUARTER_PLACES = 256 };

struct place {
	uint64_t key;
	uint32_t day; /* of the fold's days, counted as they come; 0: nothing is here */
	struct facts_place at;
};

struct quarter_place {
	uint64_t who; /* place_quarter_key() */
	uint32_t span, record;
};

struct places {
	struct place rows[1 << PLACES_BITS];
	struct quarter_place quarters[QUARTER_PLACES];
};

/* Definitions of model and context, price class and prompt band of a call (no reversal). */
static inline uint64_t place_key(const struct ul_slot *slot)
{
	return (uint64_t)(slot->tag & UL_SLOT_MASK) | (uint64_t)(slot->word & UL_SLOT_MASK) << 28 |
	       (uint64_t)((slot->word & UL_UNPRICED) != 0) << 56 | (uint64_t)call_prompt_band(&slot->body.call) << 57;
}

static inline struct place *places_row(struct places *places, uint64_t key)
{
	return &places->rows[key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - PLACES_BITS)];
}

/* Definition of the model, and price key. */
static inline uint64_t place_quarter_key(uint32_t model_slot, uint32_t price_key)
{
	return (uint64_t)price_key << 32 | model_slot;
}

static inline struct quarter_place *places_quarter(struct places *places, uint32_t model_slot, uint32_t price_key)
{
	return &places->quarters[(model_slot + (price_key >> 28)) % QUARTER_PLACES];
}

#endif
