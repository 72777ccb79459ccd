/* Is all that a log's directory holds as it should be? */
#include "verify.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "money.h"
#include "os.h"
#include "progress.h"
#include "prune.h"
#include "summary.h"

/* ---- what is said -------------------------------------------------------------------------------------------- */

static struct checked_file *add_file(struct verification *found, const char *name)
{
	if (found->count == found->room) {
		size_t room = found->room ? 2 * found->room : 32;
		struct checked_file *files = os_reallocate(found->files, room, sizeof(*files));
		if (!files) {
			found->error = -ENOMEM;
			return NULL;
		}
		found->files = files;
		found->room = room;
	}
	struct checked_file *file = &found->files[found->count];
	*file = (struct checked_file){.name = os_duplicate(name), .text = os_duplicate("")};
	if (!file->name || !file->text) {
		free(file->name);
		free(file->text);
		found->error = -ENOMEM;
		return NULL;
	}
	found->count++;
	return file;
}

static void say(struct verification *found, struct checked_file *file, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct verification *found, struct checked_file *file, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	char *whole = os_format("%s%s%s", file->text, *file->text ? "; " : "", text);
	if (!whole) {
		found->error = -ENOMEM;
		return;
	}
	free(file->text);
	file->text = whole;
}

static void damaged(struct verification *found, struct checked_file *file)
{
	file->verdict = VERDICT_FAIL;
	found->damage = true;
}

static void residue(struct verification *found, struct checked_file *file)
{
	if (file->verdict == VERDICT_PASS)
		file->verdict = VERDICT_TAIL;
	found->residue = true;
}

static void unreadable(struct verification *found, struct checked_file *file)
{
	file->verdict = VERDICT_FAIL;
	file->unreadable = true;
	found->unreadable = true;
}

/* A line of its own for something that is not one file. */
static void add_line(struct verification *found, const char *name, enum verdict verdict, const char *text)
{
	struct checked_file *file = add_file(found, name);
	if (!file)
		return;
	if (verdict == VERDICT_FAIL)
		damaged(found, file);
	else if (verdict == VERDICT_TAIL)
		residue(found, file);
	if (*text)
		say(found, file, "%s", text);
}

static void add_unreadable(struct verification *found, const char *name, int error)
{
	struct checked_file *checked = add_file(found, name);
	if (!checked)
		return;
	unreadable(found, checked);
	say(found, checked, "cannot be read: %s", usagelog_strerror(error));
}

void verification_clear(struct verification *found)
{
	for (size_t i = 0; i < found->count; i++) {
		free(found->files[i].name);
		free(found->files[i].text);
	}
	free(found->files);
	*found = (struct verification){0};
}

/* ---- segments ------------------------------------------------------------------------------------------------ */

enum { SOUND_MODELS = 256 };

struct segment_check {
	struct checked_file *file;
	const struct ul_reader *reader;
	struct group_reader *whole; /* all files of the segment: a definition may be sound in another one */
	struct table models;
	uint32_t sound[SOUND_MODELS]; /* slots of definitions that read, where the lowest bits say; 0: none */
	uint64_t nameless;            /* calls whose model's definition does not read */
};

/* What is known of a definition of a model; the first 16 bytes are the key. */
struct model_check {
	uint64_t slot;
	uint64_t zero;
	uint32_t known;
	uint32_t damaged;
};

static int check_model(struct segment_check *check, uint32_t slot)
{
	uint64_t key[2] = {slot, 0};
	char text[UL_CONTEXT_BYTES_MAX];
	if (!slot)
		return 0;
	struct model_check *model = table_get(&check->models, key);
	if (!model)
		return -ENOMEM;
	if (!model->known) {
		ssize_t bytes = group_text(check->whole, slot, UL_CLASS_MODEL, text);
		if (check->whole->error)
			return check->whole->error;
		model->damaged = bytes < 0;
	}
	model->known = 1;
	check->nameless += model->damaged;
	if (!model->damaged)
		check->sound[slot % SOUND_MODELS] = slot;
	return 0;
}

static bool slot_counts_as_call(const struct ul_slot *slot)
{
	enum ul_kind kind = ul_slot_kind(slot);
	return kind == UL_KIND_CALL || kind == UL_KIND_REVERSAL || kind == UL_KIND_BALANCE;
}

static int count_page(void *arg, const struct slot_page *page)
{
	struct segment_check *check = arg;
	uint64_t valid = page->valid & page->wanted, calls = valid & page->plain;
	uint32_t durable = check->reader->durable[page->first / UL_PAGE_SLOTS];
	int error = 0;
	for (uint64_t rest = valid & ~calls; rest; rest &= rest - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(rest);
		calls |= (uint64_t)slot_counts_as_call(&page->slots[i]) << i;
	}
	check->file->calls += (uint64_t)__builtin_popcountll(calls);
	check->file->durable += (uint64_t)__builtin_popcountll(
		durable < UL_PAGE_SLOTS ? calls & (((uint64_t)1 << durable) - 1) : calls);
	for (uint64_t rest = calls; rest && !error; rest &= rest - 1) {
		uint32_t model = page->slots[__builtin_ctzll(rest)].tag & UL_SLOT_MASK;
		if (model != check->sound[model % SOUND_MODELS])
			error = check_model(check, model);
	}
	return error;
}

static void note_bad(void *arg, uint32_t number, enum ul_slot_state state)
{
	struct checked_file *file = ((struct segment_check *)arg)->file;
	if (state == UL_SLOT_DAMAGED && file->bad_slot_count < BAD_SLOTS_KEPT)
		file->bad_slots[file->bad_slot_count++] = number;
}

static void say_bad_slots(struct verification *found, struct checked_file *file)
{
	char text[BAD_SLOTS_KEPT * 40];
	size_t length = 0;
	for (uint32_t i = 0; i < file->bad_slot_count; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%u at byte %llu", i ? ", " : "",
					   file->bad_slots[i], (unsigned long long)file->bad_slots[i] * UL_SLOT_BYTES);
	char lost[MONEY_SHOWN_BYTES], all[MONEY_SHOWN_BYTES];
	count_show(lost, (int64_t)file->slots.damaged);
	count_show(all, (int64_t)(file->calls + file->slots.damaged));
	say(found, file, "damaged slots: %s%s", text, file->slots.damaged > file->bad_slot_count ? ", ..." : "");
	say(found, file, "at most %s call%s lost of %s; the rest is sound", lost, file->slots.damaged == 1 ? "" : "s",
	    all);
}

