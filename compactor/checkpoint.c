/* The checkpoint in memory. */
#include "checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

void checkpoint_clear(struct checkpoint *checkpoint)
{
	for (size_t i = 0; i < checkpoint->segment_count; i++)
		runs_clear(&checkpoint->segments[i].runs);
	free(checkpoint->segments);
	free(checkpoint->days);
	totals_clear(&checkpoint->totals);
	free(checkpoint->calls);
	free(checkpoint->files);
	*checkpoint = (struct checkpoint){0};
}

/* ---- load -------------------------------------------------------------------------------------------------- */

/* NULL: no memory. */
static void *copy_array(const void *records, size_t count, size_t record_bytes)
{
	void *copy = os_allocate(count + 1, record_bytes);
	if (copy && count)
		memcpy(copy, records, count * record_bytes);
	return copy;
}

/* A copy of a section's records; NULL: no memory. */
static void *copy_records(const struct ul_container *file, enum ul_section_type type, size_t record_bytes,
			  size_t *count)
{
	uint64_t found;
	const void *records = ul_container_records(file, type, &found);
	void *copy = copy_array(records, (size_t)found, record_bytes);
	*count = copy ? (size_t)found : 0;
	return copy;
}

static int load_segments(struct checkpoint *checkpoint, const struct ul_container *file)
{
	uint64_t count, run_count;
	const struct ul_folded_segment *records = ul_container_records(file, UL_SECTION_SEGMENTS, &count);
	const struct ul_run *runs = ul_container_records(file, UL_SECTION_RUNS, &run_count);
	checkpoint->segments = os_allocate((size_t)count + 1, sizeof(*checkpoint->segments));
	if (!checkpoint->segments)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		struct segment_state *segment = &checkpoint->segments[checkpoint->segment_count++];
		segment->record = records[i];
		for (uint32_t j = 0; j < records[i].run_count; j++)
			if (runs_append_run(&segment->runs, runs[records[i].first_run + j]))
				return -ENOMEM;
	}
	return 0;
}

static void rename_records(struct checkpoint *checkpoint, const uint32_t *name_of)
{
	for (size_t i = 0; i < checkpoint->call_count; i++) {
		struct ul_last_call *call = &checkpoint->calls[i];
		call->provider = name_of[call->provider];
		call->model = name_of[call->model];
		call->context = name_of[call->context];
	}
	for (size_t i = 0; i < checkpoint->file_count; i++)
		checkpoint->files[i].name = name_of[checkpoint->files[i].name];
}

static int load_records(struct checkpoint *checkpoint, struct names *names, const struct ul_container *file)
{
	int error = load_segments(checkpoint, file);
	if (error)
		return error;
	checkpoint->days = copy_records(file, UL_SECTION_DAYS, sizeof(struct ul_day), &checkpoint->day_count);
	checkpoint->calls = copy_records(file, UL_SECTION_CALLS, sizeof(struct ul_last_call), &checkpoint->call_count);
	checkpoint->files = copy_records(file, UL_SECTION_FILES, sizeof(struct ul_named_file), &checkpoint->file_count);
	uint32_t *name_of = names_of_file(names, file);
	if (!checkpoint->days || !checkpoint->calls || !checkpoint->files || !name_of) {
		free(name_of);
		return -ENOMEM;
	}
	rename_records(checkpoint, name_of);
	error = totals_load(&checkpoint->totals, name_of, file);
	free(name_of);
	return error;
}

int checkpoint_load(struct checkpoint *checkpoint, struct names *names, const struct ul_container *file)
{
	uint64_t count;
	const struct ul_checkpoint_meta *meta = ul_container_records(file, UL_SECTION_META, &count);
	assert(count == 1 && !checkpoint->generation && !checkpoint->segments);
	checkpoint->generation = meta->generation;
	checkpoint->settings = meta->settings;
	checkpoint->base_generation = meta->base_generation;
	checkpoint->newest_ns = meta->newest_ns;
	int error = load_records(checkpoint, names, file);
	if (error)
		checkpoint_clear(checkpoint);
	return error;
}

/* ---- copy -------------------------------------------------------------------------------------------------- */

static int copy_segments(struct checkpoint *copy, const struct checkpoint *checkpoint)
{
	copy->segments = os_allocate(checkpoint->segment_count + 1, sizeof(*copy->segments));
	if (!copy->segments)
		return -ENOMEM;
	for (size_t i = 0; i < checkpoint->segment_count; i++) {
		struct segment_state *segment = &copy->segments[copy->segment_count++];
		segment->record = checkpoint->segments[i].record;
		if (runs_unite(&segment->runs, &checkpoint->segments[i].runs))
			return -ENOMEM;
	}
	return 0;
}

