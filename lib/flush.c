/*
 * The barrier. Who wants everything durable takes a ticket, has a pass begun after that, and waits, on a futex, until a pass with
 * that ticket or a later one has ended.
 */
#include "handle.h"

#include <errno.h>
#include <sched.h>

#include "os.h"

enum { GATHER_NS = 200000, WAIT_NS_MAX = 100000000 };

static bool reached(uint32_t done, uint32_t ticket)
{
	return (int32_t)(done - ticket) >= 0; /* tickets wrap around */
}

/* Release: pairs with the acquires of those who wait. */
static void advance(_Atomic uint32_t *mark, uint32_t ticket)
{
	uint32_t now = atomic_load_explicit(mark, memory_order_relaxed);
	while (!reached(now, ticket) &&
	       !atomic_compare_exchange_weak_explicit(mark, &now, ticket, memory_order_release, memory_order_relaxed))
		;
}

void ul_flush_done(usagelog *log, uint32_t ticket, int error)
{
	if (error) {
		atomic_store_explicit(&log->flush_error, error, memory_order_relaxed);
		/* Release: the error is there for whoever sees the count. */
		atomic_fetch_add_explicit(&log->flush_failed, 1, memory_order_release);
	}
	/* First what is told those who wait, then what they wait for. */
	advance(&log->flush_passed, ticket);
	advance(&log->flush_done, ticket);
	os_wake_all(&log->flush_done);
}

/* Of the passes that ended since `failed_before` was counted. */
static int result_of(usagelog *log, uint32_t ticket, uint32_t failed_before)
{
	if (!reached(atomic_load_explicit(&log->flush_passed, memory_order_acquire), ticket))
		return USAGELOG_ERROR_CLOSED;
	if (atomic_load_explicit(&log->flush_failed, memory_order_acquire) != failed_before)
		return atomic_load_explicit(&log->flush_error, memory_order_relaxed);
	return 0;
}

static int wait_for(usagelog *log, uint32_t ticket, uint32_t failed_before, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : os_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
	for (;;) {
		uint32_t done = atomic_load_explicit(&log->flush_done, memory_order_acquire);
		if (reached(done, ticket))
			break;
		uint64_t now = os_monotonic_ns();
		if (now >= deadline)
			return USAGELOG_ERROR_TIMEOUT;
		os_wait(&log->flush_done, done, deadline == UINT64_MAX ? deadline : deadline - now);
	}
	return result_of(log, ticket, failed_before);
}

/*
 * Whom the last sync woke are on their way to here with their next calls: to begin without them would have every other sync be for a
 * few only. So wait for as many as there were then, at most about as long as a sync takes.
 */
static void gather(usagelog *log, uint32_t done)
{
	uint64_t deadline = 0;
	while (atomic_load_explicit(&log->flush_wanted, memory_order_relaxed) - done < log->flush_group) {
		uint64_t now = os_precise_ns();
		deadline = deadline ? deadline : now + GATHER_NS;
		if (now >= deadline)
			break;
		sched_yield();
	}
}

/*
 * One leads at a time, and syncs for all that took a ticket before; the others wait for the end of that. Whoever is not covered then
 * leads next, or waits again. Who waits has read `flush_done` before it saw somebody lead; and who leads stops leading before it
 * changes `flush_done`: so none sleeps on a value that will not change.
 */
int ul_flush_shared(usagelog *log, uint64_t generation)
{
	/* First the count, then the ticket: a pass that covers the ticket, and fails, is seen. */
	uint32_t failed_before = atomic_load_explicit(&log->flush_failed, memory_order_acquire);
	/* Release: what this thread committed is seen by the pass that reads the ticket. */
	uint32_t ticket = atomic_fetch_add_explicit(&log->flush_wanted, 1, memory_order_acq_rel) + 1;
	for (;;) {
		uint32_t done = atomic_load_explicit(&log->flush_done, memory_order_acquire);
		if (reached(done, ticket))
			return result_of(log, ticket, failed_before);
		bool nobody = false;
		if (atomic_compare_exchange_strong(&log->flush_led, &nobody, true))
			break;
		os_wait(&log->flush_done, done, WAIT_NS_MAX);
	}
	ul_enter();
	pthread_mutex_lock(&log->sync_mutex);
	if (log->generation != generation) {
		/* The handle ended while this one waited. */
		pthread_mutex_unlock(&log->sync_mutex);
		atomic_store(&log->flush_led, false);
		ul_leave();
		return result_of(log, ticket, failed_before);
	}
	uint32_t done = atomic_load_explicit(&log->flush_done, memory_order_relaxed);
	gather(log, done);
	int error = ul_sync_inline(log, &ticket);
	log->flush_group = atomic_load_explicit(&log->flush_wanted, memory_order_relaxed) - done;
	ul_lock(log);
	bool has_helper = log->helper;
	ul_unlock(log);
	if (!has_helper)
		ul_segments_retire(log);
	pthread_mutex_unlock(&log->sync_mutex);
	atomic_store(&log->flush_led, false);
	ul_flush_done(log, ticket, error);
	ul_leave();
	return error;
}

/* Under the mutex, which this lets go of. */
static int flush_and_unlock(usagelog *log, int timeout_ms)
{
	if (!atomic_load_explicit(log->alive, memory_order_relaxed))
		ul_handle_after_fork(log);
	if (log->held_count)
		ul_drain_held(log);
	bool held = log->held_count;
	bool has_helper = log->helper;
	uint64_t generation = log->generation;
	uint32_t ticket = 0, failed_before = 0;
	if (has_helper) {
		failed_before = atomic_load_explicit(&log->flush_failed, memory_order_acquire);
		/* Release: likewise. */
		ticket = atomic_fetch_add_explicit(&log->flush_wanted, 1, memory_order_acq_rel) + 1;
		ul_helper_wake(log);
	}
	ul_unlock(log);
	int error = has_helper ? wait_for(log, ticket, failed_before, timeout_ms) : ul_flush_shared(log, generation);
	ul_deliver_warnings(log);
	return error ? error : held ? USAGELOG_ERROR_HELD : 0;
}

int ul_flush(usagelog *log, int timeout_ms)
{
	ul_lock(log);
	return flush_and_unlock(log, timeout_ms);
}

int usagelog_flush(usagelog *log, int timeout_ms)
{
	if (ul_thread.inside)
		return -EAGAIN;
	int error = ul_lock_open(log);
	return error ? error : flush_and_unlock(log, timeout_ms);
}
