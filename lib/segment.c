/*
 * One segment that this handle writes: making it, adopting one that somebody left, its state blocks, giving it up. What FORMAT.md 3.6 says, in
 * system calls. Knows no handle and takes no lock but the file's.
 */
#include "handle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os.h"
#include "reader.h"
#include "seal.h"
#include "slot.h"

enum {
	ADOPT_TRIES_MAX = 16,      /* segments of a directory that are tried for adoption: the newest */
	EXTENSION_PAGES_MIN = 16,  /* a small log stays small, */
	EXTENSION_PAGES_MAX = 512, /* a busy one is extended by 2 MiB at a time */
	NAME_BYTES = 2 * UL_ID_BYTES + sizeof(".seg"),
};

static void release(struct ul_segment *segment)
{
	free(segment->guard.lost);
	free(segment->covered);
	free(segment->left);
	free(segment);
}

static struct ul_segment *allocate(uint32_t name_count, uint32_t page_count)
{
	struct ul_segment *segment = os_allocate_aligned(
		_Alignof(struct ul_segment), sizeof(*segment) + (size_t)name_count * sizeof(_Atomic uint32_t));
	if (!segment)
		return NULL;
	segment->covered = os_allocate(page_count, 1);
	segment->left = os_allocate(page_count, 1);
	segment->guard.lost = os_allocate(page_count, 1);
	if (!segment->covered || !segment->left || !segment->guard.lost) {
		release(segment);
		return NULL;
	}
	segment->page_count = page_count;
	segment->fd = -1;
	return segment;
}

static int map(struct ul_segment *segment)
{
	void *base;
	int error = os_map(&base, segment->size_bytes, segment->fd, 0, true);
	if (error)
		return error;
	/* A child must not write to its parent's segment; it makes one of its own. */
	error = os_map_for_parent_only(base, segment->size_bytes);
	if (error) {
		os_unmap(base, segment->size_bytes);
		return error;
	}
	segment->base = segment->guard.address = base;
	segment->guard.bytes = segment->size_bytes;
	return ul_guard_begin(&segment->guard);
}

static void unmap(struct ul_segment *segment)
{
	ul_guard_end(&segment->guard);
	os_unmap(segment->base, segment->size_bytes);
}

const struct ul_slot *ul_segment_page(const struct ul_segment *segment, uint32_t page,
				      struct ul_slot copy[UL_PAGE_SLOTS], int *error)
{
	const struct ul_slot *slots = ul_segment_slot(segment, page * UL_PAGE_SLOTS);
	/* To look may be what finds it lost. */
	(void)__atomic_load_n(&slots->checksum, __ATOMIC_RELAXED);
	if (!ul_segment_is_lost(segment, page * UL_PAGE_SLOTS))
		return slots;
	const struct ul_slot *kept = ul_guard_kept(&segment->guard, (size_t)page * UL_PAGE_BYTES);
	if (kept)
		return kept;
	memset(copy, 0, UL_PAGE_BYTES);
	ssize_t got = os_read(segment->fd, copy, UL_PAGE_BYTES, (uint64_t)page * UL_PAGE_BYTES);
	*error = got < 0 ? (int)got : 0;
	return got < 0 ? NULL : copy;
}

/* The state block `index` is to hold this payload: checksum last, and the rest before it even if we die in between. */
static void write_block(struct ul_segment *segment, uint32_t index, const void *payload, size_t bytes)
{
	struct ul_state_block block = {.sequence = ++segment->block_sequence[index]};
	memcpy(&block.payload, payload, bytes);
	block.checksum = ul_block_checksum(&block, segment->seed, index);
	struct ul_state_block *place =
		(struct ul_state_block *)(void *)(segment->base + UL_STATE_PAGE * UL_PAGE_BYTES) + index;
	memcpy(&place->sequence, &block.sequence, sizeof(block) - sizeof(block.checksum));
	__atomic_store_n(&place->checksum, block.checksum, __ATOMIC_RELEASE);
}

/* Of a pair, write the one that does not hold now. */
static void write_pair(struct ul_segment *segment, uint32_t index, const void *payload, size_t bytes)
{
	uint64_t *sequence = &segment->block_sequence[index];
	uint32_t older = sequence[0] <= sequence[1] ? 0 : 1;
	sequence[older] = sequence[1 - older];
	write_block(segment, index + older, payload, bytes);
}

