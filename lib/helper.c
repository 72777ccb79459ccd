/*
 * The helper: one thread a handle, begun with the first call, that does all that could block. It looks what is to be
 * done, submits it, and sleeps until something ends, falls due, or somebody calls. When nothing is due it parks
 * all lanes and sleeps without a timeout; the next record() of any thread finds its lane parked and wakes it.
 */
#include "handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "os.h"

#define NS_PER_MS ((uint64_t)1000000)

enum {
	AHEAD_PAGES = 4096, /* 16 MiB ready at full speed; less where less is used */
	AHEAD_PAGES_LEAST = 64,
};

struct ul_helper {
	usagelog *log;
	pthread_t thread;
	int event;
	_Atomic bool stop;
	_Atomic uint32_t ended; /* a futex */
	struct ul_backend backend;
	_Atomic int backend_id;
	_Atomic int backend_error;

	/* The rest is the thread's own. */
	struct ul_pass pass;
	bool passing;
	struct ul_job *sync_jobs; /* a job for each range of the pass */
	uint32_t sync_capacity;
	uint32_t sync_left;
	uint64_t oldest_ns; /* when something uncovered was first seen; 0: nothing is */
	uint64_t idle_ns;   /* when everything was last seen covered */
	uint64_t retry_ns;  /* after a failed pass: not before */
	struct ul_segment *extending;
	struct ul_job extend_job;
	uint32_t extend_to;
	struct ul_segment *seen_segment; /* for the rate at which pages are taken */
	uint32_t seen_page;
	uint32_t ahead_pages;
};

/* ---- extending the file ahead of the tail ------------------------------------------------------------------- */

static void extension_ends(struct ul_helper *helper)
{
	helper->extending->extending = false;
	helper->extending = NULL;
}

static void populated(void *owner, struct ul_job *job)
{
	struct ul_helper *helper = owner;
	(void)job; /* what could not be populated is merely slower the first time */
	ul_segment_publish(helper->extending, helper->extend_to);
	extension_ends(helper);
}

static void extended(void *owner, struct ul_job *job)
{
	struct ul_helper *helper = owner;
	if (job->result) {
		/* The next caller that needs the room tries for itself, and decides. */
		extension_ends(helper);
		return;
	}
	job->kind = UL_JOB_POPULATE;
	job->done = populated;
	helper->backend.kind->submit(&helper->backend, job);
}

/* As many pages ahead as twice what was taken since the last look, within bounds. */
static void look_at_rate(struct ul_helper *helper, struct ul_segment *segment, uint32_t page)
{
	uint32_t taken = helper->seen_segment == segment ? page - helper->seen_page : 0;
	uint32_t wanted = 2 * taken > helper->ahead_pages / 2 ? 2 * taken : helper->ahead_pages / 2;
	helper->ahead_pages = wanted < AHEAD_PAGES_LEAST ? AHEAD_PAGES_LEAST
			      : wanted > AHEAD_PAGES     ? AHEAD_PAGES
							 : wanted;
	helper->seen_segment = segment;
	helper->seen_page = page;
}

static void extend_ahead(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	if (helper->extending)
		return;
	ul_lock(log);
	struct ul_segment *segment = atomic_load_explicit(&log->current, memory_order_relaxed);
	if (segment && !segment->retired)
		segment->extending = true; /* so that it stays while the job runs */
	else
		segment = NULL;
	ul_unlock(log);
	if (!segment)
		return;
	uint32_t page = atomic_load_explicit(&segment->next_page, memory_order_relaxed);
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	look_at_rate(helper, segment, page);
	helper->extending = segment;
	if (ready >= segment->page_count || ready - page >= helper->ahead_pages) {
		extension_ends(helper);
		return;
	}
	helper->extend_to = ul_segment_extension(segment, page + helper->ahead_pages);
	helper->extend_job = (struct ul_job){.kind = UL_JOB_EXTEND,
					     .fd = segment->fd,
					     .address = segment->base + (size_t)ready * UL_PAGE_BYTES,
					     .offset = (uint64_t)ready * UL_PAGE_BYTES,
					     .bytes = (uint64_t)(helper->extend_to - ready) * UL_PAGE_BYTES,
					     .done = extended,
					     .owner = helper};
	helper->backend.kind->submit(&helper->backend, &helper->extend_job);
}

/* ---- syncing behind it -------------------------------------------------------------------------------------- */

static void pass_ends(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	int error = ul_pass_end(log, &helper->pass);
	helper->passing = false;
	helper->oldest_ns = 0;
	helper->retry_ns = error ? os_monotonic_ns() + log->options.retry_delay_ms * NS_PER_MS : 0;
	pthread_mutex_unlock(&log->sync_mutex);
	ul_flush_done(log, helper->pass.ticket, error);
}

static void synced(void *owner, struct ul_job *job)
{
	struct ul_helper *helper = owner;
	helper->pass.ranges[job - helper->sync_jobs].result = job->result;
	if (--helper->sync_left == 0)
		pass_ends(helper);
}

