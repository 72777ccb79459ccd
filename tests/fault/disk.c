/*
 * A disk that remembers: each write to it, in order, and each flush. Then it shows what a disk may hold after power was lost at any moment: all that was
 * written before the last flush, and of what came after, any of it, in any order, whole or by the sector.
 *
 *     disk MOUNTPOINT BYTES
 *
 * A FUSE filesystem of files that are the disk, of which one makes a loop device: `live` is written to and remembered; `state-<n>` is a state of it after a
 * loss, chosen from the seed n at the moment that it is first opened; what is written to it is forgotten when it is closed. Commands are lines on stdin, and
 * each is answered by a line on stdout:
 *
 *     begin        from here on power may be lost
 *     end          `live` is written to no more; says how many writes and flushes there were
 *     lose SEED    choose a state for `state-SEED`: says the monotonic time, in ns, before which all that was flushed had been, then what was chosen
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
	STATES_MAX = 64,
	PENDING_MAX = 1 << 16
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
	uint8_t *live;
	int memory; /* what a state begins with: all before `base_event` is written there */
	uint8_t *base;
	uint32_t base_event;
	struct event *events;
	uint32_t event_count, flush_count, begin_event;
	struct {
		uint64_t seed;
		uint8_t *image; /* NULL: free */
	} states[STATES_MAX];
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

/* A part of a write that got to the disk: all of it, some leading sectors, or any. Returns whether it was torn. */
static bool apply(uint8_t *image, const struct event *event, uint32_t how)
{
	uint32_t sectors = (event->bytes + SECTOR_BYTES - 1) / SECTOR_BYTES;
	uint32_t lead = how == 1 ? below(sectors + 1) : sectors;
	for (uint32_t i = 0; i < lead; i++) {
		uint32_t at = i * SECTOR_BYTES,
			 bytes = event->bytes - at < SECTOR_BYTES ? event->bytes - at : SECTOR_BYTES;
		if (how != 2 || below(2))
			memcpy(image + event->offset + at, event->data + at, bytes);
	}
	return how != 0;
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
	if (to < disk.base_event) {
		if (ftruncate(disk.memory, 0) || ftruncate(disk.memory, (off_t)disk.bytes))
			fail("ftruncate");
		disk.base_event = 0;
	}
	for (; disk.base_event < to; disk.base_event++) {
		const struct event *event = &disk.events[disk.base_event];
		memcpy(disk.base + event->offset, event->data, event->bytes);
	}
}

/* Power is lost just before the event `cut`; of what was written since the last flush, `chosen` get to the disk. */
static void lose(uint64_t seed)
{
	static uint32_t pending[PENDING_MAX];
	chance = seed * 2 + 1;
	below(2);
	uint32_t place = 0, torn = 0, chosen = 0;
	while (place < STATES_MAX - 1 && disk.states[place].image)
		place++;
	/* The seed says where, too: seeds that follow each other lie near each other, which saves work. */
	uint64_t span = disk.event_count - disk.begin_event;
	uint32_t cut = disk.begin_event + (uint32_t)((seed % 1000000) * span / 1000000);
	uint32_t first = flush_before(cut), count = 0;
	advance_base(first);
	uint8_t *image = mmap(NULL, disk.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, disk.memory, 0);
	if (image == MAP_FAILED)
		fail("mmap");
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
		torn += apply(image, &disk.events[pending[i]], how < 3 ? how : 0);
		chosen++;
	}
	if (disk.states[place].image)
		munmap(disk.states[place].image, disk.bytes);
	disk.states[place].seed = seed;
	disk.states[place].image = image;
	uint64_t time_ns = cut < disk.event_count ? disk.events[cut].time_ns : now_ns();
	printf("%llu event %u of %u, %u since the last flush, %u of them kept, %s, %u torn\n",
	       (unsigned long long)time_ns, cut, disk.event_count, cut - first, chosen,
	       reorder ? "reordered" : "in order", torn);
}

static void obey(void)
{
	char line[128];
	while (fgets(line, sizeof(line), stdin)) {
		pthread_mutex_lock(&disk.mutex);
		if (!strncmp(line, "end", 3)) {
			disk.ended = true;
			printf("%u events, %u flushes\n", disk.event_count, disk.flush_count);
		} else if (!strncmp(line, "begin", 5)) {
			disk.begin_event = disk.event_count;
			puts("begun");
		} else if (!strncmp(line, "lose ", 5)) {
			lose(strtoull(line + 5, NULL, 10));
		}
		fflush(stdout);
		pthread_mutex_unlock(&disk.mutex);
	}
}

/* ---- FUSE ----------------------------------------------------------------------------------------------------- */

enum { NODE_LIVE = 2, NODE_STATES = 16 };

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

static uint8_t *image_of(uint64_t node)
{
	if (node == NODE_LIVE)
		return disk.live;
	return node >= NODE_STATES && node - NODE_STATES < STATES_MAX ? disk.states[node - NODE_STATES].image : NULL;
}

static void look_up(const struct fuse_in_header *in, const char *name)
{
	static uint64_t generation;
	uint64_t node = !strcmp(name, "live") ? NODE_LIVE : 0;
	for (uint32_t i = 0; !strncmp(name, "state-", 6) && i < STATES_MAX; i++)
		if (disk.states[i].image && disk.states[i].seed == strtoull(name + 6, NULL, 10))
			node = NODE_STATES + i;
	/* Another generation each time: a place that was used before is another file. */
	struct fuse_entry_out entry = {.nodeid = node, .generation = ++generation, .attr = attributes(node)};
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
}

static void write_to(const struct fuse_in_header *in, const struct fuse_write_in *asked, const uint8_t *data)
{
	uint8_t *image = image_of(in->nodeid);
	struct fuse_write_out written = {.size = asked->size};
	if (!image || asked->offset + asked->size > disk.bytes) {
		reply(in->unique, EIO, NULL, 0);
		return;
	}
	if (in->nodeid == NODE_LIVE && !disk.ended)
		remember(asked, data);
	memcpy(image + asked->offset, data, asked->size);
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

static void release(const struct fuse_in_header *in)
{
	if (in->nodeid >= NODE_STATES && image_of(in->nodeid)) {
		munmap(image_of(in->nodeid), disk.bytes);
		disk.states[in->nodeid - NODE_STATES].image = NULL;
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
		if (image_of(in->nodeid) && wanted->offset + wanted->size <= disk.bytes)
			reply(in->unique, 0, image_of(in->nodeid) + wanted->offset, wanted->size);
		else
			reply(in->unique, image_of(in->nodeid) ? 0 : EIO, NULL, 0);
		break;
	case FUSE_WRITE:
		write_to(in, body, (const uint8_t *)body + sizeof(struct fuse_write_in));
		break;
	case FUSE_FSYNC:
		flush(in);
		break;
	case FUSE_RELEASE:
		release(in);
		break;
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
	disk.bytes = strtoull(argv[2], NULL, 10);
	disk.live = mmap(NULL, disk.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	disk.memory = memfd_create("disk", MFD_CLOEXEC);
	if (disk.live == MAP_FAILED || disk.memory < 0 || ftruncate(disk.memory, (off_t)disk.bytes))
		fail("memory");
	disk.base = mmap(NULL, disk.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, disk.memory, 0);
	disk.events = mmap(NULL, sizeof(*disk.events) * EVENTS_MAX, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (disk.base == MAP_FAILED || disk.events == MAP_FAILED)
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
