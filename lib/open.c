/* The beginning and the end of a handle, its warnings, its figures, and its second beginning in a forked child. */
#include "handle.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "os.h"
#include "seal.h"

enum {
	FLUSH_INTERVAL_MS = 1000,
	FLUSH_SIZE_BYTES = 1 << 20,
	SEGMENT_BYTES = 64 << 20,
	RETRY_COUNT = 3,
	RETRY_DELAY_MS = 100,
	HELD_COUNT = 512,
	NAMES_MAX = 2048,
	COUNT_MAX = 65536,
	RETRY_COUNT_MAX = 20,
	MS_MAX = 86400000, /* a day: beyond it, arithmetic in ns and the user's intent are both in doubt */
};

/* ---- options ---------------------------------------------------------------------------------------------- */

/* Values that log.conf can hold. */
static int check_texts(const char *option, const char *const *texts, size_t count, bool are_paths,
		       struct ul_message *why)
{
	for (size_t i = 0; i < count; i++) {
		if (!ul_conf_value_is_valid(texts[i]))
			ul_message_set(why, "%s: has to be UTF-8 of 1 to %d bytes without control characters", option,
				       UL_CONF_VALUE_BYTES_MAX);
		else if (are_paths && texts[i][0] != '/')
			ul_message_set(why, "%s: \"%s\" is not an absolute path", option, texts[i]);
		if (why->text[0])
			return -EINVAL;
	}
	return 0;
}

static int check_values(const struct usagelog_options *options, struct ul_message *why)
{
	static const uint32_t flags_known = USAGELOG_SYNCHRONOUS | USAGELOG_NO_HELPER | USAGELOG_ALLOW_ANY_FILESYSTEM |
					    USAGELOG_MUST_EXIST | USAGELOG_NO_URING;
	const struct {
		const char *option;
		uint64_t value, least, most;
	} numbers[] = {
		{"flush_interval_ms", options->flush_interval_ms, 1, MS_MAX},
		{"segment_size_bytes", options->segment_size_bytes, UL_SEGMENT_BYTES_MIN, UL_SEGMENT_BYTES_MAX},
		{"retry_count_max", options->retry_count_max, 1, RETRY_COUNT_MAX},
		{"retry_delay_ms", options->retry_delay_ms, 1, MS_MAX},
		{"held_count_max", options->held_count_max, 1, COUNT_MAX},
		{"names_max", options->names_max, 1, COUNT_MAX},
		{"fallback_directory_count", options->fallback_directory_count, 0, UL_CONF_FALLBACKS_MAX},
		{"group_by_count", options->group_by_count, 0, UL_CONF_GROUP_BY_MAX},
	};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].value < numbers[i].least || numbers[i].value > numbers[i].most) {
			ul_message_set(why, "%s: has to be from %llu to %llu, not %llu", numbers[i].option,
				       (unsigned long long)numbers[i].least, (unsigned long long)numbers[i].most,
				       (unsigned long long)numbers[i].value);
			return -EINVAL;
		}
	if (options->flags & ~flags_known) {
		ul_message_set(why, "flags: 0x%x is not known to this version", options->flags & ~flags_known);
		return -EINVAL;
	}
	if (options->time_zone && !ul_time_zone_is_known(options->time_zone)) {
		ul_message_set(why,
			       "time_zone: this machine knows none of this name; give an IANA name, as Europe/Berlin");
		return -EINVAL;
	}
	int error = check_texts("fallback_directories", options->fallback_directories,
				options->fallback_directory_count, true, why);
	if (!error)
		error = check_texts("summary_path", &options->summary_path, options->summary_path != NULL, false, why);
	if (!error)
		error = check_texts("group_by", options->group_by, options->group_by_count, false, why);
	return error;
}

