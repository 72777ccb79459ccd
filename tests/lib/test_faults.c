/*
 * Every call to the system fails once, and from then on: the host lives, nothing that record() returned 0 for is missing, what was held
 * or dropped is counted, and what comes back is used again.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_plan.h"
#include "handle.h"
#include "os.h"
#include "reader.h"
#include "rescue.h"

static char fallback[300];

static int setup(void **state)
{
	(void)state;
	fail_nothing();
	os_fault = answer;
	make_directory(path);
	snprintf(fallback, sizeof(fallback), "%s/fallback", path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fail_nothing();
	remove_directory(path);
	return 0;
}

/* Valid calls in the files of one directory, each slot of a segment once, whatever files it is in. */
static uint64_t calls_of(const char *directory)
{
	uint64_t calls = 0;
	size_t count = count_files(directory, ".seg");
	struct ul_reader *readers = calloc(count ? count : 1, sizeof(*readers));
	for (size_t n = 0; n < count; n++) {
		char name[512];
		find_file(directory, ".seg", n, name);
		assert_int_equal(ul_reader_open(&readers[n], AT_FDCWD, name), 0);
		for (uint32_t i = readers[n].first_slot; i < readers[n].end_slot; i++) {
			struct ul_slot slot;
			assert_int_equal(ul_reader_read(&readers[n], i, 1, &slot), 0);
			bool call = ul_reader_classify(&readers[n], i, &slot) == UL_SLOT_VALID &&
				    ul_slot_kind(&slot) == UL_KIND_CALL;
			for (size_t other = 0; call && other < n; other++) {
				struct ul_slot twin;
				if (memcmp(&readers[other].header.segment_id, &readers[n].header.segment_id,
					   UL_ID_BYTES) != 0)
					continue;
				assert_int_equal(ul_reader_read(&readers[other], i, 1, &twin), 0);
				call = memcmp(&twin, &slot, sizeof(slot)) != 0;
			}
			calls += call;
		}
	}
	for (size_t n = 0; n < count; n++)
		ul_reader_close(&readers[n]);
	free(readers);
	return calls;
}

/* A small life of a log, in which every call of the seam comes up; whatever fails. Returns how many calls of the kind there were. */
static uint32_t live(enum os_call kind, uint32_t first, uint32_t count, int error)
{
	usagelog *log = NULL;
	struct usagelog_options options = {.size = sizeof(options),
					   .segment_size_bytes = 65536,
					   .flush_interval_ms = 1,
					   .retry_delay_ms = 1,
					   .held_count_max = 100,
					   .fallback_directories = (const char *const[]){fallback},
					   .fallback_directory_count = 1};
	uint64_t committed = 0, held = 0, dropped = 0, other = 0;
	fail_calls(kind, first, count, error);
	int opened = usagelog_open(&log, path, &options);
	for (uint32_t i = 0; i < 2000 && !opened; i++) {
		struct usagelog_names names = {
			.provider = "p", .model = i % 2 ? "a" : "b", .attributes = {.operation = "chat"}};
		int result = usagelog_record_names(log, &names, &(struct usagelog_call){.input_tokens = 1});
		committed += result == 0;
		held += result == USAGELOG_ERROR_HELD;
		dropped += result == USAGELOG_ERROR_DROPPED;
		other += result == -ENOMEM;
		assert_true(result == 0 || result == USAGELOG_ERROR_HELD || result == USAGELOG_ERROR_DROPPED ||
			    result == -ENOMEM);
	}
	uint64_t stored = 0, still_held = 0;
	if (!opened) {
		usagelog_flush(log, 2000);
		struct usagelog_stats stats = stats_of(log);
		uint64_t dropped_too = 0;
		for (int i = 0; i < USAGELOG_CAUSES; i++)
			dropped_too += stats.dropped[i];
		assert_int_equal(stats.attempted, committed + held + dropped);
		assert_int_equal(dropped_too, dropped);
		stored = stats.committed;
		still_held = stats.held;
		assert_int_equal(stored + still_held, committed + held);
		assert_true(committed + held + dropped + other == 2000);
		uint32_t seen = plan.seen;
		int closed = usagelog_close(log, 2000);
		assert_true(closed != USAGELOG_ERROR_HELD || still_held);
		plan.seen = seen > plan.seen ? seen : plan.seen;
	}
	fail_nothing();
	/* What was held when it was counted may have been stored since, never the other way round. */
	uint64_t found = calls_of(path) + (access(fallback, F_OK) ? 0 : calls_of(fallback));
	assert_in_range(found, stored, stored + still_held);
	return plan.seen;
}

static void empty_directory(void)
{
	char command[600];
	snprintf(command, sizeof(command), "rm -rf '%s'/*", path);
	assert_int_equal(system(command), 0);
}

static void every_call_fails_once_and_for_good(void **state)
{
	(void)state;
	static const int errors[] = {ENOSPC, EIO, ENOMEM};
	uint64_t points = 0;
	for (int kind = 0; kind < OS_CALLS; kind++) {
		uint32_t seen = live((enum os_call)kind, UINT32_MAX, 0, EIO);
		empty_directory();
		/* The first forty of each, then ever rarer ones: a segment's life repeats itself. */
		for (uint32_t n = 1; n <= seen; n += n < 40 ? 1 : n / 4) {
			for (int forever = 0; forever < 2; forever++) {
				live((enum os_call)kind, n, forever ? UINT32_MAX : 1, errors[n % 3]);
				empty_directory();
				points++;
			}
		}
	}
	print_message("%lu points\n", (unsigned long)points);
	assert_true(points > 150);
}

static int warnings;

static void count_warning(void *arg, int error, const char *message)
{
	(void)arg;
	assert_true(error < 0);
	assert_true(strlen(message) > 20);
	warnings++;
}

static struct usagelog_options small_options(uint32_t flags)
{
	return (struct usagelog_options){.size = sizeof(struct usagelog_options),
					 .flags = flags,
					 .segment_size_bytes = 65536,
					 .flush_interval_ms = 5,
					 .retry_delay_ms = 5,
					 .held_count_max = 50,
					 .warning = count_warning};
}

