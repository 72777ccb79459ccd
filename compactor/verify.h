/*
 * Is all that a log's directory holds as it should be? Every file is read and every sum is made again from the slots. Nothing is
 * written, and no lock taken that others see. Printing is for cmd_verify.c.
 */
#ifndef USAGELOG_VERIFY_H
#define USAGELOG_VERIFY_H

#include "view.h"

enum verdict { VERDICT_PASS, VERDICT_TAIL, VERDICT_FAIL, VERDICTS };

enum { BAD_SLOTS_KEPT = 16 };

/* A file, or what is said in its place ("identity", "re-fold"). */
struct checked_file {
	char *name;
	char *text; /* what is wrong, or worth saying; "" if nothing */
	enum verdict verdict;
	bool is_segment;
	bool unreadable;
	uint64_t calls, durable; /* of segments: calls, reversals and opening balances */
	struct slot_counts slots;
	uint32_t bad_slots[BAD_SLOTS_KEPT]; /* the first damaged ones */
	uint32_t bad_slot_count;
};

struct verification {
	struct checked_file *files;
	size_t count, room;
	bool damage, residue, unreadable;        /* what the exit status is made of */
	uint64_t valid, pruned, folded, pending; /* calls, reversals */
	uint64_t damaged, holes, unfinished, unknown;
	uint64_t dropped; /* at least */
	int error;        /* -ENOMEM: it is not complete */
};

/* Look at everything once. The files' state is of one moment only if nobody commits meanwhile: `*moved` says that somebody did, and
 * that what was found wrong may be due to it. 0, or a negative code and `why`. */
int verify_once(struct verification *found, const char *log, bool *moved, struct ul_message *why);
/* Of that the summary alone, beside the checkpoint of an open view: one file, or none if there is none to be. */
void verify_summary(struct verification *found, struct view *view);
void verification_clear(struct verification *found);

#endif