static void judge_models(struct verification *found, struct checked_file *file, uint64_t nameless)
{
	char calls[MONEY_SHOWN_BYTES];
	if (!nameless)
		return;
	/* Where a slot is damaged that is said already; else the text is no name, which no writer writes. */
	residue(found, file);
	count_show(calls, (int64_t)nameless);
	say(found, file, "%s call%s under (unknown): the definition of the model does not read", calls,
	    nameless == 1 ? " stands" : "s stand");
}

static void judge_slots(struct verification *found, struct checked_file *file)
{
	if (file->slots.damaged) {
		damaged(found, file);
		say_bad_slots(found, file);
	}
	if (file->slots.unknown) {
		unreadable(found, file);
		say(found, file, "%llu slot%s a newer program's and %s not counted; use the newer one",
		    (unsigned long long)file->slots.unknown, file->slots.unknown == 1 ? " is" : "s are",
		    file->slots.unknown == 1 ? "is" : "are");
	}
	if (file->slots.holes || file->slots.unfinished)
		residue(found, file);
}

/* The group that a file is of. */
static const struct segment_group *group_of(const struct segments *segments, const struct segment_file *file)
{
	/* Groups follow each other in the order of their files. */
	size_t low = 0, high = segments->group_count;
	while (low < high) {
		const struct segment_group *group = &segments->groups[low + (high - low) / 2];
		if (file >= group->files && file < group->files + group->file_count)
			return group;
		if (file < group->files)
			high = low + (high - low) / 2;
		else
			low += (high - low) / 2 + 1;
	}
	return NULL;
}

/* What the header pages do not tell: the writer's state, and what must be zero. */
static void check_state(struct verification *found, struct checked_file *checked, struct ul_reader *reader)
{
	uint32_t torn = ul_reader_torn_block(reader);
	if (reader->table_damaged) {
		damaged(found, checked);
		say(found, checked, "the page table is damaged; what it says is not used");
	}
	if (ul_reader_unused_is_zero(reader) == 0) {
		damaged(found, checked);
		say(found, checked,
		    "bytes that nobody writes are not zero, in the state page or behind the page table; no call is "
		    "lost");
	}
	/* One that is being written now is not torn once it is written. */
	if (torn < UL_STATE_BLOCKS && !ul_reader_has_writer(reader)) {
		residue(found, checked);
		say(found, checked,
		    "state block %u at byte %u is torn or damaged: the one before it counts; no call is lost", torn,
		    UL_STATE_PAGE * UL_PAGE_BYTES + torn * (unsigned)sizeof(struct ul_state_block));
	}
}

static void read_segment(struct verification *found, const struct view *view, const struct segment_file *file,
			 struct checked_file *checked)
{
	static const struct runs none;
	/* The file alone, as a group of one. */
	struct segment_file alone = *file;
	struct segment_group group = {alone.id, &alone, 1, false, 0};
	const struct segment_group *whole_group = group_of(&view->segments, file);
	struct group_reader reader, whole = {0};
	struct findings findings = {0};
	uint64_t nameless = 0;
	int error = group_open(&reader, &view->segments, &group, &findings);
	if (!error) {
		bool is_whole = !whole_group || group_open(&whole, &view->segments, whole_group, &findings) != 0;
		struct segment_check check = {
			.file = checked, .reader = &reader.readers[0], .whole = is_whole ? &reader : &whole};
		table_init(&check.models, sizeof(struct model_check));
		reader.bad = note_bad;
		reader.bad_arg = &check;
		struct slot_range all = {reader.first_slot, reader.end_slot};
		error = group_visit_pages(&reader, all, &none, false, count_page, &check, &checked->slots);
		check_state(found, checked, &reader.readers[0]);
		nameless = check.nameless;
		table_clear(&check.models);
		group_close(&whole);
		group_close(&reader);
	}
	if (error && error != -ENOENT) {
		unreadable(found, checked);
		say(found, checked, "cannot be read: %s", usagelog_strerror(error));
	}
	findings_clear(&findings);
	judge_slots(found, checked);
	judge_models(found, checked, nameless);
}

static void check_segment_file(struct verification *found, const struct view *view, const struct segment_file *file)
{
	char path[PATH_MAX];
	if (file->name->directory)
		snprintf(path, sizeof(path), "%s/%s", segment_directory_path(&view->directory, file->name),
			 file->name->name);
	else
		snprintf(path, sizeof(path), "%s", file->name->name);
	struct checked_file *checked = add_file(found, path);
	if (!checked)
		return;
	checked->is_segment = file->is_ours;
	if (file->error == USAGELOG_ERROR_SEGMENT) {
		damaged(found, checked);
		say(found, checked,
		    "both header pages are damaged, or it is no segment: its calls cannot be read; restore it from a "
		    "backup");
	} else if (file->error) {
		unreadable(found, checked);
		say(found, checked, "cannot be read: %s", usagelog_strerror(file->error));
	} else if (!file->is_ours) {
		residue(found, checked);
		say(found, checked, "belongs to another log and is left out; move it to where it belongs");
	} else {
		if (file->page_states[0] != UL_HEADER_VALID || file->page_states[1] != UL_HEADER_VALID) {
			damaged(found, checked);
			say(found, checked, "header page %d is damaged; the other one is used",
			    file->page_states[0] == UL_HEADER_VALID);
		}
		if (file->needs_rescue) {
			residue(found, checked);
			say(found, checked, "its writer died in a sync; the next compact copies the pages to safety");
		}
		read_segment(found, view, file, checked);
	}
}

/* Segments of which something was folded, and that are gone, or end before it. */
static void check_missing_segment(struct verification *found, const struct ul_folded_segment *record)
{
	char name[UL_ID_TEXT_BYTES + sizeof(".seg")], id[UL_ID_TEXT_BYTES], calls[MONEY_SHOWN_BYTES];
	struct checked_file *checked = NULL;
	ul_id_format(id, &record->id);
	snprintf(name, sizeof(name), "%s.seg", id);
	count_show(calls, record->calls);
	/* A file of which nothing can be read is in no group, but has a line. */
	for (size_t i = 0; i < found->count && !checked; i++)
		if (strcmp(found->files[i].name, name) == 0)
			checked = &found->files[i];
	bool there = checked != NULL;
	if (!there)
		checked = add_file(found, name);
	if (!checked)
		return;
	damaged(found, checked);
	say(found, checked, "%sits %s folded call%s in the totals%s", there ? "" : "is missing; ", calls,
	    record->calls == 1 ? " stays" : "s stay", there ? "" : "; restore it from a backup");
}

