/*
 * What is to be synced, and what may be called durable afterwards.
 *
 * A pass makes durable all that was committed before it began. It looks twice. First at every page that is not wholly covered: how many slots are committed
 * now? Then again, to find the pages to sync: those, and all that hold definitions uncovered by then. So the second look finds
 * the definitions that the calls of the first one name, wherever they lie: they were committed before
 * them. Only what the first look counted is called durable. Pages begun since are left alone: to sync them would cost who fills them a page fault.
 */
#include "handle.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "rescue.h"

/* A lane that records so many calls between two syncs leaves its page to them. */
enum { FAST_CALLS = 512 };

/* Committed slots of a page, and how many of these stand before the first that is not. False: what is in it cannot be known any more. */
static bool count_page(struct ul_segment *segment, uint32_t page, uint8_t *committed, uint8_t *leading)
{
	struct ul_slot copy[UL_PAGE_SLOTS];
	uint8_t all = 0, first = UL_PAGE_SLOTS;
	int error;
	const struct ul_slot *slots = ul_segment_page(segment, page, copy, &error);
	if (!slots) {
		segment->sync_error = error;
		return false;
	}
	for (uint8_t i = 0; i < UL_PAGE_SLOTS; i++) {
		/* Acquire: pairs with the commit in record.c and append.c. */
		if (__atomic_load_n(&slots[i].checksum, __ATOMIC_ACQUIRE))
			all++;
		else if (first == UL_PAGE_SLOTS)
			first = i;
	}
	/* It may have been lost while it was counted: once, it stays so. */
	if (slots == ul_segment_slot(segment, page * UL_PAGE_SLOTS) &&
	    ul_segment_is_lost(segment, page * UL_PAGE_SLOTS))
		return count_page(segment, page, committed, leading);
	*committed = all;
	*leading = first;
	return true;
}

/* Nothing of this page will have to be synced any more. */
static bool is_wholly_covered(const struct ul_segment *segment, uint32_t page)
{
	return segment->covered[page] + __atomic_load_n(&segment->left[page], __ATOMIC_RELAXED) >= UL_PAGE_SLOTS;
}

static struct ul_segment *first_segment(usagelog *log)
{
	ul_lock(log);
	struct ul_segment *segment = log->segments;
	ul_unlock(log);
	return segment; /* the list grows only before it, and shrinks only under sync_mutex */
}

/* Calls that are committed for certain: who is inside has claimed a slot, or will, that is perhaps not committed yet. Under the mutex. */
static uint64_t certain_calls(usagelog *log)
{
	uint64_t calls = ul_committed(log);
	UL_EACH_LANE (log, lane)
		calls -= atomic_load_explicit(&lane->inside, memory_order_acquire);
	return calls;
}

bool ul_sync_is_dirty(usagelog *log)
{
	for (struct ul_segment *segment = first_segment(log); segment; segment = segment->next) {
		uint32_t end = ul_segment_end_page(segment);
		for (uint32_t page = segment->low_page; page < end; page++) {
			uint8_t committed, leading;
			if (is_wholly_covered(segment, page))
				continue;
			if (!count_page(segment, page, &committed, &leading) || committed > segment->covered[page])
				return true;
		}
	}
	/* A call that ended while the last pass began is covered, but was not certain: another pass, of nothing, says so. */
	ul_lock(log);
	uint64_t durable = atomic_load_explicit(&log->durable_calls, memory_order_relaxed);
	bool is_behind = (int64_t)durable < (int64_t)certain_calls(log);
	ul_unlock(log);
	return is_behind;
}

static int grow(void **items, uint32_t count, uint32_t *capacity, size_t bytes)
{
	if (count < *capacity)
		return 0;
	uint32_t more = *capacity ? 2 * *capacity : 64;
	void *grown = os_reallocate(*items, more, bytes);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*capacity = more;
	return 0;
}

