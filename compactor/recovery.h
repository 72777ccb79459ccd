/*
 * Where a fold goes on from: the decision table of FORMAT.md 10, as far as checkpoints are concerned. The table is data, and the
 * decision a pure function of what was found.
 */
#ifndef USAGELOG_RECOVERY_H
#define USAGELOG_RECOVERY_H

#include "checkpoint.h"
#include "directory.h"
#include "findings.h"
#include "store.h"

enum recovery {
	RECOVERY_EMPTY,    /* nothing was folded yet */
	RECOVERY_CURRENT,  /* go on from `checkpoint` */
	RECOVERY_PREVIOUS, /* go on from `checkpoint.previous` */
	RECOVERY_REBUILD,  /* fold everything anew from the segments */
	RECOVERY_REFUSE,   /* touch nothing */
};

enum recovery recovery_decide(enum file_state current, enum file_state previous, bool facts_present);

/* What was found, and what to go on from. */
struct recovery_state {
	enum recovery decision;
	enum file_state current, previous;
	int previous_error;      /* if it is unreadable */
	bool settings_changed;   /* the checkpoint was made under other settings: everything is folded anew */
	uint64_t generation_max; /* of all fact files, id sets, price tables and checkpoints in sight */
	uint64_t current_ctime_ns;
	struct checkpoint checkpoint; /* empty, unless one of the two is gone on from */
};

/* Look at both checkpoints and load the one to go on from. Nothing is written. 0; USAGELOG_ERROR_NEWER or -errno when refused,
 * and `why` says so. */
int recovery_load(struct recovery_state *state, struct names *names, const struct ul_directory *directory,
		  struct findings *findings, struct ul_message *why);

#endif
