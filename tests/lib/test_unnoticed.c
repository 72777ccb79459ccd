/*
 * What a host must not notice of the library: its own system calls are never interrupted, its signals go to its own threads, and there
 * is one thread more, from the first call on, that sleeps when there is nothing to do.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { SYNCS = 400, TASKS_MAX = 64 };

/* ---- system calls of the host ------------------------------------------------------------------------------- */

static usagelog *shared;
static _Atomic bool waiting;
static _Atomic uint64_t waits, interruptions, failed_records;

/* Each returns what a system call said. They time out: what is looked for is another way of ending. */
static int wait_by_epoll(int fd)
{
	struct epoll_event event;
	return epoll_wait(fd, &event, 1, 3);
}

static int wait_by_nanosleep(int unused)
{
	(void)unused;
	return nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
}

static int wait_by_poll(int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN};
	return poll(&polled, 1, 3);
}

static int wait_by_semaphore(int unused)
{
	sem_t semaphore;
	struct timespec until;
	(void)unused;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 3000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	sem_init(&semaphore, 0, 0);
	int result = sem_timedwait(&semaphore, &until);
	return result && errno == ETIMEDOUT ? 0 : result;
}

static int (*kinds[])(int) = {wait_by_epoll, wait_by_nanosleep, wait_by_poll, wait_by_semaphore};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* Records before each wait, so that whatever the library began for this thread would end in its wait. */
static void *record_and_wait(void *arg)
{
	int (*wait)(int) = *(int (**)(int))arg;
	struct usagelog_names names = {.provider = "openai", .model = "gpt-4o"};
	struct epoll_event event = {.events = EPOLLIN};
	int never = eventfd(0, EFD_CLOEXEC), epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epoll, EPOLL_CTL_ADD, never, &event);
	while (waiting) {
		/* Enough for a page now and then, for an extension, for a rotation. */
		for (uint32_t i = 0; i < 50; i++)
			failed_records += usagelog_record_names(shared, &names, &(struct usagelog_call){0}) != 0;
		errno = 0;
		if (wait(wait == wait_by_epoll ? epoll : never) < 0) {
			interruptions += errno == EINTR;
			failed_records += errno != EINTR;
		}
		waits++;
	}
	close(epoll);
	close(never);
	return NULL;
}

static void system_calls_are_not_interrupted(void **state)
{
	(void)state;
	struct usagelog_options options = {
		.size = sizeof(options), .segment_size_bytes = 1 << 20, .flush_interval_ms = 5};
	pthread_t threads[KINDS];
	shared = open_log(path, &options);
	waiting = true;
	for (int i = 0; i < KINDS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, record_and_wait, &kinds[i]), 0);
	/* The work decides when it is enough, not the time. */
	for (uint64_t syncs = 0, last = 0, still = 0; syncs < SYNCS; syncs = stats_of(shared).syncs) {
		still = syncs == last ? still + 1 : 0;
		assert_true(still < 1000);
		last = syncs;
		/* This thread waits, too; and flushes, which its helper must not answer with a signal. */
		assert_int_equal(poll(NULL, 0, 10), 0);
		assert_int_equal(usagelog_flush(shared, 10000), 0);
	}
	waiting = false;
	for (int i = 0; i < KINDS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(interruptions, 0);
	assert_int_equal(failed_records, 0);
	assert_true(waits > SYNCS);
	assert_int_equal(stats_of(shared).committed, waits * 50);
	assert_true(stats_of(shared).rotations > 0);
	assert_int_equal(usagelog_close(shared, 10000), 0);
}

/* ---- the helper's thread ------------------------------------------------------------------------------------- */

/*
 * Is a task one of the kernel's own, which io_uring begins for what would block, and ends again? By its flags (proc(5), stat, field 9), which
 * it has from its first moment on: it is named only when it runs. PF_IO_WORKER, of the kernel's include/linux/sched.h since Linux 5.12.
 */
static bool is_of_kernel(const char *task)
{
	enum { PF_IO_WORKER = 0x10 };
	char name[300], line[512] = "";
	unsigned flags = 0;
	snprintf(name, sizeof(name), "/proc/self/task/%s/stat", task);
	FILE *file = fopen(name, "r");
	if (!file)
		return true; /* it has ended */
	char *read = fgets(line, sizeof(line), file);
	fclose(file);
	if (!read)
		return true;
	char *fields = strrchr(line, ')');
	assert_non_null(fields);
	assert_int_equal(sscanf(fields, ") %*c %*d %*d %*d %*d %*d %u", &flags), 1);
	return flags & PF_IO_WORKER;
}

/* The threads of this process; how many there are. */
static size_t list_tasks(long tasks[TASKS_MAX])
{
	size_t count = 0;
	DIR *directory = opendir("/proc/self/task");
	assert_non_null(directory);
	for (struct dirent *task = readdir(directory); task; task = readdir(directory))
		if (task->d_name[0] != '.' && count < TASKS_MAX && !is_of_kernel(task->d_name))
			tasks[count++] = strtol(task->d_name, NULL, 10);
	closedir(directory);
	return count;
}

static size_t count_tasks(void)
{
	long tasks[TASKS_MAX];
	return list_tasks(tasks);
}

