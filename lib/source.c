/*
 * Where the next segment comes from: the log's own directory; when that fails, again after a while, a few times;
 * then the fallbacks in turn, likewise; and back to the log's own as soon as it works again. Time is only
 * looked at, never waited for.
 */
#include "handle.h"

#include <errno.h>

#include "os.h"

#define NS_PER_MS ((uint64_t)1000000)
#define PRIMARY_DELAY_NS_MIN (1000 * NS_PER_MS)
#define PRIMARY_DELAY_NS_MAX (60000 * NS_PER_MS)

enum ul_cause ul_cause_of(int error)
{
	switch (-error) {
	case ENOSPC:
	case EDQUOT:
		return UL_CAUSE_SPACE;
	case EFBIG:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return UL_CAUSE_LIMIT;
	case EACCES:
	case EPERM:
	case EROFS:
		return UL_CAUSE_PERMISSION;
	case ENOENT:
	case ENOTDIR:
	case ESTALE:
		return UL_CAUSE_GONE;
	default:
		return UL_CAUSE_IO;
	}
}

static const char *path_of(const usagelog *log, uint32_t directory)
{
	return directory ? log->directory.conf.fallbacks[directory - 1] : log->directory.path;
}

/* Try to get a segment in one directory, now. Needs no lock. */
static int attempt(const usagelog *log, uint32_t directory, struct ul_segment **segment)
{
	int fd = directory ? os_open_directory(path_of(log, directory)) : log->directory.fd;
	if (fd < 0)
		return fd;
	int error = ul_segment_get(segment, fd, &log->directory.conf.log_id, log->options.segment_size_bytes,
				   log->names.index_mask + 1);
	if (directory)
		os_close(fd);
	else if (error == -ENOENT && !ul_directory_open_again(&log->directory))
		error = ul_segment_get(segment, fd, &log->directory.conf.log_id, log->options.segment_size_bytes,
				       log->names.index_mask + 1);
	if (!error)
		(*segment)->directory = directory;
	return error;
}

/* Keep the figures of a result, and decide what is tried when. */
static void account(usagelog *log, uint32_t directory, int error)
{
	struct ul_source *source = &log->source;
	uint64_t now = os_monotonic_ns();
	if (!error) {
		if (directory) {
			log->stats.fallbacks++;
			/* Once: further segments there must not put off the return. */
			if (!source->primary_try_ns) {
				source->primary_delay_ns = PRIMARY_DELAY_NS_MIN;
				source->primary_try_ns = now + source->primary_delay_ns;
			}
		}
		source->tries = 0;
		source->error = 0;
		return;
	}
	source->error = error;
	log->stats.retries += source->tries > 0;
	if (source->tries++ < log->options.retry_count_max) {
		source->next_try_ns = now + ((log->options.retry_delay_ms * NS_PER_MS) << (source->tries - 1));
		if (source->tries == 1)
			ul_warn(log, error,
				"%s: no segment can be had: %s; trying again, calls are held in memory meanwhile",
				path_of(log, directory), usagelog_strerror(error));
		return;
	}
	source->tries = 0;
	source->directory = (directory + 1) % (uint32_t)(1 + log->directory.conf.fallback_count);
	/* Once around: wait as long as the last retry did before the next round. */
	uint32_t doublings = log->options.retry_count_max < 10 ? log->options.retry_count_max : 10;
	source->next_try_ns = source->directory ? 0 : now + ((log->options.retry_delay_ms * NS_PER_MS) << doublings);
	ul_warn(log, error, "%s: no segment can be had: %s; %s", path_of(log, directory), usagelog_strerror(error),
		source->directory ? "going on in the next fallback directory"
				  : "calls that do not fit in memory are dropped");
}

uint64_t ul_pages_given(const usagelog *log)
{
	uint64_t pages = 0;
	for (const struct ul_segment *segment = log->segments; segment; segment = segment->next)
		pages += atomic_load_explicit(&segment->next_page, memory_order_relaxed) - segment->passed_page;
	return pages;
}

