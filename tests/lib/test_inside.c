/*
 * What others may do while a call is between its claim and its commit. The page that it is about to store to is made read-only, so that its store
 * faults; what is to come in between runs in the handler of that fault, which makes the page writable again: then the store is repeated. And
 * what others do while they park its lane, seen at the barrier, which is a system call.
 */
#include "support.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "handle.h"
#include "os.h"

static usagelog *log_inside;
static usagelog_model model;

/* What comes in between; NULL: it has come. */
static void (*between)(void);
static void *page;
static struct sigaction before;

static void handle_fault(int signal, siginfo_t *info, void *context)
{
	void (*run)(void) = between;
	(void)signal;
	(void)context;
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	/* Another fault than the one that is waited for comes again, and ends the test. */
	sigaction(SIGSEGV, &before, NULL);
	if ((uintptr_t)info->si_addr / page_bytes != (uintptr_t)page / page_bytes)
		return;
	between = NULL;
	mprotect(page, page_bytes, PROT_READ | PROT_WRITE);
	run();
}

/* With one call in it, of this model, which does no more than it has to by itself. */
static void begin(uint32_t flags)
{
	struct usagelog_options options = {.size = sizeof(options), .flags = flags, .flush_interval_ms = 3600000};
	log_inside = open_log(path, &options);
	assert_int_equal(usagelog_model_get(log_inside, "openai", "gpt-4o", &model), 0);
	assert_int_equal(
		usagelog_record(log_inside, model, (usagelog_context){0}, &(struct usagelog_call){.input_tokens = 1}),
		0);
}

/* Record one call, of two tokens, with this in between. */
static int record_with(void (*run)(void))
{
	const struct ul_lane *lane = ul_thread.lane;
	struct sigaction action = {.sa_sigaction = handle_fault, .sa_flags = SA_SIGINFO};
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t place = (uintptr_t)&lane->slots[atomic_load(&lane->next)];
	assert_true(atomic_load(&lane->next) < atomic_load(&lane->limit));
	page = (void *)(place / page_bytes * page_bytes);
	between = run;
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	assert_int_equal(mprotect(page, page_bytes, PROT_READ), 0);
	int result =
		usagelog_record(log_inside, model, (usagelog_context){0}, &(struct usagelog_call){.input_tokens = 2});
	assert_null(between);
	return result;
}

static void in_a_thread(void *(*run)(void *))
{
	pthread_t thread;
	if (!pthread_create(&thread, NULL, run, NULL))
		pthread_join(thread, NULL);
}

/* ---- a flush ------------------------------------------------------------------------------------------------ */

static int flushed = -1;
static struct usagelog_stats then = {.size = sizeof(then)};

static void *flush(void *unused)
{
	flushed = usagelog_flush(log_inside, 10000);
	usagelog_stats_get(log_inside, &then);
	return unused;
}

static void flush_between(void)
{
	in_a_thread(flush);
}

static void a_flush_does_not_call_it_durable(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it allows next to nothing in a signal handler */
#endif
	begin(USAGELOG_NO_HELPER);
	assert_int_equal(record_with(flush_between), 0);
	assert_int_equal(flushed, 0);
	/* Claimed, it is counted as committed; but it was not when the sync began. */
	assert_int_equal(then.committed, 2);
	assert_int_equal(then.durable, 1);
	assert_int_equal(usagelog_flush(log_inside, 10000), 0);
	assert_int_equal(stats_of(log_inside).durable, 2);
	assert_int_equal(usagelog_close(log_inside, 1000), 0);
	assert_int_equal(read_log(path).calls, 2);
}

/* ---- a close ------------------------------------------------------------------------------------------------ */

static pthread_t closer;
static sem_t waits_or_ended;
static _Atomic bool watches_pauses, waited;
static _Atomic int closed;

void __real_os_pause(void);
void __wrap_os_pause(void);

void __wrap_os_pause(void)
{
	if (watches_pauses && !atomic_exchange(&waited, true))
		sem_post(&waits_or_ended);
	__real_os_pause();
}

static void *close_it(void *unused)
{
	watches_pauses = true;
	closed = usagelog_close(log_inside, -1);
	watches_pauses = false;
	sem_post(&waits_or_ended);
	return unused;
}

/* Comes back once the close waits; or is over, which it must not be. */
static void close_between(void)
{
	if (!pthread_create(&closer, NULL, close_it, NULL))
		while (sem_wait(&waits_or_ended))
			;
}

