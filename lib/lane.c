/*
 * Lanes: which thread fills which page. A lane outlives its thread: the next thread goes on in its page. All lanes of a
 * handle lie in memory that is wiped in a forked child, where every one is then parked and free.
 *
 * Pages are taken in runs, of one page at first, then of two, four, eight: where pages are taken is the one place that all threads write,
 * and each time it comes from another core.
 */
#include "handle.h"

#include <sys/mman.h>

#include "os.h"

#define LANE_BLOCK_BYTES ((size_t)UL_LANES_A_BLOCK * sizeof(struct ul_lane))

uint64_t ul_lane_calls(const struct ul_lane *lane)
{
	for (uint32_t tries = 1;; tries++) {
		uint32_t turn = atomic_load_explicit(&lane->turn, memory_order_acquire);
		uint64_t calls = atomic_load_explicit(&lane->calls, memory_order_relaxed);
		uint32_t start = atomic_load_explicit(&lane->page_start, memory_order_relaxed);
		uint32_t other = atomic_load_explicit(&lane->other_slots, memory_order_relaxed);
		uint32_t next = atomic_load_explicit(&lane->next, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (!(turn & 1) && turn == atomic_load_explicit(&lane->turn, memory_order_relaxed)) {
			/* Where a signal handler found no room, it may have counted past the end. */
			uint32_t end = (start / UL_PAGE_SLOTS + 1) * UL_PAGE_SLOTS;
			return calls + (next < end ? next : end) - start - other;
		}
		/* The owner is on its way to another page, some nanoseconds long; unless it does not run at the moment. */
		if (tries % 64 == 0)
			os_pause();
	}
}

uint32_t ul_lane_next_page(const struct ul_lane *lane)
{
	uint32_t page = lane->page_end / UL_PAGE_SLOTS;
	return page < lane->run_end ? page : 0;
}

void ul_lane_set(usagelog *log, struct ul_lane *lane, struct ul_segment *segment, uint32_t first_slot)
{
	atomic_store_explicit(&lane->limit, UL_PARKED, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst); /* a signal handler sees the lane parked while the rest changes */
	uint64_t calls = ul_lane_calls(lane);
	uint32_t turn = atomic_load_explicit(&lane->turn, memory_order_relaxed);
	uint32_t next = atomic_load_explicit(&lane->next, memory_order_relaxed);
	if (lane->segment && next < lane->page_end)
		__atomic_store_n(&lane->segment->left[next / UL_PAGE_SLOTS], (uint8_t)(lane->page_end - next),
				 __ATOMIC_RELAXED);
	atomic_store_explicit(&lane->turn, turn + 1, memory_order_relaxed);
	/* Release: whoever reads any of the following finds the turn odd, or changed. */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&lane->calls, calls, memory_order_relaxed);
	atomic_store_explicit(&lane->other_slots, 0, memory_order_relaxed);
	atomic_store_explicit(&lane->page_start, first_slot, memory_order_relaxed);
	atomic_store_explicit(&lane->next, first_slot, memory_order_relaxed);
	atomic_store_explicit(&lane->turn, turn + 2, memory_order_release);
	uint32_t unused = ul_lane_next_page(lane);
	lane->page_end = segment ? (first_slot / UL_PAGE_SLOTS + 1) * UL_PAGE_SLOTS : first_slot;
	if (lane->segment == segment)
		return;
	for (uint32_t page = unused; page && page < lane->run_end; page++)
		__atomic_store_n(&lane->segment->left[page], UL_PAGE_SLOTS, __ATOMIC_RELAXED);
	lane->run_end = lane->run_pages = 0;
	if (lane->segment)
		lane->segment->lane_count--;
	if (segment)
		segment->lane_count++;
	lane->segment = segment;
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
	UL_EACH_LANE (log, lane)
		if (atomic_load_explicit(&lane->owner, memory_order_relaxed) == thread_id())
			return lane;
	return NULL;
}

/* A free lane; first one whose page is not full. */
static struct ul_lane *find_free(usagelog *log)
{
	struct ul_lane *empty = NULL;
	UL_EACH_LANE (log, lane) {
		if (atomic_load_explicit(&lane->owner, memory_order_relaxed))
			continue;
		if (!ul_lane_is_full(lane))
			return lane;
		if (!empty)
			empty = lane;
	}
	return empty;
}

