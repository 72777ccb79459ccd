/*
 * The insides of an open log, shared by the files of lib/ that write. The layers, each knowing only those below:
 *
 *     record.c                     the hot path: a lane with room, names already defined; else
 *     append.c                     all that is rare: room, definitions, call ids, held calls, drops
 *     helper.c  flush.c  open.c    what runs behind the caller; the barrier; begin and end
 *     sync.c  source.c             what is to be synced; where the next segment comes from
 *     lane.c  names.c  segment.c   threads' lanes; the intern table; one mapped segment
 *     backend_*.c  rescue.c        how jobs are carried out; copies of pages that could not be synced
 *     process.c                    what is per process: registry of handles, fork, ends of threads
 *     os.c                         the system
 *
 * Locks. `mutex` guards everything here that is not said to be atomic or the helper's own. It is never held
 * during the helper's disk work, only during a caller's when the helper had nothing ready. `sync_mutex` is
 * held by whoever runs a sync pass, and taken before `mutex`. Nobody calls back the host with either.
 */
#ifndef USAGELOG_HANDLE_H
#define USAGELOG_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend.h"
#include "directory.h"
#include "format.h"
#include "guard.h"
#include "usagelog.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

enum {
	UL_NAME_PARTS = 5,
	UL_LANES_A_BLOCK = 64, /* 16 KiB of lanes */
	UL_LANE_BLOCKS_MAX = 512,
	UL_AHEAD_PAGES_MIN = 64, /* the helper is woken when fewer pages than this are ready */
	UL_RUN_PAGES_MAX = 8,    /* taken by a lane at a time */
	UL_RECENT = 8,           /* names that a lane remembers, of each class */
	UL_MESSAGES_MAX = 8,
};

/* ---- names (names.c) -------------------------------------------------------------------------------------- */

/* What a name is looked up by: the strings as the caller gave them. A part that is not given has no text. */
struct ul_key {
	enum ul_class text_class;
	uint32_t part_count;
	const char *parts[UL_NAME_PARTS];
	uint32_t bytes[UL_NAME_PARTS];
	uint64_t hash;
};

/* A name: its key, and the text that its definitions hold. Never changed or freed while the handle lives. */
struct ul_name {
	uint64_t hash;
	uint32_t index; /* 0: not in the table, for one call only */
	uint32_t text_bytes;
	enum ul_class text_class;
	uint32_t key_bytes[UL_NAME_PARTS];
	char *text; /* the key's parts stand before it, each terminated */
	char key[];
};

struct ul_names {
	_Atomic(struct ul_name *) *buckets; /* open addressing; only ever filled */
	uint32_t bucket_mask;
	_Atomic(struct ul_name *) *by_index;
	uint32_t index_mask; /* indexes are 1 to index_mask */
	uint32_t count;
	size_t bytes;
};

int ul_names_open(struct ul_names *names, uint32_t names_max);
void ul_names_close(struct ul_names *names);
void ul_key_model(struct ul_key *key, const char *provider, const char *model);
/* Returns false if no attribute is given. */
bool ul_key_context(struct ul_key *key, const struct usagelog_attributes *attributes);
/* Without a lock. NULL: not there. */
struct ul_name *ul_names_find(const struct ul_names *names, const struct ul_key *key);
/* Check the strings and make a name of them, outside of the table. */
int ul_name_make(struct ul_name **name, const struct ul_key *key);
/* Put a name into the table (under the handle's mutex): 0, or USAGELOG_ERROR_NAMES_FULL, and the name stays the caller's. */
int ul_names_insert(struct ul_names *names, struct ul_name *name);

/* ---- one mapped segment (segment.c) ----------------------------------------------------------------------- */