/* Record until the first segment's room is used up and calls are held, and on until some are dropped. */
static void fill_up(usagelog *log)
{
	struct usagelog_names names = {.provider = "p", .model = "m"};
	int result = 0;
	for (int i = 0; i < 5000 && result != USAGELOG_ERROR_DROPPED; i++)
		result = usagelog_record_names(log, &names, &(struct usagelog_call){.input_tokens = 1});
	assert_int_equal(result, USAGELOG_ERROR_DROPPED);
}

static void a_full_disk(uint32_t flags)
{
	struct usagelog_options options = small_options(flags);
	warnings = 0;
	usagelog *log = open_log(path, &options);
	fail_calls(OS_EXTEND, 1, UINT32_MAX, ENOSPC);
	fill_up(log);
	struct usagelog_stats stats = stats_of(log);
	assert_int_equal(stats.held, 50);
	assert_true(stats.dropped[USAGELOG_CAUSE_SPACE] >= 1);
	assert_int_equal(stats.dropped[USAGELOG_CAUSE_IO], 0);
	assert_int_equal(stats.last_error, -ENOSPC);
	assert_int_equal(usagelog_flush(log, 1000), USAGELOG_ERROR_HELD);
	assert_true(warnings > 0);
	/* Space again: what is held is stored, and new calls are. */
	fail_nothing();
	if (flags & USAGELOG_NO_HELPER)
		sleep_ms(60);
	else
		wait_until(stats_of(log).held == 0);
	record_one(log, 2);
	assert_int_equal(usagelog_flush(log, 1000), 0);
	stats = stats_of(log);
	assert_int_equal(stats.held, 0);
	assert_int_equal(stats.durable, stats.committed);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(read_log(path).calls, stats.committed);
	assert_int_equal(count_calls(path, 2), 1);
	/* The counters in the file say what was dropped. */
	char name[512];
	struct ul_reader reader;
	uint64_t dropped = 0;
	for (size_t n = 0; n < count_files(path, ".seg"); n++) {
		find_file(path, ".seg", n, name);
		assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
		const struct ul_state_block *counters = ul_block_pair(reader.blocks, reader.seed, UL_BLOCK_COUNTERS);
		dropped += counters ? counters->payload.counters.dropped[UL_CAUSE_SPACE] : 0;
		ul_reader_close(&reader);
	}
	assert_int_equal(dropped, stats.dropped[USAGELOG_CAUSE_SPACE]);
}

static void a_full_disk_with_a_helper(void **state)
{
	(void)state;
	a_full_disk(0);
}

static void a_full_disk_without_one(void **state)
{
	(void)state;
	a_full_disk(USAGELOG_NO_HELPER);
}

static void a_fallback_is_used_and_left_again(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(0);
	options.fallback_directories = (const char *const[]){fallback};
	options.fallback_directory_count = 1;
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	/* The log's own directory is taken away: no new file can be made in it. */
	char command[700];
	snprintf(command, sizeof(command), "chattr +i '%s' 2>/dev/null", path);
	if (geteuid() == 0 && system(command) != 0)
		skip();
	if (geteuid() != 0)
		assert_int_equal(chmod(path, 0500), 0);
	for (int i = 0; i < 3000; i++) {
		struct usagelog_names names = {.provider = "p", .model = "m"};
		int result = usagelog_record_names(log, &names, &(struct usagelog_call){.input_tokens = 1});
		assert_true(result == 0 || result == USAGELOG_ERROR_HELD);
	}
	wait_until(stats_of(log).held == 0);
	struct usagelog_stats stats = stats_of(log);
	assert_true(stats.fallbacks > 0);
	assert_int_equal(stats.segment_in_fallback, 1);
	assert_true(count_files(fallback, ".seg") > 0);
	snprintf(command, sizeof(command), "chattr -i '%s' 2>/dev/null", path);
	if (geteuid() == 0)
		assert_int_equal(system(command), 0);
	else
		assert_int_equal(chmod(path, 0700), 0);
	for (int tries = 0; tries < 400 && stats_of(log).segment_in_fallback; tries++) {
		for (int i = 0; i < 100; i++)
			record_one(log, 1);
		sleep_ms(20);
	}
	assert_int_equal(stats_of(log).segment_in_fallback, 0);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	stats = stats_of(log);
	assert_int_equal(stats.dropped[USAGELOG_CAUSE_PERMISSION], 0);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(calls_of(path) + calls_of(fallback), stats.committed);
}

static void a_failed_sync(uint32_t flags)
{
	struct usagelog_options options = small_options(flags);
	options.segment_size_bytes = 1 << 20;
	options.flush_interval_ms = 3600000;
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 0; i < 300; i++)
		record_one(log, 1);
	fail_calls(OS_SYNC_RANGE, 1, 1, EIO);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	struct usagelog_stats stats = stats_of(log);
	assert_int_equal(stats.sync_errors, 1);
	assert_int_equal(stats.durable, 300);
	fail_nothing();
	for (uint32_t i = 0; i < 300; i++)
		record_one(log, 2);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(count_files(path, ".1.seg"), 1);
	assert_int_equal(count_files(path, ".tmp"), 0);
	assert_int_equal(calls_of(path), 600);
	/* The rescue file stands alone: it holds every call of the failed range, with its definitions, and says that they are durable. */
	char name[512], text[UL_CONTEXT_BYTES_MAX];
	struct ul_reader reader;
	uint64_t calls = 0, durable = 0;
	find_file(path, ".1.seg", 0, name);
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	assert_true(ul_reader_is_original(&reader));
	for (uint32_t i = reader.first_slot; i < reader.end_slot; i++) {
		struct ul_slot slot;
		assert_int_equal(ul_reader_read(&reader, i, 1, &slot), 0);
		if (ul_reader_classify(&reader, i, &slot) != UL_SLOT_VALID || ul_slot_kind(&slot) != UL_KIND_CALL)
			continue;
		calls++;
		assert_true(ul_reader_text(&reader, slot.tag & UL_SLOT_MASK, UL_CLASS_MODEL, text) > 0);
	}
	for (uint32_t i = 0; i < reader.page_count; i++)
		durable += reader.durable[i];
	assert_true(calls >= 300);
	assert_true(durable >= 302);
	ul_reader_close(&reader);
}