struct ul_lane *ul_lane_get(usagelog *log)
{
	/* Where each call waits for its sync anyway, all threads share one page, so that a sync is of one page. */
	if (log->options.flags & USAGELOG_SYNCHRONOUS)
		return log->lane_block_count || !add_block(log) ? log->lane_blocks[0] : NULL;
	/* In a child that fork() did not tell of, the lane was wiped, and is nobody's. */
	uint64_t serial = atomic_load_explicit(&log->serial, memory_order_relaxed);
	if (ul_thread.serial == serial &&
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
	if (atomic_load_explicit(&lane->owner, memory_order_relaxed) != thread_id()) {
		atomic_store_explicit(&lane->inside, 0,
				      memory_order_relaxed); /* its last owner may have ended in a handler */
		atomic_store_explicit(&lane->owner, thread_id(), memory_order_relaxed);
	}
	if (serial == UL_CLOSED)
		return lane; /* for the one who closes */
	/* The lane before the serial: a signal handler compares the serial, and then uses the lane. */
	ul_thread.serial = 0;
	atomic_signal_fence(memory_order_seq_cst);
	ul_thread.lane = lane;
	atomic_signal_fence(memory_order_seq_cst);
	ul_thread.serial = serial;
	return lane;
}

void ul_lane_release(usagelog *log)
{
	struct ul_lane *lane = find_own(log);
	if (!lane)
		return;
	atomic_store_explicit(&lane->limit, UL_PARKED, memory_order_relaxed);
	atomic_store_explicit(&lane->owner, 0, memory_order_relaxed);
}

/* Take pages of a segment: the first one, or 0 if so few are ready, or so many not synced, that the helper is to be told. */
static uint32_t take_run(struct ul_lane *lane, struct ul_segment *segment)
{
	/* Acquire: pairs with ul_segment_publish(). */
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_acquire);
	uint32_t least = ready == segment->page_count ? 1 : UL_AHEAD_PAGES_MIN;
	uint32_t wanted = lane->run_pages ? 2 * lane->run_pages : 1, count;
	wanted = wanted < UL_RUN_PAGES_MAX ? wanted : UL_RUN_PAGES_MAX;
	uint32_t page = atomic_load_explicit(&segment->next_page, memory_order_relaxed);
	do {
		if (ready < page + least || page >= atomic_load_explicit(&segment->wake_page, memory_order_relaxed))
			return 0;
		count = wanted < ready - page ? wanted : ready - page;
		/* Release: pairs with the acquire in sync.c, which looks at all pages below. */
	} while (!atomic_compare_exchange_weak_explicit(&segment->next_page, &page, page + count, memory_order_release,
							memory_order_relaxed));
	lane->run_end = page + count;
	lane->run_pages = count;
	return page;
}

/* Not simple: another segment is to be gone on in, or the helper is to be told of something. */
bool ul_lane_refill(usagelog *log, struct ul_lane *lane)
{
	struct ul_segment *segment = lane->segment;
	if (!segment || segment != atomic_load_explicit(&log->current, memory_order_relaxed) ||
	    atomic_load_explicit(&segment->retired, memory_order_relaxed))
		return false;
	/* A signal handler finds the lane parked, and must not take the slow path in the midst of this. */
	ul_thread.inside++;
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&lane->limit, UL_PARKED, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	uint32_t page = ul_lane_next_page(lane);
	if (!page)
		page = take_run(lane, segment);
	if (page) {
		ul_lane_set(log, lane, segment,
			    page == segment->first_page ? segment->first_slot : page * UL_PAGE_SLOTS);
		atomic_store_explicit(&lane->limit, lane->page_end, memory_order_relaxed);
	}
	atomic_signal_fence(memory_order_seq_cst);
	ul_thread.inside--;
	if (!page)
		return false;
	/* Whoever parks sets `parked` before it looks for lanes that are not: see ul_lanes_park(). */
	atomic_signal_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&log->parked, memory_order_relaxed) && !segment->guard.failed)
		return true;
	atomic_store_explicit(&lane->limit, UL_PARKED, memory_order_relaxed);
	return false;
}

/*
 * A thread may be on its way to another page, and give its lane a limit after it was parked here. Then it looks at `parked`. The barrier has each thread
 * either store its limit before, which is seen here, and parked once more, or look at `parked` after, and see it.
 */
bool ul_lanes_park(usagelog *log)
{
	atomic_store_explicit(&log->parked, true, memory_order_seq_cst);
	for (bool again = true; again;) {
		UL_EACH_LANE (log, lane)
			atomic_store_explicit(&lane->limit, UL_PARKED, memory_order_relaxed);
		if (!ul_process_barrier())
			return false;
		again = false;
		UL_EACH_LANE (log, lane)
			again |= atomic_load_explicit(&lane->limit, memory_order_relaxed) != UL_PARKED;
	}
	return true;
}