struct ul_segment {
	struct ul_segment *next; /* in the handle's list, newest first */
	uint8_t *base;
	int fd;
	uint32_t directory; /* 0: the log's own; n: its n-th fallback */
	char name[2 * UL_ID_BYTES + sizeof(".seg")];
	struct ul_id id;
	uint64_t seed;
	uint64_t size_bytes;
	uint32_t first_page; /* that this handle may fill */
	uint32_t first_slot; /* in it: after what an adopted page holds */
	uint32_t page_count;
	uint32_t lane_count;  /* lanes that have a page of it */
	uint32_t passed_page; /* next_page when the last sync pass began */
	_Atomic bool retired; /* gives out no more pages */
	uint64_t block_sequence[UL_STATE_BLOCKS];
	uint64_t attempted_before; /* in the counters block when this handle began, */
	uint64_t dropped_before[UL_CAUSES];
	uint64_t attempted_at_start; /* and the handle's own figures then */
	uint64_t dropped_at_start[UL_CAUSES];

	/* How many slots at the end of each page stay empty, since its lane went on in another page before. Atomic. */
	uint8_t *left;
	/* Whoever syncs: committed slots of each page that a sync has covered; all pages below low_page are wholly covered. */
	uint8_t *covered;
	uint32_t low_page;
	int sync_error;     /* a sync failed: it is never synced again, what comes after is rescued, too */
	uint32_t job_count; /* the helper's, under way, that need it mapped. Under the mutex. */
	/* Of its mapping. A lost page is no longer the file's: what is stored there afterwards is not recorded. */
	struct ul_guard guard;

	/* From this page on, the helper is to be told: so much is not synced that a pass is due. Set under the mutex. */
	_Atomic uint32_t wake_page;
	/* Taken by threads: each on a cache line of its own. */
	_Alignas(64) _Atomic uint32_t next_page; /* the next page to give out */
	_Alignas(64) _Atomic uint32_t
		ready_pages; /* pages below are allocated (and populated, where the helper did it) */
	_Alignas(64) _Atomic uint32_t definitions[]; /* slot of each name's definition here; 0: none yet */
};

static inline struct ul_slot *ul_segment_slot(const struct ul_segment *segment, uint32_t slot)
{
	return (struct ul_slot *)(void *)(segment->base + (size_t)slot * UL_SLOT_BYTES);
}

/*
 * A new segment on its way: a file under a name of its own for the time being, locked, extended, given its headers, mapped, synced,
 * renamed, and its directory synced. Each step is a job, carried out by whoever makes the segment.
 */
enum { MAKE_CREATE, MAKE_EXTEND, MAKE_WRITE, MAKE_SYNC, MAKE_RENAME, MAKE_SYNC_DIRECTORY, MAKE_POPULATE, MAKE_END };
struct ul_making {
	struct ul_segment *segment; /* NULL after a failure, which leaves nothing behind */
	int directory;
	int error;
	uint32_t step;
	const struct ul_id *log_id;
	char temporary[2 * UL_ID_BYTES + sizeof(".tmp")];
	uint8_t headers[2][UL_PAGE_BYTES];
};
int ul_making_begin(struct ul_making *making, int directory, const struct ul_id *log_id, uint64_t size_bytes,
		    uint32_t name_count);
/* Go on after `job` has a result. True: `job` is the next thing to carry out. False: made, or making->error. */
bool ul_making_next(struct ul_making *making, struct ul_job *job, bool first);

/* Adopt a segment in this directory if there is one, else make one of `size_bytes`. */
int ul_segment_get(struct ul_segment **segment, int directory, const struct ul_id *log_id, uint64_t size_bytes,
		   uint32_t name_count);
/* Is the page that this slot lies in lost? Whoever stored asks afterwards. */
static inline bool ul_segment_is_lost(const struct ul_segment *segment, uint32_t slot)
{
	/* Relaxed: the handler that sets it runs on the thread whose store it was. */
	return unlikely(__atomic_load_n(&segment->guard.lost[slot / UL_PAGE_SLOTS], __ATOMIC_RELAXED));
}
/* The slots of a page as the file has them; of a lost page they are read to `copy`. NULL: they cannot be, `*error` says why. */
const struct ul_slot *ul_segment_page(const struct ul_segment *segment, uint32_t page,
				      struct ul_slot copy[UL_PAGE_SLOTS], int *error);
