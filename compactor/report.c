/* The groups of a report, and lines made of them. */
#include "report.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "breakdown.h"
#include "context.h"
#include "os.h"
#include "totals.h"

/* Attributes that stand beside the metadata, and are always there; the others are keys of it. */
enum { OPERATION, ERROR_TYPE, SERVICE_TIER, SESSION_ID, OWN_ATTRIBUTES };
static const char *const own_attributes[OWN_ATTRIBUTES] = {"operation", "error_type", "service_tier", "session_id"};

/* ---- keys ------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum report_key_kind kind;
} own_keys[] = {
	{"day", KEY_DAY},     {"week", KEY_WEEK},         {"month", KEY_MONTH}, {"hour", KEY_HOUR},
	{"block", KEY_BLOCK}, {"provider", KEY_PROVIDER}, {"model", KEY_MODEL},
};

static void add_own_attributes(struct report *report)
{
	if (report->attribute_count)
		return;
	memcpy(report->attributes, own_attributes, sizeof(own_attributes));
	report->attribute_count = OWN_ATTRIBUTES;
}

bool report_find_key(struct report *report, const char *name, struct report_key *key)
{
	static const char in_metadata[] = "metadata.";
	uint32_t at = 0;
	add_own_attributes(report);
	for (size_t i = 0; i < sizeof(own_keys) / sizeof(own_keys[0]); i++)
		if (!strcmp(name, own_keys[i].name)) {
			*key = (struct report_key){own_keys[i].kind, 0, own_keys[i].name};
			return true;
		}
	if (!strncmp(name, in_metadata, strlen(in_metadata))) {
		name += strlen(in_metadata);
		at = OWN_ATTRIBUTES;
	}
	while (at < report->attribute_count && strcmp(report->attributes[at], name) != 0)
		at++;
	if (at == REPORT_ATTRIBUTES_MAX)
		return false;
	if (at == report->attribute_count)
		report->attributes[report->attribute_count++] = name;
	*key = (struct report_key){KEY_ATTRIBUTE, at, report->attributes[at]};
	return true;
}

bool report_is_own_attribute(const struct report_key *key)
{
	return key->kind == KEY_ATTRIBUTE && key->attribute < OWN_ATTRIBUTES;
}

static bool is_time(const struct report_key *key)
{
	return key->kind <= KEY_BLOCK;
}

static bool is_part_of_day(const struct report_key *key)
{
	return key->kind == KEY_HOUR || key->kind == KEY_BLOCK;
}

static bool is_maker(const struct report_key *key)
{
	return key->kind == KEY_PROVIDER || key->kind == KEY_MODEL;
}

static bool is_operation(const struct report_key *key)
{
	return key->kind == KEY_ATTRIBUTE && key->attribute == OPERATION;
}

/* Are all keys and filters such ones? */
static bool all_keys(const struct report *report, bool (*is_one)(const struct report_key *key))
{
	for (uint32_t i = 0; i < GROUPINGS; i++)
		for (uint32_t j = 0; j < report->groupings[i].key_count; j++)
			if (!is_one(&report->groupings[i].keys[j]))
				return false;
	for (uint32_t i = 0; i < report->filter_count; i++)
		if (!is_one(&report->filters[i].key))
			return false;
	return true;
}

static bool is_of_rows(const struct report_key *key)
{
	return !is_part_of_day(key);
}

static bool is_of_quarters(const struct report_key *key)
{
	return is_time(key) || is_maker(key);
}

static bool is_of_histograms(const struct report_key *key)
{
	return is_of_rows(key) && (is_of_quarters(key) || is_operation(key));
}

/* Attributes are dimensions if they stand beside the metadata, or the log groups by them. */
bool report_takes_rows(const struct report *report, const struct ul_conf *conf)
{
	for (uint32_t i = OWN_ATTRIBUTES; i < report->attribute_count; i++) {
		uint32_t j = 0;
		while (j < conf->group_by_count && strcmp(conf->group_by[j], report->attributes[i]) != 0)
			j++;
		if (j == conf->group_by_count)
			return false;
	}
	return all_keys(report, is_of_rows);
}

bool report_takes_quarters(const struct report *report)
{
	return all_keys(report, is_of_quarters);
}

bool report_takes_histograms(const struct report *report)
{
	return all_keys(report, is_of_histograms);
}

