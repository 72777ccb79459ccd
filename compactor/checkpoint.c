/* The checkpoint in memory. */
#include "checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "money.h"
#include "os.h"

void checkpoint_clear(struct checkpoint *checkpoint)
{
	for (size_t i = 0; i < checkpoint->segment_count; i++)
		runs_clear(&checkpoint->segments[i].runs);
	free(checkpoint->segments);
	free(checkpoint->days);
	free(checkpoint->rollups);
	free(checkpoint->calls);
	free(checkpoint->files);
	*checkpoint = (struct checkpoint){0};
}

/* ---- load -------------------------------------------------------------------------------------------------- */

/* A copy of a section's records; NULL: no memory. */
static void *copy_records(const struct ul_container *file, enum ul_section_type type, size_t record_bytes,
			  size_t *count)
{
	uint64_t found;
	const void *records = ul_container_records(file, type, &found);
	void *copy = os_allocate((size_t)found + 1, record_bytes);
	if (!copy)
		return NULL;
	memcpy(copy, records, (size_t)found * record_bytes);
	*count = (size_t)found;
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
	for (size_t i = 0; i < checkpoint->rollup_count; i++) {
		struct ul_row *row = &checkpoint->rollups[i].row;
		row->provider = name_of[row->provider];
		row->model = name_of[row->model];
		row->dimensions = name_of[row->dimensions];
	}
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
	checkpoint->rollups =
		copy_records(file, UL_SECTION_ROLLUPS, sizeof(struct ul_rollup), &checkpoint->rollup_count);
	checkpoint->calls = copy_records(file, UL_SECTION_CALLS, sizeof(struct ul_last_call), &checkpoint->call_count);
	checkpoint->files = copy_records(file, UL_SECTION_FILES, sizeof(struct ul_named_file), &checkpoint->file_count);
	if (!checkpoint->days || !checkpoint->rollups || !checkpoint->calls || !checkpoint->files)
		return -ENOMEM;
	uint64_t count;
	ul_container_records(file, UL_SECTION_STRINGS, &count);
	uint32_t *name_of = os_allocate((size_t)count + 1, sizeof(*name_of));
	if (!name_of)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct ul_text text = ul_container_string(file, i);
		name_of[i] = names_intern(names, text.text, text.bytes);
	}
	rename_records(checkpoint, name_of);
	free(name_of);
	return names->error;
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