/* The end of the pages that hold anything. */
static inline uint32_t ul_segment_end_page(const struct ul_segment *segment)
{
	/* Acquire: pairs with the release in give_page(). */
	uint32_t end = atomic_load_explicit(&segment->next_page, memory_order_acquire);
	/* The first page of an adopted segment holds an earlier writer's entries, also if none of ours was added. */
	bool adopted = end == segment->first_page && segment->first_slot > end * UL_PAGE_SLOTS;
	return adopted ? end + 1 : end;
}
/* Has nobody, an earlier writer included, taken a page of it? */
bool ul_segment_is_empty(const struct ul_segment *segment);
/* Unmap, unlock, free. `trim`: give the unused end of the file back. */
void ul_segment_close(struct ul_segment *segment, bool trim);
/* Forget it in a forked child: the mapping is not inherited; the descriptors must be closed, which leaves the parent's lock. */
void ul_segment_forget(struct ul_segment *segment);
/* Where the next extension ends, in pages, to have `wanted` of them ready. */
uint32_t ul_segment_extension(const struct ul_segment *segment, uint32_t wanted);
/* After an extension (and population) succeeded. */
void ul_segment_publish(struct ul_segment *segment, uint32_t pages);

/* Write a state block's payload, sealed. */
void ul_segment_write_counters(struct ul_segment *segment, uint64_t attempted, const uint64_t dropped[UL_CAUSES]);
void ul_segment_write_sync(struct ul_segment *segment, uint32_t index, uint64_t first_page, uint64_t page_count);
/* Its file is never gone on in: a sync failed, or pages were lost. Whoever syncs. */
void ul_segment_give_up(struct ul_segment *segment);

/* ---- lanes (lane.c) --------------------------------------------------------------------------------------- */

/*
 * A thread's place to write to: one page, filled in order. One thread owns a lane at a time. The owner alone writes it, but for
 * `limit`, by which others have the owner's next record() take the slow path. A lane of zeros (a forked child's: its memory is
 * wiped) is parked.
 */
enum {
	UL_PARKED = 0,    /* a limit: go no further, until the helper is woken */
	UL_LEAVE_PAGE = 1 /* a limit: this page is being synced, go on in another */
};
struct ul_lane {
	_Atomic uint32_t next;  /* the slot to fill next; at `page_end`: full */
	_Atomic uint32_t limit; /* `page_end`, or one of the above */
	_Atomic uint32_t
		inside; /* how often the owner is in record(), signal handlers counted: what it uses must stay */
	uint32_t name_mask;
	struct ul_slot *slots; /* the segment's mapping, indexed by slot number */
	uint64_t seed;
	_Atomic uint32_t *definitions;
	struct ul_segment *segment;
	uint32_t page_end;
	_Atomic uint32_t owner; /* the thread's id; 0: none */
	uint8_t pad[8];

	/* Of this lane so far: calls committed in full pages; where the calls of this page begin to count; and slots of this page that
	 * are not calls. Read by stats, whole: `turn` is odd while they and `next` change together. */
	_Alignas(64) _Atomic uint64_t calls;
	_Atomic uint32_t page_start;
	_Atomic uint32_t other_slots;
	_Atomic uint32_t turn;
	uint32_t calls_at_pass; /* the helper's: calls (their low bits) when the last pass began */
	/* Pages behind this one up to here are the lane's, too; and so many it took last. */
	uint32_t run_end;
	uint32_t run_pages;

	/* Names found last by usagelog_record_names(), placed by the addresses of their strings. */
	_Alignas(64) const struct ul_name *recent[2][UL_RECENT];
};
static_assert(sizeof(struct ul_lane) == 256, "the first cache line is all that record() touches");

/* What a thread knows. */
struct ul_thread {
	uint64_t serial;      /* of the handle that it used last; 0: none */
	struct ul_lane *lane; /* its lane there */
	uint32_t inside;      /* depth of library calls that may hold a lock: a signal handler must not wait for it */
	int cancel_state;     /* the host's, while inside */
	uint32_t id;          /* the system's; 0: not asked yet */
	bool registered;      /* its end will be noticed */
};
#define UL_CLOSED UINT64_MAX /* the serial of a closed handle: no thread has it */
extern _Thread_local struct ul_thread ul_thread __attribute__((tls_model("initial-exec")));

