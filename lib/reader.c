/* Reading one segment file. */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "os.h"
#include "seal.h"
#include "usagelog.h"

static int read_page(const struct ul_reader *reader, uint32_t page, void *out)
{
	ssize_t got = os_read(reader->fd, out, UL_PAGE_BYTES, (uint64_t)page * UL_PAGE_BYTES);
	if (got < 0)
		return (int)got;
	memset((char *)out + got, 0, UL_PAGE_BYTES - (size_t)got);
	return 0;
}

static int read_header(struct ul_reader *reader)
{
	uint8_t page[UL_PAGE_BYTES];
	struct ul_segment_header headers[2];
	for (uint32_t i = 0; i < 2; i++) {
		int error = read_page(reader, i, page);
		if (error)
			return error;
		reader->page_states[i] = ul_header_classify(page, &headers[i]);
	}
	for (uint32_t i = 0; i < 2; i++) {
		if (reader->page_states[i] == UL_HEADER_DAMAGED)
			continue;
		reader->header = headers[i];
		return reader->page_states[i] == UL_HEADER_NEWER ? USAGELOG_ERROR_NEWER : 0;
	}
	return USAGELOG_ERROR_SEGMENT;
}

int ul_reader_refresh(struct ul_reader *reader)
{
	struct stat found;
	int error = os_stat(reader->fd, &found);
	if (error)
		return error;
	reader->file_bytes = (uint64_t)found.st_size;
	reader->inode = (uint64_t)found.st_ino;
	uint64_t used = reader->file_bytes < reader->header.size_bytes ? reader->file_bytes : reader->header.size_bytes;
	reader->first_slot = ul_first_page(reader->header.size_bytes) * UL_PAGE_SLOTS;
	reader->end_slot = (uint32_t)((used + UL_SLOT_BYTES - 1) / UL_SLOT_BYTES);
	if (reader->end_slot < reader->first_slot)
		reader->end_slot = reader->first_slot;
	error = read_page(reader, UL_STATE_PAGE, reader->blocks);
	if (error)
		return error;
	memset(reader->durable, 0, reader->page_count);
	ssize_t got = os_read(reader->fd, reader->durable, reader->page_count, (uint64_t)UL_TABLE_PAGE * UL_PAGE_BYTES);
	if (got < 0)
		return (int)got;
	reader->table_damaged = false;
	for (uint32_t i = 0; i < reader->page_count; i++) {
		if (reader->durable[i] <= (i < reader->first_slot / UL_PAGE_SLOTS ? 0 : UL_PAGE_SLOTS))
			continue;
		reader->durable[i] = 0;
		reader->table_damaged = true;
	}
	return 0;
}

int ul_reader_open_fd(struct ul_reader *reader, int fd)
{
	*reader = (struct ul_reader){.fd = fd, .page_states = {UL_HEADER_DAMAGED, UL_HEADER_DAMAGED}};
	struct stat found;
	int error = os_stat(fd, &found);
	if (!error && !S_ISREG(found.st_mode))
		error = USAGELOG_ERROR_SEGMENT;
	if (!error)
		error = read_header(reader);
	if (!error) {
		reader->seed = ul_segment_seed(&reader->header.segment_id);
		reader->page_count = (uint32_t)(reader->header.size_bytes / UL_PAGE_BYTES);
		reader->durable = os_allocate(reader->page_count, 1);
		error = reader->durable ? ul_reader_refresh(reader) : -ENOMEM;
	}
	if (error)
		ul_reader_close(reader);
	return error;
}

int ul_reader_open(struct ul_reader *reader, int directory, const char *name)
{
	int fd = os_open(directory, name, O_RDONLY);
	if (fd >= 0)
		return ul_reader_open_fd(reader, fd);
	*reader = (struct ul_reader){.fd = -1, .page_states = {UL_HEADER_DAMAGED, UL_HEADER_DAMAGED}};
	return fd;
}

void ul_reader_close(struct ul_reader *reader)
{
	os_close(reader->fd);
	free(reader->durable);
	reader->fd = -1;
	reader->durable = NULL;
}

