/*
 * usagelog: record what each LLM call used and cost, in nanoseconds, without losing a call.
 *
 * A log is a directory on one host, for one user, on a local filesystem. usagelog_record() stores one 64-byte
 * entry in a memory-mapped file of it and returns: what it stored outlives the death of the process at once. The
 * program `usagelog` folds the log into a JSON summary, and verifies it.
 *
 *     usagelog *log;
 *     int error = usagelog_open(&log, NULL, NULL);
 *     if (error)
 *         errx(1, "usage log: %s", usagelog_strerror(error));
 *     struct usagelog_call call = {.input_tokens = 100, .output_tokens = 50};
 *     struct usagelog_names names = {.provider = "openai", .model = "gpt-4o"};
 *     error = usagelog_record_names(log, &names, &call);
 *     usagelog_close(log, 1000);
 *
 * Conventions, for all that follows:
 *
 * - Functions return 0 or a negative code: -errno of the system, or USAGELOG_ERROR_*, which are all below -10000.
 *   usagelog_strerror() has the text of either. An output is written only on success. Nothing is printed, ever.
 * - Threads: every function may be called from any thread, on one handle, at the same time. Whoever uses a handle while another thread
 *   closes it, or later, gets USAGELOG_ERROR_CLOSED, never a crash, until the process opens a log again, which may be given the same handle.
 * - Fork: a handle works on in the child, which writes to a segment of its own from its first record on; calls that
 *   the parent held in memory stay the parent's. A child made by vfork() or a bare clone() must not use it.
 * - Signals: the library starts at most one thread of its own, with all signals blocked but SIGBUS, and never interrupts a system call of the
 *   host. A signal handler may call usagelog_record(), and nothing else here, with a helper, and with names that this handle has recorded
 *   before. Its call is dropped and counted (USAGELOG_CAUSE_REENTERED) where it interrupted a call of the library that holds a lock, or
 *   record() itself and needs a lock. One case is left: a segment that is full before the helper has the next one ready is replaced on
 *   the caller's thread, which allocates memory; a handler that may interrupt malloc() should not record at such rates.
 * - SIGBUS: where a file of the log is cut short, or its disk is full or fails, under the library's mapping, the system raises it. A handler, put in
 *   place by usagelog_open(), takes those, the call goes to another file, and all others are handed on to the handler that was there before. One
 *   that the host puts in place later is put behind it, at the next sync. A thread that blocks SIGBUS is killed by it: do not. What the
 *   page held is copied to the other file, too; that takes process_vm_readv() of the process's own memory, should a sandbox ask.
 * - Cancellation (pthread_cancel(), deferred) leaves no lock behind and loses nothing that was committed; but usagelog_open() and
 *   usagelog_close() are not to be cancelled: they would not give back what they hold.
 * - Strings are terminated, UTF-8, and copied: they need not outlive the call. Names have 1 to 1,024 bytes and no control characters.
 * - How far a call has come: *reserved* (a slot is claimed), *committed* (stored: survives the death of the
 *   process), *durable* (synced: survives power loss), *folded* (in the compactor's checkpoint).
 *
 * Caveats: the log must not be on a network filesystem, which cannot keep these promises (usagelog_open() refuses it). A
 * handle holds address space for each mapped segment (64 MiB by default), not memory: pages are taken as they are filled.
 */
#ifndef USAGELOG_H
#define USAGELOG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#error "usagelog needs Linux"
#endif
#define USAGELOG_API __attribute__((visibility("default")))

#define USAGELOG_VERSION_MAJOR 0
#define USAGELOG_VERSION_MINOR 1
#define USAGELOG_VERSION_PATCH 0

/* An open log. */
typedef struct usagelog usagelog;

/* ---- errors ---------------------------------------------------------------------------------------------- */

