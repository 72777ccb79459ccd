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
	AHEAD_PAGES_MAX = 4096, /* 16 MiB ready at full speed; less where less is used: */
	AHEAD_PAGES_LEAST = 256,
	AHEAD_MS = 250,        /* what is taken in this time */
	EXTENSION_PAGES = 512, /* 2 MiB at a time */
	REFRESHES_MAX = 16,    /* pages made writable again after a sync */
	LOOK_NS_MIN = 1000000,
};
#define RETRY_NS_MIN (100 * NS_PER_MS) /* after an extension that failed; doubled each time */
#define RETRY_NS_MAX (60000 * NS_PER_MS)

/* A segment's next pages on their way: allocated, then populated. */
struct extension {
	struct ul_helper *helper;
	struct ul_segment *segment; /* NULL: none is under way */
	struct ul_job job;
	uint32_t end;
	uint64_t retry_ns; /* after a failure: not before, */
	uint64_t delay_ns; /* which was so long after it */
};

struct refresh {
	struct ul_segment *segment;
	struct ul_job job;
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
	uint32_t jobs_left; /* all that are under way */

	struct ul_pass pass;
	bool passing;
	struct ul_job *sync_jobs; /* a job for each range of the pass, */
	struct statx *sync_found; /* and where its check writes to */
	uint32_t sync_capacity;
	uint32_t sync_left;
	uint64_t oldest_ns; /* since when something uncovered may be there; 0: nothing is */
	uint64_t clean_ns;  /* when nothing was, last; 0: not known */
	uint64_t idle_ns;   /* when everything was last seen covered */
	uint64_t retry_ns;  /* after a failed pass: not before */
	struct refresh refreshes[REFRESHES_MAX];

	struct extension current, spare;
	struct ul_segment *seen_segment; /* for the rate at which pages are taken */
	uint32_t seen_page;
	uint64_t seen_ns;
	double pages_a_ns;

	struct ul_sourcing sourcing;
	struct ul_job sourcing_job;
	bool is_sourcing;
};

static void submit(struct ul_helper *helper, struct ul_job *job)
{
	helper->jobs_left++;
	helper->backend.kind->submit(&helper->backend, job);
}

/* A segment that a job needs stays mapped. */
static void hold(struct ul_helper *helper, struct ul_segment *segment, int change)
{
	ul_lock(helper->log);
	segment->job_count += (uint32_t)change;
	ul_unlock(helper->log);
}

/* ---- extending the file ahead of the tail ------------------------------------------------------------------- */

static void extension_ends(struct extension *extension)
{
	hold(extension->helper, extension->segment, -1);
	extension->segment = NULL;
}

static void populated(void *owner, struct ul_job *job)
{
	struct extension *extension = owner;
	(void)job; /* what could not be populated is merely slower the first time */
	extension->helper->jobs_left--;
	extension->delay_ns = extension->retry_ns = 0;
	ul_segment_publish(extension->segment, extension->end);
	extension_ends(extension);
}

static void extended(void *owner, struct ul_job *job)
{
	struct extension *extension = owner;
	extension->helper->jobs_left--;
	if (job->result) {
		/* The next caller that needs the room tries for itself, and decides. */
		extension->delay_ns = extension->delay_ns ? 2 * extension->delay_ns : RETRY_NS_MIN;
		extension->delay_ns = extension->delay_ns < RETRY_NS_MAX ? extension->delay_ns : RETRY_NS_MAX;
		extension->retry_ns = os_monotonic_ns() + extension->delay_ns;
		extension_ends(extension);
		return;
	}
	job->kind = UL_JOB_POPULATE;
	job->done = populated;
	submit(extension->helper, job);
}

/* Have a segment's pages up to `wanted` ready, a step at a time. `segment` is held. */
static void extend(struct ul_helper *helper, struct extension *extension, struct ul_segment *segment, uint32_t wanted)
{
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	wanted = wanted < segment->page_count ? wanted : segment->page_count;
	extension->helper = helper;
	extension->segment = segment;
	if (ready >= wanted || os_monotonic_ns() < extension->retry_ns) {
		extension_ends(extension);
		return;
	}
	extension->end = wanted - ready < EXTENSION_PAGES ? wanted : ready + EXTENSION_PAGES;
	extension->job = (struct ul_job){.kind = UL_JOB_EXTEND,
					 .fd = segment->fd,
					 .address = segment->base + (size_t)ready * UL_PAGE_BYTES,
					 .offset = (uint64_t)ready * UL_PAGE_BYTES,
					 .bytes = (uint64_t)(extension->end - ready) * UL_PAGE_BYTES,
					 .done = extended,
					 .owner = extension};
	submit(helper, &extension->job);
}