static void check_folded_segment(struct verification *found, const struct view *view, const struct segment_state *state)
{
	size_t at = 0;
	while (at < view->segments.group_count &&
	       memcmp(&view->segments.groups[at].id, &state->record.id, sizeof(state->record.id)) != 0)
		at++;
	if (at == view->segments.group_count) {
		if (!(state->record.state & UL_SEGMENT_PRUNED))
			check_missing_segment(found, &state->record);
		return;
	}
	const struct segment_group *group = &view->segments.groups[at];
	if (group->excluded || !state->runs.count)
		return;
	struct ul_run last = state->runs.items[state->runs.count - 1];
	uint32_t end = view->pending.results[at].end_slot, folded_end = last.first_slot + last.slot_count;
	if (folded_end <= end)
		return;
	/* The lines of segment files come first, in the order of the files. */
	struct checked_file *checked = &found->files[group->files - view->segments.files];
	damaged(found, checked);
	say(found, checked,
	    "ends at byte %llu, and calls up to byte %llu were folded before; it was cut short; the totals stay; "
	    "restore "
	    "it from a backup",
	    (unsigned long long)end * UL_SLOT_BYTES, (unsigned long long)folded_end * UL_SLOT_BYTES);
}

static void check_folded_segments(struct verification *found, const struct view *view)
{
	const struct checkpoint *checkpoint = &view->state.checkpoint;
	for (size_t i = 0; i < checkpoint->segment_count && !found->error; i++)
		check_folded_segment(found, view, &checkpoint->segments[i]);
}

/* ---- facts and ids ------------------------------------------------------------------------------------------- */

/* All of what the checkpoint says is folded, folded again. */
struct refold {
	struct pass pass;
	bool complete; /* every folded slot is still there: the re-fold must equal */
};

/* Segments that could not be read: what they hold is not known, which is no damage. Those that are gone meanwhile are not among them. */
static uint32_t unreadable_groups(const struct segments *segments)
{
	uint32_t count = 0;
	for (size_t i = 0; i < segments->group_count; i++)
		count += segments->groups[i].error && segments->groups[i].error != -ENOENT;
	return count;
}

static void say_unreadable_groups(struct verification *found, const struct segments *segments)
{
	for (size_t i = 0; i < segments->group_count; i++) {
		const struct segment_group *group = &segments->groups[i];
		/* The lines of segment files come first, in the order of the files. */
		struct checked_file *checked = &found->files[group->files - segments->files];
		if (!group->error || group->error == -ENOENT)
			continue;
		unreadable(found, checked);
		say(found, checked, "cannot be read: %s; its calls are not checked", usagelog_strerror(group->error));
	}
}

static int refold(struct refold *again, struct view *view)
{
	again->pass = view->pending;
	again->pass.results = NULL;
	again->pass.fold = (struct fold){0};
	again->pass.checkpoint = &view->state.checkpoint;
	again->pass.again = true;
	int error = pass_run(&again->pass);
	again->complete = !view->state.settings_changed && !checkpoint_any_pruned(&view->state.checkpoint) &&
			  !unreadable_groups(&view->segments);
	for (size_t i = 0; i < again->pass.fold.day_count && !error; i++) {
		struct facts *facts = again->pass.fold.days[i];
		const struct ul_day *day = checkpoint_find_day(&view->state.checkpoint, facts->day);
		uint32_t prices = day ? day->prices : 0;
		/* Without its table a day cannot be priced again; the table's own line says that it is lost. */
		if (prices && !pricing_table(&view->pricing, prices))
			again->complete = false;
		error = pricing_apply(&view->pricing, prices, facts);
	}
	return error;
}

/* Is the day in the file what its slots give? */
static void compare_day(struct verification *found, struct view *view, const struct refold *again,
			const struct ul_day *day, const struct stored_file *file, struct checked_file *checked)
{
	struct facts empty, *facts = fold_find_day(&again->pass.fold, day->day);
	uint64_t count;
	size_t size_bytes = 0;
	int error;
	const struct ul_fact_meta *meta = ul_container_records(&file->container, UL_SECTION_META, &count);
	const struct facts_origin origin = {meta->generation, meta->settings, day->prices};
	facts_init(&empty, day->day);
	void *bytes = facts_encode(facts ? facts : &empty, &view->names, &view->directory.conf.log_id, &origin,
				   &size_bytes, &error);
	if (error)
		found->error = error;
	else if (size_bytes != file->size_bytes || memcmp(bytes, file->bytes, size_bytes) != 0) {
		damaged(found, checked);
		say(found, checked,
		    "its %lld calls folded again from the segments give %lld, or other sums; segments are missing or "
		    "damaged, "
		    "or the file is wrong",
		    (long long)day->calls, facts ? (long long)facts_calls(facts) : 0LL);
	}
	free(bytes);
}

static void check_sums(struct verification *found, struct view *view, const struct ul_day *day,
		       const struct stored_file *file, struct checked_file *checked)
{
	struct facts facts;
	facts_init(&facts, day->day);
	facts_add_file(&facts, &view->names, &file->container);
	int agrees = facts.error ? facts.error : checkpoint_agrees(&view->state.checkpoint, &view->names, &facts);
	if (agrees < 0)
		found->error = agrees;
	if (agrees == 0 || facts_calls(&facts) != day->calls) {
		damaged(found, checked);
		say(found, checked, "its sums are not the checkpoint's");
	}
	facts_clear(&facts);
}

static bool file_is_sound(struct verification *found, const struct stored_file *file, const char *cure,
			  struct checked_file *checked)
{
	if (file->state == FILE_SOUND)
		return true;
	if (file->state == FILE_NEWER || file->state == FILE_UNREADABLE) {
		unreadable(found, checked);
		say(found, checked, "cannot be read: %s",
		    usagelog_strerror(file->state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file->error));
	} else {
		damaged(found, checked);
		say(found, checked, "is %s; run usagelog compact: %s",
		    file->state == FILE_MISSING ? "missing" : "damaged", cure);
	}
	return false;
}

