/* The containers of samples.h. Their numbers mean nothing, but add up: three calls, one of them an error, and an
 * opening balance. */
#include "samples.h"

#include <assert.h>
#include <string.h>

#include "seal.h"

const struct ul_id sample_log_id = {
	{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff},
};

enum {
	DAY = 20463, /* 2026-01-10 */
	QUARTER = DAY * 96,
};

/* In the order of their bytes, as section 2 wants them. */
enum {
	S_EMPTY,
	S_UNKNOWN,
	S_IDS,
	S_ANTHROPIC,
	S_CHAT,
	S_CLAUDE,
	S_GPT,
	S_OPENAI,
	S_PRICES,
	S_CHAT_ERROR,
	S_CHAT_ANN,
	S_CHAT_ONLY,
	S_NOTHING,
	S_COUNT,
};

static const char *const strings[S_COUNT] = {
	[S_EMPTY] = "",
	[S_UNKNOWN] = "(unknown)",
	[S_IDS] = "2.ids",
	[S_ANTHROPIC] = "anthropic",
	[S_CHAT] = "chat",
	[S_CLAUDE] = "claude-sonnet-5",
	[S_GPT] = "gpt-5",
	[S_OPENAI] = "openai",
	[S_PRICES] = "prices-2026-08.json",
	[S_CHAT_ERROR] = "{\"error_type\":\"429\",\"operation\":\"chat\"}",
	[S_CHAT_ANN] = "{\"metadata\":{\"user\":\"ann\"},\"operation\":\"chat\"}",
	[S_CHAT_ONLY] = "{\"operation\":\"chat\"}",
	[S_NOTHING] = "{}",
};

static const struct ul_fact_meta fact_meta = {.day = DAY, .generation = 3, .settings = 0x1122334455667788};

static const struct ul_row rows[] = {
	{.provider = S_UNKNOWN,
	 .model = S_UNKNOWN,
	 .dimensions = S_NOTHING,
	 .scope = 3,
	 .calls = 100,
	 .balance_tokens = 5000,
	 .cost_pico_usd = {1000000000000, 0}},
	{.provider = S_ANTHROPIC,
	 .model = S_CLAUDE,
	 .dimensions = S_CHAT_ERROR,
	 .price_class = UL_PRICE_NONE,
	 .calls = 1},
	{.provider = S_ANTHROPIC,
	 .model = S_CLAUDE,
	 .dimensions = S_CHAT_ANN,
	 .prompt_band = 5,
	 .calls = 1,
	 .tokens = {600000, 20, 30, 40, 50, 6},
	 .latency_calls = 1,
	 .latency_sum_us = 1500000,
	 .ttft_calls = 1,
	 .ttft_sum_us = 90,
	 .cost_pico_usd = {UINT64_C(0xfffffffffffffff6), -1}},
	{.provider = S_OPENAI,
	 .model = S_GPT,
	 .dimensions = S_CHAT_ANN,
	 .price_class = UL_PRICE_FOLDED,
	 .calls = 1,
	 .tokens = {1, 2, 3, 4, 5, 6},
	 .cost_pico_usd = {0, 1}},
};

static const struct ul_sum quarters[] = {
	{.number = QUARTER,
	 .first = S_UNKNOWN,
	 .second = S_UNKNOWN,
	 .calls = 100,
	 .balance_tokens = 5000,
	 .cost_pico_usd = {1000000000000, 0}},
	{.number = QUARTER + 40,
	 .first = S_ANTHROPIC,
	 .second = S_CLAUDE,
	 .calls = 2,
	 .errors = 1,
	 .tokens = {600000, 20, 30, 40, 50, 6},
	 .unpriced_calls = 1,
	 .cost_pico_usd = {UINT64_C(0xfffffffffffffff6), -1}},
	{.number = QUARTER + 40,
	 .first = S_OPENAI,
	 .second = S_GPT,
	 .calls = 1,
	 .tokens = {1, 2, 3, 4, 5, 6},
	 .cost_pico_usd = {0, 1}},
};

/* 90 us is bucket 90; 1,500,000 us: s = 20 - 6 = 14, 64 * 14 + (1500000 >> 14) = 987. */
static const struct ul_histogram histograms[] = {
	{.provider = S_ANTHROPIC,
	 .model = S_CLAUDE,
	 .operation = S_EMPTY,
	 .measure = UL_MEASURE_LATENCY,
	 .bucket_count = 1},
	{.provider = S_ANTHROPIC,
	 .model = S_CLAUDE,
	 .operation = S_CHAT,
	 .measure = UL_MEASURE_LATENCY,
	 .first_bucket = 1,
	 .bucket_count = 2},
	{.provider = S_ANTHROPIC,
	 .model = S_CLAUDE,
	 .operation = S_CHAT,
	 .measure = UL_MEASURE_TTFT,
	 .first_bucket = 3,
	 .bucket_count = 1},
};

