/* The segments of a log. */
#include "merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "os.h"
#include "rescue.h"
#include "seal.h"

/* ---- find -------------------------------------------------------------------------------------------------- */

const char *segment_directory_path(const struct ul_directory *directory, const struct ul_segment_name *name)
{
	return name->directory ? directory->conf.fallbacks[name->directory - 1] : directory->path;
}

/* A sync of this boot was begun and not ended well, and nobody is there to see to it (FORMAT.md 3.2, 3.6). After a reboot the file
 * holds what the disk has, and there is nothing to rescue; where it cannot be told, it may be this boot. */
static bool needs_rescue(const struct ul_reader *reader)
{
	return ul_reader_sync_is_set(reader) && !reader->header.generation && ul_reader_is_original(reader) &&
	       ul_reader_of_this_boot(reader) && !ul_reader_has_writer(reader);
}

static uint32_t used_end(const struct ul_reader *reader)
{
	uint32_t page = reader->end_slot / UL_PAGE_SLOTS;
	while (page > reader->first_slot / UL_PAGE_SLOTS && !reader->durable[page - 1])
		page--;
	return page > reader->first_slot / UL_PAGE_SLOTS ? page * UL_PAGE_SLOTS : reader->end_slot;
}

static void look_at(struct segment_file *file, int directory, const struct ul_id *log_id)
{
	struct ul_reader reader;
	file->error = ul_reader_open(&reader, directory, file->name->name);
	memcpy(file->page_states, reader.page_states, sizeof(file->page_states));
	if (file->error)
		return;
	file->id = reader.header.segment_id;
	file->size_bytes = reader.header.size_bytes;
	file->generation = reader.header.generation;
	file->first_slot = reader.first_slot;
	file->used_end = used_end(&reader);
	file->original = ul_reader_is_original(&reader);
	file->is_ours = memcmp(&reader.header.log_id, log_id, sizeof(*log_id)) == 0;
	file->needs_rescue = file->is_ours && needs_rescue(&reader);
	ul_reader_close(&reader);
}

static void report(const struct segment_file *file, const char *path, struct findings *findings)
{
	const char *name = file->name->name;
	if (file->error == USAGELOG_ERROR_NEWER)
		findings_add(findings, FINDING_LEFT_OUT,
			     "%s/%s: was written by a newer usagelog than this one; left out and not touched; use the "
			     "newer one",
			     path, name);
	else if (file->error == USAGELOG_ERROR_SEGMENT)
		findings_add(
			findings, FINDING_LEFT_OUT,
			"%s/%s: both header pages are damaged, or it is no segment; left out; restore it from a backup",
			path, name);
	else if (file->error && file->error != -ENOENT)
		findings_add(findings, FINDING_LEFT_OUT,
			     "%s/%s: cannot be read (%s); left out; the next run tries again", path, name,
			     usagelog_strerror(file->error));
	else if (!file->error && !file->is_ours)
		findings_add(findings, FINDING_NOTE,
			     "%s/%s: belongs to another log; left out; move it to where it belongs", path, name);
	else if (!file->error && (file->page_states[0] != UL_HEADER_VALID || file->page_states[1] != UL_HEADER_VALID))
		findings_add(findings, FINDING_DAMAGE, "%s/%s: header page %d is damaged; the other one is used", path,
			     name, file->page_states[0] == UL_HEADER_VALID);
}

/* Ours first; by id, and within one segment as FORMAT.md 3.6 ranks its files. */
static int compare_files(const void *left, const void *right)
{
	const struct segment_file *a = left, *b = right;
	if (a->is_ours != b->is_ours)
		return a->is_ours ? -1 : 1;
	int order = memcmp(&a->id, &b->id, sizeof(a->id));
	if (order)
		return order;
	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	if (a->original != b->original)
		return a->original ? -1 : 1;
	order = strcmp(a->name->name, b->name->name);
	return order ? order : (a->name->directory > b->name->directory) - (a->name->directory < b->name->directory);
}