static void check_day(struct verification *found, struct view *view, const struct refold *again,
		      const struct ul_day *day)
{
	char name[STORE_NAME_BYTES];
	struct stored_file file;
	store_fact_name(name, day->day, day->generation);
	struct checked_file *checked = add_file(found, name);
	if (!checked)
		return;
	checked->calls = (uint64_t)day->calls;
	store_read_day(view->directory.fd, day, &view->directory.conf.log_id, &file);
	if (file_is_sound(found, &file, "its day is folded anew, and a damaged file set aside", checked)) {
		check_sums(found, view, day, &file, checked);
		if (again->complete)
			compare_day(found, view, again, day, &file, checked);
	}
	stored_file_clear(&file);
}

static void compare_ids(struct verification *found, struct view *view, const struct refold *again,
			const struct stored_file *file, struct checked_file *checked)
{
	uint64_t count;
	size_t made = 0, size_bytes = 0;
	const struct ul_id_meta *meta = ul_container_records(&file->container, UL_SECTION_META, &count);
	struct ul_id_record *records =
		ids_apply(NULL, 0, again->pass.fold.id_changes, again->pass.fold.id_change_count, &made);
	void *bytes =
		records ? ids_encode(records, made, &view->directory.conf.log_id, meta->generation, &size_bytes) : NULL;
	if (!bytes)
		found->error = -ENOMEM;
	else if (size_bytes != file->size_bytes || memcmp(bytes, file->bytes, size_bytes) != 0) {
		damaged(found, checked);
		say(found, checked, "the call ids in the segments are others");
	}
	free(bytes);
	free(records);
}

/* A table must be the one that priced, and say of itself what the checkpoint does. */
static void check_price_table(struct verification *found, const struct view *view, const struct ul_named_file *named,
			      const char *name)
{
	struct stored_file file;
	uint64_t count, generation;
	struct checked_file *checked = add_file(found, name);
	if (!checked)
		return;
	store_read_named(view->directory.fd, name, UL_CONTAINER_PRICES, &view->directory.conf.log_id, named->checksum,
			 &file);
	if (file_is_sound(found, &file,
			  "it is put back if the base has it; else restore it from a backup, or price its days anew: "
			  "usagelog reprice",
			  checked)) {
		const struct ul_price_meta *meta = ul_container_records(&file.container, UL_SECTION_META, &count);
		if (meta->since != named->since || !store_parse_prices_name(name, &generation) ||
		    meta->generation != generation) {
			damaged(found, checked);
			say(found, checked, "says another day or generation of itself than the checkpoint does");
		}
	}
	stored_file_clear(&file);
}

/* Each day's table must be named. */
static void check_named_tables(struct verification *found, const struct view *view)
{
	const struct checkpoint *checkpoint = &view->state.checkpoint;
	for (size_t i = 0; i < checkpoint->day_count; i++) {
		uint32_t prices = checkpoint->days[i].prices;
		bool named = !prices;
		for (size_t j = 0; j < view->pricing.count && !named; j++)
			named = view->pricing.tables[j].generation == prices;
		if (named)
			continue;
		add_line(found, "checkpoint", VERDICT_FAIL, "a day's price table is not named among its files");
		return;
	}
}

static void check_named_files(struct verification *found, struct view *view, const struct refold *again)
{
	const struct checkpoint *checkpoint = &view->state.checkpoint;
	for (size_t i = 0; i < checkpoint->file_count; i++) {
		char name[STORE_NAME_BYTES];
		uint64_t generation;
		struct stored_file file;
		struct ul_text text = names_text(&view->names, checkpoint->files[i].name);
		snprintf(name, sizeof(name), "%.*s", (int)(text.bytes < sizeof(name) ? text.bytes : 0), text.text);
		if (checkpoint->files[i].kind == UL_FILE_PRICES)
			check_price_table(found, view, &checkpoint->files[i], name);
		if (checkpoint->files[i].kind != UL_FILE_IDS || !store_parse_ids_name(name, &generation))
			continue;
		struct checked_file *checked = add_file(found, name);
		if (!checked)
			return;
		store_read_named(view->directory.fd, name, UL_CONTAINER_IDS, &view->directory.conf.log_id,
				 checkpoint->files[i].checksum, &file);
		if (file_is_sound(found, &file, "it is made anew, and a damaged file set aside", checked) &&
		    again->complete)
			compare_ids(found, view, again, &file, checked);
		stored_file_clear(&file);
	}
}

/* A file that the checkpoint before names, and the one that counts does not: nothing is lost with it. */
static void check_previous_file(struct verification *found, const struct view *view, const char *name,
				enum ul_container_kind kind, uint64_t checksum)
{
	struct stored_file file;
	store_read_named(view->directory.fd, name, kind, &view->directory.conf.log_id, checksum, &file);
	if (file.state == FILE_MISSING)
		add_line(found, name, VERDICT_TAIL, "is missing; only the previous checkpoint needs it");
	else if (file.state == FILE_NEWER || file.state == FILE_UNREADABLE)
		add_line(found, name, VERDICT_TAIL, "cannot be read; only the previous checkpoint needs it");
	else if (file.state != FILE_SOUND)
		add_line(found, name, VERDICT_TAIL, "is damaged; only the previous checkpoint needs it");
	stored_file_clear(&file);
}

static bool checkpoint_names(const struct view *view, const char *name)
{
	const struct checkpoint *checkpoint = &view->state.checkpoint;
	for (size_t i = 0; i < checkpoint->file_count; i++) {
		struct ul_text text = names_text(&view->names, checkpoint->files[i].name);
		if (text.bytes == strlen(name) && memcmp(text.text, name, text.bytes) == 0)
			return true;
	}
	return false;
}

