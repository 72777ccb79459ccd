/* A log as it is now. */
#include "view.h"

#include <errno.h>
#include <stdlib.h>

#include "calendar.h"

/* Under other settings everything is folded anew, and what is gone from the segments is in no total; compact refuses that. */
static void report_lost(struct view *view)
{
	const struct segment_state *lost = pass_find_lost(&view->pending, &view->state.checkpoint);
	char id[UL_ID_TEXT_BYTES];
	if (!lost)
		return;
	ul_id_format(id, &lost->record.id);
	findings_add(
		&view->findings, FINDING_LEFT_OUT,
		"%s: the time zone or group_by changed, so all calls must be folded anew, but those of segment %s "
		"are not all there any more and are not counted; put the setting back (usagelog config), or restore "
		"the segment",
		view->directory.path, id);
}

/* As the next compact will: with calls of theirs, days that name no table yet take one, for what they had before too. */
static int price_day(struct view *view, struct facts *facts)
{
	const struct ul_day *old = checkpoint_find_day(view->from, facts->day);
	struct stored_file file = {0};
	uint32_t prices, had = old ? old->prices : 0;
	/* One that names a table keeps it. */
	if (old && !had && pricing_concerns(facts))
		store_read_day(view->directory.fd, old, &view->directory.conf.log_id, &file);
	const struct ul_container *before = file.bytes && file.state == FILE_SOUND ? &file.container : NULL;
	int error = pricing_day(&view->pricing, before, had, facts, &prices);
	pricing_set_day(&view->pricing, facts->day, prices);
	stored_file_clear(&file);
	return error ? error : view->names.error;
}

static int price_pending(struct view *view)
{
	pricing_open(&view->pricing, &view->directory, &view->names);
	view->pricing.days_stand = view->state.settings_changed || view->state.decision == RECOVERY_REBUILD;
	int error = pricing_take_state(&view->pricing, &view->state);
	for (size_t i = 0; i < view->pending.fold.day_count && !error; i++)
		error = price_day(view, view->pending.fold.days[i]);
	return error;
}

static int load(struct view *view, struct ul_message *why)
{
	const char *path = view->directory.path, *zone = view->directory.conf.time_zone;
	if (!ul_time_zone_is_known(zone) || calendar_set_zone(zone)) {
		ul_message_set(why,
			       "%s: this host does not know the log's time zone %s, in which days are cut; install the "
			       "package tzdata",
			       path, zone);
		return -EINVAL;
	}
	int error = names_init(&view->names);
	if (error) {
		ul_message_set(why, "%s: no memory to read the log", path);
		return error;
	}
	error = recovery_load(&view->state, &view->names, &view->directory, &view->findings, why);
	if (error)
		return error;
	view->from = view->state.settings_changed ? &view->none : &view->state.checkpoint;
	error = segments_scan(&view->segments, &view->directory, &view->findings);
	if (error) {
		ul_message_set(why, "%s: its segments cannot be listed: %s", path, usagelog_strerror(error));
		return error;
	}
	view->pending = (struct pass){.directory = &view->directory,
				      .segments = &view->segments,
				      .checkpoint = view->from,
				      .names = &view->names,
				      .findings = &view->findings};
	error = pass_run(&view->pending);
	if (error) {
		ul_message_set(why, "%s: the calls cannot be folded: %s", path, usagelog_strerror(error));
		return error;
	}
	pass_report_missing(&view->pending);
	error = price_pending(view);
	if (error) {
		ul_message_set(why, "%s: the calls cannot be priced: %s", path, usagelog_strerror(error));
		return error;
	}
	if (view->state.settings_changed)
		report_lost(view);
	return 0;
}

int view_open(struct view *view, const char *log, struct ul_message *why)
{
	*view = (struct view){0};
	int error = ul_directory_open(&view->directory, log, why);
	if (error)
		return error;
	error = load(view, why);
	if (error)
		view_close(view);
	return error;
}

void view_close(struct view *view)
{
	if (view->pending.directory)
		pass_clear(&view->pending);
	pricing_clear(&view->pricing);
	segments_clear(&view->segments);
	checkpoint_clear(&view->state.checkpoint);
	checkpoint_clear(&view->none);
	findings_clear(&view->findings);
	names_clear(&view->names);
	ul_directory_close(&view->directory);
}

