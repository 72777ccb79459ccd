/*
 * Mapped files whose faults are survived. Access to a page that its file cannot give (cut short, its disk full or failed) raises SIGBUS, which
 * kills the process. For guarded ranges, and no others, a handler puts a page of zeros in place of the lost one and says so; whoever stored
 * looks afterwards, and knows that the store did not reach the file. What the page held is kept, if it was there to be read: a filesystem that
 * went down refuses stores to pages of which nothing is on the disk yet. Faults elsewhere go to whichever handler the host has.
 *
 * A thread that blocks SIGBUS is not helped: the system kills it, whatever the handler. Knows nothing of segments.
 */
#ifndef USAGELOG_GUARD_H
#define USAGELOG_GUARD_H

#include <stddef.h>
#include <stdint.h>

struct ul_guard {
	uint8_t *address;
	size_t bytes;
	uint8_t *
		lost; /* a byte for each 4,096 bytes of the range: not 0, a page of zeros is in its place. NULL: not of interest */
	/* In the handler, before the access goes on, or any other to that page. NULL: none. */
	void (*on_fault)(void *owner);
	void *owner;
	_Atomic uint32_t failed; /* some page is lost */
	_Atomic(uint8_t *) kept; /* as large as the range: what lost pages held. NULL: nothing is kept yet */
};

/* From here to ul_guard_end() this range is guarded. Must stay where it is. -ENOMEM: too many are. */
int ul_guard_begin(struct ul_guard *guard);
/* What is kept of the 4,096 bytes at this offset, which are lost; until ul_guard_end(). NULL: they could not be read. */
const void *ul_guard_kept(const struct ul_guard *guard, size_t offset);
/* Before the range is unmapped. Nobody uses it any more. */
void ul_guard_end(struct ul_guard *guard);
/* The host may have given SIGBUS a handler of its own since: ours goes first again, and hands on what is not guarded. */
void ul_guard_renew(void);
/* Around fork(): no other thread is in the midst of that, in whose place nobody would go on in the child. */
void ul_guard_fork_begins(void);
void ul_guard_fork_ends(void);

#endif
