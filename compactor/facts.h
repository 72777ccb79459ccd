/*
 * The aggregates of one day in memory: rows, quarters and histograms (FORMAT.md 7), to which calls are added, or
 * a whole fact file, in any order: sums commute. Encoding them gives the same bytes whatever the order was. It must
 * not know where a call came from.
 */
#ifndef USAGELOG_FACTS_H
#define USAGELOG_FACTS_H

#include <stdbool.h>

#include "money.h"
#include "sums.h"

/* Who and what a call was, as the facts key it: numbers of `names`. */
struct call_names {
	uint32_t provider;
	uint32_t model;
	uint32_t dimensions;
	uint32_t operation;
	uint32_t service_tier;
	bool error;
};

/* A histogram in memory; its first 16 bytes are the key. */
struct histogram {
	uint32_t provider;
	uint32_t model;
	uint32_t operation;
	uint32_t measure;
	int64_t *counts; /* of the buckets from `first` on */
	uint32_t first;
	uint32_t count;
};

struct facts {
	int32_t day;
	struct table rows;       /* struct ul_row, its indexes numbers of `names` */
	struct table quarters;   /* struct ul_sum, likewise */
	struct table histograms; /* struct histogram */
	uint32_t unchecked;      /* how many calls facts_add_entry() may add before the sums are looked at again */
	uint32_t moves;          /* how often records or counts have moved in memory */
	bool wide;               /* a sum is so large that it may not */
	int64_t nothing;         /* what a histogram without a bucket counts in: zeros */
	int error;               /* -ENOMEM, or -EOVERFLOW: a sum left its field; for good */
};

void facts_init(struct facts *facts, int32_t day);
void facts_clear(struct facts *facts);

/* Add a call, or take it back if the slot is a reversal. */
void facts_add_call(struct facts *facts, const struct call_names *names, const struct ul_slot *slot);
void facts_add_balance(struct facts *facts, const struct call_names *names, const struct ul_slot *slot);

/*
 * The same for many calls, faster: where a call goes is found once for all that go there, as numbers of records; then it is added there
 * without a check of each sum. Sums stay below 2^62 between looks at all of them, 2^20 calls apart, and a call adds less than 2^42.
 */
struct facts_place {
	uint32_t row;
	uint32_t latency, ttft; /* histograms */
	uint32_t error;         /* 1: its calls are errors */
	uint32_t price_key;     /* of its quarters */
};

enum { FACTS_NOWHERE = UINT32_MAX }; /* no memory: `error` is set */
uint32_t facts_find_row(struct facts *facts, const struct call_names *names, const struct ul_slot *slot);
uint32_t facts_find_quarter(struct facts *facts, const struct call_names *names, int32_t quarter, uint32_t price_key);
uint32_t facts_find_histogram(struct facts *facts, const struct call_names *names, enum ul_measure measure);
/* The count of a bucket of a histogram, for which room is made. NULL: no memory. */
int64_t *facts_reach(struct facts *facts, uint32_t histogram, uint32_t bucket);

/* May so many calls be added at places? */
bool facts_may_add(struct facts *facts, uint32_t calls);

/* A call (no reversal) for this day, and where it is added. */
struct facts_entry {
	const struct ul_slot *slot;
	struct ul_row *row;
	struct ul_sum *quarter;
	int64_t *latency, *ttft; /* counts of their buckets; any, if the call does not tell them */
	uint32_t error;
};

/* Find where a call is added, and have that memory brought: good until `moves` changes. False: no memory. */
static inline bool facts_bring(struct facts *facts, struct facts_entry *entry, const struct facts_place *at,
			       uint32_t quarter);

/* Add it, after facts_may_add(). */
static inline void facts_add_entry(const struct facts_entry *entry);

/* Add all that another one of the same day and names holds. */
void facts_add_facts(struct facts *facts, const struct facts *more);

/* Add all that a valid fact file holds. */
void facts_add_file(struct facts *facts, struct names *names, const struct ul_container *file);
/* Its rows and histograms alone, which a checkpoint has too; the names are known. */
void facts_add_records(struct facts *facts, const uint32_t *name_of, const struct ul_container *file);

/* A day's facts where they are: in a valid fact file, its strings being these names, and in memory beside it; either may be NULL. */
struct facts_parts {
	int32_t day;
	const struct ul_container *file;
	const uint32_t *name_of;
	const struct facts *facts;
};

/* Add rows, such as those that stand in for a fact file that is lost. */
void facts_add_row(struct facts *facts, const struct ul_row *row);
void facts_add_quarter(struct facts *facts, const struct ul_sum *quarter);

/* Add the histograms of other facts. */
void facts_add_histograms(struct facts *facts, const struct facts *more);

/* Calls that count in days and totals. */
int64_t facts_calls(const struct facts *facts);

/* What a fact file says of itself, besides its day. */
struct facts_origin {
	uint64_t generation;
	uint64_t settings;
	uint32_t prices; /* generation of its price table; 0: none */
};

/* The fact file. malloc'd; NULL and `*error` if there is no memory. */
void *facts_encode(const struct facts *facts, const struct names *names, const struct ul_id *log_id,
		   const struct facts_origin *origin, size_t *size_bytes, int *error);

