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

/* ---- find -------------------------------------------------------------------------------------------------- */

const char *segment_directory_path(const struct ul_directory *directory, const struct ul_segment_name *name)
{
	return name->directory ? directory->conf.fallbacks[name->directory - 1] : directory->path;
}

/* A sync of this boot was begun and not ended well, and nobody is there to see to it (FORMAT.md 3.2, 3.6). After a reboot the file
 * holds what the disk has, and there is nothing to rescue. */
static bool needs_rescue(const struct ul_reader *reader)
{
	const struct ul_state_block *boot = ul_block_pair(reader->blocks, reader->seed, UL_BLOCK_BOOT);
	bool set = false;
	uint8_t boot_id[UL_ID_BYTES];
	for (uint32_t i = UL_BLOCK_SYNC; i < UL_BLOCK_SYNC + UL_SYNC_BLOCKS; i++) {
		enum ul_block_state state = ul_block_classify(&reader->blocks[i], reader->seed, i);
		set |= state == UL_BLOCK_TORN || (state == UL_BLOCK_VALID && reader->blocks[i].payload.sync.page_count);
	}
	if (!set || !boot || reader->header.generation || !ul_reader_is_original(reader))
		return false;
	if (os_boot_id(boot_id) || memcmp(boot_id, boot->payload.boot_id, sizeof(boot_id)) != 0)
		return false;
	return !ul_reader_has_writer(reader);
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
			segments->groups[segments->group_count++] = (struct segment_group){file->id, file, 1, false};
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
	reader->windows = os_allocate(group->file_count, sizeof(*reader->windows));
	reader->unsynced = os_allocate(group->file_count, sizeof(*reader->unsynced));
	bool all = reader->readers && reader->files && reader->windows && reader->unsynced;
	int error = all ? open_files(reader, findings) : -ENOMEM;
	for (uint32_t i = 0; i < reader->reader_count && !error; i++) {
		reader->windows[i] = os_allocate(WINDOW_SLOTS, sizeof(struct ul_slot));
		if (!reader->windows[i])
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
		free(reader->windows[i]);
		runs_clear(&reader->unsynced[i]);
	}
	free(reader->readers);
	free(reader->files);
	free(reader->windows);
	free(reader->unsynced);
	*reader = (struct group_reader){0};
}

/* ---- read -------------------------------------------------------------------------------------------------- */

static int read_window(struct group_reader *reader, uint32_t first, uint32_t count)
{
	reader->window_count = 0;
	reader->hole_page = 0;
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		int error = ul_reader_read(&reader->readers[i], first, count, reader->windows[i]);
		if (error)
			return error;
	}
	reader->window_first = first;
	reader->window_count = count;
	return 0;
}

static bool slot_is_empty(const struct ul_slot *slot)
{
	uint64_t words[8];
	memcpy(words, slot, sizeof(words));
	return !(words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]);
}

/* The slot after the last one of its page that is not empty in some file. */
static uint32_t page_end(struct group_reader *reader, uint32_t number)
{
	uint32_t page = number / UL_PAGE_SLOTS;
	if (reader->hole_page == page)
		return reader->hole_end;
	uint32_t first = page * UL_PAGE_SLOTS, end = first + UL_PAGE_SLOTS;
	if (end > reader->window_first + reader->window_count)
		end = reader->window_first + reader->window_count;
	bool empty = true;
	while (end > first && empty) {
		for (uint32_t i = 0; i < reader->reader_count && empty; i++)
			empty = slot_is_empty(&reader->windows[i][end - 1 - reader->window_first]);
		end -= empty;
	}
	reader->hole_page = page;
	reader->hole_end = end;
	return end;
}

static bool is_below_durable(const struct ul_reader *reader, uint32_t number)
{
	return number % UL_PAGE_SLOTS < reader->durable[number / UL_PAGE_SLOTS];
}

/* The file whose valid slot counts here; -1 if none has one, and then `*worst` says what there is. */
static int choose_file(struct group_reader *reader, uint32_t number, enum ul_slot_state *worst, bool *conflict)
{
	int chosen = -1;
	uint32_t at = number - reader->window_first;
	*worst = UL_SLOT_EMPTY;
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		struct ul_slot *slot = &reader->windows[i][at];
		enum ul_slot_state state = ul_reader_classify(&reader->readers[i], number, slot);
		if (state == UL_SLOT_VALID && chosen < 0)
			chosen = (int)i;
		else if (state == UL_SLOT_VALID && memcmp(slot, &reader->windows[chosen][at], sizeof(*slot)) != 0)
			*conflict = true;
		if (state <= UL_SLOT_UNFINISHED && is_below_durable(&reader->readers[i], number))
			state = UL_SLOT_DAMAGED;
		if (state != UL_SLOT_VALID && state > *worst)
			*worst = state;
	}
	return chosen;
}

static void count_bad(struct group_reader *reader, uint32_t number, enum ul_slot_state state,
		      struct slot_counts *counts)
{
	counts->damaged += state == UL_SLOT_DAMAGED;
	counts->unknown += state == UL_SLOT_UNKNOWN;
	counts->unfinished += state == UL_SLOT_UNFINISHED;
	bool hole = state == UL_SLOT_EMPTY && number < page_end(reader, number);
	counts->holes += hole;
	if (reader->bad && (hole || state != UL_SLOT_EMPTY))
		reader->bad(reader->bad_arg, number, state);
}

static const struct ul_slot *valid_before(struct group_reader *reader, uint32_t number, int file)
{
	if (number % UL_PAGE_SLOTS == 0 || number == reader->window_first)
		return NULL;
	struct ul_slot *before = &reader->windows[file][number - 1 - reader->window_first];
	if (ul_slot_kind(before) != UL_KIND_CALL_ID)
		return NULL;
	enum ul_slot_state worst;
	bool conflict = false;
	int chosen = choose_file(reader, number - 1, &worst, &conflict);
	return chosen < 0 ? NULL : &reader->windows[chosen][number - 1 - reader->window_first];
}

