/*
 * What the members of the fault campaign that kill, stop and fork writers share: the command line and the result, random numbers from a seed, the
 * ledger in which writers tell what they did, and the census of what the log holds.
 *
 * A writer tells through memory that it shares with the judge, which survives its death as a pipe's bytes would, but takes one store: it is hardly
 * ever outside of record(), where a write() between two calls would have nine kills of ten fall into the pipe.
 */
#ifndef USAGELOG_TESTS_CRASH_H
#define USAGELOG_TESTS_CRASH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "usagelog.h"

enum { SKIPPED = 77, PATH_BYTES = 256, NOTES_BYTES = 512 };

/* ---- numbers from a seed ---------------------------------------------------------------------------------- */

uint64_t random_next(uint64_t *state);
/* Below `end`, which is not 0. */
uint32_t random_below(uint64_t *state, uint32_t end);
/* Small ones often, large ones now and then, all below `end`. */
uint32_t random_skewed(uint64_t *state, uint32_t end);

/* ---- a run ------------------------------------------------------------------------------------------------ */

struct campaign {
	const char *member;
	char program[PATH_BYTES]; /* this one */
	uint64_t seed, rounds;
	uint64_t round; /* the one at work, for messages */
	uint64_t state; /* of the random numbers */
	char scratch[PATH_BYTES];
	char log[PATH_BYTES]; /* the log at work, in the scratch directory */
	double begun;
	uint64_t points, lost, twice, falsely, failures;
	char notes[NOTES_BYTES];
};

/* Read `--seed S --rounds N [--directory DIR]`, and make the scratch directory. Ends the program if that is not what was given. */
void campaign_begin(struct campaign *campaign, const char *member, uint64_t rounds, int argc, char **argv);
/* A new, empty place for a log; the one before is removed. */
void campaign_new_log(struct campaign *campaign);
/* Zeroed memory that children which are forked from now on share. */
void *campaign_share(size_t bytes);
/* Something did not hold: say it, with what repeats it; the log as it is goes to $USAGELOG_KEEP. Beyond some of them the run ends. */
void campaign_fail(struct campaign *campaign, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Remove the scratch directory, print the result; the exit status. */
int campaign_end(struct campaign *campaign);
/* It cannot run here: say why, and end with 77. */
__attribute__((noreturn)) void campaign_skip(const char *why);

/* Skip where a sanitizer allows no threads in the child of a process with threads. */
void campaign_needs_threads_after_fork(void);

void pause_us(uint32_t us);
double now_s(void);

/* ---- the ledger ------------------------------------------------------------------------------------------- */

/* A call is a number, and all that it holds follows from that. What a writer said of it last: */
enum telling {
	UNUSED,  /* nobody began it: must not be in the log */
	BEGUN,   /* may be there, once */
	TOLD,    /* record() said that it is committed: must be there, once */
	REFUSED, /* record() said that nothing was stored: must not be there */
};

enum { LEDGER_NUMBERS = 1 << 22 };

struct ledger {
	_Atomic uint32_t next;            /* the next number; 0 is none */
	_Atomic uint32_t changes;         /* counts what was told */
	_Atomic int trouble;              /* the first error that nobody expected */
	uint8_t tellings[LEDGER_NUMBERS]; /* atomic */
};

/* Shared with all children that are forked from now on, and with programs that they exec, by its descriptor. */
struct ledger *ledger_make(void);
int ledger_descriptor(void);
/* For a new log: all numbers are unused again. */
void ledger_clear(struct ledger *ledger);
/* Numbers given out so far, and 1. */
static inline uint32_t ledger_end(struct ledger *ledger)
{
	uint32_t next = atomic_load(&ledger->next);
	return next < LEDGER_NUMBERS ? next : LEDGER_NUMBERS;
}

/* Names of a call change with its number: each MODEL_CALLS another model, each CONTEXT_CALLS another context, so that definitions are written now and then. */
enum { MODEL_CALLS = 97, CONTEXT_CALLS = 31, METADATA_BYTES = 200 };

struct handles {
	uint32_t model_number, context_number; /* whose they are; 0: none yet */
	usagelog_model model;
	usagelog_context context;
};

/* Record the next number, and tell. `handles` NULL: by names. Returns what record() did. */
int ledger_record(struct ledger *ledger, usagelog *log, struct handles *handles);
/* Ask for the handles that the next number needs, so that its record() has nothing else to do. */
void ledger_prepare(struct ledger *ledger, usagelog *log, struct handles *handles);
/* In a signal handler, with handles that were asked for before: nothing is recorded if the next number has others. */
void ledger_record_in_handler(struct ledger *ledger, usagelog *log, const struct handles *handles);
/* An error that must not be. */
void ledger_trouble(struct ledger *ledger, int error);

/* ---- the census ------------------------------------------------------------------------------------------- */

/* What the segments of a log hold, held against the ledger. */
struct census {
	uint64_t calls;      /* different ones */
	uint64_t told;       /* by the ledger */
	uint64_t tokens;     /* of all calls */
	uint64_t unfinished; /* slots, each once */
	uint64_t lost, twice, falsely;
	uint64_t wrong;       /* slots and pages that cannot be by FORMAT.md */
	uint64_t durable;     /* slots */
	uint64_t not_durable; /* slots that lead their page, valid, but not known durable */
	uint64_t segments;    /* files */
	char why[160];        /* the first thing that was wrong */
};
/* Read the log as a reader would. True: nothing is lost, twice, false or wrong. */
bool census_take(struct census *census, const char *path, struct ledger *ledger);

/* Take a census, and add what it found to the campaign's figures; at most so many unfinished slots. False: something did not hold. */
bool campaign_check(struct campaign *campaign, struct ledger *ledger, struct census *census, uint64_t unfinished_max);
/* Nobody writes: `usagelog verify` must be content, `usagelog compact` fold all, and summary.json say what the census says. */
void campaign_fold(struct campaign *campaign, struct ledger *ledger, uint64_t unfinished_max);
/* Nobody writes: `usagelog verify` must be content. */
void campaign_verify(struct campaign *campaign);

/* Start the program under test on the log, all that it says being kept for a message. */
pid_t program_start(const struct campaign *campaign, const char *command);
/* Wait for it: its exit status, 256 + the signal that ended it. */
int program_end(pid_t child);

#endif