/* The size trigger: the page of this segment, the current one, by which so much will have been given out. */
static void set_wake_page(usagelog *log, struct ul_segment *segment)
{
	bool helped = !(log->options.flags & (USAGELOG_NO_HELPER | USAGELOG_SYNCHRONOUS));
	uint64_t pages = log->options.flush_size_bytes / UL_PAGE_BYTES, given = ul_pages_given(log);
	uint64_t page =
		atomic_load_explicit(&segment->next_page, memory_order_relaxed) + (pages > given ? pages - given : 0);
	atomic_store_explicit(&segment->wake_page, helped && page < UINT32_MAX ? (uint32_t)page : UINT32_MAX,
			      memory_order_relaxed);
}

void ul_segments_passed(usagelog *log)
{
	for (struct ul_segment *segment = log->segments; segment; segment = segment->next)
		segment->passed_page = atomic_load_explicit(&segment->next_page, memory_order_relaxed);
	struct ul_segment *current = atomic_load_explicit(&log->current, memory_order_relaxed);
	if (current)
		set_wake_page(log, current);
}

/*
 * A page of a segment was found lost, in a signal handler, on whichever thread came upon it first. It may be the page of any lane: their threads look at
 * the limit after each store. One that has stored to the page of zeros, its first store there was a fault of its own, and what it looks at is
 * of after that.
 */
static void park_lanes(void *owner)
{
	usagelog *log = owner;
	for (uint32_t i = 0; log && i < UL_LANE_BLOCKS_MAX && log->lane_blocks[i]; i++)
		for (uint32_t j = 0; j < UL_LANES_A_BLOCK; j++)
			atomic_store_explicit(&log->lane_blocks[i][j].limit, UL_PARKED, memory_order_relaxed);
}

static void use(usagelog *log, struct ul_segment *segment)
{
	segment->guard.owner = log;
	segment->guard.on_fault = park_lanes;
	struct ul_segment *before = atomic_load_explicit(&log->current, memory_order_relaxed);
	if (before)
		before->retired = true;
	set_wake_page(log, segment);
	segment->next = log->segments;
	log->segments = segment;
	segment->attempted_at_start = ul_attempted(log);
	for (uint32_t i = 0; i < UL_CAUSES; i++)
		segment->dropped_at_start[i] = log->stats.dropped[i];
	segment->dropped_at_start[UL_CAUSE_REENTERED] += atomic_load_explicit(&log->reentered, memory_order_relaxed);
	if (before)
		log->stats.rotations++;
	/* Who loads this without the mutex only compares it. */
	atomic_store_explicit(&log->current, segment, memory_order_relaxed);
}

int ul_source_next(usagelog *log)
{
	if (log->spare) {
		struct ul_segment *spare = log->spare;
		log->spare = NULL;
		use(log, spare);
		return 0;
	}
	int error = log->source.error;
	for (size_t tries = 0; tries <= log->directory.conf.fallback_count; tries++) {
		if (error && os_monotonic_ns() < log->source.next_try_ns)
			return error;
		uint32_t directory = log->source.directory;
		struct ul_segment *segment;
		error = attempt(log, directory, &segment);
		account(log, directory, error);
		if (!error) {
			log->stats.inline_rotations +=
				atomic_load_explicit(&log->current, memory_order_relaxed) != NULL;
			use(log, segment);
			return 0;
		}
	}
	return error;
}

int ul_source_first(usagelog *log)
{
	int first_error = 0;
	for (uint32_t directory = 0; directory <= log->directory.conf.fallback_count; directory++) {
		struct ul_segment *segment;
		int error = attempt(log, directory, &segment);
		if (!error) {
			log->source.directory = directory;
			account(log, directory, 0);
			use(log, segment);
			return 0;
		}
		ul_warn(log, error, "%s: no segment can be had: %s", path_of(log, directory), usagelog_strerror(error));
		if (!first_error)
			first_error = error;
	}
	return first_error;
}

