/*
 * A disk that remembers: each write to it, in order, and each flush. Then it shows what a disk may hold after power was lost at any moment: all that was
 * written before the last flush, and of what came after, any of it, in any order, whole or by the sector.
 *
 *     disk MOUNTPOINT BYTES
 *
 * A FUSE filesystem of one file, `live`, that is the disk; one makes a loop device of it, which is written to and remembered. Once that is over the
 * filesystem is taken away, and states of the disk are written to ordinary files: nothing that is looked at hangs on this process. Commands are lines on
 * stdin, and each is answered by a line on stdout:
 *
 *     begin            from here on power may be lost
 *     end              the disk is let go of; says how many writes and flushes there were
 *     lose SEED FILE   write a state after a loss, chosen by the seed, to a new file: says the monotonic time, in ns, before which all that was flushed had
 *                      been, then what was chosen
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	SECTOR_BYTES = 512,
	REQUEST_BYTES = (1 << 20) + 65536,
	EVENTS_MAX = 1 << 22,
	BLOCK_BYTES = 4096,
	PENDING_MAX = 1 << 16,
	UNMOUNT_TRIES_MAX = 10000
};

/* A write, or a flush: without bytes. */
struct event {
	uint64_t time_ns;
	uint64_t offset;
	uint32_t bytes;
	uint8_t *data;
};

static struct {
	int fd; /* of /dev/fuse */
	uint64_t bytes;
	const char *place;
	uint8_t *live;
	uint8_t *base;      /* what a state begins with: all before `base_event` is written there */
	uint8_t *is_in_use; /* of each block: was anything but zeros ever written there? */
	uint32_t base_event;
	struct event *events;
	uint32_t event_count, flush_count, begin_event;
	pthread_mutex_t mutex;
	bool ended;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	_exit(2);
}

/* ---- states --------------------------------------------------------------------------------------------------- */

static uint64_t chance;

static uint32_t below(uint32_t limit)
{
	chance = chance * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((chance >> 33) % limit);
}

static void put(int state, const uint8_t *data, uint64_t bytes, uint64_t offset)
{
	if (pwrite(state, data, bytes, (off_t)offset) != (ssize_t)bytes)
		fail("write of a state");
}

/* A part of a write that got to the disk: all of it, some leading sectors, or any. Returns whether it was torn. */
static bool apply(int state, const struct event *event, uint32_t how)
{
	uint32_t sectors = (event->bytes + SECTOR_BYTES - 1) / SECTOR_BYTES;
	uint32_t lead = how == 1 ? below(sectors + 1) : sectors;
	if (how != 2) {
		uint64_t bytes = (uint64_t)lead * SECTOR_BYTES;
		put(state, event->data, bytes < event->bytes ? bytes : event->bytes, event->offset);
		return how == 1;
	}
	for (uint32_t i = 0; i < lead; i++) {
		uint32_t at = i * SECTOR_BYTES,
			 bytes = event->bytes - at < SECTOR_BYTES ? event->bytes - at : SECTOR_BYTES;
		if (below(2))
			put(state, event->data + at, bytes, event->offset + at);
	}
	return true;
}

/* The flush before this event: its number; none: 0. All before it is on the disk. */
static uint32_t flush_before(uint32_t event)
{
	while (event && disk.events[event - 1].bytes)
		event--;
	return event;
}

static void advance_base(uint32_t to)
{
	uint64_t blocks = disk.bytes / BLOCK_BYTES;
	for (uint64_t i = 0; to < disk.base_event && i < blocks; i++)
		if (disk.is_in_use[i])
			memset(disk.base + i * BLOCK_BYTES, 0, BLOCK_BYTES);
	if (to < disk.base_event)
		disk.base_event = 0;
	for (; disk.base_event < to; disk.base_event++) {
		const struct event *event = &disk.events[disk.base_event];
		memcpy(disk.base + event->offset, event->data, event->bytes);
	}
}

static int write_base(const char *path)
{
	int state = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t blocks = disk.bytes / BLOCK_BYTES;
	if (state < 0 || ftruncate(state, (off_t)disk.bytes))
		fail(path);
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t end = i;
		while (end < blocks && disk.is_in_use[end])
			end++;
		if (end > i)
			put(state, disk.base + i * BLOCK_BYTES, (end - i) * BLOCK_BYTES, i * BLOCK_BYTES);
		i = end;
	}
	return state;
}

