/* A run of the compactor. */
#include "compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "money.h"
#include "os.h"
#include "pricing.h"
#include "prune.h"
#include "rescue.h"

/* What a run says that could do no better than begin anew from the base. */
enum { NEEDS_BASE = 1 };

/* All that a run needs at hand. */
struct run {
	const struct ul_directory *directory;
	const struct compact_options *options;
	struct names *names;
	struct findings *findings;
	struct ul_message *why;
	struct recovery_state state;
	struct segments segments;
	struct pass pass;
	struct checkpoint *next; /* what will be committed */
	int32_t *lost_days;      /* whose fact files are missing or damaged, in order */
	size_t lost_day_count;
	struct pass repair; /* the lost days, folded anew from what was folded */
	bool ids_lost;
	uint64_t generation;
	bool want_base; /* the files that the checkpoint names are lost, and not all slots are there to make them anew */
	bool from_base; /* the base is gone on from */
	bool rebuild;   /* everything is folded anew, from nothing */
	bool changed;
	struct checkpoint before; /* what a rebuild that was asked for is compared with */
	struct pricing pricing;
	struct compact_result *result;
};

static int fail(struct run *run, int error, const char *what)
{
	ul_message_set(run->why, "%s: %s: %s; nothing was committed; see to that and run it again",
		       run->directory->path, what, usagelog_strerror(error));
	return error;
}

/* ---- before the fold ----------------------------------------------------------------------------------------- */

static void set_aside(struct run *run, const char *name)
{
	char renamed[2 * STORE_NAME_BYTES];
	int error = store_set_aside(run->directory->fd, name, renamed);
	if (error && error != -ENOENT)
		findings_add(run->findings, FINDING_DAMAGE, "%s/%s: cannot be set aside: %s", run->directory->path,
			     name, usagelog_strerror(error));
	else if (!error)
		findings_add(run->findings, FINDING_NOTE, "%s/%s: set aside as %s", run->directory->path, name,
			     renamed);
}

static void set_checkpoints_aside(struct run *run)
{
	if (run->state.current == FILE_DAMAGED)
		set_aside(run, "checkpoint");
	if (run->state.previous == FILE_DAMAGED)
		set_aside(run, "checkpoint.previous");
}

enum { RESCUE_TRIES_MAX = 200 }; /* 50 us apart */

/* Rescue what needs it now. How many are rescued; `*busy`: how many are locked by somebody. */
static uint32_t rescue_once(const struct run *run, uint32_t *busy, struct findings *told)
{
	uint32_t rescued = 0;
	*busy = 0;
	findings_clear(told);
	for (size_t i = 0; i < run->segments.file_count; i++) {
		const struct segment_file *file = &run->segments.files[i];
		struct ul_message why;
		if (!file->needs_rescue)
			continue;
		int error = ul_rescue_dead(run->segments.list.fds[file->name->directory], file->name->name, &why);
		rescued += !error;
		*busy += error == -EAGAIN;
		if (error)
			findings_add(told, FINDING_LEFT_OUT, "%s", why.text);
	}
	return rescued;
}

/*
 * Pages that a dead writer of this boot was syncing may never reach the disk from where they are: they are copied first. Once more while there is
 * somebody at one of them: who opens a log looks at the segments that it may go on in, and a sync that its writer did not live to see
 * the end of holds the lock until then. And once more after each rescue, since other writers may have died meanwhile.
 */
static int rescue(struct run *run)
{
	struct findings told = {0}, again = {0};
	uint32_t busy = 1, rescued = 0;
	int error = 0;
	for (uint32_t tries = 0; tries < RESCUE_TRIES_MAX && (busy || rescued) && !error; tries++) {
		if (tries)
			os_pause();
		rescued = rescue_once(run, &busy, &told);
		if (!rescued)
			continue;
		segments_clear(&run->segments);
		error = segments_scan(&run->segments, run->directory, &again);
		findings_clear(&again);
	}
	if (!error)
		findings_add_all(run->findings, &told);
	findings_clear(&told);
	return error;
}

/* A segment that still needs rescue must not be folded: what it holds may be gone with the power. */
static void exclude_unrescued(struct run *run)
{
	for (size_t i = 0; i < run->segments.group_count; i++) {
		struct segment_group *group = &run->segments.groups[i];
		for (uint32_t j = 0; j < group->file_count; j++)
			group->excluded |= group->files[j].needs_rescue;
	}
}

static int find_segments(struct run *run)
{
	int error = segments_scan(&run->segments, run->directory, run->findings);
	if (!error)
		error = rescue(run);
	if (error)
		return fail(run, error, "its segments cannot be listed");
	exclude_unrescued(run);
	return 0;
}

/* ---- the fact files that are there ----------------------------------------------------------------------------- */

static void read_day(const struct run *run, const struct ul_day *day, struct stored_file *file)
{
	store_read_day(run->directory->fd, day, &run->directory->conf.log_id, file);
}

/* Files do not change after their checkpoint, so one that did not, and has its size, is not read. */
static bool file_is_suspect(const struct run *run, const char *name, uint64_t size_bytes)
{
	struct stat found;
	if (os_stat_at(run->directory->fd, name, &found))
		return true;
	uint64_t changed_ns = (uint64_t)found.st_ctim.tv_sec * 1000000000 + (uint64_t)found.st_ctim.tv_nsec;
	return !S_ISREG(found.st_mode) || (uint64_t)found.st_size != size_bytes ||
	       changed_ns >= run->state.current_ctime_ns;
}

/* One that is about to be added to is read in any case. */
static bool day_is_suspect(const struct run *run, const struct ul_day *day)
{
	char name[STORE_NAME_BYTES];
	store_fact_name(name, day->day, day->generation);
	return fold_find_day(&run->pass.fold, day->day) || file_is_suspect(run, name, day->size_bytes);
}

/* Is a file that the checkpoint names lost? If the base has a copy, it is put back and is not. `made_anew` says from what it is made else. */
static bool is_lost(struct run *run, const struct base_file *named, enum file_state state, const char *made_anew)
{
	if (state != FILE_MISSING && state != FILE_DAMAGED)
		return false;
	bool back = !base_put_back(run->directory, named);
	findings_add(run->findings, FINDING_DAMAGE, "%s/%s: is %s; %s", run->directory->path, named->name,
		     state == FILE_MISSING ? "missing" : "damaged", back ? "the base's copy was put back" : made_anew);
	return !back;
}

