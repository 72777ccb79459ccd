/* The totals of all time. */
#include "totals.h"

#include <errno.h>
#include <stdlib.h>

#include "calendar.h"
#include "context.h"
#include "json.h"
#include "os.h"

static const enum ul_section_type sections[TOTAL_KINDS] = {
	[TOTAL_DAYS] = UL_SECTION_DAY_SUMS,
	[TOTAL_RECENT] = UL_SECTION_RECENT_SUMS,
	[TOTAL_HOURS] = UL_SECTION_HOUR_SUMS,
	[TOTAL_ATTRIBUTES] = UL_SECTION_ATTRIBUTE_SUMS,
};

/* Names of a key and its value. */
struct attribute {
	uint32_t key, value;
};

/* What dimensions say; the first 16 bytes are the key. */
struct reading {
	uint64_t dimensions;
	uint64_t zero;
	uint32_t known;
	uint32_t reduced; /* less all but operation and error_type */
	uint32_t error;
	uint32_t first_attribute, attribute_count;
};

static void make_ready(struct totals *totals)
{
	if (totals->facts.rows.record_bytes)
		return;
	facts_init(&totals->facts, 0);
	for (size_t i = 0; i < TOTAL_KINDS; i++)
		table_init(&totals->sums[i], sizeof(struct ul_sum));
	table_init(&totals->readings, sizeof(struct reading));
}

void totals_clear(struct totals *totals)
{
	facts_clear(&totals->facts);
	for (size_t i = 0; i < TOTAL_KINDS; i++)
		table_clear(&totals->sums[i]);
	table_clear(&totals->readings);
	free(totals->attributes);
	*totals = (struct totals){0};
}

/* ---- dimensions -------------------------------------------------------------------------------------------- */

static uint32_t reduce(struct names *names, struct ul_text text, bool *failed)
{
	char operation[UL_NAME_BYTES_MAX + 1], error_type[UL_NAME_BYTES_MAX + 1], reduced[UL_CONTEXT_BYTES_MAX];
	struct ul_attributes attributes = {0};
	if (ul_context_string(text.text, text.bytes, "operation", operation))
		attributes.operation = operation;
	*failed = ul_context_string(text.text, text.bytes, "error_type", error_type) > 0;
	if (*failed)
		attributes.error_type = error_type;
	size_t bytes = 0;
	enum ul_context_error error = ul_context_build(&attributes, reduced, &bytes);
	/* Both come from a valid context, so they make one. */
	assert(error == UL_CONTEXT_OK);
	return error || !bytes ? NAME_NO_DIMENSIONS : names_intern(names, reduced, bytes);
}

uint32_t totals_value_name(struct names *names, struct ul_json_span value)
{
	char text[UL_NAME_BYTES_MAX];
	ptrdiff_t bytes = value.type == UL_JSON_STRING ? ul_json_unescape(value, text, sizeof(text)) : -1;
	if (bytes > 0 && ul_name_is_valid(text, (size_t)bytes))
		return names_intern(names, text, (size_t)bytes);
	return names_intern(names, value.text, value.bytes);
}

static int add_attribute(struct totals *totals, struct names *names, struct ul_json_span key, struct ul_json_span value)
{
	if (totals->attribute_count == totals->attribute_room) {
		uint32_t room = totals->attribute_room ? 2 * totals->attribute_room : 64;
		struct attribute *attributes = os_reallocate(totals->attributes, room, sizeof(*attributes));
		if (!attributes || room > UINT32_MAX / 2)
			return -ENOMEM;
		totals->attributes = attributes;
		totals->attribute_room = room;
	}
	totals->attributes[totals->attribute_count++] =
		(struct attribute){totals_value_name(names, key), totals_value_name(names, value)};
	return names->error;
}

/* Names move as others are added, so that the text read here is a copy. */
static int read_attributes(struct totals *totals, struct names *names, const char *text, size_t bytes)
{
	struct ul_json_walk walk, inner;
	struct ul_json_span key, value, inner_key;
	int error = 0;
	ul_json_enter(&walk, (struct ul_json_span){UL_JSON_OBJECT, text, bytes});
	while (!error && (value = ul_json_next(&walk, &key)).type != UL_JSON_END) {
		if (ul_json_string_is(key, "service_tier", strlen("service_tier")))
			error = add_attribute(totals, names, key, value);
		if (value.type != UL_JSON_OBJECT)
			continue;
		ul_json_enter(&inner, value);
		while (!error && (value = ul_json_next(&inner, &inner_key)).type != UL_JSON_END)
			error = add_attribute(totals, names, inner_key, value);
	}
	return error;
}