static int visit_slot(struct group_reader *reader, uint32_t number, group_visit_fn visit, void *arg,
		      struct slot_counts *counts)
{
	enum ul_slot_state worst;
	bool conflict = false;
	int file = choose_file(reader, number, &worst, &conflict);
	if (conflict && !counts->conflicts++)
		counts->first_conflict = number;
	if (file < 0) {
		count_bad(reader, number, worst, counts);
		return 0;
	}
	if (!is_below_durable(&reader->readers[file], number)) {
		int error = runs_append(&reader->unsynced[file], number / UL_PAGE_SLOTS);
		if (error)
			return error;
	}
	return visit(arg, number, &reader->windows[file][number - reader->window_first],
		     valid_before(reader, number, file));
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

int group_visit(struct group_reader *reader, const struct runs *runs, bool in_runs, group_visit_fn visit, void *arg,
		struct slot_counts *counts)
{
	uint32_t at = reader->first_slot;
	while ((at = runs_next(runs, at, reader->end_slot, in_runs)) < reader->end_slot) {
		uint32_t data = next_data(reader, at);
		if (data > at) {
			at = data;
			continue;
		}
		uint32_t first = at / UL_PAGE_SLOTS * UL_PAGE_SLOTS;
		uint32_t end = reader->end_slot - first < WINDOW_SLOTS ? reader->end_slot : first + WINDOW_SLOTS;
		/* No more than what is wanted: a page here and there that was left before it was full is looked at on each run. */
		uint32_t wanted =
			(runs_next(runs, at, end, !in_runs) + UL_PAGE_SLOTS - 1) / UL_PAGE_SLOTS * UL_PAGE_SLOTS;
		end = wanted < end ? wanted : end;
		int error = read_window(reader, first, end - first);
		while (!error && (at = runs_next(runs, at, end, in_runs)) < end) {
			uint32_t until = runs_next(runs, at, end, !in_runs);
			for (; at < until && !error; at++)
				error = visit_slot(reader, at, visit, arg, counts);
		}
		if (error)
			return error;
		at = end;
	}
	return 0;
}

/* ---- single slots and texts ---------------------------------------------------------------------------------- */

bool group_slot(const struct group_reader *reader, uint32_t number, struct ul_slot *slot)
{
	bool in_window = number - reader->window_first < reader->window_count;
	if (number < reader->first_slot || number >= reader->end_slot)
		return false;
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		if (in_window)
			*slot = reader->windows[i][number - reader->window_first];
		/* What the window holds may be older than a definition: the file itself is asked before it counts as missing. */
		if (in_window && ul_slot_classify(slot, reader->readers[i].seed, number) == UL_SLOT_VALID)
			return true;
		if (!ul_reader_read(&reader->readers[i], number, 1, slot) &&
		    ul_reader_classify(&reader->readers[i], number, slot) == UL_SLOT_VALID)
			return true;
	}
	return false;
}

static bool text_is_valid(enum ul_class text_class, const char *text, uint32_t bytes)
{
	size_t provider_bytes;
	return text_class == UL_CLASS_MODEL ? ul_model_text_is_valid(text, bytes, &provider_bytes)
					    : ul_context_is_valid(text, bytes);
}

ssize_t group_text(const struct group_reader *reader, uint32_t number, enum ul_class text_class,
		   char out[UL_CONTEXT_BYTES_MAX])
{
	struct ul_slot slot;
	if (!group_slot(reader, number, &slot) || ul_slot_kind(&slot) != UL_KIND_DEFINITION ||
	    slot.word >> 28 != text_class)
		return USAGELOG_ERROR_SEGMENT;
	uint32_t bytes = slot.word & UL_SLOT_MASK;
	for (uint32_t offset = 0; offset < bytes; offset += UL_CHUNK_BYTES) {
		uint32_t chunk = bytes - offset < UL_CHUNK_BYTES ? bytes - offset : UL_CHUNK_BYTES;
		uint32_t next = slot.tag & UL_SLOT_MASK;
		if (offset && (!group_slot(reader, next, &slot) || ul_slot_kind(&slot) != UL_KIND_CONTINUATION ||
			       slot.word != offset))
			return USAGELOG_ERROR_SEGMENT;
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
	int error = os_map(&address, (size_t)found.st_size, fd, false);
	if (!error)
		error = sync_pages(address, (size_t)found.st_size, &reader->unsynced[index]);
	os_unmap(address, (size_t)found.st_size);
	os_close(fd);
	return error;
}

/* After a failed sync the kernel may hold the pages clean, and the next sync would succeed without writing them: so they are copied to a rescue
 * file, which the next run reads as well. If that fails too there is no more that can be done here. */
static void rescue_unsynced(const struct group_reader *reader, uint32_t index)
{
	const struct runs *pages = &reader->unsynced[index];
	uint32_t first = pages->items[0].first_slot;
	uint32_t end = pages->items[pages->count - 1].first_slot + pages->items[pages->count - 1].slot_count;
	struct ul_message why;
	ul_rescue_pages(reader->readers[index].fd, first, end - first,
			reader->segments->list.fds[reader->files[index]->name->directory], &why);
}

int group_sync(const struct group_reader *reader)
{
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		if (!reader->unsynced[i].count)
			continue;
		int error = sync_file(reader, i);
		if (error)
			rescue_unsynced(reader, i);
		if (!error)
			error = os_sync(reader->segments->list.fds[reader->files[i]->name->directory]);
		if (error)
			return error;
	}
	return 0;
}