static void a_failed_sync_is_rescued(void **state)
{
	(void)state;
	a_failed_sync(USAGELOG_NO_URING);
}

static void a_failed_sync_is_rescued_inline(void **state)
{
	(void)state;
	a_failed_sync(USAGELOG_NO_HELPER);
}

static bool is_given_up(const char *name)
{
	struct ul_reader reader;
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	enum ul_block_state state =
		ul_block_classify(&reader.blocks[UL_BLOCK_GIVEN_UP], reader.seed, UL_BLOCK_GIVEN_UP);
	ul_reader_close(&reader);
	return state == UL_BLOCK_VALID;
}

static void a_sync_cut_off_by_death_is_rescued(void **state)
{
	(void)state;
	struct ul_message why = {.text = ""};
	char name[512];
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	pid_t child = fork();
	if (!child) {
		usagelog *log = open_log(path, &options);
		for (int i = 0; i < 100; i++)
			record_one(log, 1);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	find_file(path, ".seg", 0, name);
	int directory = open(path, O_RDONLY | O_DIRECTORY);
	const char *base = strrchr(name, '/') + 1;
	/* Died before any sync: nothing to rescue. */
	assert_int_equal(ul_rescue_dead(directory, base, &why), 0);
	assert_int_equal(count_files(path, ".seg"), 1);
	/* As it is in the middle of one: the block says so. */
	int fd = open(name, O_RDWR);
	uint8_t garbage = 1;
	assert_int_equal(pwrite(fd, &garbage, 1, UL_STATE_PAGE * UL_PAGE_BYTES + UL_BLOCK_SYNC * 128 + 8), 1);
	close(fd);
	usagelog *log = open_log(path, &options);
	assert_int_equal(count_files(path, ".seg"), 2); /* it was not adopted */
	usagelog_close(log, 0);
	/* A copy has the same block set, and its lock says nothing of the segment's writer. */
	char command[1200];
	snprintf(command, sizeof(command), "cp '%s' '%s/copy.seg'", name, path);
	assert_int_equal(system(command), 0);
	assert_int_equal(ul_rescue_dead(directory, "copy.seg", &why), -EBUSY);
	assert_int_equal(unlinkat(directory, "copy.seg", 0), 0);
	assert_int_equal(ul_rescue_dead(directory, base, &why), 0);
	assert_int_equal(count_files(path, ".1.seg"), 1);
	assert_int_equal(calls_of(path), 100);
	assert_int_equal(count_calls(path, 1), 200); /* none of them is durable where it is: all are in the copy */
	/* Cleared: once is enough. */
	assert_int_equal(ul_rescue_dead(directory, base, &why), 0);
	assert_int_equal(count_files(path, ".2.seg"), 0);
	/* That its pages are copied does not make them fit to be synced. */
	assert_true(is_given_up(name));
	close(directory);
}

static _Atomic uint32_t range_syncs;
static _Atomic bool nothing_works;

/* Syncs fail, and so do copies. */
static int answer_nothing_works(enum os_call call)
{
	range_syncs += call == OS_SYNC_RANGE;
	if (!nothing_works)
		return 0;
	return call == OS_SYNC_RANGE ? EIO : call == OS_WRITE ? ENOSPC : 0;
}

static void a_failed_sync_is_not_repeated(uint32_t flags)
{
	struct usagelog_options options = small_options(flags);
	usagelog *log = open_log(path, &options);
	range_syncs = 0;
	nothing_works = true;
	os_fault = answer_nothing_works;
	record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 1000), -EIO);
	assert_int_equal(stats_of(log).durable, 0);
	/* The pages would now be synced without being written; only a copy can make the call durable. */
	nothing_works = false;
	assert_int_equal(usagelog_flush(log, 1000), 0);
	assert_int_equal(stats_of(log).durable, 1);
	assert_int_equal(range_syncs, 1);
	assert_int_equal(count_files(path, ".1.seg"), 1);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(calls_of(path), 1);
	/* No sync block stays set. */
	char name[512];
	struct ul_message why;
	int directory = open(path, O_RDONLY | O_DIRECTORY);
	find_file(path, ".seg", 1, name);
	assert_null(strstr(name, ".1.seg"));
	assert_int_equal(ul_rescue_dead(directory, strrchr(name, '/') + 1, &why), 0);
	assert_int_equal(count_files(path, ".2.seg"), 0);
	close(directory);
}

static void a_failed_sync_is_never_repeated(void **state)
{
	(void)state;
	a_failed_sync_is_not_repeated(USAGELOG_NO_URING);
}

static void a_failed_sync_is_never_repeated_inline(void **state)
{
	(void)state;
	a_failed_sync_is_not_repeated(USAGELOG_NO_HELPER);
}

static void *record_some(void *arg)
{
	usagelog *log = arg;
	for (uint32_t i = 0; i < 3 * UL_PAGE_SLOTS; i++)
		record_one(log, 1);
	return NULL;
}

static void *record_another(void *log)
{
	record_one(log, 2);
	return NULL;
}

static void in_a_thread(void *(*run)(void *), usagelog *log)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, run, log), 0);
	pthread_join(thread, NULL);
}