static void check_previous_files(struct verification *found, const struct view *view)
{
	struct stored_file previous;
	char name[STORE_NAME_BYTES];
	uint64_t count, generation;
	if (view->state.decision != RECOVERY_CURRENT || view->state.previous != FILE_SOUND)
		return;
	store_read(view->directory.fd, "checkpoint.previous", UL_CONTAINER_CHECKPOINT, &view->directory.conf.log_id,
		   &previous);
	if (previous.state != FILE_SOUND) {
		stored_file_clear(&previous);
		return;
	}
	const struct ul_day *days = ul_container_records(&previous.container, UL_SECTION_DAYS, &count);
	for (uint64_t i = 0; i < count; i++) {
		const struct ul_day *now = checkpoint_find_day(&view->state.checkpoint, days[i].day);
		store_fact_name(name, days[i].day, days[i].generation);
		if (!now || now->generation != days[i].generation)
			check_previous_file(found, view, name, UL_CONTAINER_FACTS, days[i].checksum);
	}
	const struct ul_named_file *files = ul_container_records(&previous.container, UL_SECTION_FILES, &count);
	for (uint64_t i = 0; i < count; i++) {
		struct ul_text text = ul_container_string(&previous.container, files[i].name);
		snprintf(name, sizeof(name), "%.*s", (int)(text.bytes < sizeof(name) ? text.bytes : 0), text.text);
		bool ids = files[i].kind == UL_FILE_IDS && store_parse_ids_name(name, &generation);
		bool prices = files[i].kind == UL_FILE_PRICES && store_parse_prices_name(name, &generation);
		if ((ids || prices) && !checkpoint_names(view, name))
			check_previous_file(found, view, name, ids ? UL_CONTAINER_IDS : UL_CONTAINER_PRICES,
					    files[i].checksum);
	}
	stored_file_clear(&previous);
}

/* ---- the base -------------------------------------------------------------------------------------------------- */

static void check_base_file(struct verification *found, const struct view *view, const struct base_file *named)
{
	char name[STORE_NAME_BYTES];
	int error = base_check(&view->directory, named);
	store_base_name(name, named->name);
	if (error == -ENOENT)
		add_line(found, name, VERDICT_FAIL, "is missing; usagelog compact copies it anew");
	else if (error == -EIO)
		add_line(found, name, VERDICT_FAIL, "is damaged; delete it, and usagelog compact copies it anew");
	else if (error)
		add_unreadable(found, name, error);
}

/* Does the base hold all slots of the segments that were deleted? */
static bool base_holds_pruned(const struct checkpoint *base, const struct checkpoint *checkpoint)
{
	for (size_t i = 0; i < checkpoint->segment_count; i++) {
		const struct segment_state *segment = &checkpoint->segments[i], *held;
		if (!(segment->record.state & UL_SEGMENT_PRUNED))
			continue;
		held = checkpoint_find_segment(base, &segment->record.id);
		if (!held || !runs_include(&held->runs, &segment->runs))
			return false;
	}
	return true;
}

static void check_base(struct verification *found, struct view *view)
{
	struct stored_file file;
	struct checkpoint base = {0};
	struct base_file named;
	store_read(view->directory.fd, "checkpoint.base", UL_CONTAINER_CHECKPOINT, &view->directory.conf.log_id, &file);
	if (file.state == FILE_MISSING && checkpoint_any_pruned(&view->state.checkpoint))
		add_line(found, "checkpoint.base", VERDICT_FAIL, "is missing; usagelog compact makes the base anew");
	else if (file.state == FILE_UNREADABLE || file.state == FILE_NEWER)
		add_unreadable(found, "checkpoint.base", file.error ? file.error : USAGELOG_ERROR_NEWER);
	else if (file.state == FILE_DAMAGED)
		add_line(found, "checkpoint.base", VERDICT_FAIL, "is damaged; usagelog compact makes the base anew");
	if (file.state == FILE_SOUND && !found->error)
		found->error = checkpoint_load(&base, &view->names, &file.container);
	for (size_t i = 0; i < base_file_count(&base) && !found->error; i++)
		if (base_file_get(&named, &base, &view->names, i))
			check_base_file(found, view, &named);
	if (file.state == FILE_SOUND && !found->error) {
		bool holds = base_holds_pruned(&base, &view->state.checkpoint);
		add_line(found, "checkpoint.base", holds ? VERDICT_PASS : VERDICT_FAIL,
			 holds ? "" : "does not hold all that retention deleted; it is in the totals alone");
	}
	checkpoint_clear(&base);
	stored_file_clear(&file);
}

/* ---- the checkpoint's totals ------------------------------------------------------------------------------------- */

/* 2012-01-01. Until 2011 there was a zone whose offset changed within a quarter of an hour (St. John's, at one past midnight); since then
 * each hour lies within a day. */
enum { WHOLE_QUARTERS_FROM = 15340 };

static bool same_numbers(const struct ul_sum *left, const struct ul_sum *right)
{
	return memcmp(&left->calls, &right->calls, sizeof(*left) - offsetof(struct ul_sum, calls)) == 0;
}

/* Sum up parts of days by day. False: a sum left its field, a part is of a day before `from`, or there is no memory (`*error`). */
static bool sum_parts(struct table *by_day, const struct totals *totals, enum total_kind kind, int32_t from, int *error)
{
	for (uint32_t i = 0; i < totals->sums[kind].count; i++) {
		const struct ul_sum *part = table_record(&totals->sums[kind], i);
		struct ul_sum key = {.number = totals_day_of(kind, part)};
		struct ul_sum *sum = table_get(by_day, &key);
		if (!sum)
			*error = -ENOMEM;
		if (!sum || key.number < from || !sum_add(sum, part))
			return false;
	}
	return true;
}

/* Do the sums by model, or by hour, come to those of their days, from the first on that is held so? */
static bool parts_add_up(const struct totals *totals, enum total_kind kind, int32_t held_from, int32_t compared_from,
			 int *error)
{
	struct table by_day;
	table_init(&by_day, sizeof(struct ul_sum));
	bool good = sum_parts(&by_day, totals, kind, held_from, error);
	/* A day without a part comes to zeros. */
	for (uint32_t i = 0; i < totals->sums[TOTAL_DAYS].count && good; i++) {
		const struct ul_sum *day = table_record(&totals->sums[TOTAL_DAYS], i);
		good = day->number < held_from || table_get(&by_day, day);
		*error = good ? *error : -ENOMEM;
	}
	for (uint32_t i = 0; i < by_day.count && good; i++) {
		const struct ul_sum *sum = table_record(&by_day, i);
		struct ul_sum day = totals_day(totals, sum->number);
		good = sum->number < compared_from || same_numbers(sum, &day);
	}
	table_clear(&by_day);
	return good;
}