static size_t rollup_place(const struct checkpoint *checkpoint, int64_t day)
{
	size_t low = 0, high = checkpoint->rollup_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (checkpoint->rollups[middle].day < day)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct ul_rollup *checkpoint_day_rollups(const struct checkpoint *checkpoint, int32_t day, size_t *count)
{
	size_t first = rollup_place(checkpoint, day);
	*count = rollup_place(checkpoint, (int64_t)day + 1) - first;
	return *count ? &checkpoint->rollups[first] : NULL;
}

/* The dimensions of a roll-up: those of a row less all but operation and error_type. */
static uint32_t rollup_dimensions(struct names *names, uint32_t dimensions)
{
	char operation[UL_NAME_BYTES_MAX + 1], error_type[UL_NAME_BYTES_MAX + 1], reduced[UL_CONTEXT_BYTES_MAX];
	struct ul_text text = names_text(names, dimensions);
	struct ul_attributes attributes = {0};
	if (ul_context_string(text.text, text.bytes, "operation", operation))
		attributes.operation = operation;
	if (ul_context_string(text.text, text.bytes, "error_type", error_type))
		attributes.error_type = error_type;
	size_t bytes = 0;
	enum ul_context_error error = ul_context_build(&attributes, reduced, &bytes);
	/* Both come from a valid context, so they make one. */
	assert(error == UL_CONTEXT_OK);
	return error || !bytes ? NAME_NO_DIMENSIONS : names_intern(names, reduced, bytes);
}

static int reduce(struct facts *reduced, struct names *names, const struct facts *facts)
{
	for (uint32_t i = 0; i < facts->rows.count; i++) {
		struct ul_row row = *(const struct ul_row *)table_record(&facts->rows, i);
		row.dimensions = rollup_dimensions(names, row.dimensions);
		row.prompt_band = 0;
		facts_add_row(reduced, &row);
	}
	return reduced->error ? reduced->error : names->error;
}

int checkpoint_add_rollups(struct checkpoint *checkpoint, struct names *names, const struct facts *facts)
{
	struct facts sums;
	size_t first = rollup_place(checkpoint, facts->day), next = rollup_place(checkpoint, (int64_t)facts->day + 1);
	size_t after = checkpoint->rollup_count - next;
	facts_init(&sums, facts->day);
	for (size_t i = first; i < next; i++)
		facts_add_row(&sums, &checkpoint->rollups[i].row);
	int error = reduce(&sums, names, facts);
	struct ul_rollup *rollups = NULL;
	if (!error) {
		rollups = os_allocate(first + sums.rows.count + after + 1, sizeof(*rollups));
		error = rollups ? 0 : -ENOMEM;
	}
	if (!error) {
		if (first)
			memcpy(rollups, checkpoint->rollups, first * sizeof(*rollups));
		for (uint32_t i = 0; i < sums.rows.count; i++)
			rollups[first + i] = (struct ul_rollup){.day = facts->day,
								.row = *(struct ul_row *)table_record(&sums.rows, i)};
		if (after)
			memcpy(rollups + first + sums.rows.count, checkpoint->rollups + next, after * sizeof(*rollups));
		free(checkpoint->rollups);
		checkpoint->rollups = rollups;
		checkpoint->rollup_count = first + sums.rows.count + after;
	}
	facts_clear(&sums);
	return error;
}

int checkpoint_agrees(const struct checkpoint *checkpoint, struct names *names, const struct facts *facts)
{
	struct facts sums;
	size_t count, found = 0, wanted = 0;
	const struct ul_rollup *rollups = checkpoint_day_rollups(checkpoint, facts->day, &count);
	facts_init(&sums, facts->day);
	int result = reduce(&sums, names, facts);
	for (uint32_t i = 0; i < sums.rows.count; i++)
		wanted += !row_is_zero(table_record(&sums.rows, i));
	for (size_t i = 0; i < count && !result; i++) {
		const struct ul_row *row = table_get(&sums.rows, &rollups[i].row);
		if (!row)
			result = -ENOMEM;
		else if (!row_is_zero(row))
			found += memcmp(row, &rollups[i].row, sizeof(*row)) == 0;
		else if (!row_is_zero(&rollups[i].row))
			wanted = SIZE_MAX;
	}
	facts_clear(&sums);
	return result ? result : found == wanted;
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
	struct ul_rollup *rollups;
	struct ul_last_call *calls;
	struct ul_named_file *files;
	uint64_t run_count, rollup_count;
};

static void draft_clear(struct draft *draft)
{
	name_sections_clear(&draft->names);
	free(draft->used);
	free(draft->segments);
	free(draft->runs);
	free(draft->rollups);
	free(draft->calls);
	free(draft->files);
}

static int compare_rollups(const void *left, const void *right)
{
	const struct ul_rollup *a = left, *b = right;
	return a->day != b->day ? (a->day > b->day) - (a->day < b->day) : row_compare(&a->row, &b->row);
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
	draft->rollups = os_allocate(checkpoint->rollup_count + 1, sizeof(*draft->rollups));
	draft->calls = os_allocate(checkpoint->call_count + 1, sizeof(*draft->calls));
	draft->files = os_allocate(checkpoint->file_count + 1, sizeof(*draft->files));
	bool all = draft->used && draft->segments && draft->runs && draft->rollups && draft->calls && draft->files;
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
	for (size_t i = 0; i < checkpoint->rollup_count; i++) {
		const struct ul_row *row = &checkpoint->rollups[i].row;
		if (row_is_zero(row))
			continue;
		draft->rollups[draft->rollup_count++] = checkpoint->rollups[i];
		draft->used[row->provider] = draft->used[row->model] = draft->used[row->dimensions] = 1;
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
	for (uint64_t i = 0; i < draft->rollup_count; i++) {
		struct ul_row *row = &draft->rollups[i].row;
		row->provider = index[row->provider];
		row->model = index[row->model];
		row->dimensions = index[row->dimensions];
	}
	for (size_t i = 0; i < checkpoint->call_count; i++) {
		struct ul_last_call *call = &draft->calls[i];
		call->provider = index[call->provider];
		call->model = index[call->model];
		call->context = index[call->context];
	}
	for (size_t i = 0; i < checkpoint->file_count; i++)
		draft->files[i].name = index[draft->files[i].name];
	qsort(draft->rollups, draft->rollup_count, sizeof(*draft->rollups), compare_rollups);
	qsort(draft->files, checkpoint->file_count, sizeof(*draft->files), compare_files);
}

static int draft_make(struct draft *draft, const struct checkpoint *checkpoint, const struct names *names)
{
	int error = draft_allocate(draft, checkpoint, names);
	if (error)
		return error;
	gather(draft, checkpoint);
	error = names_collect(names, draft->used, &draft->names);
	if (!error)
		renumber(draft, checkpoint);
	return error;
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
		const struct ul_section_data sections[] = {
			{UL_SECTION_META, sizeof(meta), &meta, 1},
			{UL_SECTION_STRINGS, sizeof(struct ul_string_record), draft.names.records,
			 draft.names.record_count},
			{UL_SECTION_STRING_BYTES, 1, draft.names.bytes, draft.names.byte_count},
			{UL_SECTION_SEGMENTS, sizeof(struct ul_folded_segment), draft.segments,
			 checkpoint->segment_count},
			{UL_SECTION_RUNS, sizeof(struct ul_run), draft.runs, draft.run_count},
			{UL_SECTION_DAYS, sizeof(struct ul_day), checkpoint->days, checkpoint->day_count},
			{UL_SECTION_ROLLUPS, sizeof(struct ul_rollup), draft.rollups, draft.rollup_count},
			{UL_SECTION_CALLS, sizeof(struct ul_last_call), draft.calls, checkpoint->call_count},
			{UL_SECTION_FILES, sizeof(struct ul_named_file), draft.files, checkpoint->file_count},
		};
		bytes = ul_container_build(UL_CONTAINER_CHECKPOINT, log_id, sections,
					   sizeof(sections) / sizeof(sections[0]), size_bytes);
		*error = bytes ? 0 : -ENOMEM;
	}
	draft_clear(&draft);
	return bytes;
}