enum usagelog_error {
	/* The call is held in memory because no file can be had right now; it is lost if the process dies before
	 * one can. The helper stores it as soon as it can. */
	USAGELOG_ERROR_HELD = -10001,
	/* The call was dropped and counted by cause: no file can be had and the memory for held calls is full. */
	USAGELOG_ERROR_DROPPED = -10002,
	/* The deadline passed before all was durable. What was committed stays committed. */
	USAGELOG_ERROR_TIMEOUT = -10003,
	/* log.conf is damaged, or missing where the rest of a log is. Nothing was touched. */
	USAGELOG_ERROR_CONF_DAMAGED = -10004,
	/* The log was made by a newer program. Nothing was touched. */
	USAGELOG_ERROR_NEWER = -10005,
	/* An option contradicts log.conf (the warning names both). Nothing was touched. */
	USAGELOG_ERROR_CONTRADICTION = -10006,
	/* The directory is on a network filesystem (the warning names it). USAGELOG_ALLOW_ANY_FILESYSTEM overrides. */
	USAGELOG_ERROR_FILESYSTEM = -10007,
	/* A name is empty, longer than 1,024 bytes, not UTF-8 or has control characters. Nothing was recorded. */
	USAGELOG_ERROR_NAME = -10008,
	/* The metadata is not a JSON object, is nested deeper than 32 levels, or has a key twice. Nothing was recorded. */
	USAGELOG_ERROR_METADATA = -10009,
	/* The attributes together take more than 16,384 bytes. Nothing was recorded. */
	USAGELOG_ERROR_CONTEXT_TOO_LONG = -10010,
	/* The handle's table of names is full: use usagelog_record_names(), which then writes them with each call. */
	USAGELOG_ERROR_NAMES_FULL = -10011,
	/* A field of the call is out of range, a handle of a name is not this log's, or reserved bits are set.
	 * Nothing was recorded. */
	USAGELOG_ERROR_CALL = -10012,
	/* There is no log in this directory (readers only: they never make one). */
	USAGELOG_ERROR_NO_LOG = -10013,
	/* The file is not a segment, or both its headers are damaged. */
	USAGELOG_ERROR_SEGMENT = -10014,
	/* The handle was closed, by this thread or another. Nothing was recorded. */
	USAGELOG_ERROR_CLOSED = -10015,
};

/* The text of an error, static, in English, without a newline. Never NULL. Safe in signal handlers. */
USAGELOG_API const char *usagelog_strerror(int error);

/* The version of the library that is loaded, such as "0.1.0". Static. */
USAGELOG_API const char *usagelog_version(void);

/* ---- open and close -------------------------------------------------------------------------------------- */

/* Warnings: something went wrong that the library goes on from, or for which usagelog_open() failed. `error` as above, `message` a full sentence
 * that says what, where, why and what is done about it; it lives until the callback returns. Called on the helper's thread or on the caller's,
 * never on two at once for one handle, without locks of the library held. It must not call the library on this handle. */
typedef void (*usagelog_warning_fn)(void *arg, int error, const char *message);

enum usagelog_option_flags {
	/* usagelog_record() returns when the call is durable. It blocks as long as the disk does; callers at the
	 * same time share a sync. */
	USAGELOG_SYNCHRONOUS = 1 << 0,
	/* Start no thread: what the helper does is done on the caller's thread when it is due. Calls become durable at
	 * usagelog_flush() and usagelog_close() only, or when the system writes them (30 s). For one-shot programs. */
	USAGELOG_NO_HELPER = 1 << 1,
	/* Open on any filesystem, after a warning. */
	USAGELOG_ALLOW_ANY_FILESYSTEM = 1 << 2,
	/* Do not make a log where there is none: USAGELOG_ERROR_NO_LOG. */
	USAGELOG_MUST_EXIST = 1 << 3,
	/* Never use io_uring; the environment's USAGELOG_BACKEND=syscall does the same. */
	USAGELOG_NO_URING = 1 << 4,
};

/* Options. Set `size` to sizeof(struct usagelog_options) and all else to zero: zero means the default everywhere. The
 * settings marked (log) belong to the log: the first opener's are kept in log.conf, and a later opener's that differ are an error. */
struct usagelog_options {
	size_t size;                 /* bytes: sizeof(struct usagelog_options) */
	uint32_t flags;              /* of enum usagelog_option_flags */
	uint32_t flush_interval_ms;  /* sync this long after the first unsynced call; default 1,000, at most a day */
	uint64_t flush_size_bytes;   /* sync when so much is not synced; default 1 MiB */
	uint64_t segment_size_bytes; /* size of new segments: 64 KiB to 16 GiB, rounded up to 4 KiB; default 64 MiB */
	uint32_t retry_count_max;    /* tries at a failing directory before the next one; default 3, at most 20 */
	uint32_t retry_delay_ms;     /* before the first retry, doubling; default 100, at most a day */
	uint32_t held_count_max;     /* calls held in memory while no file can be had; default 512, at most 65,536 */
	uint32_t names_max;          /* models and contexts that the handle keeps, default 2,048, at most 65,536 */
	const char *time_zone;       /* (log) IANA name; days are cut in it; default the host's, else UTC */
	const char *const
		*fallback_directories; /* (log) absolute paths, tried in turn when the log's own fails; default none */
	size_t fallback_directory_count; /* at most 8 */
	const char *summary_path;        /* (log) default summary.json, in the log's directory */
	const char *const *group_by;     /* (log) keys of metadata that facts are grouped by; default none */
	size_t group_by_count;           /* at most 16 */
	usagelog_warning_fn warning;     /* default none */
	void *warning_arg;
};

