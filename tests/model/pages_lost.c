/*
 * Power loss, modelled: pages_lost --seed S --rounds N [--directory DIR]. A round is one history and MIXES_A_ROUND mixes of it; a point is a mix.
 *
 * A history is a real writer, and now and then a real compactor, over a directory in memory. Every state that a page of a segment went through is
 * kept, and which of them a sync made durable. A mix is a moment of the history and, for each page, or for each sector of 512 bytes of each page,
 * what a disk may hold then: what was durable last, or anything that came after it: so old, new, or zero where nothing was durable yet. It
 * is put in the place of the files (the same inodes, as a disk would have them), under another boot id, and then:
 *
 * - each call that was durable, or folded, is there, with its names (lost); none is there twice (twice); none is there that was not recorded, and
 *   no slot is damaged, unfinished or unknown (false): the writer was at no instruction of a store, and sectors tear no entry;
 * - now and then a compactor goes on from the checkpoint of that moment, a writer adopts what it may and records more, the compactor folds
 *   that, and verify looks at it: the sums are those of the calls that are there, each once, and nothing is damaged.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calendar.h"
#include "compact.h"
#include "os.h"
#include "reader.h"
#include "usagelog.h"
#include "verify.h"

enum {
	SEGMENT_BYTES = 65536,
	SEGMENT_PAGES = SEGMENT_BYTES / UL_PAGE_BYTES,
	SECTOR_BYTES = 512,
	FILES_MAX = 12,
	VERSIONS_MAX = 6000, /* states of pages in one history */
	MOMENTS_MAX = 600,
	CALLS_MAX = 8192,
	MAPS_MAX = 256,
	THREADS = 2,
	STEPS = 40, /* of a history */
	MOMENTS_A_ROUND = 20,
	MIXES_A_MOMENT = 50,
	MIXES_A_ROUND = MOMENTS_A_ROUND * MIXES_A_MOMENT,
	FOLDED_EACH = 10, /* one mix of so many is folded and gone on with */
	LATER_CALLS = 70,
	DAY_S = 86400,
};

/* What a page was at a moment. */
struct version {
	uint32_t file, page, moment;
	bool durable;
	uint8_t bytes[UL_PAGE_BYTES];
};

struct file {
	ino_t inode;
	char name[80];
	uint32_t born; /* the first moment at which it had its name */
	int fd;
	uint64_t sizes[MOMENTS_MAX];
};

/* Since when something is so; 0: it is not. */
struct call {
	uint32_t committed, durable;
};

/* Made by the process that is killed, read by the one that mixes. */
struct history {
	uint32_t moment, file_count, version_count, call_count;
	uint32_t folds;               /* how many times the compactor ended, */
	uint32_t folded[MOMENTS_MAX]; /* and how many times by this moment */
	struct file files[FILES_MAX];
	struct version versions[VERSIONS_MAX];
	struct call calls[CALLS_MAX];
};
static struct history *history;

static char top[256], path[280];
static uint64_t random_state;
static uint64_t seed;
static uint64_t lost, twice, made_up, others, failures;
static const char *doing = "";

static uint32_t pick(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % below;
}

#define FAIL(counter, ...)                                                                               \
	do {                                                                                             \
		if (failures++ < 20) {                                                                   \
			fprintf(stderr, "pages_lost: seed %llu: %s: ", (unsigned long long)seed, doing); \
			fprintf(stderr, __VA_ARGS__);                                                    \
			fputc('\n', stderr);                                                             \
		}                                                                                        \
		(counter)++;                                                                             \
	} while (0)