static int reserve_jobs(struct ul_helper *helper, uint32_t count)
{
	if (count <= helper->sync_capacity)
		return 0;
	struct ul_job *jobs = os_reallocate(helper->sync_jobs, count, sizeof(*jobs));
	if (!jobs)
		return -ENOMEM;
	helper->sync_jobs = jobs;
	helper->sync_capacity = count;
	return 0;
}

static void begin_pass(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	pthread_mutex_lock(&log->sync_mutex);
	int error = ul_pass_begin(log, &helper->pass);
	if (!error)
		error = reserve_jobs(helper, helper->pass.range_count);
	if (error) {
		pthread_mutex_unlock(&log->sync_mutex);
		helper->retry_ns = os_monotonic_ns() + log->options.retry_delay_ms * NS_PER_MS;
		ul_flush_done(log, helper->pass.ticket, error);
		return;
	}
	helper->passing = true;
	helper->sync_left = helper->pass.range_count;
	for (uint32_t i = 0; i < helper->pass.range_count; i++) {
		struct ul_range *range = &helper->pass.ranges[i];
		if (range->segment->sync_error) {
			range->result = range->segment->sync_error;
			helper->sync_left--;
			continue;
		}
		helper->sync_jobs[i] =
			(struct ul_job){.kind = UL_JOB_SYNC,
					.fd = range->segment->fd,
					.address = range->segment->base + (size_t)range->first_page * UL_PAGE_BYTES,
					.offset = (uint64_t)range->first_page * UL_PAGE_BYTES,
					.bytes = (uint64_t)range->page_count * UL_PAGE_BYTES,
					.done = synced,
					.owner = helper};
		helper->backend.kind->submit(&helper->backend, &helper->sync_jobs[i]);
	}
	if (!helper->sync_left)
		pass_ends(helper);
}

/* Pages given out since the last pass began. */
static uint64_t pages_given(usagelog *log)
{
	uint64_t pages = 0;
	ul_lock(log);
	for (const struct ul_segment *segment = log->segments; segment; segment = segment->next)
		pages += atomic_load_explicit(&segment->next_page, memory_order_relaxed) - segment->passed_page;
	ul_unlock(log);
	return pages;
}

/* Begin a pass if one is due; else say when the next look is (monotonic; UINT64_MAX: nothing to wait for). */
static uint64_t sync_if_due(struct ul_helper *helper, uint64_t now)
{
	usagelog *log = helper->log;
	uint64_t interval_ns = log->options.flush_interval_ms * NS_PER_MS;
	if (helper->passing)
		return UINT64_MAX;
	bool asked = atomic_load_explicit(&log->flush_wanted, memory_order_acquire) !=
		     atomic_load_explicit(&log->flush_done, memory_order_relaxed);
	pthread_mutex_lock(&log->sync_mutex);
	bool dirty = ul_sync_is_dirty(log);
	pthread_mutex_unlock(&log->sync_mutex);
	if (!dirty)
		helper->oldest_ns = 0;
	else if (!helper->oldest_ns)
		helper->oldest_ns = now;
	if (dirty || asked)
		helper->idle_ns = 0;
	atomic_store_explicit(&log->oldest_unsynced_ns, helper->oldest_ns, memory_order_relaxed);
	bool enough = pages_given(log) * UL_PAGE_BYTES >= log->options.flush_size_bytes;
	if (asked || (dirty && now >= helper->retry_ns && (enough || now >= helper->oldest_ns + interval_ns))) {
		begin_pass(helper);
		return UINT64_MAX;
	}
	if (!dirty) {
		helper->idle_ns = helper->idle_ns ? helper->idle_ns : now;
		return helper->idle_ns + interval_ns;
	}
	uint64_t due = helper->oldest_ns + interval_ns;
	return due > helper->retry_ns ? due : helper->retry_ns;
}

/* ---- the loop ----------------------------------------------------------------------------------------------- */

/* Something is held or to be tried again: when. Under no lock. */
static uint64_t retry_time(usagelog *log, uint64_t now)
{
	uint64_t when = UINT64_MAX;
	ul_lock(log);
	struct ul_segment *current = atomic_load_explicit(&log->current, memory_order_relaxed);
	if (log->held_count || !current || (current->retired && !log->spare))
		when = log->source.next_try_ns > now ? log->source.next_try_ns : now + NS_PER_MS;
	if (log->source.primary_try_ns && log->source.primary_try_ns < when)
		when = log->source.primary_try_ns;
	ul_unlock(log);
	return when;
}

/* Park all lanes. False: something was committed in the last moment, or this kernel has no barrier to be sure with. */
static bool park(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	ul_lock(log);
	bool sure = ul_lanes_park(log);
	ul_unlock(log);
	pthread_mutex_lock(&log->sync_mutex);
	bool dirty = ul_sync_is_dirty(log);
	pthread_mutex_unlock(&log->sync_mutex);
	ul_lock(log);
	log->parked = sure && !dirty && log->parked;
	bool parked = log->parked;
	ul_unlock(log);
	return parked;
}

