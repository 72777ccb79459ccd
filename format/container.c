/*
 * Containers: container.h. A file is believed in layers: its checksum, then its frame (sections that tile it exactly),
 * then its strings, then its records, each layer looked at only when the one below holds. A checksum is no proof
 * against a hostile writer, so nothing below relies on it for memory safety.
 */
#include "container.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "seal.h"

enum { ALIGNMENT = 8 };

static const char magics[UL_CONTAINER_KINDS][9] = {
	[UL_CONTAINER_FACTS] = "ULFACTS\n",  [UL_CONTAINER_CHECKPOINT] = "ULCHECK\n", [UL_CONTAINER_IDS] = "ULIDSET\n",
	[UL_CONTAINER_MERGED] = "ULMERGE\n", [UL_CONTAINER_PRICES] = "ULPRICE\n",
};

static size_t align_up(size_t offset)
{
	return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t container_checksum(const uint8_t *bytes, size_t size_bytes)
{
	return XXH3_64bits(bytes + 16, size_bytes - 16);
}

/* The frame. */

static bool header_is_sound(const struct ul_container *container, enum ul_container_kind kind,
			    const struct ul_id *log_id)
{
	const struct ul_container_header *header = container->header;
	if (memcmp(header->magic, magics[kind], sizeof(header->magic)) != 0)
		return false;
	if (header->size_bytes != container->size_bytes ||
	    header->checksum != container_checksum(container->bytes, container->size_bytes))
		return false;
	return !log_id || memcmp(log_id, &header->log_id, sizeof(*log_id)) == 0;
}

/* Does a section begin where the one before it ended, with only zeros between, and end in the file? Moves `*end` to
 * its end. */
static bool section_follows(const struct ul_container *container, const struct ul_section *section, size_t *end)
{
	size_t offset = align_up(*end);
	if (section->zero || !section->record_bytes || section->offset != offset || offset > container->size_bytes)
		return false;
	if (!ul_is_zero(container->bytes + *end, offset - *end))
		return false;
	if (section->record_count > (container->size_bytes - offset) / section->record_bytes)
		return false;
	*end = offset + section->record_count * section->record_bytes;
	return true;
}

static bool sections_tile(const struct ul_container *container)
{
	const struct ul_container_header *header = container->header;
	size_t end = sizeof(*header) + (size_t)header->section_count * sizeof(struct ul_section);
	if (header->zero || header->section_count > UL_SECTIONS_MAX || end > container->size_bytes)
		return false;
	for (uint32_t i = 0; i < header->section_count; i++) {
		if (i && container->sections[i].type <= container->sections[i - 1].type)
			return false;
		if (!section_follows(container, &container->sections[i], &end))
			return false;
	}
	return align_up(end) == container->size_bytes &&
	       ul_is_zero(container->bytes + end, container->size_bytes - end);
}

/* This version knows no mandatory section beyond those that it requires. */
static bool has_unknown_mandatory(const struct ul_container *container)
{
	uint32_t count = container->header->section_count;
	return count && container->sections[count - 1].type >= UL_SECTION_MANDATORY;
}

static const struct ul_section *find_section(const struct ul_container *container, enum ul_section_type type)
{
	for (uint32_t i = 0; i < container->header->section_count; i++)
		if (container->sections[i].type == (uint32_t)type)
			return &container->sections[i];
	return NULL;
}

const void *ul_container_records(const struct ul_container *container, enum ul_section_type type,
				 uint64_t *record_count)
{
	const struct ul_section *section = find_section(container, type);
	*record_count = section ? section->record_count : 0;
	return section ? container->bytes + section->offset : NULL;
}

/* What each kind of container must have. */
struct requirement {
	enum ul_section_type type;
	uint32_t record_bytes;
};

static const struct requirement fact_sections[] = {
	{UL_SECTION_META, sizeof(struct ul_fact_meta)},
	{UL_SECTION_STRINGS, sizeof(struct ul_string_record)},
	{UL_SECTION_STRING_BYTES, 1},
	{UL_SECTION_ROWS, sizeof(struct ul_row)},
	{UL_SECTION_QUARTERS, sizeof(struct ul_sum)},
	{UL_SECTION_HISTOGRAMS, sizeof(struct ul_histogram)},
	{UL_SECTION_BUCKETS, sizeof(struct ul_bucket)},
};

static const struct requirement checkpoint_sections[] = {
	{UL_SECTION_META, sizeof(struct ul_checkpoint_meta)},
	{UL_SECTION_STRINGS, sizeof(struct ul_string_record)},
	{UL_SECTION_STRING_BYTES, 1},
	{UL_SECTION_ROWS, sizeof(struct ul_row)},
	{UL_SECTION_HISTOGRAMS, sizeof(struct ul_histogram)},
	{UL_SECTION_BUCKETS, sizeof(struct ul_bucket)},
	{UL_SECTION_SEGMENTS, sizeof(struct ul_folded_segment)},
	{UL_SECTION_RUNS, sizeof(struct ul_run)},
	{UL_SECTION_DAYS, sizeof(struct ul_day)},
	{UL_SECTION_DAY_SUMS, sizeof(struct ul_sum)},
	{UL_SECTION_CALLS, sizeof(struct ul_last_call)},
	{UL_SECTION_FILES, sizeof(struct ul_named_file)},
	{UL_SECTION_RECENT_SUMS, sizeof(struct ul_sum)},
	{UL_SECTION_HOUR_SUMS, sizeof(struct ul_sum)},
	{UL_SECTION_ATTRIBUTE_SUMS, sizeof(struct ul_sum)},
};

static const struct requirement merged_sections[] = {
	{UL_SECTION_META, sizeof(struct ul_merged_meta)},
	{UL_SECTION_STRINGS, sizeof(struct ul_string_record)},
	{UL_SECTION_STRING_BYTES, 1},
	{UL_SECTION_PARTS, sizeof(struct ul_part)},
	{UL_SECTION_PART_BYTES, 1},
};

static const struct requirement price_sections[] = {
	{UL_SECTION_META, sizeof(struct ul_price_meta)},
	{UL_SECTION_STRINGS, sizeof(struct ul_string_record)},
	{UL_SECTION_STRING_BYTES, 1},
	{UL_SECTION_PRICES, sizeof(struct ul_price)},
};

static const struct requirement id_sections[] = {
	{UL_SECTION_META, sizeof(struct ul_id_meta)},
	{UL_SECTION_IDS, sizeof(struct ul_id_record)},
};

static bool has_sections(const struct ul_container *container, const struct requirement *required, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct ul_section *section = find_section(container, required[i].type);
		if (!section || section->record_bytes != required[i].record_bytes)
			return false;
		if (required[i].type == UL_SECTION_META && section->record_count != 1)
			return false;
	}
	return true;
}