/* The kernel tells of a failed write once, whichever pages it was of: what is synced beside them is not believed either. */
static void a_failed_sync_fails_all_of_its_segment(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	in_a_thread(record_some, log);
	assert_int_equal(usagelog_flush(log, 1000), 0);
	/* One call in the first page, one in the last: two ranges. */
	record_one(log, 2);
	in_a_thread(record_another, log);
	fail_calls(OS_SYNC_RANGE, 1, 1, EIO);
	assert_int_equal(usagelog_flush(log, 1000), 0);
	assert_int_equal(plan.seen, 2);
	fail_nothing();
	assert_int_equal(count_files(path, ".1.seg"), 1);
	assert_int_equal(count_files(path, ".2.seg"), 1);
	/* It is not gone on in: its pages may be clean, and not be written. */
	for (uint32_t i = 0; i < 3 * UL_PAGE_SLOTS; i++)
		record_one(log, 3);
	assert_int_equal(count_files(path, ".seg"), 4);
	assert_int_equal(usagelog_close(log, 1000), 0);
}

static _Atomic bool memory_fails;

/* There is no memory for a copy; the file can still be read. */
static int answer_no_memory(enum os_call call)
{
	if (call == OS_OPEN && memory_fails) {
		memory_fails = false;
		return ENOMEM;
	}
	return call == OS_SYNC_RANGE ? EIO : 0;
}

static void what_cannot_be_copied_from_memory_is_from_the_file(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 100; i++)
		record_one(log, 1);
	memory_fails = true;
	os_fault = answer_no_memory;
	assert_int_equal(usagelog_flush(log, 1000), 0);
	os_fault = answer;
	assert_false(memory_fails);
	assert_int_equal(stats_of(log).durable, 100);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(count_files(path, ".1.seg"), 1);
	assert_int_equal(count_calls(path, 1), 200); /* here and there */
}

/* Its pages may be clean, and not on the disk: whoever goes on in it later would sync them, and be told that they are. */
static void a_segment_of_a_failed_sync_is_not_adopted(uint32_t flags)
{
	enum { SEGMENT_CALLS = 12 * UL_PAGE_SLOTS };
	struct usagelog_options options = small_options(flags);
	char name[512];
	options.segment_size_bytes = 65536;
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	find_file(path, ".seg", 0, name);
	fail_calls(OS_SYNC_RANGE, 1, 1, EIO);
	assert_int_equal(usagelog_flush(log, 1000), 0);
	fail_nothing();
	/* In others, until there is need of one more. */
	for (uint32_t i = 0; i < 2 * SEGMENT_CALLS; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_close(log, 1000), 0);
	log = open_log(path, &options);
	for (uint32_t i = 0; i < SEGMENT_CALLS; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_close(log, 1000), 0);
	struct ul_reader reader;
	assert_true(is_given_up(name));
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	assert_int_equal(reader.durable[reader.first_slot / UL_PAGE_SLOTS], 0);
	ul_reader_close(&reader);
	assert_int_equal(calls_of(path), 1 + 3 * SEGMENT_CALLS);
}

static void nobody_goes_on_where_a_sync_failed(void **state)
{
	(void)state;
	a_segment_of_a_failed_sync_is_not_adopted(USAGELOG_NO_URING);
}

static void nobody_goes_on_where_a_sync_failed_inline(void **state)
{
	(void)state;
	a_segment_of_a_failed_sync_is_not_adopted(USAGELOG_NO_HELPER);
}

static uint32_t announced, cleared;

/* Does a block of the header say that the first page is to be synced? Or, once the sync is over, that none is? */
static void look_at_blocks(uint32_t *counter, bool set)
{
	char name[512];
	struct ul_reader reader;
	find_file(path, ".seg", 0, name);
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	const struct ul_state_block *block = &reader.blocks[UL_BLOCK_SYNC];
	uint64_t page = reader.first_slot / UL_PAGE_SLOTS;
	if (ul_block_classify(block, reader.seed, UL_BLOCK_SYNC) == UL_BLOCK_VALID)
		*counter += set ? block->payload.sync.first_page <= page &&
					    page < block->payload.sync.first_page + block->payload.sync.page_count
				: !block->payload.sync.page_count;
	ul_reader_close(&reader);
}

static int answer_looking(enum os_call call)
{
	if (call == OS_SYNC_RANGE)
		look_at_blocks(&announced, true);
	return 0;
}

static void a_sync_is_announced_in_the_header(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	os_fault = answer_looking;
	assert_int_equal(usagelog_flush(log, 1000), 0);
	look_at_blocks(&cleared, false);
	assert_int_equal(announced, 1);
	assert_int_equal(cleared, 1);
	usagelog_close(log, 0);
}

static enum os_call noted[16];
static uint32_t noted_count;

static int answer_noting(enum os_call call)
{
	if ((call == OS_SYNC || call == OS_LINK) && noted_count < 16)
		noted[noted_count++] = call;
	return call == OS_SYNC_RANGE ? EIO : 0;
}

/* Whoever sees a copy may count on all that it holds; and once the flush is over, it is seen after a loss of power, too. */
static void a_copy_is_durable_then_has_its_name_and_that_is_durable(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	noted_count = 0;
	os_fault = answer_noting;
	assert_int_equal(usagelog_flush(log, 1000), 0);
	os_fault = answer;
	assert_int_equal(noted_count, 3);
	assert_int_equal(noted[0], OS_SYNC);
	assert_int_equal(noted[1], OS_LINK);
	assert_int_equal(noted[2], OS_SYNC);
	assert_int_equal(usagelog_close(log, 1000), 0);
}

static int rescued;

/* While a sync is under way its writer lives: what another process would do now. */
static int answer_rescuing(enum os_call call)
{
	if (call == OS_SYNC_RANGE) {
		char name[512];
		struct ul_message why;
		find_file(path, ".seg", 0, name);
		int directory = open(path, O_RDONLY | O_DIRECTORY);
		os_fault = answer;
		rescued = ul_rescue_dead(directory, strrchr(name, '/') + 1, &why);
		close(directory);
	}
	return 0;
}

static void a_live_writers_sync_is_not_rescued(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	os_fault = answer_rescuing;
	assert_int_equal(usagelog_flush(log, 1000), 0);
	assert_int_equal(rescued, -EAGAIN);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(count_files(path, ".seg"), 1);
}

static usagelog *log_in_sync;

