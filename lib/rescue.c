/* Copies of pages, as rescue.h says. */
#include "rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os.h"
#include "reader.h"
#include "seal.h"

enum { GENERATIONS_MAX = 1000 };

/* Does the page hold a definition or a chunk of one? And how many leading slots are committed? */
static bool look_at_page(const struct ul_reader *reader, uint32_t page, struct ul_slot slots[UL_PAGE_SLOTS],
			 uint8_t *leading)
{
	bool defines = false, broken = false;
	*leading = 0;
	for (uint32_t i = 0; i < UL_PAGE_SLOTS; i++) {
		enum ul_slot_state state = ul_reader_classify(reader, page * UL_PAGE_SLOTS + i, &slots[i]);
		enum ul_kind kind = ul_slot_kind(&slots[i]);
		defines = defines ||
			  (state == UL_SLOT_VALID && (kind == UL_KIND_DEFINITION || kind == UL_KIND_CONTINUATION));
		broken = broken || (state != UL_SLOT_VALID && state != UL_SLOT_UNKNOWN);
		*leading = (uint8_t)(*leading + !broken);
	}
	return defines;
}

static int copy_pages(const struct ul_reader *reader, int file, uint32_t first_page, uint32_t page_count,
		      uint8_t *table)
{
	struct ul_slot slots[UL_PAGE_SLOTS];
	uint32_t end = (reader->end_slot + UL_PAGE_SLOTS - 1) / UL_PAGE_SLOTS;
	for (uint32_t page = reader->first_slot / UL_PAGE_SLOTS; page < end; page++) {
		uint8_t leading;
		int error = ul_reader_read(reader, page * UL_PAGE_SLOTS, UL_PAGE_SLOTS, slots);
		if (error)
			return error;
		bool defines = look_at_page(reader, page, slots, &leading);
		bool wanted = page - first_page < page_count && reader->durable[page] < UL_PAGE_SLOTS &&
			      !ul_is_zero(slots, sizeof(slots));
		if (!defines && !wanted)
			continue;
		error = os_write(file, slots, sizeof(slots), (uint64_t)page * UL_PAGE_BYTES);
		if (error)
			return error;
		table[page] = leading;
	}
	return 0;
}

static int write_rescue(const struct ul_reader *reader, int file, uint32_t generation, uint32_t first_page,
			uint32_t page_count)
{
	struct stat found;
	uint8_t page[UL_PAGE_BYTES];
	uint8_t *table = os_allocate(reader->page_count, 1);
	int error = table ? os_stat(file, &found) : -ENOMEM;
	if (!error) {
		struct ul_segment_header header = reader->header;
		header.inode = (uint64_t)found.st_ino;
		header.generation = generation;
		ul_header_seal(page, &header);
		error = copy_pages(reader, file, first_page, page_count, table);
	}
	for (uint32_t i = 0; i < 2 && !error; i++)
		error = os_write(file, page, sizeof(page), (uint64_t)i * UL_PAGE_BYTES);
	/* What it holds is durable before anybody can see the file: it gets its name only after the sync. */
	if (!error)
		error = os_write(file, table, reader->page_count, (uint64_t)UL_TABLE_PAGE * UL_PAGE_BYTES);
	if (!error)
		error = os_sync(file);
	free(table);
	return error;
}

/* Give it the first generation that is free: linked, so that nobody's file is replaced. */
static int rescue(const struct ul_reader *reader, uint32_t first_page, uint32_t page_count, int to)
{
	char digits[UL_ID_TEXT_BYTES], temporary[80], name[80];
	ul_id_format(digits, &reader->header.segment_id);
	for (uint32_t generation = 1; generation < GENERATIONS_MAX; generation++) {
		struct stat found;
		snprintf(name, sizeof(name), "%s.%u.seg", digits, generation);
		if (!os_stat_at(to, name, &found))
			continue;
		snprintf(temporary, sizeof(temporary), "%s.%u.tmp", digits, generation);
		os_unlink(to, temporary); /* the left-over of a rescue that was cut off: the segment's lock is ours */
		int file = os_open(to, temporary, O_RDWR | O_CREAT | O_EXCL);
		if (file < 0)
			return file;
		int error = write_rescue(reader, file, generation, first_page, page_count);
		os_close(file);
		if (!error)
			error = os_link(to, temporary, name);
		os_unlink(to, temporary);
		if (error != -EEXIST)
			return error ? error : os_sync(to);
	}
	return -EEXIST;
}

/* What `own` holds, a segment's file or a copy of one; it is closed. */
static int rescue_from(int own, uint32_t first_page, uint32_t page_count, int to, struct ul_message *why)
{
	struct ul_reader reader;
	int error = own < 0 ? own : ul_reader_open_fd(&reader, own);
	if (!error) {
		error = rescue(&reader, first_page, page_count, to);
		ul_reader_close(&reader);
	}
	if (error)
		ul_message_set(why, "%s", usagelog_strerror(error));
	return error;
}

