/*
 * Rescue files (FORMAT.md 3.6): copies of pages whose sync failed, or may have failed when their writer died in it. Never
 * the same pages are synced twice: the kernel may have marked them clean.
 */
#ifndef USAGELOG_RESCUE_H
#define USAGELOG_RESCUE_H

#include "directory.h"
#include "guard.h"

/* Copy pages of the segment open as `fd`, and all its definitions, to a rescue file in the directory `to`, durably. 0 or -errno, and
 * then there is no such file. */
int ul_rescue_pages(int fd, uint32_t first_page, uint32_t page_count, int to, struct ul_message *why);

/* A segment as its writer has it mapped, up to `end_page`. Of a page that is lost and was not kept there is what the file has, if that can be read. */
struct ul_mapped {
	struct ul_segment_header header;
	const struct ul_guard *guard;
	int fd;
	uint32_t end_page;
};

/* The same from memory. A filesystem that fails (ext4 whose journal is gone) forgets what it could not write: whoever reads the file then has the
 * pages read anew from the disk, in place of what was stored. What is still mapped is there until then. */
int ul_rescue_mapped(const struct ul_mapped *mapped, uint32_t first_page, uint32_t page_count, int to,
		     struct ul_message *why);

/* Say in the header of the segment open as `fd`, to write, that nobody is to go on in it: for whoever was told of a failed sync of it. 0 or -errno. */
int ul_rescue_give_up(int fd, uint64_t seed);

/* Rescue all that a dead writer of this boot left not durable in a segment, if it died in the middle of a sync, in the same directory, give the segment up, and clear its sync blocks. 0: done, or nothing to be
 * done. -EAGAIN: it has a writer. Else -errno, and the blocks stay set. */
int ul_rescue_dead(int directory, const char *name, struct ul_message *why);

#endif
