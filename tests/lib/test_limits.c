/*
 * A host under its own resource limits: no signal kills it, each call is committed, held or dropped, the figures add up, the log is
 * sound, and once a limit is lifted calls are committed again. Each host is a child of its own, so that its limits end with it.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 2, CALLS = 10000, NOBODY = 65534 };

/* ---- the host: it must not use cmocka's assertions, which would go on with the parent's tests --------------------- */

struct limit {
	int resource;
	rlim_t soft;
	bool before_open;
	bool by_nobody; /* root's privileges stand above this limit */
	uint32_t flags; /* of usagelog_open() */
};

/* What a host tells of itself, in memory that its parent shares. */
struct outcome {
	int opened, flushed, closed;
	uint64_t results[3]; /* committed, held, dropped */
	uint64_t other_results;
	struct usagelog_stats limited, end;
	bool recovered;
};
static struct outcome *outcome;

static struct {
	usagelog *log;
	usagelog_model model;
	usagelog_context context;
	pthread_barrier_t begin;
	_Atomic uint64_t results[3], other_results;
} host;

/* Names are looked up before a limit is set: a new one needs memory, and says so. */
static int look_up_names(void)
{
	struct usagelog_attributes attributes = {.operation = "chat"};
	int error = usagelog_model_get(host.log, "openai", "gpt-4o", &host.model);
	return error ? error : usagelog_context_get(host.log, &attributes, &host.context);
}

static int record(uint32_t input_tokens)
{
	return usagelog_record(host.log, host.model, host.context,
			       &(struct usagelog_call){.input_tokens = input_tokens});
}

static void count(int result)
{
	if (result == 0)
		host.results[0]++;
	else if (result == USAGELOG_ERROR_HELD)
		host.results[1]++;
	else if (result == USAGELOG_ERROR_DROPPED)
		host.results[2]++;
	else
		host.other_results++;
}

static void *record_many(void *unused)
{
	pthread_barrier_wait(&host.begin);
	for (uint32_t i = 0; i < CALLS; i++)
		count(record(1));
	return unused;
}

static void set_soft_limit(int resource, rlim_t soft)
{
	struct rlimit limit;
	if (getrlimit(resource, &limit))
		_exit(2);
	limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
	if (setrlimit(resource, &limit))
		_exit(2);
}

/* The limit is lifted: it may take a retry, which comes by the clock. */
static bool recovers(void)
{
	for (int tries = 0; tries < 10000; tries++) {
		int result = record(2);
		count(result);
		if (!result)
			return true;
		sleep_ms(1);
	}
	return false;
}

static void run_host(const struct limit *limit)
{
	struct rlimit before;
	pthread_t threads[THREADS];
	struct usagelog_options options = {.size = sizeof(options),
					   .flags = limit->flags,
					   .segment_size_bytes = 1 << 20,
					   .flush_interval_ms = 5,
					   .retry_delay_ms = 5,
					   .held_count_max = 64};
	if ((limit->by_nobody && geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY)) ||
	    getrlimit(limit->resource, &before))
		_exit(2);
	signal(SIGXFSZ, SIG_DFL);
	if (limit->before_open)
		set_soft_limit(limit->resource, limit->soft);
	outcome->opened = usagelog_open(&host.log, path, &options);
	if (outcome->opened)
		_exit(0);
	/* The threads are the host's, and there before the limit is. */
	set_soft_limit(limit->resource, before.rlim_cur);
	if (look_up_names())
		_exit(2);
	pthread_barrier_init(&host.begin, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, record_many, NULL))
			_exit(2);
	outcome->limited.size = outcome->end.size = sizeof(struct usagelog_stats);
	set_soft_limit(limit->resource, limit->soft);
	pthread_barrier_wait(&host.begin);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	usagelog_flush(host.log, 10000);
	if (usagelog_stats_get(host.log, &outcome->limited))
		_exit(2);
	set_soft_limit(limit->resource, before.rlim_cur);
	outcome->recovered = recovers();
	outcome->flushed = usagelog_flush(host.log, 10000);
	if (usagelog_stats_get(host.log, &outcome->end))
		_exit(2);
	outcome->closed = usagelog_close(host.log, 10000);
	for (int i = 0; i < 3; i++)
		outcome->results[i] = host.results[i];
	outcome->other_results = host.other_results;
	_exit(0);
}

/* The next host, which has no such limit. */
static void run_next_host(void)
{
	if (usagelog_open(&host.log, path, NULL) || look_up_names() || record(1))
		_exit(1);
	_exit(usagelog_close(host.log, 10000) ? 1 : 0);
}

/* ---- and what must hold of it --------------------------------------------------------------------------------- */

static uint64_t all_dropped(const struct usagelog_stats *stats)
{
	uint64_t sum = 0;
	for (int i = 0; i < USAGELOG_CAUSES; i++)
		sum += stats->dropped[i];
	return sum;
}

static void check_sums(const struct usagelog_stats *stats)
{
	assert_int_equal(stats->attempted, stats->committed + stats->held + all_dropped(stats));
	assert_true(stats->durable <= stats->committed);
}