/*
 * Open a log to write to, making it (directory mode 0700, files 0600) if there is none.
 *
 * `directory` NULL: $USAGELOG_DIR, else $XDG_STATE_HOME/usagelog, else ~/.local/state/usagelog. `options` NULL: all defaults.
 * May block on the disk, and allocates. Adopts a segment that another process left, or makes one, so that the first
 * record() waits for nothing. Several processes, and several handles of one process, may have one log open.
 *
 * 0: `*log` is open; the caller closes it. -EINVAL: an option cannot be as it is. USAGELOG_ERROR_CONF_DAMAGED, _NEWER, _CONTRADICTION, _FILESYSTEM,
 * _NO_LOG: as above. -errno: the directory cannot be made or read. The warning callback is told more. A segment that cannot be had (disk full) is
 * no error if a fallback can; else it is returned. After an error nothing is open, and a log that was there is as it was.
 */
USAGELOG_API int usagelog_open(usagelog **log, const char *directory, const struct usagelog_options *options);

/*
 * Flush, for at most `timeout_ms` (0: do not sync; what is committed stays so; negative: as long as it takes), and close. The
 * handle ends in any case. Calls that other threads record at the same time are committed, and then covered by the flush, or refused with
 * USAGELOG_ERROR_CLOSED. Must not be called from a signal handler or the warning callback.
 *
 * 0: closed, and (timeout_ms other than 0) all durable. USAGELOG_ERROR_TIMEOUT or -errno of the sync: closed, not all is known durable.
 * USAGELOG_ERROR_HELD: closed, and calls that were held in memory are lost. NULL is allowed: 0.
 */
USAGELOG_API int usagelog_close(usagelog *log, int timeout_ms);

/* ---- names ----------------------------------------------------------------------------------------------- */

/* A model or a context made known to one handle, for the hot path. Plain values: copy them, keep them as long as the
 * handle lives, use them on any thread, and in a child after fork. A zeroed one means "none". */
typedef struct usagelog_model {
	uint32_t index;
} usagelog_model;
typedef struct usagelog_context {
	uint32_t index;
} usagelog_context;

/* The attributes of a call; NULL: not given. All are stored; totals are kept by operation, error_type, service_tier, session_id
 * and the keys of metadata in the log's group_by. */
struct usagelog_attributes {
	const char *operation;    /* what was called: chat, embeddings, ... (OpenTelemetry gen_ai.operation.name) */
	const char *error_type;   /* the call failed: the provider's code, an exception's class or an HTTP status */
	const char *service_tier; /* batch, flex, priority, ... */
	const char *session_id;   /* what the call belongs to */
	const char *metadata;     /* a JSON object with anything else */
};

/*
 * Make a model known. The same names give the same handle. May allocate and take a lock; blocks on no disk.
 * `provider` as in OpenTelemetry's gen_ai.provider.name: openai, anthropic, aws.bedrock, ...
 *
 * USAGELOG_ERROR_NAME, USAGELOG_ERROR_NAMES_FULL, -ENOMEM: `*out` is unchanged.
 */
USAGELOG_API int usagelog_model_get(usagelog *log, const char *provider, const char *model, usagelog_model *out);

/* Make a set of attributes known, likewise. Also USAGELOG_ERROR_METADATA and USAGELOG_ERROR_CONTEXT_TOO_LONG. Attributes that are all NULL give the zero handle. */
USAGELOG_API int usagelog_context_get(usagelog *log, const struct usagelog_attributes *attributes,
				      usagelog_context *out);

/* ---- record ---------------------------------------------------------------------------------------------- */

enum usagelog_call_flags {
	/* cost_pico_usd is the cost of the call. Without it the call is unpriced, not free. */
	USAGELOG_COST = 1 << 0,
};

