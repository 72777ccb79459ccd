/*
 * While a run of the compactor is at work every call to the system fails, once or from then on. Whatever came of that run, the next one gives the
 * totals of an undisturbed one: each call once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calendar.h"
#include "compact.h"
#include "handle.h"
#include "../lib/fault_plan.h"
#include "os.h"
#include "prune.h"
#include "reader.h"
#include "usagelog.h"
#include "verify.h"

enum { CALLS = 700, RETENTION_DAYS = 365 };

/* What the runs do: delete old segments, fold everything anew. */
static bool deletes, rebuilds;

static char path[] = "/tmp/usagelog-faults-XXXXXX";

static void empty_directory(void)
{
	char command[200];
	snprintf(command, sizeof(command), "rm -rf '%s'/*", path);
	assert_int_equal(system(command), 0);
}

/* A day's calls, not synced by their writer, so that the compactor must. */
static void record_calls(int64_t day)
{
	usagelog *log;
	struct usagelog_options options = {
		.size = sizeof(options), .flags = USAGELOG_NO_HELPER, .segment_size_bytes = 65536, .time_zone = "UTC"};
	assert_int_equal(usagelog_open(&log, path, &options), 0);
	for (uint32_t i = 0; i < CALLS; i++) {
		uint8_t id[16];
		uint64_t number = (uint64_t)day * CALLS + i;
		usagelog_call_id((const char *)&number, sizeof(number), id);
		struct usagelog_names names = {
			.provider = "p", .model = i % 2 ? "a" : "b", .attributes = {.operation = "chat"}};
		struct usagelog_call call = {.time_ns = (day * 86400 + i) * 1000000000,
					     .input_tokens = i,
					     .cost_pico_usd = 7,
					     .flags = USAGELOG_COST,
					     .call_id = id};
		assert_int_equal(usagelog_record_names(log, &names, &call), 0);
	}
	assert_int_equal(usagelog_close(log, 0), 0);
}

struct outcome {
	int error;
	int64_t calls, input, cost, listed, days, unknown;
};

static struct outcome compact(void)
{
	struct outcome totals = {0};
	struct ul_directory directory;
	struct ul_message why;
	struct names names;
	struct checkpoint checkpoint = {0};
	struct compact_result result;
	struct findings findings = {0};
	totals.error = ul_directory_open(&directory, path, &why);
	if (totals.error)
		return totals;
	int lock = store_lock(directory.fd);
	totals.error = lock < 0 ? lock : names_init(&names);
	if (!totals.error) {
		totals.error = compact_run(&directory, &(struct compact_options){.rebuild = rebuilds}, &checkpoint,
					   &names, &result, &findings, &why);
		const struct table *rows = &checkpoint.totals.facts.rows;
		for (uint32_t i = 0; i < rows->count && !totals.error; i++) {
			const struct ul_row *row = table_record(rows, i);
			totals.calls += row->calls;
			totals.input += row->tokens[UL_INPUT];
			totals.cost += (int64_t)row->cost_pico_usd.low;
			totals.unknown += row->model == NAME_UNKNOWN ? row->calls : 0;
		}
		totals.listed = (int64_t)checkpoint.call_count;
		totals.days = (int64_t)checkpoint.day_count;
		checkpoint_clear(&checkpoint);
		findings_clear(&findings);
		names_clear(&names);
	}
	os_close(lock);
	ul_directory_close(&directory);
	return totals;
}

static void expect_totals(int64_t days)
{
	struct outcome totals = compact();
	assert_int_equal(totals.error, 0);
	assert_int_equal(totals.calls, days * CALLS);
	assert_int_equal(totals.input, days * CALLS * (CALLS - 1) / 2);
	assert_int_equal(totals.cost, days * CALLS * 7);
	assert_int_equal(totals.listed, days * CALLS < 1000 ? days * CALLS : 1000);
	assert_int_equal(totals.days, days);
	/* Nor are they others: of a name that could not be read once it is not said for good that it is unknown. */
	assert_int_equal(totals.unknown, 0);
	/* Ids, fact files and all else as the segments have it. */
	struct verification found;
	struct ul_message why;
	bool moved;
	assert_int_equal(verify_once(&found, path, &moved, &why), 0);
	assert_false(found.damage || found.unreadable);
	verification_clear(&found);
}