/* A mistake of this program, or of this machine. */
#define MUST(condition)                                                                \
	do {                                                                           \
		if (!(condition))                                                      \
			err(2, "seed %llu: %s", (unsigned long long)seed, #condition); \
	} while (0)

/* ---- the kernel, as the history sees it ------------------------------------------------------------------------- */

static bool recording, after_reboot;
static struct map {
	uint8_t *address;
	size_t bytes;
	uint32_t file;
	uint64_t offset;
} maps[MAPS_MAX];
static uint32_t map_count;

void *__real_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_msync(void *address, size_t bytes, int flags);
int __wrap_fsync(int fd);
int __real_os_boot_id(uint8_t id[16]);
int __wrap_os_boot_id(uint8_t id[16]);

int __wrap_os_boot_id(uint8_t id[16])
{
	int error = __real_os_boot_id(id);
	id[0] = (uint8_t)(id[0] ^ after_reboot);
	return error;
}

/* The file that a descriptor leads to, if it is one of the history's, or a segment's that begins. */
static uint32_t file_of(int fd)
{
	struct stat found;
	char link[64], target[400];
	if (fstat(fd, &found) || !S_ISREG(found.st_mode))
		return FILES_MAX;
	for (uint32_t i = 0; i < history->file_count; i++)
		if (history->files[i].inode == found.st_ino)
			return i;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, target, sizeof(target) - 1);
	target[length < 0 ? 0 : length] = '\0';
	if (!strstr(target, ".tmp"))
		return FILES_MAX;
	MUST(history->file_count < FILES_MAX);
	struct file *file = &history->files[history->file_count];
	/* Opened anew: a duplicate would hold the lock of its writer. */
	file->inode = found.st_ino;
	file->fd = open(link, O_RDWR | O_CLOEXEC);
	MUST(file->fd >= 0);
	return history->file_count++;
}

static struct version *last_version(uint32_t file, uint32_t page)
{
	for (uint32_t i = history->version_count; i-- > 0;)
		if (history->versions[i].file == file && history->versions[i].page == page)
			return &history->versions[i];
	return NULL;
}

static void add_version(uint32_t file, uint32_t page, const uint8_t *bytes, bool durable)
{
	struct version *last = last_version(file, page);
	if (last && !memcmp(last->bytes, bytes, UL_PAGE_BYTES) && (last->durable || !durable))
		return;
	MUST(history->version_count < VERSIONS_MAX);
	struct version *version = &history->versions[history->version_count++];
	*version = (struct version){.file = file, .page = page, .moment = history->moment, .durable = durable};
	memcpy(version->bytes, bytes, UL_PAGE_BYTES);
}

static void find_names(void)
{
	char link[64], target[400];
	for (uint32_t i = 0; i < history->file_count; i++) {
		struct file *file = &history->files[i];
		if (file->born)
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
		ssize_t length = readlink(link, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = '\0';
		char *name = strrchr(target, '/');
		if (!name || !strstr(name, ".seg"))
			continue;
		snprintf(file->name, sizeof(file->name), "%s", name + 1);
		file->born = history->moment;
	}
}

static void take_pages(uint32_t number, uint32_t first, uint32_t count, bool durable)
{
	static uint8_t bytes[SEGMENT_BYTES];
	memset(bytes, 0, sizeof(bytes));
	MUST(pread(history->files[number].fd, bytes, sizeof(bytes), 0) >= 0);
	for (uint32_t page = first; page < first + count && page < SEGMENT_PAGES; page++)
		add_version(number, page, bytes + (size_t)page * UL_PAGE_BYTES, durable);
}

/* A moment at which the power may fail: what there is now may be on the disk, or not. */
static void moment_passes(void)
{
	MUST(history->moment + 1 < MOMENTS_MAX);
	history->moment++;
	find_names();
	for (uint32_t i = 0; i < history->file_count; i++) {
		struct stat found;
		MUST(!fstat(history->files[i].fd, &found));
		history->files[i].sizes[history->moment] = (uint64_t)found.st_size;
		take_pages(i, 0, SEGMENT_PAGES, false);
	}
	history->folded[history->moment] = history->folds;
}

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	void *found = __real_mmap(address, bytes, protection, flags, fd, offset);
	if (!recording || found == MAP_FAILED || fd < 0 || !(flags & MAP_SHARED))
		return found;
	uint32_t file = file_of(fd);
	if (file == FILES_MAX)
		return found;
	MUST(map_count < MAPS_MAX);
	maps[map_count++] = (struct map){found, bytes, file, (uint64_t)offset};
	return found;
}