static int look_at_segment(struct ul_pass *pass, struct ul_segment *segment)
{
	uint32_t end = ul_segment_end_page(segment);
	for (uint32_t page = segment->low_page; page < end; page++) {
		if (is_wholly_covered(segment, page))
			continue;
		struct ul_snapshot snapshot = {.segment = segment, .page = page};
		if (!count_page(segment, page, &snapshot.committed, &snapshot.leading)) {
			pass->unreadable = segment;
			continue;
		}
		if (snapshot.committed <= segment->covered[page]) {
			/* An earlier writer's: nothing will be added. */
			if (page < segment->first_page)
				__atomic_store_n(&segment->left[page], UL_PAGE_SLOTS - snapshot.committed,
						 __ATOMIC_RELAXED);
			continue;
		}
		void *items = pass->snapshots;
		int error = grow(&items, pass->snapshot_count, &pass->snapshot_capacity, sizeof(snapshot));
		pass->snapshots = items;
		if (error)
			return error;
		pass->snapshots[pass->snapshot_count++] = snapshot;
	}
	return 0;
}

/* The lane goes on in another page with its next call. */
static void leave_page(struct ul_lane *lane)
{
	uint32_t limit = atomic_load_explicit(&lane->limit, memory_order_relaxed);
	/* The owner may be on its way to another page: then the limit is not the same any more, and it stays. */
	if (limit > UL_LEAVE_PAGE)
		atomic_compare_exchange_strong_explicit(&lane->limit, &limit, UL_LEAVE_PAGE, memory_order_relaxed,
							memory_order_relaxed);
}

/*
 * A sync makes the pages that it writes read-only, and the next store to one faults into the filesystem. So a lane that records fast leaves
 * the page that it has to the sync, and goes on in another: some slots are lost of many pages. A slow one would waste most of its page. It
 * stays, and the helper makes its page writable again as soon as the sync is over.
 */
static void leave_pages(usagelog *log)
{
	ul_lock(log);
	UL_EACH_LANE (log, lane) {
		uint32_t calls = (uint32_t)ul_lane_calls(lane);
		bool fast = calls - lane->calls_at_pass >= FAST_CALLS;
		lane->calls_at_pass = calls;
		if (fast)
			leave_page(lane);
	}
	ul_unlock(log);
}

/* Call `with` for each run of full pages of a pass that are synced where they are. */
static void with_full_pages(const struct ul_pass *pass, void (*with)(void *address, size_t bytes))
{
	const struct ul_snapshot *end = pass->snapshots + pass->snapshot_count;
	for (const struct ul_snapshot *first = pass->snapshots, *next; first < end; first = next) {
		uint32_t count = 0;
		for (next = first; next < end && next->segment == first->segment && next->page == first->page + count &&
				   next->committed == UL_PAGE_SLOTS && !next->segment->sync_error;
		     next++)
			count++;
		if (count)
			with(first->segment->base + (size_t)first->page * UL_PAGE_BYTES, (size_t)count * UL_PAGE_BYTES);
		else
			next++;
	}
}

/*
 * Full pages are not stored to any more: make them read-only, all at once that lie together. Writable, each would be made so by the sync on its own, with
 * an interrupt for each other processor on which the program runs: at a million calls a second, one of them in a thousand calls. They stay mapped until the
 * sync is over: a filesystem that could not write a page may forget what it held, and whoever maps it then finds zeros.
 */
static void make_read_only(void *address, size_t bytes)
{
	os_unpopulate(address, bytes);
	os_populate(address, bytes, false);
}

