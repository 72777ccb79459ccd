/*
 * What a reader must say of 64 bytes: the classes of FORMAT.md 3.4, and of header pages (3.1) and state
 * blocks (3.2). Pure functions of bytes. They never trust a field before its checksum agrees, and not
 * then: a valid checksum over contents that this version does not define is `unknown`, not valid.
 */
#ifndef USAGELOG_SLOT_H
#define USAGELOG_SLOT_H

#include <stdbool.h>

#include "format.h"

enum ul_slot_state {
	UL_SLOT_EMPTY,      /* never written */
	UL_SLOT_UNFINISHED, /* claimed, not committed: its writer is at work or died */
	UL_SLOT_VALID,
	UL_SLOT_UNKNOWN, /* committed by a newer program: to be reported and left unfolded */
	UL_SLOT_DAMAGED,
};

/* Of a slot whose checksum agrees: are kind and fields what FORMAT.md 3.4 allows? It is valid then, else unknown. */
bool ul_slot_is_defined(const struct ul_slot *slot);

enum ul_slot_state ul_slot_classify(const struct ul_slot *slot, uint64_t segment_seed, uint32_t slot_number);

enum ul_header_state {
	UL_HEADER_VALID,
	UL_HEADER_NEWER,   /* sound, but of a newer version or with unknown incompatible flags */
	UL_HEADER_DAMAGED, /* not a header, or a damaged one */
};

/* Classify one header page; `*header` is set unless it is damaged. */
enum ul_header_state ul_header_classify(const uint8_t page[UL_PAGE_BYTES], struct ul_segment_header *header);

/* Fill in a whole header page, checksum and magic included, from the other fields of `header`. */
void ul_header_seal(uint8_t page[UL_PAGE_BYTES], const struct ul_segment_header *header);

enum ul_block_state { UL_BLOCK_CLEAR, UL_BLOCK_VALID, UL_BLOCK_TORN };

/* Classify state block `index` of a segment. */
enum ul_block_state ul_block_classify(const struct ul_state_block *block, uint64_t segment_seed, uint32_t index);

/* Of a sync block: is a range being synced, or was it torn, and so may be? */
bool ul_sync_is_set(const struct ul_state_block *block, uint64_t segment_seed, uint32_t index);

/* The valid block of larger sequence of the pair at `index`, or NULL; `blocks` are the state page's. */
const struct ul_state_block *ul_block_pair(const struct ul_state_block blocks[UL_STATE_BLOCKS], uint64_t segment_seed,
					   uint32_t index);

/* How many slots a text of so many bytes takes. */
static inline uint32_t ul_text_slots(uint32_t text_bytes)
{
	return (text_bytes + UL_CHUNK_BYTES - 1) / UL_CHUNK_BYTES;
}

/* Id <-> 32 lower-case hexadecimal digits. The parser takes exactly 32 digits of `text` and looks no further. */
void ul_id_format(char text[UL_ID_TEXT_BYTES], const struct ul_id *id);
bool ul_id_parse(struct ul_id *id, const char *text);

#endif