void ul_segment_write_counters(struct ul_segment *segment, uint64_t attempted, const uint64_t dropped[UL_CAUSES])
{
	uint64_t payload[1 + UL_CAUSES];
	payload[0] = segment->attempted_before + attempted - segment->attempted_at_start;
	for (uint32_t i = 0; i < UL_CAUSES; i++)
		payload[1 + i] = segment->dropped_before[i] + dropped[i] - segment->dropped_at_start[i];
	write_pair(segment, UL_BLOCK_COUNTERS, payload, sizeof(payload));
}

void ul_segment_write_sync(struct ul_segment *segment, uint32_t index, uint64_t first_page, uint64_t page_count)
{
	uint64_t payload[2] = {first_page, page_count};
	write_block(segment, UL_BLOCK_SYNC + index, payload, sizeof(payload));
}

void ul_segment_give_up(struct ul_segment *segment)
{
	static const uint64_t given_up = 1;
	if (!segment->block_sequence[UL_BLOCK_GIVEN_UP])
		write_block(segment, UL_BLOCK_GIVEN_UP, &given_up, sizeof(given_up));
}

uint32_t ul_segment_extension(const struct ul_segment *segment, uint32_t wanted)
{
	/* As much again as there is, within bounds: few steps, and at most half of the file is empty. */
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	uint32_t step = ready < EXTENSION_PAGES_MIN   ? EXTENSION_PAGES_MIN
			: ready > EXTENSION_PAGES_MAX ? EXTENSION_PAGES_MAX
						      : ready;
	uint32_t end = ready + step > wanted ? ready + step : wanted;
	return end < segment->page_count ? end : segment->page_count;
}

void ul_segment_publish(struct ul_segment *segment, uint32_t pages)
{
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	/* Release: pairs with the acquire of whoever takes a page; the pages are there before they are given out. */
	while (ready < pages && !atomic_compare_exchange_weak_explicit(&segment->ready_pages, &ready, pages,
								       memory_order_release, memory_order_relaxed))
		;
}

/* ---- making ----------------------------------------------------------------------------------------------- */

/* Ids begin with the time, so that names sort by age. */
static int make_id(struct ul_id *id)
{
	int error = os_random(id->bytes, sizeof(id->bytes));
	uint64_t now_ms = (uint64_t)(os_time_ns() / 1000000);
	for (int i = 0; i < 6; i++)
		id->bytes[i] = (uint8_t)(now_ms >> (40 - 8 * i));
	return error;
}

static int seal_headers(struct ul_making *making)
{
	const struct ul_segment *segment = making->segment;
	struct stat found;
	int error = os_stat(segment->fd, &found);
	if (error)
		return error;
	struct ul_segment_header header = {.version = UL_VERSION,
					   .segment_id = segment->id,
					   .log_id = *making->log_id,
					   .inode = (uint64_t)found.st_ino,
					   .size_bytes = segment->size_bytes};
	ul_header_seal(making->headers[0], &header);
	memcpy(making->headers[1], making->headers[0], UL_PAGE_BYTES);
	return 0;
}

static int write_boot(struct ul_segment *segment)
{
	uint8_t boot_id[UL_ID_BYTES];
	int error = os_boot_id(boot_id);
	if (!error)
		write_pair(segment, UL_BLOCK_BOOT, boot_id, sizeof(boot_id));
	return error;
}

int ul_making_begin(struct ul_making *making, int directory, const struct ul_id *log_id, uint64_t size_bytes,
		    uint32_t name_count)
{
	char digits[UL_ID_TEXT_BYTES];
	struct ul_id id;
	int error = make_id(&id);
	if (error)
		return error;
	struct ul_segment *segment = allocate(name_count, (uint32_t)(size_bytes / UL_PAGE_BYTES));
	if (!segment)
		return -ENOMEM;
	segment->id = id;
	segment->seed = ul_segment_seed(&id);
	segment->size_bytes = size_bytes;
	segment->first_page = segment->low_page = segment->passed_page = ul_first_page(size_bytes);
	segment->first_slot = segment->first_page * UL_PAGE_SLOTS;
	atomic_store_explicit(&segment->next_page, segment->first_page, memory_order_relaxed);
	ul_id_format(digits, &id);
	snprintf(making->temporary, sizeof(making->temporary), "%s.tmp", digits);
	snprintf(segment->name, sizeof(segment->name), "%s.seg", digits);
	making->segment = segment;
	making->directory = directory;
	making->log_id = log_id;
	making->step = MAKE_CREATE;
	making->error = 0;
	return 0;
}

/* What a new file begins with. */
static uint32_t first_pages(const struct ul_segment *segment)
{
	uint32_t pages = segment->first_page + EXTENSION_PAGES_MIN;
	return pages < segment->page_count ? pages : segment->page_count;
}