static int find_lost_days(struct run *run)
{
	const struct checkpoint *old = &run->state.checkpoint;
	run->lost_days = os_allocate(old->day_count + 1, sizeof(*run->lost_days));
	if (!run->lost_days)
		return fail(run, -ENOMEM, "the fact files cannot be checked");
	/* Those that the base names were looked at when it was gone back to. */
	for (size_t i = 0; i < old->day_count && !run->rebuild && !run->from_base; i++) {
		struct stored_file file;
		if (!day_is_suspect(run, &old->days[i]))
			continue;
		struct base_file named = base_file_of_day(&old->days[i]);
		read_day(run, &old->days[i], &file);
		int error = file.state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file.error;
		if (is_lost(run, &named, file.state, "its day is folded anew from the segments"))
			run->lost_days[run->lost_day_count++] = old->days[i].day;
		stored_file_clear(&file);
		if (error)
			return fail(run, error, named.name);
	}
	return 0;
}

/* The id set of a checkpoint. FILE_MISSING with no name: there is none. */
static void read_ids(const struct run *run, const struct checkpoint *checkpoint, struct stored_file *file,
		     struct base_file *named)
{
	*file = (struct stored_file){.state = FILE_MISSING};
	*named = (struct base_file){0};
	for (size_t i = 0; i < checkpoint->file_count; i++) {
		if (checkpoint->files[i].kind != UL_FILE_IDS || !base_file_of(named, &checkpoint->files[i], run->names))
			continue;
		store_read_named(run->directory->fd, named->name, named->kind, &run->directory->conf.log_id,
				 named->checksum, file);
		return;
	}
	*named = (struct base_file){0};
}

/*
 * Is there a segment of which something was folded, and that cannot be read for now? Without it, lost files would be made of less than they held. Of a file whose
 * header cannot be read its name says which segment it is. 0 or -errno.
 */
static int find_unreadable(const struct run *run)
{
	const struct checkpoint *from = &run->state.checkpoint;
	for (size_t i = 0; i < run->segments.group_count; i++) {
		const struct segment_group *group = &run->segments.groups[i];
		if (group->excluded && group->error != -ENOENT && checkpoint_find_segment(from, &group->id))
			return group->error ? group->error : -EAGAIN;
	}
	for (size_t i = 0; i < run->segments.file_count; i++) {
		const struct segment_file *file = &run->segments.files[i];
		struct ul_id id;
		bool is_errno = file->error < 0 && file->error > USAGELOG_ERROR_HELD && file->error != -ENOENT;
		if (is_errno && ul_id_parse(&id, file->name->name) && checkpoint_find_segment(from, &id))
			return file->error;
	}
	return 0;
}

/* Fold again what was folded, for the days and ids whose files are lost. */
static int repair_lost(struct run *run)
{
	if (!run->lost_day_count && !run->ids_lost)
		return 0;
	run->repair = (struct pass){.directory = run->directory,
				    .segments = &run->segments,
				    .checkpoint = &run->state.checkpoint,
				    .names = run->names,
				    .findings = run->findings,
				    .again = true};
	if (!run->ids_lost) {
		run->repair.only_days = run->lost_days;
		run->repair.only_day_count = run->lost_day_count;
	}
	int error = pass_run(&run->repair);
	if (!error)
		error = find_unreadable(run);
	return error ? fail(run, error, "lost fact files cannot be made anew") : 0;
}

static int check_ids(struct run *run)
{
	struct stored_file file;
	struct base_file named;
	read_ids(run, &run->state.checkpoint, &file, &named);
	int error = file.state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file.error;
	run->ids_lost =
		*named.name && !run->rebuild && is_lost(run, &named, file.state, "it is made anew from the segments");
	if (run->ids_lost && file.state == FILE_DAMAGED)
		set_aside(run, named.name);
	stored_file_clear(&file);
	return error ? fail(run, error, named.name) : 0;
}

/* ---- the fold ------------------------------------------------------------------------------------------------ */

static int fold(struct run *run, const struct checkpoint *from)
{
	run->pass = (struct pass){.directory = run->directory,
				  .segments = &run->segments,
				  .checkpoint = from,
				  .names = run->names,
				  .findings = run->findings,
				  .sync = true};
	int error = pass_run(&run->pass);
	if (error == -EOVERFLOW)
		return fail(run, error, "a sum is beyond its field; the log holds counts that cannot be");
	if (error)
		return fail(run, error, "the calls cannot be folded");
	pass_report_missing(&run->pass);
	return 0;
}

/* Other settings cut other days, so everything is folded anew; which must then be there. */
static int check_rebuilt(struct run *run)
{
	const struct segment_state *lost = pass_find_lost(&run->pass, &run->state.checkpoint);
	char id[UL_ID_TEXT_BYTES];
	if (!lost)
		return 0;
	ul_id_format(id, &lost->record.id);
	ul_message_set(run->why,
		       "%s: the time zone or group_by changed, so all calls must be folded anew, but those of segment "
		       "%s are not all there any more; nothing was touched; put the setting back (usagelog config), or "
		       "restore the segment",
		       run->directory->path, id);
	return USAGELOG_ERROR_CONTRADICTION;
}

/* Note in the next checkpoint which slots are folded. */
static int name_slots(struct run *run, struct compact_result *result)
{
	for (size_t i = 0; i < run->segments.group_count; i++) {
		struct group_result *group = &run->pass.results[i];
		const struct segment_state *known = checkpoint_find_segment(run->next, &run->segments.groups[i].id);
		result->dropped += group->dropped;
		for (size_t j = 0; j < UL_CAUSES; j++)
			result->dropped_by_cause[j] += group->dropped_by_cause[j];
		if (!group->added.count && (!known || known->record.dropped == group->dropped))
			continue;
		struct segment_state *state = checkpoint_get_segment(run->next, &run->segments.groups[i].id);
		if (!state || runs_unite(&state->runs, &group->added))
			return fail(run, -ENOMEM, "the checkpoint cannot be made");
		/* Deleting it was begun, but a writer took it up before its end. */
		if (group->added.count)
			state->record.state &= ~UL_SEGMENT_PRUNED;
		state->record.size_bytes = group->size_bytes;
		state->record.attempted = group->attempted;
		state->record.dropped = group->dropped;
		state->record.calls += group->calls;
		result->segments += group->calls != 0;
		run->changed = true;
	}
	return 0;
}