/* Defaults are filled in; whom to warn is known also where something is wrong. */
static int read_options(struct usagelog_options *options, const struct usagelog_options *given, struct ul_message *why)
{
	*options = (struct usagelog_options){0};
	if (given && (given->size < sizeof(options->size) + sizeof(options->flags) || given->size > sizeof(*options)))
		return -EINVAL;
	if (given)
		memcpy(options, given, given->size);
	options->size = sizeof(*options);
#define DEFAULT(field, value) (options->field = options->field ? options->field : (value))
	DEFAULT(flush_interval_ms, FLUSH_INTERVAL_MS);
	DEFAULT(flush_size_bytes, FLUSH_SIZE_BYTES);
	DEFAULT(segment_size_bytes, SEGMENT_BYTES);
	DEFAULT(retry_count_max, RETRY_COUNT);
	DEFAULT(retry_delay_ms, RETRY_DELAY_MS);
	DEFAULT(held_count_max, HELD_COUNT);
	DEFAULT(names_max, NAMES_MAX);
#undef DEFAULT
	int error = check_values(options, why);
	if (!error)
		options->segment_size_bytes =
			(options->segment_size_bytes + UL_PAGE_BYTES - 1) / UL_PAGE_BYTES * UL_PAGE_BYTES;
	return error;
}

/* ---- warnings --------------------------------------------------------------------------------------------- */

void ul_warn(usagelog *log, int error, const char *format, ...)
{
	log->stats.warnings++;
	log->stats.last_error = error;
	log->stats.last_error_time_ns = os_time_ns();
	if (!log->options.warning || log->message_count == UL_MESSAGES_MAX)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(log->messages[log->message_count].text, sizeof(log->messages[0].text), format, args);
	va_end(args);
	log->message_errors[log->message_count++] = error;
}

void ul_deliver_warnings(usagelog *log)
{
	if (!atomic_load_explicit(&log->message_count, memory_order_relaxed))
		return;
	ul_lock(log);
	while (log->options.warning && log->message_count && !log->delivering) {
		usagelog_warning_fn warning = log->options.warning;
		void *arg = log->options.warning_arg;
		struct ul_message message = log->messages[0];
		int error = log->message_errors[0];
		log->message_count--;
		memmove(&log->messages[0], &log->messages[1], log->message_count * sizeof(message));
		memmove(&log->message_errors[0], &log->message_errors[1], log->message_count * sizeof(error));
		log->delivering = true;
		ul_unlock(log);
		warning(arg, error, message.text);
		ul_lock(log);
		log->delivering = false;
	}
	ul_unlock(log);
}

/* ---- open ------------------------------------------------------------------------------------------------- */

static int allocate_parts(usagelog *log)
{
	void *alive, *held;
	int error = ul_names_open(&log->names, log->options.names_max);
	if (error)
		return error;
	/* Mapped, so that it takes no memory until calls are held. */
	error = os_map_wiped(&held, log->options.held_count_max * sizeof(*log->held));
	if (error)
		return error;
	log->held = held;
	error = os_map_wiped(&alive, UL_PAGE_BYTES);
	if (error)
		return error;
	log->alive = alive;
	atomic_store_explicit(log->alive, 1, memory_order_relaxed);
	return 0;
}

static void free_parts(usagelog *log)
{
	while (log->segments) {
		struct ul_segment *segment = log->segments;
		log->segments = segment->next;
		ul_segment_close(segment, true);
	}
	if (log->spare) {
		/* Its lock is still held, so nobody adopts it meanwhile. An adopted one holds an earlier writer's calls. */
		if (!log->spare->directory && ul_segment_is_empty(log->spare))
			os_unlink(log->directory.fd, log->spare->name);
		ul_segment_close(log->spare, true);
	}
	os_unmap(log->alive, UL_PAGE_BYTES);
	os_unmap(log->held, log->options.held_count_max * sizeof(*log->held));
	ul_names_close(&log->names);
	ul_directory_close(&log->directory);
}

/* The end of a handle, which nobody is inside of. Lanes stay their threads', for the next log that the handle is used for. */
static void end(usagelog *log)
{
	pthread_mutex_lock(&log->sync_mutex);
	ul_lock(log);
	UL_EACH_LANE (log, lane) {
		ul_lane_set(log, lane, NULL, 0);
		atomic_store_explicit(&lane->calls, 0, memory_order_relaxed);
		lane->calls_at_pass = 0;
		memset(lane->recent, 0, sizeof(lane->recent));
	}
	free_parts(log);
	memset(&log->options, 0, sizeof(*log) - offsetof(struct usagelog, options));
	uint32_t wanted = atomic_load_explicit(&log->flush_wanted, memory_order_relaxed);
	atomic_store_explicit(&log->flush_done, wanted, memory_order_relaxed);
	log->generation++;
	atomic_store_explicit(&log->message_count, 0, memory_order_relaxed);
	ul_unlock(log);
	pthread_mutex_unlock(&log->sync_mutex);
	os_wake_all(&log->flush_done);
	ul_process_put(log);
}