static bool days_add_up(const struct checkpoint *checkpoint, struct names *names, int *error)
{
	const struct table *days = &checkpoint->totals.sums[TOTAL_DAYS];
	struct breakdown breakdown;
	struct ul_sum all = {0};
	bool good = true;
	int failed = breakdown_make(&breakdown, &checkpoint->totals.facts.rows, names);
	for (uint32_t i = 0; i < days->count && good; i++) {
		const struct ul_sum *sum = table_record(days, i);
		good = sum_add(&all, sum) && checkpoint_find_day(checkpoint, sum->number);
	}
	for (size_t i = 0; i < checkpoint->day_count && good; i++)
		good = totals_day(&checkpoint->totals, checkpoint->days[i].day).calls == checkpoint->days[i].calls;
	good = good && !failed && same_numbers(&all, &breakdown.all);
	breakdown_clear(&breakdown);
	if (failed == -ENOMEM)
		*error = failed;
	return good;
}
/* Are the last calls priced as the tables of their days say? */
static bool calls_are_priced(struct view *view, int *error)
{
	const struct checkpoint *checkpoint = &view->state.checkpoint;
	struct checkpoint copy = {0};
	if (!*error)
		*error = checkpoint_copy(&copy, checkpoint);
	if (!*error)
		*error = pricing_calls(&view->pricing, &copy);
	bool same = !*error && (!copy.call_count ||
				memcmp(copy.calls, checkpoint->calls, copy.call_count * sizeof(*copy.calls)) == 0);
	checkpoint_clear(&copy);
	return same;
}

/* Are the totals what the slots give? */
static bool totals_refold(struct view *view, const struct refold *again, int *error)
{
	struct checkpoint *checkpoint = &view->state.checkpoint;
	struct checkpoint_window window = checkpoint_window(checkpoint);
	struct totals totals = {0};
	size_t size_bytes = 0, wanted_bytes = 0;
	void *bytes = NULL, *wanted = NULL;
	for (size_t i = 0; i < again->pass.fold.day_count && !*error; i++)
		*error = totals_add(&totals, &view->names, again->pass.fold.days[i]);
	if (!*error)
		*error = totals_trim(&totals, window.recent_from, window.hours_from);
	if (!*error)
		wanted = checkpoint_encode_totals(&totals, &view->names, &wanted_bytes, error);
	if (!*error)
		bytes = checkpoint_encode_totals(&checkpoint->totals, &view->names, &size_bytes, error);
	bool same = !*error && size_bytes == wanted_bytes && memcmp(bytes, wanted, size_bytes) == 0;
	free(bytes);
	free(wanted);
	totals_clear(&totals);
	return same;
}

static void check_totals(struct verification *found, struct view *view, const struct refold *again,
			 struct checked_file *checked)
{
	const struct checkpoint *checkpoint = &view->state.checkpoint;
	struct checkpoint_window window = checkpoint_window(checkpoint);
	const struct {
		bool good;
		const char *fault;
	} checks[] = {
		{days_add_up(checkpoint, &view->names, &found->error), "its days do not come to its totals"},
		{parts_add_up(&checkpoint->totals, TOTAL_RECENT, window.recent_from, INT32_MIN, &found->error),
		 "its sums by model do not come to those of their days"},
		/* Hours are those of the zone that the checkpoint was made in. */
		{view->state.settings_changed || parts_add_up(&checkpoint->totals, TOTAL_HOURS, window.hours_from,
							      WHOLE_QUARTERS_FROM, &found->error),
		 "its hours do not come to their days"},
		{view->state.settings_changed || calls_are_priced(view, &found->error),
		 "its last calls are not priced as their days are"},
		{!again->complete || totals_refold(view, again, &found->error),
		 "its totals are not what the segments give, folded again; segments are missing or damaged, or the "
		 "file is "
		 "wrong"},
	};
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!checks[i].good) {
			damaged(found, checked);
			say(found, checked, "%s", checks[i].fault);
		}
}

/* ---- checkpoints and summary ----------------------------------------------------------------------------------- */

/* Fact files of the first generation alone, and no checkpoint: the first fold died before its commit, and nothing counts yet. */
static bool is_before_first_commit(const struct recovery_state *state)
{
	return state->current == FILE_MISSING && state->previous == FILE_MISSING && state->generation_max == 1;
}

static void check_checkpoints(struct verification *found, struct view *view, const struct refold *again)
{
	const struct recovery_state *state = &view->state;
	if (state->current == FILE_SOUND) {
		struct checked_file *checked = add_file(found, "checkpoint");
		if (!checked)
			return;
		say(found, checked, "generation %llu", (unsigned long long)state->checkpoint.generation);
		check_totals(found, view, again, checked);
	} else if (state->current == FILE_DAMAGED) {
		add_line(found, "checkpoint", VERDICT_FAIL,
			 "is damaged; usagelog compact sets it aside and goes on from what is sound");
	} else if (state->decision != RECOVERY_EMPTY && is_before_first_commit(state)) {
		add_line(found, "checkpoint", VERDICT_TAIL,
			 "there is none, but fact files: the first fold was cut off; usagelog compact folds anew");
	} else if (state->decision != RECOVERY_EMPTY) {
		add_line(found, "checkpoint", VERDICT_FAIL, "is missing; usagelog compact goes on from what is sound");
	}
	if (state->previous == FILE_UNREADABLE || state->previous == FILE_NEWER)
		add_unreadable(found, "checkpoint.previous",
			       state->previous == FILE_NEWER ? USAGELOG_ERROR_NEWER : state->previous_error);
	if (state->previous == FILE_DAMAGED)
		add_line(found, "checkpoint.previous", VERDICT_FAIL, "is damaged; usagelog compact sets it aside");
	else if (state->previous == FILE_SOUND)
		add_line(found, "checkpoint.previous", VERDICT_PASS, "");
	if (state->settings_changed)
		add_line(found, "log.conf", VERDICT_TAIL,
			 "settings changed since the checkpoint; usagelog compact folds everything anew");
}

/* What a summary says of the moment it was rendered in: members of "log", and, last of all, suspect_days and last_updated. */
static const char *const of_the_moment[] = {"segments", "pending", "damaged", "dropped_at_least", "dropped_by_cause"};
static const char last_of_the_moment[] = "\t\"suspect_days\":";

/* Of a text that cannot be parsed only this tells whether that is the text's fault. */
static bool json_lacked_memory;

static void *json_allocate(size_t bytes)
{
	void *memory = os_allocate(1, bytes);
	json_lacked_memory |= !memory;
	return memory;
}