static void set_retention(void)
{
	struct ul_directory directory;
	struct ul_message why;
	assert_int_equal(ul_directory_open(&directory, path, &why), 0);
	directory.conf.retention_days = RETENTION_DAYS;
	assert_int_equal(ul_directory_write_conf(&directory, &directory.conf), 0);
	ul_directory_close(&directory);
	char command[200];
	snprintf(command, sizeof(command), "touch -d 1970-01-04 '%s'/*.seg", path);
	assert_int_equal(system(command), 0);
}

/* A run over one day that is folded and one that is new, in which calls of this kind fail. How many of them there were. */
static uint32_t disturb(int kind, uint32_t first, uint32_t count, int error)
{
	empty_directory();
	record_calls(1);
	expect_totals(1);
	record_calls(deletes ? 2 * RETENTION_DAYS : 2);
	if (deletes)
		set_retention();
	fail_calls((enum os_call)kind, first, count, error);
	compact();
	fail_nothing();
	expect_totals(2);
	/* And once more, with nothing to do. */
	expect_totals(2);
	return plan.seen;
}

/* Each so-manieth call of a kind: all of them, unless USAGELOG_KILL_STEP says otherwise. */
static uint32_t step(void)
{
	const char *text = getenv("USAGELOG_KILL_STEP");
	return text && atoi(text) > 0 ? (uint32_t)atoi(text) : 1;
}

static void every_call_fails(void)
{
	static const int errors[] = {EIO, ENOSPC, ENOMEM};
	uint32_t points = 0, kinds = 0;
	for (int kind = 0; kind < OS_CALLS; kind++) {
		uint32_t seen = disturb(kind, UINT32_MAX, 0, EIO);
		kinds += seen > 0;
		/* Allocations are many and alike: the first fifty, then ever rarer ones. */
		for (uint32_t n = 1; n <= seen; n += n < 50 || n / 8 < step() ? step() : n / 8) {
			disturb(kind, n, 1, errors[n % 3]);
			disturb(kind, n, UINT32_MAX, errors[n % 3]);
			points += 2;
		}
	}
	print_message("%u points, %u kinds of calls\n", points, kinds);
	assert_true(points > 100 / step());
	assert_true(kinds >= 9);
}

static void a_run(void **state)
{
	(void)state;
	every_call_fails();
}

static bool is_there(const char *pattern)
{
	char command[200];
	snprintf(command, sizeof(command), "ls '%s'/%s >/dev/null 2>&1", path, pattern);
	return system(command) == 0;
}

static void a_run_that_deletes(void **state)
{
	(void)state;
	deletes = true;
	every_call_fails();
	assert_true(is_there("checkpoint.base"));
	deletes = false;
}

static void a_rebuild(void **state)
{
	(void)state;
	rebuilds = true;
	every_call_fails();
	rebuilds = false;
}

/* Segments in which nobody goes on. */
static uint32_t given_up_count(void)
{
	uint32_t count = 0;
	glob_t found;
	char pattern[200];
	snprintf(pattern, sizeof(pattern), "%s/*.seg", path);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct ul_reader reader;
		assert_int_equal(ul_reader_open(&reader, AT_FDCWD, found.gl_pathv[i]), 0);
		count += reader.blocks[UL_BLOCK_GIVEN_UP].payload.given_up == 1;
		ul_reader_close(&reader);
	}
	globfree(&found);
	return count;
}

static void a_failed_sync_is_not_repeated(void **state)
{
	(void)state;
	disturb(OS_SYNC_RANGE, 1, 1, EIO);
	/* What could not be synced was copied, and only then folded. */
	assert_true(is_there("*.1.seg"));
	assert_int_equal(given_up_count(), 1);
}

static void in_directory(const char *what)
{
	char command[400];
	snprintf(command, sizeof(command), "cd '%s' && %s", path, what);
	assert_int_equal(system(command), 0);
}

