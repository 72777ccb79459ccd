/* Many threads, many handles, forked children: each call once, no page wasted, no lock left behind. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "handle.h"
#include "os.h"
#include "reader.h"

enum { THREADS = 8, CALLS = 20000 };

static void *record_many(void *arg)
{
	for (uint32_t i = 0; i < CALLS; i++) {
		struct usagelog_names names = {
			.provider = "p", .model = i % 2 ? "a" : "b", .attributes = {.session_id = i % 3 ? "x" : "y"}};
		if (usagelog_record_names(arg, &names, &(struct usagelog_call){.input_tokens = 1}))
			return arg;
	}
	return NULL;
}

static void threads_share_a_handle(void **state)
{
	(void)state;
	struct usagelog_options options = {
		.size = sizeof(options), .segment_size_bytes = 1 << 20, .flush_interval_ms = 5};
	usagelog *log = open_log(path, &options);
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, record_many, log), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(usagelog_flush(log, -1), 0);
	struct usagelog_stats stats = stats_of(log);
	assert_int_equal(stats.committed, THREADS * CALLS);
	assert_int_equal(stats.durable, THREADS * CALLS);
	assert_int_equal(usagelog_close(log, 1000), 0);
	struct found found = read_log(path);
	assert_int_equal(found.calls, THREADS * CALLS);
	assert_int_equal(found.input_tokens, THREADS * CALLS);
	assert_int_equal(found.unfinished + found.damaged + found.unknown, 0);
	/* All that is there is known durable: the page tables say so. */
	assert_int_equal(found.durable_slots, found.calls + found.definitions + found.continuations + found.paddings);
}

struct closed_under {
	usagelog *log;
	_Atomic uint32_t *started;
	int how;
	uint64_t committed;
	int error;
};

/* Use a handle until it is closed under this thread. */
static void *record_until_closed(void *arg)
{
	struct closed_under *user = arg;
	struct usagelog_names names = {.provider = "p", .model = "m", .attributes = {.operation = "chat"}};
	struct usagelog_call call = {.input_tokens = 1};
	usagelog_model model = {0};
	user->error = usagelog_model_get(user->log, "p", "n", &model);
	for (bool first = true; !user->error; first = false) {
		user->error = user->how ? usagelog_record_names(user->log, &names, &call)
					: usagelog_record(user->log, model, (usagelog_context){0}, &call);
		user->committed += !user->error;
		if (user->how == 2 && !user->error) {
			struct usagelog_stats stats = {.size = sizeof(stats)};
			user->error = usagelog_stats_get(user->log, &stats);
			if (!user->error)
				user->error = usagelog_flush(user->log, -1);
		}
		if (first)
			atomic_fetch_add(user->started, 1);
	}
	/* And it stays so. */
	int again = usagelog_record_names(user->log, &names, &call);
	user->error = again == user->error ? again : 0;
	return NULL;
}

static void a_handle_may_be_closed_while_others_record(void **state)
{
	(void)state;
	enum { ROUNDS = 100, USERS = 4 };
	uint64_t committed = 0;
	for (int round = 0; round < ROUNDS; round++) {
		struct usagelog_options options = {
			.size = sizeof(options), .segment_size_bytes = 1 << 20, .flush_interval_ms = 1 + round % 5};
		_Atomic uint32_t started = 0;
		struct closed_under users[USERS];
		pthread_t threads[USERS];
		usagelog *log = open_log(path, &options);
		for (int i = 0; i < USERS; i++) {
			users[i] = (struct closed_under){.log = log, .started = &started, .how = i % 3};
			assert_int_equal(pthread_create(&threads[i], NULL, record_until_closed, &users[i]), 0);
		}
		while (atomic_load(&started) < USERS)
			sched_yield();
		assert_int_equal(usagelog_close(log, -1), 0);
		for (int i = 0; i < USERS; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(users[i].error, USAGELOG_ERROR_CLOSED);
			committed += users[i].committed;
		}
		assert_int_equal(usagelog_close(log, 0), USAGELOG_ERROR_CLOSED);
	}
	struct found found = read_log(path);
	assert_int_equal(found.calls, committed);
	assert_int_equal(found.unfinished + found.damaged + found.unknown, 0);
	assert_int_equal(found.durable_slots, found.calls + found.definitions + found.continuations + found.paddings);
}