static void a_close_waits_for_it(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it allows next to nothing in a signal handler */
#endif
	begin(USAGELOG_NO_HELPER);
	sem_init(&waits_or_ended, 0, 0);
	closed = 1;
	assert_int_equal(record_with(close_between), 0);
	assert_true(waited);
	pthread_join(closer, NULL);
	assert_int_equal(closed, 0);
	assert_int_equal(read_log(path).calls, 2);
	assert_int_equal(read_log(path).durable_slots, 3);
}

static void *close_without_patience(void *unused)
{
	closed = usagelog_close(log_inside, 0);
	return unused;
}

static void close_between_without_patience(void)
{
	in_a_thread(close_without_patience);
}

/* A thread that does not run, of which nobody knows when it will: the close gives up after a second, and nothing is taken away. */
static void a_close_that_gives_up_leaves_it_what_it_uses(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it allows next to nothing in a signal handler */
#endif
	begin(USAGELOG_NO_HELPER);
	assert_int_equal(record_with(close_between_without_patience), 0);
	assert_int_equal(closed, 0);
	assert_int_equal(read_log(path).calls, 2);
}

/* ---- a handler that records --------------------------------------------------------------------------------- */

static int from_handler;

/* Of a name that has no definition yet: it would take the lane that is in use elsewhere, maybe to another page. */
static void record_between(void)
{
	struct usagelog_names names = {.provider = "openai", .model = "new"};
	from_handler = usagelog_record_names(log_inside, &names, &(struct usagelog_call){.input_tokens = 3});
}

static void a_handler_takes_no_lane_that_is_in_use(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it allows next to nothing in a signal handler */
#endif
	begin(USAGELOG_NO_HELPER);
	assert_int_equal(record_with(record_between), 0);
	assert_int_equal(from_handler, USAGELOG_ERROR_DROPPED);
	assert_int_equal(stats_of(log_inside).dropped[USAGELOG_CAUSE_REENTERED], 1);
	assert_int_equal(stats_of(log_inside).committed, 2);
	assert_int_equal(usagelog_close(log_inside, 1000), 0);
	assert_int_equal(read_log(path).calls, 2);
	assert_int_equal(count_calls(path, 2), 1);
}

/* ---- lanes are parked --------------------------------------------------------------------------------------- */

static bool sure;

static void park(void)
{
	ul_lock(log_inside);
	sure = ul_lanes_park(log_inside);
	ul_unlock(log_inside);
}

static bool is_parked(void)
{
	ul_lock(log_inside);
	bool parked = log_inside->parked;
	ul_unlock(log_inside);
	return parked;
}

static void it_wakes_who_parked_its_lane(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it allows next to nothing in a signal handler */
#endif
	begin(0);
	assert_int_equal(record_with(park), 0);
	assert_false(is_parked());
	/* As a call does that finds its lane parked when it begins. */
	park();
	assert_true(is_parked());
	record_one(log_inside, 1);
	assert_false(is_parked());
	assert_int_equal(usagelog_close(log_inside, 10000), 0);
	assert_int_equal(read_log(path).calls, 3);
}

static struct ul_lane *lane_at_barrier;
static uint32_t barriers, parked_at_barrier;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long first, long second, long third, long fourth, long fifth, long sixth);

/* At the first barrier the lane is given a limit once more, by a thread that did not see it parked. */
long __wrap_syscall(long number, long first, long second, long third, long fourth, long fifth, long sixth)
{
	if (number == SYS_membarrier && first == MEMBARRIER_CMD_PRIVATE_EXPEDITED && lane_at_barrier) {
		parked_at_barrier += atomic_load(&lane_at_barrier->limit) == UL_PARKED && log_inside->parked;
		if (!barriers++)
			atomic_store(&lane_at_barrier->limit, lane_at_barrier->page_end);
	}
	return __real_syscall(number, first, second, third, fourth, fifth, sixth);
}

static void a_lane_is_parked_until_every_thread_sees_it(void **state)
{
	(void)state;
	begin(USAGELOG_NO_HELPER);
	lane_at_barrier = ul_thread.lane;
	barriers = parked_at_barrier = 0;
	park();
	struct ul_lane *lane = lane_at_barrier;
	lane_at_barrier = NULL;
	assert_int_equal(atomic_load(&lane->limit), UL_PARKED);
	if (sure) { /* else this kernel has none */
		assert_int_equal(barriers, 2);
		assert_int_equal(parked_at_barrier, 2);
	}
	assert_int_equal(usagelog_close(log_inside, 1000), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(a_flush_does_not_call_it_durable),
		TEST(a_close_waits_for_it),
		TEST(a_close_that_gives_up_leaves_it_what_it_uses),
		TEST(a_handler_takes_no_lane_that_is_in_use),
		TEST(it_wakes_who_parked_its_lane),
		TEST(a_lane_is_parked_until_every_thread_sees_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