/* The strings. */

/* A container whose frame holds, with what its records' checks need at hand. */
struct checked {
	const struct ul_container *container;
	const struct ul_string_record *strings;
	const char *string_bytes;
	uint64_t string_count;
	uint8_t *found; /* by string: which of enum found it was found to be, so that each is looked at once; or NULL */
};

enum found { FOUND_NAME = 1, FOUND_CONTEXT = 2, FOUND_ATTRIBUTE = 4 };

static struct ul_text string_at(const struct checked *checked, uint64_t index)
{
	const struct ul_string_record *record = &checked->strings[index];
	return (struct ul_text){checked->string_bytes + record->offset, record->bytes};
}

struct ul_text ul_container_string(const struct ul_container *container, uint32_t index)
{
	struct checked checked = {.container = container};
	uint64_t bytes;
	checked.strings = ul_container_records(container, UL_SECTION_STRINGS, &checked.string_count);
	checked.string_bytes = ul_container_records(container, UL_SECTION_STRING_BYTES, &bytes);
	assert(index < checked.string_count);
	return string_at(&checked, index);
}

static bool text_is_before(struct ul_text a, struct ul_text b)
{
	int order = memcmp(a.text, b.text, a.bytes < b.bytes ? a.bytes : b.bytes);
	return order ? order < 0 : a.bytes < b.bytes;
}