/* One call. Zero everything first: zero means what the comments say. Counts are disjoint: total = input + cache_read
 * + cache_write_5m + cache_write_1h + output. A source whose input includes cached tokens must subtract them. */
struct usagelog_call {
	int64_t time_ns;                /* ns since the Unix epoch, UTC; 0: now */
	int64_t cost_pico_usd;          /* 1e-12 US dollars; may be negative; only with USAGELOG_COST */
	uint32_t input_tokens;          /* without any that came from or went to a cache */
	uint32_t cache_read_tokens;     /* read from a cache */
	uint32_t cache_write_5m_tokens; /* written to a cache for 5 minutes, or for a time unknown */
	uint32_t cache_write_1h_tokens; /* written to a cache for 1 hour */
	uint32_t output_tokens;         /* reasoning included */
	uint32_t reasoning_tokens;      /* a part of output_tokens */
	uint64_t latency_us;    /* whole call; 0: unknown; at most 4,294,967,295 ms; from 4,295 s on stored in ms */
	uint32_t ttft_us;       /* time to first token; 0: unknown or not streamed */
	uint32_t flags;         /* of enum usagelog_call_flags */
	const uint8_t *call_id; /* 16 bytes that identify the call (usagelog_call_id()); NULL: none */
};

/*
 * Append one call. On return it is committed: it survives the death of this process; a flush trigger, usagelog_flush() or
 * USAGELOG_SYNCHRONOUS makes it durable. Does not allocate, lock, enter the kernel, fault, or touch memory that another thread
 * writes, but for: each 64th to 512th call, which takes room by one atomic operation; the first with a name in a segment, and the first of
 * a segment (one in a million calls by default), which take a lock; the first after an idle time, and one in a burst that fills
 * `flush_size_bytes` within a millisecond or two, which wake the helper; and a thread that records less than 512 calls between two syncs,
 * whose next call may find its page being synced. Blocks only with
 * USAGELOG_SYNCHRONOUS, or where calls come faster than the disk takes them: then it waits, and the stats count it.
 *
 * 0: committed (durable if synchronous). USAGELOG_ERROR_HELD, USAGELOG_ERROR_DROPPED: as above. USAGELOG_ERROR_CALL: refused.
 * Synchronous mode also: -errno of the sync, or -ECANCELED if the handle was closed meanwhile: committed, not known durable.
 */
USAGELOG_API int usagelog_record(usagelog *log, usagelog_model model, usagelog_context context,
				 const struct usagelog_call *call);

/* The names of a call, as strings. */
struct usagelog_names {
	const char *provider; /* required */
	const char *model;    /* required */
	struct usagelog_attributes attributes;
};

/* The same with strings, looked up each time. Names that do not fit the handle's table any more are written with the call. Errors of
 * usagelog_record(), usagelog_model_get() and usagelog_context_get(), but never USAGELOG_ERROR_NAMES_FULL. */
USAGELOG_API int usagelog_record_names(usagelog *log, const struct usagelog_names *names,
				       const struct usagelog_call *call);

/* The 16 bytes that stand for a call's own id (a response id, say). Importers add each id once; record() does not look. */
USAGELOG_API void usagelog_call_id(const char *id, size_t bytes, uint8_t out[16]);

/* ---- flush and stats ------------------------------------------------------------------------------------- */

/*
 * A barrier: returns when every call committed before it, by any thread of this process through this handle, is durable. Waits at most
 * `timeout_ms` (negative: as long as it takes; 0: starts the sync and returns USAGELOG_ERROR_TIMEOUT unless all is durable), also on a disk that hangs;
 * without a helper, as long as the disk does.
 *
 * USAGELOG_ERROR_TIMEOUT: not all durable yet, the sync goes on. USAGELOG_ERROR_HELD: durable but for the calls held in memory. -errno: a sync
 * failed; the calls are committed and are being copied to another file; flush again.
 */
USAGELOG_API int usagelog_flush(usagelog *log, int timeout_ms);

/* Why calls were dropped: indexes into dropped[]. */
enum usagelog_cause {
	USAGELOG_CAUSE_SPACE = 0,      /* disk or quota full */
	USAGELOG_CAUSE_LIMIT = 1,      /* a limit of the process: file size, descriptors, memory */
	USAGELOG_CAUSE_IO = 2,         /* input/output error, and all others */
	USAGELOG_CAUSE_PERMISSION = 3, /* not allowed, or read-only */
	USAGELOG_CAUSE_GONE = 4,       /* the directory was deleted or replaced */
	USAGELOG_CAUSE_REENTERED = 5,  /* recorded from a signal handler at the wrong moment */
	USAGELOG_CAUSES = 8
};