static int make_groups(struct segments *segments)
{
	segments->groups = os_allocate(segments->file_count + 1, sizeof(*segments->groups));
	if (!segments->groups)
		return -ENOMEM;
	for (size_t i = 0; i < segments->file_count && segments->files[i].is_ours; i++) {
		struct segment_file *file = &segments->files[i];
		struct segment_group *last =
			segments->group_count ? &segments->groups[segments->group_count - 1] : NULL;
		if (last && memcmp(&last->id, &file->id, sizeof(file->id)) == 0)
			last->file_count++;
		else
			segments->groups[segments->group_count++] = (struct segment_group){file->id, file, 1, false, 0};
	}
	return 0;
}

int segments_scan(struct segments *segments, const struct ul_directory *directory, struct findings *findings)
{
	struct segments found = {0};
	int error = ul_segment_list_read(&found.list, directory);
	if (error)
		return error;
	found.files = os_allocate(found.list.count + 1, sizeof(*found.files));
	error = found.files ? 0 : -ENOMEM;
	for (size_t i = 1; i < found.list.directory_count; i++)
		if (found.list.fds[i] < 0 && found.list.fds[i] != -ENOENT)
			findings_add(findings, FINDING_LEFT_OUT,
				     "%s: this fallback directory cannot be read (%s); what it holds is left out",
				     directory->conf.fallbacks[i - 1], usagelog_strerror(found.list.fds[i]));
	for (size_t i = 0; i < found.list.count && !error; i++) {
		struct segment_file *file = &found.files[found.file_count];
		file->name = &found.list.names[i];
		look_at(file, found.list.fds[file->name->directory], &directory->conf.log_id);
		report(file, segment_directory_path(directory, file->name), findings);
		if (file->error != -ENOENT)
			found.file_count++;
		else
			*file = (struct segment_file){0};
	}
	if (!error) {
		qsort(found.files, found.file_count, sizeof(*found.files), compare_files);
		error = make_groups(&found);
	}
	if (error)
		segments_clear(&found);
	else
		*segments = found;
	return error;
}

void segments_clear(struct segments *segments)
{
	free(segments->files);
	free(segments->groups);
	ul_segment_list_clear(&segments->list);
	*segments = (struct segments){0};
}

/* ---- open -------------------------------------------------------------------------------------------------- */

/* A page of one file. */
struct file_page {
	_Alignas(64) struct ul_slot slots[UL_PAGE_SLOTS];
	uint64_t valid, plain;
	uint64_t used;                            /* not empty */
	uint64_t counts;                          /* valid, and no file before this one has a valid slot there */
	enum ul_slot_state states[UL_PAGE_SLOTS]; /* of those that are not valid */
};

static int open_files(struct group_reader *reader, struct findings *findings)
{
	const struct segment_group *group = reader->group;
	int error = -ENOENT;
	for (uint32_t i = 0; i < group->file_count; i++) {
		const struct segment_file *file = &group->files[i];
		struct ul_reader *one = &reader->readers[reader->reader_count];
		int failed = ul_reader_open(one, reader->segments->list.fds[file->name->directory], file->name->name);
		if (!failed && (memcmp(&one->header.segment_id, &group->id, sizeof(group->id)) != 0 ||
				one->header.size_bytes != group->files[0].size_bytes)) {
			ul_reader_close(one);
			findings_add(findings, FINDING_LEFT_OUT,
				     "%s: another file of the same segment says another size; this one is left out",
				     file->name->name);
			continue;
		}
		if (failed) {
			error = failed;
			if (failed != -ENOENT)
				findings_add(findings, FINDING_LEFT_OUT,
					     "%s: cannot be read (%s); left out; the next run tries again",
					     file->name->name, usagelog_strerror(failed));
			continue;
		}
		reader->files[reader->reader_count++] = file;
	}
	return reader->reader_count ? 0 : error;
}

int group_open(struct group_reader *reader, const struct segments *segments, const struct segment_group *group,
	       struct findings *findings)
{
	*reader = (struct group_reader){.segments = segments, .group = group};
	reader->readers = os_allocate(group->file_count, sizeof(*reader->readers));
	reader->files = os_allocate(group->file_count, sizeof(*reader->files));
	reader->mappings = os_allocate(group->file_count, sizeof(*reader->mappings));
	reader->pages = os_allocate(group->file_count, sizeof(*reader->pages));
	reader->unsynced = os_allocate(group->file_count, sizeof(*reader->unsynced));
	reader->named = os_allocate(group->file_count, sizeof(*reader->named));
	bool all = reader->readers && reader->files && reader->mappings && reader->pages && reader->unsynced &&
		   reader->named;
	int error = all ? open_files(reader, findings) : -ENOMEM;
	for (uint32_t i = 0; i < reader->reader_count && !error; i++) {
		reader->pages[i] = os_allocate_aligned(_Alignof(struct file_page), sizeof(struct file_page));
		if (!reader->pages[i])
			error = -ENOMEM;
		reader->named[i] = os_allocate((reader->readers[i].page_count + 63) / 64, sizeof(*reader->named[i]));
		if (!reader->named[i])
			error = -ENOMEM;
		reader->first_slot = reader->readers[i].first_slot;
		if (reader->readers[i].end_slot > reader->end_slot)
			reader->end_slot = reader->readers[i].end_slot;
	}
	if (error)
		group_close(reader);
	return error;
}

