/* When calls become durable: by time, by size, by flush(), by each call; with io_uring, without it, without a helper. */
#include "support.h"

#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static void by_time(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .flush_interval_ms = 20};
	usagelog *log = open_log(path, &options);
	/* Pauses longer than the interval have the helper park; each first call after one must wake it. */
	for (uint32_t i = 1; i <= 5; i++) {
		record_one(log, 1);
		wait_until(stats_of(log).durable == i);
		sleep_ms(100);
	}
	assert_true(stats_of(log).syncs >= 5);
	assert_int_equal(stats_of(log).oldest_unsynced_ms, 0);
	usagelog_close(log, 0);
	assert_int_equal(read_log(path).durable_slots, 5 + 2);
}

/* How often all threads but this one went to sleep: the helper's wake-ups. */
static long helper_switches(void)
{
	char name[300], line[256];
	long sum = 0;
	DIR *tasks = opendir("/proc/self/task");
	assert_non_null(tasks);
	for (struct dirent *task = readdir(tasks); task; task = readdir(tasks)) {
		if (task->d_name[0] == '.' || strtol(task->d_name, NULL, 10) == getpid())
			continue;
		snprintf(name, sizeof(name), "/proc/self/task/%s/status", task->d_name);
		FILE *file = fopen(name, "r");
		while (file && fgets(line, sizeof(line), file))
			if (!strncmp(line, "voluntary_ctxt_switches:", 24))
				sum += strtol(line + 24, NULL, 10);
		if (file)
			fclose(file);
	}
	closedir(tasks);
	return sum;
}

static void an_idle_helper_sleeps(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it has a thread of its own, which wakes */
#endif
	struct usagelog_options options = {.size = sizeof(options), .flush_interval_ms = 5};
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	wait_until(stats_of(log).durable == 1);
	sleep_ms(200);
	long before = helper_switches();
	sleep_ms(300);
	assert_int_equal(helper_switches(), before);
	record_one(log, 1);
	wait_until(stats_of(log).durable == 2);
	assert_true(helper_switches() > before);
	usagelog_close(log, 0);
}

/* A log that is always written to is synced once an interval, not without end. */
static void by_time_and_no_more(void **state)
{
	(void)state;
	enum { INTERVAL_MS = 20, SYNCS = 20 };
	struct usagelog_options options = {
		.size = sizeof(options), .flush_interval_ms = INTERVAL_MS, .flush_size_bytes = UINT64_MAX};
	usagelog *log = open_log(path, &options);
	uint64_t start = os_precise_ns();
	while (stats_of(log).syncs < SYNCS)
		record_one(log, 1);
	/* The clock that the helper goes by ticks each 4 ms or so. */
	uint64_t least_ms = (SYNCS - 1) * (INTERVAL_MS - 5);
	assert_true(os_precise_ns() - start >= least_ms * 1000000);
	usagelog_close(log, 0);
}

static void by_size(void **state)
{
	(void)state;
	struct usagelog_options options = {
		.size = sizeof(options), .flush_interval_ms = 3600000, .flush_size_bytes = 64 * 1024};
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 3000; i++)
		record_one(log, 1);
	wait_until(stats_of(log).durable >= 1000);
	usagelog_close(log, 0);
}

static void by_size_of_what_was_ready(void **state)
{
	(void)state;
	enum { ROUND = 2000, PAGE = 64, ENOUGH = 16 * PAGE };
	struct usagelog_options options = {
		.size = sizeof(options), .flush_interval_ms = 3600000, .flush_size_bytes = 64 * 1024};
	usagelog *log = open_log(path, &options);
	/* From the second round on the helper has made room enough, and nothing to do but to see what was stored. */
	for (uint32_t round = 1; round <= 5; round++) {
		for (int i = 0; i < ROUND; i++)
			record_one(log, 1);
		wait_until(stats_of(log).durable >= round * ROUND - ENOUGH - PAGE);
	}
	usagelog_close(log, 0);
}

