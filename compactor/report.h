/*
 * What calls come to, filtered and grouped: the rows of `usagelog report`. Facts of days, and calls one by one, are added; then lines are
 * made of what was found. It must not know how lines are shown, nor where facts and calls are read.
 */
#ifndef USAGELOG_REPORT_H
#define USAGELOG_REPORT_H

#include "calendar.h"
#include "conf.h"
#include "facts.h"
#include "json.h"
#include "latency.h"

/* By what calls may be grouped and chosen. */
enum report_key_kind { KEY_DAY, KEY_WEEK, KEY_MONTH, KEY_HOUR, KEY_BLOCK, KEY_PROVIDER, KEY_MODEL, KEY_ATTRIBUTE };

struct report_key {
	enum report_key_kind kind;
	uint32_t attribute; /* of KEY_ATTRIBUTE: which one of the report's */
	const char *name;   /* in JSON, CSV and --by */
};

/* Four numbers are a group's key. One of them is kept for a breakdown. */
enum { REPORT_KEYS_MAX = 4, REPORT_ATTRIBUTES_MAX = 16, REPORT_FILTERS_MAX = 32 };

/* Calls whose key has a value like this one, in which * stands for any text. */
struct report_filter {
	struct report_key key;
	const char *pattern; /* NULL: any value, but it must have one */
};

/* Calls of one group. Its first 16 bytes are the table's key: days since 1970, of a week its Monday; months since year 0; quarters of an hour since
 * 1970, of blocks the first; names. */
struct report_group {
	uint32_t keys[REPORT_KEYS_MAX];
	struct ul_sum sum;
	int64_t timed_calls[2], timed_us[2]; /* calls with a latency, with a time to first token; their sums */
	int64_t seen_calls[2];               /* those in histograms */
	int64_t scanned_calls;               /* calls that were added one by one */
	int32_t first_day, last_day;
};

struct report_grouping {
	struct report_key keys[REPORT_KEYS_MAX];
	uint32_t key_count;
	bool by_time; /* opening balances that count in days are counted; else those that count by name */
	struct table groups;
	struct facts histograms; /* only these, with a group's number in place of the provider */
};

/* The groups shown; all of them as one; and parts of the groups, unless the report has no breakdown. */
enum { GROUPS_SHOWN, GROUPS_ALL, GROUPS_PARTS, GROUPINGS };

struct report {
	/* Set before report_open(). */
	struct names *names;
	bool raw_names;              /* providers are called as they were given */
	int32_t first_day, last_day; /* in the process's time zone */
	struct report_filter filters[REPORT_FILTERS_MAX];
	uint32_t filter_count;
	struct report_grouping groupings[GROUPINGS]; /* their keys */
	bool breakdown;
	bool sums_only; /* no quantiles are wanted */

	const char *attributes[REPORT_ATTRIBUTES_MAX];
	uint32_t attribute_count;
	struct table makers;   /* by provider and model */
	struct table readings; /* by dimensions */
	int32_t *blocks;       /* the first quarters of blocks, in order */
	size_t block_count;
	struct calendar calendar;
	struct calendar_hour hour;
	bool has_rows; /* rows were added, which tell how many calls have a latency */
	bool scanned;  /* calls were added one by one, to make histograms */
	int error;     /* -ENOMEM or -EOVERFLOW, for good */
};

/* A key by its name, as --by and --where take it: day, week, month, hour, block, provider, model, operation, error_type, service_tier,
 * session_id, or a key of the metadata. False: there are too many of them. `name` must last. */
bool report_find_key(struct report *report, const char *name, struct report_key *key);

/* Is it an attribute that stands beside the metadata? */
bool report_is_own_attribute(const struct report_key *key);

/* Ready to add. `report` is zeroed but for what is set before. report_close() in any case. */
void report_open(struct report *report);
void report_close(struct report *report);

/* What the keys and filters can be answered from. */
bool report_takes_rows(const struct report *report,
		       const struct ul_conf *conf);        /* rows of facts, if days are the log's */
bool report_takes_quarters(const struct report *report);   /* quarters of facts */
bool report_takes_histograms(const struct report *report); /* histograms of facts, if days are the log's */

