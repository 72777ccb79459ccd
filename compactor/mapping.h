/*
 * A part of a file, mapped to be read page by page: a copy by read() costs as much as all that is done with a slot afterwards. Others may cut the
 * file short meanwhile, and its disk may fail; such a page counts as not to be had: who wants it reads it, and is told why not.
 */
#ifndef USAGELOG_MAPPING_H
#define USAGELOG_MAPPING_H

#include <stdbool.h>

#include "guard.h"
#include "page.h"

/* Zeroed: nothing is mapped. */
struct mapping {
	struct ul_guard guard; /* failed: a page could not be had, and none is from then on */
	uint64_t offset;       /* in the file, of its address */
};

/* Map what there is of the file's range. Whether that worked is seen from what mapping_take() says. Must stay where it is, and be used by one
 * thread at a time. */
void mapping_open(struct mapping *mapping, int fd, uint64_t offset, uint64_t bytes);
void mapping_close(struct mapping *mapping);

/* ul_page_take() of the page at `offset` in the file. False: it is not mapped, or cannot be had; the copy is of no use. */
bool mapping_take(struct mapping *mapping, uint64_t offset, struct ul_slot copy[UL_PAGE_SLOTS], uint64_t segment_seed,
		  struct ul_page_bits *bits);

#endif
