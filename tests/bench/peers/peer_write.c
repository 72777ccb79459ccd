/*
 * The least that system calls can do: 64 bytes a call, appended by write(2), with fdatasync where they are to be durable; or into room
 * that was allocated before, so that a sync need not write the file's size.
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

/* More than a disk syncs one by one in an hour. */
enum { ALLOCATED_BYTES = 256 << 20 };

struct state {
	int fd;
	bool is_durable;
};

static struct state *open_file(const char *directory, int flags)
{
	char path[PEER_PATH_BYTES];
	struct state *state = calloc(1, sizeof(*state));
	if (!state)
		bench_die("write", -ENOMEM);
	peer_path(path, directory, "calls");
	state->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
	if (state->fd < 0)
		bench_die(path, -errno);
	return state;
}

static void *write_open(const char *directory, bool is_durable)
{
	struct state *state = open_file(directory, O_APPEND);
	state->is_durable = is_durable;
	return state;
}

static void write_record(void *arg, uint64_t number)
{
	struct state *state = arg;
	struct peer_entry entry = peer_entry_make(number);
	if (write(state->fd, &entry, sizeof(entry)) != sizeof(entry))
		bench_die("write", -errno);
	if (state->is_durable && fdatasync(state->fd))
		bench_die("fdatasync", -errno);
}

static void *allocated_open(const char *directory, bool is_durable)
{
	(void)is_durable;
	struct state *state = open_file(directory, 0);
	int error = -posix_fallocate(state->fd, 0, ALLOCATED_BYTES);
	if (error)
		bench_die("fallocate of the file to write to", error);
	/* The allocation itself is not what is measured. */
	if (fsync(state->fd))
		bench_die("fsync", -errno);
	return state;
}

static void allocated_record(void *arg, uint64_t number)
{
	struct state *state = arg;
	struct peer_entry entry = peer_entry_make(number);
	off_t place = (off_t)(number * sizeof(entry) % ALLOCATED_BYTES);
	if (pwrite(state->fd, &entry, sizeof(entry), place) != sizeof(entry))
		bench_die("pwrite", -errno);
	if (fdatasync(state->fd))
		bench_die("fdatasync", -errno);
}

static void write_close(void *arg)
{
	struct state *state = arg;
	close(state->fd);
	free(state);
}

static uint64_t write_count(const char *directory)
{
	char path[PEER_PATH_BYTES];
	struct stat found;
	peer_path(path, directory, "calls");
	return stat(path, &found) ? 0 : (uint64_t)found.st_size / sizeof(struct peer_entry);
}

const struct peer peer_write = {.name = "write",
				.what = "write(2), O_APPEND, 64 bytes",
				.durable = "write(2), O_APPEND + fdatasync",
				.one_thread = true,
				.open = write_open,
				.record = write_record,
				.flush = peer_flush_nothing,
				.close = write_close,
				.count = write_count};

const struct peer peer_write_allocated = {.name = "write_allocated",
					  .what = "pwrite(2) into an allocated file",
					  .durable = "pwrite(2) into an allocated file + fdatasync",
					  .only_durable = true,
					  .one_thread = true,
					  .open = allocated_open,
					  .record = allocated_record,
					  .flush = peer_flush_nothing,
					  .close = write_close};