/* Do the strings cover their bytes in order, each greater than the one before? */
static bool strings_are_sound(const struct checked *checked, uint64_t byte_count)
{
	uint64_t end = 0;
	for (uint64_t i = 0; i < checked->string_count; i++) {
		if (checked->strings[i].offset != end || checked->strings[i].bytes > byte_count - end)
			return false;
		end += checked->strings[i].bytes;
		if (i && !text_is_before(string_at(checked, i - 1), string_at(checked, i)))
			return false;
	}
	return end == byte_count;
}

/* An id set has no names and may do without the two sections; other containers were found to have them. */
static bool load_strings(struct checked *checked, const struct ul_container *container)
{
	const struct ul_section *records = find_section(container, UL_SECTION_STRINGS);
	const struct ul_section *bytes = find_section(container, UL_SECTION_STRING_BYTES);
	*checked = (struct checked){.container = container};
	if (!records && !bytes)
		return true;
	if (!records || !bytes || records->record_bytes != sizeof(struct ul_string_record) || bytes->record_bytes != 1)
		return false;
	checked->strings = (const void *)(container->bytes + records->offset);
	checked->string_bytes = (const char *)container->bytes + bytes->offset;
	checked->string_count = records->record_count;
	return strings_are_sound(checked, bytes->record_count);
}

static bool text_is(struct ul_text text, enum found what)
{
	if (what == FOUND_NAME)
		return ul_name_is_valid(text.text, text.bytes);
	if (what == FOUND_CONTEXT)
		return ul_context_is_valid(text.text, text.bytes);
	return ul_text_is_plain(text.text, text.bytes, UL_CONTEXT_BYTES_MAX);
}

static bool index_is(const struct checked *checked, uint32_t index, enum found what)
{
	if (index >= checked->string_count)
		return false;
	if (checked->found && checked->found[index] & what)
		return true;
	if (!text_is(string_at(checked, index), what))
		return false;
	if (checked->found)
		checked->found[index] |= (uint8_t)what;
	return true;
}

static bool index_is_name(const struct checked *checked, uint32_t index)
{
	return index_is(checked, index, FOUND_NAME);
}

static bool index_is_context(const struct checked *checked, uint32_t index)
{
	return index_is(checked, index, FOUND_CONTEXT);
}

/* A key of metadata or its value, which may be as long as a context. */
static bool index_is_attribute(const struct checked *checked, uint32_t index)
{
	return index_is(checked, index, FOUND_ATTRIBUTE);
}

/* The name of what has none. */
static bool index_is_empty(const struct checked *checked, uint32_t index)
{
	return index < checked->string_count && string_at(checked, index).bytes == 0;
}

/* The empty name says that the call had no operation. */
static bool index_is_operation(const struct checked *checked, uint32_t index)
{
	return index_is_empty(checked, index) || index_is_name(checked, index);
}

/* The order of records. Strings are sorted, so indexes compare as the names do. */

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* The order by the first of `count` pairs that differ: negative, 0 or positive. */
static int compare_keys(const int64_t (*pairs)[2], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pairs[i][0] != pairs[i][1])
			return compare(pairs[i][0], pairs[i][1]);
	return 0;
}