/* All is folded anew: what is durable in the copy need not be in the file of which it was refused. */
static void a_durable_copy_is_enough(void **state)
{
	(void)state;
	empty_directory();
	record_calls(1);
	fail_calls(OS_SYNC_RANGE, 1, UINT32_MAX, EIO);
	assert_int_equal(compact().calls, CALLS);
	assert_true(is_there("*.1.seg"));
	in_directory("find . -type f ! -name '*.seg' ! -name log.conf -delete");
	fail_calls(OS_SYNC_RANGE, 1, UINT32_MAX, EIO);
	expect_totals(1);
	assert_int_equal(plan.seen, 0);
	fail_nothing();
	assert_false(is_there("*.2.seg"));
}

/* A lost fact file is made anew of all that it held, or not at all: also where the segment's header cannot be read, and only its name is known. */
static void a_lost_day_waits_for_its_segment(void **state)
{
	(void)state;
	empty_directory();
	record_calls(1);
	expect_totals(1);
	in_directory("cp 1970-01-02.1.facts ../kept.facts && rm 1970-01-02.1.facts");
	in_directory("for f in *.seg; do mv $f $f.aside && ln -s $f.aside $f || exit; done");
	assert_int_not_equal(compact().error, 0);
	in_directory("for f in *.seg; do mv $f.aside $f || exit; done");
	expect_totals(1);
	/* The same but for its generation: quarters of an hour, attributes and all. */
	in_directory("test $(stat -c %s 1970-01-02.*.facts) = $(stat -c %s ../kept.facts) && rm ../kept.facts");
}

static usagelog *live;
static uint32_t reads_left;

/* The writer's sync, which was under way, ends well. */
static int end_sync(enum os_call call)
{
	if (call == OS_READ && reads_left && !--reads_left)
		ul_segment_write_sync(atomic_load(&live->current), 0, 0, 0);
	return 0;
}

/*
 * The kernel tells of a failed write once. While the writer syncs it may have been told already: so the compactor's own sync says nothing. `reads`: the
 * writer's sync ends well after so many of the compactor's calls; 0: it does not.
 */
static void a_writers_sync(uint32_t reads, bool gives_up)
{
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_NO_HELPER, .time_zone = "UTC"};
	struct usagelog_names names = {.provider = "p", .model = "a"};
	struct usagelog_call call = {.input_tokens = 1};
	empty_directory();
	assert_int_equal(usagelog_open(&live, path, &options), 0);
	assert_int_equal(usagelog_record_names(live, &names, &call), 0);
	struct ul_segment *segment = atomic_load(&live->current);
	ul_segment_write_sync(segment, 0, gives_up ? 0 : segment->first_page, !gives_up);
	if (gives_up)
		ul_segment_give_up(segment);
	reads_left = reads;
	os_fault = end_sync;
	/* Folded either way, but where it is durable. */
	for (uint32_t i = 0; i < 2; i++) {
		struct outcome found = compact();
		os_fault = answer;
		assert_int_equal(found.error, 0);
		assert_int_equal(found.calls, 1);
		assert_int_equal(is_there("*.1.seg"), !reads);
		assert_false(is_there("*.2.seg"));
		ul_segment_write_sync(segment, 0, 0, 0);
	}
	assert_int_equal(usagelog_close(live, 0), 0);
}

static void a_writers_sync_is_waited_for(void **state)
{
	(void)state;
	a_writers_sync(60, false);
}

static void a_writers_sync_that_does_not_end_is_not_believed(void **state)
{
	(void)state;
	a_writers_sync(0, false);
}

static void a_segment_that_its_writer_gave_up_is_not_believed(void **state)
{
	(void)state;
	a_writers_sync(0, true);
}

/* A writer that dies while it syncs all that it has. */
static void leave_sync(void)
{
	pid_t writer = fork();
	if (!writer) {
		usagelog *log;
		struct usagelog_options options = {
			.size = sizeof(options), .flags = USAGELOG_NO_HELPER, .time_zone = "UTC"};
		struct usagelog_names names = {.provider = "p", .model = "a"};
		struct usagelog_call call = {.input_tokens = 1};
		if (usagelog_open(&log, path, &options) || usagelog_record_names(log, &names, &call))
			_exit(1);
		struct ul_segment *segment = atomic_load(&log->current);
		ul_segment_write_sync(segment, 0, segment->first_page, 1);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(writer, &status, 0), writer);
	assert_int_equal(status, 0);
}

