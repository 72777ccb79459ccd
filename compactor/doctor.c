/* Is all well with a log? */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "money.h"
#include "os.h"
#include "summary.h"
#include "view.h"

enum {
	NS_PER_S = 1000000000,
	HOUR_S = 3600, /* a compactor that is run every few minutes has missed several runs by then */
	AGE_BYTES = 32,
};

void doctor_say(struct doctor *doctor, const char *name, enum check_state state, const char *format, ...)
{
	char *text = NULL;
	size_t bytes;
	va_list args;
	doctor->warnings += state == CHECK_WARNING;
	if (doctor->count == CHECKS_MAX)
		return;
	va_start(args, format);
	char *given = os_format_args(format, args);
	va_end(args);
	/* Paths may hold anything. */
	FILE *stream = given ? os_memory_stream(&text, &bytes) : NULL;
	if (stream) {
		print_safely(stream, given, strlen(given));
		fclose(stream);
	}
	free(given);
	doctor->checks[doctor->count++] = (struct check){name, state, text};
}

void doctor_clear(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->count; i++)
		free(doctor->checks[i].text);
	*doctor = (struct doctor){0};
}

/* "5 minutes" */
static void show_age(char out[AGE_BYTES], int64_t age_s)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "day"}, {HOUR_S, "hour"}, {60, "minute"}, {1, "second"}};
	size_t unit = 0;
	while (unit < 3 && age_s < 2 * units[unit].seconds)
		unit++;
	int64_t count = age_s < 0 ? 0 : age_s / units[unit].seconds;
	snprintf(out, AGE_BYTES, "%" PRId64 " %s%s", count, units[unit].name, count == 1 ? "" : "s");
}

/* "1 call", "2 calls" */
struct counted {
	char text[MONEY_SHOWN_BYTES + 8];
};
static struct counted counted_calls(uint64_t count)
{
	struct counted counted;
	char number[MONEY_SHOWN_BYTES];
	count_show(number, (int64_t)count);
	snprintf(counted.text, sizeof(counted.text), "%s call%s", number, count == 1 ? "" : "s");
	return counted;
}

/* ---- calls that are not folded --------------------------------------------------------------------------------- */

/* Folded calls are all durable: what may be lost is among the others. */
struct pending {
	struct group_reader *reader;
	uint64_t calls, not_durable;
	int64_t oldest_ns, oldest_not_durable_ns;
	uint64_t live_segments;
};

static int count_page(void *arg, const struct slot_page *page)
{
	struct pending *pending = arg;
	uint32_t durable = 0;
	for (uint32_t i = 0; i < pending->reader->reader_count; i++) {
		const struct ul_reader *reader = &pending->reader->readers[i];
		uint32_t number = page->first / UL_PAGE_SLOTS;
		if (number < reader->page_count && reader->durable[number] > durable)
			durable = reader->durable[number];
	}
	for (uint64_t rest = page->valid & page->wanted; rest; rest &= rest - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(rest);
		enum ul_kind kind = ul_slot_kind(&page->slots[i]);
		if (kind != UL_KIND_CALL && kind != UL_KIND_REVERSAL && kind != UL_KIND_BALANCE)
			continue;
		int64_t time_ns = page->slots[i].body.call.time_ns;
		if (!pending->calls++ || time_ns < pending->oldest_ns)
			pending->oldest_ns = time_ns;
		if (i < durable)
			continue;
		if (!pending->not_durable++ || time_ns < pending->oldest_not_durable_ns)
			pending->oldest_not_durable_ns = time_ns;
	}
	return 0;
}

static int count_group(struct pending *pending, const struct view *view, const struct segment_group *group)
{
	static const struct runs none;
	const struct segment_state *state = checkpoint_find_segment(&view->state.checkpoint, &group->id);
	struct findings findings = {0};
	struct slot_counts counts = {0};
	struct group_reader reader;
	int error = group_open(&reader, &view->segments, group, &findings);
	findings_clear(&findings);
	if (error)
		return error;
	struct slot_range all = {reader.first_slot, reader.end_slot};
	pending->reader = &reader;
	for (uint32_t i = 0; i < reader.reader_count; i++)
		pending->live_segments += ul_reader_has_writer(&reader.readers[i]);
	error = group_visit_pages(&reader, all, state ? &state->runs : &none, false, count_page, pending, &counts);
	group_close(&reader);
	return error;
}

