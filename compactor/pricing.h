/*
 * Which price table is whose (FORMAT.md 14): the tables that a log has, which one each day names, and facts priced with them. Read by folds that write
 * and by those that only look; it writes nothing.
 */
#ifndef USAGELOG_PRICING_H
#define USAGELOG_PRICING_H

#include "prices.h"
#include "recovery.h"

/* A table, as the checkpoint names it; read when it is needed. */
struct priced_table {
	uint32_t generation;
	int32_t since;
	uint64_t size_bytes;
	uint64_t checksum;
	bool looked_for;
	bool told;               /* that it is lost */
	struct stored_file file; /* sound, or lost */
	struct table answers;    /* what was asked of it */
};

struct pricing {
	const struct ul_directory *directory;
	struct names *names;
	struct priced_table *tables; /* by generation */
	size_t count;
	struct table days;  /* which table a day names */
	bool days_stand;    /* a day that is known and names none takes none: in a rebuild, whose calls are not new */
	struct table tiers; /* of dimensions */
};

void pricing_open(struct pricing *pricing, const struct ul_directory *directory, struct names *names);
void pricing_clear(struct pricing *pricing);

/* Take the tables and days of a checkpoint, in the place of what is known of the same days. 0 or -ENOMEM. */
int pricing_take(struct pricing *pricing, const struct checkpoint *checkpoint);
/* The same from the directory, where no checkpoint can be read. 0 or a negative code. */
int pricing_take_directory(struct pricing *pricing);
/* Whichever of the two the state of recovery asks for. */
int pricing_take_state(struct pricing *pricing, const struct recovery_state *state);

/* Add a table; `replaces`: those that begin on its day or later go. 0 or -ENOMEM. */
int pricing_add(struct pricing *pricing, const struct priced_table *table, bool replaces);

/* Forget a table. */
void pricing_remove(struct pricing *pricing, uint32_t generation);

/* The generation of the table that a day names; 0: none. */
uint32_t pricing_named(const struct pricing *pricing, int32_t day);
/* That of the one that stands on it. */
uint32_t pricing_standing(const struct pricing *pricing, int32_t day);
void pricing_set_day(struct pricing *pricing, int32_t day, uint32_t generation);

/* The table; NULL: there is none such, or it is missing or damaged, or cannot be read, which folds take for an error. */
const struct ul_container *pricing_table(struct pricing *pricing, uint32_t generation);

/* Does a day hold calls without a given cost? */
bool pricing_concerns(const struct facts *facts);

/* Add to `change` what priced facts are more than these. Nothing, if the table is missing or damaged; without a table (0) all is unpriced. The two may not be the
 * same. 0, -ENOMEM or -EOVERFLOW. */
int pricing_change(struct pricing *pricing, uint32_t generation, const struct facts *facts, struct facts *change);
/* Price one row of calls without a given cost, which names provider, model and prompt band. 0 or a negative code. */
int pricing_row(struct pricing *pricing, uint32_t generation, uint32_t service_tier, struct ul_row *row);
/* Price facts. */
int pricing_apply(struct pricing *pricing, uint32_t generation, struct facts *facts);

/* Price the new calls of a day, and, in the same sums, what it had before (`file`, NULL: nothing) if it names another table now, or takes one with these
 * calls. `had` and `*table`: which it named, and names then. 0, -ENOMEM or -EOVERFLOW. */
int pricing_day(struct pricing *pricing, const struct ul_container *file, uint32_t had, struct facts *facts,
		uint32_t *table);

/* Price the last calls of a checkpoint, with the tables that its days name; a view's, once its pending calls are among them. 0 or -ENOMEM. */
int pricing_calls(struct pricing *pricing, struct checkpoint *checkpoint);

/* Name the tables in a checkpoint, in the place of those that it names. 0 or -ENOMEM. */
int pricing_store(const struct pricing *pricing, struct checkpoint *checkpoint);

#endif