static bool boot_is_unknown;
int __real_os_boot_id(uint8_t id[16]);
int __wrap_os_boot_id(uint8_t id[16]);

int __wrap_os_boot_id(uint8_t id[16])
{
	return boot_is_unknown ? -EACCES : __real_os_boot_id(id);
}

/* Without /proc, say: what a sync that was cut off may have left out is not folded until it is known to be on the disk. */
static void a_boot_that_is_not_known(void **state)
{
	(void)state;
	empty_directory();
	leave_sync();
	boot_is_unknown = true;
	struct outcome totals = compact();
	boot_is_unknown = false;
	assert_int_equal(totals.calls, 0);
	totals = compact();
	assert_int_equal(totals.error, 0);
	assert_int_equal(totals.calls, 1);
	assert_true(is_there("*.1.seg"));
}

/* Somebody has a lock for a moment, whichever: no run that says that it did all leaves the calls of that segment out. */
static void a_lock_that_is_held_for_a_moment(void **state)
{
	bool reached = true;
	uint32_t first;
	(void)state;
	for (first = 1; reached; first++) {
		empty_directory();
		leave_sync();
		fail_calls(OS_LOCK, first, 1, EAGAIN);
		struct outcome totals = compact();
		reached = plan.seen >= first;
		fail_nothing();
		assert_int_equal(totals.calls, !totals.error);
	}
	/* The compactor's own, a look whether there is a writer, and the rescue's. */
	assert_true(first > 3);
	assert_true(is_there("*.1.seg"));
}

static uint32_t replaced;

/* Each segment is another file by now, of the same name: as when a backup is put back. At each lock, as segments of one millisecond are in any order. */
static int replace_segments(enum os_call call)
{
	char command[400];
	if (call != OS_LOCK)
		return 0;
	replaced++;
	snprintf(command, sizeof(command),
		 "cd '%s' && for f in *.seg; do mv $f $f.aside && cp -p $f.aside $f || exit; done", path);
	assert_int_equal(system(command), 0);
	return 0;
}

/* How many files would be deleted; `fault` begins after all are listed. */
static size_t count_chosen(int (*fault)(enum os_call call))
{
	struct ul_directory directory;
	struct ul_message why;
	struct names names;
	struct recovery_state state;
	struct segments segments;
	struct findings findings = {0};
	assert_int_equal(ul_directory_open(&directory, path, &why), 0);
	assert_int_equal(names_init(&names), 0);
	assert_int_equal(recovery_load(&state, &names, &directory, &findings, &why), 0);
	assert_int_equal(segments_scan(&segments, &directory, &findings), 0);
	struct prune prune = {.directory = &directory, .segments = &segments, .findings = &findings};
	os_fault = fault;
	assert_int_equal(prune_choose(&prune, &state.checkpoint, os_time_ns()), 0);
	os_fault = answer;
	size_t chosen = prune.file_count;
	prune_clear(&prune);
	segments_clear(&segments);
	checkpoint_clear(&state.checkpoint);
	names_clear(&names);
	findings_clear(&findings);
	ul_directory_close(&directory);
	return chosen;
}

/* Its lock is not that of the file that would be deleted. */
static void a_file_whose_name_leads_elsewhere_is_kept(void **state)
{
	(void)state;
	empty_directory();
	record_calls(1);
	record_calls(2 * RETENTION_DAYS);
	expect_totals(2);
	set_retention();
	size_t chosen = count_chosen(answer);
	assert_true(chosen > 0);
	assert_int_equal(count_chosen(replace_segments), chosen - 1);
	assert_true(replaced > 0);
}

/* The slot of the one id in the log, which is taken out of the file, and comes back with the next read. */
static struct {
	int fd;
	uint32_t number;
	struct ul_slot slot;
	bool armed;
} late;

static int bring_id(enum os_call call)
{
	if (call != OS_READ || !late.armed)
		return 0;
	late.armed = false;
	off_t place = (off_t)late.number * UL_SLOT_BYTES;
	assert_int_equal(pwrite(late.fd, &late.slot, sizeof(late.slot), place), sizeof(late.slot));
	return 0;
}