int view_add_pending(struct view *view, struct checkpoint **whole)
{
	const struct fold *fold = &view->pending.fold;
	*whole = view->state.settings_changed ? &view->none : &view->state.checkpoint;
	int error = 0;
	for (size_t i = 0; i < fold->day_count && !error; i++) {
		int32_t number = fold->days[i]->day;
		/* A day that has no file yet is of generation 0. */
		const struct ul_day new = {.day = number, .prices = pricing_named(&view->pricing, number)};
		struct ul_day *day = checkpoint_find_day(*whole, number);
		error = totals_add(&(*whole)->totals, &view->names, fold->days[i]);
		if (day)
			day->prices = new.prices;
		else if (!error)
			error = checkpoint_set_day(*whole, &new);
	}
	return error ? error : checkpoint_trim(*whole);
}

static void report_day(struct view *view, const struct ul_day *day, const struct stored_file *file)
{
	char name[STORE_NAME_BYTES];
	store_fact_name(name, day->day, day->generation);
	findings_add(
		&view->findings, FINDING_LEFT_OUT,
		"%s/%s: %s; its day is shown as far as the checkpoint has it; usagelog compact folds it anew if it "
		"is missing or damaged",
		view->directory.path, name,
		file->state == FILE_MISSING   ? "is missing"
		: file->state == FILE_DAMAGED ? "is damaged"
		: file->state == FILE_NEWER   ? "was written by a newer usagelog than this one"
					      : usagelog_strerror(file->error));
}

typedef int (*parts_fn)(void *arg, const struct facts_parts *parts);

/* All that there is of a day, pending calls included. */
static int visit_day(struct view *view, const struct checkpoint *whole, const struct ul_day *day, parts_fn visit,
		     void *arg)
{
	struct stored_file file = {.state = FILE_SOUND};
	struct facts stand_in;
	struct facts_parts parts = {.day = day->day, .facts = fold_find_day(&view->pending.fold, day->day)};
	uint32_t *name_of = NULL;
	int error = 0;
	facts_init(&stand_in, day->day);
	if (day->generation)
		store_read_day(view->directory.fd, day, &view->directory.conf.log_id, &file);
	if (file.state != FILE_SOUND) {
		/* What stands in for a file has the pending calls too. */
		report_day(view, day, &file);
		totals_stand_in(&whole->totals, &view->names, &stand_in);
		parts.facts = &stand_in;
		error = stand_in.error;
	} else if (day->generation) {
		parts.file = &file.container;
		parts.name_of = name_of = names_of_file(&view->names, &file.container);
		error = name_of ? 0 : -ENOMEM;
	}
	if (!error)
		error = visit(arg, &parts);
	free(name_of);
	stored_file_clear(&file);
	facts_clear(&stand_in);
	return error;
}

int view_visit_parts(struct view *view, const struct checkpoint *whole, int32_t first, int32_t last, parts_fn visit,
		     void *arg)
{
	int error = 0;
	for (size_t i = 0; i < whole->day_count && !error; i++)
		if (whole->days[i].day >= first && whole->days[i].day <= last)
			error = visit_day(view, whole, &whole->days[i], visit, arg);
	return error;
}

struct whole_days {
	struct view *view;
	int (*visit)(void *arg, const struct facts *facts);
	void *arg;
};

static int add_up(void *arg, const struct facts_parts *parts)
{
	const struct whole_days *days = arg;
	struct facts facts;
	facts_init(&facts, parts->day);
	if (parts->file)
		facts_add_file(&facts, &days->view->names, parts->file);
	if (parts->facts)
		facts_add_facts(&facts, parts->facts);
	int error = facts.error ? facts.error : days->visit(days->arg, &facts);
	facts_clear(&facts);
	return error;
}

int view_visit_days(struct view *view, const struct checkpoint *whole, int32_t first, int32_t last,
		    int (*visit)(void *arg, const struct facts *facts), void *arg)
{
	struct whole_days days = {view, visit, arg};
	return view_visit_parts(view, whole, first, last, add_up, &days);
}

struct sum_up {
	struct view *view;
	struct totals *totals;
};

static int sum_up_day(void *arg, const struct facts *facts)
{
	struct sum_up *sum_up = arg;
	return totals_add(sum_up->totals, &sum_up->view->names, facts);
}

int view_sum_days(struct view *view, const struct checkpoint *whole, int32_t first, int32_t last, struct totals *totals)
{
	struct sum_up sum_up = {.view = view, .totals = totals};
	return view_visit_days(view, whole, first, last, sum_up_day, &sum_up);
}