/* This thread's lane for the handle, taking a free one or a new one if it has none. Under the mutex. NULL: no memory. */
struct ul_lane *ul_lane_get(usagelog *log);
/* This thread ends: give its lane back with the rest of the page, for another thread. Under the mutex. */
void ul_lane_release(usagelog *log);
/* Point a lane at the rest of a page (NULL: at none), leaving the one that it has. Parked afterwards. Under the mutex; without it, to
 * a page of the same segment, by its owner. */
void ul_lane_set(usagelog *log, struct ul_lane *lane, struct ul_segment *segment, uint32_t first_slot);
/* The next page of the run that a lane took; 0: it is used up. */
uint32_t ul_lane_next_page(const struct ul_lane *lane);
/* Is this lane's page used up, or to be left? */
static inline bool ul_lane_is_full(const struct ul_lane *lane)
{
	return !lane->segment || lane->segment->guard.failed ||
	       atomic_load_explicit(&lane->limit, memory_order_relaxed) == UL_LEAVE_PAGE ||
	       atomic_load_explicit(&lane->next, memory_order_relaxed) >= lane->page_end;
}
/* The handles of a call's names, as usagelog_model_get() and usagelog_context_get() give them (names.c). Its owner, inside. False: a name is new. */
bool ul_lane_names(usagelog *log, struct ul_lane *lane, const struct usagelog_names *names, uint32_t *model,
		   uint32_t *context);
/* Calls recorded through this lane. */
uint64_t ul_lane_calls(const struct ul_lane *lane);
/* For each lane of a handle. */
#define UL_EACH_LANE(log, lane)                                                                                       \
	for (uint32_t block_ = 0; block_ < (log)->lane_block_count; block_++)                                         \
		for (struct ul_lane *lane = (log)->lane_blocks[block_], *end_ = lane + UL_LANES_A_BLOCK; lane < end_; \
		     lane++)

/* ---- the handle ------------------------------------------------------------------------------------------- */

/* A call on its way, or an opening balance: its names and its entry but for the slots of their definitions. */
struct ul_pending {
	enum ul_kind kind;
	const struct ul_name *model;
	const struct ul_name *context; /* NULL: none */
	uint32_t flags;                /* of the context word */
	bool has_id;
	struct ul_id call_id;
	union {
		struct ul_call_body body;
		struct ul_balance_body balance;
	};
};

/* Where segments come from: the directories in turn, by retries and backoff. */
struct ul_source {
	uint32_t directory;      /* being tried, or in use */
	uint32_t tries;          /* failed ones in a row there */
	uint64_t next_try_ns;    /* monotonic */
	uint64_t primary_try_ns; /* when to try the log's own directory again */
	uint64_t primary_delay_ns;
	int error; /* the last one */
};

struct ul_helper;

struct usagelog {
	/* These outlive the handle, which is never freed but kept for a later open: whoever still uses a closed one is told so. */
	_Atomic uint64_t serial; /* unique in the process; what a thread compares; or UL_CLOSED */
	struct usagelog *next_handle;
	pthread_mutex_t mutex;
	pthread_mutex_t sync_mutex;
	struct ul_lane *lane_blocks[UL_LANE_BLOCKS_MAX];
	uint32_t lane_block_count;
	_Atomic uint32_t flush_wanted; /* tickets given out */
	_Atomic uint32_t flush_done;   /* nobody waits for a ticket up to this; a futex */
	_Atomic uint32_t flush_passed; /* a pass ended for all up to this ticket */
	_Atomic uint32_t flush_failed; /* counts the failed passes */
	_Atomic int flush_error;
	_Atomic bool flush_led;         /* one of those who wait syncs for all */
	uint64_t generation;            /* counts the logs that this was a handle of. Changed under both mutexes. */
	_Atomic uint32_t message_count; /* warnings that wait for delivery */

	/* From here on, a new handle begins with zeros. */
	struct usagelog_options options; /* with the defaults filled in */
	struct ul_directory directory;
	struct ul_names names;
	_Atomic(struct ul_segment *) current;