enum usagelog_backend {
	USAGELOG_BACKEND_NONE = 0,    /* no helper is running */
	USAGELOG_BACKEND_SYSCALL = 1, /* a helper that makes plain system calls */
	USAGELOG_BACKEND_URING = 2,   /* a helper parked in io_uring */
};

/* What a handle did since it was opened (in a child: since the fork). attempted = committed + held + dropped + what is in
 * progress while this is read. */
struct usagelog_stats {
	size_t size; /* bytes: the caller sets sizeof(struct usagelog_stats) */
	uint64_t attempted;
	uint64_t committed;
	uint64_t durable; /* of the committed: known durable */
	uint64_t held;    /* in memory now */
	uint64_t dropped[USAGELOG_CAUSES];
	uint64_t syncs;             /* that succeeded */
	uint64_t sync_errors;       /* that failed: each copied its pages to another file */
	uint64_t rotations;         /* segments begun after the first */
	uint64_t inline_rotations;  /* of these, made by a caller because the helper had none ready */
	uint64_t inline_extensions; /* times a caller extended the file itself */
	uint64_t fallbacks;         /* segments begun in a fallback directory */
	uint64_t retries;           /* tries to make a segment after a failure */
	uint64_t warnings;
	uint64_t
		oldest_unsynced_ms; /* age of the oldest call not known durable, to the flush interval's precision; 0: none */
	int64_t last_error_time_ns; /* ns since the Unix epoch; 0: never */
	int last_error;             /* -errno or USAGELOG_ERROR_* */
	int backend;                /* of enum usagelog_backend */
	int backend_error;          /* -errno: why io_uring is not used, or no longer; 0: it is, or was not asked for */
	uint32_t segments_mapped;
	uint32_t names;               /* models and contexts known */
	uint32_t segment_in_fallback; /* 0: the log's own directory; n: the n-th fallback */
};

/* Fill in `stats`, as of one moment for each figure. Takes a lock that the hot path does not. -EINVAL: `size` is not set. */
USAGELOG_API int usagelog_stats_get(usagelog *log, struct usagelog_stats *stats);

/* The directory that usagelog_open(…, NULL, …) would use. Returns its length, or -ENOENT (no HOME), -ENAMETOOLONG. */
USAGELOG_API int usagelog_default_directory(char *out, size_t out_bytes);

/* ---- read ------------------------------------------------------------------------------------------------ */

/* One slot of a segment, as FORMAT.md's section 3.4 classifies it. */
enum usagelog_slot_state {
	USAGELOG_SLOT_EMPTY,
	USAGELOG_SLOT_UNFINISHED,
	USAGELOG_SLOT_VALID,
	USAGELOG_SLOT_UNKNOWN,
	USAGELOG_SLOT_DAMAGED
};

struct usagelog_slot {
	uint32_t number; /* file offset / 64 */
	enum usagelog_slot_state state;
	uint8_t bytes[64]; /* as in the file */
};

/* A segment file opened for reading. Works on one that is being written to. */
typedef struct usagelog_segment usagelog_segment;

/* Open a segment file. Never follows a link, takes only regular files, changes nothing. -errno, USAGELOG_ERROR_SEGMENT, USAGELOG_ERROR_NEWER. */
USAGELOG_API int usagelog_segment_open(usagelog_segment **segment, const char *path);

/* Call `visit` for every slot that is not empty, in order. It returns 0 to go on; anything else ends the visit and is returned. -errno: the
 * file cannot be read to its end. */
USAGELOG_API int usagelog_segment_visit(usagelog_segment *segment,
					int (*visit)(void *arg, const struct usagelog_slot *slot), void *arg);

/* The text of the definition at a slot (class 1 model: provider, zero byte, model; class 2 context: JSON): copied to `out`, its length returned;
 * USAGELOG_ERROR_SEGMENT if there is no valid one of this class, -ENOSPC if it does not fit (16,384 bytes always do). */
USAGELOG_API int usagelog_segment_text(usagelog_segment *segment, uint32_t slot, int text_class, char *out,
				       size_t out_bytes);

/* Close. NULL is allowed. */
USAGELOG_API void usagelog_segment_close(usagelog_segment *segment);

#ifdef __cplusplus
}
#endif

#endif