/* How fast pages are taken: the last look's rate, or half of the one before. */
static void look_at_rate(struct ul_helper *helper, struct ul_segment *segment, uint32_t page, uint64_t now)
{
	uint32_t before = helper->seen_segment == segment ? helper->seen_page : segment->first_page;
	if (now - helper->seen_ns < LOOK_NS_MIN)
		return;
	double rate = (double)(page - before) / (double)(now - helper->seen_ns);
	helper->pages_a_ns = rate > helper->pages_a_ns / 2 ? rate : helper->pages_a_ns / 2;
	helper->seen_segment = segment;
	helper->seen_page = page;
	helper->seen_ns = now;
}

/* Extend the current segment, and the spare when the current one ends before as much is ready. Returns when to look again (monotonic). */
static uint64_t extend_ahead(struct ul_helper *helper, uint64_t now)
{
	usagelog *log = helper->log;
	ul_lock(log);
	struct ul_segment *segment = atomic_load_explicit(&log->current, memory_order_relaxed), *spare = log->spare;
	if (segment && segment->retired)
		segment = NULL;
	if (segment && !helper->current.segment)
		segment->job_count++;
	if (segment && spare && !helper->spare.segment)
		spare->job_count++;
	ul_unlock(log);
	if (!segment)
		return UINT64_MAX;
	uint32_t page = atomic_load_explicit(&segment->next_page, memory_order_relaxed);
	look_at_rate(helper, segment, page, now);
	double taken = helper->pages_a_ns * AHEAD_MS * NS_PER_MS;
	uint32_t ahead = taken < AHEAD_PAGES_LEAST ? AHEAD_PAGES_LEAST
			 : taken > AHEAD_PAGES_MAX ? AHEAD_PAGES_MAX
						   : (uint32_t)taken;
	uint32_t rest = segment->page_count - page;
	if (!helper->current.segment)
		extend(helper, &helper->current, segment, page + ahead);
	if (spare && !helper->spare.segment)
		extend(helper, &helper->spare, spare, spare->first_page + (rest < ahead ? ahead - rest : 0));
	if (helper->pages_a_ns * (double)(log->options.flush_interval_ms * NS_PER_MS) < 1)
		return UINT64_MAX;
	/* By then half of what is ready, or until a sync is due by size, will have been taken. */
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	uint32_t wake = atomic_load_explicit(&segment->wake_page, memory_order_relaxed);
	uint32_t until = wake < ready && !helper->passing ? wake : ready;
	double left_ns = until > page ? (until - page) / helper->pages_a_ns / 2 : 0;
	return now + (left_ns < LOOK_NS_MIN ? LOOK_NS_MIN : (uint64_t)left_ns);
}

/* Is a pass to wait, since pages are about to run out and more are on their way? */
static bool is_short_of_pages(const struct ul_helper *helper)
{
	const struct ul_segment *segment = helper->current.segment;
	if (!segment)
		return false;
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	uint32_t page = atomic_load_explicit(&segment->next_page, memory_order_relaxed);
	double least = helper->pages_a_ns * (AHEAD_MS / 2) * NS_PER_MS;
	return ready < segment->page_count &&
	       ready - page < (least < AHEAD_PAGES_MAX / 2 ? least : AHEAD_PAGES_MAX / 2);
}

/* ---- the next segment --------------------------------------------------------------------------------------- */

static void sourcing_step_done(void *owner, struct ul_job *job);

static void sourcing_step(struct ul_helper *helper, bool first)
{
	helper->is_sourcing = ul_making_next(&helper->sourcing.making, &helper->sourcing_job, first);
	if (helper->is_sourcing) {
		helper->sourcing_job.done = sourcing_step_done;
		helper->sourcing_job.owner = helper;
		submit(helper, &helper->sourcing_job);
		return;
	}
	ul_source_end(helper->log, &helper->sourcing);
}