static int read_dimensions(struct totals *totals, struct names *names, struct reading *reading)
{
	char copy[UL_CONTEXT_BYTES_MAX];
	struct ul_text text = names_text(names, (uint32_t)reading->dimensions);
	bool failed;
	assert(text.bytes <= sizeof(copy));
	memcpy(copy, text.text, text.bytes);
	reading->first_attribute = totals->attribute_count;
	int error = read_attributes(totals, names, copy, text.bytes);
	reading->attribute_count = totals->attribute_count - reading->first_attribute;
	reading->reduced = reduce(names, (struct ul_text){copy, text.bytes}, &failed);
	reading->error = failed;
	reading->known = !error;
	return error ? error : names->error;
}

static int find_reading(struct totals *totals, struct names *names, uint32_t dimensions, struct reading *found)
{
	uint64_t key[2] = {dimensions, 0};
	struct reading *reading = table_get(&totals->readings, key);
	if (!reading)
		return -ENOMEM;
	int error = reading->known ? 0 : read_dimensions(totals, names, reading);
	*found = *reading;
	return error;
}

/* ---- add --------------------------------------------------------------------------------------------------- */

static int add_row_to(struct totals *totals, enum total_kind kind, struct ul_sum key, const struct ul_row *row,
		      bool failed)
{
	struct ul_sum *sum = table_get(&totals->sums[kind], &key);
	if (!sum)
		return -ENOMEM;
	return sum_add_row(sum, row, failed) ? 0 : -EOVERFLOW;
}

/* FORMAT.md 3.4: an opening balance may count in days and totals only, or in breakdowns by name only. */
static int add_row(struct totals *totals, struct names *names, int32_t day, struct ul_row row)
{
	struct reading reading;
	int error = find_reading(totals, names, row.dimensions, &reading);
	if (error)
		return error;
	bool failed = reading.error;
	if (row.scope == 0 || row.scope & 1) {
		error = add_row_to(totals, TOTAL_DAYS, (struct ul_sum){.number = day}, &row, failed);
		if (!error)
			error = add_row_to(totals, TOTAL_RECENT,
					   (struct ul_sum){.number = day, .first = row.provider, .second = row.model},
					   &row, failed);
	}
	for (uint32_t i = 0; i < reading.attribute_count && row.scope != 1 && !error; i++) {
		struct attribute attribute = totals->attributes[reading.first_attribute + i];
		error = add_row_to(totals, TOTAL_ATTRIBUTES,
				   (struct ul_sum){.first = attribute.key, .second = attribute.value}, &row, failed);
	}
	row.dimensions = reading.reduced;
	row.prompt_band = 0;
	if (!error)
		facts_add_row(&totals->facts, &row);
	return error ? error : totals->facts.error;
}

static int add_quarter(struct totals *totals, struct calendar_hour *hour, const struct ul_sum *quarter)
{
	struct ul_sum key = {.number = calendar_hour_of(hour, quarter->number)};
	struct ul_sum *sum = table_get(&totals->sums[TOTAL_HOURS], &key);
	if (!sum)
		return -ENOMEM;
	return sum_add(sum, quarter) ? 0 : -EOVERFLOW;
}

int totals_add(struct totals *totals, struct names *names, const struct facts *facts)
{
	static_assert(NAME_EMPTY == 0, "sums without names have the empty one");
	struct calendar_hour hour = {0};
	int error = 0;
	make_ready(totals);
	for (uint32_t i = 0; i < facts->rows.count && !error; i++)
		error = add_row(totals, names, facts->day, *(const struct ul_row *)table_record(&facts->rows, i));
	for (uint32_t i = 0; i < facts->quarters.count && !error; i++)
		error = add_quarter(totals, &hour, table_record(&facts->quarters, i));
	if (!error)
		facts_add_histograms(&totals->facts, facts);
	return error ? error : totals->facts.error;
}

