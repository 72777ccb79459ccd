/*
 * A program that gives up io_uring while it records, as sandboxes do once they are set up: from some moment on the kernel refuses it to all threads,
 * whatever is under way in the ring. What was recorded is made durable all the same, and nothing hangs.
 */
#include "support.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 24, CALLS = 2000, SKIPPED = 77, WITHOUT_SECCOMP = 3, PATIENCE_MS = 20000 };

static _Atomic bool taken;

/* All calls to io_uring by any thread of this process fail. False: no such filter can be had. */
static bool take_away(void)
{
#define REFUSE(call) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_io_uring_setup),
		REFUSE(SYS_io_uring_enter),
		REFUSE(SYS_io_uring_register),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static void *record_until(void *arg)
{
	usagelog *log = arg;
	while (!taken)
		for (int i = 0; i < 100; i++)
			record_one(log, 1);
	for (int i = 0; i < CALLS; i++)
		record_one(log, 1);
	return NULL;
}

/* In a process of its own: there is no way back. `us`: when it is taken away. */
static int lose_io_uring(long us)
{
	pthread_t thread;
	struct usagelog_options options = {
		.size = sizeof(options), .flush_interval_ms = 1, .segment_size_bytes = 1 << 20, .time_zone = "UTC"};
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	if (usagelog_flush(log, PATIENCE_MS) || stats_of(log).backend != USAGELOG_BACKEND_URING)
		return SKIPPED;
	if (pthread_create(&thread, NULL, record_until, log))
		return 1;
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
	if (!take_away())
		return WITHOUT_SECCOMP;
	taken = true;
	pthread_join(thread, NULL);
	int error = usagelog_flush(log, PATIENCE_MS);
	struct usagelog_stats stats = stats_of(log);
	bool told = stats.backend == USAGELOG_BACKEND_SYSCALL && stats.backend_error == -EPERM;
	if (error || !told || stats.durable != stats.committed || stats.committed != stats.attempted) {
		fprintf(stderr, "flush: %s; backend %d, %d; %lu of %lu committed calls durable, %lu attempted\n",
			usagelog_strerror(error), stats.backend, stats.backend_error, (unsigned long)stats.durable,
			(unsigned long)stats.committed, (unsigned long)stats.attempted);
		return 1;
	}
	error = usagelog_close(log, PATIENCE_MS);
	printf("%lu\n", (unsigned long)stats.committed);
	fflush(stdout);
	return error != 0;
}

static void io_uring_is_taken_away(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		int told[2], status;
		char text[32] = "";
		make_directory(path);
		assert_int_equal(pipe(told), 0);
		pid_t child = fork();
		if (!child) {
			dup2(told[1], STDOUT_FILENO);
			_exit(lose_io_uring(round * 700));
		}
		close(told[1]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(read(told[0], text, sizeof(text) - 1) >= 0);
		close(told[0]);
		if (WIFEXITED(status) && (WEXITSTATUS(status) == SKIPPED || WEXITSTATUS(status) == WITHOUT_SECCOMP)) {
			remove_directory(path);
			print_message("%s here\n", WEXITSTATUS(status) == SKIPPED ? "no io_uring" : "no seccomp");
			skip();
		}
		assert_int_equal(status, 0);
		verify_log(path, strtoul(text, NULL, 10));
		remove_directory(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(io_uring_is_taken_away)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