int checkpoint_copy(struct checkpoint *copy, const struct checkpoint *checkpoint)
{
	assert(!copy->generation && !copy->segments);
	int error = copy_segments(copy, checkpoint);
	copy->generation = checkpoint->generation;
	copy->settings = checkpoint->settings;
	copy->base_generation = checkpoint->base_generation;
	copy->newest_ns = checkpoint->newest_ns;
	copy->day_count = checkpoint->day_count;
	copy->days = copy_array(checkpoint->days, copy->day_count, sizeof(*copy->days));
	copy->call_count = checkpoint->call_count;
	copy->calls = copy_array(checkpoint->calls, copy->call_count, sizeof(*copy->calls));
	copy->file_count = checkpoint->file_count;
	copy->files = copy_array(checkpoint->files, copy->file_count, sizeof(*copy->files));
	if (!copy->days || !copy->calls || !copy->files)
		error = -ENOMEM;
	if (!error)
		error = totals_copy(&copy->totals, &checkpoint->totals);
	if (error)
		checkpoint_clear(copy);
	return error;
}

/* ---- look up and change -------------------------------------------------------------------------------------- */

static size_t segment_place(const struct checkpoint *checkpoint, const struct ul_id *id, bool *found)
{
	size_t low = 0, high = checkpoint->segment_count;
	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(&checkpoint->segments[middle].record.id, id, sizeof(*id));
		if (!order)
			*found = true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct segment_state *checkpoint_find_segment(const struct checkpoint *checkpoint, const struct ul_id *id)
{
	bool found;
	size_t at = segment_place(checkpoint, id, &found);
	return found ? &checkpoint->segments[at] : NULL;
}

/* Make room for one more record at `at` in an array of `count`. NULL: no memory, the array is as it was. */
static void *insert(void *array, size_t count, size_t at, size_t record_bytes)
{
	uint8_t *grown = os_reallocate(array, count + 2, record_bytes);
	if (!grown)
		return NULL;
	memmove(grown + (at + 1) * record_bytes, grown + at * record_bytes, (count - at) * record_bytes);
	memset(grown + at * record_bytes, 0, record_bytes);
	return grown;
}

struct segment_state *checkpoint_get_segment(struct checkpoint *checkpoint, const struct ul_id *id)
{
	bool found;
	size_t at = segment_place(checkpoint, id, &found);
	if (found)
		return &checkpoint->segments[at];
	struct segment_state *segments = insert(checkpoint->segments, checkpoint->segment_count, at, sizeof(*segments));
	if (!segments)
		return NULL;
	checkpoint->segments = segments;
	checkpoint->segment_count++;
	segments[at].record.id = *id;
	return &segments[at];
}

static size_t day_place(const struct checkpoint *checkpoint, int32_t day)
{
	size_t low = 0, high = checkpoint->day_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (checkpoint->days[middle].day < day)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ul_day *checkpoint_find_day(const struct checkpoint *checkpoint, int32_t day)
{
	size_t at = day_place(checkpoint, day);
	return at < checkpoint->day_count && checkpoint->days[at].day == day ? &checkpoint->days[at] : NULL;
}

int checkpoint_set_day(struct checkpoint *checkpoint, const struct ul_day *day)
{
	size_t at = day_place(checkpoint, day->day);
	if (at == checkpoint->day_count || checkpoint->days[at].day != day->day) {
		struct ul_day *days = insert(checkpoint->days, checkpoint->day_count, at, sizeof(*days));
		if (!days)
			return -ENOMEM;
		checkpoint->days = days;
		checkpoint->day_count++;
	}
	checkpoint->days[at] = *day;
	return 0;
}

int checkpoint_set_ids(struct checkpoint *checkpoint, const struct ul_named_file *file)
{
	size_t at = 0;
	while (at < checkpoint->file_count && checkpoint->files[at].kind != UL_FILE_IDS)
		at++;
	if (at == checkpoint->file_count) {
		struct ul_named_file *files = insert(checkpoint->files, checkpoint->file_count, at, sizeof(*files));
		if (!files)
			return -ENOMEM;
		checkpoint->files = files;
		checkpoint->file_count++;
	}
	checkpoint->files[at] = *file;
	return 0;
}

static int32_t newest_from(const struct checkpoint *checkpoint, size_t count)
{
	return checkpoint->day_count > count ? checkpoint->days[checkpoint->day_count - count].day : INT32_MIN;
}

struct checkpoint_window checkpoint_window(const struct checkpoint *checkpoint)
{
	return (struct checkpoint_window){.recent_from = newest_from(checkpoint, UL_RECENT_DAYS),
					  .hours_from = newest_from(checkpoint, UL_HOUR_DAYS)};
}

int checkpoint_trim(struct checkpoint *checkpoint)
{
	struct checkpoint_window window = checkpoint_window(checkpoint);
	return totals_trim(&checkpoint->totals, window.recent_from, window.hours_from);
}

int checkpoint_agrees(const struct checkpoint *checkpoint, struct names *names, const struct facts *facts)
{
	bool recent = facts->day >= checkpoint_window(checkpoint).recent_from;
	return totals_agree(&checkpoint->totals, names, facts, recent);
}

int last_call_compare(const void *left, const void *right)
{
	const struct ul_last_call *a = left, *b = right;
	if (a->call.time_ns != b->call.time_ns)
		return a->call.time_ns < b->call.time_ns ? -1 : 1;
	int order = memcmp(&a->segment_id, &b->segment_id, sizeof(a->segment_id));
	return order ? order : (a->slot > b->slot) - (a->slot < b->slot);
}

int checkpoint_add_calls(struct checkpoint *checkpoint, const struct ul_last_call *calls, size_t count)
{
	struct ul_last_call *all = os_allocate(checkpoint->call_count + count + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	size_t total = checkpoint->call_count + count;
	if (checkpoint->call_count)
		memcpy(all, checkpoint->calls, checkpoint->call_count * sizeof(*all));
	if (count)
		memcpy(all + checkpoint->call_count, calls, count * sizeof(*all));
	qsort(all, total, sizeof(*all), last_call_compare);
	if (total > UL_LAST_CALLS) {
		memmove(all, all + (total - UL_LAST_CALLS), UL_LAST_CALLS * sizeof(*all));
		total = UL_LAST_CALLS;
	}
	free(checkpoint->calls);
	checkpoint->calls = all;
	checkpoint->call_count = total;
	return 0;
}

bool checkpoint_any_pruned(const struct checkpoint *checkpoint)
{
	for (size_t i = 0; i < checkpoint->segment_count; i++)
		if (checkpoint->segments[i].record.state & UL_SEGMENT_PRUNED)
			return true;
	return false;
}

uint64_t checkpoint_calls(const struct checkpoint *checkpoint)
{
	uint64_t calls = 0;
	for (size_t i = 0; i < checkpoint->segment_count; i++)
		calls += (uint64_t)checkpoint->segments[i].record.calls;
	return calls;
}

/* ---- encode -------------------------------------------------------------------------------------------------- */

struct draft {
	struct name_sections names;
	uint8_t *used;
	struct ul_folded_segment *segments;
	struct ul_run *runs;
	struct ul_last_call *calls;
	struct ul_named_file *files;
	struct totals_draft totals;
	uint64_t run_count;
};

static void draft_clear(struct draft *draft)
{
	name_sections_clear(&draft->names);
	free(draft->used);
	free(draft->segments);
	free(draft->runs);
	free(draft->calls);
	free(draft->files);
	totals_draft_clear(&draft->totals);
}

static int compare_files(const void *left, const void *right)
{
	const struct ul_named_file *a = left, *b = right;
	return a->kind != b->kind ? (a->kind > b->kind) - (a->kind < b->kind)
				  : (a->name > b->name) - (a->name < b->name);
}

static int draft_allocate(struct draft *draft, const struct checkpoint *checkpoint, const struct names *names)
{
	size_t runs = 1;
	for (size_t i = 0; i < checkpoint->segment_count; i++)
		runs += checkpoint->segments[i].runs.count;
	if (runs > UINT32_MAX)
		return -EOVERFLOW;
	draft->used = os_allocate(names->count, 1);
	draft->segments = os_allocate(checkpoint->segment_count + 1, sizeof(*draft->segments));
	draft->runs = os_allocate(runs, sizeof(*draft->runs));
	draft->calls = os_allocate(checkpoint->call_count + 1, sizeof(*draft->calls));
	draft->files = os_allocate(checkpoint->file_count + 1, sizeof(*draft->files));
	bool all = draft->used && draft->segments && draft->runs && draft->calls && draft->files;
	return all ? 0 : -ENOMEM;
}

static void gather(struct draft *draft, const struct checkpoint *checkpoint)
{
	for (size_t i = 0; i < checkpoint->segment_count; i++) {
		const struct segment_state *segment = &checkpoint->segments[i];
		draft->segments[i] = segment->record;
		draft->segments[i].first_run = (uint32_t)draft->run_count;
		draft->segments[i].run_count = segment->runs.count;
		for (uint32_t j = 0; j < segment->runs.count; j++)
			draft->runs[draft->run_count++] = segment->runs.items[j];
	}
	for (size_t i = 0; i < checkpoint->call_count; i++) {
		const struct ul_last_call *call = &checkpoint->calls[i];
		draft->calls[i] = *call;
		draft->used[call->provider] = draft->used[call->model] = draft->used[call->context] = 1;
	}
	for (size_t i = 0; i < checkpoint->file_count; i++) {
		draft->files[i] = checkpoint->files[i];
		draft->used[checkpoint->files[i].name] = 1;
	}
}

static void renumber(struct draft *draft, const struct checkpoint *checkpoint)
{
	const uint32_t *index = draft->names.index;
	for (size_t i = 0; i < checkpoint->call_count; i++) {
		struct ul_last_call *call = &draft->calls[i];
		call->provider = index[call->provider];
		call->model = index[call->model];
		call->context = index[call->context];
	}
	for (size_t i = 0; i < checkpoint->file_count; i++)
		draft->files[i].name = index[draft->files[i].name];
	totals_draft_lay_out(&draft->totals, index);
	qsort(draft->files, checkpoint->file_count, sizeof(*draft->files), compare_files);
}

static int draft_make(struct draft *draft, const struct checkpoint *checkpoint, const struct names *names)
{
	int error = draft_allocate(draft, checkpoint, names);
	if (error)
		return error;
	gather(draft, checkpoint);
	error = totals_draft_gather(&draft->totals, &checkpoint->totals, draft->used);
	if (!error)
		error = names_collect(names, draft->used, &draft->names);
	if (!error)
		renumber(draft, checkpoint);
	return error;
}

static struct ul_section_data sum_section(enum ul_section_type type, const struct sum_list *list)
{
	return (struct ul_section_data){type, sizeof(struct ul_sum), list->items, list->count};
}

void *checkpoint_encode(const struct checkpoint *checkpoint, const struct names *names, const struct ul_id *log_id,
			size_t *size_bytes, int *error)
{
	struct draft draft = {0};
	void *bytes = NULL;
	*error = draft_make(&draft, checkpoint, names);
	if (!*error) {
		struct ul_checkpoint_meta meta = {.generation = checkpoint->generation,
						  .settings = checkpoint->settings,
						  .base_generation = checkpoint->base_generation,
						  .newest_ns = checkpoint->newest_ns};
		const struct facts_draft *facts = &draft.totals.facts;
		const struct sum_list *sums = draft.totals.sums;
		const struct ul_section_data sections[] = {
			{UL_SECTION_META, sizeof(meta), &meta, 1},
			{UL_SECTION_STRINGS, sizeof(struct ul_string_record), draft.names.records,
			 draft.names.record_count},
			{UL_SECTION_STRING_BYTES, 1, draft.names.bytes, draft.names.byte_count},
			{UL_SECTION_ROWS, sizeof(struct ul_row), facts->rows, facts->row_count},
			{UL_SECTION_HISTOGRAMS, sizeof(struct ul_histogram), facts->histograms, facts->histogram_count},
			{UL_SECTION_BUCKETS, sizeof(struct ul_bucket), facts->buckets, facts->bucket_count},
			{UL_SECTION_SEGMENTS, sizeof(struct ul_folded_segment), draft.segments,
			 checkpoint->segment_count},
			{UL_SECTION_RUNS, sizeof(struct ul_run), draft.runs, draft.run_count},
			{UL_SECTION_DAYS, sizeof(struct ul_day), checkpoint->days, checkpoint->day_count},
			sum_section(UL_SECTION_DAY_SUMS, &sums[TOTAL_DAYS]),
			{UL_SECTION_CALLS, sizeof(struct ul_last_call), draft.calls, checkpoint->call_count},
			{UL_SECTION_FILES, sizeof(struct ul_named_file), draft.files, checkpoint->file_count},
			sum_section(UL_SECTION_RECENT_SUMS, &sums[TOTAL_RECENT]),
			sum_section(UL_SECTION_HOUR_SUMS, &sums[TOTAL_HOURS]),
			sum_section(UL_SECTION_ATTRIBUTE_SUMS, &sums[TOTAL_ATTRIBUTES]),
		};
		bytes = ul_container_build(UL_CONTAINER_CHECKPOINT, log_id, sections,
					   sizeof(sections) / sizeof(sections[0]), size_bytes);
		*error = bytes ? 0 : -ENOMEM;
	}
	draft_clear(&draft);
	return bytes;
}

void *checkpoint_encode_totals(const struct totals *totals, const struct names *names, size_t *size_bytes, int *error)
{
	static const struct ul_id no_log;
	struct checkpoint alone = {.totals = *totals};
	return checkpoint_encode(&alone, names, &no_log, size_bytes, error);
}