/* Power is lost just before the event `cut`; of what was written since the last flush, `chosen` get to the disk. */
static void lose(uint64_t seed, const char *path)
{
	static uint32_t pending[PENDING_MAX];
	chance = seed * 2 + 1;
	below(2);
	uint32_t torn = 0, chosen = 0;
	/* The seed says where, too: seeds that follow each other lie near each other, which saves work. */
	uint64_t span = disk.event_count - disk.begin_event;
	uint32_t cut = disk.begin_event + (uint32_t)((seed % 1000000) * span / 1000000);
	uint32_t first = flush_before(cut), count = 0;
	advance_base(first);
	int state = write_base(path);
	uint32_t keep = below(5); /* of 4: none, a few, half, most, all */
	for (uint32_t i = first; i < cut && count < PENDING_MAX; i++)
		if (below(4) < keep)
			pending[count++] = i;
	bool reorder = below(4) > 0;
	for (uint32_t i = count; reorder && i > 1; i--) {
		uint32_t other = below(i), swapped = pending[i - 1];
		pending[i - 1] = pending[other];
		pending[other] = swapped;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t how = below(8);
		torn += apply(state, &disk.events[pending[i]], how < 3 ? how : 0);
		chosen++;
	}
	close(state);
	uint64_t time_ns = cut < disk.event_count ? disk.events[cut].time_ns : now_ns();
	printf("%llu event %u of %u, %u since the last flush, %u of them kept, %s, %u torn\n",
	       (unsigned long long)time_ns, cut, disk.event_count, cut - first, chosen,
	       reorder ? "reordered" : "in order", torn);
}

/* Until nothing uses it any more. */
static void let_go(void)
{
	for (uint32_t tries = 0; tries < UNMOUNT_TRIES_MAX && umount2(disk.place, 0) && errno == EBUSY; tries++)
		usleep(2000);
}

static void obey(void)
{
	char line[4096], path[4096];
	unsigned long long seed;
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "end", 3))
			let_go();
		pthread_mutex_lock(&disk.mutex);
		if (!strncmp(line, "end", 3)) {
			disk.ended = true;
			printf("%u events, %u flushes\n", disk.event_count, disk.flush_count);
		} else if (!strncmp(line, "begin", 5)) {
			disk.begin_event = disk.event_count;
			puts("begun");
		} else if (sscanf(line, "lose %llu %4095s", &seed, path) == 2) {
			lose(seed, path);
		}
		fflush(stdout);
		pthread_mutex_unlock(&disk.mutex);
	}
}

/* ---- FUSE ----------------------------------------------------------------------------------------------------- */

enum { NODE_LIVE = 2 };

static void reply(uint64_t unique, int error, const void *data, size_t bytes)
{
	static uint8_t out[REQUEST_BYTES];
	struct fuse_out_header *header = (struct fuse_out_header *)(void *)out;
	*header =
		(struct fuse_out_header){.len = (uint32_t)(sizeof(*header) + bytes), .error = -error, .unique = unique};
	if (bytes)
		memcpy(out + sizeof(*header), data, bytes);
	/* A request that was given up meanwhile has no place for its answer. */
	if (write(disk.fd, out, header->len) < 0 && errno != ENOENT)
		fail("write to /dev/fuse");
}

static struct fuse_attr attributes(uint64_t node)
{
	bool directory = node == FUSE_ROOT_ID;
	return (struct fuse_attr){.ino = node,
				  .size = directory ? 0 : disk.bytes,
				  .blocks = directory ? 0 : disk.bytes / 512,
				  .mode = directory ? S_IFDIR | 0700 : S_IFREG | 0600,
				  .nlink = 1,
				  .blksize = 4096};
}

static void look_up(const struct fuse_in_header *in, const char *name)
{
	uint64_t node = !strcmp(name, "live") ? NODE_LIVE : 0;
	struct fuse_entry_out entry = {.nodeid = node, .generation = 1, .attr = attributes(node)};
	reply(in->unique, node ? 0 : ENOENT, &entry, node ? sizeof(entry) : 0);
}

static void remember(const struct fuse_write_in *asked, const uint8_t *data)
{
	struct event *event = &disk.events[disk.event_count++];
	*event = (struct event){
		.time_ns = now_ns(), .offset = asked->offset, .bytes = asked->size, .data = malloc(asked->size)};
	if (!event->data || disk.event_count == EVENTS_MAX)
		fail("too much is written");
	memcpy(event->data, data, asked->size);
	for (uint64_t at = 0, bytes; at < asked->size; at += bytes) {
		uint64_t block = (asked->offset + at) / BLOCK_BYTES;
		bytes = (block + 1) * BLOCK_BYTES - (asked->offset + at);
		bytes = bytes < asked->size - at ? bytes : asked->size - at;
		disk.is_in_use[block] |= data[at] || memcmp(data + at, data + at + 1, bytes - 1) != 0;
	}
}