static int compare_ids(const struct ul_id *a, const struct ul_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int compare_rows(const struct ul_row *a, const struct ul_row *b)
{
	const int64_t pairs[][2] = {
		{a->provider, b->provider},       {a->model, b->model},
		{a->dimensions, b->dimensions},   {a->price_class, b->price_class},
		{a->prompt_band, b->prompt_band}, {a->scope, b->scope},
	};
	return compare_keys(pairs, sizeof(pairs) / sizeof(pairs[0]));
}

static int compare_sums(const struct ul_sum *a, const struct ul_sum *b)
{
	const int64_t pairs[][2] = {
		{a->number, b->number}, {a->first, b->first}, {a->second, b->second}, {a->price_key, b->price_key}};
	return compare_keys(pairs, sizeof(pairs) / sizeof(pairs[0]));
}

static int compare_histograms(const struct ul_histogram *a, const struct ul_histogram *b)
{
	const int64_t pairs[][2] = {
		{a->provider, b->provider},
		{a->model, b->model},
		{a->operation, b->operation},
		{a->measure, b->measure},
	};
	return compare_keys(pairs, sizeof(pairs) / sizeof(pairs[0]));
}

static int compare_calls(const struct ul_last_call *a, const struct ul_last_call *b)
{
	int order = compare(a->call.time_ns, b->call.time_ns);
	if (!order)
		order = compare_ids(&a->segment_id, &b->segment_id);
	return order ? order : compare(a->slot, b->slot);
}

static int compare_files(const struct ul_named_file *a, const struct ul_named_file *b)
{
	int order = compare(a->kind, b->kind);
	return order ? order : compare(a->name, b->name);
}

/* The records of fact files. */

static bool row_is_sound(const struct checked *checked, const struct ul_row *row)
{
	if (row->price_class > UL_PRICE_NONE || row->prompt_band > 5 || row->scope > 3)
		return false;
	if (row->scope && row->prompt_band)
		return false;
	return index_is_name(checked, row->provider) && index_is_name(checked, row->model) &&
	       index_is_context(checked, row->dimensions);
}

static bool rows_are_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_row *rows = ul_container_records(checked->container, UL_SECTION_ROWS, &count);
	for (uint64_t i = 0; i < count; i++) {
		if (i && compare_rows(&rows[i - 1], &rows[i]) >= 0)
			return false;
		if (!row_is_sound(checked, &rows[i]))
			return false;
	}
	return true;
}

/* Of a quarter alone: a prompt band and a service tier. */
static bool price_key_is_sound(const struct checked *checked, enum ul_section_type type, uint32_t price_key)
{
	if (!price_key)
		return true;
	return type == UL_SECTION_QUARTERS && price_key >> 28 >= 1 && price_key >> 28 <= UL_PROMPT_BANDS &&
	       index_is_operation(checked, price_key & UL_PRICE_KEY_NAME);
}

/* Sums in order; `is_name` says of an index whether it may be one of their names. */
static bool sums_are_sound(const struct checked *checked, enum ul_section_type type,
			   bool (*is_name)(const struct checked *checked, uint32_t index))
{
	uint64_t count;
	const struct ul_sum *sums = ul_container_records(checked->container, type, &count);
	for (uint64_t i = 0; i < count; i++) {
		if (!is_name(checked, sums[i].first) || !is_name(checked, sums[i].second) ||
		    !price_key_is_sound(checked, type, sums[i].price_key))
			return false;
		if (i && compare_sums(&sums[i - 1], &sums[i]) >= 0)
			return false;
	}
	return true;
}

static bool buckets_are_sound(const struct ul_bucket *buckets, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (buckets[i].zero || buckets[i].bucket > UL_BUCKET_MAX)
			return false;
		if (i && buckets[i].bucket <= buckets[i - 1].bucket)
			return false;
	}
	return true;
}

static bool histogram_is_sound(const struct checked *checked, const struct ul_histogram *histogram)
{
	if (histogram->measure != UL_MEASURE_LATENCY && histogram->measure != UL_MEASURE_TTFT)
		return false;
	return index_is_name(checked, histogram->provider) && index_is_name(checked, histogram->model) &&
	       index_is_operation(checked, histogram->operation);
}