static void work_once(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	uint64_t now = os_monotonic_ns();
	ul_lock(log);
	log->helper_called = false;
	/* Only where there is room: what has to make a file for it waits for ul_source_prepare(), which holds no lock. */
	struct ul_segment *current = atomic_load_explicit(&log->current, memory_order_relaxed);
	if (log->held_count && (log->spare || (current && !current->retired)))
		ul_drain_held(log);
	ul_unlock(log);
	ul_source_prepare(log);
	extend_ahead(helper);
	uint64_t due = sync_if_due(helper, now);
	if (!helper->passing) {
		pthread_mutex_lock(&log->sync_mutex);
		ul_segments_retire(log);
		pthread_mutex_unlock(&log->sync_mutex);
	}
	uint64_t retry = retry_time(log, now);
	due = retry < due ? retry : due;
	ul_deliver_warnings(log);
	uint64_t interval_ns = log->options.flush_interval_ms * NS_PER_MS;
	bool idle = helper->idle_ns && now >= helper->idle_ns + interval_ns && retry == UINT64_MAX &&
		    !helper->passing && !helper->extending;
	if (idle && !atomic_load(&helper->stop))
		due = park(helper) ? UINT64_MAX : now + interval_ns;
	if (atomic_load(&helper->stop))
		due = now;
	helper->backend.kind->wait(&helper->backend, due == UINT64_MAX ? due : due > now ? due - now : 0);
}

static void open_backend(struct ul_helper *helper)
{
	int error = 0;
	const char *wish = getenv("USAGELOG_BACKEND");
	helper->backend.kind = &ul_backend_uring;
	bool refused = (helper->log->options.flags & USAGELOG_NO_URING) || (wish && !strcmp(wish, "syscall"));
	if (!refused)
		error = ul_backend_uring.open(&helper->backend, helper->event);
	if (refused || error) {
		helper->backend.kind = &ul_backend_syscall;
		ul_backend_syscall.open(&helper->backend, helper->event);
	}
	atomic_store(&helper->backend_error, error);
	atomic_store(&helper->backend_id, helper->backend.kind->id);
}

static void *run(void *arg)
{
	struct ul_helper *helper = arg;
	open_backend(helper);
	while (!atomic_load(&helper->stop) || helper->passing || helper->extending)
		work_once(helper);
	helper->backend.kind->close(&helper->backend);
	free(helper->sync_jobs);
	free(helper->pass.ranges);
	free(helper->pass.snapshots);
	atomic_store(&helper->ended, 1);
	os_wake_all(&helper->ended);
	return NULL;
}

/* ---- from outside ------------------------------------------------------------------------------------------- */

void ul_helper_wake(usagelog *log)
{
	uint64_t one = 1;
	log->helper_called = log->helper != NULL;
	/* The counter cannot be full, and then the helper is awake anyway. */
	if (log->helper && write(log->helper->event, &one, sizeof(one)) < 0)
		log->helper_called = false;
}

static int start(usagelog *log)
{
	struct ul_helper *helper = os_allocate(1, sizeof(*helper));
	if (!helper)
		return -ENOMEM;
	helper->log = log;
	helper->ahead_pages = AHEAD_PAGES_LEAST;
	helper->backend.fd = -1;
	helper->event = os_event();
	int error = helper->event < 0 ? helper->event : os_thread(&helper->thread, run, helper);
	if (error) {
		os_close(helper->event);
		free(helper);
		return error;
	}
	log->helper = helper;
	return 0;
}

void ul_helper_need(usagelog *log)
{
	if (log->options.flags & (USAGELOG_NO_HELPER | USAGELOG_SYNCHRONOUS))
		return;
	if (!log->helper) {
		int error = start(log);
		bool first_failure = error && !log->helper_failed;
		log->helper_failed = error != 0;
		if (first_failure)
			ul_warn(log, error,
				"%s: no helper thread can be had: %s; its work is done by the threads that record",
				log->directory.path, usagelog_strerror(error));
	}
	if (!log->parked && !log->held_count)
		return;
	log->parked = false;
	if (!log->helper_called)
		ul_helper_wake(log);
}

bool ul_helper_stop(usagelog *log, uint64_t deadline_ns)
{
	struct ul_helper *helper = log->helper;
	if (!helper)
		return true;
	atomic_store(&helper->stop, true);
	ul_lock(log);
	ul_helper_wake(log);
	ul_unlock(log);
	while (!atomic_load(&helper->ended)) {
		uint64_t now = os_monotonic_ns();
		if (now >= deadline_ns)
			return false;
		os_wait(&helper->ended, 0, deadline_ns == UINT64_MAX ? deadline_ns : deadline_ns - now);
	}
	pthread_join(helper->thread, NULL);
	os_close(helper->event);
	free(helper);
	log->helper = NULL;
	return true;
}

void ul_helper_forget(usagelog *log)
{
	if (!log->helper)
		return;
	/* Its thread and ring are the parent's. The descriptors are copies, and closed; the ring's memory is not inherited. */
	os_close(log->helper->backend.fd);
	os_close(log->helper->event);
	free(log->helper);
	log->helper = NULL;
}

int ul_helper_backend(const usagelog *log, int *error)
{
	*error = log->helper ? atomic_load(&log->helper->backend_error) : 0;
	return log->helper ? atomic_load(&log->helper->backend_id) : USAGELOG_BACKEND_NONE;
}