static void look_at_writers(struct doctor *doctor, const struct pending *pending)
{
	if (pending->live_segments)
		doctor_say(doctor, "writers", CHECK_OK, "%" PRIu64 " segment%s open in a running program",
			   pending->live_segments, pending->live_segments == 1 ? " is" : "s are");
	else
		doctor_say(doctor, "writers", CHECK_OK, "no program has the log open now");
}

/* What a death of a program, or of the machine, would cost at this moment. */
static void look_at_loss(struct doctor *doctor, const struct pending *pending, int64_t now_ns)
{
	char age[AGE_BYTES];
	doctor_say(doctor, "sigkill", CHECK_OK,
		   "would lose no call that is in the files now: what was recorded outlives its program%s",
		   pending->live_segments ? "; only calls that a program holds in memory, because no directory can be "
					    "written to, go with it"
					  : "");
	if (!pending->not_durable) {
		doctor_say(doctor, "power cut", CHECK_OK, "would lose nothing: every call is on the disk");
		return;
	}
	show_age(age, (now_ns - pending->oldest_not_durable_ns) / NS_PER_S);
	doctor_say(doctor, "power cut", CHECK_NOTE,
		   "might lose %s, of which no sync is known; the oldest was made %s ago; usagelog compact syncs all",
		   counted_calls(pending->not_durable).text, age);
}

/* ---- the compactor ----------------------------------------------------------------------------------------------- */

/* When a compactor was done last, by what it leaves behind; 0: never. */
static int64_t last_run_s(const struct view *view)
{
	struct stat checkpoint, summary;
	struct ul_message path = summary_path(&view->directory);
	int64_t last_s = 0;
	if (!os_stat_at(view->directory.fd, "checkpoint", &checkpoint))
		last_s = checkpoint.st_mtim.tv_sec;
	/* Each run writes the summary, also one that had nothing to fold. */
	if (last_s && !os_stat_at(AT_FDCWD, path.text, &summary) && summary.st_mtim.tv_sec > last_s)
		last_s = summary.st_mtim.tv_sec;
	return last_s;
}

static bool compactor_runs(const struct ul_directory *directory)
{
	int fd = os_open(directory->fd, "lock", O_RDONLY);
	bool locked = fd >= 0 && os_is_locked(fd) == 1;
	os_close(fd);
	return locked;
}

static void look_at_compactor(struct doctor *doctor, const struct view *view, const struct pending *pending,
			      int64_t now_ns)
{
	static const char advice[] = "is cron running it? crontab -l should have: */5 * * * * usagelog compact "
				     "--quiet; or systemctl --user status usagelog.timer";
	int64_t last_s = last_run_s(view), waiting_s = pending->calls ? (now_ns - pending->oldest_ns) / NS_PER_S : 0;
	char ago[AGE_BYTES], waiting[AGE_BYTES];
	struct counted calls = counted_calls(pending->calls);
	int64_t age_s = now_ns / NS_PER_S - last_s;
	doctor->figures.last_compact_age_s = !last_s ? -1 : age_s < 0 ? 0 : age_s;
	show_age(ago, doctor->figures.last_compact_age_s);
	show_age(waiting, waiting_s);
	bool late = waiting_s > HOUR_S && (!last_s || doctor->figures.last_compact_age_s > HOUR_S);
	if (compactor_runs(&view->directory))
		doctor_say(doctor, "compact", CHECK_OK, "one is at work now");
	else if (!last_s && late)
		doctor_say(doctor, "compact", CHECK_WARNING, "never ran, and %s wait, the oldest for %s; %s",
			   calls.text, waiting, advice);
	else if (!last_s)
		doctor_say(doctor, "compact", CHECK_NOTE, "has not run yet; %s wait%s for it", calls.text,
			   pending->calls == 1 ? "s" : "");
	else if (late)
		doctor_say(doctor, "compact", CHECK_WARNING, "last ran %s ago, and %s wait, the oldest for %s; %s", ago,
			   calls.text, waiting, advice);
	else if (pending->calls)
		doctor_say(doctor, "compact", CHECK_OK, "last ran %s ago; %s came since", ago, calls.text);
	else
		doctor_say(doctor, "compact", CHECK_OK, "last ran %s ago; every call is in the totals", ago);
}

/* ---- loss and damage ------------------------------------------------------------------------------------------- */