/* ---- the next generation of files ------------------------------------------------------------------------------ */

/* A lost day, made anew: from the slots if they come to the same, else from the totals, which have no more than its sums. */
static int remake_day(struct run *run, int32_t day, struct stored_file *file)
{
	struct facts empty, *facts = fold_find_day(&run->repair.fold, day);
	facts_init(&empty, day);
	if (!facts)
		facts = &empty;
	const struct ul_day *was = checkpoint_find_day(&run->state.checkpoint, day);
	const struct facts_origin origin = {run->generation, run->next->settings, was->prices};
	int agrees = pricing_apply(&run->pricing, was->prices, facts);
	if (!agrees)
		agrees = checkpoint_agrees(&run->state.checkpoint, run->names, facts);
	if (agrees == 0) {
		bool recent = day >= checkpoint_window(&run->state.checkpoint).recent_from;
		char text[CALENDAR_DAY_BYTES];
		calendar_print_day(text, day);
		findings_add(
			run->findings, FINDING_LEFT_OUT,
			"%s: not all slots of this day are there any more: its totals stay%s, but its %soperations, "
			"attributes, quarters of an hour and quantiles are lost; restore the segments from a backup",
			text, recent ? ", by model too" : "", recent ? "" : "models, ");
		facts = &empty;
		totals_stand_in(&run->state.checkpoint.totals, run->names, facts);
	}
	int error = agrees < 0 ? agrees : facts->error;
	if (!error)
		file->bytes = facts_encode(facts, run->names, &run->directory->conf.log_id, &origin, &file->size_bytes,
					   &error);
	if (!error && ul_container_open(&file->container, UL_CONTAINER_FACTS, file->bytes, file->size_bytes, NULL) !=
			      UL_CONTAINER_VALID)
		error = -EOVERFLOW;
	facts_clear(&empty);
	return error;
}

static bool day_is_lost(const struct run *run, int32_t day)
{
	for (size_t i = 0; i < run->lost_day_count; i++)
		if (run->lost_days[i] == day)
			return true;
	return false;
}

/* What the day had before; a file without bytes: nothing. */
static int read_old_day(struct run *run, int32_t day, struct stored_file *file)
{
	const struct ul_day *old = run->rebuild ? NULL : checkpoint_find_day(&run->state.checkpoint, day);
	char name[STORE_NAME_BYTES];
	*file = (struct stored_file){0};
	if (!old)
		return 0;
	store_fact_name(name, old->day, old->generation);
	if (day_is_lost(run, day)) {
		set_aside(run, name);
		return remake_day(run, day, file);
	}
	read_day(run, old, file);
	return file->state == FILE_SOUND ? 0 : file->error ? file->error : -EIO;
}

/* Add up what is priced here, or could be, by provider and model. */
static int sum_priced(struct table *sums, const struct facts *facts)
{
	for (uint32_t i = 0; i < facts->rows.count; i++) {
		const struct ul_row *row = table_record(&facts->rows, i);
		struct ul_sum key = {.first = row->provider, .second = row->model};
		if (row->scope || row->price_class == UL_PRICE_GIVEN)
			continue;
		struct ul_sum *sum = table_get(sums, &key);
		if (!sum || !sum_add_row(sum, row, false))
			return sum ? -EOVERFLOW : -ENOMEM;
	}
	return 0;
}

/* Note what a day that is priced again was priced with before, and what with now. */
static int note_change(struct run *run, const struct facts *facts, const struct ul_container *file)
{
	struct facts old;
	struct compact_result *result = run->result;
	facts_init(&old, facts->day);
	facts_add_file(&old, run->names, file);
	int error = old.error ? old.error : sum_priced(&result->priced_before, &old);
	if (!error) {
		facts_add_facts(&old, facts);
		error = old.error ? old.error : sum_priced(&result->priced_after, &old);
	}
	facts_clear(&old);
	result->days_priced++;
	return error;
}

/* Price new calls, and old ones if the day's table is another one now; bring the totals up; put old and new together. */
static int gather_day(struct run *run, struct facts *facts, uint32_t *prices)
{
	const struct ul_day *old = run->rebuild ? NULL : checkpoint_find_day(&run->state.checkpoint, facts->day);
	struct stored_file file;
	uint32_t had = old ? old->prices : 0;
	int error = read_old_day(run, facts->day, &file);
	const struct ul_container *before = file.bytes && !error ? &file.container : NULL;
	if (!error)
		error = pricing_day(&run->pricing, before, had, facts, prices);
	if (!error && before && *prices != had && run->options->reprice)
		error = note_change(run, facts, before);
	if (!error)
		error = totals_add(&run->next->totals, run->names, facts);
	if (!error && before) {
		facts_add_file(facts, run->names, before);
		error = facts->error;
	}
	stored_file_clear(&file);
	return error;
}

static int write_day(struct run *run, struct facts *facts)
{
	char name[STORE_NAME_BYTES];
	size_t size_bytes = 0;
	struct facts_origin origin = {run->generation, run->next->settings, 0};
	int error = gather_day(run, facts, &origin.prices);
	if (error)
		return error;
	void *bytes = facts_encode(facts, run->names, &run->directory->conf.log_id, &origin, &size_bytes, &error);
	if (!error) {
		const struct ul_container_header *header = bytes;
		struct ul_day day = {.day = facts->day,
				     .prices = origin.prices,
				     .generation = run->generation,
				     .size_bytes = size_bytes,
				     .checksum = header->checksum,
				     .calls = facts_calls(facts)};
		store_fact_name(name, facts->day, run->generation);
		error = store_write(run->directory->fd, name, bytes, size_bytes);
		if (!error)
			error = checkpoint_set_day(run->next, &day);
	}
	free(bytes);
	return error;
}

