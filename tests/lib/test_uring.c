/* What the kernel is asked for by io_uring, which no tracer shows: every sync that a promise hangs on is among it, of the right file and range. */
#include "support.h"

#include <fcntl.h>
#include <liburing.h>
#include <stdbool.h>
#include <unistd.h>

#include "format.h"

enum { REQUESTS_MAX = 4096, CALLS = 40000 };

/* What was submitted. Only the helper's thread does; it is looked at when that has ended. */
static struct request {
	uint8_t opcode;
	bool data_only;
	uint64_t first, last; /* bytes, of a sync of data */
	char file[512];       /* what the descriptor led to then; of a rename, the name from which */
} requests[REQUESTS_MAX];
static size_t request_count;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

static void note(const struct io_uring_sqe *sqe)
{
	char link[64];
	if ((sqe->opcode != IORING_OP_FSYNC && sqe->opcode != IORING_OP_RENAMEAT) || request_count == REQUESTS_MAX)
		return;
	struct request *request = &requests[request_count++];
	request->opcode = sqe->opcode;
	if (sqe->opcode == IORING_OP_RENAMEAT) {
		snprintf(request->file, sizeof(request->file), "%s/%s", path, (const char *)(uintptr_t)sqe->addr);
		return;
	}
	request->data_only = sqe->fsync_flags & IORING_FSYNC_DATASYNC;
	request->first = sqe->off;
	request->last = sqe->off + sqe->len;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", sqe->fd);
	ssize_t length = readlink(link, request->file, sizeof(request->file) - 1);
	request->file[length < 0 ? 0 : length] = '\0';
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
	for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++)
		note(&ring->sq.sqes[i & *ring->sq.kring_mask]);
	return __real_io_uring_submit(ring);
}

static bool page_was_synced(const char *file, uint64_t page)
{
	for (size_t i = 0; i < request_count; i++) {
		const struct request *request = &requests[i];
		if (request->opcode == IORING_OP_FSYNC && request->data_only && !strcmp(request->file, file) &&
		    request->first <= page * UL_PAGE_BYTES && request->last >= (page + 1) * UL_PAGE_BYTES - 1)
			return true;
	}
	return false;
}

/* A whole sync of this file, among the requests from `first` on and before `end`. */
static bool was_synced(const char *file, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		if (requests[i].opcode == IORING_OP_FSYNC && !requests[i].data_only && !strcmp(requests[i].file, file))
			return true;
	return false;
}

static void pages_called_durable_were_synced(const char *file, uint32_t *pages)
{
	uint8_t table[UL_PAGE_BYTES];
	int fd = open(file, O_RDONLY);
	assert_int_equal(pread(fd, table, sizeof(table), (off_t)UL_TABLE_PAGE * UL_PAGE_BYTES), sizeof(table));
	close(fd);
	for (uint32_t page = 0; page < sizeof(table); page++) {
		if (!table[page])
			continue;
		(*pages)++;
		assert_true(page_was_synced(file, page));
	}
}

static void every_promise_has_its_sync(void **state)
{
	(void)state;
	struct usagelog_options options = {
		.size = sizeof(options), .time_zone = "UTC", .segment_size_bytes = 1 << 20, .flush_interval_ms = 5};
	make_directory(path);
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 0; i < CALLS; i++) {
		record_one(log, 1);
		if (i % 1000 == 0)
			assert_int_equal(usagelog_flush(log, 10000), 0);
	}
	assert_int_equal(usagelog_flush(log, 10000), 0);
	bool uring = stats_of(log).backend == USAGELOG_BACKEND_URING;
	assert_int_equal(usagelog_close(log, 10000), 0);
	uint32_t pages = 0, renames = 0;
	for (size_t n = 0; uring && n < count_files(path, ".seg"); n++) {
		char file[512];
		/* The first was made before there was a helper, which synced what is in it. */
		find_file(path, ".seg", n, file);
		pages_called_durable_were_synced(file, &pages);
	}
	for (size_t i = 0; i < request_count; i++) {
		if (requests[i].opcode != IORING_OP_RENAMEAT)
			continue;
		renames++;
		assert_true(was_synced(requests[i].file, 0, i));
		assert_true(was_synced(path, i, request_count));
	}
	remove_directory(path);
	if (!uring)
		skip();
	assert_true(pages >= CALLS / UL_PAGE_SLOTS);
	assert_true(renames >= 2);
	assert_true(request_count < REQUESTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_promise_has_its_sync)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