/* What the helper should try now: a directory, or UINT32_MAX. Under the mutex. */
static uint32_t directory_to_try(usagelog *log)
{
	struct ul_segment *current = atomic_load_explicit(&log->current, memory_order_relaxed);
	uint64_t now = os_monotonic_ns();
	if (log->spare)
		return UINT32_MAX;
	if (log->source.directory && now >= log->source.primary_try_ns && log->source.primary_try_ns)
		return 0;
	bool at_hand = current && !current->retired;
	bool half_full =
		at_hand && atomic_load_explicit(&current->next_page, memory_order_relaxed) > current->page_count / 2;
	if (at_hand && !half_full)
		return UINT32_MAX;
	return log->source.error && now < log->source.next_try_ns ? UINT32_MAX : log->source.directory;
}

/* The log's own directory was tried again while a fallback is in use. Under the mutex. */
static void account_primary(usagelog *log, int error)
{
	struct ul_source *source = &log->source;
	if (error) {
		source->primary_delay_ns = source->primary_delay_ns * 2 < PRIMARY_DELAY_NS_MAX
						   ? source->primary_delay_ns * 2
						   : PRIMARY_DELAY_NS_MAX;
		source->primary_try_ns = os_monotonic_ns() + source->primary_delay_ns;
		return;
	}
	source->directory = 0;
	source->primary_delay_ns = source->primary_try_ns = 0;
	account(log, 0, 0);
	struct ul_segment *current = atomic_load_explicit(&log->current, memory_order_relaxed);
	if (current)
		current->retired = true; /* the next page comes from the spare */
}

void ul_source_return(usagelog *log)
{
	struct ul_source *source = &log->source;
	if (!source->directory || !source->primary_try_ns || log->helper || os_monotonic_ns() < source->primary_try_ns)
		return;
	struct ul_segment *segment;
	int error = attempt(log, 0, &segment);
	account_primary(log, error);
	if (!error)
		use(log, segment);
}

static void source_ends(usagelog *log, const struct ul_sourcing *sourcing, struct ul_segment *segment, int error)
{
	if (segment)
		segment->directory = sourcing->directory;
	/* The next try finds it. */
	if (error == -ENOENT && !sourcing->directory)
		(void)ul_directory_open_again(&log->directory);
	/* io_uring was taken away on the way: that says nothing of the directory, and the next try follows at once. */
	if (error == -ECANCELED)
		return;
	ul_lock(log);
	if (sourcing->back)
		account_primary(log, error);
	else
		account(log, sourcing->directory, error);
	if (!error) {
		log->spare = segment; /* only this thread makes spares: there was none */
		if (log->held_count)
			ul_drain_held(log);
	}
	ul_unlock(log);
}

bool ul_source_begin(usagelog *log, struct ul_sourcing *sourcing)
{
	ul_lock(log);
	sourcing->directory = directory_to_try(log);
	sourcing->back = sourcing->directory == 0 && log->source.directory != 0;
	ul_unlock(log);
	if (sourcing->directory == UINT32_MAX)
		return false;
	sourcing->fd = sourcing->directory ? os_open_directory(path_of(log, sourcing->directory)) : log->directory.fd;
	int error = sourcing->fd < 0 ? sourcing->fd
				     : ul_making_begin(&sourcing->making, sourcing->fd, &log->directory.conf.log_id,
						       log->options.segment_size_bytes, log->names.index_mask + 1);
	if (!error)
		return true;
	if (sourcing->directory)
		os_close(sourcing->fd);
	source_ends(log, sourcing, NULL, error);
	return false;
}

void ul_source_end(usagelog *log, struct ul_sourcing *sourcing)
{
	if (sourcing->directory)
		os_close(sourcing->fd);
	source_ends(log, sourcing, sourcing->making.segment, sourcing->making.error);
}
