/*
 * What there is once a process, not once a handle: the list of open handles, which a forked child and the end of a thread
 * need; and the barrier between the helper and the threads that record.
 */
#include "handle.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os.h"

_Thread_local struct ul_thread ul_thread __attribute__((tls_model("initial-exec")));

static struct {
	pthread_mutex_t mutex;
	pthread_once_t once;
	pthread_key_t thread_key; /* whose destructor notices the end of a thread */
	int once_error;
	bool has_barrier;
	usagelog *open;
	usagelog *closed; /* oldest first */
	uint64_t last_serial;
} process = {.mutex = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void release_lanes(usagelog *first)
{
	for (usagelog *log = first; log; log = log->next_handle) {
		ul_lock(log);
		ul_lane_release(log);
		ul_unlock(log);
	}
}

/* A thread ends: its lanes, and what is left of their pages, go to the threads that come after. */
static void thread_ends(void *unused)
{
	(void)unused;
	/* From here on a signal handler of this thread finds no lane: the next thread may be using it already. */
	ul_enter();
	ul_thread.serial = 0;
	atomic_signal_fence(memory_order_seq_cst);
	pthread_mutex_lock(&process.mutex);
	release_lanes(process.open);
	release_lanes(process.closed);
	pthread_mutex_unlock(&process.mutex);
	ul_leave();
	ul_thread.registered = false;
}

static void before_fork(void)
{
	pthread_mutex_lock(&process.mutex);
	ul_guard_fork_begins();
}

static void after_fork_in_parent(void)
{
	ul_guard_fork_ends();
	pthread_mutex_unlock(&process.mutex);
}

static void init_locks(usagelog *first)
{
	for (usagelog *log = first; log; log = log->next_handle) {
		pthread_mutex_init(&log->mutex, NULL);
		pthread_mutex_init(&log->sync_mutex, NULL);
	}
}

/* The child's copies of descriptors go at once: they would keep the parent's locks alive after its death. */
static void after_fork_in_child(void)
{
	ul_guard_fork_ends();
	/* The child's only thread has another id, and no lane; its end is still noticed. */
	ul_thread = (struct ul_thread){.registered = ul_thread.registered};
	/* Another thread of the parent may have held any of the locks. */
	init_locks(process.open);
	init_locks(process.closed);
	for (usagelog *log = process.open; log; log = log->next_handle)
		ul_handle_after_fork(log);
	pthread_mutex_unlock(&process.mutex); /* this thread took it, before */
}

static void begin_process(void)
{
	process.once_error = -pthread_key_create(&process.thread_key, thread_ends);
	if (!process.once_error)
		process.once_error = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
	process.has_barrier = !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

usagelog *ul_process_get(void)
{
	pthread_mutex_lock(&process.mutex);
	usagelog *log = process.closed;
	if (log)
		process.closed = log->next_handle;
	pthread_mutex_unlock(&process.mutex);
	if (log)
		return log;
	log = os_allocate(1, sizeof(*log));
	if (!log)
		return NULL;
	pthread_mutex_init(&log->mutex, NULL);
	pthread_mutex_init(&log->sync_mutex, NULL);
	atomic_store_explicit(&log->serial, UL_CLOSED, memory_order_relaxed);
	return log;
}

void ul_process_put(usagelog *log)
{
	usagelog **link = &process.closed;
	pthread_mutex_lock(&process.mutex);
	while (*link)
		link = &(*link)->next_handle;
	log->next_handle = NULL;
	*link = log;
	pthread_mutex_unlock(&process.mutex);
}

int ul_process_add(usagelog *log)
{
	pthread_once(&process.once, begin_process);
	if (process.once_error)
		return process.once_error;
	pthread_mutex_lock(&process.mutex);
	/* Under the mutex: whoever still has the handle of an earlier log sees all that was made of it since. */
	ul_lock(log);
	atomic_store_explicit(&log->serial, ++process.last_serial, memory_order_relaxed);
	ul_unlock(log);
	log->next_handle = process.open;
	process.open = log;
	pthread_mutex_unlock(&process.mutex);
	return 0;
}

void ul_process_remove(usagelog *log)
{
	pthread_mutex_lock(&process.mutex);
	for (usagelog **link = &process.open; *link; link = &(*link)->next_handle) {
		if (*link != log)
			continue;
		*link = log->next_handle;
		break;
	}
	pthread_mutex_unlock(&process.mutex);
}

void ul_process_thread_begins(void)
{
	if (ul_thread.registered)
		return;
	/* Any value but NULL has the destructor called; without it the lane stays taken, which wastes a page, no more. */
	ul_thread.registered = !pthread_setspecific(process.thread_key, &process);
}

bool ul_process_barrier(void)
{
	return process.has_barrier && !syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

void ul_enter(void)
{
	if (ul_thread.inside++ == 0)
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ul_thread.cancel_state);
	/* First the mark, then the lock: a signal handler in between must not wait for what its own thread holds. */
	atomic_signal_fence(memory_order_seq_cst);
}

void ul_leave(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	int state = ul_thread.cancel_state;
	if (--ul_thread.inside == 0)
		pthread_setcancelstate(state, NULL);
}

void ul_lock(usagelog *log)
{
	ul_enter();
	pthread_mutex_lock(&log->mutex);
}

int ul_lock_open(usagelog *log)
{
	/* Compared, since a closed handle may be another open log by the time that the lock is had. */
	uint64_t serial = atomic_load_explicit(&log->serial, memory_order_relaxed);
	ul_lock(log);
	if (serial != UL_CLOSED && serial == atomic_load_explicit(&log->serial, memory_order_relaxed))
		return 0;
	ul_unlock(log);
	return USAGELOG_ERROR_CLOSED;
}

void ul_unlock(usagelog *log)
{
	pthread_mutex_unlock(&log->mutex);
	ul_leave();
}
