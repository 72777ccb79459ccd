/*
 * The barrier. Who wants everything durable takes a ticket, has a pass begun after that, and waits, on a futex, until a pass with
 * that ticket or a later one has ended.
 */
#include "handle.h"

#include <errno.h>

#include "os.h"

static bool reached(uint32_t done, uint32_t ticket)
{
	return (int32_t)(done - ticket) >= 0; /* tickets wrap around */
}

void ul_flush_done(usagelog *log, uint32_t ticket, int error)
{
	if (error) {
		atomic_store_explicit(&log->flush_error, error, memory_order_relaxed);
		/* Release: the error is there for whoever sees the count. */
		atomic_fetch_add_explicit(&log->flush_failed, 1, memory_order_release);
	}
	/* Release: pairs with the acquire of those who wait. */
	if (!reached(atomic_load_explicit(&log->flush_done, memory_order_relaxed), ticket))
		atomic_store_explicit(&log->flush_done, ticket, memory_order_release);
	os_wake_all(&log->flush_done);
}

static int wait_for(usagelog *log, uint64_t serial, uint32_t ticket, uint32_t failed_before, int timeout_ms)
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
	if (atomic_load_explicit(&log->serial, memory_order_relaxed) != serial)
		return USAGELOG_ERROR_CLOSED;
	if (atomic_load_explicit(&log->flush_failed, memory_order_acquire) != failed_before)
		return atomic_load_explicit(&log->flush_error, memory_order_relaxed);
	return 0;
}

int ul_flush_shared(usagelog *log)
{
	/* First the count, then the ticket: a pass that covers the ticket, and fails, is seen. */
	uint32_t failed_before = atomic_load_explicit(&log->flush_failed, memory_order_acquire);
	/* Release: what this thread committed is seen by the pass that reads the ticket. */
	uint32_t ticket = atomic_fetch_add_explicit(&log->flush_wanted, 1, memory_order_acq_rel) + 1;
	ul_enter();
	pthread_mutex_lock(&log->sync_mutex);
	/* Whoever had the lock before may have begun after the ticket was taken: then it is done. */
	int error = 0;
	if (!reached(atomic_load_explicit(&log->flush_done, memory_order_acquire), ticket))
		error = ul_sync_inline(log);
	else if (atomic_load_explicit(&log->flush_failed, memory_order_acquire) != failed_before)
		error = atomic_load_explicit(&log->flush_error, memory_order_relaxed);
	if (!log->helper)
		ul_segments_retire(log);
	pthread_mutex_unlock(&log->sync_mutex);
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
	uint64_t serial = atomic_load_explicit(&log->serial, memory_order_relaxed);
	uint32_t ticket = 0, failed_before = 0;
	if (has_helper) {
		failed_before = atomic_load_explicit(&log->flush_failed, memory_order_acquire);
		/* Release: likewise. */
		ticket = atomic_fetch_add_explicit(&log->flush_wanted, 1, memory_order_acq_rel) + 1;
		ul_helper_wake(log);
	}
	ul_unlock(log);
	int error = has_helper ? wait_for(log, serial, ticket, failed_before, timeout_ms) : ul_flush_shared(log);
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