/* Histograms and the buckets that they share out among them, none left over. */
static bool histograms_are_sound(const struct checked *checked)
{
	uint64_t count;
	uint64_t bucket_count;
	uint64_t used = 0;
	const struct ul_histogram *histograms = ul_container_records(checked->container, UL_SECTION_HISTOGRAMS, &count);
	const struct ul_bucket *buckets = ul_container_records(checked->container, UL_SECTION_BUCKETS, &bucket_count);
	for (uint64_t i = 0; i < count; i++) {
		const struct ul_histogram *histogram = &histograms[i];
		if (i && compare_histograms(histogram - 1, histogram) >= 0)
			return false;
		if (!histogram_is_sound(checked, histogram))
			return false;
		if (histogram->first_bucket != used || histogram->bucket_count > bucket_count - used)
			return false;
		if (!buckets_are_sound(buckets + used, histogram->bucket_count))
			return false;
		used += histogram->bucket_count;
	}
	return used == bucket_count;
}

static bool facts_are_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_fact_meta *meta = ul_container_records(checked->container, UL_SECTION_META, &count);
	return ul_is_zero(meta->zeros, sizeof(meta->zeros)) && rows_are_sound(checked) &&
	       sums_are_sound(checked, UL_SECTION_QUARTERS, index_is_name) && histograms_are_sound(checked);
}

/* The records of checkpoints. */

/* Runs that rise, do not touch, and stay among the slots that a segment can have. */
static bool runs_are_sound(const struct ul_run *runs, uint64_t count)
{
	uint64_t end = 0;
	for (uint64_t i = 0; i < count; i++) {
		if (!runs[i].slot_count || (i && runs[i].first_slot <= end))
			return false;
		end = (uint64_t)runs[i].first_slot + runs[i].slot_count;
		if (!runs[i].first_slot || end > (uint64_t)UL_SLOT_MASK + 1)
			return false;
	}
	return true;
}

static bool segment_is_sound(const struct ul_folded_segment *segment)
{
	return !(segment->state & ~UL_SEGMENT_PRUNED) && !segment->zero &&
	       ul_is_zero(segment->zeros, sizeof(segment->zeros));
}

/* Segments and the runs that they share out among them, none left over. */
static bool segments_are_sound(const struct checked *checked)
{
	uint64_t count;
	uint64_t run_count;
	uint64_t used = 0;
	const struct ul_folded_segment *segments =
		ul_container_records(checked->container, UL_SECTION_SEGMENTS, &count);
	const struct ul_run *runs = ul_container_records(checked->container, UL_SECTION_RUNS, &run_count);
	for (uint64_t i = 0; i < count; i++) {
		const struct ul_folded_segment *segment = &segments[i];
		if (i && compare_ids(&segments[i - 1].id, &segment->id) >= 0)
			return false;
		if (!segment_is_sound(segment))
			return false;
		if (segment->first_run != used || segment->run_count > run_count - used)
			return false;
		if (!runs_are_sound(runs + used, segment->run_count))
			return false;
		used += segment->run_count;
	}
	return used == run_count;
}

static bool days_are_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_day *days = ul_container_records(checked->container, UL_SECTION_DAYS, &count);
	for (uint64_t i = 0; i < count; i++)
		if (i && days[i].day <= days[i - 1].day)
			return false;
	return true;
}

/* What is summed over all days: rows without a prompt band, and sums by what is empty or is not. */
static bool totals_are_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_row *rows = ul_container_records(checked->container, UL_SECTION_ROWS, &count);
	for (uint64_t i = 0; i < count; i++)
		if (rows[i].prompt_band)
			return false;
	const struct ul_sum *attributes = ul_container_records(checked->container, UL_SECTION_ATTRIBUTE_SUMS, &count);
	for (uint64_t i = 0; i < count; i++)
		if (attributes[i].number)
			return false;
	return rows_are_sound(checked) && histograms_are_sound(checked) &&
	       sums_are_sound(checked, UL_SECTION_DAY_SUMS, index_is_empty) &&
	       sums_are_sound(checked, UL_SECTION_RECENT_SUMS, index_is_name) &&
	       sums_are_sound(checked, UL_SECTION_HOUR_SUMS, index_is_empty) &&
	       sums_are_sound(checked, UL_SECTION_ATTRIBUTE_SUMS, index_is_attribute);
}