/* What facts come to in a file, on its way there: their sections' records. */
struct facts_draft {
	struct ul_row *rows;
	struct sum_list quarters;
	struct histogram *sorted; /* counts still those of the facts */
	struct ul_histogram *histograms;
	struct ul_bucket *buckets;
	size_t row_count, histogram_count, bucket_count;
};

/* Copy what is not zero, and note in `used` which names it takes. 0, -ENOMEM or -EOVERFLOW. facts_draft_clear() in any case. */
int facts_draft_gather(struct facts_draft *draft, const struct facts *facts, uint8_t *used);
/* Names become indexes of the file, and the records stand in its order. */
void facts_draft_lay_out(struct facts_draft *draft, const uint32_t *index);
void facts_draft_clear(struct facts_draft *draft);

/* The prompt band of so many tokens (FORMAT.md 7). */
uint8_t prompt_band(uint64_t prompt_tokens);

/* ---- inline, as it is called for every call that is folded ---- */

/* The prompt band of a call; most are in the first. */
static inline uint8_t call_prompt_band(const struct ul_call_body *call)
{
	uint64_t prompt_tokens = (uint64_t)call->input_tokens + call->cache_read_tokens + call->cache_write_5m_tokens +
				 call->cache_write_1h_tokens;
	return prompt_tokens <= 128000 ? 0 : prompt_band(prompt_tokens);
}

/* The price key of a call (FORMAT.md 7). */
static inline uint32_t call_price_key(const struct call_names *names, const struct ul_slot *slot)
{
	return slot->word & UL_UNPRICED ? ul_price_key(call_prompt_band(&slot->body.call), names->service_tier) : 0;
}

static inline int32_t quarter_of(int64_t time_ns)
{
	return (int32_t)(time_ns / UL_QUARTER_NS - (time_ns % UL_QUARTER_NS < 0));
}

static inline int64_t call_latency_us(const struct ul_slot *slot)
{
	return slot->body.call.latency * (slot->word & UL_LATENCY_MS ? INT64_C(1000) : INT64_C(1));
}

/* Two counts, and two sums. */
typedef uint32_t facts_counts __attribute__((vector_size(8), aligned(4), may_alias));
typedef int64_t facts_sums __attribute__((vector_size(16), aligned(8), may_alias));

static inline void facts_add_cost(struct ul_i128 *sum, int64_t cost)
{
	sum->high += (cost >> 63) + __builtin_add_overflow(sum->low, (uint64_t)cost, &sum->low);
}

/* The count of a value's bucket. One that is not told gets any: the sums are the same without a branch, which could not be foretold. */
static inline int64_t *facts_bring_bucket(struct facts *facts, uint32_t number, uint64_t value_us, bool told)
{
	const struct histogram *histogram = (const struct histogram *)facts->histograms.records + number;
	uint32_t bucket = ul_bucket_of(value_us) - histogram->first;
	bucket &= -(uint32_t)told;
	if (__builtin_expect(bucket >= histogram->count, 0))
		return told ? facts_reach(facts, number, bucket + histogram->first) : &facts->nothing;
	__builtin_prefetch(&histogram->counts[bucket], 1);
	return &histogram->counts[bucket];
}

static inline bool facts_bring(struct facts *facts, struct facts_entry *entry, const struct facts_place *at,
			       uint32_t quarter)
{
	const struct ul_slot *slot = entry->slot;
	const struct ul_call_body *call = &slot->body.call;
	entry->row = (struct ul_row *)facts->rows.records + at->row;
	__builtin_prefetch(entry->row, 1);
	__builtin_prefetch(&entry->row->latency_calls, 1);
	entry->quarter = (struct ul_sum *)facts->quarters.records + quarter;
	entry->error = at->error;
	entry->latency = facts_bring_bucket(facts, at->latency, (uint64_t)call_latency_us(slot),
					    !(slot->word & UL_LATENCY_UNKNOWN));
	entry->ttft = facts_bring_bucket(facts, at->ttft, call->ttft_us, call->ttft_us);
	return entry->latency && entry->ttft;
}

static inline void facts_add_entry(const struct facts_entry *entry)
{
	struct ul_row *row = entry->row;
	struct ul_sum *quarter = entry->quarter;
	const struct ul_slot *slot = entry->slot;
	const struct ul_call_body *call = &slot->body.call;
	int64_t has_latency = !(slot->word & UL_LATENCY_UNKNOWN), has_ttft = call->ttft_us != 0;
	row->calls++;
	quarter->calls++;
	quarter->errors += entry->error;
	quarter->unpriced_calls += slot->word / UL_UNPRICED % 2;
#pragma GCC unroll 3
	for (size_t i = 0; i < UL_TOKEN_KINDS; i += 2) {
		facts_sums pair = __builtin_convertvector(*(const facts_counts *)(&call->input_tokens + i), facts_sums);
		*(facts_sums *)&row->tokens[i] += pair;
		*(facts_sums *)&quarter->tokens[i] += pair;
	}
	facts_add_cost(&row->cost_pico_usd, call->cost_pico_usd);
	facts_add_cost(&quarter->cost_pico_usd, call->cost_pico_usd);
	row->latency_calls += has_latency;
	row->latency_sum_us += -has_latency & call_latency_us(slot);
	*entry->latency += has_latency;
	row->ttft_calls += has_ttft;
	row->ttft_sum_us += call->ttft_us;
	*entry->ttft += has_ttft;
}

#endif