/* How many units of memory differ, all of this size but the last; which is the last of them. */
static size_t count_changed(const void *memory, const void *before, size_t bytes, size_t unit, size_t *last)
{
	size_t changed = 0;
	for (size_t at = 0; at < bytes; at += unit) {
		size_t length = bytes - at < unit ? bytes - at : unit;
		if (memcmp((const uint8_t *)memory + at, (const uint8_t *)before + at, length) == 0)
			continue;
		changed++;
		*last = at / unit;
	}
	return changed;
}

/* Of memory that threads share, a record writes none; a page of 64, the one line where pages are taken. So more threads cost each other nothing. */
static void what_a_record_writes(void **state)
{
	(void)state;
	enum { PAGES = 5 };
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_NO_HELPER};
	static struct usagelog handle;
	static uint8_t lanes[UL_LANES_A_BLOCK * sizeof(struct ul_lane)];
	usagelog *log = open_log(path, &options);
	usagelog_model model;
	struct usagelog_call call = {.input_tokens = 1};
	assert_int_equal(usagelog_model_get(log, "p", "m", &model), 0);
	/* The first page, with the definition, is filled: from here on all are alike. */
	struct ul_segment *segment = atomic_load(&log->current);
	size_t segment_bytes = sizeof(*segment) + (log->names.index_mask + 1) * sizeof(segment->definitions[0]);
	while (atomic_load(&segment->next_page) < segment->first_page + 2)
		assert_int_equal(usagelog_record(log, model, (usagelog_context){0}, &call), 0);
	ul_segment_publish(segment, segment->first_page + 200); /* as if the helper had them ready */
	assert_int_equal(os_extend(segment->fd, 0, (segment->first_page + 200) * (uint64_t)UL_PAGE_BYTES, true), 0);
	uint8_t *segment_before = malloc(segment_bytes);
	assert_non_null(segment_before);
	memcpy(&handle, log, sizeof(handle));
	memcpy(lanes, log->lane_blocks[0], sizeof(lanes));
	memcpy(segment_before, segment, segment_bytes);
	for (int i = 1; i < UL_PAGE_SLOTS; i++)
		assert_int_equal(usagelog_record(log, model, (usagelog_context){0}, &call), 0);
	assert_memory_equal(log, &handle, sizeof(handle));
	assert_memory_equal(segment, segment_before, segment_bytes);
	/* Of its own, its lane's first line: any lane, for the handle may be one that other threads used before. */
	size_t line = 0, lane = 0, last = 0;
	assert_int_equal(count_changed(log->lane_blocks[0], lanes, sizeof(lanes), 64, &line), 1);
	assert_int_equal(count_changed(log->lane_blocks[0], lanes, sizeof(lanes), sizeof(struct ul_lane), &lane), 1);
	assert_int_equal(line * 64, lane * sizeof(struct ul_lane));
	for (int i = 0; i < PAGES * UL_PAGE_SLOTS; i++)
		assert_int_equal(usagelog_record(log, model, (usagelog_context){0}, &call), 0);
	assert_memory_equal(log, &handle, sizeof(handle));
	assert_int_equal(count_changed(segment, segment_before, segment_bytes, 64, &line), 1);
	assert_int_equal(line * 64, offsetof(struct ul_segment, next_page));
	assert_int_equal(count_changed(log->lane_blocks[0], lanes, sizeof(lanes), sizeof(struct ul_lane), &last), 1);
	assert_int_equal(last, lane);
	free(segment_before);
	assert_int_equal(usagelog_close(log, -1), 0);
}

/* Handles are kept for later opens: threads that used them before go on in those. */
static void handles_are_used_again(void **state)
{
	(void)state;
	usagelog *first = open_log(path, NULL), *second = NULL;
	record_one(first, 1);
	assert_int_equal(usagelog_close(first, -1), 0);
	for (int i = 0; i < 100; i++) {
		second = open_log(path, NULL);
		assert_ptr_equal(first, second);
		record_one(second, 1);
		assert_int_equal(stats_of(second).committed, 1);
		assert_int_equal(usagelog_close(second, i % 2 ? -1 : 0), 0);
	}
	assert_int_equal(read_log(path).calls, 101);
}