void group_close(struct group_reader *reader)
{
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		ul_reader_close(&reader->readers[i]);
		mapping_close(&reader->mappings[i]);
		free(reader->pages[i]);
		runs_clear(&reader->unsynced[i]);
		free(reader->named[i]);
	}
	free(reader->readers);
	free(reader->files);
	free(reader->mappings);
	free(reader->pages);
	free(reader->unsynced);
	free(reader->named);
	*reader = (struct group_reader){0};
}

/* ---- read -------------------------------------------------------------------------------------------------- */

/* Mapped at a time: much more than it takes to forget what mapping costs, and little beside the facts. */
enum { WINDOW_SLOTS = 8 << 20 >> 6 };

static bool slot_is_empty(const struct ul_slot *slot)
{
	uint64_t words[8];
	memcpy(words, slot, sizeof(words));
	return !(words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]);
}

static enum ul_slot_state state_of(const struct ul_reader *file, uint32_t number, struct ul_slot *slot, bool sealed)
{
	if (sealed)
		return ul_slot_is_defined(slot) ? UL_SLOT_VALID : UL_SLOT_UNKNOWN;
	return slot_is_empty(slot) ? UL_SLOT_EMPTY : ul_reader_classify(file, number, slot);
}

static void judge(const struct ul_reader *file, struct file_page *page, uint32_t first, uint32_t i, bool sealed)
{
	uint64_t bit = (uint64_t)1 << i;
	enum ul_slot_state state = state_of(file, first + i, &page->slots[i], sealed);
	page->valid |= state == UL_SLOT_VALID ? bit : 0;
	page->used = state == UL_SLOT_EMPTY ? page->used & ~bit : page->used | bit;
	if (state <= UL_SLOT_UNFINISHED && i < file->durable[first / UL_PAGE_SLOTS])
		state = UL_SLOT_DAMAGED;
	page->states[i] = state;
}

/* Read a page of one file, and classify its slots. */
static int take_page(struct group_reader *reader, uint32_t index, uint32_t first)
{
	const struct ul_reader *file = &reader->readers[index];
	struct file_page *page = reader->pages[index];
	struct ul_page_bits bits;
	if (!mapping_take(&reader->mappings[index], (uint64_t)first * UL_SLOT_BYTES, page->slots, file->seed, &bits)) {
		int error = ul_reader_read(file, first, UL_PAGE_SLOTS, page->slots);
		if (error)
			return error;
		bits = ul_page_take(page->slots, page->slots, file->seed, first);
	}
	page->valid = bits.sealed & bits.plain;
	page->plain = bits.plain;
	page->used = UINT64_MAX;
	page->counts = 0;
	for (uint64_t rest = ~page->valid; rest; rest &= rest - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(rest);
		judge(file, page, first, i, bits.sealed >> i & 1);
	}
	/* A writer may have stored a call, and its id before it, between the looks at the id's slot and at the call's: so look again, behind that. */
	for (uint64_t rest = page->valid >> 1 & ~page->valid; rest; rest &= rest - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(rest);
		int error = ul_reader_read(file, first + i, 1, &page->slots[i]);
		if (error)
			return error;
		page->plain &= ~((uint64_t)1 << i);
		judge(file, page, first, i, false);
	}
	return 0;
}

/* Is this file's copy of a slot known durable? */
static bool is_durable(const struct group_reader *reader, uint32_t index, uint32_t number)
{
	return number % UL_PAGE_SLOTS < reader->readers[index].durable[number / UL_PAGE_SLOTS];
}