static void write_to(const struct fuse_in_header *in, const struct fuse_write_in *asked, const uint8_t *data)
{
	struct fuse_write_out written = {.size = asked->size};
	if (in->nodeid != NODE_LIVE || !asked->size || asked->offset + asked->size > disk.bytes) {
		reply(in->unique, EIO, NULL, 0);
		return;
	}
	if (!disk.ended)
		remember(asked, data);
	memcpy(disk.live + asked->offset, data, asked->size);
	reply(in->unique, 0, &written, sizeof(written));
}

static void flush(const struct fuse_in_header *in)
{
	if (in->nodeid == NODE_LIVE && !disk.ended && disk.event_count < EVENTS_MAX - 1) {
		disk.events[disk.event_count++] = (struct event){.time_ns = now_ns()};
		disk.flush_count++;
	}
	reply(in->unique, 0, NULL, 0);
}

static void answer(const struct fuse_in_header *in, const void *body)
{
	struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION,
				     .minor = FUSE_KERNEL_MINOR_VERSION,
				     .max_readahead = 1 << 17,
				     .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES,
				     .max_background = 64,
				     .congestion_threshold = 48,
				     .max_write = 1 << 20,
				     .time_gran = 1,
				     .max_pages = 256};
	struct fuse_attr_out found = {.attr = attributes(in->nodeid)};
	/* Straight through: what a loop device writes comes here as it writes it. */
	struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};
	const struct fuse_read_in *wanted = body;
	switch (in->opcode) {
	case FUSE_INIT:
		reply(in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		look_up(in, body);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		reply(in->unique, 0, &found, sizeof(found));
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		reply(in->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		if (in->nodeid == NODE_LIVE && wanted->offset + wanted->size <= disk.bytes)
			reply(in->unique, 0, disk.live + wanted->offset, wanted->size);
		else
			reply(in->unique, in->nodeid == NODE_LIVE ? 0 : EIO, NULL, 0);
		break;
	case FUSE_WRITE:
		write_to(in, body, (const uint8_t *)body + sizeof(struct fuse_write_in));
		break;
	case FUSE_FSYNC:
		flush(in);
		break;
	case FUSE_RELEASE:
	case FUSE_FLUSH:
	case FUSE_RELEASEDIR:
	case FUSE_DESTROY:
		reply(in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(in->unique, ENOSYS, NULL, 0);
	}
}

static void *serve(void *unused)
{
	static uint8_t request[REQUEST_BYTES];
	for (;;) {
		ssize_t got = read(disk.fd, request, sizeof(request));
		if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (got < (ssize_t)sizeof(struct fuse_in_header))
			return unused; /* it was unmounted */
		pthread_mutex_lock(&disk.mutex);
		answer((const struct fuse_in_header *)(void *)request, request + sizeof(struct fuse_in_header));
		pthread_mutex_unlock(&disk.mutex);
	}
}

int main(int argc, char **argv)
{
	pthread_t server;
	char options[128];
	if (argc != 3)
		return 16;
	disk.place = argv[1];
	disk.bytes = strtoull(argv[2], NULL, 10);
	disk.live = mmap(NULL, disk.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	disk.base = mmap(NULL, disk.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	disk.is_in_use = calloc(disk.bytes / BLOCK_BYTES + 1, 1);
	disk.events = mmap(NULL, sizeof(*disk.events) * EVENTS_MAX, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (disk.live == MAP_FAILED || disk.base == MAP_FAILED || disk.events == MAP_FAILED || !disk.is_in_use)
		fail("memory");
	disk.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (disk.fd < 0)
		return 77;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40700,user_id=0,group_id=0", disk.fd);
	if (mount("disk", argv[1], "fuse", MS_NOSUID | MS_NODEV, options))
		return 77;
	if (pthread_create(&server, NULL, serve, NULL))
		return 2;
	puts("ready");
	fflush(stdout);
	obey();
	/* By force: what a loop device still waits for must end with us. */
	umount2(argv[1], MNT_FORCE | MNT_DETACH);
	return 0;
}