/* One more call comes to the page while its sync fails. */
static int answer_with_a_call(enum os_call call)
{
	if (call != OS_SYNC_RANGE)
		return 0;
	record_one(log_in_sync, 2);
	return EIO;
}

static void a_page_of_a_failed_sync_is_never_synced(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	char name[512];
	struct ul_reader reader;
	log_in_sync = open_log(path, &options);
	for (int i = 0; i < 10; i++)
		record_one(log_in_sync, 1);
	os_fault = answer_with_a_call;
	assert_int_equal(usagelog_flush(log_in_sync, 1000), 0);
	os_fault = answer;
	assert_int_equal(usagelog_flush(log_in_sync, 1000), 0);
	assert_int_equal(stats_of(log_in_sync).durable, 11);
	assert_int_equal(usagelog_close(log_in_sync, 1000), 0);
	/* The late one was copied as well, and nothing in the page itself is called durable. */
	assert_int_equal(count_files(path, ".2.seg"), 1);
	assert_int_equal(count_calls(path, 2), 3); /* in the segment and in both copies */
	find_file(path, ".seg", 2, name);
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	assert_int_equal(reader.header.generation, 0);
	for (uint32_t i = 0; i < reader.page_count; i++)
		assert_int_equal(reader.durable[i], 0);
	ul_reader_close(&reader);
}

/* It is stored when the flush begins, and its thread is still inside: the stats say so as soon as that is over, though nothing comes after it. */
static void a_call_that_ends_while_a_pass_begins(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(0);
	options.flush_interval_ms = 500;
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	struct ul_lane *lane = &log->lane_blocks[0][0];
	atomic_fetch_add(&lane->inside, 1);
	record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(stats_of(log).durable, 1);
	atomic_fetch_sub(&lane->inside, 1);
	wait_until(stats_of(log).durable == 2);
	assert_int_equal(usagelog_close(log, 5000), 0);
}

/* As a filesystem that went down meanwhile: the sync succeeds, and then the file cannot be read. */
static void a_sync_is_not_believed_of_a_file_that_cannot_be_read(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	fail_calls(OS_READ, 1, 1, EIO);
	assert_int_equal(usagelog_flush(log, 1000), 0);
	fail_nothing();
	assert_int_equal(stats_of(log).last_error, -EIO);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(count_files(path, ".1.seg"), 1);
	assert_int_equal(count_calls(path, 1), 2); /* in the segment and in the copy */
}

/* After whatever was looked at before the sync. */
static int answer_unlinking(enum os_call call)
{
	char name[512];
	if (call == OS_SYNC_RANGE) {
		find_file(path, ".seg", 0, name);
		assert_int_equal(unlink(name), 0);
		os_fault = answer;
	}
	return 0;
}

static void a_segment_is_unlinked_while_it_is_synced(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	os_fault = answer_unlinking;
	assert_int_equal(usagelog_flush(log, 1000), 0);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(count_calls(path, 1), 1);
}

static void an_unlinked_segment(uint32_t flags)
{
	char name[512];
	struct usagelog_options options = small_options(flags);
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 10; i++)
		record_one(log, 1);
	find_file(path, ".seg", 0, name);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(stats_of(log).last_error, -ENOENT);
	for (int i = 0; i < 1000; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_close(log, 5000), 0);
	assert_int_equal(calls_of(path), 1010);
}

/* With its directory; the settings are restored later. The calls are in the new directory then. */
static void a_deleted_directory(uint32_t flags)
{
	char command[900];
	struct usagelog_options options = small_options(flags);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	snprintf(command, sizeof(command), "cp '%s/log.conf' '%s.conf' && rm -r '%s'", path, path, path);
	assert_int_equal(system(command), 0);
	/* Its segment has no name any more, and no other can be had. */
	record_one(log, 2);
	assert_int_not_equal(usagelog_flush(log, 100), 0);
	snprintf(command, sizeof(command), "mkdir '%s' && mv '%s.conf' '%s/log.conf'", path, path, path);
	assert_int_equal(system(command), 0);
	wait_until(usagelog_flush(log, 100) == 0);
	struct usagelog_names names = {.provider = "p", .model = "m"};
	wait_until(usagelog_record_names(log, &names, &(struct usagelog_call){.input_tokens = 3}) == 0);
	assert_int_equal(usagelog_close(log, 5000), 0);
	/* Copies may be made of what was copied. */
	assert_true(count_calls(path, 2) >= 1);
	assert_true(count_calls(path, 3) >= 1);
}

static void a_deleted_directory_comes_back(void **state)
{
	(void)state;
	a_deleted_directory(0);
}

static void a_deleted_directory_comes_back_without_a_helper(void **state)
{
	(void)state;
	a_deleted_directory(USAGELOG_NO_HELPER);
}

static uint8_t *hosts_own_page;
static int hosts_own_faults;