/* Add a page to the ranges of its segment, of which there may be so many as there are sync blocks: then the last one grows. */
static int add_page(struct ul_pass *pass, struct ul_segment *segment, uint32_t page, uint32_t first_range)
{
	uint32_t used = pass->range_count - first_range;
	struct ul_range *last = used ? &pass->ranges[pass->range_count - 1] : NULL;
	if (last && (page == last->first_page + last->page_count || used == UL_RANGES_MAX)) {
		last->page_count = page + 1 - last->first_page;
		return 0;
	}
	void *items = pass->ranges;
	int error = grow(&items, pass->range_count, &pass->capacity, sizeof(*pass->ranges));
	pass->ranges = items;
	if (error)
		return error;
	pass->ranges[pass->range_count++] =
		(struct ul_range){.segment = segment, .block = used, .first_page = page, .page_count = 1};
	return 0;
}

/* Does a page hold, beyond what is covered, slots that calls elsewhere may name? */
static bool has_definitions(const struct ul_segment *segment, uint32_t page)
{
	struct ul_slot copy[UL_PAGE_SLOTS];
	int error;
	const struct ul_slot *slots = ul_segment_page(segment, page, copy, &error);
	for (uint32_t i = 0; slots && i < UL_PAGE_SLOTS; i++) {
		uint32_t kind =
			__atomic_load_n(&slots[i].checksum, __ATOMIC_ACQUIRE) ? ul_slot_kind(&slots[i]) : UL_KIND_CALL;
		if (kind == UL_KIND_DEFINITION || kind == UL_KIND_CONTINUATION)
			return true;
	}
	return false;
}

/* `*seen` goes through the snapshots, which are in the same order. */
static int find_ranges(struct ul_pass *pass, struct ul_segment *segment, uint32_t *seen)
{
	uint32_t end = ul_segment_end_page(segment), first_range = pass->range_count;
	for (uint32_t page = segment->low_page; page < end; page++) {
		uint8_t committed, leading;
		if (is_wholly_covered(segment, page))
			continue;
		const struct ul_snapshot *snapshot = *seen < pass->snapshot_count ? &pass->snapshots[*seen] : NULL;
		bool wanted = snapshot && snapshot->segment == segment && snapshot->page == page;
		if (wanted) {
			(*seen)++;
		} else {
			wanted = count_page(segment, page, &committed, &leading) &&
				 committed > segment->covered[page] && has_definitions(segment, page);
		}
		int error = wanted ? add_page(pass, segment, page, first_range) : 0;
		if (error)
			return error;
	}
	return 0;
}

int ul_pass_begin(usagelog *log, struct ul_pass *pass)
{
	pass->range_count = pass->snapshot_count = 0;
	pass->unreadable = NULL;
	ul_guard_renew();
	/* Acquire: whoever took a ticket up to this one committed its calls before; pairs with flush.c. */
	pass->ticket = atomic_load_explicit(&log->flush_wanted, memory_order_acquire);
	ul_lock(log);
	pass->calls = certain_calls(log);
	struct ul_segment *first = log->segments;
	ul_segments_passed(log);
	ul_unlock(log);
	int error = 0;
	for (struct ul_segment *segment = first; segment && !error; segment = segment->next)
		error = look_at_segment(pass, segment);
	/* Not before: a page that is begun between the two would be looked at, and synced. */
	leave_pages(log);
	uint32_t seen = 0;
	for (struct ul_segment *segment = first_segment(log); segment && !error; segment = segment->next)
		error = find_ranges(pass, segment, &seen);
	if (error)
		return error;
	with_full_pages(pass, make_read_only);
	for (uint32_t i = 0; i < pass->range_count; i++) {
		const struct ul_range *range = &pass->ranges[i];
		ul_segment_write_sync(range->segment, range->block, range->first_page, range->page_count);
	}
	return 0;
}

static const struct ul_range *range_of(const struct ul_pass *pass, const struct ul_snapshot *snapshot)
{
	for (uint32_t i = 0; i < pass->range_count; i++) {
		const struct ul_range *range = &pass->ranges[i];
		if (range->segment == snapshot->segment && snapshot->page - range->first_page < range->page_count)
			return range;
	}
	return NULL;
}

