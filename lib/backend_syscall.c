/* Jobs by plain system calls, on the helper's thread, in the order in which they come. */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "os.h"
#include "usagelog.h"

int ul_job_link_result(const struct ul_job *job, uint64_t links, uint64_t file_bytes)
{
	if (!links)
		return -ENOENT;
	return file_bytes < job->offset + job->bytes ? -ENODATA : 0;
}

int ul_job_run(const struct ul_job *job)
{
	struct stat found;
	int error;
	switch (job->kind) {
	case UL_JOB_SYNC_RANGE:
		return os_sync_range(job->address, job->bytes);
	case UL_JOB_CHECK_LINK:
		error = os_stat(job->fd, &found);
		return error ? error : ul_job_link_result(job, found.st_nlink, (uint64_t)found.st_size);
	case UL_JOB_EXTEND:
		return os_extend(job->fd, job->offset, job->bytes, false);
	case UL_JOB_POPULATE:
		return os_populate(job->address, job->bytes, true);
	case UL_JOB_CREATE:
		return os_open(job->fd, job->name, O_RDWR | O_CREAT | O_EXCL);
	case UL_JOB_WRITE:
		return os_write(job->fd, job->address, job->bytes, job->offset);
	case UL_JOB_SYNC:
		return os_sync(job->fd);
	case UL_JOB_RENAME:
		return os_rename(job->fd, job->name, job->new_name);
	}
	return 0;
}

void ul_backend_tell(struct ul_backend *backend)
{
	while (backend->done) {
		struct ul_job *job = backend->done;
		backend->done = job->next;
		job->done(job->owner, job);
	}
}

static int open_syscall(struct ul_backend *backend, int event)
{
	backend->event = event;
	return 0;
}

static void submit_syscall(struct ul_backend *backend, struct ul_job *job)
{
	job->result = ul_job_run(job);
	job->next = backend->done;
	backend->done = job;
}

static void wait_syscall(struct ul_backend *backend, uint64_t timeout_ns)
{
	if (!backend->done) {
		struct pollfd event = {.fd = backend->event, .events = POLLIN};
		struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
					   .tv_nsec = (long)(timeout_ns % 1000000000)};
		uint64_t count;
		/* All signals are blocked here. A failure would only mean to look around once more. */
		if (ppoll(&event, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL) > 0 &&
		    read(backend->event, &count, sizeof(count)) < 0) {
			/* Somebody was faster, or there was nothing: either way the event is clear. */
		}
	}
	ul_backend_tell(backend);
}

static void close_syscall(struct ul_backend *backend)
{
	(void)backend;
}

const struct ul_backend_kind ul_backend_syscall = {.id = USAGELOG_BACKEND_SYSCALL,
						   .open = open_syscall,
						   .submit = submit_syscall,
						   .wait = wait_syscall,
						   .close = close_syscall};
