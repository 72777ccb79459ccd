/*
 * How the helper's blocking work is carried out: in the background by io_uring, or one call after the other. The helper does
 * not know which: it submits jobs, waits, and is told of each that ended. Used by the helper's thread alone, which also opens it.
 */
#ifndef USAGELOG_BACKEND_H
#define USAGELOG_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum ul_job_kind {
	UL_JOB_SYNC_RANGE,
	UL_JOB_CHECK_LINK, /* -ENOENT: the file has no name any more; -ENODATA: it does not hold the range any more */
	UL_JOB_EXTEND,
	UL_JOB_POPULATE,
	/* The steps of making a file: */
	UL_JOB_CREATE, /* `name` in directory `fd`; the result is the new descriptor */
	UL_JOB_WRITE,  /* from `address` to the range */
	UL_JOB_SYNC,   /* a file or directory, with all that is known of it */
	UL_JOB_RENAME, /* in directory `fd`, `name` to `new_name` */
};

struct ul_job {
	enum ul_job_kind kind;
	int fd;
	uint8_t *address; /* of the range in memory */
	uint64_t offset;  /* of the range in the file */
	uint64_t bytes;
	const char *name, *new_name;
	struct statx *found; /* what a check writes to */
	int result;          /* 0 or -errno */
	void (*done)(void *owner, struct ul_job *job);
	void *owner;
	struct ul_job *next;
};

struct ul_backend;

struct ul_backend_kind {
	int id; /* of enum usagelog_backend */
	/* `event` is the descriptor that wakes a wait. -errno: cannot be had here. */
	int (*open)(struct ul_backend *backend, int event);
	/* Begin a job; its `done` is called in a later wait(). Never fails: an error is the job's result. */
	void (*submit)(struct ul_backend *backend, struct ul_job *job);
	/* Wait until a job ends, the event comes, or the time (ns from now; UINT64_MAX: for ever) is over; call `done` for what ended. */
	void (*wait)(struct ul_backend *backend, uint64_t timeout_ns);
	void (*close)(struct ul_backend *backend);
};

struct ul_backend {
	const struct ul_backend_kind *kind;
	int event;
	int fd;    /* that a forked child must close; -1: none */
	int error; /* -errno: why io_uring is not used, or no longer; 0: it is, or was not asked for */
	bool was_taken_away; /* with checks under way, perhaps: the kernel may still write to their `found`, which must stay for good */
	struct ul_job *done; /* ended, not told yet */
	void *state;
};

extern const struct ul_backend_kind ul_backend_uring, ul_backend_syscall;

/* Carry out a job on this thread. */
int ul_job_run(const struct ul_job *job);
/* What UL_JOB_CHECK_LINK's figures mean. */
int ul_job_link_result(const struct ul_job *job, uint64_t links, uint64_t file_bytes);
/* Tell of all that ended. */
void ul_backend_tell(struct ul_backend *backend);

#endif