/* Note the page as one to be synced if a slot of it that counts is not known durable. */
static int note_unsynced(struct group_reader *reader, uint32_t index, uint32_t first, uint64_t counted)
{
	uint32_t page = first / UL_PAGE_SLOTS, durable = reader->readers[index].durable[page];
	if (durable == UL_PAGE_SLOTS || !(counted >> durable))
		return 0;
	return runs_append(&reader->unsynced[index], page);
}

/* Make one slot of the first file's page that of all of them. Of equal ones it counts as one of the file that has it durable: after a failed sync, the copy's. */
static void merge_slot(struct group_reader *reader, uint32_t number, bool *conflict)
{
	const struct file_page *chosen = NULL;
	struct file_page *merged = reader->pages[0];
	enum ul_slot_state worst = UL_SLOT_EMPTY;
	uint32_t j = number % UL_PAGE_SLOTS, counted = 0;
	uint64_t bit = (uint64_t)1 << j;
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		struct file_page *page = reader->pages[i];
		if (!(page->valid & bit)) {
			worst = page->states[j] > worst ? page->states[j] : worst;
		} else if (!chosen) {
			chosen = page;
			counted = i;
		} else if (memcmp(&chosen->slots[j], &page->slots[j], sizeof(struct ul_slot)) != 0) {
			*conflict = true;
		} else if (!is_durable(reader, counted, number)) {
			counted = i;
		}
	}
	reader->pages[counted]->counts |= chosen ? bit : 0;
	merged->states[j] = worst;
	if (!chosen || chosen == merged)
		return;
	merged->slots[j] = chosen->slots[j];
	merged->valid |= bit;
	merged->plain = (merged->plain & ~bit) | (chosen->plain & bit);
}

void slot_counts_add(struct slot_counts *counts, const struct slot_counts *more)
{
	if (!counts->conflicts)
		counts->first_conflict = more->first_conflict;
	counts->conflicts += more->conflicts;
	counts->damaged += more->damaged;
	counts->holes += more->holes;
	counts->unfinished += more->unfinished;
	counts->unknown += more->unknown;
}

/* In each slot the first file with a valid one counts; if none has one, the worst state does. */
static void merge_pages(struct group_reader *reader, uint32_t first, uint64_t wanted, struct slot_counts *counts)
{
	/* The first file's slots are compared before they are written over: slot by slot. */
	for (uint32_t j = 0; j < UL_PAGE_SLOTS; j++) {
		bool conflict = false;
		merge_slot(reader, first + j, &conflict);
		if (conflict && wanted >> j & 1 && !counts->conflicts++)
			counts->first_conflict = first + j;
	}
}

static void count_bad(const struct group_reader *reader, uint32_t first, uint64_t bad, struct slot_counts *counts)
{
	const struct file_page *page = reader->pages[0];
	uint64_t used = 0;
	for (uint32_t i = 0; i < reader->reader_count; i++)
		used |= reader->pages[i]->used;
	for (; bad; bad &= bad - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(bad);
		enum ul_slot_state state = page->states[i];
		bool hole = state == UL_SLOT_EMPTY && used >> i;
		counts->damaged += state == UL_SLOT_DAMAGED;
		counts->unknown += state == UL_SLOT_UNKNOWN;
		counts->unfinished += state == UL_SLOT_UNFINISHED;
		counts->holes += hole;
		if (reader->bad && (hole || state != UL_SLOT_EMPTY))
			reader->bad(reader->bad_arg, first + i, state);
	}
}

static int visit_page(struct group_reader *reader, uint32_t first, uint64_t wanted, group_page_fn visit, void *arg,
		      struct slot_counts *counts)
{
	struct file_page *merged = reader->pages[0];
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		int error = take_page(reader, i, first);
		if (error)
			return error;
	}
	if (reader->reader_count > 1)
		merge_pages(reader, first, wanted, counts);
	else
		merged->counts = merged->valid;
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		int error = note_unsynced(reader, i, first, reader->pages[i]->counts & wanted);
		if (error)
			return error;
	}
	if (wanted & ~merged->valid)
		count_bad(reader, first, wanted & ~merged->valid, counts);
	struct slot_page page = {first, merged->slots, merged->valid, merged->plain, wanted};
	return merged->valid & wanted ? visit(arg, &page) : 0;
}

