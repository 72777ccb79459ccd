/*
 * Jobs by io_uring. The ring is the helper thread's alone, made by it (SINGLE_ISSUER, DEFER_TASKRUN): completions
 * are run when it waits and interrupt nobody. A forked child does not inherit it. Descriptors are not registered: at some
 * operations a second, looking them up costs nothing.
 */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os.h"
#include "usagelog.h"

enum { ENTRIES = 64, WORKERS = 8, WAIT_NS_MAX = 20000000 };

struct state {
	struct io_uring ring;
	bool event_armed;
	struct ul_job *in_flight;
	int error; /* the ring was taken away */
};

static int open_uring(struct ul_backend *backend, int event)
{
	struct state *state = os_allocate(1, sizeof(*state));
	if (!state)
		return -ENOMEM;
	int error = os_uring();
	if (!error)
		error = io_uring_queue_init(ENTRIES, &state->ring,
					    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
						    IORING_SETUP_CLAMP);
	if (error) {
		free(state);
		return error;
	}
	/* Waiting with a timeout needs EXT_ARG, and jobs' data need not stay put: kernels that have DEFER_TASKRUN have both. */
	io_uring_ring_dontfork(&state->ring);
	/* What blocks runs on the kernel's own workers: so many at a time suffice. */
	unsigned workers[2] = {WORKERS, WORKERS};
	io_uring_register_iowq_max_workers(&state->ring, workers);
	backend->event = event;
	backend->fd = state->ring.ring_fd;
	backend->state = state;
	return 0;
}

static struct io_uring_sqe *get_sqe(struct state *state)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&state->ring);
	if (sqe || io_uring_submit(&state->ring) < 0)
		return sqe;
	return io_uring_get_sqe(&state->ring);
}

static void prepare(struct io_uring_sqe *sqe, const struct ul_job *job)
{
	switch (job->kind) {
	case UL_JOB_SYNC_RANGE:
		io_uring_prep_fsync(sqe, job->fd, IORING_FSYNC_DATASYNC);
		/* A range, which the helper function cannot say: `off` up to and with the byte `off + len`. */
		sqe->off = job->offset;
		sqe->len = (uint32_t)(job->bytes - 1);
		break;
	case UL_JOB_CHECK_LINK:
		io_uring_prep_statx(sqe, job->fd, "", AT_EMPTY_PATH, STATX_NLINK | STATX_SIZE, job->found);
		break;
	case UL_JOB_EXTEND:
		io_uring_prep_fallocate(sqe, job->fd, 0, (off_t)job->offset, (off_t)job->bytes);
		break;
	case UL_JOB_POPULATE:
		io_uring_prep_madvise(sqe, job->address, (off_t)job->bytes, MADV_POPULATE_WRITE);
		break;
	case UL_JOB_CREATE:
		io_uring_prep_openat(sqe, job->fd, job->name, O_RDWR | O_CREAT | O_EXCL | OS_OPEN_FLAGS, 0600);
		break;
	case UL_JOB_WRITE:
		io_uring_prep_write(sqe, job->fd, job->address, (uint32_t)job->bytes, job->offset);
		break;
	case UL_JOB_SYNC:
		io_uring_prep_fsync(sqe, job->fd, 0);
		break;
	case UL_JOB_RENAME:
		io_uring_prep_renameat(sqe, job->fd, job->name, job->fd, job->new_name, 0);
		break;
	}
}

static void finish(struct ul_backend *backend, struct ul_job *job, int result)
{
	job->result = result;
	job->next = backend->done;
	backend->done = job;
}

/* What a completion means. */
static int result_of(const struct ul_job *job, int result)
{
	if (result >= 0 && job->kind == UL_JOB_CREATE)
		os_give_to_owner(job->fd, result);
	if (result < 0 || job->kind == UL_JOB_CREATE)
		return result;
	if (job->kind == UL_JOB_CHECK_LINK)
		return ul_job_link_result(job, job->found->stx_nlink, job->found->stx_size);
	/* A short write: again, which gets further or says why not. */
	return job->kind == UL_JOB_WRITE && (uint64_t)result < job->bytes ? ul_job_run(job) : 0;
}

/* A sandbox may refuse io_uring at any time, by whichever errno: all but what passes. */
static bool is_taken_away(int error)
{
	return error < 0 && error != -ETIME && error != -EINTR && error != -EAGAIN && error != -EBUSY &&
	       error != -ENOMEM;
}