static bool call_is_sound(const struct checked *checked, const struct ul_last_call *call)
{
	const uint32_t flags = (UL_UNPRICED | UL_LATENCY_UNKNOWN | UL_LATENCY_MS) >> 28;
	if (!call->slot || call->slot > UL_SLOT_MASK || (call->flags & ~flags) || call->priced > 1 ||
	    (!call->priced && call->priced_pico_usd))
		return false;
	if (call->priced && !(call->flags & UL_UNPRICED >> 28))
		return false;
	return index_is_name(checked, call->provider) && index_is_name(checked, call->model) &&
	       index_is_context(checked, call->context);
}

static bool calls_are_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_last_call *calls = ul_container_records(checked->container, UL_SECTION_CALLS, &count);
	if (count > UL_LAST_CALLS)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		if (i && compare_calls(&calls[i - 1], &calls[i]) >= 0)
			return false;
		if (!call_is_sound(checked, &calls[i]))
			return false;
	}
	return true;
}

static bool files_are_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_named_file *files = ul_container_records(checked->container, UL_SECTION_FILES, &count);
	for (uint64_t i = 0; i < count; i++) {
		if (files[i].kind != UL_FILE_IDS && files[i].kind != UL_FILE_PRICES)
			return false;
		if (files[i].zero || (files[i].since && files[i].kind != UL_FILE_PRICES) ||
		    files[i].name >= checked->string_count)
			return false;
		if (i && compare_files(&files[i - 1], &files[i]) >= 0)
			return false;
	}
	return true;
}

static bool checkpoint_is_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_checkpoint_meta *meta = ul_container_records(checked->container, UL_SECTION_META, &count);
	return ul_is_zero(meta->zeros, sizeof(meta->zeros)) && segments_are_sound(checked) && days_are_sound(checked) &&
	       totals_are_sound(checked) && calls_are_sound(checked) && files_are_sound(checked);
}

/* The records of id sets. */

static bool ids_are_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_id_meta *meta = ul_container_records(checked->container, UL_SECTION_META, &count);
	if (!ul_is_zero(meta->zeros, sizeof(meta->zeros)))
		return false;
	const struct ul_id_record *ids = ul_container_records(checked->container, UL_SECTION_IDS, &count);
	for (uint64_t i = 0; i < count; i++) {
		if (ids[i].standing != 0 && ids[i].standing != 1)
			return false;
		if (i && compare_ids(&ids[i - 1].id, &ids[i].id) >= 0)
			return false;
	}
	return true;
}

/* The records of price tables. */

static bool price_is_sound(const struct checked *checked, const struct ul_price *price)
{
	if (price->service >= UL_SERVICES || price->first_band > price->last_band ||
	    price->last_band >= UL_PROMPT_BANDS || !ul_is_zero(price->zeros, sizeof(price->zeros)))
		return false;
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		if (price->pico_usd[i] < 0 || price->pico_usd[i] > UL_PRICE_MAX)
			return false;
	return index_is_name(checked, price->name) && index_is_operation(checked, price->provider);
}