	struct ul_segment *segments; /* all mapped ones, current included */
	struct ul_segment *spare;    /* made ready by the helper */
	struct ul_source source;
	_Atomic uint32_t *alive; /* 1; wiped in a forked child */
	struct ul_pending *held;
	uint32_t held_count;
	struct usagelog_stats stats; /* the counters; the rest is filled in when asked */
	struct ul_message messages[UL_MESSAGES_MAX];
	int message_errors[UL_MESSAGES_MAX];
	bool delivering;

	uint32_t
		flush_group; /* how many waited when the last such sync ended, and were served by it. Under sync_mutex. */
	_Atomic uint64_t durable_calls;
	_Atomic uint64_t oldest_unsynced_ns; /* monotonic; 0: none known */

	struct ul_helper *helper;   /* NULL: none (yet) */
	bool helper_failed;         /* no thread could be had: everything is done inline */
	_Atomic bool parked;        /* all lanes are, and the helper sleeps without a timeout */
	bool helper_called;         /* woken since it last looked: once is enough */
	_Atomic uint64_t reentered; /* calls dropped in signal handlers, where the mutex cannot be had */
};

/* Around whatever holds a lock: a signal handler of this thread is refused, and the thread is not cancelled. */
void ul_enter(void);
void ul_leave(void);
void ul_lock(usagelog *log);
void ul_unlock(usagelog *log);
/* The same, but USAGELOG_ERROR_CLOSED, and unlocked, if the handle was closed meanwhile. */
int ul_lock_open(usagelog *log);

/* append.c: the whole of usagelog_record() and usagelog_record_names(), for what the hot path does not do. */
int ul_record_rare(usagelog *log, usagelog_model model, usagelog_context context, const struct usagelog_call *call);
int ul_record_names_rare(usagelog *log, const struct usagelog_names *names, const struct usagelog_call *call);
/*
 * Record an opening balance (FORMAT.md 3.4): totals of calls that are in an older file only; `id` of 16 bytes, or NULL. 0, then it is committed; USAGELOG_ERROR_CALL: its figures are
 * out of range; or as usagelog_record_names(), but never held or dropped: the caller has the file still, and tries again.
 */
int ul_record_balance(usagelog *log, const struct usagelog_names *names, const uint8_t *id,
		      const struct ul_balance_body *balance);
/* After a store found its lane parked: wake the helper. */
void ul_unpark(usagelog *log);
/* Inside, after a store to this slot found its lane parked. False: it did not reach the file, and is not counted any more. */
bool ul_lane_has_stored(struct ul_lane *lane, uint32_t slot);
/* A slot was claimed and cannot be used: fill it. */
void ul_lane_abandon(struct ul_lane *lane, uint32_t number);
/* Go on in another page, without the mutex; false: that is not as simple as that. */
bool ul_lane_refill(usagelog *log, struct ul_lane *lane);
/*
 * Park all lanes, so that the next record() of each takes the slow path; it finds `parked` set. Under the mutex. True: it is certain that each
 * thread sees it, and that what each one stored before is seen here. False: this kernel has no way to be.
 */
bool ul_lanes_park(usagelog *log);
/* Let go of segments that are full, wholly durable and used by no lane. Under sync_mutex. */
void ul_segments_retire(usagelog *log);
/* Store what is held, as far as there is room. Under the mutex. */
void ul_drain_held(usagelog *log);
/* Fill in a pending call; USAGELOG_ERROR_CALL if a field is out of range. */
int ul_pending_fill(struct ul_pending *pending, const struct usagelog_call *call);
/* Calls that this handle has stored so far; and those it was given: stored, held or dropped. Under the mutex. */
uint64_t ul_committed(const usagelog *log);
uint64_t ul_attempted(const usagelog *log);