static uint32_t next_data(const struct group_reader *reader, uint32_t number)
{
	uint32_t next = reader->end_slot;
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		uint32_t one = ul_reader_next_data(&reader->readers[i], number);
		if (one < reader->readers[i].end_slot && one < next)
			next = one;
		/* Slots in a gap of the file that were durable are lost, so pages that say so are looked at. */
	}
	for (uint32_t page = number / UL_PAGE_SLOTS; page < next / UL_PAGE_SLOTS; page++)
		for (uint32_t i = 0; i < reader->reader_count; i++)
			if (reader->readers[i].durable[page])
				return page * UL_PAGE_SLOTS > number ? page * UL_PAGE_SLOTS : number;
	return next;
}

static void map_window(struct group_reader *reader, uint32_t first, uint32_t end)
{
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		mapping_close(&reader->mappings[i]);
		mapping_open(&reader->mappings[i], reader->readers[i].fd, (uint64_t)first * UL_SLOT_BYTES,
			     (uint64_t)(end - first) * UL_SLOT_BYTES);
	}
}

static int visit_window(struct group_reader *reader, uint32_t from, uint32_t end, const struct runs *runs,
			uint32_t *run, bool in_runs, group_page_fn visit, void *arg, struct slot_counts *counts)
{
	int error = 0;
	for (uint32_t first = from / UL_PAGE_SLOTS * UL_PAGE_SLOTS; first < end && !error; first += UL_PAGE_SLOTS) {
		uint64_t wanted = runs_bits(runs, first, run);
		if (!in_runs)
			wanted = ~wanted;
		if (first < from)
			wanted &= UINT64_MAX << (from - first);
		if (end - first < UL_PAGE_SLOTS)
			wanted &= UINT64_MAX >> (UL_PAGE_SLOTS - (end - first));
		if (wanted)
			error = visit_page(reader, first, wanted, visit, arg, counts);
	}
	return error;
}

int group_visit_pages(struct group_reader *reader, struct slot_range range, const struct runs *runs, bool in_runs,
		      group_page_fn visit, void *arg, struct slot_counts *counts)
{
	uint32_t at = range.first, run = 0;
	int error = 0;
	while (!error && (at = runs_next(runs, at, range.end, in_runs)) < range.end) {
		uint32_t data = next_data(reader, at);
		if (data > at) {
			at = data;
			continue;
		}
		uint32_t first = at / UL_PAGE_SLOTS * UL_PAGE_SLOTS;
		/* Windows meet where the host's large pages do. */
		uint32_t end = (at / WINDOW_SLOTS + 1) * WINDOW_SLOTS;
		end = end < range.end ? end : range.end;
		map_window(reader, first, end);
		error = visit_window(reader, at, end, runs, &run, in_runs, visit, arg, counts);
		at = end;
	}
	return error;
}

struct slot_visit {
	group_visit_fn visit;
	void *arg;
};

static int visit_slots(void *arg, const struct slot_page *page)
{
	const struct slot_visit *each = arg;
	int error = 0;
	for (uint64_t rest = page->valid & page->wanted; rest && !error; rest &= rest - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(rest);
		error = each->visit(each->arg, page->first + i, &page->slots[i], slot_page_before(page, i));
	}
	return error;
}

int group_visit(struct group_reader *reader, const struct runs *runs, bool in_runs, group_visit_fn visit, void *arg,
		struct slot_counts *counts)
{
	struct slot_visit each = {visit, arg};
	struct slot_range all = {reader->first_slot, reader->end_slot};
	return group_visit_pages(reader, all, runs, in_runs, visit_slots, &each, counts);
}

/* ---- single slots and texts ---------------------------------------------------------------------------------- */

/* A slot that others name is to be synced with them, and may not have been visited: its page may have been passed before it was stored. Unless there
 * is a durable copy. */
static void note_named(struct group_reader *reader, uint32_t index, uint32_t number, const struct ul_slot *slot)
{
	uint32_t page = number / UL_PAGE_SLOTS;
	if (is_durable(reader, index, number))
		return;
	for (uint32_t i = index + 1; i < reader->reader_count; i++) {
		struct ul_slot copy;
		if (is_durable(reader, i, number) && !ul_reader_read(&reader->readers[i], number, 1, &copy) &&
		    !memcmp(&copy, slot, sizeof(copy)))
			return;
	}
	reader->named[index][page / 64] |= (uint64_t)1 << page % 64;
}