int __wrap_msync(void *address, size_t bytes, int flags)
{
	MUST(flags == MS_SYNC);
	if (!recording)
		return 0;
	/* The power may fail in the middle of a sync, too. */
	moment_passes();
	for (uint32_t i = map_count; i-- > 0;) {
		const struct map *map = &maps[i];
		if ((uint8_t *)address < map->address || (uint8_t *)address >= map->address + map->bytes)
			continue;
		uint64_t offset = map->offset + (uint64_t)((uint8_t *)address - map->address);
		take_pages(map->file, (uint32_t)(offset / UL_PAGE_BYTES),
			   (uint32_t)((bytes + UL_PAGE_BYTES - 1) / UL_PAGE_BYTES), true);
		break;
	}
	moment_passes();
	return 0;
}

int __wrap_fsync(int fd)
{
	uint32_t file = recording ? file_of(fd) : FILES_MAX;
	if (file < FILES_MAX)
		take_pages(file, 0, SEGMENT_PAGES, true);
	return 0;
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

static uint32_t output_of(uint32_t number)
{
	return number * 2654435761u >> 12;
}

static void record(usagelog *log, uint32_t number)
{
	char model[80];
	/* Some names are longer than a slot, so that a definition is of several. */
	snprintf(model, sizeof(model), "m%u%s", number / 16,
		 number / 16 % 3 ? "" : "-with-a-name-that-is-longer-than-one-slot-holds");
	struct usagelog_names names = {.provider = "p", .model = model, .attributes = {.operation = "chat"}};
	struct usagelog_call call = {.time_ns = (int64_t)(20000 + number % 3) * DAY_S * 1000000000 + number,
				     .input_tokens = number,
				     .output_tokens = output_of(number)};
	int error = usagelog_record_names(log, &names, &call);
	if (error)
		errx(2, "seed %llu: a call was not recorded: %s", (unsigned long long)seed, usagelog_strerror(error));
}

static usagelog *open_writer(bool synchronous)
{
	usagelog *log;
	struct usagelog_options options = {.size = sizeof(options),
					   .flags = USAGELOG_NO_HELPER | (synchronous ? USAGELOG_SYNCHRONOUS : 0),
					   .segment_size_bytes = SEGMENT_BYTES,
					   .time_zone = "UTC"};
	int error = usagelog_open(&log, path, &options);
	if (error)
		errx(2, "seed %llu: %s: %s", (unsigned long long)seed, path, usagelog_strerror(error));
	return log;
}

/* ---- the compactor ---------------------------------------------------------------------------------------------- */

struct sums {
	uint64_t calls, input, output;
};

static int fold(struct sums *sums)
{
	struct ul_directory directory;
	struct ul_message why = {.text = ""};
	struct names names;
	struct checkpoint checkpoint = {0};
	struct compact_result result;
	struct findings findings = {0};
	*sums = (struct sums){0};
	MUST(ul_directory_open(&directory, path, &why) == 0 && names_init(&names) == 0);
	int lock = store_lock(directory.fd);
	MUST(lock >= 0);
	int error = compact_run(&directory, &(struct compact_options){.rebuild = false}, &checkpoint, &names, &result,
				&findings, &why);
	for (uint32_t i = 0; i < checkpoint.totals.facts.rows.count && !error; i++) {
		const struct ul_row *row = table_record(&checkpoint.totals.facts.rows, i);
		sums->calls += (uint64_t)row->calls;
		sums->input += (uint64_t)row->tokens[UL_INPUT];
		sums->output += (uint64_t)row->tokens[UL_OUTPUT];
	}
	if (error)
		FAIL(others, "the fold failed: %s", why.text);
	for (size_t i = 0; i < findings.count; i++)
		if (findings.items[i].kind == FINDING_DAMAGE || findings.items[i].kind == FINDING_LEFT_OUT)
			FAIL(made_up, "the fold reports: %s", findings.items[i].text);
	checkpoint_clear(&checkpoint);
	findings_clear(&findings);
	names_clear(&names);
	os_close(lock);
	ul_directory_close(&directory);
	return error;
}

static bool ends_with(const char *name, const char *ending)
{
	size_t length = strlen(name), cut = strlen(ending);
	return length >= cut && !strcmp(name + length - cut, ending);
}

/* Files of the compactor do not change once they have their names: links keep them. */
static bool is_folded_file(const char *name)
{
	return !strncmp(name, "checkpoint", 10) || ends_with(name, ".facts") || ends_with(name, ".ids");
}

static void each_file(const char *directory, void (*visit)(const char *from, const char *name))
{
	struct dirent **entries;
	int count = scandir(directory, &entries, NULL, alphasort);
	MUST(count >= 0);
	for (int i = 0; i < count; i++) {
		char whole[600];
		snprintf(whole, sizeof(whole), "%s/%s", directory, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			visit(whole, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

static char kept[300]; /* where the files of a fold are kept */

static void keep_file(const char *from, const char *name)
{
	char to[600];
	snprintf(to, sizeof(to), "%s/%s", kept, name);
	if (is_folded_file(name))
		MUST(!link(from, to));
}

static void restore_file(const char *from, const char *name)
{
	char to[600];
	snprintf(to, sizeof(to), "%s/%s", path, name);
	MUST(!link(from, to));
}

static void name_kept(uint32_t fold_number)
{
	snprintf(kept, sizeof(kept), "%s/fold-%u", top, fold_number);
}

/* ---- the history ------------------------------------------------------------------------------------------------ */

/* Threads take turns, so that each fills a page of its own, and the order is the seed's. */
static struct worker {
	pthread_t thread;
	sem_t go, done;
	usagelog *log;
	uint32_t first, count;
} workers[THREADS];

static void *work(void *arg)
{
	struct worker *worker = arg;
	for (;;) {
		sem_wait(&worker->go);
		for (uint32_t i = 0; i < worker->count; i++)
			record(worker->log, worker->first + i);
		sem_post(&worker->done);
	}
	return NULL;
}

/* Since this moment these calls are durable, if they were not before. */
static void set_durable(uint32_t end, const uint8_t *by_handle, int handle)
{
	for (uint32_t i = 1; i < end; i++)
		if (!history->calls[i].durable && (handle < 0 || by_handle[i] == handle))
			history->calls[i].durable = history->moment;
}

static void live(void)
{
	static uint8_t by_handle[CALLS_MAX];
	usagelog *logs[2];
	bool synchronous[2];
	uint32_t log_count = 1 + pick(2);
	recording = true;
	for (uint32_t i = 0; i < log_count; i++) {
		synchronous[i] = pick(8) == 0;
		logs[i] = open_writer(synchronous[i]);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		MUST(!sem_init(&workers[i].go, 0, 0) && !sem_init(&workers[i].done, 0, 0));
		MUST(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	history->call_count = 1;
	moment_passes();
	for (uint32_t step = 0; step < STEPS; step++) {
		uint32_t which = pick(log_count), choice = pick(16);
		struct worker *worker = &workers[pick(THREADS)];
		if (choice < 10) {
			worker->log = logs[which];
			worker->first = history->call_count;
			worker->count = 1 + (synchronous[which] ? pick(4) : pick(pick(4) ? 20 : 120));
			for (uint32_t i = 0; i < worker->count; i++) {
				by_handle[worker->first + i] = (uint8_t)which;
				/* From now on it may be seen, if not counted on. */
				history->calls[worker->first + i].committed = history->moment;
			}
			history->call_count += worker->count;
			sem_post(&worker->go);
			sem_wait(&worker->done);
			moment_passes();
			if (synchronous[which])
				set_durable(history->call_count, by_handle, (int)which);
		} else if (choice < 13) {
			MUST(usagelog_flush(logs[which], 1000) == 0);
			moment_passes();
			set_durable(history->call_count, by_handle, (int)which);
		} else if (choice == 13) {
			bool flushed = pick(2);
			MUST(usagelog_close(logs[which], flushed ? 1000 : 0) == 0);
			moment_passes();
			if (flushed)
				set_durable(history->call_count, by_handle, (int)which);
			/* The next handle may adopt another segment: its flushes promise nothing of these calls. */
			for (uint32_t i = 1; i < history->call_count; i++)
				if (by_handle[i] == which)
					by_handle[i] = UINT8_MAX;
			logs[which] = open_writer(synchronous[which]);
		} else {
			struct sums sums;
			if (fold(&sums))
				_exit(1);

			name_kept(++history->folds);
			MUST(!mkdir(kept, 0700));
			each_file(path, keep_file);
			moment_passes();
			set_durable(history->call_count, by_handle, -1);
		}
	}
	moment_passes();
	/* The power fails: no handle is closed. */
	_exit(failures ? 1 : 0);
}

/* ---- mixes ------------------------------------------------------------------------------------------------------ */

enum way { OLD, NEW, BY_PAGE, BY_SECTOR, OLD_OR_NEW_SECTOR, ONE_OLD, ONE_NEW, WAYS };

/* What a page may be on the disk at a moment: the versions from the last durable one on. */
struct choices {
	const uint8_t *bytes[MOMENTS_MAX];
	uint32_t count;
};
static struct choices choices[FILES_MAX][SEGMENT_PAGES];
static const uint8_t zeros[UL_PAGE_BYTES];

static void find_choices(uint32_t moment)
{
	for (uint32_t i = 0; i < history->file_count; i++)
		for (uint32_t page = 0; page < SEGMENT_PAGES; page++)
			choices[i][page] = (struct choices){.bytes = {zeros}, .count = 1};
	for (uint32_t i = 0; i < history->version_count; i++) {
		const struct version *version = &history->versions[i];
		struct choices *page = &choices[version->file][version->page];
		/* A sync ends, and so counts, before the moment that follows it. */
		if (version->moment + version->durable > moment)
			continue;
		if (version->durable)
			page->count = 0;
		MUST(page->count < MOMENTS_MAX);
		page->bytes[page->count++] = version->bytes;
	}
}

static uint32_t choose(enum way way, uint32_t count, bool is_the_one)
{
	switch (way) {
	case OLD:
		return 0;
	case NEW:
		return count - 1;
	case ONE_OLD:
		return is_the_one ? 0 : count - 1;
	case ONE_NEW:
		return is_the_one ? count - 1 : 0;
	case OLD_OR_NEW_SECTOR:
		return pick(2) ? count - 1 : 0;
	default:
		return pick(count);
	}
}

static void mix_file(uint32_t number, enum way way, uint32_t the_one, uint8_t *out)
{
	for (uint32_t page = 0; page < SEGMENT_PAGES; page++) {
		const struct choices *of = &choices[number][page];
		uint32_t chosen = choose(way, of->count, number * SEGMENT_PAGES + page == the_one);
		for (uint32_t at = 0; at < UL_PAGE_BYTES; at += SECTOR_BYTES) {
			if (way == BY_SECTOR || way == OLD_OR_NEW_SECTOR)
				chosen = choose(way, of->count, false);
			memcpy(out + (size_t)page * UL_PAGE_BYTES + at, of->bytes[chosen] + at, SECTOR_BYTES);
		}
	}
}

static void place_mix(uint32_t moment)
{
	static uint8_t bytes[SEGMENT_BYTES];
	enum way way = (enum way)pick(WAYS);
	uint32_t the_one = pick(history->file_count * SEGMENT_PAGES);
	for (uint32_t i = 0; i < history->file_count; i++) {
		const struct file *file = &history->files[i];
		if (!file->born || file->born > moment)
			continue;
		mix_file(i, way, the_one, bytes);
		MUST(pwrite(file->fd, bytes, file->sizes[moment], 0) == (ssize_t)file->sizes[moment]);
		MUST(!ftruncate(file->fd, (off_t)file->sizes[moment]));
	}
}

/* ---- what must hold --------------------------------------------------------------------------------------------- */

static uint8_t seen[CALLS_MAX];

/* Each definition is read once: of the file at hand, those that were found. */
static bool defined[SEGMENT_BYTES / UL_SLOT_BYTES];

static bool is_defined(struct ul_reader *reader, uint32_t slot, enum ul_class text_class)
{
	char text[UL_CONTEXT_BYTES_MAX];
	if (slot >= SEGMENT_BYTES / UL_SLOT_BYTES)
		return false;
	if (!defined[slot])
		defined[slot] = ul_reader_text(reader, slot, text_class, text) > 0;
	return defined[slot];
}

static void look_at_call(struct ul_reader *reader, const struct ul_slot *slot, uint32_t moment, struct sums *sums)
{
	uint32_t number = slot->body.call.input_tokens;
	sums->calls++;
	sums->input += number;
	sums->output += slot->body.call.output_tokens;
	if (!number || number >= history->call_count || !history->calls[number].committed ||
	    history->calls[number].committed > moment || slot->body.call.output_tokens != output_of(number)) {
		FAIL(made_up, "call %u was not recorded by moment %u", number, moment);
		return;
	}
	if (seen[number]++)
		FAIL(twice, "call %u is there twice", number);
	bool durable = history->calls[number].durable && history->calls[number].durable <= moment;
	if (durable && !is_defined(reader, slot->tag & UL_SLOT_MASK, UL_CLASS_MODEL))
		FAIL(lost, "the model of call %u, which was durable, is lost", number);
	if (durable && !is_defined(reader, slot->word & UL_SLOT_MASK, UL_CLASS_CONTEXT))
		FAIL(lost, "the attributes of call %u, which was durable, are lost", number);
}

static void look_at_file(const struct file *file, uint32_t moment, struct sums *sums)
{
	static struct ul_slot slots[SEGMENT_BYTES / UL_SLOT_BYTES];
	struct ul_reader reader;
	char whole[400];
	snprintf(whole, sizeof(whole), "%s/%s", path, file->name);
	int error = ul_reader_open(&reader, AT_FDCWD, whole);
	if (error) {
		FAIL(lost, "%s cannot be opened: %s", file->name, usagelog_strerror(error));
		return;
	}
	memset(defined, 0, sizeof(defined));
	MUST(!ul_reader_read(&reader, reader.first_slot, reader.end_slot - reader.first_slot, slots));
	if (reader.table_damaged)
		FAIL(made_up, "%s: its page table is damaged", file->name);
	for (uint32_t number = reader.first_slot; number < reader.end_slot; number++) {
		struct ul_slot *slot = &slots[number - reader.first_slot];
		enum ul_slot_state state = ul_reader_classify(&reader, number, slot);
		if (state == UL_SLOT_EMPTY) {
			if (number % UL_PAGE_SLOTS < reader.durable[number / UL_PAGE_SLOTS])
				FAIL(lost, "%s: slot %u is said to be durable, and empty", file->name, number);
			continue;
		}
		if (state != UL_SLOT_VALID)
			FAIL(made_up, "%s: slot %u is in state %d", file->name, number, (int)state);
		else if (ul_slot_kind(slot) == UL_KIND_CALL)
			look_at_call(&reader, slot, moment, sums);
	}
	ul_reader_close(&reader);
}

static struct sums look_at_mix(uint32_t moment)
{
	struct sums sums = {0};
	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < history->file_count; i++)
		if (history->files[i].born && history->files[i].born <= moment)
			look_at_file(&history->files[i], moment, &sums);
	for (uint32_t i = 1; i < history->call_count; i++)
		if (history->calls[i].durable && history->calls[i].durable <= moment && !seen[i])
			FAIL(lost, "call %u was durable at moment %u of %u, and is lost", i, history->calls[i].durable,
			     moment);
	return sums;
}

static void expect_sums(const struct sums *found, const struct sums *wanted)
{
	if (found->calls < wanted->calls)
		FAIL(lost, "%llu calls were folded of %llu", (unsigned long long)found->calls,
		     (unsigned long long)wanted->calls);
	else if (found->calls > wanted->calls)
		FAIL(twice, "%llu calls were folded of %llu", (unsigned long long)found->calls,
		     (unsigned long long)wanted->calls);
	else if (found->input != wanted->input || found->output != wanted->output)
		FAIL(made_up, "other calls were folded than are there");
}

static void expect_verified(void)
{
	struct verification found;
	struct ul_message why = {.text = ""};
	bool moved;
	int error = verify_once(&found, path, &moved, &why);
	if (error)
		FAIL(others, "verify: %s", why.text);
	for (size_t i = 0; i < found.count; i++)
		if (found.files[i].verdict == VERDICT_FAIL)
			FAIL(made_up, "verify: %s: %s", found.files[i].name, found.files[i].text);
	if (found.damage || found.damaged || found.unknown || found.unfinished || found.unreadable)
		FAIL(made_up, "verify finds damage");
	verification_clear(&found);
}

static void go_on(const struct sums *there)
{
	struct sums sums, wanted = *there;
	if (!fold(&sums))
		expect_sums(&sums, &wanted);
	usagelog *log = open_writer(false);
	for (uint32_t i = 0; i < LATER_CALLS; i++) {
		uint32_t number = CALLS_MAX + i;
		record(log, number);
		wanted.calls++;
		wanted.input += number;
		wanted.output += output_of(number);
	}
	MUST(usagelog_close(log, 1000) == 0);
	if (!fold(&sums))
		expect_sums(&sums, &wanted);
	expect_verified();
}

/* ---- rounds ----------------------------------------------------------------------------------------------------- */

/* All but the settings and the history's segments, which are known by their names. */
static void clean_file(const char *from, const char *name)
{
	if (!strcmp(name, "log.conf"))
		return;
	for (uint32_t i = 0; i < history->file_count; i++)
		if (!strcmp(history->files[i].name, name))
			return;
	MUST(!unlink(from));
}

static void hide_or_show(uint32_t moment)
{
	char hidden[400], shown[400];
	for (uint32_t i = 0; i < history->file_count; i++) {
		const struct file *file = &history->files[i];
		if (!file->born)
			continue;
		snprintf(hidden, sizeof(hidden), "%s/hidden-%s", top, file->name);
		snprintf(shown, sizeof(shown), "%s/%s", path, file->name);
		/* Whichever of the two it is, the other fails. */
		if (rename(file->born <= moment ? hidden : shown, file->born <= moment ? shown : hidden) &&
		    errno != ENOENT)
			err(2, "%s", shown);
	}
}

static void mix_moment(uint32_t moment)
{
	char text[64];
	find_choices(moment);
	hide_or_show(moment);
	for (uint32_t i = 0; i < MIXES_A_MOMENT; i++) {
		snprintf(text, sizeof(text), "moment %u, mix %u", moment, i);
		doing = text;
		place_mix(moment);
		struct sums there = look_at_mix(moment);
		if (i % FOLDED_EACH)
			continue;
		each_file(path, clean_file);
		if (history->folded[moment]) {
			name_kept(history->folded[moment]);
			each_file(kept, restore_file);
		}
		go_on(&there);
	}
	each_file(path, clean_file);
	doing = "";
}

static void remove_all(const char *directory)
{
	char command[400];
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	MUST(!system(command));
}

static void run_round(const char *where)
{
	int status;
	snprintf(top, sizeof(top), "%s/usagelog-pages-XXXXXX", where);
	MUST(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/log", top);
	memset(history, 0, sizeof(*history));
	recording = after_reboot = false;
	random_state = seed * 2654435761u;
	fflush(NULL);
	pid_t child = fork();
	MUST(child >= 0);
	if (!child)
		live();
	MUST(waitpid(child, &status, 0) == child);
	if (status) {
		doing = "the history";
		FAIL(others, "the writer ended with status %d", status);
	} else {
		after_reboot = true;
		for (uint32_t i = 0; i < history->file_count; i++) {
			char whole[400];
			snprintf(whole, sizeof(whole), "%s/%s", path, history->files[i].name);
			history->files[i].fd = history->files[i].born ? open(whole, O_RDWR | O_CLOEXEC) : -1;
			MUST(!history->files[i].born || history->files[i].fd >= 0);
		}
		for (uint32_t i = 0; i < MOMENTS_A_ROUND; i++)
			mix_moment(1 + pick(history->moment));
		for (uint32_t i = 0; i < history->file_count; i++)
			os_close(history->files[i].fd);
	}
	remove_all(top);
}

int main(int argc, char **argv)
{
	const char *where = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
	uint64_t rounds = 1, first = 1;
	struct timespec begun, ended;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seed"))
			first = strtoull(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoull(argv[i + 1], NULL, 10);
	}
	history = mmap(NULL, sizeof(*history), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(history != MAP_FAILED && calendar_set_zone("UTC") == 0);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (uint64_t i = 0; i < rounds; i++) {
		/* A chunk's rounds are its own: no two chunks have one in common. */
		seed = first * 1000000 + i;
		run_round(where);
	}
	clock_gettime(CLOCK_MONOTONIC, &ended);
	printf("{\"member\": \"pages_lost\", \"points\": %llu, \"lost\": %llu, \"twice\": %llu, \"false\": %llu, "
	       "\"failures\": %llu, "
	       "\"seconds\": %.1f}\n",
	       (unsigned long long)rounds * MIXES_A_ROUND, (unsigned long long)lost, (unsigned long long)twice,
	       (unsigned long long)made_up, (unsigned long long)failures,
	       (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9);
	return failures ? 1 : 0;
}
