/*
 * Reading one segment file, live or dead, sound or not: FORMAT.md 4, steps 2 to 5, for one file. Merging the files of one segment, and
 * what calls mean, is for others. Reads with pread(), never through a mapping: a file that is cut short
 * while it is read is an error code, not a SIGBUS.
 */
#ifndef USAGELOG_READER_H
#define USAGELOG_READER_H

#include <stdbool.h>
#include <sys/types.h>

#include "slot.h"

struct ul_reader {
	int fd;
	enum ul_header_state page_states[2];
	struct ul_segment_header header; /* the one that holds */
	uint64_t seed;
	uint64_t file_bytes; /* when opened; ul_reader_refresh() looks again */
	uint64_t inode;
	uint32_t first_slot;
	uint32_t end_slot; /* after the last slot that the file reaches into */
	struct ul_state_block blocks[UL_STATE_BLOCKS];
	uint8_t *durable; /* the page table: one byte for each page of the segment, all of them <= 64 */
	uint32_t page_count;
	bool table_damaged; /* a byte was out of range and is taken as 0 */
};

/* Open `name` in the directory `directory` (AT_FDCWD: a path). Regular files only; follows no link. -errno, USAGELOG_ERROR_SEGMENT (no
 * valid header; page_states tell), USAGELOG_ERROR_NEWER. On error nothing is open, but page_states and, if newer, header are set. */
int ul_reader_open(struct ul_reader *reader, int directory, const char *name);
/* The same with a descriptor, which becomes the reader's, also on error. */
int ul_reader_open_fd(struct ul_reader *reader, int fd);
void ul_reader_close(struct ul_reader *reader);

/* Look again at the file's size, state blocks and page table. */
int ul_reader_refresh(struct ul_reader *reader);

/* Is the header this file's own, rather than that of a file it was copied from? */
static inline bool ul_reader_is_original(const struct ul_reader *reader)
{
	return reader->header.inode == reader->inode;
}

/* Was it last written to in this boot of the host, so that no power loss came since? 1, 0 or -errno. */
int ul_reader_of_this_boot(const struct ul_reader *reader);

/* Is a sync under way, as far as its state blocks tell, or was one cut off? */
bool ul_reader_sync_is_set(const struct ul_reader *reader);

/* Has it a writer right now? */
bool ul_reader_has_writer(const struct ul_reader *reader);

/* Are the state blocks and the bytes behind the page table that nobody writes zero, as they must be? 1, 0 or -errno. */
int ul_reader_unused_is_zero(const struct ul_reader *reader);

/* The first state block that is neither zero nor valid: torn by its writer's death, or damaged. UL_STATE_BLOCKS: none. */
uint32_t ul_reader_torn_block(const struct ul_reader *reader);

/* Read slots; what the file does not reach reads as zeros. 0 or -errno. */
int ul_reader_read(const struct ul_reader *reader, uint32_t first_slot, uint32_t slot_count, struct ul_slot *slots);

/* Classify a slot that was read, reading it once more into `slot` if it seems damaged (FORMAT.md 4, step 4). The durable count is not
 * looked at. */
enum ul_slot_state ul_reader_classify(const struct ul_reader *reader, uint32_t slot_number, struct ul_slot *slot);

/* The first slot from `slot_number` on that is not in a hole of the file (or end_slot): large gaps are skipped cheaply. */
uint32_t ul_reader_next_data(const struct ul_reader *reader, uint32_t slot_number);

/* The text of the definition of this class at `slot_number`: its length, or USAGELOG_ERROR_SEGMENT if there is none that is valid, or
 * -errno. Checks the chain of chunks, and that the text is a model or a context. */
ssize_t ul_reader_text(const struct ul_reader *reader, uint32_t slot_number, enum ul_class text_class,
		       char out[UL_CONTEXT_BYTES_MAX]);

#endif