/* A slot of one file. Its page is kept, as the next slot to be asked for is often there too: what is valid stays so, and what is not is read again. */
static int ask_file(struct group_reader *reader, uint32_t index, uint32_t number, struct ul_slot *slot,
		    enum ul_slot_state *state)
{
	const struct ul_reader *file = &reader->readers[index];
	uint32_t i = number % UL_PAGE_SLOTS, first = number - i;
	if (reader->asked_first == first && reader->asked_file == index) {
		*slot = reader->asked[i];
		*state = ul_slot_classify(slot, file->seed, number);
		if (*state == UL_SLOT_VALID)
			return 0;
	}
	reader->asked_first = 0;
	int error = ul_reader_read(file, first, UL_PAGE_SLOTS, reader->asked);
	if (error)
		return error;
	reader->asked_first = first;
	reader->asked_file = index;
	*slot = reader->asked[i];
	*state = ul_reader_classify(file, number, slot);
	return 0;
}

bool group_slot(struct group_reader *reader, uint32_t number, struct ul_slot *slot)
{
	/* Not the end that the files had when they were opened: what a call of a live writer names may lie beyond it. */
	if (number < reader->first_slot || number >= reader->group->files[0].size_bytes / UL_SLOT_BYTES)
		return false;
	int error = 0;
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		enum ul_slot_state state;
		int failed = ask_file(reader, i, number, slot, &state);
		if (failed)
			error = failed;
		if (failed || state != UL_SLOT_VALID)
			continue;
		note_named(reader, i, number, slot);
		return true;
	}
	if (error)
		reader->error = error;
	return false;
}

static bool text_is_valid(enum ul_class text_class, const char *text, uint32_t bytes)
{
	size_t provider_bytes;
	return text_class == UL_CLASS_MODEL ? ul_model_text_is_valid(text, bytes, &provider_bytes)
					    : ul_context_is_valid(text, bytes);
}

ssize_t group_text(struct group_reader *reader, uint32_t number, enum ul_class text_class,
		   char out[UL_CONTEXT_BYTES_MAX])
{
	struct ul_slot slot;
	if (!group_slot(reader, number, &slot) || ul_slot_kind(&slot) != UL_KIND_DEFINITION ||
	    slot.word >> 28 != text_class)
		return reader->error ? reader->error : USAGELOG_ERROR_SEGMENT;
	uint32_t bytes = slot.word & UL_SLOT_MASK;
	for (uint32_t offset = 0; offset < bytes; offset += UL_CHUNK_BYTES) {
		uint32_t chunk = bytes - offset < UL_CHUNK_BYTES ? bytes - offset : UL_CHUNK_BYTES;
		uint32_t next = slot.tag & UL_SLOT_MASK;
		if (offset && (!group_slot(reader, next, &slot) || ul_slot_kind(&slot) != UL_KIND_CONTINUATION ||
			       slot.word != offset))
			return reader->error ? reader->error : USAGELOG_ERROR_SEGMENT;
		memcpy(out + offset, slot.body.text, chunk);
	}
	/* The last chunk leads nowhere. */
	if (slot.tag & UL_SLOT_MASK)
		return USAGELOG_ERROR_SEGMENT;
	return text_is_valid(text_class, out, bytes) ? (ssize_t)bytes : USAGELOG_ERROR_SEGMENT;
}

/* ---- sync -------------------------------------------------------------------------------------------------- */

/* Sync runs of pages of a mapping, in units of the host's pages. */
static int sync_pages(uint8_t *address, size_t mapped_bytes, const struct runs *pages)
{
	size_t unit = (size_t)sysconf(_SC_PAGESIZE);
	for (uint32_t i = 0; i < pages->count; i++) {
		size_t start = (size_t)pages->items[i].first_slot * UL_PAGE_BYTES / unit * unit;
		size_t end = ((size_t)pages->items[i].first_slot + pages->items[i].slot_count) * UL_PAGE_BYTES;
		if (start >= mapped_bytes)
			continue;
		int error = os_sync_range(address + start, (end < mapped_bytes ? end : mapped_bytes) - start);
		if (error)
			return error;
	}
	return 0;
}

enum { WRITER_TRIES_MAX = 4000 }; /* 50 us apart: a sync of a slow disk */