/* The fallbacks that log.conf names are made if they can be; whether they can be used is seen when they are needed. */
static void make_fallbacks(usagelog *log)
{
	for (size_t i = 0; i < log->directory.conf.fallback_count; i++) {
		int error = os_make_directories(log->directory.conf.fallbacks[i]);
		if (error)
			ul_warn(log, error, "%s: this fallback directory cannot be made: %s",
				log->directory.conf.fallbacks[i], usagelog_strerror(error));
	}
}

int usagelog_open(usagelog **out, const char *directory, const struct usagelog_options *given)
{
	struct ul_message why = {""};
	usagelog *log = ul_process_get();
	if (!log)
		return -ENOMEM;
	log->directory.fd = -1;
	int error = read_options(&log->options, given, &why);
	if (!error)
		error = ul_directory_open_or_make(&log->directory, directory, &log->options, &why);
	if (error || why.text[0])
		ul_warn(log, error, "%s", why.text);
	if (!error)
		error = allocate_parts(log);
	if (!error) {
		make_fallbacks(log);
		error = ul_source_first(log);
	}
	if (!error)
		error = ul_process_add(log);
	ul_deliver_warnings(log);
	if (error) {
		end(log);
		return error;
	}
	*out = log;
	return 0;
}

/* ---- close ------------------------------------------------------------------------------------------------ */

/* What is held when the handle ends is lost, and counted so. */
static void drop_held(usagelog *log)
{
	ul_lock(log);
	log->stats.dropped[ul_cause_of(log->source.error)] += log->held_count;
	log->held_count = 0;
	ul_unlock(log);
}

/* Is nobody but this thread inside of record(), nor can be? Waits for who is; false: somebody is still, or nobody can know. */
static bool wait_for_others(usagelog *log, bool parked_for_sure, uint64_t deadline_ns)
{
	UL_EACH_LANE (log, lane) {
		uint32_t owner = atomic_load_explicit(&lane->owner, memory_order_relaxed);
		if (!owner || owner == os_thread_id())
			continue;
		if (!parked_for_sure)
			return false;
		/* Acquire: pairs with the release in record.c; what was done inside is done. */
		while (atomic_load_explicit(&lane->inside, memory_order_acquire)) {
			if (os_monotonic_ns() >= deadline_ns)
				return false;
			os_pause();
		}
	}
	return true;
}

/* Another thread may be in the host's callback, which the host expects no more once this handle is closed. */
static void wait_for_delivery(usagelog *log, uint64_t deadline_ns)
{
	bool delivering = true;
	while (delivering && os_monotonic_ns() < deadline_ns) {
		ul_lock(log);
		delivering = log->delivering;
		ul_unlock(log);
		if (delivering)
			os_pause();
	}
}

int usagelog_close(usagelog *log, int timeout_ms)
{
	if (!log)
		return 0;
	uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : os_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
	/* Even a close that does not sync gives the others a moment to end. */
	uint64_t least = os_monotonic_ns() + 1000000000;
	uint64_t last = deadline > least ? deadline : least;
	int error = ul_lock_open(log);
	if (error)
		return error;
	if (!atomic_load_explicit(log->alive, memory_order_relaxed))
		ul_handle_after_fork(log);
	if (log->held_count)
		ul_drain_held(log);
	atomic_store_explicit(&log->serial, UL_CLOSED, memory_order_relaxed);
	bool parked = ul_lanes_park(log);
	ul_unlock(log);
	/* Some ns, if the thread runs; one that left record() by a jump out of a signal handler would be waited for without end. */
	uint64_t moment = os_monotonic_ns() + 10 * (uint64_t)1000000000;
	bool alone = wait_for_others(log, parked, moment < last ? moment : last);
	error = timeout_ms ? ul_flush(log, timeout_ms) : 0;
	bool stopped = ul_helper_stop(log, last);
	ul_process_remove(log);
	if (log->held_count)
		error = USAGELOG_ERROR_HELD;
	if (!stopped || !alone) {
		/* The helper hangs on the disk, or a thread that is inside does not run: what they use is left to them, and the host hears no more. */
		ul_lock(log);
		log->options.warning = NULL;
		ul_unlock(log);
		return stopped ? error : USAGELOG_ERROR_TIMEOUT;
	}
	drop_held(log);
	pthread_mutex_lock(&log->sync_mutex);
	ul_write_counters(log);
	pthread_mutex_unlock(&log->sync_mutex);
	ul_deliver_warnings(log);
	wait_for_delivery(log, last);
	end(log);
	return error;
}