/* Days that hold calls without a given cost, and are to be priced with another table than they were: those of a reprice, and those that a base has
 * as they were before one. */
static int choose_priced_days(struct run *run)
{
	const struct checkpoint *old = &run->state.checkpoint;
	for (size_t i = 0; i < old->day_count && !run->rebuild && (run->options->reprice || run->from_base); i++) {
		const struct ul_day *day = &old->days[i];
		if (!run->from_base && day->day < run->options->prices_since)
			continue;
		if (day->prices == pricing_named(&run->pricing, day->day))
			continue;
		/* Opening balances are among those without a price, and stay so: at worst a day is looked at for nothing. */
		if (!day->prices && !totals_day(&old->totals, day->day).unpriced_calls)
			continue;
		if (!fold_get_day(&run->pass.fold, day->day))
			return fail(run, -ENOMEM, "days cannot be priced anew");
	}
	return 0;
}

static int write_days(struct run *run)
{
	struct fold *fold_now = &run->pass.fold;
	int chosen = choose_priced_days(run);
	if (chosen)
		return chosen;
	/* A lost day with nothing new is written too. */
	for (size_t i = 0; i < run->lost_day_count; i++)
		if (!fold_get_day(fold_now, run->lost_days[i]))
			return fail(run, -ENOMEM, "fact files cannot be made");
	for (size_t i = 0; i < fold_now->day_count; i++) {
		int error = write_day(run, fold_now->days[i]);
		char name[STORE_NAME_BYTES];
		store_fact_name(name, fold_now->days[i]->day, run->generation);
		if (error)
			return fail(run, error, name);
		run->changed = true;
	}
	return checkpoint_trim(run->next) ? fail(run, -ENOMEM, "the totals cannot be kept") : 0;
}

static int place_ids(struct run *run, const struct ul_id_record *records, size_t count)
{
	char name[STORE_NAME_BYTES];
	size_t size_bytes;
	void *bytes = ids_encode(records, count, &run->directory->conf.log_id, run->generation, &size_bytes);
	if (!bytes)
		return -ENOMEM;
	store_ids_name(name, run->generation);
	int error = store_write(run->directory->fd, name, bytes, size_bytes);
	const struct ul_container_header *header = bytes;
	const struct ul_named_file file = {.kind = UL_FILE_IDS,
					   .name = names_intern(run->names, name, strlen(name)),
					   .size_bytes = size_bytes,
					   .checksum = header->checksum};
	if (!error)
		error = checkpoint_set_ids(run->next, &file);
	run->changed |= !error;
	free(bytes);
	return error ? error : run->names->error;
}

static int apply_ids(struct run *run, const struct ul_id_record *old, size_t old_count)
{
	struct fold *again = &run->repair.fold, *now = &run->pass.fold;
	size_t count = 0, whole_count = 0;
	struct ul_id_record *base = NULL;
	if (run->ids_lost) {
		base = ids_apply(NULL, 0, again->id_changes, again->id_change_count, &count);
		if (!base)
			return -ENOMEM;
		old = base;
		old_count = count;
	}
	struct ul_id_record *whole = ids_apply(old, old_count, now->id_changes, now->id_change_count, &whole_count);
	int error = whole ? place_ids(run, whole, whole_count) : -ENOMEM;
	free(whole);
	free(base);
	return error;
}

static int write_ids(struct run *run)
{
	struct stored_file file = {0};
	struct base_file named;
	uint64_t count = 0;
	const struct ul_id_record *records = NULL;
	if (!run->pass.fold.id_change_count && !run->ids_lost)
		return 0;
	if (!run->rebuild && !run->ids_lost) {
		read_ids(run, &run->state.checkpoint, &file, &named);
		/* It was sound a moment ago. */
		if (*named.name && file.state != FILE_SOUND) {
			int error = file.error ? file.error : -EIO;
			stored_file_clear(&file);
			return fail(run, error, named.name);
		}
	}
	if (file.state == FILE_SOUND && file.bytes)
		records = ul_container_records(&file.container, UL_SECTION_IDS, &count);
	int error = apply_ids(run, records, (size_t)count);
	stored_file_clear(&file);
	return error ? fail(run, error, "the set of call ids cannot be written") : 0;
}

/* ---- prices ------------------------------------------------------------------------------------------------- */

/* A table that is lost stays named while days are priced with it. True: none is, and it is given up. */
static bool give_up_table(struct run *run, const struct priced_table *table, const char *name)
{
	const struct checkpoint *old = &run->state.checkpoint;
	char text[CALENDAR_DAY_BYTES];
	int32_t first = INT32_MAX;
	bool named = false;
	for (size_t i = 0; i < old->day_count; i++) {
		const struct ul_day *day = &old->days[i];
		bool cured = run->options->reprice && day->day >= run->options->prices_since;
		named |= day->prices == table->generation;
		if (day->prices == table->generation && day->day < first && !cured)
			first = day->day;
	}
	calendar_print_day(text, first);
	if (!named)
		findings_add(run->findings, FINDING_LEFT_OUT,
			     "%s/%s: no day was priced with it; run usagelog prices import once more",
			     run->directory->path, name);
	else if (first != INT32_MAX)
		findings_add(run->findings, FINDING_LEFT_OUT,
			     "%s/%s: what it priced stays, but new calls of its days, from %s on, have no price: "
			     "usagelog reprice --since %s --prices FILE prices them anew",
			     run->directory->path, name, text, text);
	return !named;
}

/* A table was looked at. If it is lost, and the base has no copy to put back, that is said, and it is given up if no day needs it. */
static int judge_table(struct run *run, struct priced_table *table, bool *given_up)
{
	struct base_file named = {
		.kind = UL_CONTAINER_PRICES, .size_bytes = table->size_bytes, .checksum = table->checksum};
	enum file_state state = table->file.state;
	store_prices_name(named.name, table->generation);
	if (state == FILE_NEWER || state == FILE_UNREADABLE)
		return fail(run, table->file.error ? table->file.error : USAGELOG_ERROR_NEWER, named.name);
	if (state == FILE_SOUND || table->told)
		return 0;
	if (!is_lost(run, &named, state, "it cannot be made anew")) {
		stored_file_clear(&table->file);
		table->looked_for = false;
		return 0;
	}
	if (state == FILE_DAMAGED)
		set_aside(run, named.name);
	table->told = true;
	*given_up = give_up_table(run, table, named.name);
	return 0;
}

