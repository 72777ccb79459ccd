/*
 * Between rotations record() does nothing but compute and store: no system call, no page fault, no allocation, while the helper extends the
 * file ahead of it and syncs behind it. System calls are trapped by seccomp in the thread that records, allocations by
 * the linker's --wrap, faults are counted by the system. The last line says what was counted.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "handle.h"
#include "os.h"
#include "support.h"

enum {
	RECORDS = 100000,
	WARM_UP = 20000,
	PACE_NS = 8000,
	GAP_NS = 1000000,
	SYNCS = 40,
	READY_PAGES = 128,
	SKIPPED = 77
};

static volatile sig_atomic_t system_calls, last_system_call, allocations;
static _Thread_local bool counting;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __wrap_free(void *memory);

static void count_allocation(void)
{
	if (counting)
		allocations++;
}

void *__wrap_malloc(size_t bytes)
{
	count_allocation();
	return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	count_allocation();
	return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
	count_allocation();
	return __real_realloc(memory, bytes);
}

void __wrap_free(void *memory)
{
	count_allocation();
	__real_free(memory);
}

static void trapped(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	system_calls++;
	last_system_call = info->si_syscall;
}

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "test_record_quiet: %s: %s\n", what, strerror(errno));
	_exit(1);
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* From here on, this thread may read its own figures and return from a signal. */
static void trap_system_calls(void)
{
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_getrusage),
		ALLOW(SYS_rt_sigreturn),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
	struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
	must(!sigaction(SIGSYS, &action, NULL), "sigaction");
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return;
	printf("test_record_quiet: seccomp: %s: skipped\n", strerror(errno));
	exit(SKIPPED);
}

/* The helper keeps pages ready at a pace; how late it is depends on the machine, which is not what is tested here. */
static void wait_for_pages(usagelog *log)
{
	const struct ul_segment *segment = atomic_load(&log->current);
	while (atomic_load(&segment->ready_pages) < segment->page_count &&
	       atomic_load(&segment->ready_pages) - atomic_load(&segment->next_page) < READY_PAGES)
		;
}

struct names {
	usagelog_model model;
	usagelog_context context;
	struct usagelog_names strings;
};

static void record(usagelog *log, const struct names *names, uint32_t i)
{
	struct usagelog_call call = {.input_tokens = 1, .flags = USAGELOG_COST, .cost_pico_usd = 1};
	/* Not at the beginnings of pages: a page is left in its midst, too. */
	if (i % 100 == 0)
		wait_for_pages(log);
	int error = i & 1 ? usagelog_record(log, names->model, names->context, &call)
			  : usagelog_record_names(log, &names->strings, &call);
	if (error) {
		fprintf(stderr, "test_record_quiet: record: %s\n", usagelog_strerror(error));
		_exit(1);
	}
}

/* The syncs are the helper's to count, and read here without its mutex. */
static uint64_t syncs_of(usagelog *log)
{
	return __atomic_load_n(&log->stats.syncs, __ATOMIC_RELAXED);
}

struct recorder {
	usagelog *log;
	struct names names;
	int records, gaps;
	uint64_t syncs;
	long faults;
	_Atomic bool warm, go, done;
};

/* At a pace, until there were enough calls and enough syncs between them. */
static void record_at_pace(struct recorder *recorder, int records, uint64_t syncs)
{
	uint64_t first_sync = syncs_of(recorder->log), last = os_precise_ns();
	recorder->records = recorder->gaps = 0;
	do {
		record(recorder->log, &recorder->names, (uint32_t)recorder->records++);
		recorder->syncs = syncs_of(recorder->log) - first_sync;
		uint64_t now;
		while (now = os_precise_ns(), now - last < PACE_NS)
			;
		recorder->gaps += now - last > GAP_NS;
		last = now;
	} while (recorder->records < records || recorder->syncs < syncs);
}

static void *run(void *arg)
{
	struct recorder *recorder = arg;
	struct rusage before, after;
	/* The first call begins the helper; from then on pages are made ready. */
	record(recorder->log, &recorder->names, 1);
	record_at_pace(recorder, WARM_UP, 1);
	trap_system_calls();
	recorder->warm = true;
	while (!recorder->go)
		;
	getrusage(RUSAGE_THREAD, &before);
	counting = true;
	record_at_pace(recorder, RECORDS, SYNCS);
	counting = false;
	getrusage(RUSAGE_THREAD, &after);
	recorder->faults = after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt;
	recorder->done = true;
	/* To end would take system calls: it ends with the process. */
	for (;;)
		;
	return NULL;
}

static void record_is_quiet(void **state)
{
	(void)state;
	static struct recorder recorder;
	pthread_t thread;
	make_directory(path);
	struct usagelog_options options = {.size = sizeof(options),
					   .segment_size_bytes = 1 << 30,
					   .flush_interval_ms = 20,
					   .flush_size_bytes = 64 << 20};
	recorder.log = open_log(path, &options);
	struct names *names = &recorder.names;
	names->strings = (struct usagelog_names){
		.provider = "openai", .model = "gpt-4o", .attributes = {.operation = "chat", .session_id = "a"}};
	assert_int_equal(usagelog_model_get(recorder.log, "openai", "gpt-4o", &names->model), 0);
	assert_int_equal(usagelog_context_get(recorder.log, &names->strings.attributes, &names->context), 0);
	assert_int_equal(pthread_create(&thread, NULL, run, &recorder), 0);
	while (!recorder.warm)
		sleep_ms(1);
	struct usagelog_stats before = stats_of(recorder.log);
	recorder.go = true;
	while (!recorder.done)
		sleep_ms(1);
	struct usagelog_stats after = stats_of(recorder.log);
	assert_int_equal(usagelog_close(recorder.log, 1000), 0);
	remove_directory(path);
	printf("%d records, %d syncs meanwhile: %ld page faults, %d system calls (the last: number %d), %d "
	       "allocations; %d times without the processor\n",
	       recorder.records, (int)recorder.syncs, recorder.faults, (int)system_calls, (int)last_system_call,
	       (int)allocations, recorder.gaps);
	assert_int_equal(after.rotations, before.rotations);
	/* A thread that is not given the processor between two syncs has a slow lane: its page may be synced under it. */
	assert_in_range(recorder.faults, 0, recorder.gaps);
	assert_int_equal(system_calls, 0);
	assert_int_equal(allocations, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(record_is_quiet)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
