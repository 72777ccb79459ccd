/* A part of a file, mapped to be read page by page. */
#include "mapping.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "os.h"

void mapping_open(struct mapping *mapping, int fd, uint64_t offset, uint64_t bytes)
{
	struct stat found;
	void *address;
	sigset_t set;
	*mapping = (struct mapping){0};
	if (os_stat(fd, &found))
		return;
	/* Whoever started this program may have had it blocked. */
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	/* Whole pages only: the rest of the last one is read. */
	uint64_t unit = (uint64_t)sysconf(_SC_PAGESIZE), start = offset / unit * unit;
	uint64_t end = offset + bytes < (uint64_t)found.st_size ? offset + bytes : (uint64_t)found.st_size;
	end = end / UL_PAGE_BYTES * UL_PAGE_BYTES;
	if (end <= start || os_map(&address, (size_t)(end - start), fd, start, false))
		return;
	mapping->guard.address = address;
	mapping->guard.bytes = (size_t)(end - start);
	mapping->offset = start;
	if (ul_guard_begin(&mapping->guard))
		mapping_close(mapping);
}

void mapping_close(struct mapping *mapping)
{
	ul_guard_end(&mapping->guard);
	os_unmap(mapping->guard.address, mapping->guard.bytes);
	*mapping = (struct mapping){0};
}

bool mapping_take(struct mapping *mapping, uint64_t offset, struct ul_slot copy[UL_PAGE_SLOTS], uint64_t segment_seed,
		  struct ul_page_bits *bits)
{
	uint64_t at = offset - mapping->offset;
	if (offset < mapping->offset || at + UL_PAGE_BYTES > mapping->guard.bytes || mapping->guard.failed)
		return false;
	*bits = ul_page_take(copy, mapping->guard.address + at, segment_seed, (uint32_t)(offset / UL_SLOT_BYTES));
	return !mapping->guard.failed;
}