static const struct ul_bucket buckets[] = {
	{.bucket = 987, .count = 1},
	{.bucket = 90, .count = 2},
	{.bucket = 987, .count = 1},
	{.bucket = 90, .count = 1},
};

static const struct ul_checkpoint_meta checkpoint_meta = {
	.generation = 7,
	.settings = 0x1122334455667788,
	.base_generation = 1,
	.newest_ns = 1768041126413623000,
};

static const struct ul_folded_segment segments[] = {
	{.id = {{1, 0x9b, 1}},
	 .size_bytes = 65536,
	 .calls = 100,
	 .first_run = 0,
	 .run_count = 2,
	 .state = UL_SEGMENT_PRUNED,
	 .attempted = 102,
	 .dropped = 2},
	{.id = {{1, 0x9b, 2}}, .size_bytes = 67108864, .first_run = 2, .run_count = 0},
	{.id = {{1, 0x9b, 3}}, .size_bytes = 65536, .calls = 3, .first_run = 2, .run_count = 2, .attempted = 3},
};

static const struct ul_run runs[] = {{256, 60}, {320, 50}, {256, 3}, {260, 4}};

static const struct ul_day days[] = {
	{.day = DAY - 1, .generation = 1, .size_bytes = 800, .checksum = 11, .calls = 97},
	{.day = DAY, .generation = 3, .size_bytes = 1600, .checksum = 12, .calls = 103},
};

static const struct ul_row total_rows[] = {
	{.provider = S_UNKNOWN, .model = S_UNKNOWN, .dimensions = S_NOTHING, .scope = 3, .calls = 100},
	{.provider = S_ANTHROPIC,
	 .model = S_CLAUDE,
	 .dimensions = S_CHAT_ERROR,
	 .price_class = UL_PRICE_NONE,
	 .calls = 1},
	{.provider = S_ANTHROPIC, .model = S_CLAUDE, .dimensions = S_CHAT_ONLY, .calls = 1},
	{.provider = S_OPENAI, .model = S_GPT, .dimensions = S_NOTHING, .calls = 98},
};

static const struct ul_sum day_sums[] = {
	{.number = DAY - 1, .calls = 97},
	{.number = DAY, .calls = 103, .errors = 1, .unpriced_calls = 1},
};

static const struct ul_sum recent_sums[] = {
	{.number = DAY - 1, .first = S_OPENAI, .second = S_GPT, .calls = 97},
	{.number = DAY, .first = S_UNKNOWN, .second = S_UNKNOWN, .calls = 100},
	{.number = DAY, .first = S_ANTHROPIC, .second = S_CLAUDE, .calls = 2, .errors = 1, .unpriced_calls = 1},
	{.number = DAY, .first = S_OPENAI, .second = S_GPT, .calls = 1},
};

static const struct ul_sum hour_sums[] = {
	{.number = QUARTER - 8, .calls = 97},
	{.number = QUARTER, .calls = 100},
	{.number = QUARTER + 40, .calls = 3, .errors = 1, .unpriced_calls = 1},
};

/* A value that is no string stands as its text. */
static const struct ul_sum attribute_sums[] = {
	{.first = S_CHAT, .second = S_CLAUDE, .calls = 2},
	{.first = S_CHAT, .second = S_CHAT_ANN, .calls = 1},
	{.first = S_PRICES, .second = S_CHAT, .calls = 1},
};

static const struct ul_last_call calls[] = {
	{.segment_id = {{1, 0x9b, 1}},
	 .slot = 258,
	 .provider = S_ANTHROPIC,
	 .model = S_CLAUDE,
	 .context = S_CHAT_ANN,
	 .call = {.time_ns = 1768041126413623000, .cost_pico_usd = -10, .input_tokens = 600000, .latency = 1500},
	 .flags = 4},
	{.segment_id = {{1, 0x9b, 3}},
	 .slot = 257,
	 .provider = S_OPENAI,
	 .model = S_GPT,
	 .context = S_NOTHING,
	 .call = {.time_ns = 1768041126413623000, .output_tokens = 5},
	 .flags = 3,
	 .call_id = {{9, 8, 7}}},
	{.segment_id = {{1, 0x9b, 3}},
	 .slot = 258,
	 .provider = S_OPENAI,
	 .model = S_GPT,
	 .context = S_NOTHING,
	 .call = {.time_ns = 1768041126413623000}},
	{.segment_id = {{1, 0x9b, 1}},
	 .slot = 257,
	 .provider = S_OPENAI,
	 .model = S_GPT,
	 .context = S_NOTHING,
	 .call = {.time_ns = 1768041126413624000}},
};