/* Look at the tables that are named, and that may have changed since. */
static int check_price_tables(struct run *run)
{
	for (size_t i = 0; i < run->pricing.count;) {
		struct priced_table *table = &run->pricing.tables[i];
		char name[STORE_NAME_BYTES];
		bool given_up = false;
		store_prices_name(name, table->generation);
		if (file_is_suspect(run, name, table->size_bytes)) {
			(void)pricing_table(&run->pricing, table->generation);
			int error = judge_table(run, table, &given_up);
			if (error)
				return error;
		}
		if (given_up)
			pricing_remove(&run->pricing, table->generation);
		i += !given_up;
		run->changed |= given_up;
	}
	return 0;
}

/* A table that was damaged without a trace is found so when it is used. */
static int check_used_tables(struct run *run)
{
	int error = 0;
	for (size_t i = 0; i < run->pricing.count && !error; i++) {
		bool given_up;
		if (run->pricing.tables[i].looked_for)
			error = judge_table(run, &run->pricing.tables[i], &given_up);
	}
	return error;
}

/* Was the table that stands on the day asked for made of the same map? */
static bool stands_already(struct run *run)
{
	uint32_t standing = pricing_standing(&run->pricing, run->options->prices_since);
	const struct ul_container *table = pricing_table(&run->pricing, standing);
	uint64_t count;
	const struct ul_price_meta *meta = table ? ul_container_records(table, UL_SECTION_META, &count) : NULL;
	return meta && meta->source == run->options->prices->source;
}

/* Write the table that was asked for; it is named by the checkpoint to come. */
static int make_price_table(struct run *run)
{
	const struct compact_options *options = run->options;
	const struct price_table_origin origin = {run->generation, options->prices_since, options->reprice};
	char name[STORE_NAME_BYTES];
	size_t size_bytes;
	int error;
	if (!options->prices)
		return 0;
	if (run->generation > UINT32_MAX)
		return fail(run, -EOVERFLOW, "no more price tables can be made");
	if (!options->reprice && stands_already(run))
		return 0;
	void *bytes = price_map_encode(options->prices, &run->directory->conf.log_id, &origin, &size_bytes, &error);
	store_prices_name(name, run->generation);
	if (!error)
		error = store_write(run->directory->fd, name, bytes, size_bytes);
	if (!error) {
		const struct ul_container_header *header = bytes;
		const struct priced_table table = {.generation = (uint32_t)run->generation,
						   .since = origin.since,
						   .size_bytes = size_bytes,
						   .checksum = header->checksum};
		error = pricing_add(&run->pricing, &table, origin.replaces);
	}
	free(bytes);
	run->changed = true;
	run->result->price_table = run->generation;
	return error ? fail(run, error, name) : 0;
}

/* Which day names which table from now on. */
static int set_priced_days(struct run *run)
{
	const struct checkpoint *old = &run->state.checkpoint;
	const struct compact_options *options = run->options;
	for (size_t i = 0; i < old->day_count && options->reprice; i++)
		if (old->days[i].day >= options->prices_since)
			pricing_set_day(&run->pricing, old->days[i].day, (uint32_t)run->generation);
	return run->names->error ? fail(run, -ENOMEM, "the days' prices cannot be kept") : 0;
}

/* A checkpoint that is lost may have priced history again; the one before it knows nothing of that. */
static int report_later_table(void *arg, const char *name)
{
	struct run *run = arg;
	uint64_t generation;
	if (store_parse_prices_name(name, &generation) && generation > run->state.checkpoint.generation)
		findings_add(
			run->findings, FINDING_LEFT_OUT,
			"%s/%s: was made after checkpoint.previous, and is not used: run usagelog prices import or "
			"reprice once more",
			run->directory->path, name);
	return 0;
}

static int report_later_tables(struct run *run)
{
	return store_list(run->directory->fd, report_later_table, run);
}

static int begin_prices(struct run *run)
{
	pricing_open(&run->pricing, run->directory, run->names);
	/* What a rebuild takes the place of says it; else the base, and what was left in the directory since. */
	const struct checkpoint *said = run->before.generation ? &run->before : &run->state.checkpoint;
	int error = pricing_take(&run->pricing, said);
	if (!error && run->state.decision == RECOVERY_REBUILD)
		error = pricing_take_directory(&run->pricing);
	if (!error && run->state.decision == RECOVERY_PREVIOUS)
		error = report_later_tables(run);
	run->pricing.days_stand = run->rebuild || run->from_base;
	if (error)
		return fail(run, error, "the price tables cannot be taken up");
	error = check_price_tables(run);
	if (!error)
		error = make_price_table(run);
	return error ? error : set_priced_days(run);
}

/* The tables are named, and the last calls priced with them. */
static int price_calls(struct run *run)
{
	int error = pricing_store(&run->pricing, run->next);
	if (!error)
		error = pricing_calls(&run->pricing, run->next);
	return error ? fail(run, error, "the last calls cannot be priced") : 0;
}

/* ---- what a rebuild did not find ------------------------------------------------------------------------------- */