/* What is done without waiting when a step has ended, and before the next one. */
static int step_ends(struct ul_making *making, int result)
{
	struct ul_segment *segment = making->segment;
	int error;
	switch (making->step) {
	case MAKE_CREATE:
		segment->fd = result;
		os_write_in_place(segment->fd);
		return os_lock(segment->fd);
	case MAKE_EXTEND:
		return seal_headers(making);
	case MAKE_WRITE:
		error = map(segment);
		return error ? error : write_boot(segment);
	case MAKE_SYNC_DIRECTORY:
		ul_segment_publish(segment, first_pages(segment));
		return 0;
	default:
		return 0;
	}
}

static void set_job(struct ul_making *making, struct ul_job *job)
{
	const struct ul_segment *segment = making->segment;
	*job = (struct ul_job){.fd = segment->fd, .name = making->temporary, .new_name = segment->name};
	switch (making->step) {
	case MAKE_CREATE:
		job->kind = UL_JOB_CREATE;
		job->fd = making->directory;
		break;
	case MAKE_EXTEND:
		job->kind = UL_JOB_EXTEND;
		job->bytes = (uint64_t)first_pages(segment) * UL_PAGE_BYTES;
		break;
	case MAKE_WRITE:
		job->kind = UL_JOB_WRITE;
		job->address = making->headers[0];
		job->bytes = sizeof(making->headers);
		break;
	case MAKE_SYNC:
		job->kind = UL_JOB_SYNC;
		break;
	case MAKE_RENAME:
		job->kind = UL_JOB_RENAME;
		job->fd = making->directory;
		break;
	case MAKE_SYNC_DIRECTORY:
		job->kind = UL_JOB_SYNC;
		job->fd = making->directory;
		break;
	default:
		/* Behind the sync, which would have made them read-only. */
		job->kind = UL_JOB_POPULATE;
		job->address = segment->base + (size_t)segment->first_page * UL_PAGE_BYTES;
		job->bytes = (uint64_t)(first_pages(segment) - segment->first_page) * UL_PAGE_BYTES;
		break;
	}
}

static void undo(struct ul_making *making)
{
	struct ul_segment *segment = making->segment;
	making->segment = NULL; /* first: a forked child closes the descriptor of what it finds here */
	if (segment->fd >= 0)
		os_unlink(making->directory, making->step > MAKE_RENAME ? segment->name : making->temporary);
	ul_segment_close(segment, false);
}

bool ul_making_next(struct ul_making *making, struct ul_job *job, bool first)
{
	if (!first) {
		/* A filesystem that cannot allocate: write zeros, to a file that nobody else knows yet. */
		if (making->step == MAKE_EXTEND && job->result == -EOPNOTSUPP)
			job->result = os_extend(making->segment->fd, 0, job->bytes, true);
		if (making->step == MAKE_POPULATE)
			job->result = 0; /* what could not be populated is merely slower the first time */
		making->error = job->result < 0 ? job->result : step_ends(making, job->result);
		if (making->error) {
			undo(making);
			return false;
		}
		making->step++;
	}
	if (making->step == MAKE_END)
		return false;
	set_job(making, job);
	return true;
}

static int make(struct ul_segment **made, int directory, const struct ul_id *log_id, uint64_t size_bytes,
		uint32_t name_count)
{
	struct ul_making making;
	struct ul_job job;
	int error = ul_making_begin(&making, directory, log_id, size_bytes, name_count);
	if (error)
		return error;
	for (bool first = true; ul_making_next(&making, &job, first); first = false)
		job.result = ul_job_run(&job);
	*made = making.segment;
	return making.error;
}

/* ---- adopting --------------------------------------------------------------------------------------------- */

/* The last page that holds anything, or first_page - 1; searched from the end, of which an extension ahead is the most that is empty. */
static int find_last_page(const struct ul_reader *reader, uint32_t *last)
{
	enum { STEP_PAGES = 16 };
	struct ul_slot *slots = os_allocate(STEP_PAGES, UL_PAGE_BYTES);
	if (!slots)
		return -ENOMEM;
	uint32_t first = reader->first_slot / UL_PAGE_SLOTS;
	uint32_t end = (reader->end_slot + UL_PAGE_SLOTS - 1) / UL_PAGE_SLOTS;
	int error = 0;
	while (end > first && !error) {
		uint32_t count = end - first < STEP_PAGES ? end - first : STEP_PAGES;
		error = ul_reader_read(reader, (end - count) * UL_PAGE_SLOTS, count * UL_PAGE_SLOTS, slots);
		const uint64_t *words = (const uint64_t *)(const void *)slots;
		size_t word = count * (UL_PAGE_BYTES / 8);
		while (word && !words[word - 1])
			word--;
		end = end - count + (uint32_t)((word + UL_PAGE_BYTES / 8 - 1) / (UL_PAGE_BYTES / 8));
		if (word)
			break;
	}
	free(slots);
	*last = end - 1;
	return error;
}