/* Add a day's rows, with the histograms if they can be taken; or its quarters. 0 or `error`. */
int report_add_rows(struct report *report, const struct facts_parts *parts);
int report_add_quarters(struct report *report, const struct facts_parts *parts);

/* Is a quarter of an hour in the period? */
bool report_has_quarter(struct report *report, int32_t quarter);

/* One call, reversal or opening balance, as a row of its own. */
struct report_call {
	int64_t time_ns;
	const struct report_maker *maker;
	const struct report_reading *reading;
	struct ul_row row;
};
/* Add it, if it is wanted: all of it, or, unless `counted`, only what rows and quarters do not tell. False: it is not of the period. */
bool report_add_call(struct report *report, const struct report_call *call, bool counted);

/* Out of what the blocks are made, all quarters with calls, in order; malloc'd, and the report's from then on. */
void report_set_blocks(struct report *report, int32_t *quarters, size_t count);

/* Do keys need blocks? */
bool report_needs_blocks(const struct report *report);

/* What one attribute set says, and whether filters want such calls. */
struct report_reading {
	uint64_t dimensions;
	uint64_t zero;
	uint32_t values[REPORT_ATTRIBUTES_MAX]; /* names; NAME_EMPTY: none */
	bool known, wanted, failed;
};
/* The name of its service tier. */
uint32_t report_service_tier(const struct report_reading *reading);
void report_read(struct report *report, const char *text, size_t bytes, struct report_reading *reading);

/* What a provider and its model are called, and whether filters want them. */
struct report_maker {
	uint32_t provider, model;
	uint64_t zero;
	uint32_t shown_provider;
	bool known, wanted;
};
bool report_find_maker(struct report *report, uint32_t provider, uint32_t model, struct report_maker *maker);

/* A line: a group, and what is said of it. */
struct report_line {
	const struct report_group *group; /* NULL: the groups that are not shown, together */
	struct report_group rest;         /* what these come to, and how many there are */
	size_t rest_count;
	bool quantiles_known[2]; /* of latencies, of times to first token */
	int64_t quantiles_us[2][LATENCY_QUANTILES];
	struct report_line *parts;
	size_t part_count;
};

struct report_lines {
	struct report_line *items;
	size_t count;
	struct report_line all;
};

/* The figures of a line. */
enum report_column {
	COLUMN_CALLS,
	COLUMN_ERRORS,
	COLUMN_INPUT,
	COLUMN_CACHE_READ,
	COLUMN_CACHE_WRITE,
	COLUMN_OUTPUT,
	COLUMN_REASONING,
	COLUMN_TOKENS,
	COLUMN_COST,
	COLUMN_SHARE,
	COLUMN_P50,
	COLUMN_P95,
	COLUMN_P99,
	COLUMN_TTFT,
	REPORT_COLUMNS,
};
extern const char *const report_column_names[REPORT_COLUMNS];

/* Counts; pico-USD; of a share thousandths of a percent of all cost; us. False: it is not known. */
bool report_value(const struct report_lines *lines, const struct report_line *line, enum report_column column,
		  money_t *value);

/* The figures of a group. */
static inline const struct report_group *report_line_group(const struct report_line *line)
{
	return line->group ? line->group : &line->rest;
}

/* How lines are ordered: by a column, the most first, or by their keys, the least first; or the other way round. */
struct report_order {
	int column; /* -1: by the keys */
	bool reversed;
};

/* Make lines; no more than `top` (0: all), the others one line together. 0 or -ENOMEM. report_lines_clear() in any case. */
int report_make_lines(struct report *report, struct report_lines *lines, struct report_order order, size_t top);
void report_lines_clear(struct report_lines *lines);

/* How long a block is. */
enum { REPORT_BLOCK_QUARTERS = 20 };

/* The Monday that a day's week begins with. */
int32_t report_week_of(int32_t day);

/* How a group's key is written in JSON and CSV. No text: calls without a value. */
enum { REPORT_TEXT_BYTES = CALENDAR_TIME_BYTES };
struct ul_text report_key_text(const struct report *report, const struct report_key *key, uint32_t value,
			       char out[REPORT_TEXT_BYTES]);

#endif