static void look_at_dropped(struct doctor *doctor, const struct view *view)
{
	static const char *const causes[UL_CAUSES] = {
		[UL_CAUSE_SPACE] = "no space",
		[UL_CAUSE_LIMIT] = "a limit",
		[UL_CAUSE_IO] = "the disk failed",
		[UL_CAUSE_PERMISSION] = "no permission",
		[UL_CAUSE_GONE] = "the log was gone",
		[UL_CAUSE_REENTERED] = "recorded by a signal's handler at a bad moment",
	};
	uint64_t by_cause[UL_CAUSES] = {0}, dropped = 0;
	for (size_t i = 0; i < view->segments.group_count; i++) {
		for (size_t cause = 0; cause < UL_CAUSES; cause++) {
			by_cause[cause] += view->pending.results[i].dropped_by_cause[cause];
			dropped += view->pending.results[i].dropped_by_cause[cause];
		}
	}
	doctor->figures.dropped_calls = (int64_t)dropped;
	if (!dropped)
		doctor_say(doctor, "dropped", CHECK_OK, "no program says that it could not store a call");
	for (size_t cause = 0; cause < UL_CAUSES && dropped; cause++)
		if (by_cause[cause])
			doctor_say(doctor, "dropped", CHECK_WARNING,
				   "%s could not be stored and %s lost: %s; see to that, and to fallback directories",
				   counted_calls(by_cause[cause]).text, by_cause[cause] == 1 ? "is" : "are",
				   causes[cause] ? causes[cause] : "of an unknown cause");
}

struct set_aside {
	uint64_t count;
	char one[NAME_MAX + 1];
};

static int note_set_aside(void *arg, const char *name)
{
	struct set_aside *found = arg;
	if (strstr(name, ".corrupted.") && !found->count++)
		snprintf(found->one, sizeof(found->one), "%s", name);
	return 0;
}

/* What is known without reading everything anew. */
static void look_at_damage(struct doctor *doctor, const struct view *view)
{
	const struct findings *findings = &view->findings;
	struct set_aside aside = {0};
	size_t said = 0;
	doctor->figures.damaged_slots = (int64_t)view->pending.fold.counts.damaged;
	for (size_t i = 0; i < findings->count; i++) {
		if (findings->items[i].kind != FINDING_DAMAGE && findings->items[i].kind != FINDING_LEFT_OUT)
			continue;
		said++;
		doctor_say(doctor, "damage", CHECK_WARNING, "%s", findings->items[i].text);
	}
	if (!store_list(view->directory.fd, note_set_aside, &aside) && aside.count)
		doctor_say(doctor, "damage", CHECK_NOTE,
			   "%" PRIu64 " file%s found corrupt and set aside, such as %s; what they held was put right "
			   "then, or named; delete them when they are of no use",
			   aside.count, aside.count == 1 ? " was" : "s were", aside.one);
	if (!said)
		doctor_say(doctor, "damage", CHECK_OK, "none is known; usagelog verify reads everything");
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

static void look_at_calls(struct doctor *doctor, const struct view *view)
{
	struct pending pending = {0};
	int64_t now_ns = os_time_ns();
	int error = 0;
	for (size_t i = 0; i < view->segments.group_count; i++) {
		int failed = count_group(&pending, view, &view->segments.groups[i]);
		error = error ? error : failed;
	}
	if (error)
		doctor_say(doctor, "damage", CHECK_WARNING, "not all segments could be read: %s",
			   usagelog_strerror(error));
	doctor->figures.live_segments = (int64_t)pending.live_segments;
	doctor->figures.pending_calls = (int64_t)pending.calls;
	doctor->figures.not_durable_calls = (int64_t)pending.not_durable;
	doctor->figures.oldest_pending_ns = pending.calls ? pending.oldest_ns : -1;
	look_at_writers(doctor, &pending);
	look_at_compactor(doctor, view, &pending, now_ns);
	look_at_dropped(doctor, view);
	look_at_damage(doctor, view);
	look_at_loss(doctor, &pending, now_ns);
}

void doctor_look(struct doctor *doctor, const char *log)
{
	struct ul_directory directory;
	struct ul_message why;
	struct view view;
	doctor->figures = (struct doctor_figures){-1, -1, -1, -1, -1, -1, -1, -1};
	doctor_look_at_machine(doctor);
	if (ul_directory_open(&directory, log, &why)) {
		doctor_say(doctor, "log", CHECK_WARNING, "%s", why.text);
		doctor->unreadable = true;
		return;
	}
	doctor_look_at_directories(doctor, &directory);
	if (view_open(&view, directory.path, &why)) {
		doctor_say(doctor, "log", CHECK_WARNING, "%s", why.text);
		doctor->unreadable = true;
	} else {
		look_at_calls(doctor, &view);
		view_close(&view);
	}
	ul_directory_close(&directory);
}