/* Where writing goes on: the slot, and so the page. */
static int find_place(const struct ul_reader *reader, struct ul_segment *segment)
{
	uint32_t last;
	int error = find_last_page(reader, &last);
	if (error)
		return error;
	uint32_t first_slot = (last + 1) * UL_PAGE_SLOTS;
	if (first_slot > reader->first_slot) {
		struct ul_slot slots[UL_PAGE_SLOTS];
		error = ul_reader_read(reader, last * UL_PAGE_SLOTS, UL_PAGE_SLOTS, slots);
		uint32_t used = UL_PAGE_SLOTS;
		while (used && ul_slot_classify(&slots[used - 1], reader->seed, 0) == UL_SLOT_EMPTY)
			used--;
		first_slot = last * UL_PAGE_SLOTS + used;
	}
	segment->first_slot = first_slot;
	segment->first_page = first_slot / UL_PAGE_SLOTS;
	return error;
}

/* A sync failed, or may have: what was to be synced must be rescued, not gone on with, and what seems clean may not be on the disk. */
static bool is_given_up(const struct ul_reader *reader)
{
	return !ul_is_zero(&reader->blocks[UL_BLOCK_GIVEN_UP], sizeof(reader->blocks[0])) ||
	       ul_reader_sync_is_set(reader);
}

/* After a power loss, what looks empty may have held a definition that calls in other pages lead to: another one there would name them. */
static bool may_adopt(const struct ul_reader *reader, int directory, const char *name, const struct ul_id *log_id,
		      uint64_t size_bytes)
{
	struct stat here;
	if (os_stat_at(directory, name, &here) || (uint64_t)here.st_ino != reader->inode || here.st_nlink != 1)
		return false;
	return ul_reader_is_original(reader) && !memcmp(&reader->header.log_id, log_id, sizeof(*log_id)) &&
	       !reader->header.generation && !reader->header.flags_compatible &&
	       !reader->header.flags_read_compatible && reader->header.size_bytes == size_bytes &&
	       !is_given_up(reader) && ul_reader_of_this_boot(reader) == 1;
}

static void take_over_blocks(struct ul_segment *segment, const struct ul_reader *reader)
{
	for (uint32_t i = 0; i < UL_STATE_BLOCKS; i++)
		if (ul_block_classify(&reader->blocks[i], reader->seed, i) == UL_BLOCK_VALID)
			segment->block_sequence[i] = reader->blocks[i].sequence;
	const struct ul_state_block *counters = ul_block_pair(reader->blocks, reader->seed, UL_BLOCK_COUNTERS);
	if (!counters)
		return;
	segment->attempted_before = counters->payload.counters.attempted;
	memcpy(segment->dropped_before, counters->payload.counters.dropped, sizeof(segment->dropped_before));
}

/* Locked and read: make it ours, if there is room in it. */
static int take_over(struct ul_segment *segment, const struct ul_reader *reader)
{
	segment->id = reader->header.segment_id;
	segment->seed = reader->seed;
	segment->size_bytes = reader->header.size_bytes;
	int error = find_place(reader, segment);
	if (error)
		return error;
	uint32_t file_pages = (uint32_t)(reader->file_bytes / UL_PAGE_BYTES);
	if (segment->first_page >= segment->page_count || file_pages > segment->page_count)
		return -ENOSPC;
	/* Durable slots behind the last that holds anything were lost: they may be folded, and must not be used again. */
	for (uint32_t i = segment->first_page; i < segment->page_count; i++)
		if (reader->durable[i] > (i == segment->first_page ? segment->first_slot % UL_PAGE_SLOTS : 0))
			return -EBUSY;
	/* What an earlier writer left unsynced is synced by us too. */
	memcpy(segment->covered, reader->durable, segment->page_count);
	segment->low_page = reader->first_slot / UL_PAGE_SLOTS;
	take_over_blocks(segment, reader);
	/* An empty slot at the very end of the file may be a hole in it: only what is allocated may be written. */
	uint32_t ready = file_pages > segment->first_page ? file_pages : segment->first_page + 1;
	error = os_extend(segment->fd, 0, (uint64_t)ready * UL_PAGE_BYTES, true);
	if (!error)
		error = map(segment);
	if (!error)
		error = write_boot(segment);
	if (error)
		return error;
	uint32_t count = ready - segment->first_page;
	/* What cannot be populated is merely slower the first time. */
	os_populate(segment->base + (size_t)segment->first_page * UL_PAGE_BYTES,
		    (size_t)(count < EXTENSION_PAGES_MIN ? count : EXTENSION_PAGES_MIN) * UL_PAGE_BYTES, true);
	ul_segment_publish(segment, ready);
	segment->passed_page = segment->first_page;
	atomic_store_explicit(&segment->next_page, segment->first_page, memory_order_relaxed);
	return 0;
}