int ul_reader_of_this_boot(const struct ul_reader *reader)
{
	const struct ul_state_block *boot = ul_block_pair(reader->blocks, reader->seed, UL_BLOCK_BOOT);
	uint8_t boot_id[UL_ID_BYTES];
	int error = os_boot_id(boot_id);
	if (error)
		return error;
	return boot && !memcmp(boot->payload.boot_id, boot_id, sizeof(boot_id));
}

bool ul_reader_sync_is_set(const struct ul_reader *reader)
{
	for (uint32_t i = UL_BLOCK_SYNC; i < UL_BLOCK_SYNC + UL_SYNC_BLOCKS; i++)
		if (ul_sync_is_set(&reader->blocks[i], reader->seed, i))
			return true;
	return false;
}

bool ul_reader_has_writer(const struct ul_reader *reader)
{
	return os_is_locked(reader->fd) == 1;
}

int ul_reader_unused_is_zero(const struct ul_reader *reader)
{
	uint8_t page[UL_PAGE_BYTES] = {0};
	uint32_t last = ul_first_page(reader->header.size_bytes) - 1, behind = reader->page_count % UL_PAGE_BYTES;
	if (!ul_is_zero(&reader->blocks[UL_BLOCKS_USED],
			(UL_STATE_BLOCKS - UL_BLOCKS_USED) * sizeof(struct ul_state_block)))
		return 0;
	if (!behind)
		return 1;
	ssize_t got = os_read(reader->fd, page, sizeof(page), (uint64_t)last * UL_PAGE_BYTES);
	return got < 0 ? (int)got : ul_is_zero(page + behind, sizeof(page) - behind);
}

uint32_t ul_reader_torn_block(const struct ul_reader *reader)
{
	uint32_t block = 0;
	while (block < UL_BLOCKS_USED &&
	       ul_block_classify(&reader->blocks[block], reader->seed, block) != UL_BLOCK_TORN)
		block++;
	return block < UL_BLOCKS_USED ? block : UL_STATE_BLOCKS;
}

int ul_reader_read(const struct ul_reader *reader, uint32_t first_slot, uint32_t slot_count, struct ul_slot *slots)
{
	size_t bytes = (size_t)slot_count * UL_SLOT_BYTES;
	ssize_t got = os_read(reader->fd, slots, bytes, (uint64_t)first_slot * UL_SLOT_BYTES);
	if (got < 0)
		return (int)got;
	memset((char *)slots + got, 0, bytes - (size_t)got);
	return 0;
}

enum ul_slot_state ul_reader_classify(const struct ul_reader *reader, uint32_t slot_number, struct ul_slot *slot)
{
	enum ul_slot_state state = ul_slot_classify(slot, reader->seed, slot_number);
	if (state != UL_SLOT_DAMAGED)
		return state;
	if (ul_reader_read(reader, slot_number, 1, slot))
		return UL_SLOT_DAMAGED;
	return ul_slot_classify(slot, reader->seed, slot_number);
}

uint32_t ul_reader_next_data(const struct ul_reader *reader, uint32_t slot_number)
{
	if (slot_number >= reader->end_slot)
		return reader->end_slot;
	int64_t data = os_seek(reader->fd, (int64_t)slot_number * UL_SLOT_BYTES, SEEK_DATA);
	if (data < 0)
		return data == -ENXIO ? reader->end_slot : slot_number;
	uint64_t slot = (uint64_t)data / UL_SLOT_BYTES;
	return slot < reader->end_slot ? (uint32_t)slot : reader->end_slot;
}

/* Read a slot that must be valid and of this kind. */
static int read_chunk(const struct ul_reader *reader, uint32_t number, enum ul_kind kind, struct ul_slot *slot)
{
	/* It may lie beyond what was the file's end when that was last looked at: a writer that defines a name goes on to call it anywhere. */
	if (number < reader->first_slot || number >= reader->header.size_bytes / UL_SLOT_BYTES)
		return USAGELOG_ERROR_SEGMENT;
	int error = ul_reader_read(reader, number, 1, slot);
	if (error)
		return error;
	bool valid = ul_reader_classify(reader, number, slot) == UL_SLOT_VALID && ul_slot_kind(slot) == kind;
	return valid ? 0 : USAGELOG_ERROR_SEGMENT;
}

