/*
 * Which calls of a log stand: a call with an id that was taken back does not, and of calls with one id the first does. Other calls all stand. It
 * is what an export holds: there a call that is known twice would be counted twice by whoever reads it.
 */
#ifndef USAGELOG_STANDING_H
#define USAGELOG_STANDING_H

#include "calls.h"

/* Where a call is. */
struct call_place {
	struct ul_id segment;
	uint32_t number;
};

/* Zero it to begin. */
struct standing {
	struct call_place *left_out; /* the calls that do not stand, in order */
	size_t left_out_count;
	uint64_t taken_back; /* calls */
	uint64_t twice;      /* calls with the id of another one that stands */
	uint64_t unmatched;  /* reversals of calls that are not there */
};

/* Look at all calls of a log: 48 bytes of memory a call with an id. An exit status, STATUS_DONE if it went well. */
int standing_read(struct standing *standing, const struct ul_directory *directory);
void standing_clear(struct standing *standing);

/* Does the call stand? Calls that were added since do. */
bool standing_has(const struct standing *standing, const struct call_line *line);

#endif
