/*
 * A process under ptrace, all of whose threads go an instruction at a time, in an order that the tracer chooses; so it can be looked at, or
 * killed, between any two instructions of any of them.
 */
#ifndef USAGELOG_TESTS_TRACER_H
#define USAGELOG_TESTS_TRACER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { TRACED_MAX = 32 };

struct tracer {
	pid_t process; /* 0: none */
	struct traced {
		pid_t id;
		enum { STANDS, GOES, ENDED } state; /* stopped by us; running, or waiting in the kernel */
		int signal;                         /* to be delivered when it goes on */
		bool in_kernel; /* it stands in a system call, or at its edge: may be a while until its next step is done */
		bool outside; /* it came to a mark, and MARK_IN was not the last */
	} threads[TRACED_MAX];
	uint32_t count;
	int status;           /* of the process, when it has ended: as waitpid()'s */
	bool begun, end;      /* a thread came to MARK_BEGIN, to MARK_END: */
	uint32_t main_thread; /* that one */
};

/* Can this be done here? NULL, or why not. */
const char *tracer_cannot(void);

/*
 * Marks that a traced process comes to, and stands at. MARK_BEGIN and MARK_END: of what is to be stepped through. Between the two each thread says
 * when it comes out of the code that is of interest, and goes in again. Elsewhere, and where nobody traces, nothing happens.
 */
enum { MARK_NONE, MARK_BEGIN, MARK_IN, MARK_OUT, MARK_END };
void tracer_mark(uint32_t mark);

/* Fork a process that runs `run`; it stands before its first instruction. */
void tracer_start(struct tracer *tracer, void (*run)(void *arg), void *arg);
/* Let all go, until one of them comes to MARK_BEGIN; then all stand, but for those in the kernel. False: the process ended. */
bool tracer_run(struct tracer *tracer);
/* One instruction of a thread that stands. True: it was a system call. */
bool tracer_step(struct tracer *tracer, uint32_t thread);
/* Let a thread go to its next system call, or out of it. False: it does not come to one, and may wait in the kernel. */
bool tracer_skip(struct tracer *tracer, uint32_t thread);
/* See which of those that went have come out of the kernel. `wait`: until one has. */
void tracer_look(struct tracer *tracer, bool wait);
/* Let one thread go, without steps. */
void tracer_go(struct tracer *tracer, uint32_t thread);
/* Let all that stand go, but this one; TRACED_MAX: all. */
void tracer_go_others(struct tracer *tracer, uint32_t thread);
/* From now on marks are passed by. */
void tracer_unmark(void);
/* All go, until the process ends: its status, as waitpid()'s. */
int tracer_finish(struct tracer *tracer);
/* SIGKILL; returns when the process is gone. */
void tracer_kill(struct tracer *tracer);
static inline bool tracer_is_over(const struct tracer *tracer)
{
	return !tracer->process;
}

#endif