static void *record_once(void *arg)
{
	record_one(arg, 1);
	return NULL;
}

static void a_thread_goes_on_in_the_page_of_one_that_ended(void **state)
{
	(void)state;
	usagelog *log = open_log(path, NULL);
	for (int i = 0; i < 1000; i++) {
		pthread_t thread;
		assert_int_equal(pthread_create(&thread, NULL, record_once, log), 0);
		pthread_join(thread, NULL);
	}
	assert_int_equal(stats_of(log).committed, 1000);
	usagelog_close(log, 1000);
	char name[512];
	struct stat file;
	find_file(path, ".seg", 0, name);
	assert_int_equal(stat(name, &file), 0);
	assert_true(file.st_size <= (7 + 1000 / 64 + 2) * 4096);
	assert_int_equal(read_log(path).calls, 1000);
}

static void a_thread_with_many_handles(void **state)
{
	(void)state;
	enum { HANDLES = 12 };
	usagelog *logs[HANDLES];
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_NO_HELPER};
	for (int i = 0; i < HANDLES; i++)
		logs[i] = open_log(path, &options);
	for (uint32_t round = 0; round < 50; round++)
		for (int i = 0; i < HANDLES; i++)
			record_one(logs[i], 1);
	for (int i = 0; i < HANDLES; i++) {
		assert_int_equal(stats_of(logs[i]).committed, 50);
		assert_int_equal(usagelog_close(logs[i], 1000), 0);
	}
	assert_int_equal(read_log(path).calls, 50 * HANDLES);
	/* It goes on in its page of each, whichever it used last. */
	for (size_t n = 0; n < HANDLES; n++) {
		char name[512];
		struct stat file;
		find_file(path, ".seg", n, name);
		assert_int_equal(stat(name, &file), 0);
		assert_int_equal(file.st_size, (7 + 1) * 4096);
	}
}

/* Does anybody hold the lock of the n-th segment? */
static bool is_locked(size_t n)
{
	char name[512];
	find_file(path, ".seg", n, name);
	int fd = open(name, O_RDONLY);
	assert_true(fd >= 0);
	int locked = os_is_locked(fd);
	close(fd);
	return locked == 1;
}

static void wait_for_child(pid_t child)
{
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_child_writes_to_a_segment_of_its_own(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__) || defined(USAGELOG_EMULATED)
	skip(); /* they allow no thread in the child of a process with threads */
#endif
	usagelog *log = open_log(path, NULL);
	record_one(log, 1);
	pid_t child = fork();
	if (!child) {
		for (int i = 0; i < 100; i++)
			record_one(log, 2);
		struct usagelog_stats stats = stats_of(log);
		_exit(stats.committed == 100 && usagelog_close(log, 60000) == 0 ? 0 : 1);
	}
	for (int i = 0; i < 100; i++)
		record_one(log, 3);
	wait_for_child(child);
	assert_int_equal(stats_of(log).committed, 101);
	assert_int_equal(count_files(path, ".seg"), 2);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(count_calls(path, 2), 100);
	assert_int_equal(count_calls(path, 3), 100);
	assert_int_equal(read_log(path).calls, 201);
}

static void a_child_does_not_keep_its_parents_lock(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__) || defined(USAGELOG_EMULATED)
	skip(); /* they allow no thread in the child of a process with threads */
#endif
	int pipes[2], done[2];
	char byte;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(done), 0);
	pid_t parent = fork();
	if (!parent) {
		usagelog *log = open_log(path, NULL);
		record_one(log, 1);
		if (!fork()) { /* lives on, and records nothing */
			(void)!write(pipes[1], "x", 1);
			(void)!read(done[0], &byte, 1);
			_exit(0);
		}
		pause();
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_true(is_locked(0));
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	wait_until(!is_locked(0));
	assert_int_equal(write(done[1], "x", 1), 1);
	for (int i = 0; i < 2; i++) {
		close(pipes[i]);
		close(done[i]);
	}
}

