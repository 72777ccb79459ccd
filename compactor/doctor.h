/*
 * Is all well with a log and the machine that it is on? Each check is a word, a verdict and a sentence. Nothing is written but a probe of
 * io_uring that leaves nothing behind, and no lock is taken. Printing is for cmd_doctor.c.
 */
#ifndef USAGELOG_DOCTOR_H
#define USAGELOG_DOCTOR_H

#include "directory.h"

enum check_state { CHECK_OK, CHECK_NOTE, CHECK_WARNING, CHECK_STATES };

struct check {
	const char *name;
	enum check_state state;
	char *text; /* NULL: there was no memory */
};

enum { CHECKS_MAX = 64 };

/* Figures for scripts; -1: not known. */
struct doctor_figures {
	int64_t free_bytes;
	int64_t live_segments;      /* with a writer */
	int64_t pending_calls;      /* not folded yet */
	int64_t oldest_pending_ns;  /* since the epoch */
	int64_t not_durable_calls;  /* not known to be on the disk */
	int64_t last_compact_age_s; /* since one ended */
	int64_t dropped_calls;
	int64_t damaged_slots;
};

/* Zero it to begin. */
struct doctor {
	struct check checks[CHECKS_MAX];
	size_t count, warnings;
	bool unreadable; /* the log is not there or cannot be read */
	struct doctor_figures figures;
};

void doctor_look(struct doctor *doctor, const char *log);
void doctor_clear(struct doctor *doctor);

/* For its parts: add a check. */
void doctor_say(struct doctor *doctor, const char *name, enum check_state state, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* doctor_machine.c: what does not depend on what is in the log. */
void doctor_look_at_machine(struct doctor *doctor);
void doctor_look_at_directories(struct doctor *doctor, const struct ul_directory *directory);

#endif