/* ---- fork ------------------------------------------------------------------------------------------------- */

void ul_handle_after_fork(usagelog *log)
{
	if (atomic_load_explicit(log->alive, memory_order_relaxed))
		return;
	pthread_mutex_init(&log->sync_mutex, NULL); /* where fork() did not tell of the child */
	while (log->segments) {
		struct ul_segment *segment = log->segments;
		log->segments = segment->next;
		ul_segment_forget(segment);
	}
	if (log->spare)
		ul_segment_forget(log->spare);
	log->spare = NULL;
	atomic_store_explicit(&log->current, NULL, memory_order_relaxed);
	ul_helper_forget(log);
	log->helper_failed = log->helper_called = log->delivering = false;
	atomic_store_explicit(&log->parked, false, memory_order_relaxed);
	log->held_count = 0; /* the parent has them, too */
	log->message_count = 0;
	log->stats = (struct usagelog_stats){0};
	log->source = (struct ul_source){0};
	atomic_store_explicit(&log->reentered, 0, memory_order_relaxed);
	atomic_store_explicit(&log->durable_calls, 0, memory_order_relaxed);
	atomic_store_explicit(&log->oldest_unsynced_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&log->flush_done, atomic_load_explicit(&log->flush_wanted, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&log->flush_led, false, memory_order_relaxed);
	atomic_store_explicit(log->alive, 1, memory_order_relaxed);
}

/* ---- figures ---------------------------------------------------------------------------------------------- */

int usagelog_stats_get(usagelog *log, struct usagelog_stats *out)
{
	size_t size = out->size;
	if (size < sizeof(size) || size > sizeof(*out))
		return -EINVAL;
	if (ul_thread.inside)
		return -EAGAIN;
	int error = ul_lock_open(log);
	if (error)
		return error;
	if (!atomic_load_explicit(log->alive, memory_order_relaxed))
		ul_handle_after_fork(log);
	struct usagelog_stats stats = log->stats;
	stats.committed = ul_committed(log);
	stats.held = log->held_count;
	stats.dropped[USAGELOG_CAUSE_REENTERED] += atomic_load_explicit(&log->reentered, memory_order_relaxed);
	stats.attempted = stats.committed + stats.held;
	for (uint32_t i = 0; i < UL_CAUSES; i++)
		stats.attempted += stats.dropped[i];
	uint64_t durable = atomic_load_explicit(&log->durable_calls, memory_order_relaxed);
	stats.durable = durable < stats.committed ? durable : stats.committed;
	uint64_t oldest = atomic_load_explicit(&log->oldest_unsynced_ns, memory_order_relaxed);
	stats.oldest_unsynced_ms =
		oldest && stats.durable < stats.committed ? (os_monotonic_ns() - oldest) / 1000000 : 0;
	stats.backend = ul_helper_backend(log, &stats.backend_error);
	for (const struct ul_segment *segment = log->segments; segment; segment = segment->next)
		stats.segments_mapped++;
	stats.segments_mapped += log->spare != NULL;
	struct ul_segment *current = atomic_load_explicit(&log->current, memory_order_relaxed);
	stats.segment_in_fallback = current ? current->directory : 0;
	stats.names = log->names.count;
	ul_unlock(log);
	stats.size = size;
	memcpy(out, &stats, size);
	return 0;
}

void usagelog_call_id(const char *id, size_t bytes, uint8_t out[16])
{
	struct ul_id found = ul_call_id(id, bytes);
	memcpy(out, found.bytes, sizeof(found.bytes));
}