static const struct ul_named_file files[] = {
	{.kind = UL_FILE_IDS, .name = S_IDS, .size_bytes = 200, .checksum = 13},
	{.kind = UL_FILE_PRICES, .name = S_PRICES, .size_bytes = 300, .checksum = 14},
};

static const struct ul_id_meta id_meta = {.generation = 2};

static const struct ul_id_record ids[] = {
	{.id = {{0}}, .content = 5, .standing = 0},
	{.id = {{0, 1}}, .content = 6, .standing = 1},
	{.id = {{9, 8, 7}}, .content = 7, .standing = 1},
};

static const uint64_t extra_words[2] = {1, 2};

#define SECTION(number, array)                                                            \
	{                                                                                 \
		.type = (number), .record_bytes = sizeof((array)[0]), .records = (array), \
		.record_count = sizeof(array) / sizeof((array)[0])                        \
	}
#define META(meta)                                                                                           \
	{                                                                                                    \
		.type = UL_SECTION_META, .record_bytes = sizeof(meta), .records = &(meta), .record_count = 1 \
	}

static const struct ul_section_data fact_sections[] = {
	META(fact_meta),
	SECTION(UL_SECTION_ROWS, rows),
	SECTION(UL_SECTION_QUARTERS, quarters),
	SECTION(UL_SECTION_HISTOGRAMS, histograms),
	SECTION(UL_SECTION_BUCKETS, buckets),
};

static const struct ul_section_data checkpoint_sections[] = {
	META(checkpoint_meta),
	SECTION(UL_SECTION_ROWS, total_rows),
	SECTION(UL_SECTION_HISTOGRAMS, histograms),
	SECTION(UL_SECTION_BUCKETS, buckets),
	SECTION(UL_SECTION_SEGMENTS, segments),
	SECTION(UL_SECTION_RUNS, runs),
	SECTION(UL_SECTION_DAYS, days),
	SECTION(UL_SECTION_DAY_SUMS, day_sums),
	SECTION(UL_SECTION_CALLS, calls),
	SECTION(UL_SECTION_FILES, files),
	SECTION(UL_SECTION_RECENT_SUMS, recent_sums),
	SECTION(UL_SECTION_HOUR_SUMS, hour_sums),
	SECTION(UL_SECTION_ATTRIBUTE_SUMS, attribute_sums),
};

static const struct ul_section_data id_sections[] = {META(id_meta), SECTION(UL_SECTION_IDS, ids)};

static const struct ul_price_meta price_meta = {.generation = 4, .since = DAY, .replaces = 1, .source = 15};
static const struct ul_price prices[] = {
	{.name = S_CLAUDE,
	 .provider = S_ANTHROPIC,
	 .last_band = 1,
	 .pico_usd = {3000000, 300000, 3750000, 6000000, 15000000, 15000000}},
	{.name = S_CLAUDE,
	 .provider = S_ANTHROPIC,
	 .first_band = 2,
	 .last_band = 5,
	 .pico_usd = {6000000, 600000, 7500000, 12000000, 22500000, 22500000}},
	{.name = S_GPT, .provider = S_EMPTY, .last_band = 5, .pico_usd = {1250000, 125000, 0, 0, UL_PRICE_MAX, 1}},
	{.name = S_GPT,
	 .provider = S_EMPTY,
	 .service = UL_SERVICE_PRIORITY,
	 .last_band = 5,
	 .pico_usd = {2500000, 250000, 0, 0, 20000000, 20000000}},
};
static const struct ul_section_data price_sections[] = {META(price_meta), SECTION(UL_SECTION_PRICES, prices)};

/* Two parts; what is in them is not this layer's affair. */
static const struct ul_merged_meta merged_meta;
static const struct ul_part parts[] = {
	{.log_id = {{1}}, .time_zone = S_OPENAI, .offset = 0, .size_bytes = 8},
	{.log_id = {{2}}, .time_zone = S_CHAT, .offset = 8, .size_bytes = 16},
};
static const uint8_t part_bytes[24] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static const struct ul_section_data merged_sections[] = {META(merged_meta), SECTION(UL_SECTION_PARTS, parts),
							 SECTION(UL_SECTION_PART_BYTES, part_bytes)};

static const struct {
	const struct ul_section_data *sections;
	size_t count;
} kinds[UL_CONTAINER_KINDS] = {
	[UL_CONTAINER_FACTS] = {fact_sections, sizeof(fact_sections) / sizeof(fact_sections[0])},
	[UL_CONTAINER_CHECKPOINT] = {checkpoint_sections, sizeof(checkpoint_sections) / sizeof(checkpoint_sections[0])},
	[UL_CONTAINER_IDS] = {id_sections, sizeof(id_sections) / sizeof(id_sections[0])},
	[UL_CONTAINER_MERGED] = {merged_sections, sizeof(merged_sections) / sizeof(merged_sections[0])},
	[UL_CONTAINER_PRICES] = {price_sections, sizeof(price_sections) / sizeof(price_sections[0])},
};

