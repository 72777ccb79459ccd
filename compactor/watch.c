/* When to fold next. */
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>

#include "end_signal.h"
#include "os.h"

enum {
	SEGMENT_EVENTS = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_DELETE,
	SELF_EVENTS = IN_DELETE_SELF | IN_MOVE_SELF
};

int watch_open(struct watch *watch, const struct ul_directory *directory, uint64_t interval_ns, struct ul_message *why)
{
	*watch = (struct watch){.path = directory->path, .interval_ns = interval_ns, .notify = os_notify()};
	why->text[0] = '\0';
	watch->end = end_signal_open();
	int error = watch->end < 0 ? watch->end : os_stat(directory->fd, &watch->log);
	if (error) {
		watch_close(watch);
		return error;
	}
	if (watch->notify < 0)
		ul_message_set(why, "%s: there are no events to be had: %s; the log is looked at each interval only",
			       watch->path, usagelog_strerror(watch->notify));
	return 0;
}

void watch_close(struct watch *watch)
{
	os_close(watch->notify);
	os_close(watch->end);
}

/* A directory that is not there yet, or of which no events can be had, is looked at when the interval is over. */
void watch_directories(struct watch *watch, const struct ul_directory *directory)
{
	if (watch->notify < 0)
		return;
	(void)os_notify_add(watch->notify, directory->path, SEGMENT_EVENTS | SELF_EVENTS);
	for (size_t i = 0; i < directory->conf.fallback_count; i++)
		(void)os_notify_add(watch->notify, directory->conf.fallbacks[i], SEGMENT_EVENTS);
}

/* Take all events that are there: is one of a segment, or of a directory itself? Who folds makes other files, too. */
static bool take_events(const struct watch *watch)
{
	_Alignas(struct inotify_event) char events[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
	bool any = false;
	for (ssize_t got; (got = os_notify_read(watch->notify, events, sizeof(events))) > 0;)
		for (ssize_t at = 0; at < got;) {
			const struct inotify_event *event = (const void *)(events + at);
			any |= !event->len || ul_is_segment_name(event->name);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	return any;
}

static bool is_gone(const struct watch *watch)
{
	struct stat now;
	int fd = os_open_directory(watch->path);
	bool same = fd >= 0 && !os_stat(fd, &now) && now.st_dev == watch->log.st_dev && now.st_ino == watch->log.st_ino;
	os_close(fd);
	return !same;
}

enum watch_end watch_wait(struct watch *watch, bool found)
{
	uint64_t since_ns = os_monotonic_ns(), now_ns = since_ns, due_ns = since_ns + watch->interval_ns;
	if (found || watch->by_event)
		watch->events_from_ns = due_ns;
	watch->by_event = false;
	/* Each round but the last is one that an event or a clock's coarseness ended early. */
	do {
		uint64_t until_ns = watch->by_event ? watch->events_from_ns : due_ns;
		int woken = os_wait_two(watch->end, watch->notify, until_ns - now_ns);
		if (woken & 1)
			return WATCH_ENDED;
		if (woken & 2)
			watch->by_event |= take_events(watch);
		if (is_gone(watch))
			return WATCH_GONE;
		now_ns = os_monotonic_ns();
	} while (now_ns < due_ns && !(watch->by_event && now_ns >= watch->events_from_ns));
	return WATCH_FOLD;
}