/* Copy a range to a directory, from memory, or from the file. */
static int rescue_to(usagelog *log, const struct ul_range *range, bool mapped, int to, struct ul_message *why)
{
	const struct ul_segment *segment = range->segment;
	const struct ul_mapped memory = {.header = {.version = UL_VERSION,
						    .segment_id = segment->id,
						    .log_id = log->directory.conf.log_id,
						    .size_bytes = segment->size_bytes},
					 .guard = &segment->guard,
					 .fd = segment->fd,
					 .end_page = ul_segment_end_page(segment)};
	return mapped ? ul_rescue_mapped(&memory, range->first_page, range->page_count, to, why)
		      : ul_rescue_pages(segment->fd, range->first_page, range->page_count, to, why);
}

/* Copy the pages of a range that could not be synced to another file: here, else in the fallbacks. Never sync them again. */
static int rescue_range(usagelog *log, struct ul_range *range)
{
	struct ul_message why = {.text = ""};
	int error = range->result;
	ul_lock(log);
	log->stats.sync_errors++;
	ul_warn(log, range->result, "%s: a sync failed: %s; the pages are being copied to another file",
		range->segment->name, usagelog_strerror(range->result));
	ul_unlock(log);
	uint32_t directories = 1 + (uint32_t)log->directory.conf.fallback_count;
	for (uint32_t i = 0; i < 2 * directories; i++) {
		uint32_t to = i % directories;
		bool mapped = i < directories;
		int fd = to ? os_open_directory(log->directory.conf.fallbacks[to - 1]) : log->directory.fd;
		if (fd < 0)
			continue;
		error = rescue_to(log, range, mapped, fd, &why);
		if (error == -ENOENT && !to && !ul_directory_open_again(&log->directory))
			error = rescue_to(log, range, mapped, fd, &why);
		if (to)
			os_close(fd);
		if (!error)
			return 0;
	}
	ul_lock(log);
	ul_warn(log, error, "%s: pages that could not be synced could not be copied either: %s; trying again",
		range->segment->name, why.text);
	ul_unlock(log);
	return error;
}

static void set_durable(struct ul_segment *segment, uint32_t page, uint8_t count)
{
	uint8_t *place = segment->base + (size_t)UL_TABLE_PAGE * UL_PAGE_BYTES + page;
	if (*place < count)
		__atomic_store_n(place, count, __ATOMIC_RELAXED);
}

void ul_write_counters(usagelog *log)
{
	uint64_t dropped[UL_CAUSES];
	ul_lock(log);
	struct ul_segment *current = atomic_load_explicit(&log->current, memory_order_relaxed);
	uint64_t attempted = ul_attempted(log);
	for (uint32_t i = 0; i < UL_CAUSES; i++)
		dropped[i] = log->stats.dropped[i];
	dropped[UL_CAUSE_REENTERED] += atomic_load_explicit(&log->reentered, memory_order_relaxed);
	ul_unlock(log);
	if (current) /* stays mapped: segments go only under sync_mutex */
		ul_segment_write_counters(current, attempted, dropped);
}

/* Is what was counted in a page that was rescued still there? Then the copy has it. */
static bool was_copied(const struct ul_snapshot *snapshot)
{
	uint8_t committed, leading;
	return count_page(snapshot->segment, snapshot->page, &committed, &leading) && committed >= snapshot->committed;
}

/* The tables for what the pass covered. */
static void settle_snapshots(struct ul_pass *pass)
{
	const struct ul_range *range = NULL;
	for (uint32_t i = 0; i < pass->snapshot_count; i++) {
		const struct ul_snapshot *snapshot = &pass->snapshots[i];
		struct ul_segment *segment = snapshot->segment;
		if (!range || range->segment != segment || snapshot->page - range->first_page >= range->page_count)
			range = range_of(pass, snapshot);
		/* A result of 1: not synced here, but rescued. */
		if (!range || range->result < 0 || (range->result && !was_copied(snapshot)))
			continue;
		segment->covered[snapshot->page] = snapshot->committed;
		if (!range->result)
			set_durable(segment, snapshot->page, snapshot->leading);
	}
	for (uint32_t i = 0; i < pass->range_count; i++) {
		struct ul_segment *segment = pass->ranges[i].segment;
		while (segment->low_page < segment->page_count && is_wholly_covered(segment, segment->low_page))
			segment->low_page++;
	}
}