/* Fact files that hold more than what was folded anew: their calls are gone from the segments. They are named, and kept out of the way. */
static int compare_old_fact(void *arg, const char *name)
{
	struct run *run = arg;
	int32_t day;
	uint64_t generation;
	struct stored_file file;
	if (!store_parse_fact_name(name, &day, &generation) || generation >= run->generation)
		return 0;
	store_read(run->directory->fd, name, UL_CONTAINER_FACTS, &run->directory->conf.log_id, &file);
	if (file.state == FILE_UNREADABLE)
		return file.error;
	const struct ul_day *has = checkpoint_find_day(run->next, day);
	struct facts had;
	facts_init(&had, day);
	uint64_t count;
	const struct ul_fact_meta *meta =
		file.state == FILE_SOUND ? ul_container_records(&file.container, UL_SECTION_META, &count) : NULL;
	/* Under other settings the day was another one. */
	if (meta && meta->settings == run->next->settings)
		facts_add_file(&had, run->names, &file.container);
	int64_t before = facts_calls(&had), now = has ? has->calls : 0;
	if (before > now) {
		findings_add(run->findings, FINDING_LEFT_OUT,
			     "%s/%s: holds %lld calls, and only %lld of its day are in the segments: the others cannot "
			     "be had again; restore "
			     "the segments from a backup and run it again",
			     run->directory->path, name, (long long)before, (long long)now);
		set_aside(run, name);
	}
	facts_clear(&had);
	stored_file_clear(&file);
	return 0;
}

/* The next checkpoint as a file. NULL and `*error`. What would not be read again must not be committed. */
static void *encode_next(const struct run *run, size_t *size_bytes, int *error)
{
	struct ul_container check;
	void *bytes = checkpoint_encode(run->next, run->names, &run->directory->conf.log_id, size_bytes, error);
	if (bytes && ul_container_open(&check, UL_CONTAINER_CHECKPOINT, bytes, *size_bytes, NULL) == UL_CONTAINER_VALID)
		return bytes;
	if (bytes)
		*error = -EOVERFLOW;
	free(bytes);
	return NULL;
}

static int commit(struct run *run)
{
	size_t size_bytes;
	int error;
	void *bytes = encode_next(run, &size_bytes, &error);
	if (bytes)
		error = store_commit(run->directory->fd, bytes, size_bytes);
	free(bytes);
	return error ? fail(run, error, "the checkpoint cannot be written") : 0;
}

/* ---- left-overs ------------------------------------------------------------------------------------------------ */

struct keepers {
	struct run *run;
	struct stored_file files[3]; /* checkpoint, checkpoint.previous, checkpoint.base */
};

static bool is_named(const struct ul_container *container, const char *name)
{
	uint64_t count, generation, name_generation;
	int32_t day;
	bool fact = store_parse_fact_name(name, &day, &name_generation);
	const struct ul_day *days = ul_container_records(container, UL_SECTION_DAYS, &count);
	for (uint64_t i = 0; i < count && fact; i++)
		if (days[i].day == day && days[i].generation == name_generation)
			return true;
	const struct ul_named_file *files = ul_container_records(container, UL_SECTION_FILES, &count);
	bool other = store_parse_ids_name(name, &generation) || store_parse_prices_name(name, &generation);
	for (uint64_t i = 0; i < count && other; i++) {
		struct ul_text text = ul_container_string(container, files[i].name);
		if (text.bytes == strlen(name) && memcmp(text.text, name, text.bytes) == 0)
			return true;
	}
	return false;
}

static bool is_leftover(const struct keepers *keepers, const char *name)
{
	int32_t day;
	uint64_t generation;
	char original[STORE_NAME_BYTES];
	const struct stored_file *current = &keepers->files[0], *previous = &keepers->files[1],
				 *base = &keepers->files[2];
	if (store_is_draft_name(name))
		return true;
	if (store_parse_base_name(name, original))
		return base->state == FILE_SOUND && !is_named(&base->container, original);
	if (!store_parse_fact_name(name, &day, &generation) && !store_parse_ids_name(name, &generation) &&
	    !store_parse_prices_name(name, &generation))
		return false;
	return current->state == FILE_SOUND && previous->state == FILE_SOUND && !is_named(&current->container, name) &&
	       !is_named(&previous->container, name);
}

static int remove_leftover(void *arg, const char *name)
{
	struct keepers *keepers = arg;
	if (!is_leftover(keepers, name))
		return 0;
	int error = os_unlink(keepers->run->directory->fd, name);
	if (error && error != -ENOENT)
		findings_add(keepers->run->findings, FINDING_RESIDUE, "%s/%s: is left over and cannot be deleted: %s",
			     keepers->run->directory->path, name, usagelog_strerror(error));
	return 0;
}

/* Nothing that is deleted here is named by a checkpoint: a failure harms nothing, and the next run tries again. */
static void remove_leftovers(struct run *run)
{
	static const char *const names[3] = {"checkpoint", "checkpoint.previous", "checkpoint.base"};
	struct keepers keepers = {.run = run};
	for (size_t i = 0; i < 3; i++)
		store_read(run->directory->fd, names[i], UL_CONTAINER_CHECKPOINT, &run->directory->conf.log_id,
			   &keepers.files[i]);
	store_list(run->directory->fd, remove_leftover, &keepers);
	for (size_t i = 0; i < 3; i++)
		stored_file_clear(&keepers.files[i]);
}

/* ---- retention ------------------------------------------------------------------------------------------------- */

/* Durable before anything is deleted: the base, and then the checkpoint that says what is deleted. */
static int commit_marks(struct run *run, const struct prune *prune)
{
	size_t size_bytes;
	int error;
	run->next->generation = run->changed ? run->generation + 1 : run->generation;
	void *bytes = encode_next(run, &size_bytes, &error);
	if (bytes)
		error = prune_keep_base(prune, run->next, run->names, bytes, size_bytes);
	if (!error)
		error = store_commit(run->directory->fd, bytes, size_bytes);
	free(bytes);
	return error;
}

/* A base that is needed and not whole is made anew: the totals hold all that it held. */
static int keep_base_whole(struct run *run, struct prune *prune)
{
	int whole = checkpoint_any_pruned(run->next) ? base_is_whole(run->directory, run->names) : 1;
	if (whole == 0) {
		findings_add(run->findings, FINDING_DAMAGE, "%s/checkpoint.base: is not whole; the base is made anew",
			     run->directory->path);
		prune->marks_are_new = true;
	}
	return whole < 0 ? whole : 0;
}