/* The parsed text without what depends on the moment; NULL: it is no JSON. */
static cJSON *timeless(const char *text)
{
	cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
	cJSON *log = cJSON_GetObjectItemCaseSensitive(json, "log");
	cJSON_DeleteItemFromObjectCaseSensitive(json, "last_updated");
	cJSON_DeleteItemFromObjectCaseSensitive(json, "suspect_days");
	for (size_t i = 0; i < sizeof(of_the_moment) / sizeof(of_the_moment[0]); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(log, of_the_moment[i]);
	return json;
}

static bool is_of_the_moment(const char *line)
{
	char key[64];
	for (size_t i = 0; i < sizeof(of_the_moment) / sizeof(of_the_moment[0]); i++) {
		int bytes = snprintf(key, sizeof(key), "\t\t\"%s\": ", of_the_moment[i]);
		if (strncmp(line, key, (size_t)bytes) == 0)
			return true;
	}
	return false;
}

/* Do two summaries, line by line, differ in nothing but what depends on the moment? */
static bool same_lines(const char *left, const char *right)
{
	while (*left && *right && strncmp(left, last_of_the_moment, strlen(last_of_the_moment)) != 0) {
		size_t left_bytes = strcspn(left, "\n"), right_bytes = strcspn(right, "\n");
		bool same = left_bytes == right_bytes && memcmp(left, right, left_bytes) == 0;
		if (!same && (!is_of_the_moment(left) || !is_of_the_moment(right)))
			return false;
		left += left_bytes + (left[left_bytes] != '\0');
		right += right_bytes + (right[right_bytes] != '\0');
	}
	return strncmp(left, right, strlen(last_of_the_moment)) == 0;
}

static double summary_generation(const char *text)
{
	cJSON *json = cJSON_Parse(text);
	const cJSON *log = cJSON_GetObjectItemCaseSensitive(json, "log");
	const cJSON *generation = cJSON_GetObjectItemCaseSensitive(log, "generation");
	double value = cJSON_IsNumber(generation) ? generation->valuedouble : -1;
	cJSON_Delete(json);
	return value;
}

static void compare_summary(struct verification *found, struct view *view, const struct stored_file *file,
			    struct checked_file *checked)
{
	const char *text = file->bytes;
	struct summary_log log = {.folded = checkpoint_calls(&view->state.checkpoint)};
	char *rendered = summary_render(&view->state.checkpoint, &view->names, &view->directory.conf, &log, 0);
	if (!rendered) {
		found->error = -ENOMEM;
		return;
	}
	/* A zero byte ends the text, but not the file. */
	json_lacked_memory = false;
	cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = json_allocate, .free_fn = free});
	cJSON *is = strlen(text) == file->size_bytes ? timeless(text) : NULL, *should = timeless(rendered);
	double generation = is ? summary_generation(text) : -1;
	/* A context may hold numbers that are no double's, so that what is the same compares as other, or a text is none to this parser. */
	bool same = same_lines(text, rendered);
	if (json_lacked_memory) {
		found->error = -ENOMEM;
	} else if (!is && should) {
		damaged(found, checked);
		say(found, checked, "is damaged; usagelog compact renders it anew");
	} else if (!same && !(is && cJSON_Compare(is, should, true))) {
		if (generation < (double)view->state.checkpoint.generation) {
			residue(found, checked);
			say(found, checked, "is older than the checkpoint; usagelog compact renders it anew");
		} else {
			damaged(found, checked);
			say(found, checked, "is not what the checkpoint says; usagelog compact renders it anew");
		}
	} else if (!same) {
		residue(found, checked);
		say(found, checked, "says what the checkpoint does, but was changed; usagelog compact renders it anew");
	}
	cJSON_Delete(is);
	cJSON_Delete(should);
	free(rendered);
}

void verify_summary(struct verification *found, struct view *view)
{
	struct ul_message path = summary_path(&view->directory);
	char *slash = strrchr(path.text, '/');
	struct stored_file file = {.state = FILE_MISSING};
	*slash = '\0';
	int fd = os_open_directory(slash == path.text ? "/" : path.text);
	if (fd >= 0)
		store_read_bytes(fd, slash + 1, &file);
	else if (fd != -ENOENT)
		file = (struct stored_file){.state = FILE_UNREADABLE, .error = fd};
	os_close(fd);
	if (file.state == FILE_MISSING && !view->state.checkpoint.generation)
		return;
	struct checked_file *checked = add_file(found, view->directory.conf.summary);
	if (checked && file.state == FILE_SOUND && !view->state.settings_changed &&
	    view->state.decision != RECOVERY_REBUILD)
		compare_summary(found, view, &file, checked);
	else if (checked && file.state == FILE_MISSING) {
		residue(found, checked);
		say(found, checked, "is missing; usagelog compact renders it anew");
	} else if (checked && file.state == FILE_UNREADABLE) {
		unreadable(found, checked);
		say(found, checked, "cannot be read: %s", usagelog_strerror(file.error));
	} else if (checked && file.state == FILE_DAMAGED) {
		damaged(found, checked);
		say(found, checked, "is not a regular file; usagelog compact renders it anew");
	}
	stored_file_clear(&file);
}

/* ---- left-overs ------------------------------------------------------------------------------------------------ */

struct leftovers {
	struct verification *found;
	const struct view *view;
};

/* <segment id>.tmp that nobody locks: 1, 0 or -errno. */
static int is_dead_segment(const struct view *view, const char *name)
{
	struct ul_id id;
	if (strlen(name) != UL_ID_TEXT_BYTES - 1 + 4 || strcmp(name + UL_ID_TEXT_BYTES - 1, ".tmp") != 0 ||
	    !ul_id_parse(&id, name))
		return 0;
	int fd = os_open(view->directory.fd, name, O_RDONLY);
	int locked = fd < 0 ? fd : os_is_locked(fd);
	os_close(fd);
	/* It has got its name meanwhile. */
	if (locked == -ENOENT)
		return 0;
	return locked < 0 ? locked : !locked;
}

