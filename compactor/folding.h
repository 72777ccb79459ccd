/*
 * A fold of a log as the subcommands that write make it: the log's zone set, its lock taken, folded, committed, the summary rendered, what was
 * found said. What is told of it is theirs.
 */
#ifndef USAGELOG_FOLDING_H
#define USAGELOG_FOLDING_H

#include "compact.h"

struct folding {
	struct compact_options options;
	bool quiet;     /* no progress */
	bool may_wait;  /* another compactor at work is not worth a word: it is tried again */
	bool committed; /* set */
	void *arg;
	/* Say what was found; NULL: each on standard error. */
	void (*tell_findings)(void *arg, const struct findings *findings);
	/* Say what was done; NULL: nothing. Not called if it failed. */
	void (*tell)(void *arg, const struct ul_directory *directory, const struct compact_result *result,
		     const struct checkpoint *checkpoint, const struct names *names);
};

/* Fold an open log. An exit status. */
int folding_run(const struct ul_directory *directory, struct folding *folding);

/* Open a log, and fold it. Likewise. */
int folding_run_log(const char *log, struct folding *folding);

/* Set the process's zone to the log's, in which days are cut. False: this host does not know it, and that is said. */
bool folding_set_zone(const struct ul_directory *directory);

#endif
