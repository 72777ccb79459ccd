/*
 * The aggregates of one day in memory: rows, quarters and histograms (FORMAT.md 7), to which calls are added, or
 * a whole fact file, in any order: sums commute. Encoding them gives the same bytes whatever the order was. It must
 * not know where a call came from.
 */
#ifndef USAGELOG_FACTS_H
#define USAGELOG_FACTS_H

#include <stdbool.h>

#include "sums.h"

/* Who and what a call was, as the facts key it: numbers of `names`. */
struct call_names {
	uint32_t provider;
	uint32_t model;
	uint32_t dimensions;
	uint32_t operation;
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
	int error;               /* -ENOMEM, or -EOVERFLOW: a sum left its field; for good */
};

void facts_init(struct facts *facts, int32_t day);
void facts_clear(struct facts *facts);

/* Add a call, or take it back if the slot is a reversal. */
void facts_add_call(struct facts *facts, const struct call_names *names, const struct ul_slot *slot);
void facts_add_balance(struct facts *facts, const struct call_names *names, const struct ul_slot *slot);

/* Add all that a valid fact file holds. */
void facts_add_file(struct facts *facts, struct names *names, const struct ul_container *file);
/* Its rows and histograms alone, which a checkpoint has too; the names are known. */
void facts_add_records(struct facts *facts, const uint32_t *name_of, const struct ul_container *file);

/* Add rows, such as those that stand in for a fact file that is lost. */
void facts_add_row(struct facts *facts, const struct ul_row *row);

/* Add the histograms of other facts. */
void facts_add_histograms(struct facts *facts, const struct facts *more);

/* Calls that count in days and totals. */
int64_t facts_calls(const struct facts *facts);

/* The fact file. malloc'd; NULL and `*error` if there is no memory. */
void *facts_encode(const struct facts *facts, const struct names *names, const struct ul_id *log_id,
		   uint64_t generation, uint64_t settings, size_t *size_bytes, int *error);

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

#endif