int ul_rescue_pages(int fd, uint32_t first_page, uint32_t page_count, int to, struct ul_message *why)
{
	char path[64];
	/* The file may have lost its name: by descriptor it is still there. A link of /proc, so not through os_open(). */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return rescue_from(os_open_any(path, 0), first_page, page_count, to, why);
}

/* A page as it was stored: from memory; what is kept of it, or else the file has, if it is lost, when what memory has there is nobody's. */
static int copy_page(const struct ul_mapped *mapped, uint32_t page, int copy)
{
	uint64_t words[UL_PAGE_BYTES / 8], offset = (uint64_t)page * UL_PAGE_BYTES;
	const uint64_t *from = (const void *)(mapped->guard->address + offset);
	const void *kept = words;
	/* Acquire: pairs with the commit in record.c and append.c; a slot's checksum is read before its body. */
	for (uint32_t i = 0; i < UL_PAGE_BYTES / 8; i++)
		words[i] = __atomic_load_n(&from[i], __ATOMIC_ACQUIRE);
	/* Afterwards: to look may be what finds it lost. */
	if (__atomic_load_n(&mapped->guard->lost[page], __ATOMIC_RELAXED)) {
		kept = ul_guard_kept(mapped->guard, offset);
		/* One page that is gone must not keep the others from being copied: who counted calls in it looks again. */
		if (!kept && os_read(mapped->fd, memset(words, 0, sizeof(words)), sizeof(words), offset) < 0)
			memset(words, 0, sizeof(words));
	}
	return os_write(copy, kept ? kept : words, UL_PAGE_BYTES, offset);
}

/* A file in memory of what is mapped. The descriptor or -errno. */
static int copy_mapping(const struct ul_mapped *mapped)
{
	uint8_t page[UL_PAGE_BYTES];
	int copy = os_open_memory(), error = copy < 0 ? copy : 0;
	ul_header_seal(page, &mapped->header);
	for (uint32_t i = 0; i < 2 && !error; i++)
		error = os_write(copy, page, sizeof(page), (uint64_t)i * UL_PAGE_BYTES);
	for (uint32_t i = ul_first_page(mapped->header.size_bytes); i < mapped->end_page && !error; i++)
		error = copy_page(mapped, i, copy);
	if (error)
		os_close(copy);
	return error ? error : copy;
}

int ul_rescue_mapped(const struct ul_mapped *mapped, uint32_t first_page, uint32_t page_count, int to,
		     struct ul_message *why)
{
	return rescue_from(copy_mapping(mapped), first_page, page_count, to, why);
}

/* Write a state block, sealed. */
static int write_block(int fd, uint64_t seed, uint32_t index, struct ul_state_block *block)
{
	block->checksum = ul_block_checksum(block, seed, index);
	return os_write(fd, block, sizeof(*block), (uint64_t)UL_STATE_PAGE * UL_PAGE_BYTES + index * sizeof(*block));
}

int ul_rescue_give_up(int fd, uint64_t seed)
{
	struct ul_state_block block = {.sequence = 1, .payload.given_up = 1};
	return write_block(fd, seed, UL_BLOCK_GIVEN_UP, &block);
}

static int clear_blocks(int fd, const struct ul_reader *reader)
{
	int error = 0;
	for (uint32_t i = UL_BLOCK_SYNC; i < UL_BLOCK_SYNC + UL_SYNC_BLOCKS && !error; i++) {
		struct ul_state_block block = {.sequence = reader->blocks[i].sequence + 1};
		if (ul_block_classify(&reader->blocks[i], reader->seed, i) != UL_BLOCK_CLEAR)
			error = write_block(fd, reader->seed, i, &block);
	}
	return error;
}

int ul_rescue_dead(int directory, const char *name, struct ul_message *why)
{
	struct ul_reader reader;
	int fd = os_open(directory, name, O_RDWR);
	if (fd < 0)
		return fd;
	int error = os_lock(fd);
	if (error)
		os_close(fd);
	else
		error = ul_reader_open_fd(&reader, fd);
	if (!error && (!ul_reader_is_original(&reader) || reader.header.generation)) {
		/* A copy's lock is not the segment's. */
		ul_reader_close(&reader);
		error = -EBUSY;
	}
	if (error) {
		ul_message_set(why, "%s: pages whose sync was cut off cannot be rescued: %s", name,
			       usagelog_strerror(error));
		return error;
	}
	if (ul_reader_sync_is_set(&reader)) {
		/* After a reboot the disk says what there is: there is no page left that seems clean and is not. */
		int this_boot = ul_reader_of_this_boot(&reader);
		error = this_boot > 0 ? ul_rescue_give_up(fd, reader.seed) : this_boot;
		/* All that is not durable, not only what was being synced: nothing of it will be synced where it is any more. */
		if (!error && this_boot)
			error = rescue(&reader, 0, reader.page_count, directory);
		if (!error)
			error = clear_blocks(fd, &reader);
	}
	if (error)
		ul_message_set(why, "%s: pages whose sync was cut off cannot be copied: %s", name,
			       usagelog_strerror(error));
	ul_reader_close(&reader);
	return error;
}