/* source.c */
/* Get a segment now if the backoff allows it, and make it current. Under the mutex. 0, or the -errno of why there is none. */
int ul_source_next(usagelog *log);
/* A pass begins: nothing counts as given out since. Under the mutex. */
void ul_segments_passed(usagelog *log);
/* Pages given out since the last pass began. Under the mutex. */
uint64_t ul_pages_given(const usagelog *log);
/* Without a helper: back from a fallback to the log's own directory, if it is time to try that and it works. Under the mutex. */
void ul_source_return(usagelog *log);
/* The first one, at open: every directory is tried once, now. */
int ul_source_first(usagelog *log);
/* The helper's: a spare, or the way back to the log's own directory. */
struct ul_sourcing {
	uint32_t directory;
	bool back;
	int fd;
	struct ul_making making;
};
/* Is one to be made now? Then ul_making_next() is the caller's to run, and ul_source_end() when that has ended. Without the mutex. */
bool ul_source_begin(usagelog *log, struct ul_sourcing *sourcing);
void ul_source_end(usagelog *log, struct ul_sourcing *sourcing);
enum ul_cause ul_cause_of(int error);

/* sync.c: one pass makes durable everything that was committed before it began. */
enum { UL_RANGES_MAX = UL_SYNC_BLOCKS };
struct ul_range {
	struct ul_segment *segment;
	uint32_t block;
	uint32_t first_page;
	uint32_t page_count;
	uint32_t step;
	int result;
};
struct ul_pass {
	uint32_t ticket;
	uint64_t calls;
	uint32_t range_count;
	uint32_t capacity;
	struct ul_range *ranges;
	/* What was committed at its beginning, a record a page that is not wholly covered. */
	struct ul_snapshot {
		struct ul_segment *segment;
		uint32_t page;
		uint8_t committed;
		uint8_t leading;
	} * snapshots;
	uint32_t snapshot_count;
	uint32_t snapshot_capacity;
	/* One of which a page cannot be read any more, which so is not covered. NULL: none. */
	struct ul_segment *unreadable;
};
/* All of these under sync_mutex. Is anything committed that no sync covers? */
bool ul_sync_is_dirty(usagelog *log);
/* Find what to sync, and note it in the segments' headers. 0, or -ENOMEM and there is no pass. */
int ul_pass_begin(usagelog *log, struct ul_pass *pass);
/* With a result in each range: bring the page tables up, rescue what failed. The first error. */
int ul_pass_end(usagelog *log, struct ul_pass *pass);
/* The jobs of a range, one after the other: the next one, given the one that ended. False: that was all, and its result stands. */
bool ul_range_next(struct ul_range *range, struct ul_job *job, bool first);
/* Bring the counters in the current segment's file up. The store may wait for the disk: not under the mutex. */
void ul_write_counters(usagelog *log);
/* All in one, on the caller's thread; it covers what was committed before `*ticket` was given out. */
int ul_sync_inline(usagelog *log, uint32_t *ticket);

/* rescue.c is in rescue.h. helper.c: */
void ul_helper_need(usagelog *log); /* start it if it is wanted and not there. Under the mutex. */
void ul_helper_wake(usagelog *log);
/* Stop it, waiting until the deadline (monotonic; UINT64_MAX: for ever). False: it hangs on the disk. */
bool ul_helper_stop(usagelog *log, uint64_t deadline_ns);
void ul_helper_forget(usagelog *log);
int ul_helper_backend(const usagelog *log, int *error);

/* flush.c: usagelog_flush(), also while the handle is being closed. */
int ul_flush(usagelog *log, int timeout_ms);
/* After a pass that began with this ticket. */
void ul_flush_done(usagelog *log, uint32_t ticket, int error);
/* The synchronous mode: make what was committed before this call durable; callers at the same time share a sync. */
/* USAGELOG_ERROR_CLOSED: the log of this generation was closed without. */
int ul_flush_shared(usagelog *log, uint64_t generation);

/* Warnings: queued under the mutex, delivered without it. */
void ul_warn(usagelog *log, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
void ul_deliver_warnings(usagelog *log);

/* process.c. A handle to begin with: one that was closed, or a new one. NULL: no memory. */
usagelog *ul_process_get(void);
/* It is open; it is closed. */
int ul_process_add(usagelog *log);
void ul_process_remove(usagelog *log);
/* Nothing of it is in use any more: keep it for the next ul_process_get(). */
void ul_process_put(usagelog *log);
void ul_process_thread_begins(void);
/* In a child, before anything else: make the handle the child's own. */
void ul_handle_after_fork(usagelog *log);
/* Make every thread of the process see what was stored before; false: this kernel cannot. */
bool ul_process_barrier(void);

#endif