int32_t totals_day_of(enum total_kind kind, const struct ul_sum *sum)
{
	return kind == TOTAL_HOURS ? calendar_quarter_day(sum->number) : sum->number;
}

/* A table of those sums alone that are of this day or later. */
static int keep_from(struct table *kept, const struct totals *totals, enum total_kind kind, int32_t from)
{
	table_init(kept, sizeof(struct ul_sum));
	for (uint32_t i = 0; i < totals->sums[kind].count; i++) {
		const struct ul_sum *sum = table_record(&totals->sums[kind], i);
		if (totals_day_of(kind, sum) < from)
			continue;
		struct ul_sum *copy = table_get(kept, sum);
		if (!copy)
			return -ENOMEM;
		*copy = *sum;
	}
	return 0;
}

int totals_trim(struct totals *totals, int32_t recent_from, int32_t hours_from)
{
	struct table recent, hours;
	make_ready(totals);
	table_init(&hours, sizeof(struct ul_sum));
	int error = keep_from(&recent, totals, TOTAL_RECENT, recent_from);
	if (!error)
		error = keep_from(&hours, totals, TOTAL_HOURS, hours_from);
	struct table *dropped_recent = error ? &recent : &totals->sums[TOTAL_RECENT];
	struct table *dropped_hours = error ? &hours : &totals->sums[TOTAL_HOURS];
	table_clear(dropped_recent);
	table_clear(dropped_hours);
	if (!error) {
		totals->sums[TOTAL_RECENT] = recent;
		totals->sums[TOTAL_HOURS] = hours;
	}
	return error;
}

int totals_load(struct totals *totals, const uint32_t *name_of, const struct ul_container *file)
{
	make_ready(totals);
	facts_add_records(&totals->facts, name_of, file);
	int error = totals->facts.error;
	for (size_t i = 0; i < TOTAL_KINDS; i++) {
		uint64_t count;
		const struct ul_sum *sums = ul_container_records(file, sections[i], &count);
		for (uint64_t j = 0; j < count && !error; j++) {
			struct ul_sum more = sums[j];
			more.first = name_of[more.first];
			more.second = name_of[more.second];
			struct ul_sum *sum = table_get(&totals->sums[i], &more);
			if (!sum)
				error = -ENOMEM;
			else if (!sum_add(sum, &more))
				error = -EOVERFLOW;
		}
	}
	return error;
}

int totals_copy(struct totals *copy, const struct totals *totals)
{
	int error = 0;
	make_ready(copy);
	for (uint32_t i = 0; i < totals->facts.rows.count; i++)
		facts_add_row(&copy->facts, table_record(&totals->facts.rows, i));
	facts_add_histograms(&copy->facts, &totals->facts);
	for (size_t i = 0; i < TOTAL_KINDS; i++)
		for (uint32_t j = 0; j < totals->sums[i].count && !error; j++) {
			const struct ul_sum *more = table_record(&totals->sums[i], j);
			struct ul_sum *sum = table_get(&copy->sums[i], more);
			if (!sum)
				error = -ENOMEM;
			else
				*sum = *more;
		}
	return error ? error : copy->facts.error;
}

/* ---- one day ----------------------------------------------------------------------------------------------- */

struct ul_sum totals_day(const struct totals *totals, int32_t day)
{
	for (uint32_t i = 0; i < totals->sums[TOTAL_DAYS].count; i++) {
		const struct ul_sum *sum = table_record(&totals->sums[TOTAL_DAYS], i);
		if (sum->number == day)
			return *sum;
	}
	return (struct ul_sum){.number = day};
}

bool totals_day_bounds(const struct totals *totals, int32_t *first, int32_t *last)
{
	const struct table *days = &totals->sums[TOTAL_DAYS];
	bool any = false;
	for (uint32_t i = 0; i < days->count; i++) {
		const struct ul_sum *day = table_record(days, i);
		if (sum_is_zero(day))
			continue;
		*first = any && *first < day->number ? *first : day->number;
		*last = any && *last > day->number ? *last : day->number;
		any = true;
	}
	return any;
}

/* The day's sums by model. */
static int list_models(struct sum_list *list, const struct totals *totals, int32_t day)
{
	int error = sum_list_gather(list, &totals->sums[TOTAL_RECENT], NULL);
	size_t count = 0;
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].number == day)
			list->items[count++] = list->items[i];
	list->count = count;
	if (!error)
		sum_list_sort(list);
	return error;
}