/* Run a host under the limit; what it told. */
static struct outcome under(struct limit limit)
{
	int status;
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(outcome, MAP_FAILED);
	if (limit.by_nobody && geteuid() == 0)
		assert_int_equal(chown(path, NOBODY, NOBODY), 0);
	uint64_t already = read_log(path).calls;
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child)
		run_host(&limit);
	assert_int_equal(waitpid(child, &status, 0), child);
	struct outcome told = *outcome;
	munmap(outcome, sizeof(*outcome));
	if (WIFSIGNALED(status))
		fail_msg("limit %d at %llu: the host was killed by signal %d", limit.resource,
			 (unsigned long long)limit.soft, WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	if (told.opened) {
		/* Refused, and nothing is broken. */
		assert_true(told.opened < 0);
		child = fork();
		assert_true(child >= 0);
		if (!child)
			run_next_host();
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		verify_log(path, already + 1);
		return told;
	}
	assert_int_equal(told.other_results, 0);
	check_sums(&told.limited);
	assert_int_equal(told.limited.attempted, THREADS * CALLS);
	assert_true(told.recovered);
	assert_int_equal(told.flushed, 0);
	assert_int_equal(told.closed, 0);
	check_sums(&told.end);
	assert_int_equal(told.end.held, 0);
	assert_int_equal(told.end.durable, told.end.committed);
	assert_int_equal(told.end.attempted, told.results[0] + told.results[1] + told.results[2]);
	/* What was called held came in later or was dropped; what was called dropped never came in. */
	assert_true(told.end.committed >= told.results[0]);
	assert_true(all_dropped(&told.end) >= told.results[2]);
	struct found found = read_log(path);
	assert_int_equal(found.calls, already + told.end.committed);
	assert_int_equal(found.damaged + found.unfinished + found.unknown, 0);
	verify_log(path, already + told.end.committed);
	return told;
}

static void file_size(void **state)
{
	(void)state;
	/* Segments end early, and calls go on in the next. */
	struct outcome told = under((struct limit){.resource = RLIMIT_FSIZE, .soft = 128 << 10});
	assert_int_equal(told.limited.committed, THREADS * CALLS);
	assert_true(told.limited.rotations > 5);
	/* No segment can be begun. */
	for (rlim_t soft = 0; soft < 64 << 10; soft = soft ? soft * 8 : 1) {
		told = under((struct limit){.resource = RLIMIT_FSIZE, .soft = soft});
		assert_int_equal(told.limited.dropped[USAGELOG_CAUSE_LIMIT], all_dropped(&told.limited));
		assert_true(told.limited.dropped[USAGELOG_CAUSE_LIMIT] > 0);
		assert_int_equal(told.limited.last_error, -EFBIG);
	}
	under((struct limit){.resource = RLIMIT_FSIZE, .soft = 0, .flags = USAGELOG_NO_HELPER});
	under((struct limit){.resource = RLIMIT_FSIZE, .soft = 0, .flags = USAGELOG_SYNCHRONOUS});
}

static void file_size_at_open(void **state)
{
	(void)state;
	for (rlim_t soft = 0; soft < 64 << 10; soft = soft ? soft * 8 : 1) {
		assert_int_equal(
			under((struct limit){.resource = RLIMIT_FSIZE, .soft = soft, .before_open = true}).opened,
			-EFBIG);
		remove_directory(path);
		make_directory(path);
	}
	assert_int_equal(under((struct limit){.resource = RLIMIT_FSIZE, .soft = 128 << 10, .before_open = true}).opened,
			 0);
}

static void locked_memory(void **state)
{
	(void)state;
	struct outcome told =
		under((struct limit){.resource = RLIMIT_MEMLOCK, .soft = 0, .by_nobody = true, .before_open = true});
	assert_int_equal(told.opened, 0);
	assert_int_equal(told.limited.committed, THREADS * CALLS);
	told = under((struct limit){.resource = RLIMIT_MEMLOCK, .soft = 0, .by_nobody = true});
	assert_int_equal(told.limited.committed, THREADS * CALLS);
}

static rlim_t lowest_free_descriptor(void)
{
	int fd = dup(STDERR_FILENO);
	assert_true(fd >= 0);
	close(fd);
	return (rlim_t)fd;
}

static void descriptors(void **state)
{
	(void)state;
	/* None left: no helper, no further segment. */
	struct outcome told = under((struct limit){.resource = RLIMIT_NOFILE, .soft = 0});
	assert_true(told.limited.committed > 0);
	assert_int_equal(told.limited.dropped[USAGELOG_CAUSE_LIMIT], all_dropped(&told.limited));
	assert_true(told.limited.dropped[USAGELOG_CAUSE_LIMIT] > 0);
	/* Whichever open is the first that fails, before and behind the log's own. */
	for (rlim_t more = 0; more < 8; more++)
		under((struct limit){.resource = RLIMIT_NOFILE, .soft = lowest_free_descriptor() + more});
	rlim_t more;
	for (more = 0; more < 16; more++) {
		told = under((struct limit){
			.resource = RLIMIT_NOFILE, .soft = lowest_free_descriptor() + more, .before_open = true});
		if (!told.opened)
			break;
		assert_int_equal(told.opened, -EMFILE);
	}
	assert_in_range(more, 1, 15);
}

static void processes(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* they have threads and processes of their own */
#endif
	/* No thread can be begun: all is done by those that record. */
	struct outcome told = under((struct limit){.resource = RLIMIT_NPROC, .soft = 0, .by_nobody = true});
	assert_int_equal(told.limited.committed, THREADS * CALLS);
}

/* Address space in use. */
static rlim_t address_space(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%llu", &pages), 1);
	fclose(file);
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void memory(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(USAGELOG_EMULATED)
	skip(); /* they take address space by the terabyte */
#endif
	/* From nothing at all to enough for some of: a lane's block, a thread's stack, a ring, a segment. */
	static const rlim_t more[] = {0, 64 << 10, 256 << 10, 1 << 20, 2 << 20, 9 << 20, 12 << 20, 64 << 20};
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		under((struct limit){.resource = RLIMIT_AS, .soft = address_space() + more[i]});
		under((struct limit){.resource = RLIMIT_AS, .soft = address_space() + more[i], .before_open = true});
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(file_size),   TEST(file_size_at_open), TEST(locked_memory),
		TEST(descriptors), TEST(processes),         TEST(memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