static void mend_own_page(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	assert_ptr_equal(info->si_addr, hosts_own_page);
	hosts_own_faults++;
	assert_ptr_equal(mmap(hosts_own_page, UL_PAGE_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 hosts_own_page);
}

/* An access beyond the end of an empty file. */
static void fault_by_host(void)
{
	char name[300];
	snprintf(name, sizeof(name), "%s/empty", path);
	int fd = open(name, O_RDWR | O_CREAT, 0600);
	hosts_own_page = mmap(NULL, UL_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(hosts_own_page, MAP_FAILED);
	*(volatile uint8_t *)hosts_own_page = 1;
	munmap(hosts_own_page, UL_PAGE_BYTES);
	close(fd);
}

static void a_segment_is_cut_short(uint32_t flags)
{
	char name[512];
	struct usagelog_options options = small_options(flags);
	struct sigaction action = {.sa_sigaction = mend_own_page, .sa_flags = SA_SIGINFO}, before;
	options.flush_interval_ms = 3600000;
	hosts_own_faults = 0;
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	/* The host's handler comes after the library's, which goes first again with the next sync. */
	sigaction(SIGBUS, &action, &before);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	find_file(path, ".seg", 0, name);
	/* Its header stays. Definitions may be lost that calls lead to: others must not come to stand there. */
	assert_int_equal(truncate(name, 4 * UL_PAGE_BYTES), 0);
	for (int i = 0; i < 500; i++) {
		record_one(log, 2);
		if (i % 100 == 0)
			fault_by_host();
	}
	assert_int_equal(hosts_own_faults, 5);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(stats_of(log).committed, 501);
	assert_int_equal(usagelog_close(log, 5000), 0);
	assert_true(is_given_up(name));
	assert_int_equal(count_calls(path, 1), 0);
	assert_int_equal(count_calls(path, 2), 500);
	sigaction(SIGBUS, &before, NULL);
}

/* Nothing faults, and the file is as long as it was: but its header is gone. */
static void a_segment_is_emptied_and_grows_again(void **state)
{
	(void)state;
	char name[512];
	struct stat found;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	find_file(path, ".seg", 0, name);
	assert_int_equal(stat(name, &found), 0);
	assert_int_equal(truncate(name, 0), 0);
	assert_int_equal(truncate(name, found.st_size), 0);
	for (int i = 0; i < 10; i++)
		record_one(log, 2);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(stats_of(log).durable, 11);
	assert_int_equal(usagelog_close(log, 5000), 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(count_calls(path, 2), 10);
}

/* In the midst of the page that is recorded in: no store faults, and a sync would put zeros where the file has nothing. */
static void a_segment_is_cut_in_mid_page(uint32_t flags)
{
	char name[512];
	struct usagelog_options options = small_options(flags);
	options.flush_interval_ms = 3600000;
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	find_file(path, ".seg", 0, name);
	assert_int_equal(
		truncate(name, (off_t)ul_first_page(options.segment_size_bytes) * UL_PAGE_BYTES + UL_PAGE_BYTES / 2),
		0);
	for (int i = 0; i < UL_PAGE_SLOTS - 8; i++)
		record_one(log, 2);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(usagelog_close(log, 5000), 0);
	/* The copy has all of the page. */
	assert_int_equal(unlink(name), 0);
	assert_int_equal(count_calls(path, 1), 1);
	assert_int_equal(count_calls(path, 2), UL_PAGE_SLOTS - 8);
}

static void a_segment_is_cut_in_mid_page_with_a_helper(void **state)
{
	(void)state;
	a_segment_is_cut_in_mid_page(0);
}

static void a_segment_is_cut_in_mid_page_without_one(void **state)
{
	(void)state;
	a_segment_is_cut_in_mid_page(USAGELOG_NO_HELPER);
}

/* From here on the descriptor that this process has of a file neither reads nor syncs it. */
static void make_unreadable(const char *name)
{
	struct stat wanted, found;
	int fd = 3, blind = open("/dev/null", O_WRONLY);
	assert_int_equal(stat(name, &wanted), 0);
	while (fd < 1024 && (fstat(fd, &found) || found.st_dev != wanted.st_dev || found.st_ino != wanted.st_ino))
		fd++;
	assert_int_not_equal(fd, 1024);
	assert_true(dup2(blind, fd) >= 0);
	close(blind);
}

/* Some pages are gone, and the file cannot be read: the others are copied all the same, once, and no flush says that all is durable. */
static void what_cannot_be_read_stops_nothing_else(void **state)
{
	(void)state;
	char name[512];
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	options.flush_interval_ms = 3600000;
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 3 * UL_PAGE_SLOTS; i++)
		record_one(log, 1);
	find_file(path, ".seg", 0, name);
	assert_int_equal(truncate(name, ((off_t)ul_first_page(options.segment_size_bytes) + 1) * UL_PAGE_BYTES), 0);
	record_one(log, 2);
	make_unreadable(name);
	assert_int_not_equal(usagelog_flush(log, 100), 0);
	assert_int_not_equal(usagelog_flush(log, 100), 0);
	assert_int_equal(stats_of(log).last_error, -EBADF);
	assert_int_not_equal(usagelog_close(log, 100), 0);
	assert_int_equal(unlink(name), 0);
	assert_in_range(count_calls(path, 1), UL_PAGE_SLOTS - 4, UL_PAGE_SLOTS);
	assert_int_equal(count_calls(path, 2), 1);
}

/*
 * A filesystem that went down refuses stores to a page that can still be read. Here the fault is raised by the program itself, and then the file cannot be
 * read: what the page held is known by nobody else.
 */
static void what_a_lost_page_held_is_kept(void **state)
{
	(void)state;
#if defined(USAGELOG_EMULATED)
	skip(); /* the emulator raises it anew, as one that was sent */
#endif
	char name[512];
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	options.flush_interval_ms = 3600000;
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 10; i++)
		record_one(log, 1);
	find_file(path, ".seg", 0, name);
	const struct ul_segment *segment = atomic_load(&log->current);
	siginfo_t fault = {.si_signo = SIGBUS, .si_code = BUS_ADRERR};
	fault.si_addr = segment->base + (size_t)segment->first_page * UL_PAGE_BYTES + 1;
	assert_int_equal(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGBUS, &fault), 0);
	make_unreadable(name);
	for (int i = 0; i < 5; i++)
		record_one(log, 2);
	assert_int_equal(usagelog_flush(log, 1000), 0);
	assert_int_equal(stats_of(log).durable, 15);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(count_calls(path, 1), 10);
	assert_int_equal(count_calls(path, 2), 5);
}

static void a_segment_is_cut_short_with_a_helper(void **state)
{
	(void)state;
	a_segment_is_cut_short(0);
}

static void a_segment_is_cut_short_without_one(void **state)
{
	(void)state;
	a_segment_is_cut_short(USAGELOG_NO_HELPER);
}

static void a_segment_is_cut_short_that_is_synchronous(void **state)
{
	(void)state;
	a_segment_is_cut_short(USAGELOG_SYNCHRONOUS);
}

static void an_unlinked_segment_is_rescued(void **state)
{
	(void)state;
	an_unlinked_segment(USAGELOG_NO_URING);
}

