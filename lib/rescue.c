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
		if (!defines && page - first_page >= page_count)
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

int ul_rescue_pages(int fd, uint32_t first_page, uint32_t page_count, int to, struct ul_message *why)
{
	char path[64];
	struct ul_reader reader;
	/* The file may have lost its name: by descriptor it is still there. A link of /proc, so not through os_open(). */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = os_open_any(path, 0);
	int error = own < 0 ? own : ul_reader_open_fd(&reader, own);
	if (!error) {
		error = rescue(&reader, first_page, page_count, to);
		ul_reader_close(&reader);
	}
	if (error)
		ul_message_set(why, "%s", usagelog_strerror(error));
	return error;
}

/* The range that sync blocks name, as one; of a torn block, everything. False: none is set. */
static bool pending_range(const struct ul_reader *reader, uint32_t *first_page, uint32_t *page_count)
{
	uint32_t first = reader->page_count, end = 0;
	for (uint32_t i = UL_BLOCK_SYNC; i < UL_BLOCK_SYNC + UL_SYNC_BLOCKS; i++) {
		const struct ul_state_block *block = &reader->blocks[i];
		uint64_t from = 0, to = reader->page_count;
		switch (ul_block_classify(block, reader->seed, i)) {
		case UL_BLOCK_CLEAR:
			continue;
		case UL_BLOCK_VALID:
			if (!block->payload.sync.page_count)
				continue;
			if (block->payload.sync.first_page < to &&
			    block->payload.sync.page_count <= to - block->payload.sync.first_page) {
				from = block->payload.sync.first_page;
				to = from + block->payload.sync.page_count;
			}
			break;
		case UL_BLOCK_TORN:
			break;
		}
		first = from < first ? (uint32_t)from : first;
		end = to > end ? (uint32_t)to : end;
	}
	*first_page = first;
	*page_count = end - first;
	return end > 0;
}

static int clear_blocks(int fd, const struct ul_reader *reader)
{
	for (uint32_t i = UL_BLOCK_SYNC; i < UL_BLOCK_SYNC + UL_SYNC_BLOCKS; i++) {
		if (ul_block_classify(&reader->blocks[i], reader->seed, i) == UL_BLOCK_CLEAR)
			continue;
		struct ul_state_block block = {.sequence = reader->blocks[i].sequence + 1};
		block.checksum = ul_block_checksum(&block, reader->seed, i);
		int error = os_write(fd, &block, sizeof(block),
				     (uint64_t)UL_STATE_PAGE * UL_PAGE_BYTES + i * sizeof(block));
		if (error)
			return error;
	}
	return 0;
}

int ul_rescue_dead(int directory, const char *name, struct ul_message *why)
{
	struct ul_reader reader;
	uint32_t first_page, page_count;
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
	if (pending_range(&reader, &first_page, &page_count)) {
		/* After a reboot the disk says what there is: there is no page left that seems clean and is not. */
		int this_boot = ul_reader_of_this_boot(&reader);
		error = this_boot > 0 ? rescue(&reader, first_page, page_count, directory) : this_boot;
		if (!error)
			error = clear_blocks(fd, &reader);
	}
	if (error)
		ul_message_set(why, "%s: pages whose sync was cut off cannot be copied: %s", name,
			       usagelog_strerror(error));
	ul_reader_close(&reader);
	return error;
}
