/*
 * Threads that end: ten thousand of one call each share pages, and those that are cancelled, at any moment, leave neither a lock
 * behind nor half a call.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>

#include "format.h"

/* An emulator takes a hundred times as long for a thread, a sanitizer ten times. */
#if defined(USAGELOG_EMULATED) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SHORT_THREADS = 2000, ROUNDS = 20 };
#else
enum { SHORT_THREADS = 10000, ROUNDS = 100 };
#endif
enum { AT_ONCE = 50, CANCELLED = 4 };

static void *record_once(void *arg)
{
	record_one(arg, 1);
	return NULL;
}

static int note_page(void *arg, const struct usagelog_slot *slot)
{
	uint8_t *pages = arg;
	pages[slot->number / UL_PAGE_SLOTS] = 1;
	return 0;
}

/* Pages of the n-th segment that hold anything. */
static size_t used_pages(size_t n)
{
	char name[512];
	usagelog_segment *segment;
	static uint8_t pages[UL_SEGMENT_BYTES_MIN * 1024 / UL_PAGE_BYTES];
	size_t used = 0;
	memset(pages, 0, sizeof(pages));
	find_file(path, ".seg", n, name);
	assert_int_equal(usagelog_segment_open(&segment, name), 0);
	assert_int_equal(usagelog_segment_visit(segment, note_page, pages), 0);
	usagelog_segment_close(segment);
	for (size_t page = 0; page < sizeof(pages); page++)
		used += pages[page];
	return used;
}

static void short_threads_fill_pages(void **state)
{
	(void)state;
	usagelog *log = open_log(path, NULL);
	pthread_t threads[AT_ONCE];
	for (int i = 0; i < SHORT_THREADS; i += AT_ONCE) {
		for (int j = 0; j < AT_ONCE; j++)
			assert_int_equal(pthread_create(&threads[j], NULL, record_once, log), 0);
		for (int j = 0; j < AT_ONCE; j++)
			pthread_join(threads[j], NULL);
	}
	assert_int_equal(stats_of(log).committed, SHORT_THREADS);
	assert_int_equal(usagelog_close(log, 10000), 0);
	assert_int_equal(count_files(path, ".seg"), 1);
	assert_int_equal(read_log(path).calls, SHORT_THREADS);
	/* Full ones, and at most one for each of those that were there at once. */
	assert_in_range(used_pages(0), SHORT_THREADS / UL_PAGE_SLOTS, SHORT_THREADS / UL_PAGE_SLOTS + AT_ONCE + 2);
}

struct cancelled {
	usagelog *log;
	_Atomic uint64_t begun, done;
	int failed;
};

static void *record_until_cancelled(void *arg)
{
	struct cancelled *own = arg;
	char model[32];
	for (uint32_t i = 0;; i++) {
		/* New names now and then: the way through the locks and the allocator. */
		snprintf(model, sizeof(model), "model-%u", i / 100);
		struct usagelog_names names = {.provider = "p", .model = model};
		own->begun++;
		own->failed |= usagelog_record_names(own->log, &names, &(struct usagelog_call){.input_tokens = 1});
		own->done++;
		if (i % 16 == 0)
			own->failed |= usagelog_flush(own->log, 0) == -EINVAL;
		pthread_testcancel();
	}
	return NULL;
}

/* The cancellation comes from another thread, at any moment. */
static void threads_are_cancelled(uint32_t flags)
{
	struct usagelog_options options = {
		.size = sizeof(options), .flags = flags, .segment_size_bytes = 1 << 20, .flush_interval_ms = 1};
	usagelog *log = open_log(path, &options);
	uint64_t calls = 0;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct cancelled own[CANCELLED];
		pthread_t threads[CANCELLED];
		for (int i = 0; i < CANCELLED; i++) {
			own[i] = (struct cancelled){.log = log};
			assert_int_equal(pthread_create(&threads[i], NULL, record_until_cancelled, &own[i]), 0);
		}
		wait_until(own[0].done > round % 10);
		for (int i = 0; i < CANCELLED; i++)
			assert_int_equal(pthread_cancel(threads[i]), 0);
		for (int i = 0; i < CANCELLED; i++) {
			void *result;
			pthread_join(threads[i], &result);
			assert_ptr_equal(result, PTHREAD_CANCELED);
			assert_int_equal(own[i].failed, 0);
			/* record() is no cancellation point: what was begun has ended. */
			assert_int_equal(own[i].begun, own[i].done);
			calls += own[i].done;
		}
		/* All goes on: no lock was left behind. */
		record_one(log, 1);
		calls++;
		assert_int_equal(usagelog_flush(log, 10000), 0);
		assert_int_equal(stats_of(log).committed, calls);
	}
	assert_int_equal(usagelog_close(log, 10000), 0);
	struct found found = read_log(path);
	assert_int_equal(found.calls, calls);
	assert_int_equal(found.unfinished + found.damaged, 0);
}

static void cancelled_while_they_record(void **state)
{
	(void)state;
	threads_are_cancelled(0);
}

static void cancelled_while_they_record_inline(void **state)
{
	(void)state;
	threads_are_cancelled(USAGELOG_NO_HELPER);
}

static void cancelled_while_they_sync(void **state)
{
	(void)state;
	threads_are_cancelled(USAGELOG_SYNCHRONOUS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(short_threads_fill_pages),
		TEST(cancelled_while_they_record),
		TEST(cancelled_while_they_record_inline),
		TEST(cancelled_while_they_sync),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