/*
 * The kernel tells of a failed write once, to whichever sync of the file comes next: so a range that failed fails all ranges of its segment. Such a
 * segment gives out no more pages, lanes leave those that they have, and it is never synced again, which might succeed without writing what the
 * failed one lost: what was committed there meanwhile is rescued, too.
 */
static void spread_failures(usagelog *log, struct ul_pass *pass)
{
	for (uint32_t i = 0; i < pass->range_count; i++) {
		struct ul_range *range = &pass->ranges[i];
		if (range->result < 0)
			range->segment->sync_error = range->result;
	}
	for (uint32_t i = 0; i < pass->range_count; i++) {
		struct ul_range *range = &pass->ranges[i];
		if (!range->segment->sync_error)
			continue;
		range->result = range->segment->sync_error;
		ul_segment_give_up(range->segment);
		ul_lock(log);
		range->segment->retired = true;
		UL_EACH_LANE (log, lane)
			if (lane->segment == range->segment)
				leave_page(lane);
		ul_unlock(log);
	}
}

/* Rescue what failed. The first error of what could not be. */
static int rescue_failures(usagelog *log, struct ul_pass *pass)
{
	int first_error = 0;
	for (uint32_t i = 0; i < pass->range_count; i++) {
		struct ul_range *range = &pass->ranges[i];
		if (!range->result)
			continue;
		if (!rescue_range(log, range))
			range->result = 1;
		else if (!first_error)
			first_error = range->result;
	}
	return first_error;
}

/* Are all ranges of this one's segment synced or rescued? */
static bool is_settled(const struct ul_pass *pass, const struct ul_range *range)
{
	for (uint32_t i = 0; i < pass->range_count; i++)
		if (pass->ranges[i].segment == range->segment && pass->ranges[i].result < 0)
			return false;
	return true;
}

/* Such a segment is no longer being synced. */
static void clear_blocks(struct ul_pass *pass)
{
	for (uint32_t i = 0; i < pass->range_count; i++) {
		struct ul_range *range = &pass->ranges[i];
		/* All blocks, by the first range: an earlier pass that failed may have used more. */
		for (uint32_t block = 0; block < UL_SYNC_BLOCKS && !range->block && is_settled(pass, range); block++)
			ul_segment_write_sync(range->segment, block, 0, 0);
	}
}

/*
 * A sync may say that all is well, and nothing is: a file that was cut short and has grown again is long enough, but nobody can read it any more; and ext4 that
 * is shut down in the midst of a sync may call it done. Whoever reads the header then is told.
 */
static void check_headers(struct ul_pass *pass)
{
	for (uint32_t i = 0; i < pass->range_count; i++) {
		struct ul_range *range = &pass->ranges[i];
		const struct ul_segment *segment = range->segment;
		struct ul_id found;
		/* Once a segment: what fails one of its ranges fails all. */
		if (range->result || range->block)
			continue;
		ssize_t got =
			os_read(segment->fd, &found, sizeof(found), offsetof(struct ul_segment_header, segment_id));
		if (got < 0)
			range->result = (int)got;
		else if ((size_t)got < sizeof(found) || memcmp(&found, &segment->id, sizeof(found)) != 0)
			range->result = -ENODATA;
	}
}