static void an_unlinked_segment_is_rescued_inline(void **state)
{
	(void)state;
	an_unlinked_segment(USAGELOG_NO_HELPER);
}

/* Threads that record when they are told to, each in a page of its own. */
static struct recorder {
	pthread_t thread;
	sem_t go, done;
	usagelog *log;
	const char *model;
} recorders[3];

static void *record_when_told(void *arg)
{
	struct recorder *recorder = arg;
	for (;;) {
		sem_wait(&recorder->go);
		if (!recorder->model)
			return NULL;
		struct usagelog_names names = {.provider = "p", .model = recorder->model};
		assert_int_equal(
			usagelog_record_names(recorder->log, &names, &(struct usagelog_call){.input_tokens = 1}), 0);
		sem_post(&recorder->done);
	}
}

static void tell(uint32_t number, const char *model)
{
	recorders[number].model = model;
	sem_post(&recorders[number].go);
	if (model)
		sem_wait(&recorders[number].done);
}

static bool told_late, first_page_announced;

/*
 * A pass looks at the pages from the first on. The first is clean; at the second it needs memory. At that moment the first thread defines a name,
 * in the first page, and the third thread names it, in the third, which is looked at next.
 */
static int answer_late(enum os_call call)
{
	if (call == OS_ALLOCATE && !told_late) {
		told_late = true;
		tell(0, "late");
		tell(2, "late");
	}
	if (call == OS_SYNC_RANGE) {
		uint32_t counter = 0;
		look_at_blocks(&counter, true);
		first_page_announced |= counter;
	}
	return 0;
}

static void a_definition_is_synced_with_the_call_that_names_it(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 0; i < 3; i++) {
		recorders[i].log = log;
		sem_init(&recorders[i].go, 0, 0);
		sem_init(&recorders[i].done, 0, 0);
		assert_int_equal(pthread_create(&recorders[i].thread, NULL, record_when_told, &recorders[i]), 0);
		tell(i, "m");
	}
	assert_int_equal(usagelog_flush(log, 1000), 0);
	tell(1, "m");
	os_fault = answer_late;
	assert_int_equal(usagelog_flush(log, 1000), 0);
	assert_true(told_late);
	assert_true(first_page_announced);
	for (uint32_t i = 0; i < 3; i++) {
		tell(i, NULL);
		pthread_join(recorders[i].thread, NULL);
	}
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(calls_of(path), 6);
}

/* Two segments without a writer, which may be adopted; that of the greater name is tried first. */
static void leave_two_segments(char older[512], char newer[512])
{
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	usagelog *first = open_log(path, &options);
	record_one(first, 1);
	usagelog *second = open_log(path, &options);
	record_one(second, 1);
	assert_int_equal(usagelog_close(first, 1000), 0);
	assert_int_equal(usagelog_close(second, 1000), 0);
	assert_int_equal(count_files(path, ".seg"), 2);
	find_file(path, ".seg", 0, older);
	find_file(path, ".seg", 1, newer);
}

static char older_name[512], newer_name[512];

/* Between its being opened and locked, the newer one loses its name to the older one. */
static int answer_renaming(enum os_call call)
{
	if (call == OS_LOCK) {
		char aside[600];
		os_fault = answer;
		snprintf(aside, sizeof(aside), "%s.aside", newer_name);
		assert_int_equal(rename(newer_name, aside), 0);
		assert_int_equal(rename(older_name, newer_name), 0);
	}
	return 0;
}

static void only_what_the_name_leads_to_is_adopted(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	leave_two_segments(older_name, newer_name);
	os_fault = answer_renaming;
	usagelog *log = open_log(path, &options);
	assert_ptr_equal(os_fault, answer);
	record_one(log, 7);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(count_calls(path, 7), 1);
}

/* As a backup made of hard links has it: what is written to the one name would be in the other. */
static void a_segment_of_two_names_is_not_adopted(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	char name[512], backup[600];
	usagelog_close(open_log(path, &options), 0);
	find_file(path, ".seg", 0, name);
	snprintf(backup, sizeof(backup), "%s.backup", name);
	assert_int_equal(link(name, backup), 0);
	usagelog_close(open_log(path, &options), 0);
	assert_int_equal(count_files(path, ".seg"), 2);
}

static void another_logs_segment_is_not_adopted(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	char other[300], name[512], moved[600];
	snprintf(other, sizeof(other), "%s/other", path);
	usagelog_close(open_log(other, &options), 0);
	usagelog_close(open_log(path, &options), 0);
	find_file(path, ".seg", 0, name);
	assert_int_equal(unlink(name), 0);
	find_file(other, ".seg", 0, name);
	snprintf(moved, sizeof(moved), "%s%s", path, strrchr(name, '/'));
	assert_int_equal(rename(name, moved), 0);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	assert_int_equal(usagelog_close(log, 1000), 0);
	assert_int_equal(count_files(path, ".seg"), 2);
}

/* A byte that says more than a page holds would have it taken for wholly synced, and never be synced again. */
static void a_page_table_that_says_too_much_says_nothing(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	char name[512];
	struct ul_reader reader;
	static const uint8_t too_much[2] = {1, UL_PAGE_SLOTS + 1};
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	assert_int_equal(usagelog_close(log, 1000), 0);
	find_file(path, ".seg", 0, name);
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	uint32_t first = reader.first_slot / UL_PAGE_SLOTS;
	assert_int_equal(reader.durable[first], 3);
	assert_false(reader.table_damaged);
	/* The pages before the first hold no slots. */
	int fd = open(name, O_RDWR);
	assert_int_equal(pwrite(fd, too_much, 2, UL_TABLE_PAGE * UL_PAGE_BYTES + first - 1), 2);
	close(fd);
	assert_int_equal(ul_reader_refresh(&reader), 0);
	assert_int_equal(reader.durable[first - 1], 0);
	assert_int_equal(reader.durable[first], 0);
	assert_true(reader.table_damaged);
	ul_reader_close(&reader);
}