static bool is_no_block(const struct report_key *key)
{
	return key->kind != KEY_BLOCK;
}

bool report_needs_blocks(const struct report *report)
{
	return !all_keys(report, is_no_block);
}

/* ---- open ------------------------------------------------------------------------------------------------------ */

void report_open(struct report *report)
{
	struct report_grouping *shown = &report->groupings[GROUPS_SHOWN];
	add_own_attributes(report);
	for (uint32_t i = 0; i < shown->key_count; i++)
		shown->by_time |= is_time(&shown->keys[i]);
	shown->by_time |= !shown->key_count;
	for (size_t i = 0; i < GROUPINGS; i++) {
		struct report_grouping *grouping = &report->groupings[i];
		grouping->by_time = shown->by_time;
		table_init(&grouping->groups, sizeof(struct report_group));
		facts_init(&grouping->histograms, 0);
	}
	table_init(&report->makers, sizeof(struct report_maker));
	table_init(&report->readings, sizeof(struct report_reading));
}

void report_close(struct report *report)
{
	for (size_t i = 0; i < GROUPINGS; i++) {
		table_clear(&report->groupings[i].groups);
		facts_clear(&report->groupings[i].histograms);
	}
	table_clear(&report->makers);
	table_clear(&report->readings);
	free(report->blocks);
	*report = (struct report){0};
}

/* ---- filters --------------------------------------------------------------------------------------------------- */

static bool matches(const struct report *report, const struct report_filter *filter, uint32_t name)
{
	char text[UL_CONTEXT_BYTES_MAX + 1];
	struct ul_text value = names_text(report->names, name);
	if (!filter->pattern)
		return name != NAME_EMPTY;
	if (!strpbrk(filter->pattern, "*"))
		return strlen(filter->pattern) == value.bytes && !memcmp(filter->pattern, value.text, value.bytes);
	if (value.bytes >= sizeof(text))
		return false;
	memcpy(text, value.text, value.bytes);
	text[value.bytes] = '\0';
	return fnmatch(filter->pattern, text, 0) == 0;
}

static bool same_key(const struct report_key *a, const struct report_key *b)
{
	return a->kind == b->kind && a->attribute == b->attribute;
}

/* Of filters of one key one must match; of each key some. `matches_one` says whether the filter at hand does. */
static bool is_wanted(const struct report *report, bool makers,
		      bool (*matches_one)(const struct report *report, const struct report_filter *filter,
					  const void *arg),
		      const void *arg)
{
	for (uint32_t i = 0; i < report->filter_count; i++) {
		bool any = false;
		if (is_maker(&report->filters[i].key) != makers)
			continue;
		for (uint32_t j = 0; j < report->filter_count && !any; j++)
			any = same_key(&report->filters[i].key, &report->filters[j].key) &&
			      matches_one(report, &report->filters[j], arg);
		if (!any)
			return false;
	}
	return true;
}

static bool maker_matches(const struct report *report, const struct report_filter *filter, const void *arg)
{
	const struct report_maker *maker = arg;
	if (filter->key.kind == KEY_MODEL)
		return matches(report, filter, maker->model);
	/* By the name it has here, or the one that was given. */
	return matches(report, filter, maker->shown_provider) || matches(report, filter, maker->provider);
}