/* The sections to write, kept in rising order of type. */
struct plan {
	struct ul_section_data sections[16];
	size_t count;
};

static void plan_add(struct plan *plan, struct ul_section_data section, uint32_t left_out)
{
	size_t at = plan->count;
	if (section.type == left_out)
		return;
	assert(plan->count < sizeof(plan->sections) / sizeof(plan->sections[0]));
	for (; at > 0 && plan->sections[at - 1].type > section.type; at--)
		plan->sections[at] = plan->sections[at - 1];
	plan->sections[at] = section;
	plan->count++;
}

/* The strings' two sections; `records` and `text` are where they are put. */
static void plan_strings(struct plan *plan, struct ul_string_record records[S_COUNT], char text[512], uint32_t left_out)
{
	uint32_t used = 0;
	for (size_t i = 0; i < S_COUNT; i++) {
		records[i] = (struct ul_string_record){used, (uint32_t)strlen(strings[i])};
		memcpy(text + used, strings[i], records[i].bytes);
		used += records[i].bytes;
	}
	plan_add(plan, (struct ul_section_data){UL_SECTION_STRINGS, sizeof(records[0]), records, S_COUNT}, left_out);
	plan_add(plan, (struct ul_section_data){UL_SECTION_STRING_BYTES, 1, text, used}, left_out);
}

void *sample_build(enum ul_container_kind kind, uint32_t extra, uint32_t left_out, size_t *size_bytes)
{
	struct plan plan = {.count = 0};
	struct ul_string_record records[S_COUNT];
	char text[512];
	for (size_t i = 0; i < kinds[kind].count; i++)
		plan_add(&plan, kinds[kind].sections[i], left_out);
	if (kind != UL_CONTAINER_IDS)
		plan_strings(&plan, records, text, left_out);
	if (extra)
		plan_add(&plan,
			 (struct ul_section_data){(enum ul_section_type)extra, sizeof(extra_words[0]), extra_words, 2},
			 0);
	static const struct ul_id no_log;
	return ul_container_build(kind, kind == UL_CONTAINER_MERGED ? &no_log : &sample_log_id, plan.sections,
				  plan.count, size_bytes);
}

void sample_seal(void *bytes, size_t size_bytes)
{
	struct ul_container_header *header = bytes;
	header->checksum = XXH3_64bits((const uint8_t *)bytes + 16, size_bytes - 16);
}

static struct ul_section *find_section(void *bytes, uint32_t type)
{
	struct ul_container_header *header = bytes;
	struct ul_section *sections = (struct ul_section *)(header + 1);
	for (uint32_t i = 0; i < header->section_count; i++)
		if (sections[i].type == type)
			return &sections[i];
	return NULL;
}

void *sample_record(void *bytes, uint32_t type, uint64_t index)
{
	const struct ul_section *section = find_section(bytes, type);
	assert(section && index < section->record_count);
	return (uint8_t *)bytes + section->offset + index * section->record_bytes;
}

void sample_spoil(void *bytes, size_t size_bytes, const struct sample_change *change)
{
	uint8_t *at = change->type ? sample_record(bytes, change->type, change->index) : bytes;
	assert(memcmp(at + change->offset, &change->value, change->bytes) != 0);
	memcpy(at + change->offset, &change->value, change->bytes);
	sample_seal(bytes, size_bytes);
}

void sample_swap(void *bytes, size_t size_bytes, uint32_t type, uint64_t index)
{
	const struct ul_section *section = find_section(bytes, type);
	uint8_t saved[256];
	uint8_t *first = sample_record(bytes, type, index);
	uint8_t *second = sample_record(bytes, type, index + 1);
	assert(section->record_bytes <= sizeof(saved));
	memcpy(saved, first, section->record_bytes);
	memcpy(first, second, section->record_bytes);
	memcpy(second, saved, section->record_bytes);
	sample_seal(bytes, size_bytes);
}

#define FIELD(structure, field) offsetof(struct structure, field), sizeof(((struct structure *)NULL)->field)
#define FIRST_SECTION(field) (uint32_t)(sizeof(struct ul_container_header) + offsetof(struct ul_section, field))