int totals_agree(const struct totals *totals, struct names *names, const struct facts *facts, bool recent)
{
	struct totals own = {0};
	struct sum_list wanted = {0}, found = {0};
	int error = totals_add(&own, names, facts);
	if (!error && recent)
		error = list_models(&wanted, totals, facts->day);
	if (!error && recent)
		error = list_models(&found, &own, facts->day);
	struct ul_sum day_wanted = totals_day(totals, facts->day), day_found = totals_day(&own, facts->day);
	bool agree = memcmp(&day_wanted, &day_found, sizeof(day_wanted)) == 0 && wanted.count == found.count &&
		     (!wanted.count || memcmp(wanted.items, found.items, wanted.count * sizeof(*wanted.items)) == 0);
	sum_list_clear(&wanted);
	sum_list_clear(&found);
	totals_clear(&own);
	return error ? error : agree;
}

/* Rows that come to a sum. Which calls had both an error and no price is not known: as few as can be. */
static void add_rows_of(struct facts *facts, struct names *names, const struct ul_sum *sum, uint32_t provider,
			uint32_t model)
{
	static const char failed[] = "{\"error_type\":\"(unknown)\"}";
	uint32_t dimensions[2] = {NAME_NO_DIMENSIONS, names_intern(names, failed, strlen(failed))};
	__int128 both = (__int128)sum->errors + sum->unpriced_calls - sum->calls;
	if (both < 0)
		both = 0;
	const __int128 plain = (__int128)sum->calls - sum->errors - sum->unpriced_calls + both;
	const __int128 calls[2][2] = {{plain, sum->errors - both}, {sum->unpriced_calls - both, both}};
	for (size_t unpriced = 0; unpriced < 2; unpriced++)
		for (size_t error = 0; error < 2; error++) {
			struct ul_row row = {.provider = provider,
					     .model = model,
					     .dimensions = dimensions[error],
					     .price_class = unpriced ? UL_PRICE_NONE : UL_PRICE_GIVEN,
					     .calls = (int64_t)calls[unpriced][error]};
			if (!unpriced && !error) {
				memcpy(row.tokens, sum->tokens, sizeof(row.tokens));
				row.cost_pico_usd = sum->cost_pico_usd;
			}
			facts_add_row(facts, &row);
		}
	struct ul_row balance = {.provider = provider,
				 .model = model,
				 .dimensions = NAME_NO_DIMENSIONS,
				 .scope = 3,
				 .balance_tokens = sum->balance_tokens};
	facts_add_row(facts, &balance);
}

void totals_stand_in(const struct totals *totals, struct names *names, struct facts *facts)
{
	bool by_model = false;
	for (uint32_t i = 0; i < totals->sums[TOTAL_RECENT].count; i++) {
		const struct ul_sum *sum = table_record(&totals->sums[TOTAL_RECENT], i);
		if (sum->number != facts->day)
			continue;
		by_model = true;
		add_rows_of(facts, names, sum, sum->first, sum->second);
	}
	struct ul_sum day = totals_day(totals, facts->day);
	if (!by_model)
		add_rows_of(facts, names, &day, NAME_UNKNOWN, NAME_UNKNOWN);
	if (names->error)
		facts->error = names->error;
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

int totals_draft_gather(struct totals_draft *draft, const struct totals *totals, uint8_t *used)
{
	int error = facts_draft_gather(&draft->facts, &totals->facts, used);
	for (size_t i = 0; i < TOTAL_KINDS && !error; i++)
		error = sum_list_gather(&draft->sums[i], &totals->sums[i], used);
	return error;
}

void totals_draft_lay_out(struct totals_draft *draft, const uint32_t *index)
{
	facts_draft_lay_out(&draft->facts, index);
	for (size_t i = 0; i < TOTAL_KINDS; i++)
		sum_list_lay_out(&draft->sums[i], index);
}

void totals_draft_clear(struct totals_draft *draft)
{
	facts_draft_clear(&draft->facts);
	for (size_t i = 0; i < TOTAL_KINDS; i++)
		sum_list_clear(&draft->sums[i]);
}