/* The fold is committed by now: what fails here fails the deletion alone. */
static void apply_retention(struct run *run, struct compact_result *result)
{
	struct prune prune = {.directory = run->directory, .segments = &run->segments, .findings = run->findings};
	int error = keep_base_whole(run, &prune);
	if (!error && run->directory->conf.retention_days)
		error = prune_choose(&prune, run->next, os_time_ns());
	if (!error && prune.marks_are_new)
		error = commit_marks(run, &prune);
	if (!error) {
		prune_delete(&prune);
		result->pruned_segments = prune.segments_chosen;
		result->segments_present -= prune.segments_chosen;
		result->freed_bytes = prune.bytes_freed;
	} else {
		findings_add(run->findings, FINDING_LEFT_OUT,
			     "%s: nothing older than retention_days was deleted: %s; the next run tries again",
			     run->directory->path, usagelog_strerror(error));
	}
	prune_clear(&prune);
}

/* The previous checkpoint does not know of a deletion that came after it; the base does. */
static int take_marks(struct run *run)
{
	struct stored_file file;
	struct checkpoint base = {0};
	store_read(run->directory->fd, "checkpoint.base", UL_CONTAINER_CHECKPOINT, &run->directory->conf.log_id, &file);
	int error = file.state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file.error;
	if (file.state == FILE_SOUND)
		error = checkpoint_load(&base, run->names, &file.container);
	for (size_t i = 0; i < base.segment_count && !error; i++) {
		const struct segment_state *held = &base.segments[i];
		struct segment_state *known = checkpoint_find_segment(&run->state.checkpoint, &held->record.id);
		if (known && held->record.state & UL_SEGMENT_PRUNED && runs_include(&held->runs, &known->runs))
			known->record.state |= UL_SEGMENT_PRUNED;
	}
	checkpoint_clear(&base);
	stored_file_clear(&file);
	return error ? fail(run, error, "checkpoint.base cannot be read") : 0;
}

/* ---- a rebuild --------------------------------------------------------------------------------------------------- */

/* Go on from the base, if there is one that can be used. 0, or an error when it must not be passed over. */
static int take_base(struct run *run)
{
	struct stored_file file;
	struct checkpoint *checkpoint = &run->state.checkpoint;
	char name[STORE_NAME_BYTES];
	const char *path = run->directory->path;
	store_read(run->directory->fd, "checkpoint.base", UL_CONTAINER_CHECKPOINT, &run->directory->conf.log_id, &file);
	int error = file.state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file.error;
	if (file.state == FILE_DAMAGED)
		findings_add(run->findings, FINDING_DAMAGE,
			     "%s/checkpoint.base: is damaged; what was deleted by retention cannot be had from it",
			     path);
	if (!error && file.state == FILE_SOUND)
		error = checkpoint_load(checkpoint, run->names, &file.container);
	bool usable =
		!error && file.state == FILE_SOUND && checkpoint->settings == ul_conf_settings(&run->directory->conf);
	stored_file_clear(&file);
	if (error)
		return fail(run, error, "checkpoint.base cannot be read");
	if (!usable) {
		checkpoint_clear(checkpoint);
		return 0;
	}
	if (checkpoint->generation > run->state.generation_max)
		run->state.generation_max = checkpoint->generation;
	error = base_restore(run->directory, checkpoint, run->names, name);
	if (error == -EIO || error == -ENOENT) {
		findings_add(run->findings, FINDING_DAMAGE,
			     "%s/%s: is %s; the base cannot be used, and what was deleted by retention cannot be had",
			     path, name, error == -EIO ? "damaged" : "missing");
		checkpoint_clear(checkpoint);
		return 0;
	}
	run->from_base = !error;
	return error ? fail(run, error, name) : 0;
}

static bool same_totals(const struct run *run, int *error)
{
	size_t size_before = 0, size_now = 0;
	void *before = checkpoint_encode_totals(&run->before.totals, run->names, &size_before, error);
	void *now = before ? checkpoint_encode_totals(&run->next->totals, run->names, &size_now, error) : NULL;
	bool same = before && now && size_before == size_now && memcmp(before, now, size_now) == 0;
	free(before);
	free(now);
	return same;
}

/* A day that a rebuild gave other sums. Has it fewer calls? */
static bool report_day(const struct run *run, int32_t day, const struct ul_sum *before, const struct ul_sum *now)
{
	char text[CALENDAR_DAY_BYTES], cost_before[MONEY_TEXT_BYTES], cost_now[MONEY_TEXT_BYTES];
	calendar_print_day(text, day);
	money_print(cost_before, money_of(before->cost_pico_usd));
	money_print(cost_now, money_of(now->cost_pico_usd));
	findings_add(run->findings, FINDING_DAMAGE, "%s: %lld calls and %s USD before, %lld calls and %s USD now", text,
		     (long long)before->calls, cost_before, (long long)now->calls, cost_now);
	return now->calls < before->calls;
}