static bool prices_are_sound(const struct checked *checked)
{
	uint64_t count;
	const struct ul_price_meta *meta = ul_container_records(checked->container, UL_SECTION_META, &count);
	if (!ul_is_zero(meta->zeros, sizeof(meta->zeros)) || meta->replaces > 1)
		return false;
	const struct ul_price *prices = ul_container_records(checked->container, UL_SECTION_PRICES, &count);
	for (uint64_t i = 0; i < count; i++) {
		const struct ul_price *price = &prices[i], *before = price - 1;
		if (!price_is_sound(checked, price))
			return false;
		if (!i)
			continue;
		/* The bands of one name and service follow each other. */
		const int64_t pairs[][2] = {{before->name, price->name},
					    {before->service, price->service},
					    {before->last_band, price->first_band}};
		if (compare_keys(pairs, sizeof(pairs) / sizeof(pairs[0])) >= 0)
			return false;
		if (before->name == price->name && before->provider != price->provider)
			return false;
	}
	return true;
}

/* The records of merged files. The parts themselves are opened by who reads them: one may be of a newer version. */

static bool merged_is_sound(const struct checked *checked)
{
	static const struct ul_id no_log;
	uint64_t count, byte_count, end = 0;
	const struct ul_merged_meta *meta = ul_container_records(checked->container, UL_SECTION_META, &count);
	if (!ul_is_zero(meta->zeros, sizeof(meta->zeros)) ||
	    memcmp(&checked->container->header->log_id, &no_log, sizeof(no_log)) != 0)
		return false;
	ul_container_records(checked->container, UL_SECTION_PART_BYTES, &byte_count);
	const struct ul_part *parts = ul_container_records(checked->container, UL_SECTION_PARTS, &count);
	for (uint64_t i = 0; i < count; i++) {
		if (i && compare_ids(&parts[i - 1].log_id, &parts[i].log_id) >= 0)
			return false;
		if (!index_is_name(checked, parts[i].time_zone) || parts[i].zero ||
		    !ul_is_zero(parts[i].zeros, sizeof(parts[i].zeros)))
			return false;
		if (parts[i].offset != end || parts[i].size_bytes % ALIGNMENT || !parts[i].size_bytes ||
		    parts[i].size_bytes > byte_count - end)
			return false;
		end += parts[i].size_bytes;
	}
	return count && end == byte_count;
}

static const struct {
	const struct requirement *sections;
	size_t section_count;
	bool (*records_are_sound)(const struct checked *checked);
} kinds[UL_CONTAINER_KINDS] = {
	[UL_CONTAINER_FACTS] = {fact_sections, sizeof(fact_sections) / sizeof(fact_sections[0]), facts_are_sound},
	[UL_CONTAINER_CHECKPOINT] = {checkpoint_sections, sizeof(checkpoint_sections) / sizeof(checkpoint_sections[0]),
				     checkpoint_is_sound},
	[UL_CONTAINER_IDS] = {id_sections, sizeof(id_sections) / sizeof(id_sections[0]), ids_are_sound},
	[UL_CONTAINER_MERGED] = {merged_sections, sizeof(merged_sections) / sizeof(merged_sections[0]),
				 merged_is_sound},
	[UL_CONTAINER_PRICES] = {price_sections, sizeof(price_sections) / sizeof(price_sections[0]), prices_are_sound},
};

enum ul_container_state ul_container_open(struct ul_container *container, enum ul_container_kind kind,
					  const void *bytes, size_t size_bytes, const struct ul_id *log_id)
{
	struct ul_container found = {.bytes = bytes, .size_bytes = size_bytes, .header = bytes};
	struct checked checked;
	assert((uintptr_t)bytes % ALIGNMENT == 0);
	assert(kind < UL_CONTAINER_KINDS);
	if (size_bytes < sizeof(*found.header) || !header_is_sound(&found, kind, log_id))
		return UL_CONTAINER_DAMAGED;
	if (found.header->version > UL_VERSION || found.header->flags_incompatible) {
		*container = found;
		return UL_CONTAINER_NEWER;
	}
	found.sections = (const void *)(found.bytes + sizeof(*found.header));
	if (found.header->version != UL_VERSION || !sections_tile(&found))
		return UL_CONTAINER_DAMAGED;
	if (has_unknown_mandatory(&found)) {
		found.sections = NULL;
		*container = found;
		return UL_CONTAINER_NEWER;
	}
	if (!has_sections(&found, kinds[kind].sections, kinds[kind].section_count) || !load_strings(&checked, &found))
		return UL_CONTAINER_DAMAGED;
	/* Without memory each string is looked at as often as it is named. */
	checked.found = checked.string_count ? calloc(checked.string_count, 1) : NULL;
	bool sound = kinds[kind].records_are_sound(&checked);
	free(checked.found);
	if (!sound)
		return UL_CONTAINER_DAMAGED;
	*container = found;
	return UL_CONTAINER_VALID;
}

