/*
 * A program opens its log, then becomes a daemon: two forks, and the parents leave. The handle works on in each process, which
 * writes to a segment of its own, and no call is there twice or missing.
 */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format.h"

/* Calls of each process, told by their input tokens. */
enum { STARTER = 1, SESSION = 2, DAEMON = 3 };
enum { STARTER_CALLS = 3, SESSION_CALLS = 5, THREADS = 2, THREAD_CALLS = 500 };

/* ---- the program: it must not use cmocka's assertions, which would go on with the parent's tests ------------------ */

static usagelog *shared;

static bool record(uint32_t process, int count)
{
	struct usagelog_names names = {.provider = "openai", .model = "gpt-4o", .attributes = {.operation = "chat"}};
	int failed = 0;
	for (int i = 0; i < count; i++)
		failed += usagelog_record_names(shared, &names, &(struct usagelog_call){.input_tokens = process}) != 0;
	return !failed;
}

static void *record_some(void *unused)
{
	(void)unused;
	return record(DAEMON, THREAD_CALLS) ? NULL : &shared;
}

/* What the daemon has to tell when it is done. */
struct told {
	bool recorded;
	int closed;
	struct usagelog_stats stats;
};

static void be_daemon(int out)
{
	pthread_t threads[THREADS];
	struct told told = {.recorded = true, .stats = {.size = sizeof(told.stats)}};
	int null = open("/dev/null", O_RDWR);
	/* As daemons do; a handle has no business with these. */
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	if (chdir("/"))
		_exit(1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, record_some, NULL))
			_exit(1);
	for (int i = 0; i < THREADS; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		told.recorded &= !failed;
	}
	usagelog_stats_get(shared, &told.stats);
	told.closed = usagelog_close(shared, 10000);
	_exit(write(out, &told, sizeof(told)) == sizeof(told) ? 0 : 1);
}

/* What a parent does once its child is there. */
enum parents {
	LEAVE, /* _exit(): the handle is left open */
	CLOSE, /* close its own handle, which must not touch the child's */
	STAY,  /* until the child is done, so that nobody adopts a segment */
};

static void leave(enum parents parents, pid_t child)
{
	if (child < 0)
		_exit(1);
	if (parents == CLOSE && usagelog_close(shared, 10000))
		_exit(1);
	if (parents == STAY)
		waitpid(child, NULL, 0);
	_exit(0);
}

static void start(enum parents parents, int out)
{
	struct usagelog_options options = {.size = sizeof(options), .flush_interval_ms = 5};
	if (usagelog_open(&shared, path, &options) || !record(STARTER, STARTER_CALLS))
		_exit(1);
	pid_t child = fork();
	if (child)
		leave(parents, child);
	if (setsid() < 0 || !record(SESSION, SESSION_CALLS))
		_exit(1);
	child = fork();
	if (child)
		leave(parents, child);
	be_daemon(out);
}

/* ---- and what must hold of it --------------------------------------------------------------------------------- */

struct segment_calls {
	uint64_t by[DAEMON + 1];
};

static int visit(void *arg, const struct usagelog_slot *shown)
{
	struct segment_calls *calls = arg;
	struct ul_slot slot;
	memcpy(&slot, shown->bytes, sizeof(slot));
	if (shown->state == USAGELOG_SLOT_VALID && ul_slot_kind(&slot) == UL_KIND_CALL)
		calls->by[slot.body.call.input_tokens % (DAEMON + 1)]++;
	return 0;
}

/* The processes that have calls in the n-th segment. */
static int writers_of(size_t n)
{
	char name[512];
	usagelog_segment *segment;
	struct segment_calls calls = {{0}};
	int writers = 0;
	find_file(path, ".seg", n, name);
	assert_int_equal(usagelog_segment_open(&segment, name), 0);
	assert_int_equal(usagelog_segment_visit(segment, visit, &calls), 0);
	usagelog_segment_close(segment);
	for (int process = 0; process <= DAEMON; process++)
		writers += calls.by[process] > 0;
	return writers;
}

static void become_a_daemon(enum parents parents)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(USAGELOG_EMULATED)
	skip(); /* they allow no thread, or no allocation, in the child of a process with threads */
#endif
	enum { ALL = STARTER_CALLS + SESSION_CALLS + THREADS * THREAD_CALLS };
	struct told told = {0};
	int pipes[2], status;
	assert_int_equal(pipe(pipes), 0);
	pid_t starter = fork();
	assert_true(starter >= 0);
	if (!starter)
		start(parents, pipes[1]);
	close(pipes[1]);
	assert_int_equal(waitpid(starter, &status, 0), starter);
	assert_int_equal(status, 0);
	/* It is nobody's child now: it is done when it tells so, and gone when the pipe ends. */
	assert_int_equal(read(pipes[0], &told, sizeof(told)), sizeof(told));
	assert_int_equal(read(pipes[0], &status, sizeof(status)), 0);
	close(pipes[0]);
	assert_true(told.recorded);
	assert_int_equal(told.closed, 0);
	assert_int_equal(told.stats.attempted, THREADS * THREAD_CALLS);
	assert_int_equal(told.stats.committed, THREADS * THREAD_CALLS);
	assert_int_equal(count_calls(path, STARTER), STARTER_CALLS);
	assert_int_equal(count_calls(path, SESSION), SESSION_CALLS);
	assert_int_equal(count_calls(path, DAEMON), THREADS * THREAD_CALLS);
	struct found found = read_log(path);
	assert_int_equal(found.calls, ALL);
	assert_int_equal(found.unfinished + found.damaged + found.unknown, 0);
	verify_log(path, ALL);
}

static void whose_parents_stay(void **state)
{
	(void)state;
	become_a_daemon(STAY);
	size_t segments = count_files(path, ".seg");
	assert_int_equal(segments, 3);
	for (size_t n = 0; n < segments; n++)
		assert_int_equal(writers_of(n), 1);
}

static void whose_parents_leave(void **state)
{
	(void)state;
	become_a_daemon(LEAVE);
	/* What a parent left may have been adopted. */
	assert_in_range(count_files(path, ".seg"), 1, 3);
}

static void whose_parents_close(void **state)
{
	(void)state;
	become_a_daemon(CLOSE);
	assert_in_range(count_files(path, ".seg"), 1, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(whose_parents_stay),
		TEST(whose_parents_leave),
		TEST(whose_parents_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