static void submit_uring(struct ul_backend *backend, struct ul_job *job)
{
	struct state *state = backend->state;
	/* Lengths are 32 bits wide there; a test's faults come through the seam. */
	struct io_uring_sqe *sqe = job->bytes <= UINT32_MAX && !os_uring() ? get_sqe(state) : NULL;
	if (!sqe) {
		finish(backend, job, ul_job_run(job));
		return;
	}
	prepare(sqe, job);
	io_uring_sqe_set_data(sqe, job);
	int submitted = io_uring_submit(&state->ring);
	if (submitted >= 0) {
		job->next = state->in_flight;
		state->in_flight = job;
		return;
	}
	state->error = is_taken_away(submitted) ? submitted : 0;
	/* The ring was taken away, or is out of memory: what could not be submitted stays queued and would be submitted later. Made a no-op,
	 * it does no harm then. */
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	finish(backend, job, ul_job_run(job));
}

static void arm_event(struct ul_backend *backend, struct state *state)
{
	struct io_uring_sqe *sqe = state->event_armed ? NULL : get_sqe(state);
	if (!sqe)
		return;
	io_uring_prep_poll_add(sqe, backend->event, POLLIN);
	io_uring_sqe_set_data(sqe, state);
	state->event_armed = io_uring_submit(&state->ring) >= 0;
}

static void reap(struct ul_backend *backend, struct state *state)
{
	struct io_uring_cqe *cqe;
	uint64_t count;
	while (io_uring_peek_cqe(&state->ring, &cqe) == 0) {
		void *data = io_uring_cqe_get_data(cqe);
		int result = cqe->res;
		io_uring_cqe_seen(&state->ring, cqe);
		if (data == state) {
			state->event_armed = false;
			if (read(backend->event, &count, sizeof(count)) < 0) {
				/* Nothing to be read: the event is clear either way. */
			}
		} else if (data) {
			struct ul_job **link = &state->in_flight;
			while (*link != data)
				link = &(*link)->next;
			*link = (*link)->next;
			finish(backend, data, result_of(data, result));
		}
	}
}

static void close_uring(struct ul_backend *backend)
{
	struct state *state = backend->state;
	backend->fd = -1;
	io_uring_queue_exit(&state->ring);
	free(state);
	backend->state = NULL;
}

/*
 * The ring was taken away: of what is under way nothing will be told any more. What may be done twice is. Of the rest, syncs first of all, nothing is
 * known; a sync that failed is told of once, and so a second one would be believed for nothing: it counts as failed.
 */
static void go_on_without(struct ul_backend *backend)
{
	struct state *state = backend->state;
	backend->error = state->error;
	backend->was_taken_away = true;
	while (state->in_flight) {
		struct ul_job *job = state->in_flight;
		state->in_flight = job->next;
		bool again =
			job->kind == UL_JOB_CHECK_LINK || job->kind == UL_JOB_EXTEND || job->kind == UL_JOB_POPULATE;
		finish(backend, job, again ? ul_job_run(job) : -ECANCELED);
	}
	close_uring(backend);
	backend->kind = &ul_backend_syscall;
}

static void wait_uring(struct ul_backend *backend, uint64_t timeout_ns)
{
	struct state *state = backend->state;
	if (!state->in_flight && !state->error) {
		/* There is nothing to be told of but the event. */
		ul_backend_syscall.wait(backend, timeout_ns);
		return;
	}
	arm_event(backend, state);
	if (!backend->done && !state->error) {
		/* A completion was seen not to wake who waited for it (Linux 6.18): none is waited for without end. */
		uint64_t most = timeout_ns < WAIT_NS_MAX ? timeout_ns : WAIT_NS_MAX;
		struct io_uring_cqe *cqe;
		struct __kernel_timespec timeout = {.tv_nsec = (long long)most};
		int waited = io_uring_wait_cqe_timeout(&state->ring, &cqe, &timeout);
		state->error = is_taken_away(waited) ? waited : 0;
	}
	reap(backend, state);
	/* Then what ended is told by the next wait, after the change. */
	if (state->error)
		go_on_without(backend);
	else
		ul_backend_tell(backend);
}

const struct ul_backend_kind ul_backend_uring = {.id = USAGELOG_BACKEND_URING,
						 .open = open_uring,
						 .submit = submit_uring,
						 .wait = wait_uring,
						 .close = close_uring};