static int find_id(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	uint32_t *ids = arg;
	if (ul_slot_kind(slot) == UL_KIND_CALL_ID) {
		late.number = number;
		late.slot = *slot;
	}
	*ids += before && ul_slot_kind(before) == UL_KIND_CALL_ID;
	return 0;
}

static uint32_t count_ids(bool late_id)
{
	static const struct runs none;
	struct ul_directory directory;
	struct ul_message why;
	struct segments segments;
	struct findings findings = {0};
	struct group_reader reader;
	struct slot_counts counts = {0};
	uint32_t ids = 0;
	assert_int_equal(ul_directory_open(&directory, path, &why), 0);
	assert_int_equal(segments_scan(&segments, &directory, &findings), 0);
	assert_int_equal(segments.group_count, 1);
	assert_int_equal(group_open(&reader, &segments, &segments.groups[0], &findings), 0);
	late.armed = late_id;
	assert_int_equal(group_visit(&reader, &none, false, find_id, &ids, &counts), 0);
	assert_int_equal(counts.holes + counts.unfinished + counts.damaged, 0);
	group_close(&reader);
	segments_clear(&segments);
	findings_clear(&findings);
	ul_directory_close(&directory);
	return ids;
}

/* A call and its id are stored while their page is read: who sees the call sees the id. */
static void an_id_that_comes_with_its_call(void **state)
{
	static const struct ul_slot empty;
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_NO_HELPER, .time_zone = "UTC"};
	struct usagelog_names names = {.provider = "p", .model = "a"};
	uint8_t id[16] = {1};
	glob_t found;
	char pattern[200];
	usagelog *log;
	(void)state;
	empty_directory();
	assert_int_equal(usagelog_open(&log, path, &options), 0);
	assert_int_equal(usagelog_record_names(log, &names, &(struct usagelog_call){.call_id = id}), 0);
	assert_int_equal(usagelog_close(log, 0), 0);
	assert_int_equal(count_ids(false), 1);
	snprintf(pattern, sizeof(pattern), "%s/*.seg", path);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	late.fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
	globfree(&found);
	assert_int_equal(pwrite(late.fd, &empty, sizeof(empty), (off_t)late.number * UL_SLOT_BYTES), sizeof(empty));
	os_fault = bring_id;
	uint32_t ids = count_ids(true);
	os_fault = answer;
	close(late.fd);
	assert_int_equal(ids, 1);
}

/* The calls of the list are read again, each with its id, and the text of their context: by pages, and of each text once. */
static void reads_are_of_pages(void **state)
{
	(void)state;
	empty_directory();
	record_calls(1);
	fail_calls(OS_READ, UINT32_MAX, 0, EIO);
	struct outcome totals = compact();
	uint32_t reads = plan.seen;
	fail_nothing();
	assert_int_equal(totals.calls, CALLS);
	assert_in_range(reads, 2 * CALLS / UL_PAGE_SLOTS, CALLS / 4);
	print_message("%u reads\n", reads);
}

static int setup(void **state)
{
	(void)state;
	os_fault = answer;
	assert_int_equal(calendar_set_zone("UTC"), 0);
	return mkdtemp(path) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	empty_directory();
	return rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_run),
					   cmocka_unit_test(a_run_that_deletes),
					   cmocka_unit_test(a_rebuild),
					   cmocka_unit_test(a_failed_sync_is_not_repeated),
					   cmocka_unit_test(a_durable_copy_is_enough),
					   cmocka_unit_test(a_lost_day_waits_for_its_segment),
					   cmocka_unit_test(a_writers_sync_is_waited_for),
					   cmocka_unit_test(a_writers_sync_that_does_not_end_is_not_believed),
					   cmocka_unit_test(a_segment_that_its_writer_gave_up_is_not_believed),
					   cmocka_unit_test(a_boot_that_is_not_known),
					   cmocka_unit_test(a_lock_that_is_held_for_a_moment),
					   cmocka_unit_test(a_file_whose_name_leads_elsewhere_is_kept),
					   cmocka_unit_test(an_id_that_comes_with_its_call),
					   cmocka_unit_test(reads_are_of_pages)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