static int look_at_name(void *arg, const char *name)
{
	struct leftovers *leftovers = arg;
	const struct view *view = leftovers->view;
	int32_t day;
	uint64_t generation;
	int dead = store_is_draft_name(name) ? 1 : is_dead_segment(view, name);
	if (dead < 0) {
		add_unreadable(leftovers->found, name, dead);
		return 0;
	}
	if (dead) {
		add_line(leftovers->found, name, VERDICT_TAIL, "is left over by a process that died");
		return 0;
	}
	/* Files of the previous checkpoint, and of one that is being made, are in order; both are newer than what nobody names. */
	if (store_parse_fact_name(name, &day, &generation)) {
		const struct ul_day *named = checkpoint_find_day(&view->state.checkpoint, day);
		if (!named && view->state.previous == FILE_MISSING)
			add_line(leftovers->found, name, VERDICT_TAIL, "no checkpoint names it");
	}
	return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Calls of segments that retention deleted, and that nobody put back. */
static uint64_t pruned_calls(const struct view *view)
{
	const struct checkpoint *checkpoint = &view->state.checkpoint;
	uint64_t calls = 0;
	size_t at = 0;
	for (size_t i = 0; i < checkpoint->segment_count; i++) {
		const struct ul_folded_segment *record = &checkpoint->segments[i].record;
		while (at < view->segments.group_count &&
		       memcmp(&view->segments.groups[at].id, &record->id, sizeof(record->id)) < 0)
			at++;
		bool present = at < view->segments.group_count &&
			       memcmp(&view->segments.groups[at].id, &record->id, sizeof(record->id)) == 0;
		if (record->state & UL_SEGMENT_PRUNED && !present)
			calls += (uint64_t)record->calls;
	}
	return calls;
}

static void check_identity(struct verification *found, struct view *view, const struct refold *again)
{
	char text[448], valid[MONEY_SHOWN_BYTES], folded[MONEY_SHOWN_BYTES], pending[MONEY_SHOWN_BYTES];
	char deleted[MONEY_SHOWN_BYTES], pruned[96] = "";
	const struct fold *fresh = &view->pending.fold;
	/* What was folded is compared under other settings too: the number of calls does not depend on them. */
	found->folded = checkpoint_calls(&view->state.checkpoint);
	found->valid = fresh->calls + (view->state.settings_changed ? 0 : again->pass.fold.calls);
	found->pending = found->valid - again->pass.fold.calls;
	count_show(valid, (int64_t)found->valid);
	count_show(folded, (int64_t)found->folded);
	count_show(pending, (int64_t)found->pending);
	found->pruned = pruned_calls(view);
	count_show(deleted, (int64_t)found->pruned);
	if (found->pruned)
		snprintf(pruned, sizeof(pruned), " + %s deleted by retention", deleted);
	bool holds = found->valid + found->pruned == found->folded + found->pending;
	uint32_t unread = unreadable_groups(&view->segments);
	if (!holds && unread) {
		struct checked_file *checked = add_file(found, "identity");
		if (!checked)
			return;
		unreadable(found, checked);
		say(found, checked, "%u segment%s could not be read; whether all folded calls are there is not known",
		    unread, unread == 1 ? "" : "s");
		return;
	}
	snprintf(text, sizeof(text), "%s valid calls%s %s %s folded + %s pending%s", valid, pruned,
		 holds ? "=" : "are not", folded, pending,
		 holds ? "" : ": folded calls are missing from the segments, or damaged");
	add_line(found, "identity", holds ? VERDICT_PASS : VERDICT_FAIL, text);
}

static void sum_up(struct verification *found, const struct view *view, const struct refold *again)
{
	const struct slot_counts *fresh = &view->pending.fold.counts, *folded = &again->pass.fold.counts;
	found->damaged = fresh->damaged + (view->state.settings_changed ? 0 : folded->damaged);
	found->holes = fresh->holes;
	found->unfinished = fresh->unfinished;
	found->unknown = fresh->unknown;
	for (size_t i = 0; i < view->segments.group_count; i++)
		found->dropped += view->pending.results[i].dropped;
	if (fresh->conflicts + folded->conflicts)
		add_line(found, "segments", VERDICT_FAIL,
			 "files of one segment hold different valid calls in one slot");
}

static void report_dropped(struct verification *found)
{
	char text[128], dropped[MONEY_SHOWN_BYTES];
	count_show(dropped, (int64_t)found->dropped);
	snprintf(text, sizeof(text), "writers dropped at least %s calls", dropped);
	if (found->dropped)
		add_line(found, "dropped", VERDICT_PASS, text);
}

static void check_all(struct verification *found, struct view *view, struct refold *again)
{
	struct leftovers leftovers = {found, view};
	uint64_t bytes = 0;
	for (size_t i = 0; i < view->segments.file_count; i++)
		bytes += view->segments.files[i].size_bytes;
	progress_begin("checking", bytes);
	for (size_t i = 0; i < view->segments.file_count; i++) {
		check_segment_file(found, view, &view->segments.files[i]);
		progress_add(view->segments.files[i].size_bytes);
	}
	progress_end();
	if (found->error)
		return;
	check_folded_segments(found, view);
	say_unreadable_groups(found, &view->segments);
	for (size_t i = 1; i < view->segments.list.directory_count; i++)
		if (view->segments.list.fds[i] < 0 && view->segments.list.fds[i] != -ENOENT) {
			struct checked_file *file = add_file(found, view->directory.conf.fallbacks[i - 1]);
			if (!file)
				return;
			unreadable(found, file);
			say(found, file, "this fallback directory cannot be read: %s",
			    usagelog_strerror(view->segments.list.fds[i]));
		}
	for (size_t i = 0; i < view->state.checkpoint.day_count; i++)
		check_day(found, view, again, &view->state.checkpoint.days[i]);
	check_named_files(found, view, again);
	check_named_tables(found, view);
	check_previous_files(found, view);
	check_base(found, view);
	check_checkpoints(found, view, again);
	verify_summary(found, view);
	int error = store_list(view->directory.fd, look_at_name, &leftovers);
	if (error && !found->error)
		found->error = error;
	sum_up(found, view, again);
	check_identity(found, view, again);
	report_dropped(found);
}

static bool checkpoint_moved(const struct view *view)
{
	struct stat now;
	uint64_t ctime_ns = 0;
	if (!os_stat_at(view->directory.fd, "checkpoint", &now))
		ctime_ns = (uint64_t)now.st_ctim.tv_sec * 1000000000 + (uint64_t)now.st_ctim.tv_nsec;
	return ctime_ns != view->state.current_ctime_ns;
}

int verify_once(struct verification *found, const char *log, bool *moved, struct ul_message *why)
{
	struct view view;
	struct refold again = {0};
	*found = (struct verification){0};
	int error = view_open(&view, log, why);
	if (error)
		return error;
	error = refold(&again, &view);
	if (!error) {
		check_all(found, &view, &again);
		*moved = checkpoint_moved(&view);
		error = found->error;
	}
	if (error)
		ul_message_set(why, "%s: cannot be verified: %s", view.directory.path, usagelog_strerror(error));
	pass_clear(&again.pass);
	view_close(&view);
	return error;
}