/* The one that is there beside `before`. */
static long find_helper(const long *before, size_t count_before)
{
	long tasks[TASKS_MAX], found = 0;
	size_t count = list_tasks(tasks);
	assert_int_equal(count, count_before + 1);
	for (size_t i = 0; i < count; i++) {
		bool known = false;
		for (size_t j = 0; j < count_before; j++)
			known |= tasks[i] == before[j];
		if (!known)
			found = tasks[i];
	}
	assert_true(found > 0);
	return found;
}

/* A field of a thread's status, as a number in this base. */
static unsigned long long task_status(long task, const char *field, int base)
{
	char name[64], line[256];
	unsigned long long value = 0;
	bool found = false;
	snprintf(name, sizeof(name), "/proc/self/task/%ld/status", task);
	FILE *file = fopen(name, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, field, strlen(field)) != 0)
			continue;
		value = strtoull(line + strlen(field), NULL, base);
		found = true;
	}
	fclose(file);
	assert_true(found);
	return value;
}

static void the_helper_begins_with_the_first_call(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it begins a thread of its own with ours */
#endif
	long before[TASKS_MAX];
	usagelog_model model;
	size_t count_before = list_tasks(before);
	usagelog *log = open_log(path, NULL);
	assert_int_equal(usagelog_model_get(log, "openai", "gpt-4o", &model), 0);
	stats_of(log);
	assert_int_equal(usagelog_flush(log, 1000), 0);
	assert_int_equal(count_tasks(), count_before);
	for (int i = 0; i < 1000; i++)
		record_one(log, 1);
	assert_int_equal(count_tasks(), count_before + 1);
	assert_int_equal(usagelog_close(log, 1000), 0);
	/* Joined, it may still be on its way out of the process's list. */
	wait_until(count_tasks() == count_before);
}

static void no_helper_where_none_is_wanted(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it begins a thread of its own with ours */
#endif
	static const uint32_t flags[] = {USAGELOG_NO_HELPER, USAGELOG_SYNCHRONOUS};
	size_t before = count_tasks();
	for (size_t i = 0; i < 2; i++) {
		struct usagelog_options options = {.size = sizeof(options), .flags = flags[i]};
		usagelog *log = open_log(path, &options);
		for (int call = 0; call < 200; call++)
			record_one(log, 1);
		assert_int_equal(count_tasks(), before);
		assert_int_equal(usagelog_close(log, 10000), 0);
		assert_int_equal(count_tasks(), before);
	}
}

static void the_helper_takes_no_signal(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it begins a thread of its own with ours */
#endif
#if defined(USAGELOG_EMULATED)
	skip(); /* the emulator keeps the mask for itself */
#endif
	long before[TASKS_MAX];
	size_t count_before = list_tasks(before);
	usagelog *log = open_log(path, NULL);
	record_one(log, 1);
	long helper = find_helper(before, count_before);
	/* glibc blocks them, too, while a thread begins: let it do some work first. */
	assert_int_equal(usagelog_flush(log, 10000), 0);
	/* SIGKILL and SIGSTOP cannot be blocked, and glibc keeps 32 and 33 for itself, which nobody else sends. SIGBUS is of its own accesses. */
	unsigned long long free_ones =
		1ULL << (SIGBUS - 1) | 1ULL << (9 - 1) | 1ULL << (19 - 1) | 1ULL << (32 - 1) | 1ULL << (33 - 1);
	assert_int_equal(task_status(helper, "SigBlk:", 16) | free_ones, ~0ULL);
	/* The host's own mask is as it was. */
	assert_int_equal(task_status(getpid(), "SigBlk:", 16), 0);
	assert_int_equal(usagelog_close(log, 1000), 0);
}

static void an_idle_helper_never_wakes(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it begins a thread of its own with ours */
#endif
	enum { INTERVAL_MS = 50 };
	long before[TASKS_MAX];
	size_t count_before = list_tasks(before);
	struct usagelog_options options = {.size = sizeof(options), .flush_interval_ms = INTERVAL_MS};
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	long helper = find_helper(before, count_before);
	wait_until(stats_of(log).durable == 1);
	/* It has parked once it slept through three intervals: before that it looks again after one. */
	unsigned long long switches = task_status(helper, "voluntary_ctxt_switches:", 10), last = 0;
	for (int tries = 0; tries < 100 && switches != last; tries++) {
		last = switches;
		sleep_ms(3 * INTERVAL_MS);
		switches = task_status(helper, "voluntary_ctxt_switches:", 10);
	}
	assert_int_equal(switches, last);
	/* That nothing happens can only be seen by waiting. */
	sleep_ms(20 * INTERVAL_MS);
	assert_int_equal(task_status(helper, "voluntary_ctxt_switches:", 10), switches);
	record_one(log, 1);
	wait_until(stats_of(log).durable == 2);
	assert_true(task_status(helper, "voluntary_ctxt_switches:", 10) > switches);
	assert_int_equal(usagelog_close(log, 1000), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(system_calls_are_not_interrupted), TEST(the_helper_begins_with_the_first_call),
		TEST(no_helper_where_none_is_wanted),   TEST(the_helper_takes_no_signal),
		TEST(an_idle_helper_never_wakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
