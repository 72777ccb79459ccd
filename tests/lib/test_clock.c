/*
 * A wall clock that is wrong: years off, set back while a host records, before 1970. Calls get the time that the clock shows and stay in,
 * and nothing that waits waits for it. The clock is this program's own clock_gettime(), which the library calls, too.
 */
#include "support.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "format.h"

#define NS_PER_S ((int64_t)1000000000)
#define YEAR_S ((int64_t)31556952)

static _Atomic int64_t offset_s;
static _Atomic uint64_t asked;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, now);
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
		now->tv_sec += offset_s;
		asked++;
	}
	return result;
}

static int setup(void **state)
{
	(void)state;
	offset_s = 0;
	make_directory(path);
	return 0;
}

struct times {
	int64_t least, greatest;
	uint32_t tokens;
};

static int visit(void *arg, const struct usagelog_slot *shown)
{
	struct times *times = arg;
	struct ul_slot slot;
	memcpy(&slot, shown->bytes, sizeof(slot));
	if (shown->state != USAGELOG_SLOT_VALID || ul_slot_kind(&slot) != UL_KIND_CALL ||
	    slot.body.call.input_tokens != times->tokens)
		return 0;
	if (slot.body.call.time_ns < times->least)
		times->least = slot.body.call.time_ns;
	if (slot.body.call.time_ns > times->greatest)
		times->greatest = slot.body.call.time_ns;
	return 0;
}

/* When the calls with these tokens were, in s from what the system's clock shows. */
static void assert_recorded_at(uint32_t tokens, int64_t wanted_offset_s)
{
	struct times times = {.least = INT64_MAX, .greatest = INT64_MIN, .tokens = tokens};
	struct timespec now;
	size_t segments = count_files(path, ".seg");
	for (size_t n = 0; n < segments; n++) {
		char name[512];
		usagelog_segment *segment;
		find_file(path, ".seg", n, name);
		assert_int_equal(usagelog_segment_open(&segment, name), 0);
		assert_int_equal(usagelog_segment_visit(segment, visit, &times), 0);
		usagelog_segment_close(segment);
	}
	assert_int_equal(syscall(SYS_clock_gettime, CLOCK_REALTIME, &now), 0);
	int64_t wanted = (int64_t)now.tv_sec + wanted_offset_s;
	assert_true(times.least <= times.greatest);
	assert_in_range(wanted - times.least / NS_PER_S + 1, 0, 300);
	assert_in_range(wanted - times.greatest / NS_PER_S + 1, 0, 300);
}

static const int64_t offsets_s[] = {
	0, -3600, 3600, -20 * YEAR_S, 100 * YEAR_S, -56 * YEAR_S, -90 * YEAR_S, /* before 1970 */
	1};
enum { OFFSETS = sizeof(offsets_s) / sizeof(offsets_s[0]), CALLS = 20000 };

static void record_while_it_jumps(uint32_t flags)
{
	struct usagelog_options options = {
		.size = sizeof(options), .flags = flags, .segment_size_bytes = 1 << 20, .flush_interval_ms = 100};
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 0; i < OFFSETS; i++) {
		offset_s = offsets_s[i];
		uint64_t asked_before = asked;
		for (uint32_t call = 0; call < CALLS; call++)
			record_one(log, 1 + i);
		assert_true(asked > asked_before);
		if (!flags)
			wait_until(stats_of(log).durable == stats_of(log).committed);
		record_one(log, 1 + i);
		/* Set on or back while the interval of this one call runs; then, before a barrier: neither may wait for this clock. */
		if (!flags) {
			wait_until(stats_of(log).oldest_unsynced_ms ||
				   stats_of(log).durable == stats_of(log).committed);
			offset_s = offsets_s[(i + 1) % OFFSETS];
			wait_until(stats_of(log).durable == stats_of(log).committed);
			offset_s = offsets_s[i];
		}
		record_one(log, 1 + i);
		assert_int_equal(usagelog_flush(log, 10000), 0);
		assert_int_equal(stats_of(log).durable, (i + 1) * (CALLS + 2));
	}
	assert_true(stats_of(log).rotations > 0);
	assert_int_equal(usagelog_close(log, 10000), 0);
	for (uint32_t i = 0; i < OFFSETS; i++) {
		assert_int_equal(count_calls(path, 1 + i), CALLS + 2);
		assert_recorded_at(1 + i, offsets_s[i]);
	}
	offset_s = 0;
	verify_log(path, (uint64_t)OFFSETS * (CALLS + 2));
}

static void it_jumps(void **state)
{
	(void)state;
	record_while_it_jumps(0);
}

static void it_jumps_without_a_helper(void **state)
{
	(void)state;
	record_while_it_jumps(USAGELOG_NO_HELPER);
}

static void a_log_from_the_future_is_gone_on_with(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < OFFSETS; i++) {
		/* The newest name may be that of the oldest segment. */
		offset_s = offsets_s[OFFSETS - 1 - i];
		usagelog *log = open_log(path, NULL);
		record_one(log, 1 + i);
		assert_int_equal(usagelog_close(log, 10000), 0);
	}
	assert_int_equal(count_files(path, ".seg"), 1);
	for (uint32_t i = 0; i < OFFSETS; i++)
		assert_int_equal(count_calls(path, 1 + i), 1);
	offset_s = 0;
	verify_log(path, OFFSETS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(it_jumps),
		TEST(it_jumps_without_a_helper),
		TEST(a_log_from_the_future_is_gone_on_with),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