static bool text_is_valid(enum ul_class text_class, const char *text, uint32_t bytes)
{
	size_t provider_bytes;
	return text_class == UL_CLASS_MODEL ? ul_model_text_is_valid(text, bytes, &provider_bytes)
					    : ul_context_is_valid(text, bytes);
}

ssize_t ul_reader_text(const struct ul_reader *reader, uint32_t slot_number, enum ul_class text_class,
		       char out[UL_CONTEXT_BYTES_MAX])
{
	struct ul_slot slot;
	int error = read_chunk(reader, slot_number, UL_KIND_DEFINITION, &slot);
	if (error)
		return error;
	if (slot.word >> 28 != text_class)
		return USAGELOG_ERROR_SEGMENT;
	uint32_t bytes = slot.word & UL_SLOT_MASK;
	for (uint32_t offset = 0; offset < bytes; offset += UL_CHUNK_BYTES) {
		uint32_t chunk = bytes - offset < UL_CHUNK_BYTES ? bytes - offset : UL_CHUNK_BYTES;
		if (offset) {
			error = read_chunk(reader, slot.tag & UL_SLOT_MASK, UL_KIND_CONTINUATION, &slot);
			if (error)
				return error;
			if (slot.word != offset)
				return USAGELOG_ERROR_SEGMENT;
		}
		memcpy(out + offset, slot.body.text, chunk);
	}
	/* The last chunk leads nowhere. */
	if (slot.tag & UL_SLOT_MASK)
		return USAGELOG_ERROR_SEGMENT;
	return text_is_valid(text_class, out, bytes) ? (ssize_t)bytes : USAGELOG_ERROR_SEGMENT;
}

/* ---- the public face --------------------------------------------------------------------------------------- */

struct usagelog_segment {
	struct ul_reader reader;
};

int usagelog_segment_open(usagelog_segment **segment, const char *path)
{
	usagelog_segment *found = os_allocate(1, sizeof(*found));
	if (!found)
		return -ENOMEM;
	int error = ul_reader_open(&found->reader, AT_FDCWD, path);
	if (error) {
		free(found);
		return error;
	}
	*segment = found;
	return 0;
}

enum { VISIT_SLOTS = 1024 };

int usagelog_segment_visit(usagelog_segment *segment, int (*visit)(void *arg, const struct usagelog_slot *slot),
			   void *arg)
{
	const struct ul_reader *reader = &segment->reader;
	struct ul_slot *slots = os_allocate(VISIT_SLOTS, sizeof(*slots));
	int result = slots ? ul_reader_refresh(&segment->reader) : -ENOMEM;
	uint32_t at = reader->first_slot;
	while (!result && (at = ul_reader_next_data(reader, at)) < reader->end_slot) {
		uint32_t count = reader->end_slot - at < VISIT_SLOTS ? reader->end_slot - at : VISIT_SLOTS;
		result = ul_reader_read(reader, at, count, slots);
		for (uint32_t i = 0; i < count && !result; i++) {
			struct usagelog_slot shown = {.number = at + i};
			shown.state = (enum usagelog_slot_state)ul_reader_classify(reader, at + i, &slots[i]);
			if (shown.state == USAGELOG_SLOT_EMPTY)
				continue;
			memcpy(shown.bytes, &slots[i], sizeof(shown.bytes));
			result = visit(arg, &shown);
		}
		at += count;
	}
	free(slots);
	return result;
}

int usagelog_segment_text(usagelog_segment *segment, uint32_t slot, int text_class, char *out, size_t out_bytes)
{
	char text[UL_CONTEXT_BYTES_MAX];
	if (text_class != UL_CLASS_MODEL && text_class != UL_CLASS_CONTEXT)
		return -EINVAL;
	ssize_t bytes = ul_reader_text(&segment->reader, slot, (enum ul_class)text_class, text);
	if (bytes < 0)
		return (int)bytes;
	if ((size_t)bytes > out_bytes)
		return -ENOSPC;
	memcpy(out, text, (size_t)bytes);
	return (int)bytes;
}

void usagelog_segment_close(usagelog_segment *segment)
{
	if (!segment)
		return;
	ul_reader_close(&segment->reader);
	free(segment);
}