static _Atomic int recording;

static void *record_until_told(void *arg)
{
	uint64_t count = 0;
	while (recording) {
		record_one(arg, 1);
		/* Fast enough to be in the middle of one at each fork, and not so fast as to fill the disk. */
		if (++count % 64 == 0)
			sleep_ms(1);
	}
	return (void *)(uintptr_t)count;
}

static void fork_while_others_record(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(USAGELOG_EMULATED)
	/* The sanitizers' allocators, or the emulator, may be locked for good in the child of a process with threads; glibc is not. */
	skip();
#endif
	struct usagelog_options options = {
		.size = sizeof(options), .segment_size_bytes = 1 << 20, .flush_interval_ms = 1};
	usagelog *log = open_log(path, &options);
	pthread_t threads[2];
	recording = 1;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, record_until_told, log), 0);
	for (int i = 0; i < 40; i++) {
		pid_t child = fork();
		if (!child) {
			record_one(log, 2);
			_exit(usagelog_flush(log, 10000) ? 1 : 0);
		}
		wait_for_child(child);
	}
	recording = 0;
	uint64_t count = 0;
	for (int i = 0; i < 2; i++) {
		void *result;
		pthread_join(threads[i], &result);
		count += (uintptr_t)result;
	}
	assert_int_equal(stats_of(log).committed, count);
	assert_int_equal(usagelog_close(log, 5000), 0);
	assert_int_equal(count_calls(path, 1), count);
	assert_int_equal(count_calls(path, 2), 40);
	assert_int_equal(read_log(path).damaged, 0);
}

static void *renew_until_told(void *unused)
{
	while (recording)
		ul_guard_renew();
	return unused;
}

/* Whatever lock of the library another thread holds, the child has none of it. */
static void fork_while_others_look_after_the_handler(void **state)
{
	(void)state;
	usagelog *log = open_log(path, NULL);
	pthread_t threads[2];
	recording = 1;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, renew_until_told, NULL), 0);
	for (int i = 0; i < 40; i++) {
		pid_t child = fork();
		if (!child) {
			/* Is killed, if it hangs. */
			alarm(20);
			ul_guard_renew();
			_exit(0);
		}
		wait_for_child(child);
	}
	recording = 0;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(usagelog_close(log, 5000), 0);
}

static void *record_and_be_cancelled(void *arg)
{
	/* The cancellation is pending when record() comes to system calls, some of which are cancellation points. */
	pthread_cancel(pthread_self());
	record_one(arg, 1);
	pthread_testcancel();
	return NULL;
}

static void a_cancelled_thread_leaves_no_lock(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .flush_interval_ms = 1};
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 1; i <= 20; i++) {
		pthread_t thread;
		void *result;
		assert_int_equal(pthread_create(&thread, NULL, record_and_be_cancelled, log), 0);
		pthread_join(thread, &result);
		assert_ptr_equal(result, PTHREAD_CANCELED);
		assert_int_equal(stats_of(log).committed, i);
		/* Long enough for the helper to be parked now and then. */
		sleep_ms(i % 4 * 5);
	}
	assert_int_equal(usagelog_close(log, 5000), 0);
	assert_int_equal(read_log(path).calls, 20);
}

static usagelog *signalled;
static usagelog_model signalled_model;
static _Atomic uint64_t stored_in_handler, refused_in_handler;

static void record_in_handler(int signal)
{
	(void)signal;
	int error = usagelog_record(signalled, signalled_model, (usagelog_context){0},
				    &(struct usagelog_call){.input_tokens = 9});
	if (!error)
		stored_in_handler++;
	else if (error == USAGELOG_ERROR_DROPPED)
		refused_in_handler++;
}

