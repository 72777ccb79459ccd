/*
 * Lanes: which thread fills which page. A lane outlives its thread: the next thread goes on in its page. All lanes of a
 * handle lie in memory that is wiped in a forked child, where every one is then parked and free.
 */
#include "handle.h"

#include <sys/mman.h>

#include "os.h"

#define LANE_BLOCK_BYTES ((size_t)UL_LANES_A_BLOCK * sizeof(struct ul_lane))

uint64_t ul_lane_calls(const struct ul_lane *lane)
{
	uint32_t next = atomic_load_explicit(&lane->next, memory_order_relaxed);
	/* A signal handler that found no room may have counted past the end. */
	if (next > lane->page_end)
		next = lane->page_end;
	uint32_t filled = next - atomic_load_explicit(&lane->page_start, memory_order_relaxed);
	return atomic_load_explicit(&lane->calls, memory_order_relaxed) + filled -
	       atomic_load_explicit(&lane->other_slots, memory_order_relaxed);
}

void ul_lane_set(usagelog *log, struct ul_lane *lane, struct ul_segment *segment, uint32_t first_slot)
{
	atomic_store_explicit(&lane->limit, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst); /* a signal handler sees the lane parked while the rest changes */
	atomic_store_explicit(&lane->calls, ul_lane_calls(lane), memory_order_relaxed);
	if (lane->segment != segment) {
		if (lane->segment)
			lane->segment->lane_count--;
		if (segment)
			segment->lane_count++;
		lane->segment = segment;
	}
	atomic_store_explicit(&lane->other_slots, 0, memory_order_relaxed);
	atomic_store_explicit(&lane->page_start, first_slot, memory_order_relaxed);
	atomic_store_explicit(&lane->next, first_slot, memory_order_relaxed);
	lane->page_end = segment ? (first_slot / UL_PAGE_SLOTS + 1) * UL_PAGE_SLOTS : first_slot;
	lane->slots = segment ? (struct ul_slot *)(void *)segment->base : NULL;
	lane->seed = segment ? segment->seed : 0;
	lane->definitions = segment ? segment->definitions : NULL;
	lane->name_mask = log->names.index_mask;
}

static int add_block(usagelog *log)
{
	void *block;
	if (log->lane_block_count == UL_LANE_BLOCKS_MAX)
		return USAGELOG_ERROR_DROPPED;
	int error = os_map_wiped(&block, LANE_BLOCK_BYTES);
	if (!error)
		log->lane_blocks[log->lane_block_count++] = block;
	return error;
}

static uint32_t thread_id(void)
{
	if (!ul_thread.id)
		ul_thread.id = os_thread_id();
	return ul_thread.id;
}

/* The lane of this thread; NULL: it has none. */
static struct ul_lane *find_own(usagelog *log)
{
	for (uint32_t block = 0; block < log->lane_block_count; block++) {
		for (uint32_t i = 0; i < UL_LANES_A_BLOCK; i++) {
			struct ul_lane *lane = &log->lane_blocks[block][i];
			if (atomic_load_explicit(&lane->owner, memory_order_relaxed) == thread_id())
				return lane;
		}
	}
	return NULL;
}

/* A free lane; first one whose page is not full. */
static struct ul_lane *find_free(usagelog *log)
{
	struct ul_lane *empty = NULL;
	for (uint32_t block = 0; block < log->lane_block_count; block++) {
		for (uint32_t i = 0; i < UL_LANES_A_BLOCK; i++) {
			struct ul_lane *lane = &log->lane_blocks[block][i];
			if (atomic_load_explicit(&lane->owner, memory_order_relaxed))
				continue;
			if (lane->segment && atomic_load_explicit(&lane->next, memory_order_relaxed) < lane->page_end)
				return lane;
			if (!empty)
				empty = lane;
		}
	}
	return empty;
}

struct ul_lane *ul_lane_get(usagelog *log)
{
	/* In a child that fork() did not tell of, the lane was wiped, and is nobody's. */
	if (ul_thread.serial == log->serial &&
	    atomic_load_explicit(&ul_thread.lane->owner, memory_order_relaxed) == thread_id())
		return ul_thread.lane;
	struct ul_lane *lane = find_own(log);
	if (!lane)
		lane = find_free(log);
	if (!lane && add_block(log))
		return NULL;
	if (!lane)
		lane = log->lane_blocks[log->lane_block_count - 1];
	ul_process_thread_begins();
	atomic_store_explicit(&lane->owner, thread_id(), memory_order_relaxed);
	/* The lane before the serial: a signal handler compares the serial, and then uses the lane. */
	ul_thread.serial = 0;
	atomic_signal_fence(memory_order_seq_cst);
	ul_thread.lane = lane;
	atomic_signal_fence(memory_order_seq_cst);
	ul_thread.serial = log->serial;
	return lane;
}

void ul_lane_release(usagelog *log)
{
	struct ul_lane *lane = find_own(log);
	if (!lane)
		return;
	atomic_store_explicit(&lane->limit, 0, memory_order_relaxed);
	atomic_store_explicit(&lane->owner, 0, memory_order_relaxed);
}