int ul_pass_end(usagelog *log, struct ul_pass *pass)
{
	check_headers(pass);
	spread_failures(log, pass);
	int error = rescue_failures(log, pass);
	clear_blocks(pass);
	settle_snapshots(pass);
	with_full_pages(pass, os_unpopulate);
	ul_write_counters(log);
	int unreadable = pass->unreadable ? pass->unreadable->sync_error : 0;
	if (!error)
		error = unreadable;
	ul_lock(log);
	if (unreadable)
		ul_warn(log, unreadable, "%s: pages cannot be read any more, nor synced: %s; trying again",
			pass->unreadable->name, usagelog_strerror(unreadable));
	log->stats.syncs += !error && pass->range_count;
	ul_unlock(log);
	if (!error)
		atomic_store_explicit(&log->durable_calls, pass->calls, memory_order_relaxed);
	return error;
}

/*
 * A segment whose file has no name any more is lost with its last descriptor, however well it was synced: that is looked at afterwards. But what was
 * stored behind the end of a file that was cut short is kept in its last page until a sync puts zeros there: that must be seen before.
 */
static const enum ul_job_kind range_steps[] = {UL_JOB_CHECK_LINK, UL_JOB_SYNC_RANGE, UL_JOB_CHECK_LINK};

bool ul_range_next(struct ul_range *range, struct ul_job *job, bool first)
{
	const struct ul_segment *segment = range->segment;
	range->step = first ? 0 : range->step + 1;
	range->result = first ? segment->sync_error : job->result;
	if (range->result || range->step == sizeof(range_steps) / sizeof(range_steps[0]))
		return false;
	enum ul_job_kind kind = range_steps[range->step];
	/* A lost page is not mapped any more, and what the file has of it is synced with all the rest. */
	if (kind == UL_JOB_SYNC_RANGE && segment->guard.failed)
		kind = UL_JOB_SYNC;
	*job = (struct ul_job){.kind = kind,
			       .fd = segment->fd,
			       .address = segment->base + (size_t)range->first_page * UL_PAGE_BYTES,
			       .offset = (uint64_t)range->first_page * UL_PAGE_BYTES,
			       .bytes = (uint64_t)range->page_count * UL_PAGE_BYTES};
	return true;
}

int ul_sync_inline(usagelog *log, uint32_t *ticket)
{
	struct ul_pass pass = {0};
	int error = ul_pass_begin(log, &pass);
	if (!error) {
		for (uint32_t i = 0; i < pass.range_count; i++) {
			struct ul_job job;
			for (bool first = true; ul_range_next(&pass.ranges[i], &job, first); first = false)
				job.result = ul_job_run(&job);
		}
		error = ul_pass_end(log, &pass);
	}
	*ticket = pass.ticket;
	free(pass.ranges);
	free(pass.snapshots);
	return error;
}

void ul_segments_retire(usagelog *log)
{
	struct ul_segment *gone = NULL;
	ul_lock(log);
	for (struct ul_segment **link = &log->segments; *link;) {
		struct ul_segment *segment = *link;
		/* Its lanes without a thread will not be gone on in: new pages come from another segment. */
		UL_EACH_LANE (log, lane)
			if (segment->retired && lane->segment == segment &&
			    !atomic_load_explicit(&lane->owner, memory_order_relaxed))
				ul_lane_set(log, lane, NULL, 0);
		bool in_use = segment == atomic_load_explicit(&log->current, memory_order_relaxed) ||
			      segment->lane_count || segment->job_count;
		uint32_t end = ul_segment_end_page(segment), page = segment->low_page;
		while (page < end && !in_use) {
			uint8_t committed, leading;
			in_use = !count_page(segment, page, &committed, &leading) || committed > segment->covered[page];
			page++;
		}
		if (!segment->retired || in_use) {
			link = &segment->next;
			continue;
		}
		*link = segment->next;
		segment->next = gone;
		gone = segment;
	}
	ul_unlock(log);
	/* Cutting a file may wait for the disk: not under the mutex. */
	while (gone) {
		struct ul_segment *segment = gone;
		gone = segment->next;
		ul_segment_close(segment, true);
	}
}