/* Writing. */

static size_t section_bytes(const struct ul_section_data *section)
{
	return (size_t)section->record_count * section->record_bytes;
}

/* The size of the whole, or 0 if it does not fit into memory. */
static size_t container_bytes(const struct ul_section_data *sections, size_t section_count)
{
	size_t size = sizeof(struct ul_container_header) + section_count * sizeof(struct ul_section);
	for (size_t i = 0; i < section_count; i++) {
		assert(sections[i].record_bytes > 0);
		assert(i == 0 || sections[i].type > sections[i - 1].type);
		if (sections[i].record_count > (SIZE_MAX / 2 - size) / sections[i].record_bytes)
			return 0;
		size = align_up(size + section_bytes(&sections[i]));
	}
	return size;
}

static void write_section(uint8_t *bytes, size_t index, size_t offset, const struct ul_section_data *section)
{
	struct ul_section *entry = (struct ul_section *)(bytes + sizeof(struct ul_container_header)) + index;
	entry->type = (uint32_t)section->type;
	entry->record_bytes = section->record_bytes;
	entry->offset = offset;
	entry->record_count = section->record_count;
	if (section->record_count)
		memcpy(bytes + offset, section->records, section_bytes(section));
}

void ul_container_seal(void *bytes, size_t size_bytes, enum ul_container_kind kind)
{
	struct ul_container_header header;
	memcpy(&header, bytes, sizeof(header));
	memcpy(header.magic, magics[kind], sizeof(header.magic));
	header.size_bytes = size_bytes;
	memcpy(bytes, &header, sizeof(header));
	header.checksum = container_checksum(bytes, size_bytes);
	memcpy(bytes, &header, sizeof(header));
}

void *ul_container_build(enum ul_container_kind kind, const struct ul_id *log_id,
			 const struct ul_section_data *sections, size_t section_count, size_t *size_bytes)
{
	assert(kind < UL_CONTAINER_KINDS && section_count <= UL_SECTIONS_MAX);
	size_t size = container_bytes(sections, section_count);
	uint8_t *bytes = size ? calloc(1, size) : NULL;
	if (!bytes)
		return NULL;
	struct ul_container_header *header = (struct ul_container_header *)bytes;
	header->version = UL_VERSION;
	header->log_id = *log_id;
	header->section_count = (uint32_t)section_count;
	size_t offset = sizeof(*header) + section_count * sizeof(struct ul_section);
	for (size_t i = 0; i < section_count; i++) {
		write_section(bytes, i, offset, &sections[i]);
		offset = align_up(offset + section_bytes(&sections[i]));
	}
	assert(offset == size);
	ul_container_seal(bytes, size, kind);
	*size_bytes = size;
	return bytes;
}

/* Buckets: FORMAT.md 7. Values below 128 have a bucket each; above, 64 buckets cover each doubling. */

void ul_bucket_range(uint32_t bucket, uint64_t *least_us, uint64_t *greatest_us)
{
	assert(bucket <= UL_BUCKET_MAX);
	uint32_t shift = bucket < 128 ? 0 : bucket / 64 - 1;
	uint64_t leading = bucket - 64 * shift;
	*least_us = leading << shift;
	*greatest_us = *least_us + (((uint64_t)1 << shift) - 1);
}
