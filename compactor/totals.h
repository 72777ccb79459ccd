/*
 * Totals out of roll-ups: of all days or of a range of them, by day, model, provider, operation and error. What summary.json and the
 * command `summary` show is taken from here.
 */
#ifndef USAGELOG_TOTALS_H
#define USAGELOG_TOTALS_H

#include <stdbool.h>

#include "checkpoint.h"
#include "money.h"

struct total {
	uint64_t key; /* a name's number, or a day */
	uint64_t zero;
	int64_t calls;
	int64_t errors;
	int64_t unpriced; /* calls without a cost */
	int64_t tokens[UL_TOKEN_KINDS];
	int64_t balance_tokens; /* of unknown kind */
	struct ul_i128 cost_pico_usd;
};

struct totals {
	struct total all;
	struct table days; /* struct total */
	struct table models;
	struct table providers;
	struct table operations; /* of calls that have one */
	struct table errors;     /* by error_type */
};

/* Sum up the roll-ups of days first to last, both included. 0, -ENOMEM or -EOVERFLOW. In any case totals_clear() frees them. */
int totals_make(struct totals *totals, const struct checkpoint *checkpoint, struct names *names, int32_t first_day,
		int32_t last_day);
void totals_clear(struct totals *totals);

/* Sort a table by name, by day, or by cost (the most first, then calls, then name). It must not be added to any more. */
void totals_sort_by_name(struct table *table, const struct names *names);
void totals_sort_by_day(struct table *table);
void totals_sort_by_cost(struct table *table, const struct names *names);

static inline int32_t total_day(const struct total *total)
{
	return (int32_t)(uint32_t)total->key;
}

/* All tokens: input, cache reads and writes, output, and those of unknown kind. */
int64_t total_tokens(const struct total *total);

#endif