static void a_signal_handler_records(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .segment_size_bytes = (uint64_t)1 << 30};
	signalled = open_log(path, &options);
	assert_int_equal(usagelog_model_get(signalled, "p", "m", &signalled_model), 0);
	assert_int_equal(usagelog_record(signalled, signalled_model, (usagelog_context){0},
					 &(struct usagelog_call){.input_tokens = 2}),
			 0);
	struct sigaction action = {.sa_handler = record_in_handler}, before;
	sigaction(SIGALRM, &action, &before);
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec every = {.it_interval.tv_nsec = 20000, .it_value.tv_nsec = 20000};
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	timer_settime(timer, 0, &every, NULL);
	uint64_t count = 0;
	while (stored_in_handler < 500 && count < 5000000) {
		assert_int_equal(usagelog_record(signalled, signalled_model, (usagelog_context){0},
						 &(struct usagelog_call){.input_tokens = 1}),
				 0);
		count++;
	}
	timer_delete(timer);
	sigaction(SIGALRM, &before, NULL);
	struct usagelog_stats stats = stats_of(signalled);
	assert_int_equal(stats.dropped[USAGELOG_CAUSE_REENTERED], refused_in_handler);
	assert_int_equal(stats.committed, 1 + count + stored_in_handler);
	assert_int_equal(usagelog_close(signalled, 5000), 0);
	assert_int_equal(count_calls(path, 1), count);
	assert_int_equal(count_calls(path, 9), stored_in_handler);
	assert_true(stored_in_handler >= 500);
}

/*
 * Whose turn it is, told without any order but its own, so that what one thread sees of another it sees by what the library does; else the
 * thread sanitizer says so.
 */
static _Atomic int turn;

static void wait_for_turn(int mine)
{
	while (atomic_load_explicit(&turn, memory_order_relaxed) != mine)
		sched_yield();
}

static void next_turn(void)
{
	atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
}

static const struct usagelog_names common_name = {.provider = "p", .model = "common"},
				   new_name = {.provider = "p", .model = "new"};
static _Atomic uint32_t errors_of_turns;

static void record_in_turn(usagelog *log, const struct usagelog_names *names)
{
	if (usagelog_record_names(log, names, &(struct usagelog_call){.input_tokens = 1}))
		atomic_fetch_add_explicit(&errors_of_turns, 1, memory_order_relaxed);
	next_turn();
}

/* Has a page of its own before the other thread makes the name. */
static void *use_name(void *log)
{
	record_in_turn(log, &common_name);
	wait_for_turn(2);
	/* Found without a lock, as its definition is. */
	record_in_turn(log, &new_name);
	return NULL;
}

static void *make_name(void *log)
{
	wait_for_turn(1);
	record_in_turn(log, &new_name);
	return NULL;
}

/* Whoever sees the call sees its definition, whatever other thread wrote that. */
static void a_name_of_one_thread_is_used_by_another(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_NO_HELPER};
	usagelog *log = open_log(path, &options);
	struct ul_segment *segment = atomic_load(&log->current);
	pthread_t user, maker;
	turn = 0;
	assert_int_equal(pthread_create(&user, NULL, use_name, log), 0);
	assert_int_equal(pthread_create(&maker, NULL, make_name, log), 0);
	wait_for_turn(3);
	/* The user's page is the first; its second call follows the common definition and call. */
	const struct ul_slot *call = ul_segment_slot(segment, segment->first_slot + 2);
	assert_true(__atomic_load_n(&call->checksum, __ATOMIC_ACQUIRE));
	const struct ul_slot *definition = ul_segment_slot(segment, call->tag & UL_SLOT_MASK);
	assert_int_equal(definition->tag >> 28, UL_KIND_DEFINITION);
	assert_memory_equal(definition->body.text, "p\0new", 5);
	pthread_join(user, NULL);
	pthread_join(maker, NULL);
	assert_int_equal(errors_of_turns, 0);
	assert_int_equal(usagelog_close(log, 1000), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(threads_share_a_handle),
		TEST(a_handle_may_be_closed_while_others_record),
		TEST(what_a_record_writes),
		TEST(handles_are_used_again),
		TEST(a_thread_goes_on_in_the_page_of_one_that_ended),
		TEST(a_thread_with_many_handles),
		TEST(a_child_writes_to_a_segment_of_its_own),
		TEST(a_child_does_not_keep_its_parents_lock),
		TEST(fork_while_others_record),
		TEST(fork_while_others_look_after_the_handler),
		TEST(a_cancelled_thread_leaves_no_lock),
		TEST(a_signal_handler_records),
		TEST(a_name_of_one_thread_is_used_by_another),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
