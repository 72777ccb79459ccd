/* Threads of a process, an instruction at a time. */
#include "tracer.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* A system call that takes longer than so many looks is let run, while others go on. */
enum { CALL_STOP = SIGTRAP | 0x80, LOOKS = 20, SKIP_LOOKS = 2000 };

/* What a traced process knows of it; in memory that it shares with the tracer. */
enum { NOT_TRACED, TRACED, STEPPED };
static _Atomic int *traced;

static void die(const char *what)
{
	fprintf(stderr, "tracer: %s: %s\n", what, strerror(errno));
	exit(16);
}

#if !defined(__x86_64__)
void tracer_mark(uint32_t mark)
{
	(void)mark;
}

static uint32_t mark_of(pid_t id)
{
	(void)id;
	return MARK_NONE;
}

static bool is_system_call(pid_t id)
{
	(void)id;
	return false;
}
#else
void tracer_mark(uint32_t mark)
{
	if (!traced || *traced < (mark == MARK_BEGIN ? TRACED : STEPPED))
		return;
	*traced = mark == MARK_END ? TRACED : STEPPED;
	__asm__ volatile("int3" : : "a"(mark) : "memory");
}

static uint32_t mark_of(pid_t id)
{
	return (uint32_t)ptrace(PTRACE_PEEKUSER, id, (void *)offsetof(struct user, regs.rax), NULL);
}

/* Does this thread's next instruction call the system? It runs the code of this process, at the same addresses. */
static bool is_system_call(pid_t id)
{
	errno = 0;
	long place = ptrace(PTRACE_PEEKUSER, id, (void *)offsetof(struct user, regs.rip), NULL);
	const uint8_t *code = (const uint8_t *)(uintptr_t)place;
	return !errno && code[0] == 0x0f && code[1] == 0x05;
}
#endif

static struct traced *find(struct tracer *tracer, pid_t id)
{
	for (uint32_t i = 0; i < tracer->count; i++)
		if (tracer->threads[i].id == id && tracer->threads[i].state != ENDED)
			return &tracer->threads[i];
	return NULL;
}

/* A thread that nobody told of yet begins stopped. */
static struct traced *add(struct tracer *tracer, pid_t id)
{
	uint32_t place = 0;
	while (place < tracer->count && tracer->threads[place].state != ENDED)
		place++;
	if (place == TRACED_MAX) {
		errno = EMFILE;
		die("too many threads");
	}
	tracer->count += place == tracer->count;
	tracer->threads[place] = (struct traced){.id = id};
	return &tracer->threads[place];
}

static void take_note(struct tracer *tracer, pid_t id, int status)
{
	struct traced *thread = find(tracer, id);
	if (WIFEXITED(status) || WIFSIGNALED(status)) {
		if (thread)
			thread->state = ENDED;
		if (id == tracer->process) {
			tracer->process = 0;
			tracer->status = status;
		}
		return;
	}
	thread = thread ? thread : add(tracer, id);
	thread->state = STANDS;
	int signal = WSTOPSIG(status);
	siginfo_t why;
	thread->in_kernel = status >> 16 || signal == CALL_STOP;
	if (thread->in_kernel || ptrace(PTRACE_GETSIGINFO, id, NULL, &why))
		return; /* ptrace's own events */
	if (signal == SIGTRAP && why.si_code == SI_KERNEL) {
		uint32_t mark = mark_of(id);
		thread->outside = mark != MARK_IN;
		tracer->begun |= mark == MARK_BEGIN;
		tracer->end |= mark == MARK_END;
		if (mark == MARK_BEGIN)
			tracer->main_thread = (uint32_t)(thread - tracer->threads);
	} else if (signal != SIGTRAP) {
		thread->signal = signal;
	}
}

void tracer_look(struct tracer *tracer, bool wait)
{
	int status;
	pid_t id;
	while (tracer->process && (id = waitpid(-1, &status, __WALL | (wait ? 0 : WNOHANG))) > 0) {
		take_note(tracer, id, status);
		wait = false;
	}
}

static void go_on(struct traced *thread, int how)
{
	int signal = thread->signal;
	thread->signal = 0;
	thread->state = GOES;
	if (ptrace(how, thread->id, NULL, (void *)(intptr_t)signal) && errno != ESRCH)
		die("ptrace");
}