/* Its writer may have been at it when it was read: what the file has now counts. */
static void what_seems_damaged_is_read_again(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	char name[512];
	struct ul_reader reader;
	struct ul_slot slot, torn;
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	find_file(path, ".seg", 0, name);
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	assert_int_equal(ul_reader_read(&reader, reader.first_slot, 1, &slot), 0);
	torn = slot;
	torn.word++;
	assert_int_equal(ul_reader_classify(&reader, reader.first_slot, &torn), UL_SLOT_VALID);
	assert_memory_equal(&torn, &slot, sizeof(slot));
	ul_reader_close(&reader);
	usagelog_close(log, 0);
}

/* Nothing failed: this warning has no error. */
static void count_trust_warning(void *arg, int error, const char *message)
{
	(void)arg;
	warnings += !error && strstr(message, "others may write");
}

static void a_directory_that_others_may_write_to_is_warned_of(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(USAGELOG_NO_HELPER);
	options.warning = count_trust_warning;
	assert_int_equal(chmod(path, 0777), 0);
	warnings = 0;
	usagelog_close(open_log(path, &options), 0);
	assert_int_equal(warnings, 1);
	assert_int_equal(chmod(path, 0700), 0);
	warnings = 0;
	usagelog_close(open_log(path, &options), 0);
	assert_int_equal(warnings, 0);
}

static void a_helper_is_tried_again(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(0);
	options.segment_size_bytes = 1 << 20;
	fail_calls(OS_THREAD, 1, 3, EAGAIN);
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 1000; i++)
		record_one(log, 1);
	wait_until(stats_of(log).durable == 1000);
	assert_int_not_equal(stats_of(log).backend, USAGELOG_BACKEND_NONE);
	usagelog_close(log, 1000);
}

static void without_io_uring(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(0);
	fail_calls(OS_URING, 1, UINT32_MAX, EPERM);
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 1000; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(stats_of(log).backend, USAGELOG_BACKEND_SYSCALL);
	assert_int_equal(stats_of(log).backend_error, -EPERM);
	usagelog_close(log, 1000);
	assert_int_equal(read_log(path).calls, 1000);
}

static void io_uring_taken_away(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(0);
	usagelog *log = open_log(path, &options);
	record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 5000), 0);
#if defined(USAGELOG_EMULATED)
	/* The emulator has none, which the library finds out by itself. */
	assert_int_equal(stats_of(log).backend, USAGELOG_BACKEND_SYSCALL);
	assert_int_equal(stats_of(log).backend_error, -ENOSYS);
#else
	assert_int_equal(stats_of(log).backend, USAGELOG_BACKEND_URING);
#endif
	fail_calls(OS_URING, 1, UINT32_MAX, EPERM);
	for (int i = 0; i < 1000; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(stats_of(log).durable, 1001);
	usagelog_close(log, 1000);
	assert_int_equal(read_log(path).calls, 1001);
}

static void without_a_thread(void **state)
{
	(void)state;
	struct usagelog_options options = small_options(0);
	fail_calls(OS_THREAD, 1, UINT32_MAX, EAGAIN);
	warnings = 0;
	usagelog *log = open_log(path, &options);
	for (int i = 0; i < 2000; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 5000), 0);
	assert_int_equal(stats_of(log).backend, USAGELOG_BACKEND_NONE);
	assert_int_equal(stats_of(log).durable, 2000);
	assert_true(stats_of(log).inline_rotations > 0);
	assert_int_equal(warnings, 1);
	usagelog_close(log, 1000);
	assert_int_equal(read_log(path).calls, 2000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_call_fails_once_and_for_good),
		TEST(a_full_disk_with_a_helper),
		TEST(a_full_disk_without_one),
		TEST(a_fallback_is_used_and_left_again),
		TEST(a_failed_sync_is_rescued),
		TEST(a_failed_sync_is_rescued_inline),
		TEST(a_sync_cut_off_by_death_is_rescued),
		TEST(without_io_uring),
		TEST(a_failed_sync_is_never_repeated),
		TEST(a_failed_sync_is_never_repeated_inline),
		TEST(a_failed_sync_fails_all_of_its_segment),
		TEST(what_cannot_be_copied_from_memory_is_from_the_file),
		TEST(nobody_goes_on_where_a_sync_failed),
		TEST(nobody_goes_on_where_a_sync_failed_inline),
		TEST(a_sync_is_announced_in_the_header),
		TEST(a_page_of_a_failed_sync_is_never_synced),
		TEST(an_unlinked_segment_is_rescued),
		TEST(a_deleted_directory_comes_back),
		TEST(a_deleted_directory_comes_back_without_a_helper),
		TEST(a_segment_is_cut_in_mid_page_with_a_helper),
		TEST(a_segment_is_cut_in_mid_page_without_one),
		TEST(a_call_that_ends_while_a_pass_begins),
		TEST(a_sync_is_not_believed_of_a_file_that_cannot_be_read),
		TEST(a_segment_is_unlinked_while_it_is_synced),
		TEST(what_a_lost_page_held_is_kept),
		TEST(what_cannot_be_read_stops_nothing_else),
		TEST(a_segment_is_emptied_and_grows_again),
		TEST(a_segment_is_cut_short_with_a_helper),
		TEST(a_segment_is_cut_short_without_one),
		TEST(a_segment_is_cut_short_that_is_synchronous),
		TEST(an_unlinked_segment_is_rescued_inline),
		TEST(a_definition_is_synced_with_the_call_that_names_it),
		TEST(a_copy_is_durable_then_has_its_name_and_that_is_durable),
		TEST(a_live_writers_sync_is_not_rescued),
		TEST(only_what_the_name_leads_to_is_adopted),
		TEST(a_segment_of_two_names_is_not_adopted),
		TEST(another_logs_segment_is_not_adopted),
		TEST(a_page_table_that_says_too_much_says_nothing),
		TEST(what_seems_damaged_is_read_again),
		TEST(a_directory_that_others_may_write_to_is_warned_of),
		TEST(a_helper_is_tried_again),
		TEST(io_uring_taken_away),
		TEST(without_a_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
