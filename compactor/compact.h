/*
 * A run of the compactor: lock, recover, fold, commit, clean up. All that is written to a log's directory, but for the summary, is
 * written here, in the order of FORMAT.md 8.
 */
#ifndef USAGELOG_COMPACT_H
#define USAGELOG_COMPACT_H

#include "pass.h"
#include "price_map.h"
#include "recovery.h"

struct compact_result {
	uint64_t calls;    /* folded in this run: calls, reversals, opening balances */
	uint64_t segments; /* that they came from */
	struct slot_counts counts;
	uint64_t segments_present;
	uint64_t dropped; /* by all writers, at least */
	uint64_t dropped_by_cause[UL_CAUSES];
	bool committed;
	uint64_t pruned_segments; /* deleted in this run, as older than retention_days */
	uint64_t freed_bytes;
	bool differs;                             /* a rebuild gave other totals than were there */
	uint64_t price_table;                     /* made in this run: its generation; 0: none */
	uint64_t days_priced;                     /* again, with it */
	struct table priced_before, priced_after; /* what was priced again, by provider and model: sums */
};

void compact_result_clear(struct compact_result *result);

/* How a run differs from that of `usagelog compact`. */
struct compact_options {
	bool rebuild;             /* fold everything anew: the base, if there is one, and all slots kept */
	bool accept_loss;         /* even if days then have fewer calls than now */
	struct price_map *prices; /* make a price table of this map, to stand from `prices_since` on; NULL: none */
	int32_t prices_since;
	bool reprice; /* and price all days from then on with it, in the place of what they were priced with */
};

/*
 * Fold all that is not folded yet. `checkpoint` (empty) is filled with what is committed then, `names` are its names. The caller holds the
 * lock. 0, or a negative code and `why`; then the old checkpoint stands. compact_result_clear() in any case.
 */
int compact_run(const struct ul_directory *directory, const struct compact_options *options,
		struct checkpoint *checkpoint, struct names *names, struct compact_result *result,
		struct findings *findings, struct ul_message *why);

#endif