static void by_flush(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .flush_interval_ms = 3600000};
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 1; i <= 300; i++) {
		record_one(log, 1);
		assert_int_equal(usagelog_flush(log, 10000), 0);
		assert_int_equal(stats_of(log).durable, i);
	}
	assert_int_equal(usagelog_flush(log, 10000), 0);
	usagelog_close(log, 0);
}

/* What another handle left unsynced in a segment that is adopted becomes durable with the first flush, though nothing is added. */
static void of_what_is_adopted(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_NO_HELPER};
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 0; i < 200; i++)
		record_one(log, 1);
	usagelog_close(log, 0);
	assert_int_equal(read_log(path).durable_slots, 0);
	log = open_log(path, &options);
	assert_int_equal(usagelog_flush(log, 1000), 0);
	assert_int_equal(read_log(path).segments, 1);
	assert_int_equal(read_log(path).durable_slots, 200 + 2);
	usagelog_close(log, 0);
}

static void without_waiting(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .flush_interval_ms = 3600000};
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	int error = usagelog_flush(log, 0);
	assert_true(error == 0 || error == USAGELOG_ERROR_TIMEOUT);
	wait_until(stats_of(log).durable == 1);
	usagelog_close(log, 0);
}

static void backend_by(const char *wish, uint32_t flags, int expected)
{
	setenv("USAGELOG_BACKEND", wish, 1);
	struct usagelog_options options = {.size = sizeof(options), .flags = flags, .segment_size_bytes = 1 << 20};
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 50000; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 10000), 0);
	struct usagelog_stats stats = stats_of(log);
	assert_int_equal(stats.durable, 50000);
	assert_int_equal(stats.backend, expected);
	assert_int_equal(stats.backend_error, 0);
	usagelog_close(log, 1000);
	unsetenv("USAGELOG_BACKEND");
}

static void with_system_calls(void **state)
{
	(void)state;
	backend_by("syscall", 0, USAGELOG_BACKEND_SYSCALL);
	backend_by("", USAGELOG_NO_URING, USAGELOG_BACKEND_SYSCALL);
	assert_int_equal(read_log(path).calls, 100000);
}

static void without_a_helper(void **state)
{
	(void)state;
	backend_by("", USAGELOG_NO_HELPER, USAGELOG_BACKEND_NONE);
	assert_int_equal(read_log(path).calls, 50000);
}

static void *record_durably(void *arg)
{
	for (int i = 0; i < 50; i++)
		record_one(arg, 1);
	return NULL;
}

static void synchronous(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_SYNCHRONOUS};
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 1; i <= 20; i++) {
		record_one(log, 1);
		assert_int_equal(stats_of(log).durable, i);
	}
	pthread_t threads[8];
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, record_durably, log), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	struct usagelog_stats stats = stats_of(log);
	assert_int_equal(stats.committed, 420);
	assert_int_equal(stats.durable, 420);
	assert_true(stats.syncs < 420); /* callers at the same time shared */
	assert_int_equal(stats.backend, USAGELOG_BACKEND_NONE);
	usagelog_close(log, 0);
	assert_int_equal(read_log(path).durable_slots, read_log(path).calls + read_log(path).definitions);
}

static void *flush_many(void *arg)
{
	for (int i = 0; i < 30; i++) {
		record_one(arg, 1);
		if (usagelog_flush(arg, 10000))
			return arg;
	}
	return NULL;
}

static void many_flush_at_once(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .flush_interval_ms = 3600000};
	usagelog *log = open_log(path, &options);
	pthread_t threads[8];
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, flush_many, log), 0);
	for (int i = 0; i < 8; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(stats_of(log).durable, 240);
	usagelog_close(log, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(by_time),         TEST(an_idle_helper_sleeps),     TEST(by_time_and_no_more),
		TEST(by_size),         TEST(by_size_of_what_was_ready), TEST(by_flush),
		TEST(without_waiting), TEST(with_system_calls),         TEST(without_a_helper),
		TEST(synchronous),     TEST(many_flush_at_once),        TEST(of_what_is_adopted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