static bool reading_matches(const struct report *report, const struct report_filter *filter, const void *arg)
{
	const struct report_reading *reading = arg;
	return matches(report, filter, reading->values[filter->key.attribute]);
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

bool report_find_maker(struct report *report, uint32_t provider, uint32_t model, struct report_maker *found)
{
	struct report_maker key = {.provider = provider, .model = model};
	struct report_maker *maker = table_get(&report->makers, &key);
	if (!maker) {
		report->error = -ENOMEM;
		return false;
	}
	if (!maker->known) {
		maker->shown_provider = report->raw_names ? provider : breakdown_provider(report->names, provider);
		maker->wanted = is_wanted(report, true, maker_matches, maker);
		maker->known = true;
	}
	*found = *maker;
	return true;
}

static void read_value(struct report *report, struct report_reading *reading, struct ul_json_span key,
		       struct ul_json_span value, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		if (ul_json_string_is(key, report->attributes[i], strlen(report->attributes[i])))
			reading->values[i] = totals_value_name(report->names, value);
}

void report_read(struct report *report, const char *text, size_t bytes, struct report_reading *reading)
{
	struct ul_json_walk walk, inner;
	struct ul_json_span key, value;
	ul_json_enter(&walk, (struct ul_json_span){UL_JSON_OBJECT, text, bytes});
	while ((value = ul_json_next(&walk, &key)).type != UL_JSON_END) {
		read_value(report, reading, key, value, 0, OWN_ATTRIBUTES);
		if (value.type != UL_JSON_OBJECT || report->attribute_count == OWN_ATTRIBUTES)
			continue;
		ul_json_enter(&inner, value);
		while ((value = ul_json_next(&inner, &key)).type != UL_JSON_END)
			read_value(report, reading, key, value, OWN_ATTRIBUTES, report->attribute_count);
	}
	reading->failed = reading->values[ERROR_TYPE] != NAME_EMPTY;
	reading->wanted = is_wanted(report, false, reading_matches, reading);
	reading->known = true;
}

uint32_t report_service_tier(const struct report_reading *reading)
{
	return reading->values[SERVICE_TIER];
}

static bool find_reading(struct report *report, uint32_t dimensions, struct report_reading *found)
{
	char copy[UL_CONTEXT_BYTES_MAX];
	uint64_t key[2] = {dimensions, 0};
	struct report_reading *reading = table_get(&report->readings, key);
	if (!reading) {
		report->error = -ENOMEM;
		return false;
	}
	if (!reading->known) {
		/* Names move as others are added. */
		struct ul_text text = names_text(report->names, dimensions);
		assert(text.bytes <= sizeof(copy));
		memcpy(copy, text.text, text.bytes);
		report_read(report, copy, text.bytes, reading);
	}
	*found = *reading;
	return true;
}

/* ---- groups ---------------------------------------------------------------------------------------------------- */

/* What is added, and where it belongs. */
struct item {
	int32_t day;     /* in the process's zone */
	int32_t quarter; /* if it is known */
	const struct report_maker *maker;
	const struct report_reading *reading; /* NULL: not known, nor asked for */
};

int32_t report_week_of(int32_t day)
{
	/* 1970-01-01 was a Thursday. */
	int32_t since_monday = (int32_t)(((int64_t)day + 3) % 7);
	return day - (since_monday < 0 ? since_monday + 7 : since_monday);
}

static int32_t month_of(int32_t day)
{
	struct calendar_date date = calendar_date_of(day);
	return date.year * 12 + (int32_t)date.month - 1;
}

/* The block that a quarter is in. Each quarter with calls is in one. */
static int32_t block_of(const struct report *report, int32_t quarter)
{
	size_t low = 0, high = report->block_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (report->blocks[middle] <= quarter)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? report->blocks[low - 1] : quarter;
}

static uint32_t value_of(struct report *report, const struct report_key *key, const struct item *item)
{
	switch (key->kind) {
	case KEY_DAY:
		return (uint32_t)item->day;
	case KEY_WEEK:
		return (uint32_t)report_week_of(item->day);
	case KEY_MONTH:
		return (uint32_t)month_of(item->day);
	case KEY_HOUR:
		return (uint32_t)calendar_hour_of(&report->hour, item->quarter);
	case KEY_BLOCK:
		return (uint32_t)block_of(report, item->quarter);
	case KEY_PROVIDER:
		return item->maker->shown_provider;
	case KEY_MODEL:
		return item->maker->model;
	case KEY_ATTRIBUTE:
		break;
	}
	return item->reading->values[key->attribute];
}

static struct report_group *find_group(struct report *report, struct report_grouping *grouping, const struct item *item)
{
	struct report_group key = {0};
	for (uint32_t i = 0; i < grouping->key_count; i++)
		key.keys[i] = value_of(report, &grouping->keys[i], item);
	uint32_t count = grouping->groups.count;
	struct report_group *group = table_get(&grouping->groups, &key);
	if (!group)
		report->error = -ENOMEM;
	else if (grouping->groups.count > count)
		group->first_day = group->last_day = item->day;
	return group;
}

/* Parts of sums that did not overflow as a whole may do so where reversals make parts larger: they wrap. */
static void add(int64_t *sum, int64_t more)
{
	*sum = (int64_t)((uint64_t)*sum + (uint64_t)more);
}

static bool counts_in(const struct report_grouping *grouping, uint16_t scope)
{
	return !scope || scope & (grouping->by_time ? 1 : 2);
}

static size_t grouping_count(const struct report *report)
{
	return report->breakdown ? GROUPINGS : GROUPS_PARTS;
}

static void note_day(struct report_group *group, int32_t day)
{
	group->first_day = day < group->first_day ? day : group->first_day;
	group->last_day = day > group->last_day ? day : group->last_day;
}

static void add_times(struct report_group *group, const struct ul_row *row)
{
	add(&group->timed_calls[0], row->latency_calls);
	add(&group->timed_us[0], row->latency_sum_us);
	add(&group->timed_calls[1], row->ttft_calls);
	add(&group->timed_us[1], row->ttft_sum_us);
}

static void add_row(struct report *report, int32_t day, const struct ul_row *row)
{
	struct report_maker maker;
	struct report_reading reading;
	if (!report_find_maker(report, row->provider, row->model, &maker) || !maker.wanted ||
	    !find_reading(report, row->dimensions, &reading) || !reading.wanted)
		return;
	const struct item item = {.day = day, .maker = &maker, .reading = &reading};
	for (size_t i = 0; i < grouping_count(report); i++) {
		struct report_grouping *grouping = &report->groupings[i];
		if (!counts_in(grouping, row->scope))
			continue;
		struct report_group *group = find_group(report, grouping, &item);
		if (!group)
			return;
		note_day(group, day);
		if (!sum_add_row(&group->sum, row, reading.failed))
			report->error = -EOVERFLOW;
		add_times(group, row);
	}
}

/* The histogram of a group; FACTS_NOWHERE: no memory. */
static uint32_t find_histogram(struct report *report, struct report_grouping *grouping,
			       const struct report_group *group, enum ul_measure measure)
{
	const struct call_names names = {.provider = table_number(&grouping->groups, group)};
	uint32_t number = facts_find_histogram(&grouping->histograms, &names, measure);
	if (number == (uint32_t)FACTS_NOWHERE)
		report->error = -ENOMEM;
	return number;
}

static void add_bucket(struct report *report, struct report_grouping *grouping, uint32_t histogram, uint32_t bucket,
		       int64_t count)
{
	int64_t *sum = facts_reach(&grouping->histograms, histogram, bucket);
	if (sum)
		add(sum, count);
	else
		report->error = -ENOMEM;
}

/* A histogram on its way into the groups: buckets of a file, or counts in memory. */
struct added_histogram {
	uint32_t provider, model, operation;
	enum ul_measure measure;
	const struct ul_bucket *buckets; /* NULL: `counts` from bucket `first` on */
	const int64_t *counts;
	uint32_t first, count;
};

static struct ul_bucket bucket_of(const struct added_histogram *histogram, uint32_t i)
{
	if (histogram->buckets)
		return histogram->buckets[i];
	return (struct ul_bucket){.bucket = histogram->first + i, .count = histogram->counts[i]};
}

static void add_histogram(struct report *report, int32_t day, const struct added_histogram *histogram)
{
	struct report_maker maker;
	struct report_reading reading = {.values = {[OPERATION] = histogram->operation}};
	if (!report_find_maker(report, histogram->provider, histogram->model, &maker) || !maker.wanted ||
	    !is_wanted(report, false, reading_matches, &reading) || !histogram->count)
		return;
	const struct item item = {.day = day, .maker = &maker, .reading = &reading};
	for (size_t i = 0; i < grouping_count(report) && !report->error; i++) {
		struct report_grouping *grouping = &report->groupings[i];
		struct report_group *group = find_group(report, grouping, &item);
		uint32_t number =
			group ? find_histogram(report, grouping, group, histogram->measure) : (uint32_t)FACTS_NOWHERE;
		/* The last one first, so that the window grows at most twice. */
		for (uint32_t j = histogram->count; j-- && number != (uint32_t)FACTS_NOWHERE && !report->error;) {
			struct ul_bucket bucket = bucket_of(histogram, j);
			if (!bucket.count)
				continue;
			add_bucket(report, grouping, number, bucket.bucket, bucket.count);
			add(&group->seen_calls[histogram->measure - 1], bucket.count);
		}
	}
}

static void add_file(struct report *report, const struct facts_parts *parts, bool histograms)
{
	uint64_t count, bucket_count;
	const uint32_t *name_of = parts->name_of;
	const struct ul_row *rows = ul_container_records(parts->file, UL_SECTION_ROWS, &count);
	for (uint64_t i = 0; i < count && !report->error; i++) {
		struct ul_row row = rows[i];
		row.provider = name_of[row.provider];
		row.model = name_of[row.model];
		row.dimensions = name_of[row.dimensions];
		add_row(report, parts->day, &row);
	}
	const struct ul_bucket *buckets = ul_container_records(parts->file, UL_SECTION_BUCKETS, &bucket_count);
	const struct ul_histogram *records = ul_container_records(parts->file, UL_SECTION_HISTOGRAMS, &count);
	for (uint64_t i = 0; i < count && histograms && !report->error; i++) {
		const struct added_histogram added = {.provider = name_of[records[i].provider],
						      .model = name_of[records[i].model],
						      .operation = name_of[records[i].operation],
						      .measure = (enum ul_measure)records[i].measure,
						      .buckets = buckets + records[i].first_bucket,
						      .count = records[i].bucket_count};
		add_histogram(report, parts->day, &added);
	}
}

static void add_facts(struct report *report, const struct facts *facts, bool histograms)
{
	for (uint32_t i = 0; i < facts->rows.count && !report->error; i++)
		add_row(report, facts->day, table_record(&facts->rows, i));
	for (uint32_t i = 0; i < facts->histograms.count && histograms && !report->error; i++) {
		const struct histogram *record = table_record(&facts->histograms, i);
		const struct added_histogram added = {.provider = record->provider,
						      .model = record->model,
						      .operation = record->operation,
						      .measure = (enum ul_measure)record->measure,
						      .counts = record->counts,
						      .first = record->first,
						      .count = record->count};
		add_histogram(report, facts->day, &added);
	}
}

int report_add_rows(struct report *report, const struct facts_parts *parts)
{
	bool histograms = report_takes_histograms(report);
	if (parts->day < report->first_day || parts->day > report->last_day)
		return report->error;
	report->has_rows = true;
	if (parts->file)
		add_file(report, parts, histograms);
	if (parts->facts)
		add_facts(report, parts->facts, histograms);
	return report->error ? report->error : report->names->error;
}

/* The day that a quarter is of; false: it is not in the period. A block belongs to the day that it begins in. */
static bool find_day(const struct report *report, int32_t quarter, int32_t *day)
{
	*day = calendar_quarter_day(report->block_count ? block_of(report, quarter) : quarter);
	return *day >= report->first_day && *day <= report->last_day;
}

bool report_has_quarter(struct report *report, int32_t quarter)
{
	int32_t day;
	return find_day(report, quarter, &day);
}

static void add_quarter(struct report *report, const struct ul_sum *quarter)
{
	struct report_maker maker;
	struct item item = {.quarter = quarter->number, .maker = &maker};
	if (!find_day(report, quarter->number, &item.day) ||
	    !report_find_maker(report, quarter->first, quarter->second, &maker) || !maker.wanted)
		return;
	for (size_t i = 0; i < grouping_count(report); i++) {
		struct report_group *group = find_group(report, &report->groupings[i], &item);
		if (!group)
			return;
		note_day(group, item.day);
		if (!sum_add(&group->sum, quarter))
			report->error = -EOVERFLOW;
	}
}

int report_add_quarters(struct report *report, const struct facts_parts *parts)
{
	uint64_t count = 0;
	const struct ul_sum *quarters =
		parts->file ? ul_container_records(parts->file, UL_SECTION_QUARTERS, &count) : NULL;
	for (uint64_t i = 0; i < count && !report->error; i++) {
		struct ul_sum quarter = quarters[i];
		quarter.first = parts->name_of[quarter.first];
		quarter.second = parts->name_of[quarter.second];
		add_quarter(report, &quarter);
	}
	for (uint32_t i = 0; parts->facts && i < parts->facts->quarters.count && !report->error; i++)
		add_quarter(report, table_record(&parts->facts->quarters, i));
	return report->error ? report->error : report->names->error;
}

/* One value, or one less: `calls` is 1 or -1, and so is its sum's sign. */
static void add_value(struct report *report, struct report_grouping *grouping, struct report_group *group,
		      enum ul_measure measure, int64_t calls, int64_t sum_us)
{
	uint32_t number = calls ? find_histogram(report, grouping, group, measure) : (uint32_t)FACTS_NOWHERE;
	if (number == (uint32_t)FACTS_NOWHERE)
		return;
	add_bucket(report, grouping, number, ul_bucket_of((uint64_t)(calls * sum_us)), calls);
	add(&group->seen_calls[measure - 1], calls);
}

static void add_call_to(struct report *report, struct report_grouping *grouping, const struct item *item,
			const struct report_call *call, bool counted)
{
	const struct ul_row *row = &call->row;
	struct report_group *group = counts_in(grouping, row->scope) ? find_group(report, grouping, item) : NULL;
	if (!group)
		return;
	add(&group->scanned_calls, row->calls);
	add_value(report, grouping, group, UL_MEASURE_LATENCY, row->latency_calls, row->latency_sum_us);
	add_value(report, grouping, group, UL_MEASURE_TTFT, row->ttft_calls, row->ttft_sum_us);
	if (!report->has_rows)
		add_times(group, row);
	if (!counted)
		return;
	note_day(group, item->day);
	if (!sum_add_row(&group->sum, row, item->reading->failed))
		report->error = -EOVERFLOW;
}

bool report_add_call(struct report *report, const struct report_call *call, bool counted)
{
	struct item item = {.quarter = quarter_of(call->time_ns), .maker = call->maker, .reading = call->reading};
	if (report->block_count) {
		if (!find_day(report, item.quarter, &item.day))
			return false;
	} else {
		item.day = calendar_day(&report->calendar, call->time_ns);
		if (item.day < report->first_day || item.day > report->last_day)
			return false;
	}
	report->scanned = true;
	for (size_t i = 0; i < grouping_count(report) && call->maker->wanted && call->reading->wanted; i++)
		add_call_to(report, &report->groupings[i], &item, call, counted);
	return true;
}

void report_set_blocks(struct report *report, int32_t *quarters, size_t count)
{
	size_t blocks = 0;
	for (size_t i = 0; i < count; i++)
		if (!blocks || quarters[i] - quarters[blocks - 1] >= REPORT_BLOCK_QUARTERS)
			quarters[blocks++] = calendar_hour_of(&report->hour, quarters[i]);
	free(report->blocks);
	report->blocks = quarters;
	report->block_count = blocks;
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

const char *const report_column_names[REPORT_COLUMNS] = {
	[COLUMN_CALLS] = "calls",
	[COLUMN_ERRORS] = "errors",
	[COLUMN_INPUT] = "input",
	[COLUMN_CACHE_READ] = "cache_read",
	[COLUMN_CACHE_WRITE] = "cache_write",
	[COLUMN_OUTPUT] = "output",
	[COLUMN_REASONING] = "reasoning",
	[COLUMN_TOKENS] = "tokens",
	[COLUMN_COST] = "cost",
	[COLUMN_SHARE] = "share",
	[COLUMN_P50] = "p50",
	[COLUMN_P95] = "p95",
	[COLUMN_P99] = "p99",
	[COLUMN_TTFT] = "ttft",
};

static bool quantile(const struct report_line *line, int measure, unsigned percent, money_t *value)
{
	size_t i = 0;
	while (latency_percents[i] != percent)
		i++;
	*value = line->quantiles_us[measure][i];
	return line->quantiles_known[measure];
}

bool report_value(const struct report_lines *lines, const struct report_line *line, enum report_column column,
		  money_t *value)
{
	enum { PERCENT_THOUSANDTHS = 100000 };
	const struct ul_sum *sum = &report_line_group(line)->sum;
	money_t all = money_of(report_line_group(&lines->all)->sum.cost_pico_usd);
	switch (column) {
	case COLUMN_CALLS:
		*value = sum->calls;
		return true;
	case COLUMN_ERRORS:
		*value = sum->errors;
		return true;
	case COLUMN_INPUT:
		*value = sum->tokens[UL_INPUT];
		return true;
	case COLUMN_CACHE_READ:
		*value = sum->tokens[UL_CACHE_READ];
		return true;
	case COLUMN_CACHE_WRITE:
		*value = (money_t)sum->tokens[UL_CACHE_WRITE_5M] + sum->tokens[UL_CACHE_WRITE_1H];
		return true;
	case COLUMN_OUTPUT:
		*value = sum->tokens[UL_OUTPUT];
		return true;
	case COLUMN_REASONING:
		*value = sum->tokens[UL_REASONING];
		return true;
	case COLUMN_TOKENS:
		*value = sum_tokens(sum);
		return true;
	case COLUMN_COST:
		*value = money_of(sum->cost_pico_usd);
		return true;
	case COLUMN_SHARE:
		if (all <= 0 ||
		    __builtin_mul_overflow(money_of(sum->cost_pico_usd), (money_t)PERCENT_THOUSANDTHS, value))
			return false;
		*value /= all;
		return true;
	case COLUMN_P50:
		return quantile(line, 0, 50, value);
	case COLUMN_P95:
		return quantile(line, 0, 95, value);
	case COLUMN_P99:
		return quantile(line, 0, 99, value);
	case COLUMN_TTFT:
		return quantile(line, 1, 50, value);
	case REPORT_COLUMNS:
		break;
	}
	return false;
}

/* Quantiles are known where all calls of the group were seen. */
static void find_quantiles(const struct report *report, struct report_grouping *grouping, struct report_line *line)
{
	if (!line->group || (report->scanned && line->group->scanned_calls != line->group->sum.calls))
		return;
	for (int i = 0; i < 2; i++) {
		if (line->group->seen_calls[i] <= 0 || line->group->seen_calls[i] != line->group->timed_calls[i])
			continue;
		const struct call_names names = {.provider = table_number(&grouping->groups, line->group)};
		uint32_t number =
			facts_find_histogram(&grouping->histograms, &names, i ? UL_MEASURE_TTFT : UL_MEASURE_LATENCY);
		if (number == (uint32_t)FACTS_NOWHERE)
			continue;
		const struct histogram *histogram = table_record(&grouping->histograms.histograms, number);
		latency_quantiles(histogram->counts, histogram->first, histogram->count, line->quantiles_us[i]);
		line->quantiles_known[i] = true;
	}
}

struct ordering {
	const struct report *report;
	const struct report_lines *lines;
	const struct report_grouping *grouping;
	struct report_order order;
};

static int compare_keys(const struct report *report, const struct report_grouping *grouping,
			const struct report_line *a, const struct report_line *b)
{
	int order = 0;
	for (uint32_t i = 0; i < grouping->key_count && !order; i++) {
		uint32_t left = a->group->keys[i], right = b->group->keys[i];
		if (is_time(&grouping->keys[i]))
			order = ((int32_t)left > (int32_t)right) - ((int32_t)left < (int32_t)right);
		else
			order = names_compare(names_text(report->names, left), names_text(report->names, right));
	}
	return order;
}

static int compare_lines(const void *left, const void *right, void *arg)
{
	const struct ordering *ordering = arg;
	const struct report_line *a = left, *b = right;
	int order = 0;
	if (ordering->order.column >= 0) {
		money_t value_a = 0, value_b = 0;
		bool known_a = report_value(ordering->lines, a, (enum report_column)ordering->order.column, &value_a);
		bool known_b = report_value(ordering->lines, b, (enum report_column)ordering->order.column, &value_b);
		/* What is not known is last, either way. */
		if (known_a != known_b)
			return known_a ? -1 : 1;
		order = (value_a < value_b) - (value_a > value_b);
	} else {
		order = compare_keys(ordering->report, ordering->grouping, a, b);
	}
	if (ordering->order.reversed)
		order = -order;
	return order ? order : compare_keys(ordering->report, ordering->grouping, a, b);
}

/* Groups in which all is zero, as where each call was taken back, are no lines. */
static bool is_empty(const struct report_group *group)
{
	return sum_is_zero(&group->sum);
}

static int list_groups(const struct report *report, struct report_grouping *grouping, struct report_line **items,
		       size_t *count)
{
	*items = os_allocate(grouping->groups.count + (size_t)1, sizeof(**items));
	if (!*items)
		return -ENOMEM;
	for (uint32_t i = 0; i < grouping->groups.count; i++) {
		const struct report_group *group = table_record(&grouping->groups, i);
		if (is_empty(group))
			continue;
		struct report_line *line = &(*items)[(*count)++];
		line->group = group;
		find_quantiles(report, grouping, line);
	}
	return 0;
}

static void sort(const struct report *report, const struct report_lines *lines, const struct report_grouping *grouping,
		 struct report_order order, struct report_line *items, size_t count)
{
	struct ordering ordering = {report, lines, grouping, order};
	if (count)
		qsort_r(items, count, sizeof(*items), compare_lines, &ordering);
}

/* The parts are sorted all together, and each goes to its line in turn: the dearest first where lines are in the order of their keys. */
static int hand_out_parts(struct report *report, struct report_lines *lines, struct report_order order)
{
	struct report_grouping *parts = &report->groupings[GROUPS_PARTS], *shown = &report->groupings[GROUPS_SHOWN];
	struct report_line **line_of = os_allocate(shown->groups.count + (size_t)1, sizeof(struct report_line *));
	struct report_line *items = NULL;
	size_t count = 0;
	int error = line_of ? list_groups(report, parts, &items, &count) : -ENOMEM;
	if (order.column < 0)
		order = (struct report_order){.column = COLUMN_COST};
	for (size_t i = 0; i < lines->count && !error; i++)
		if (lines->items[i].group)
			line_of[table_number(&shown->groups, lines->items[i].group)] = &lines->items[i];
	if (!error)
		sort(report, lines, parts, order, items, count);
	for (size_t i = 0; i < count && !error; i++) {
		struct report_group key = *items[i].group;
		key.keys[shown->key_count] = 0;
		const struct report_group *group = table_get(&shown->groups, &key);
		struct report_line *line = group ? line_of[table_number(&shown->groups, group)] : NULL;
		if (!line)
			continue;
		struct report_line *grown = os_reallocate(line->parts, line->part_count + 1, sizeof(*line->parts));
		if (!grown) {
			error = -ENOMEM;
			break;
		}
		line->parts = grown;
		line->parts[line->part_count++] = items[i];
	}
	free(line_of);
	free(items);
	return error;
}

/* Put the lines from the first `top` on together. */
static void cut(struct report_lines *lines, size_t top)
{
	struct report_line rest = {0};
	if (!top || lines->count <= top)
		return;
	for (size_t i = top; i < lines->count; i++) {
		const struct report_group *group = lines->items[i].group;
		/* Parts of the sum of all, which did not overflow: if one does nevertheless, what is shown is wrapped. */
		(void)sum_add(&rest.rest.sum, &group->sum);
		for (int j = 0; j < 2; j++) {
			add(&rest.rest.timed_calls[j], group->timed_calls[j]);
			add(&rest.rest.timed_us[j], group->timed_us[j]);
		}
		if (i == top) {
			rest.rest.first_day = group->first_day;
			rest.rest.last_day = group->last_day;
		}
		note_day(&rest.rest, group->first_day);
		note_day(&rest.rest, group->last_day);
	}
	rest.rest_count = lines->count - top;
	lines->items[top] = rest;
	lines->count = top + 1;
}

int report_make_lines(struct report *report, struct report_lines *lines, struct report_order order, size_t top)
{
	struct report_grouping *all = &report->groupings[GROUPS_ALL], *shown = &report->groupings[GROUPS_SHOWN];
	*lines = (struct report_lines){0};
	if (all->groups.count) {
		lines->all.group = table_record(&all->groups, 0);
		find_quantiles(report, all, &lines->all);
	}
	int error = list_groups(report, shown, &lines->items, &lines->count);
	if (error)
		return error;
	sort(report, lines, shown, order, lines->items, lines->count);
	cut(lines, top);
	if (report->breakdown)
		error = hand_out_parts(report, lines, order);
	if (!error)
		error = report->error ? report->error : report->names->error;
	return error;
}

void report_lines_clear(struct report_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->items[i].parts);
	free(lines->items);
	*lines = (struct report_lines){0};
}

struct ul_text report_key_text(const struct report *report, const struct report_key *key, uint32_t value,
			       char out[REPORT_TEXT_BYTES])
{
	switch (key->kind) {
	case KEY_DAY:
	case KEY_WEEK:
		calendar_print_day(out, (int32_t)value);
		break;
	case KEY_MONTH:
		calendar_print_day(out,
				   calendar_day_of((struct calendar_date){(int32_t)value / 12, value % 12 + 1, 1}));
		out[strlen("YYYY-MM")] = '\0';
		break;
	case KEY_HOUR:
	case KEY_BLOCK:
		calendar_print_hour(out, (int32_t)value);
		break;
	case KEY_PROVIDER:
	case KEY_MODEL:
	case KEY_ATTRIBUTE:
		return names_text(report->names, value);
	}
	return (struct ul_text){out, (uint32_t)strlen(out)};
}
