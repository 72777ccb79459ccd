/*
 * A page of slots at a time, for readers of whole segments: copied, and the checksums of all 64 compared with what the slots say.
 * One slot after the other leaves a processor half idle; 256-bit vectors, where there are any, take two thirds of the time.
 * What is judged is the copy: the page itself may be a mapping that a writer stores to meanwhile.
 */
#ifndef USAGELOG_PAGE_H
#define USAGELOG_PAGE_H

#include "format.h"

/* A bit for each slot of the page, the first one lowest. */
struct ul_page_bits {
	uint64_t sealed; /* the checksum agrees (and so is not 0) */
	uint64_t
		plain; /* a call whose context word has no flag: if it is sealed it is valid, whatever its other fields hold */
};

/* `copy` is aligned to 64 bytes, `page` to 8. `first_slot` is the number of its first slot. `copy` and `page` may be
 * one and the same. */
struct ul_page_bits ul_page_take(struct ul_slot copy[UL_PAGE_SLOTS], const void *page, uint64_t segment_seed,
				 uint32_t first_slot);

/* The same without vectors, on any processor. */
struct ul_page_bits ul_page_take_scalar(struct ul_slot copy[UL_PAGE_SLOTS], const void *page, uint64_t segment_seed,
					uint32_t first_slot);

#endif