/*
 * The kernel tells of a failed write once, to each descriptor that is open by then: what the writer was told before, nobody is told any more. So a
 * sync of the writer's that is under way is waited for, and a segment that it gave up is not believed. 0: what `fd` will be told is all there is to know.
 * -ETIMEDOUT: the writer was stopped, or its disk hangs.
 */
static int ask_writer(int fd, const struct ul_reader *one)
{
	struct ul_state_block then[UL_STATE_BLOCKS] = {0}, now[UL_STATE_BLOCKS] = {0};
	const uint64_t at = (uint64_t)UL_STATE_PAGE * UL_PAGE_BYTES;
	ssize_t got = os_read(fd, then, sizeof(then), at);
	for (uint32_t tries = 0; tries < WRITER_TRIES_MAX && got >= 0; tries++) {
		bool waits = false;
		got = os_read(fd, now, sizeof(now), at);
		if (!ul_is_zero(&now[UL_BLOCK_GIVEN_UP], sizeof(now[0])))
			return -EIO;
		for (uint32_t i = UL_BLOCK_SYNC; i < UL_BLOCK_SYNC + UL_SYNC_BLOCKS; i++)
			waits |= ul_sync_is_set(&then[i], one->seed, i) && then[i].sequence == now[i].sequence;
		if (!waits)
			return got < 0 ? (int)got : 0;
		os_pause();
	}
	return got < 0 ? (int)got : -ETIMEDOUT;
}

/* msync() does nothing, and says nothing, on a mapping of a file that was opened to read only: so the file is opened to write, and not written to.
 * Where that is not allowed the whole file is synced. */
static int sync_file(const struct group_reader *reader, uint32_t index)
{
	const struct ul_segment_name *name = reader->files[index]->name;
	const struct ul_reader *one = &reader->readers[index];
	int fd = os_open(reader->segments->list.fds[name->directory], name->name, O_RDWR);
	struct stat found;
	void *address = NULL;
	if (fd < 0 || os_stat(fd, &found) || (uint64_t)found.st_ino != one->inode || !found.st_size) {
		os_close(fd);
		return os_sync(one->fd);
	}
	/* What an earlier boot, or a copy, says of syncs is over. */
	bool asks = ul_reader_is_original(one) && ul_reader_of_this_boot(one);
	int error = asks ? ask_writer(fd, one) : 0;
	if (!error)
		error = os_map(&address, (size_t)found.st_size, fd, 0, false);
	if (!error) {
		error = sync_pages(address, (size_t)found.st_size, &reader->unsynced[index]);
		/* Whoever went on in it would not be told. */
		if (error && asks)
			(void)ul_rescue_give_up(fd, one->seed);
	}
	os_unmap(address, (size_t)found.st_size);
	os_close(fd);
	return error;
}

/* After a failed sync the kernel may hold the pages clean, and the next sync would succeed without writing them: so they are copied to a rescue
 * file, in which they are durable. */
static int rescue_unsynced(const struct group_reader *reader, uint32_t index)
{
	const struct runs *pages = &reader->unsynced[index];
	uint32_t first = pages->items[0].first_slot;
	uint32_t end = pages->items[pages->count - 1].first_slot + pages->items[pages->count - 1].slot_count;
	struct ul_message why;
	return ul_rescue_pages(reader->readers[index].fd, first, end - first,
			       reader->segments->list.fds[reader->files[index]->name->directory], &why);
}

/* Add the pages that were noted to those that were visited. */
static int add_named(struct group_reader *reader, uint32_t index)
{
	struct runs pages = {0};
	uint32_t words = (reader->readers[index].page_count + 63) / 64;
	int error = 0;
	for (uint32_t i = 0; i < words && !error; i++)
		error = runs_append_bits(&pages, i * 64, reader->named[index][i]);
	if (!error && pages.count)
		error = runs_unite(&reader->unsynced[index], &pages);
	runs_clear(&pages);
	return error;
}

int group_sync(struct group_reader *reader)
{
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		if (add_named(reader, i))
			return -ENOMEM;
		if (!reader->unsynced[i].count)
			continue;
		int error = sync_file(reader, i);
		error = error ? rescue_unsynced(reader, i)
			      : os_sync(reader->segments->list.fds[reader->files[i]->name->directory]);
		if (error)
			return error;
	}
	return 0;
}