static void sourcing_step_done(void *owner, struct ul_job *job)
{
	struct ul_helper *helper = owner;
	(void)job;
	helper->jobs_left--;
	sourcing_step(helper, false);
}

/* ---- pages that are stored to while they are synced --------------------------------------------------------- */

static void refreshed(void *owner, struct ul_job *job)
{
	struct ul_helper *helper = owner;
	struct refresh *refresh = (struct refresh *)(void *)((uint8_t *)job - offsetof(struct refresh, job));
	helper->jobs_left--;
	hold(helper, refresh->segment, -1);
	refresh->segment = NULL;
}

/* A sync has made read-only the pages that slow lanes stay in: make them writable again, so that the next call need not. */
static void refresh_pages(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	uint32_t count = 0;
	for (uint32_t i = 0; i < REFRESHES_MAX; i++)
		if (helper->refreshes[i].segment)
			return; /* the last ones are not through yet: the disk is slower than the syncs */
	ul_lock(log);
	UL_EACH_LANE (log, lane) {
		uint32_t next = atomic_load_explicit(&lane->next, memory_order_relaxed);
		if (count < REFRESHES_MAX && lane->segment && next % UL_PAGE_SLOTS) {
			uint8_t *page = lane->segment->base + (size_t)(next / UL_PAGE_SLOTS) * UL_PAGE_BYTES;
			helper->refreshes[count++] = (struct refresh){.segment = lane->segment,
								      .job = {.kind = UL_JOB_POPULATE,
									      .address = page,
									      .bytes = UL_PAGE_BYTES,
									      .done = refreshed,
									      .owner = helper}};
			lane->segment->job_count++;
		}
	}
	ul_unlock(log);
	for (uint32_t i = 0; i < count; i++)
		submit(helper, &helper->refreshes[i].job);
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
	refresh_pages(helper);
}

static void go_on_with_range(struct ul_helper *helper, uint32_t number, bool first);

static void range_job_done(void *owner, struct ul_job *job)
{
	struct ul_helper *helper = owner;
	helper->jobs_left--;
	go_on_with_range(helper, (uint32_t)(job - helper->sync_jobs), false);
}

static void go_on_with_range(struct ul_helper *helper, uint32_t number, bool first)
{
	struct ul_job *job = &helper->sync_jobs[number];
	if (ul_range_next(&helper->pass.ranges[number], job, first)) {
		job->found = &helper->sync_found[number];
		job->done = range_job_done;
		job->owner = helper;
		submit(helper, job);
	} else if (--helper->sync_left == 0) {
		pass_ends(helper);
	}
}

static int reserve_jobs(struct ul_helper *helper, uint32_t count)
{
	if (count <= helper->sync_capacity)
		return 0;
	struct ul_job *jobs = os_reallocate(helper->sync_jobs, count, sizeof(*jobs));
	if (!jobs)
		return -ENOMEM;
	helper->sync_jobs = jobs;
	struct statx *found = os_reallocate(helper->sync_found, count, sizeof(*found));
	if (!found)
		return -ENOMEM;
	helper->sync_found = found;
	helper->sync_capacity = count;
	return 0;
}

static void begin_pass(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	/* What this pass does not cover was stored after it began. */
	helper->clean_ns = os_monotonic_ns();
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
	/* One more, so that the pass does not end before all are begun. */
	helper->sync_left = helper->pass.range_count + 1;
	for (uint32_t i = 0; i < helper->pass.range_count; i++)
		go_on_with_range(helper, i, true);
	if (--helper->sync_left == 0)
		pass_ends(helper);
}

