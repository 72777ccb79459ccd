/* A part of a file, mapped to be read page by page. */
#include "mapping.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "os.h"

/* What this thread reads at the moment: the signal comes to the thread whose access it was. */
static _Thread_local struct mapping *volatile reading;

static struct sigaction before;

static void handle(int signal, siginfo_t *info, void *context)
{
	struct mapping *mapping = reading;
	uintptr_t at = (uintptr_t)info->si_addr;
	(void)signal;
	(void)context;
	if (mapping && at - (uintptr_t)mapping->address < mapping->bytes) {
		mapping->failed = 1;
		if (!os_map_zeros_at((void *)(at / mapping->unit * mapping->unit), mapping->unit))
			return;
	}
	/* The access is repeated on return, and then it is for whoever was there before. */
	sigaction(SIGBUS, &before, NULL);
}

/* Each time, as others may have put theirs in its place. A signal of one's own access that is blocked kills. */
static void let_signal_in(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART}, found;
	sigset_t set;
	sigemptyset(&action.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_mutex_lock(&mutex);
	if (!sigaction(SIGBUS, NULL, &found) && found.sa_sigaction != handle) {
		before = found;
		sigaction(SIGBUS, &action, NULL);
	}
	pthread_mutex_unlock(&mutex);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void mapping_open(struct mapping *mapping, int fd, uint64_t offset, uint64_t bytes)
{
	struct stat found;
	void *address;
	*mapping = (struct mapping){0};
	let_signal_in();
	if (os_stat(fd, &found))
		return;
	/* Whole pages only: the rest of the last one is read. */
	uint64_t unit = (uint64_t)sysconf(_SC_PAGESIZE), start = offset / unit * unit;
	uint64_t end = offset + bytes < (uint64_t)found.st_size ? offset + bytes : (uint64_t)found.st_size;
	end = end / UL_PAGE_BYTES * UL_PAGE_BYTES;
	if (end > start && !os_map_window(&address, (size_t)(end - start), fd, start))
		*mapping = (struct mapping){
			.address = address, .bytes = (size_t)(end - start), .unit = (size_t)unit, .offset = start};
}

void mapping_close(struct mapping *mapping)
{
	os_unmap(mapping->address, mapping->bytes);
	*mapping = (struct mapping){0};
}

bool mapping_take(struct mapping *mapping, uint64_t offset, struct ul_slot copy[UL_PAGE_SLOTS], uint64_t segment_seed,
		  struct ul_page_bits *bits)
{
	uint64_t at = offset - mapping->offset;
	if (offset < mapping->offset || at + UL_PAGE_BYTES > mapping->bytes || mapping->failed)
		return false;
	reading = mapping;
	atomic_signal_fence(memory_order_seq_cst);
	*bits = ul_page_take(copy, mapping->address + at, segment_seed, (uint32_t)(offset / UL_SLOT_BYTES));
	atomic_signal_fence(memory_order_seq_cst);
	reading = NULL;
	return !mapping->failed;
}
