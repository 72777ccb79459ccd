/*
 * What `compact --watch` waits for: a segment file made, closed, renamed or removed in one of the log's directories; the
 * interval to be over; a signal to end. When to fold is decided here; to fold is the caller's.
 *
 * Calls that are stored in a mapped file raise no event: they are found when the interval is over.
 */
#ifndef USAGELOG_WATCH_H
#define USAGELOG_WATCH_H

#include <stdbool.h>
#include <sys/stat.h>

#include "directory.h"

struct watch {
	int notify, end; /* descriptors: of events, and of the wish to end */
	const char *path;
	struct stat log; /* the directory that was opened first */
	uint64_t interval_ns;
	uint64_t events_from_ns; /* an event before that waits until then */
	bool by_event;           /* the last fold was begun by one */
};

/* From here on SIGTERM and SIGINT end the wait, and a second one the process; they stay ignored if they were. Where
 * events cannot be had, `why` says so and the interval does. 0 or -errno. One watch a process. */
int watch_open(struct watch *watch, const struct ul_directory *directory, uint64_t interval_ns, struct ul_message *why);
void watch_close(struct watch *watch);

/* Have events of all the log's directories that are there: before each fold, so that none is missed. */
void watch_directories(struct watch *watch, const struct ul_directory *directory);

enum watch_end {
	WATCH_FOLD,
	WATCH_ENDED, /* by a signal */
	WATCH_GONE,  /* the log's directory is not where it was */
};

/* Wait for the next fold, `found`: the last one had something. There is at most one fold an interval, but for one that
 * an event begins after a look in vain. */
enum watch_end watch_wait(struct watch *watch, bool found);

#endif