static bool any_durable(const struct ul_reader *reader)
{
	for (uint32_t i = 0; i < reader->page_count; i++)
		if (reader->durable[i])
			return true;
	return false;
}

static int adopt_one(struct ul_segment **adopted, int directory, const char *name, const struct ul_id *log_id,
		     uint64_t size_bytes, uint32_t name_count)
{
	struct ul_reader reader;
	int fd = os_open(directory, name, O_RDWR);
	if (fd < 0)
		return fd;
	int error = os_lock(fd);
	if (error) {
		os_close(fd);
		return error;
	}
	/* Through the descriptor that holds the lock: by its name, what is read could be another file. */
	error = ul_reader_open_fd(&reader, fd);
	if (error)
		return error;
	bool may = may_adopt(&reader, directory, name, log_id, size_bytes);
	struct ul_segment *segment = may ? allocate(name_count, reader.page_count) : NULL;
	if (!segment) {
		ul_reader_close(&reader);
		return may ? -ENOMEM : -EBUSY;
	}
	segment->fd = fd;
	memcpy(segment->name, name, NAME_BYTES);
	error = take_over(segment, &reader);
	/* Whoever made it may have died before the directory was synced; once anything in it is known durable, somebody did. */
	if (!error && !any_durable(&reader))
		error = os_sync(directory);
	reader.fd = -1; /* the segment's from here on */
	ul_reader_close(&reader);
	if (error) {
		ul_segment_close(segment, false);
		return error;
	}
	*adopted = segment;
	return 0;
}

/* The newest names of segments in a directory, newest first; rescue files have a second dot. */
static uint32_t newest_names(int directory, char names[ADOPT_TRIES_MAX + 1][NAME_BYTES])
{
	uint32_t count = 0;
	DIR *stream;
	const char *name;
	if (os_list(directory, &stream))
		return 0;
	while (os_list_next(stream, &name) > 0) {
		struct ul_id id;
		if (!ul_id_parse(&id, name) || strcmp(name + 2 * UL_ID_BYTES, ".seg") != 0)
			continue;
		uint32_t place = count;
		while (place && strcmp(names[place - 1], name) < 0)
			place--;
		if (place == ADOPT_TRIES_MAX)
			continue;
		count += count < ADOPT_TRIES_MAX;
		memmove(names[place + 1], names[place], (size_t)(count - place - 1) * NAME_BYTES);
		memcpy(names[place], name, NAME_BYTES);
	}
	closedir(stream);
	return count;
}

int ul_segment_get(struct ul_segment **segment, int directory, const struct ul_id *log_id, uint64_t size_bytes,
		   uint32_t name_count)
{
	char names[ADOPT_TRIES_MAX + 1][NAME_BYTES];
	uint32_t count = newest_names(directory, names);
	for (uint32_t i = 0; i < count; i++)
		if (!adopt_one(segment, directory, names[i], log_id, size_bytes, name_count))
			return 0;
	return make(segment, directory, log_id, size_bytes, name_count);
}

/* ---- giving up -------------------------------------------------------------------------------------------- */

bool ul_segment_is_empty(const struct ul_segment *segment)
{
	return atomic_load_explicit(&segment->next_page, memory_order_relaxed) == ul_first_page(segment->size_bytes) &&
	       segment->first_slot == ul_first_page(segment->size_bytes) * UL_PAGE_SLOTS;
}

void ul_segment_close(struct ul_segment *segment, bool trim)
{
	uint32_t used = ul_segment_end_page(segment);
	bool has_room = used < atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	if (segment->guard.failed && segment->base)
		ul_segment_give_up(segment);
	unmap(segment);
	/* What was allocated ahead goes back; nobody else maps the file, and readers expect it to be shorter than its size. */
	if (trim && has_room && os_truncate(segment->fd, (uint64_t)used * UL_PAGE_BYTES)) {
		/* It stays as long as it is: a waste of some pages, no more. */
	}
	os_close(segment->fd);
	release(segment);
}

void ul_segment_forget(struct ul_segment *segment)
{
	ul_guard_end(&segment->guard);
	os_close(segment->fd);
	release(segment);
}