bool tracer_step(struct tracer *tracer, uint32_t number)
{
	struct traced *thread = &tracer->threads[number];
	bool calls = thread->in_kernel || is_system_call(thread->id);
	int status;
	go_on(thread, PTRACE_SINGLESTEP);
	for (int looks = 0; thread->state == GOES; looks++) {
		pid_t id = waitpid(thread->id, &status, __WALL | (calls ? WNOHANG : 0));
		if (id == thread->id)
			take_note(tracer, id, status);
		else if (id < 0)
			thread->state = ENDED;
		else if (looks == LOOKS)
			break;
	}
	if (calls)
		tracer_look(tracer, false);
	return calls;
}

bool tracer_skip(struct tracer *tracer, uint32_t number)
{
	struct traced *thread = &tracer->threads[number];
	int status;
	go_on(thread, PTRACE_SYSCALL);
	for (int looks = 0; thread->state == GOES && looks < SKIP_LOOKS; looks++) {
		pid_t id = waitpid(thread->id, &status, __WALL | WNOHANG);
		if (id == thread->id)
			take_note(tracer, id, status);
		else
			sched_yield();
	}
	return thread->state == STANDS;
}

void tracer_go(struct tracer *tracer, uint32_t thread)
{
	go_on(&tracer->threads[thread], PTRACE_CONT);
}

/* Stop those that run; what waits in the kernel is stopped there, and goes on waiting when it is let go. */
static void stop_all(struct tracer *tracer)
{
	for (uint32_t i = 0; i < tracer->count; i++) {
		struct traced *thread = &tracer->threads[i];
		int status;
		if (thread->state != GOES || ptrace(PTRACE_INTERRUPT, thread->id, NULL, NULL))
			continue;
		if (waitpid(thread->id, &status, __WALL) == thread->id)
			take_note(tracer, thread->id, status);
	}
}

void tracer_go_others(struct tracer *tracer, uint32_t thread)
{
	for (uint32_t i = 0; i < tracer->count; i++)
		if (i != thread && tracer->threads[i].state == STANDS)
			tracer_go(tracer, i);
}

void tracer_unmark(void)
{
	*traced = NOT_TRACED;
}

bool tracer_run(struct tracer *tracer)
{
	while (tracer->process && !tracer->begun) {
		tracer_go_others(tracer, TRACED_MAX);
		tracer_look(tracer, true);
	}
	if (tracer->process)
		stop_all(tracer);
	return tracer->process;
}

int tracer_finish(struct tracer *tracer)
{
	*traced = NOT_TRACED;
	while (tracer->process) {
		tracer_go_others(tracer, TRACED_MAX);
		tracer_look(tracer, true);
	}
	return tracer->status;
}

void tracer_kill(struct tracer *tracer)
{
	if (tracer->process)
		kill(tracer->process, SIGKILL);
	while (tracer->process)
		tracer_look(tracer, true);
	*traced = NOT_TRACED;
}

void tracer_start(struct tracer *tracer, void (*run)(void *arg), void *arg)
{
	*tracer = (struct tracer){0};
	if (!traced) {
		traced = mmap(NULL, sizeof(*traced), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (traced == MAP_FAILED)
			die("memory");
	}
	*traced = NOT_TRACED;
	fflush(stdout);
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!*traced)
			sched_yield();
		run(arg);
		_exit(0);
	}
	if (ptrace(PTRACE_SEIZE, child, NULL,
		   (void *)(intptr_t)(PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)))
		die("PTRACE_SEIZE");
	tracer->process = child;
	add(tracer, child)->state = GOES;
	stop_all(tracer);
	*traced = TRACED;
}

#if !defined(__x86_64__)
const char *tracer_cannot(void)
{
	return "instructions are told apart on x86-64 only";
}
#elif defined(__SANITIZE_THREAD__)
const char *tracer_cannot(void)
{
	return "the thread sanitizer has threads of its own";
}
#else
static void do_nothing(void *unused)
{
	(void)unused;
	tracer_mark(MARK_BEGIN);
}

const char *tracer_cannot(void)
{
	struct tracer tracer;
	pid_t child = fork();
	if (!child)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? 1 : 0);
	int status = 1;
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		return "no process may be traced here";
	tracer_start(&tracer, do_nothing, NULL);
	bool marked = tracer_run(&tracer);
	tracer_kill(&tracer);
	return marked ? NULL : "a traced process does not stop where it should";
}
#endif