/* Say in which days a rebuild differs from what was there; refuse if calls would be lost that way. */
static int compare_with_before(struct run *run, struct compact_result *result)
{
	const struct checkpoint *before = &run->before, *now = run->next;
	uint64_t fewer = 0, differing = 0;
	char first[CALENDAR_DAY_BYTES] = "";
	int error = 0;
	bool same = same_totals(run, &error);
	if (error)
		return fail(run, error, "the totals cannot be compared");
	for (size_t i = 0, j = 0; !same && (i < before->day_count || j < now->day_count);) {
		bool old = i < before->day_count && (j == now->day_count || before->days[i].day <= now->days[j].day);
		bool new = j < now->day_count && (i == before->day_count || now->days[j].day <= before->days[i].day);
		int32_t day = old ? before->days[i].day : now->days[j].day;
		struct ul_sum had = totals_day(&before->totals, day), has = totals_day(&now->totals, day);
		i += old;
		j += new;
		if (memcmp(&had, &has, sizeof(had)) == 0)
			continue;
		differing++;
		if (report_day(run, day, &had, &has) && !fewer++)
			calendar_print_day(first, day);
	}
	if (!same && !differing)
		findings_add(run->findings, FINDING_DAMAGE,
			     "%s: the sums of each day are as before, but those by model, operation, hour or attribute "
			     "were not what the segments give",
			     run->directory->path);
	result->differs = !same;
	if (!fewer || run->options->accept_loss)
		return 0;
	ul_message_set(run->why,
		       "%s: %llu day%s would have fewer calls than now, %s being the first, because segments are gone; "
		       "nothing was committed; restore the segments from a backup, or give --accept-loss",
		       run->directory->path, (unsigned long long)fewer, fewer == 1 ? "" : "s", first);
	return USAGELOG_ERROR_CONTRADICTION;
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

/* Fold and write the next generation; the commit is the caller's. */
static int make_next(struct run *run, struct compact_result *result)
{
	struct checkpoint none = {0};
	const struct checkpoint *from = run->rebuild ? &none : &run->state.checkpoint;
	int error = find_segments(run);
	if (!error)
		error = begin_prices(run);
	if (!error)
		error = check_ids(run);
	if (!error)
		error = fold(run, from);
	if (!error)
		error = find_lost_days(run);
	if (!error && (run->lost_day_count || run->ids_lost) && !run->want_base && checkpoint_any_pruned(from))
		return NEEDS_BASE;
	if (!error)
		error = repair_lost(run);
	if (!error)
		error = name_slots(run, result);
	if (!error && run->rebuild && run->state.settings_changed)
		error = check_rebuilt(run);
	if (!error)
		error = write_days(run);
	if (!error)
		error = write_ids(run);
	if (!error && fold_update_last_calls(&run->pass.fold, run->next))
		error = fail(run, -ENOMEM, "the last calls cannot be gathered");
	if (!error)
		error = price_calls(run);
	if (!error)
		error = check_used_tables(run);
	if (!error && run->options->rebuild)
		error = compare_with_before(run, result);
	if (!error && (run->rebuild || run->from_base) && !run->state.settings_changed) {
		error = store_list(run->directory->fd, compare_old_fact, run);
		if (error)
			error = fail(run, error, "the fact files that are there cannot be listed");
	}
	return error;
}

/* The next checkpoint begins as a copy of what is gone on from. */
static int begin_next(struct run *run)
{
	struct checkpoint *next = run->next;
	const struct checkpoint *old = &run->state.checkpoint;
	int error = run->rebuild ? 0 : checkpoint_copy(next, old);
	run->generation = run->state.generation_max + 1;
	if (error)
		return fail(run, error, "the checkpoint cannot be taken up");
	next->settings = ul_conf_settings(&run->directory->conf);
	return 0;
}

static void finish(struct run *run, struct compact_result *result)
{
	const struct fold *done = &run->pass.fold;
	result->calls = done->calls + done->balances;
	result->counts = done->counts;
	result->segments_present = run->segments.group_count;
}

static int run_once(struct run *run, struct compact_result *result)
{
	int error = recovery_load(&run->state, run->names, run->directory, run->findings, run->why);
	if (error)
		return error;
	bool anew = run->state.decision == RECOVERY_REBUILD || run->state.settings_changed || run->options->rebuild;
	if (run->options->rebuild || run->want_base) {
		run->before = run->state.checkpoint;
		run->state.checkpoint = (struct checkpoint){0};
	}
	if ((anew && !run->state.settings_changed) || run->want_base)
		error = take_base(run);
	else if (run->state.decision == RECOVERY_PREVIOUS)
		error = take_marks(run);
	if (error)
		return error;
	run->rebuild = anew && !run->from_base;
	/* A rebuild makes a generation of its own even if there is nothing to fold. */
	run->changed = anew || run->from_base || run->state.decision == RECOVERY_PREVIOUS;
	error = begin_next(run);
	if (error)
		return error;
	set_checkpoints_aside(run);
	error = make_next(run, result);
	if (error)
		return error;
	finish(run, result);
	struct fold *done = &run->pass.fold;
	if (done->any_call &&
	    (!checkpoint_calls(&run->state.checkpoint) || run->rebuild || done->newest_ns > run->next->newest_ns))
		run->next->newest_ns = done->newest_ns;
	if (run->changed) {
		run->next->generation = run->generation;
		error = commit(run);
	}
	if (!error) {
		result->committed = run->changed;
		apply_retention(run, result);
		remove_leftovers(run);
	}
	return error;
}

static void clear(struct run *run)
{
	if (run->pass.directory)
		pass_clear(&run->pass);
	if (run->repair.directory)
		pass_clear(&run->repair);
	checkpoint_clear(&run->state.checkpoint);
	checkpoint_clear(&run->before);
	pricing_clear(&run->pricing);
	segments_clear(&run->segments);
	free(run->lost_days);
}

static void begin_result(struct compact_result *result)
{
	*result = (struct compact_result){0};
	table_init(&result->priced_before, sizeof(struct ul_sum));
	table_init(&result->priced_after, sizeof(struct ul_sum));
}

void compact_result_clear(struct compact_result *result)
{
	table_clear(&result->priced_before);
	table_clear(&result->priced_after);
	begin_result(result);
}

int compact_run(const struct ul_directory *directory, const struct compact_options *options,
		struct checkpoint *checkpoint, struct names *names, struct compact_result *result,
		struct findings *findings, struct ul_message *why)
{
	struct run run = {.directory = directory,
			  .options = options,
			  .names = names,
			  .findings = findings,
			  .why = why,
			  .next = checkpoint,
			  .result = result};
	const char *kind;
	/* Who recorded there told the library to go on all the same. */
	if (os_is_remote(directory->fd, &kind) > 0)
		findings_add(findings, FINDING_NOTE,
			     "%s: is on a filesystem of the kind %s, on which locks and syncs cannot be relied on; "
			     "move the log to a local one",
			     directory->path, kind);
	begin_result(result);
	int error = run_once(&run, result);
	clear(&run);
	if (error != NEEDS_BASE)
		return error;
	findings_add(findings, FINDING_NOTE,
		     "%s: segments were deleted by retention, so it is gone back to the base, and what came since is "
		     "folded anew",
		     directory->path);
	checkpoint_clear(checkpoint);
	compact_result_clear(result);
	run = (struct run){.directory = directory,
			   .options = options,
			   .names = names,
			   .findings = findings,
			   .why = why,
			   .next = checkpoint,
			   .result = result,
			   .want_base = true};
	error = run_once(&run, result);
	clear(&run);
	return error;
}