/* Has enough been stored, or will have been by the next look? Then nobody who records has to say so. */
static bool is_enough(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	ul_lock(log);
	double pages = (double)ul_pages_given(log) + helper->pages_a_ns * 2 * LOOK_NS_MIN;
	ul_unlock(log);
	return pages * UL_PAGE_BYTES >= (double)log->options.flush_size_bytes;
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
		helper->oldest_ns = helper->clean_ns ? helper->clean_ns : now; /* it was stored some time since */
	if (!dirty)
		helper->clean_ns = now;
	if (dirty || asked)
		helper->idle_ns = 0;
	atomic_store_explicit(&log->oldest_unsynced_ns, helper->oldest_ns, memory_order_relaxed);
	bool enough = is_enough(helper);
	bool overdue = asked || (dirty && now >= helper->oldest_ns + 2 * interval_ns);
	if (!overdue && is_short_of_pages(helper))
		return UINT64_MAX; /* the jobs under way wake us */
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

/* For the stats. */
static void tell_backend(struct ul_helper *helper)
{
	atomic_store(&helper->backend_error, helper->backend.error);
	atomic_store(&helper->backend_id, helper->backend.kind->id);
}

static void work_once(struct ul_helper *helper)
{
	usagelog *log = helper->log;
	uint64_t now = os_monotonic_ns();
	ul_lock(log);
	log->helper_called = false;
	/* Only where there is room: what has to make a file for it waits for the spare, which is made under no lock. */
	struct ul_segment *current = atomic_load_explicit(&log->current, memory_order_relaxed);
	if (log->held_count && (log->spare || (current && !current->retired)))
		ul_drain_held(log);
	ul_unlock(log);
	if (!helper->is_sourcing && !atomic_load(&helper->stop) && ul_source_begin(log, &helper->sourcing))
		sourcing_step(helper, true);
	uint64_t look = atomic_load(&helper->stop) ? now : extend_ahead(helper, now);
	uint64_t due = sync_if_due(helper, now);
	due = look < due ? look : due;
	if (!helper->passing) {
		pthread_mutex_lock(&log->sync_mutex);
		ul_segments_retire(log);
		pthread_mutex_unlock(&log->sync_mutex);
	}
	uint64_t retry = retry_time(log, now);
	due = retry < due ? retry : due;
	ul_deliver_warnings(log);
	uint64_t interval_ns = log->options.flush_interval_ms * NS_PER_MS;
	bool idle =
		helper->idle_ns && now >= helper->idle_ns + interval_ns && retry == UINT64_MAX && !helper->jobs_left;
	if (idle && !atomic_load(&helper->stop))
		due = park(helper) ? UINT64_MAX : now + interval_ns;
	if (atomic_load(&helper->stop))
		due = now;
	helper->backend.kind->wait(&helper->backend, due == UINT64_MAX ? due : due > now ? due - now : 0);
	if (helper->backend.was_taken_away) {
		tell_backend(helper);
		helper->backend.was_taken_away = false;
		helper->sync_found = NULL;
		helper->sync_capacity = 0;
	}
	/* Asleep without an end, all was clean until now. */
	if (due == UINT64_MAX && !helper->passing)
		helper->clean_ns = os_monotonic_ns();
}

static void open_backend(struct ul_helper *helper)
{
	struct ul_backend *backend = &helper->backend;
	const char *wish = getenv("USAGELOG_BACKEND");
	bool refused = (helper->log->options.flags & USAGELOG_NO_URING) || (wish && !strcmp(wish, "syscall"));
	backend->kind = &ul_backend_uring;
	if (!refused)
		backend->error = ul_backend_uring.open(backend, helper->event);
	if (refused || backend->error) {
		backend->kind = &ul_backend_syscall;
		ul_backend_syscall.open(backend, helper->event);
	}
	tell_backend(helper);
}

static void *run(void *arg)
{
	struct ul_helper *helper = arg;
	open_backend(helper);
	while (!atomic_load(&helper->stop) || helper->jobs_left)
		work_once(helper);
	helper->backend.kind->close(&helper->backend);
	free(helper->sync_jobs);
	free(helper->sync_found);
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
	ul_lock(log);
	log->helper = NULL; /* first: a forked child closes what it finds there */
	ul_unlock(log);
	os_close(helper->event);
	free(helper);
	return true;
}

void ul_helper_forget(usagelog *log)
{
	if (!log->helper)
		return;
	/* Its thread and ring are the parent's. The descriptors are copies, and closed; the ring's memory is not inherited. */
	if (log->helper->is_sourcing && log->helper->sourcing.making.segment)
		ul_segment_forget(log->helper->sourcing.making.segment);
	if (log->helper->is_sourcing && log->helper->sourcing.directory)
		os_close(log->helper->sourcing.fd);
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