const struct sample_change sample_changes[] = {
	/* The frame. */
	{"another magic", UL_CONTAINER_FACTS, 0, 0, 2, 1, 'X'},
	{"version 0", UL_CONTAINER_FACTS, 0, 0, FIELD(ul_container_header, version), 0},
	{"another size", UL_CONTAINER_FACTS, 0, 0, FIELD(ul_container_header, size_bytes), 1600},
	{"no sections", UL_CONTAINER_FACTS, 0, 0, FIELD(ul_container_header, section_count), 0},
	{"65 sections", UL_CONTAINER_FACTS, 0, 0, FIELD(ul_container_header, section_count), 65},
	{"more sections than bytes", UL_CONTAINER_IDS, 0, 0, FIELD(ul_container_header, section_count), 64},
	{"a section less than the file has", UL_CONTAINER_FACTS, 0, 0, FIELD(ul_container_header, section_count), 6},
	{"header's zero is not", UL_CONTAINER_FACTS, 0, 0, FIELD(ul_container_header, zero), 1},
	{"types do not rise", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(type), 4, 2},
	{"no meta", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(type), 4, 0},
	{"records of no bytes", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(record_bytes), 4, 0},
	{"meta of 64 records of a byte", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(record_bytes), 12, 1},
	{"a section begins before the table's end", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(offset), 8, 280},
	{"a section begins beyond the file", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(offset), 8, UINT64_C(1) << 63},
	{"so many records that their size wraps", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(record_count), 8,
	 (UINT64_C(1) << 58) + 1},
	{"two metas", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(record_count), 8, 2},
	{"section's zero is not", UL_CONTAINER_FACTS, 0, 0, FIRST_SECTION(zero), 8, 1},
	/* The strings. */
	{"strings overlap", UL_CONTAINER_FACTS, UL_SECTION_STRINGS, 2, FIELD(ul_string_record, offset), 8},
	{"a gap before the first string", UL_CONTAINER_FACTS, UL_SECTION_STRINGS, 0, FIELD(ul_string_record, offset),
	 1},
	{"a string beyond the bytes", UL_CONTAINER_FACTS, UL_SECTION_STRINGS, 12, FIELD(ul_string_record, bytes), 3},
	{"bytes that no string has", UL_CONTAINER_FACTS, UL_SECTION_STRINGS, 12, FIELD(ul_string_record, bytes), 1},
	{"a string of 4 GiB", UL_CONTAINER_FACTS, UL_SECTION_STRINGS, 5, FIELD(ul_string_record, bytes), UINT32_MAX},
	{"strings do not rise", UL_CONTAINER_FACTS, UL_SECTION_STRING_BYTES, 0, 0, 1, 'z'},
	{"a string that is prefix of the one before", UL_CONTAINER_FACTS, UL_SECTION_STRINGS, 0,
	 FIELD(ul_string_record, bytes), 9},
	/* Facts. */
	{"fact meta's end is not zero", UL_CONTAINER_FACTS, UL_SECTION_META, 0, 63, 1, 1},
	{"provider's index out of range", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 3, FIELD(ul_row, provider), 13},
	{"model's index out of range", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 3, FIELD(ul_row, model), UINT32_MAX},
	{"dimensions' index out of range", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 3, FIELD(ul_row, dimensions), 13},
	{"provider is empty", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 0, FIELD(ul_row, provider), 0},
	{"dimensions are no context", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 3, FIELD(ul_row, dimensions), 3},
	{"price class 3", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 3, FIELD(ul_row, price_class), 3},
	{"prompt band 6", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 2, FIELD(ul_row, prompt_band), 6},
	{"scope 4", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 0, FIELD(ul_row, scope), 4},
	{"scope 256", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 0, FIELD(ul_row, scope), 256},
	{"an opening balance with a prompt band", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 0, FIELD(ul_row, prompt_band),
	 1},
	{"a row twice", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 2, 8, 6, S_CHAT_ERROR | (uint64_t)UL_PRICE_NONE << 32},
	{"quarter's provider out of range", UL_CONTAINER_FACTS, UL_SECTION_QUARTERS, 2, FIELD(ul_sum, first), 13},
	{"quarter's model out of range", UL_CONTAINER_FACTS, UL_SECTION_QUARTERS, 2, FIELD(ul_sum, second), 13},
	{"quarter's price key without a band", UL_CONTAINER_FACTS, UL_SECTION_QUARTERS, 1, FIELD(ul_sum, price_key),
	 S_CHAT},
	{"quarter's price key of band 6", UL_CONTAINER_FACTS, UL_SECTION_QUARTERS, 1, FIELD(ul_sum, price_key),
	 UINT32_C(7) << 28},
	{"quarter's service tier out of range", UL_CONTAINER_FACTS, UL_SECTION_QUARTERS, 1, FIELD(ul_sum, price_key),
	 UINT32_C(1) << 28 | 13},
	{"a quarter twice", UL_CONTAINER_FACTS, UL_SECTION_QUARTERS, 2, 4, 8, S_ANTHROPIC | (uint64_t)S_CLAUDE << 32},
	{"quarters fall", UL_CONTAINER_FACTS, UL_SECTION_QUARTERS, 2, FIELD(ul_sum, number), QUARTER},
	{"a quarter before 1970 comes last", UL_CONTAINER_FACTS, UL_SECTION_QUARTERS, 2, FIELD(ul_sum, number),
	 UINT32_MAX},
	{"histogram's provider out of range", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 2,
	 FIELD(ul_histogram, provider), 13},
	{"histogram's model out of range", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 2, FIELD(ul_histogram, model),
	 13},
	{"histogram's operation out of range", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 2,
	 FIELD(ul_histogram, operation), 13},
	{"measure 3", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 2, FIELD(ul_histogram, measure), 3},
	{"measure 0", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 0, FIELD(ul_histogram, measure), 0},
	{"a histogram twice", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 2, FIELD(ul_histogram, measure), 1},
	{"histograms share a bucket", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 1, FIELD(ul_histogram, first_bucket),
	 0},
	{"a bucket that no histogram has", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 2,
	 FIELD(ul_histogram, bucket_count), 0},
	{"a bucket beyond the last", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 2, FIELD(ul_histogram, bucket_count),
	 2},
	{"2^32-1 buckets", UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS, 0, FIELD(ul_histogram, bucket_count), UINT32_MAX},
	{"buckets do not rise", UL_CONTAINER_FACTS, UL_SECTION_BUCKETS, 2, FIELD(ul_bucket, bucket), 90},
	{"bucket of no value", UL_CONTAINER_FACTS, UL_SECTION_BUCKETS, 2, FIELD(ul_bucket, bucket), 3776},
	{"bucket's zero is not", UL_CONTAINER_FACTS, UL_SECTION_BUCKETS, 0, FIELD(ul_bucket, zero), 1},
	/* Checkpoints. */
	{"checkpoint meta's end is not zero", UL_CONTAINER_CHECKPOINT, UL_SECTION_META, 0, 32, 1, 1},
	{"a segment twice", UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS, 1, 2, 1, 1},
	{"unknown state", UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS, 0, FIELD(ul_folded_segment, state), 2},
	{"segment's zero is not", UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS, 0, FIELD(ul_folded_segment, zero), 1},
	{"segment's end is not zero", UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS, 2, 79, 1, 1},
	{"segments share a run", UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS, 2, FIELD(ul_folded_segment, first_run),
	 1},
	{"a run beyond the last", UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS, 2, FIELD(ul_folded_segment, run_count),
	 3},
	{"a run that no segment has", UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS, 2,
	 FIELD(ul_folded_segment, run_count), 1},
	{"an empty run", UL_CONTAINER_CHECKPOINT, UL_SECTION_RUNS, 1, FIELD(ul_run, slot_count), 0},
	{"a run from slot 0", UL_CONTAINER_CHECKPOINT, UL_SECTION_RUNS, 0, FIELD(ul_run, first_slot), 0},
	{"runs touch", UL_CONTAINER_CHECKPOINT, UL_SECTION_RUNS, 0, FIELD(ul_run, slot_count), 64},
	{"runs overlap", UL_CONTAINER_CHECKPOINT, UL_SECTION_RUNS, 1, FIELD(ul_run, first_slot), 300},
	{"a run beyond 2^28", UL_CONTAINER_CHECKPOINT, UL_SECTION_RUNS, 3, FIELD(ul_run, slot_count), (1 << 28) - 259},
	{"a run whose end wraps", UL_CONTAINER_CHECKPOINT, UL_SECTION_RUNS, 3, FIELD(ul_run, slot_count), UINT32_MAX},
	{"a day twice", UL_CONTAINER_CHECKPOINT, UL_SECTION_DAYS, 1, FIELD(ul_day, day), DAY - 1},
	{"totals' rows fall", UL_CONTAINER_CHECKPOINT, UL_SECTION_ROWS, 3, FIELD(ul_row, provider), S_UNKNOWN},
	{"totals' row with a prompt band", UL_CONTAINER_CHECKPOINT, UL_SECTION_ROWS, 1, FIELD(ul_row, prompt_band), 1},
	{"totals' model out of range", UL_CONTAINER_CHECKPOINT, UL_SECTION_ROWS, 3, FIELD(ul_row, model), 13},
	{"totals' dimensions are no context", UL_CONTAINER_CHECKPOINT, UL_SECTION_ROWS, 3, FIELD(ul_row, dimensions),
	 3},
	{"totals' histogram of measure 3", UL_CONTAINER_CHECKPOINT, UL_SECTION_HISTOGRAMS, 2,
	 FIELD(ul_histogram, measure), 3},
	{"totals' buckets do not rise", UL_CONTAINER_CHECKPOINT, UL_SECTION_BUCKETS, 2, FIELD(ul_bucket, bucket), 90},
	{"a day's sum twice", UL_CONTAINER_CHECKPOINT, UL_SECTION_DAY_SUMS, 1, FIELD(ul_sum, number), DAY - 1},
	{"a day's sum with a name", UL_CONTAINER_CHECKPOINT, UL_SECTION_DAY_SUMS, 1, FIELD(ul_sum, first), S_GPT},
	{"a day's sum with a second name", UL_CONTAINER_CHECKPOINT, UL_SECTION_DAY_SUMS, 0, FIELD(ul_sum, second),
	 S_GPT},
	{"a day's sum with a price key", UL_CONTAINER_CHECKPOINT, UL_SECTION_DAY_SUMS, 0, FIELD(ul_sum, price_key),
	 UINT32_C(1) << 28},
	{"a day's sum whose name is out of range", UL_CONTAINER_CHECKPOINT, UL_SECTION_DAY_SUMS, 0,
	 FIELD(ul_sum, first), 13},
	{"a model's sum twice", UL_CONTAINER_CHECKPOINT, UL_SECTION_RECENT_SUMS, 3, 4, 8,
	 S_ANTHROPIC | (uint64_t)S_CLAUDE << 32},
	{"a model's sum without a provider", UL_CONTAINER_CHECKPOINT, UL_SECTION_RECENT_SUMS, 0, FIELD(ul_sum, first),
	 S_EMPTY},
	{"a model's sum without a model", UL_CONTAINER_CHECKPOINT, UL_SECTION_RECENT_SUMS, 0, FIELD(ul_sum, second),
	 S_EMPTY},
	{"a model's sum whose model is out of range", UL_CONTAINER_CHECKPOINT, UL_SECTION_RECENT_SUMS, 3,
	 FIELD(ul_sum, second), 13},
	{"models' sums fall", UL_CONTAINER_CHECKPOINT, UL_SECTION_RECENT_SUMS, 3, FIELD(ul_sum, number), DAY - 1},
	{"an hour with a name", UL_CONTAINER_CHECKPOINT, UL_SECTION_HOUR_SUMS, 2, FIELD(ul_sum, second), S_CHAT},
	{"an hour twice", UL_CONTAINER_CHECKPOINT, UL_SECTION_HOUR_SUMS, 1, FIELD(ul_sum, number), QUARTER - 8},
	{"an hour whose zero is not", UL_CONTAINER_CHECKPOINT, UL_SECTION_HOUR_SUMS, 2, FIELD(ul_sum, price_key), 1},
	{"an hour with a price key", UL_CONTAINER_CHECKPOINT, UL_SECTION_HOUR_SUMS, 2, FIELD(ul_sum, price_key),
	 UINT32_C(1) << 28},
	{"an attribute's sum with a number", UL_CONTAINER_CHECKPOINT, UL_SECTION_ATTRIBUTE_SUMS, 2,
	 FIELD(ul_sum, number), 1},
	{"an attribute without a key", UL_CONTAINER_CHECKPOINT, UL_SECTION_ATTRIBUTE_SUMS, 0, FIELD(ul_sum, first),
	 S_EMPTY},
	{"an attribute without a value", UL_CONTAINER_CHECKPOINT, UL_SECTION_ATTRIBUTE_SUMS, 0, FIELD(ul_sum, second),
	 S_EMPTY},
	{"an attribute twice", UL_CONTAINER_CHECKPOINT, UL_SECTION_ATTRIBUTE_SUMS, 1, FIELD(ul_sum, second), S_CLAUDE},
	{"attribute's value out of range", UL_CONTAINER_CHECKPOINT, UL_SECTION_ATTRIBUTE_SUMS, 2, FIELD(ul_sum, second),
	 13},
	{"call's time falls", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 3, FIELD(ul_last_call, call.time_ns), 0},
	{"calls' segments fall", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 0, 2, 1, 4},
	{"calls' slots fall", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 1, FIELD(ul_last_call, slot), 259},
	{"a call twice", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, FIELD(ul_last_call, slot), 257},
	{"a call at slot 0", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 0, FIELD(ul_last_call, slot), 0},
	{"a slot beyond 2^28", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, FIELD(ul_last_call, slot), 1 << 28},
	{"call's provider out of range", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, FIELD(ul_last_call, provider),
	 13},
	{"call's model out of range", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, FIELD(ul_last_call, model), 13},
	{"call's context out of range", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, FIELD(ul_last_call, context), 13},
	{"call's context is none", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, FIELD(ul_last_call, context), S_GPT},
	{"reserved flag of a call", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, FIELD(ul_last_call, flags), 8},
	{"a cost of a call that was not priced", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2,
	 FIELD(ul_last_call, priced_pico_usd), 1},
	{"a call that was priced twice over", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 3, FIELD(ul_last_call, priced),
	 2},
	{"a call that was priced, though its cost was given", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 0,
	 FIELD(ul_last_call, priced), 1},
	{"file of kind 0", UL_CONTAINER_CHECKPOINT, UL_SECTION_FILES, 0, FIELD(ul_named_file, kind), 0},
	{"file of kind 3", UL_CONTAINER_CHECKPOINT, UL_SECTION_FILES, 1, FIELD(ul_named_file, kind), 3},
	{"file's name out of range", UL_CONTAINER_CHECKPOINT, UL_SECTION_FILES, 1, FIELD(ul_named_file, name), 13},
	{"an id set that stands from a day on", UL_CONTAINER_CHECKPOINT, UL_SECTION_FILES, 0,
	 FIELD(ul_named_file, since), 1},
	{"file's zero is not", UL_CONTAINER_CHECKPOINT, UL_SECTION_FILES, 1, FIELD(ul_named_file, zero), 1},
	/* Id sets. */
	{"id meta's end is not zero", UL_CONTAINER_IDS, UL_SECTION_META, 0, 8, 1, 1},
	{"an id twice", UL_CONTAINER_IDS, UL_SECTION_IDS, 1, 1, 1, 0},
	{"a merged file of one log", UL_CONTAINER_MERGED, 0, 0, 32, 1, 1},
	{"a merged meta that is not zero", UL_CONTAINER_MERGED, UL_SECTION_META, 0, 5, 1, 1},
	{"parts fall", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 0, 0, 1, 3},
	{"two parts of one log", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 0, 0, 1, 2},
	{"a part's zone beyond the strings", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 0, FIELD(ul_part, time_zone),
	 S_COUNT},
	{"a part's zone without a name", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 0, FIELD(ul_part, time_zone), 0},
	{"a part's zero", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 1, FIELD(ul_part, zero), 1},
	{"a part's zeros", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 1, offsetof(struct ul_part, zeros) + 23, 1, 1},
	{"a gap before a part", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 0, FIELD(ul_part, offset), 8},
	{"parts overlap", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 1, FIELD(ul_part, offset), 0},
	{"an empty part", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 1, FIELD(ul_part, size_bytes), 0},
	{"a part of odd size", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 1, FIELD(ul_part, size_bytes), 15},
	{"a part beyond the bytes", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 1, FIELD(ul_part, size_bytes), 24},
	{"bytes that no part has", UL_CONTAINER_MERGED, UL_SECTION_PARTS, 1, FIELD(ul_part, size_bytes), 8},
	{"price meta's end is not zero", UL_CONTAINER_PRICES, UL_SECTION_META, 0, 24, 1, 1},
	{"a table that replaces twice", UL_CONTAINER_PRICES, UL_SECTION_META, 0, FIELD(ul_price_meta, replaces), 2},
	{"price's name out of range", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 3, FIELD(ul_price, name), S_COUNT},
	{"price's name is empty", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 0, FIELD(ul_price, name), S_EMPTY},
	{"price's provider out of range", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 3, FIELD(ul_price, provider),
	 S_COUNT},
	{"a model of two providers", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 3, FIELD(ul_price, provider), S_OPENAI},
	{"service 4", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 3, FIELD(ul_price, service), 4},
	{"price for band 6", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 3, FIELD(ul_price, last_band), 6},
	{"price for no band", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 0, FIELD(ul_price, first_band), 2},
	{"bands overlap", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 0, FIELD(ul_price, last_band), 2},
	{"a price twice", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 3, FIELD(ul_price, service), 0},
	{"price's zeros", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 1, 15, 1, 1},
	{"a price below 0", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 1, FIELD(ul_price, pico_usd[5]), UINT64_MAX},
	{"a price beyond 2^53", UL_CONTAINER_PRICES, UL_SECTION_PRICES, 2, FIELD(ul_price, pico_usd[4]),
	 UL_PRICE_MAX + 1},
	{"ids fall", UL_CONTAINER_IDS, UL_SECTION_IDS, 0, 0, 1, 3},
	{"standing 2", UL_CONTAINER_IDS, UL_SECTION_IDS, 1, FIELD(ul_id_record, standing), 2},
	{"standing -1", UL_CONTAINER_IDS, UL_SECTION_IDS, 1, FIELD(ul_id_record, standing), UINT64_MAX},
};
const size_t sample_change_count = sizeof(sample_changes) / sizeof(sample_changes[0]);
