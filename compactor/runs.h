/*
 * A set of slots as runs that rise and do not touch: which slots of a segment are folded (FORMAT.md 8). Also used
 * for the pages of a file that are to be synced.
 */
#ifndef USAGELOG_RUNS_H
#define USAGELOG_RUNS_H

#include <stdbool.h>

#include "format.h"

struct runs {
	struct ul_run *items;
	uint32_t count, room;
};

void runs_clear(struct runs *runs);

/* Add a number above all that are there, or equal to the last. 0 or -ENOMEM. */
int runs_append(struct runs *runs, uint32_t number);

/* Add a whole run above all that are there; it is joined to the last if they touch. 0 or -ENOMEM. */
int runs_append_run(struct runs *runs, struct ul_run run);

/* Add all of `more`. 0 or -ENOMEM, and then `runs` is as it was. */
int runs_unite(struct runs *runs, const struct runs *more);

/* Walks a set beside a rising sequence of numbers. */
struct runs_cursor {
	const struct runs *runs;
	uint32_t at;
};

/* Is it in the set? Numbers must not fall from call to call. */
static inline bool runs_cursor_has(struct runs_cursor *cursor, uint32_t number)
{
	const struct runs *runs = cursor->runs;
	while (cursor->at < runs->count) {
		struct ul_run run = runs->items[cursor->at];
		if (number < run.first_slot)
			return false;
		if (number - run.first_slot < run.slot_count)
			return true;
		cursor->at++;
	}
	return false;
}

/* The first number from `number` on that is in the set (`wanted`) or is not in it; `end` if there is none before it. */
uint32_t runs_next(const struct runs *runs, uint32_t number, uint32_t end, bool wanted);

/* Are all of `part` in the set? */
bool runs_include(const struct runs *runs, const struct runs *part);

/* Which of the 64 numbers from `first` on are in the set: a bit for each, the first one lowest. `*at` is where the search begins and
 * is brought up; 0 at first, and `first` must not fall. */
uint64_t runs_bits(const struct runs *runs, uint32_t first, uint32_t *at);

/* Add those of the 64 numbers from `first` on whose bit is set, all of them above those that are there. 0 or -ENOMEM. */
int runs_append_bits(struct runs *runs, uint32_t first, uint64_t bits);

/* How many numbers there are in the set. */
uint64_t runs_total(const struct runs *runs);

#endif
