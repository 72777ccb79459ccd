/* Containers: what is built is valid, what breaks any rule of FORMAT.md 6 to 9 is not, and nothing hostile is
 * trusted. */
#include "support.h"

#include "samples.h"

/* Open a copy that ends where the file ends, so that the sanitizer sees a read beyond it. */
static enum ul_container_state open_copy(enum ul_container_kind kind, const void *bytes, size_t size_bytes)
{
	struct ul_container container = {0};
	char *exact = test_exact_copy(bytes, size_bytes);
	enum ul_container_state state = ul_container_open(&container, kind, exact, size_bytes,
							  kind == UL_CONTAINER_MERGED ? NULL : &sample_log_id);
	assert_true((container.bytes == NULL) == (state == UL_CONTAINER_DAMAGED));
	assert_true((container.sections != NULL) == (state == UL_CONTAINER_VALID));
	free(exact);
	return state;
}

static void samples_are_valid(void **state)
{
	(void)state;
	for (enum ul_container_kind kind = 0; kind < UL_CONTAINER_KINDS; kind++) {
		size_t bytes;
		void *sample = sample_build(kind, 0, 0, &bytes);
		assert_int_equal(bytes % 8, 0);
		assert_int_equal(open_copy(kind, sample, bytes), UL_CONTAINER_VALID);
		for (enum ul_container_kind other = 0; other < UL_CONTAINER_KINDS; other++)
			if (other != kind)
				assert_int_equal(open_copy(other, sample, bytes), UL_CONTAINER_DAMAGED);
		free(sample);
	}
}

static void reads_what_was_written(void **state)
{
	struct ul_container container;
	uint64_t count;
	size_t bytes;
	void *sample = sample_build(UL_CONTAINER_FACTS, 0, 0, &bytes);
	(void)state;
	assert_int_equal(ul_container_open(&container, UL_CONTAINER_FACTS, sample, bytes, NULL), UL_CONTAINER_VALID);
	const struct ul_row *rows = ul_container_records(&container, UL_SECTION_ROWS, &count);
	assert_int_equal(count, 4);
	assert_int_equal(rows[2].tokens[UL_INPUT], 600000);
	assert_int_equal(rows[2].cost_pico_usd.high, -1);
	struct ul_text model = ul_container_string(&container, rows[2].model);
	assert_int_equal(model.bytes, strlen("claude-sonnet-5"));
	assert_memory_equal(model.text, "claude-sonnet-5", model.bytes);
	assert_int_equal(ul_container_string(&container, 0).bytes, 0);
	assert_null(ul_container_records(&container, UL_SECTION_DAYS, &count));
	assert_int_equal(count, 0);
	free(sample);
}

static void another_logs_container_is_refused(void **state)
{
	struct ul_container container;
	struct ul_id other = sample_log_id;
	size_t bytes;
	void *sample = sample_build(UL_CONTAINER_IDS, 0, 0, &bytes);
	(void)state;
	other.bytes[15] ^= 1;
	assert_int_equal(ul_container_open(&container, UL_CONTAINER_IDS, sample, bytes, &other), UL_CONTAINER_DAMAGED);
	assert_int_equal(ul_container_open(&container, UL_CONTAINER_IDS, sample, bytes, NULL), UL_CONTAINER_VALID);
	free(sample);
}

static void every_bit_counts(void **state)
{
	(void)state;
	for (enum ul_container_kind kind = 0; kind < UL_CONTAINER_KINDS; kind++) {
		size_t bytes;
		uint8_t *sample = sample_build(kind, 0, 0, &bytes);
		struct ul_container container;
		for (size_t bit = 0; bit < bytes * 8; bit++) {
			sample[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(ul_container_open(&container, kind, sample, bytes, NULL),
					 UL_CONTAINER_DAMAGED);
			sample[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		free(sample);
	}
}

static void a_part_is_refused(void **state)
{
	size_t bytes;
	uint8_t *sample = sample_build(UL_CONTAINER_CHECKPOINT, 0, 0, &bytes);
	(void)state;
	for (size_t shorter = 0; shorter < bytes; shorter++)
		assert_int_equal(open_copy(UL_CONTAINER_CHECKPOINT, sample, shorter), UL_CONTAINER_DAMAGED);
	/* Even if it says that it is whole. */
	for (size_t shorter = sizeof(struct ul_container_header); shorter < bytes; shorter++) {
		((struct ul_container_header *)sample)->size_bytes = shorter;
		sample_seal(sample, shorter);
		assert_int_equal(open_copy(UL_CONTAINER_CHECKPOINT, sample, shorter), UL_CONTAINER_DAMAGED);
	}
	free(sample);
}

static void every_rule_is_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_change_count; i++) {
		const struct sample_change *change = &sample_changes[i];
		size_t bytes;
		void *sample = sample_build(change->kind, 0, 0, &bytes);
		sample_spoil(sample, bytes, change);
		if (open_copy(change->kind, sample, bytes) != UL_CONTAINER_DAMAGED)
			fail_msg("taken: %s", change->why);
		free(sample);
	}
}

static void every_order_is_checked(void **state)
{
	static const struct {
		enum ul_container_kind kind;
		uint32_t type;
	} sections[] = {
		{UL_CONTAINER_FACTS, UL_SECTION_STRINGS},
		{UL_CONTAINER_FACTS, UL_SECTION_ROWS},
		{UL_CONTAINER_FACTS, UL_SECTION_QUARTERS},
		{UL_CONTAINER_FACTS, UL_SECTION_HISTOGRAMS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_RUNS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_DAYS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_ROWS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_HISTOGRAMS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_DAY_SUMS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_RECENT_SUMS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_HOUR_SUMS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_ATTRIBUTE_SUMS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_FILES},
		{UL_CONTAINER_IDS, UL_SECTION_IDS},
		{UL_CONTAINER_PRICES, UL_SECTION_PRICES},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		for (uint64_t index = 0; index < 3; index++) {
			size_t bytes;
			void *sample = sample_build(sections[i].kind, 0, 0, &bytes);
			struct ul_container container;
			uint64_t count;
			ul_container_open(&container, sections[i].kind, sample, bytes, NULL);
			ul_container_records(&container, (enum ul_section_type)sections[i].type, &count);
			/* The second segment's runs may come in any place but before its own first. */
			bool other_segment = sections[i].type == UL_SECTION_RUNS && index == 1;
			if (index + 1 < count && !other_segment) {
				sample_swap(sample, bytes, sections[i].type, index);
				if (open_copy(sections[i].kind, sample, bytes) != UL_CONTAINER_DAMAGED)
					fail_msg("section %u, records %d and the next", sections[i].type, (int)index);
			}
			free(sample);
		}
	}
}

static void required_sections_are_required(void **state)
{
	static const struct {
		enum ul_container_kind kind;
		uint32_t first;
		uint32_t last;
	} ranges[] = {
		{UL_CONTAINER_FACTS, UL_SECTION_META, UL_SECTION_BUCKETS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_META, UL_SECTION_STRING_BYTES},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_ROWS, UL_SECTION_ROWS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_HISTOGRAMS, UL_SECTION_BUCKETS},
		{UL_CONTAINER_CHECKPOINT, UL_SECTION_SEGMENTS, UL_SECTION_ATTRIBUTE_SUMS},
		{UL_CONTAINER_IDS, UL_SECTION_META, UL_SECTION_META},
		{UL_CONTAINER_IDS, UL_SECTION_IDS, UL_SECTION_IDS},
		{UL_CONTAINER_PRICES, UL_SECTION_META, UL_SECTION_STRING_BYTES},
		{UL_CONTAINER_PRICES, UL_SECTION_PRICES, UL_SECTION_PRICES},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(ranges); i++) {
		for (uint32_t type = ranges[i].first; type <= ranges[i].last; type++) {
			size_t bytes;
			void *sample = sample_build(ranges[i].kind, 0, type, &bytes);
			assert_int_equal(open_copy(ranges[i].kind, sample, bytes), UL_CONTAINER_DAMAGED);
			free(sample);
		}
	}
}

static void newer_ones_are_told_apart(void **state)
{
	(void)state;
	for (enum ul_container_kind kind = 0; kind < UL_CONTAINER_KINDS; kind++) {
		static const struct {
			uint32_t extra;
			enum ul_container_state state;
		} cases[] = {{8, UL_CONTAINER_VALID},
			     {999, UL_CONTAINER_VALID},
			     {1000, UL_CONTAINER_NEWER},
			     {UINT32_MAX, UL_CONTAINER_NEWER}};
		size_t bytes;
		for (size_t i = 0; i < COUNT_OF(cases); i++) {
			void *sample = sample_build(kind, cases[i].extra, 0, &bytes);
			assert_int_equal(open_copy(kind, sample, bytes), cases[i].state);
			free(sample);
		}
		struct ul_container_header *header = sample_build(kind, 0, 0, &bytes);
		header->flags_compatible = UINT32_MAX;
		header->flags_read_compatible = UINT32_MAX;
		sample_seal(header, bytes);
		assert_int_equal(open_copy(kind, header, bytes), UL_CONTAINER_VALID);
		header->flags_incompatible = 1U << 31;
		sample_seal(header, bytes);
		assert_int_equal(open_copy(kind, header, bytes), UL_CONTAINER_NEWER);
		header->flags_incompatible = 0;
		header->version = 2;
		/* A newer version may lay out all behind the header otherwise. */
		header->section_count = UINT32_MAX;
		sample_seal(header, bytes);
		assert_int_equal(open_copy(kind, header, bytes), UL_CONTAINER_NEWER);
		free(header);
	}
}

static void zeros_between_sections_are_checked(void **state)
{
	size_t bytes;
	uint8_t *sample = sample_build(UL_CONTAINER_FACTS, 0, 0, &bytes);
	const struct ul_section *sections = (const void *)(sample + sizeof(struct ul_container_header));
	uint64_t end = sections[2].offset + sections[2].record_count;
	(void)state;
	assert_int_equal(sections[2].type, UL_SECTION_STRING_BYTES);
	assert_true(end % 8 != 0);
	sample[end] = 1;
	sample_seal(sample, bytes);
	assert_int_equal(open_copy(UL_CONTAINER_FACTS, sample, bytes), UL_CONTAINER_DAMAGED);
	free(sample);
}

/* Damage under a right checksum, thousands of times: whatever is said, nothing is read out of bounds. */
static void sealed_damage_does_no_harm(void **state)
{
	uint64_t seed = 7;
	size_t damaged = 0;
	(void)state;
	for (int round = 0; round < 30000; round++) {
		enum ul_container_kind kind = (enum ul_container_kind)(round % UL_CONTAINER_KINDS);
		size_t bytes;
		uint8_t *sample = sample_build(kind, 0, 0, &bytes);
		size_t changes = 1 + test_random(&seed) % 3;
		for (size_t i = 0; i < changes; i++) {
			size_t at = 56 + test_random(&seed) % (test_random(&seed) % 2 ? 256 : bytes - 56);
			sample[at < bytes ? at : 60] = (uint8_t)(test_random(&seed) % 3 ? test_random(&seed) : 0xff);
		}
		sample_seal(sample, bytes);
		damaged += open_copy(kind, sample, bytes) == UL_CONTAINER_DAMAGED;
		free(sample);
	}
	assert_true(damaged > 10000);
}

/* Build an id set of a sound meta and set, and of these sections more, and say what is found. */
static enum ul_container_state open_ids_with(const struct ul_section_data *more, size_t more_count, uint64_t meta_count)
{
	const struct ul_id_meta metas[2] = {{.generation = 1}, {.generation = 1}};
	struct ul_section_data sections[UL_SECTIONS_MAX] = {{UL_SECTION_META, sizeof(metas[0]), metas, meta_count}};
	size_t count = 1;
	size_t bytes;
	bool placed = false;
	for (size_t i = 0; i < more_count; i++) {
		if (!placed && more[i].type > UL_SECTION_IDS) {
			sections[count++] =
				(struct ul_section_data){UL_SECTION_IDS, sizeof(struct ul_id_record), NULL, 0};
			placed = true;
		}
		sections[count++] = more[i];
	}
	if (!placed)
		sections[count++] = (struct ul_section_data){UL_SECTION_IDS, sizeof(struct ul_id_record), NULL, 0};
	void *built = ul_container_build(UL_CONTAINER_IDS, &sample_log_id, sections, count, &bytes);
	assert_non_null(built);
	enum ul_container_state state = open_copy(UL_CONTAINER_IDS, built, bytes);
	free(built);
	return state;
}

static void an_id_set_may_have_strings_or_none(void **state)
{
	const struct ul_string_record records[2] = {{0, 1}, {1, 0}};
	const struct ul_section_data strings = {UL_SECTION_STRINGS, sizeof(records[0]), records, 1};
	const struct ul_section_data text = {UL_SECTION_STRING_BYTES, 1, "a", 1};
	(void)state;
	assert_int_equal(open_ids_with(NULL, 0, 1), UL_CONTAINER_VALID);
	assert_int_equal(open_ids_with((const struct ul_section_data[]){strings, text}, 2, 1), UL_CONTAINER_VALID);
	assert_int_equal(open_ids_with(&strings, 1, 1), UL_CONTAINER_DAMAGED);
	assert_int_equal(open_ids_with(&text, 1, 1), UL_CONTAINER_DAMAGED);
	struct ul_section_data wide = strings;
	wide.record_bytes = sizeof(records);
	assert_int_equal(open_ids_with((const struct ul_section_data[]){wide, text}, 2, 1), UL_CONTAINER_DAMAGED);
	wide = text;
	wide.record_bytes = 2;
	wide.records = "ab";
	assert_int_equal(open_ids_with((const struct ul_section_data[]){strings, wide}, 2, 1), UL_CONTAINER_DAMAGED);
}

static void there_is_one_meta(void **state)
{
	(void)state;
	assert_int_equal(open_ids_with(NULL, 0, 0), UL_CONTAINER_DAMAGED);
	assert_int_equal(open_ids_with(NULL, 0, 2), UL_CONTAINER_DAMAGED);
}

static void as_many_sections_as_may_be(void **state)
{
	struct ul_section_data more[UL_SECTIONS_MAX - 2];
	(void)state;
	for (size_t i = 0; i < COUNT_OF(more); i++)
		more[i] = (struct ul_section_data){(enum ul_section_type)(100 + i), 8, NULL, 0};
	assert_int_equal(open_ids_with(more, COUNT_OF(more), 1), UL_CONTAINER_VALID);
}

static void no_type_is_there_twice(void **state)
{
	static const uint32_t types[] = {UL_SECTION_BUCKETS, UL_SECTION_QUARTERS, 0};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		size_t bytes;
		struct ul_container_header *header = sample_build(UL_CONTAINER_FACTS, 8, 0, &bytes);
		struct ul_section *sections = (struct ul_section *)(header + 1);
		sections[header->section_count - 1].type = types[i];
		sample_seal(header, bytes);
		assert_int_equal(open_copy(UL_CONTAINER_FACTS, header, bytes), UL_CONTAINER_DAMAGED);
		free(header);
	}
}

/* The end of a file whose last section does not fill its last 8 bytes. */
static void nothing_follows_the_last_section(void **state)
{
	const struct ul_id_meta meta = {.generation = 1};
	const struct ul_section_data sections[] = {
		{UL_SECTION_META, sizeof(meta), &meta, 1},
		{UL_SECTION_IDS, sizeof(struct ul_id_record), NULL, 0},
		{(enum ul_section_type)999, 1, "abc", 3},
	};
	size_t bytes;
	(void)state;
	uint8_t *built = ul_container_build(UL_CONTAINER_IDS, &sample_log_id, sections, COUNT_OF(sections), &bytes);
	assert_non_null(built);
	assert_int_equal(open_copy(UL_CONTAINER_IDS, built, bytes), UL_CONTAINER_VALID);
	built[bytes - 1] = 1;
	sample_seal(built, bytes);
	assert_int_equal(open_copy(UL_CONTAINER_IDS, built, bytes), UL_CONTAINER_DAMAGED);
	uint8_t *longer = calloc(1, bytes + 8);
	assert_non_null(longer);
	memcpy(longer, built, bytes - 1);
	((struct ul_container_header *)(void *)longer)->size_bytes = bytes + 8;
	sample_seal(longer, bytes + 8);
	assert_int_equal(open_copy(UL_CONTAINER_IDS, longer, bytes + 8), UL_CONTAINER_DAMAGED);
	free(longer);
	free(built);
}

static void no_string_is_there_twice(void **state)
{
	size_t bytes;
	uint8_t *sample = sample_build(UL_CONTAINER_FACTS, 0, 0, &bytes);
	struct ul_string_record *strings = sample_record(sample, UL_SECTION_STRINGS, 0);
	char *text = sample_record(sample, UL_SECTION_STRING_BYTES, 0);
	(void)state;
	/* "(unknown)" and "2.ids" become twice "(unknow", which is less than what follows. */
	memcpy(text, "(unknow(unknow", 14);
	strings[1] = (struct ul_string_record){0, 7};
	strings[2] = (struct ul_string_record){7, 7};
	sample_seal(sample, bytes);
	assert_int_equal(open_copy(UL_CONTAINER_FACTS, sample, bytes), UL_CONTAINER_DAMAGED);
	text[13] = 'x';
	sample_seal(sample, bytes);
	assert_int_equal(open_copy(UL_CONTAINER_FACTS, sample, bytes), UL_CONTAINER_VALID);
	free(sample);
}

/* The first index out of range meets bytes that would make a sound string: those of the first string itself. */
static void an_index_out_of_range_is_not_followed(void **state)
{
	static const struct ul_string_record strings[] = {{0, 10}, {10, 2}};
	static const char text[] = "\x08\0\0\0\x02\0\0\0{}{}";
	const struct ul_fact_meta meta = {.generation = 1};
	(void)state;
	for (uint32_t wrong = 0; wrong < 9; wrong++) {
		struct ul_row row = {
			.provider = 1 + (wrong == 1), .model = 1 + (wrong == 2), .dimensions = 1 + (wrong == 3)};
		struct ul_sum quarter = {.first = 1 + (wrong == 4), .second = 1 + (wrong == 5)};
		struct ul_histogram histogram = {.provider = 1 + (wrong == 6),
						 .model = 1 + (wrong == 7),
						 .operation = 1 + (wrong == 8),
						 .measure = UL_MEASURE_TTFT};
		const struct ul_section_data sections[] = {
			{UL_SECTION_META, sizeof(meta), &meta, 1},
			{UL_SECTION_STRINGS, sizeof(strings[0]), strings, 2},
			{UL_SECTION_STRING_BYTES, 1, text, sizeof(text) - 1},
			{UL_SECTION_ROWS, sizeof(row), &row, 1},
			{UL_SECTION_QUARTERS, sizeof(quarter), &quarter, 1},
			{UL_SECTION_HISTOGRAMS, sizeof(histogram), &histogram, 1},
			{UL_SECTION_BUCKETS, sizeof(struct ul_bucket), NULL, 0},
		};
		size_t bytes;
		void *built =
			ul_container_build(UL_CONTAINER_FACTS, &sample_log_id, sections, COUNT_OF(sections), &bytes);
		assert_non_null(built);
		assert_int_equal(open_copy(UL_CONTAINER_FACTS, built, bytes),
				 wrong ? UL_CONTAINER_DAMAGED : UL_CONTAINER_VALID);
		free(built);
	}
}

static void what_is_just_allowed_is_valid(void **state)
{
	static const struct sample_change changes[] = {
		{"the last bucket", UL_CONTAINER_FACTS, UL_SECTION_BUCKETS, 2, 0, 4, UL_BUCKET_MAX},
		{"a run up to 2^28", UL_CONTAINER_CHECKPOINT, UL_SECTION_RUNS, 3, 4, 4, (1 << 28) - 260},
		{"the last slot", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, 16, 4, UL_SLOT_MASK},
		{"all flags", UL_CONTAINER_CHECKPOINT, UL_SECTION_CALLS, 2, 80, 4, 7},
		{"a balance in days only", UL_CONTAINER_FACTS, UL_SECTION_ROWS, 0, 14, 2, 1},
		{"a day before 1970", UL_CONTAINER_FACTS, UL_SECTION_META, 0, 0, 4, UINT32_MAX},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		size_t bytes;
		void *sample = sample_build(changes[i].kind, 0, 0, &bytes);
		sample_spoil(sample, bytes, &changes[i]);
		if (open_copy(changes[i].kind, sample, bytes) != UL_CONTAINER_VALID)
			fail_msg("refused: %s", changes[i].why);
		free(sample);
	}
}

/* A record and the one before it are made the same, in all that they are sorted by. */
static void no_key_is_there_twice(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t index;
		size_t bytes;
	} cases[] = {
		{UL_SECTION_SEGMENTS, 1, UL_ID_BYTES}, {UL_SECTION_DAYS, 1, 4},         {UL_SECTION_ROWS, 3, 16},
		{UL_SECTION_DAY_SUMS, 1, 16},          {UL_SECTION_RECENT_SUMS, 3, 16}, {UL_SECTION_HOUR_SUMS, 2, 16},
		{UL_SECTION_ATTRIBUTE_SUMS, 2, 16},    {UL_SECTION_CALLS, 2, 84},       {UL_SECTION_FILES, 1, 8},
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t bytes;
		void *sample = sample_build(UL_CONTAINER_CHECKPOINT, 0, 0, &bytes);
		memcpy(sample_record(sample, cases[i].type, cases[i].index),
		       sample_record(sample, cases[i].type, cases[i].index - 1), cases[i].bytes);
		sample_seal(sample, bytes);
		assert_int_equal(open_copy(UL_CONTAINER_CHECKPOINT, sample, bytes), UL_CONTAINER_DAMAGED);
		free(sample);
	}
}

/* A checkpoint that is the sample in all but its last calls, of which there are so many. */
static enum ul_container_state open_with_calls(uint32_t call_count)
{
	static struct ul_last_call calls[UL_LAST_CALLS + 1];
	struct ul_section_data sections[15];
	struct ul_container container;
	size_t bytes;
	void *sample = sample_build(UL_CONTAINER_CHECKPOINT, 0, 0, &bytes);
	assert_int_equal(ul_container_open(&container, UL_CONTAINER_CHECKPOINT, sample, bytes, NULL),
			 UL_CONTAINER_VALID);
	assert_int_equal(container.header->section_count, COUNT_OF(sections));
	for (uint32_t i = 0; i < call_count; i++) {
		memcpy(&calls[i], sample_record(sample, UL_SECTION_CALLS, 0), sizeof(calls[i]));
		calls[i].slot = 256 + i;
	}
	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		const struct ul_section *section = &container.sections[i];
		bool last_calls = section->type == UL_SECTION_CALLS;
		sections[i] =
			(struct ul_section_data){(enum ul_section_type)section->type, section->record_bytes,
						 last_calls ? (const void *)calls : container.bytes + section->offset,
						 last_calls ? call_count : section->record_count};
	}
	void *built = ul_container_build(UL_CONTAINER_CHECKPOINT, &sample_log_id, sections, COUNT_OF(sections), &bytes);
	assert_non_null(built);
	enum ul_container_state state = open_copy(UL_CONTAINER_CHECKPOINT, built, bytes);
	free(built);
	free(sample);
	return state;
}

static void a_thousand_last_calls_at_most(void **state)
{
	(void)state;
	assert_int_equal(open_with_calls(0), UL_CONTAINER_VALID);
	assert_int_equal(open_with_calls(UL_LAST_CALLS), UL_CONTAINER_VALID);
	assert_int_equal(open_with_calls(UL_LAST_CALLS + 1), UL_CONTAINER_DAMAGED);
}

static void empty_containers_are_valid(void **state)
{
	const struct ul_id_meta meta = {.generation = 1};
	const struct ul_section_data sections[] = {
		{UL_SECTION_META, sizeof(meta), &meta, 1},
		{UL_SECTION_STRINGS, sizeof(struct ul_string_record), NULL, 0},
		{UL_SECTION_STRING_BYTES, 1, NULL, 0},
		{UL_SECTION_IDS, sizeof(struct ul_id_record), NULL, 0},
	};
	size_t bytes;
	(void)state;
	void *built = ul_container_build(UL_CONTAINER_IDS, &sample_log_id, sections, 4, &bytes);
	assert_int_equal(bytes, 64 + 4 * 32 + 64);
	assert_int_equal(open_copy(UL_CONTAINER_IDS, built, bytes), UL_CONTAINER_VALID);
	free(built);
	struct ul_section_data huge = {UL_SECTION_META, 64, NULL, SIZE_MAX / 64};
	assert_null(ul_container_build(UL_CONTAINER_IDS, &sample_log_id, &huge, 1, &bytes));
}

static void buckets_cover_all_values(void **state)
{
	uint64_t next = 0;
	(void)state;
	for (uint32_t bucket = 0; bucket <= UL_BUCKET_MAX; bucket++) {
		uint64_t least;
		uint64_t greatest;
		ul_bucket_range(bucket, &least, &greatest);
		assert_true(least == next && greatest >= least);
		assert_int_equal(ul_bucket_of(least), bucket);
		assert_int_equal(ul_bucket_of(greatest), bucket);
		/* 0.8 %: half the width over the least value. */
		assert_true((greatest - least) / 2 <= least / 125);
		next = greatest + 1;
	}
	assert_true(next == 0);
	assert_int_equal(ul_bucket_of(127), 127);
	assert_int_equal(ul_bucket_of(128), 128);
	assert_int_equal(ul_bucket_of(129), 128);
	assert_int_equal(ul_bucket_of(130), 129);
	assert_int_equal(ul_bucket_of(1500000), 987);
	assert_int_equal(ul_bucket_of(UINT64_MAX), UL_BUCKET_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_are_valid),
		cmocka_unit_test(reads_what_was_written),
		cmocka_unit_test(another_logs_container_is_refused),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(a_part_is_refused),
		cmocka_unit_test(every_rule_is_checked),
		cmocka_unit_test(every_order_is_checked),
		cmocka_unit_test(required_sections_are_required),
		cmocka_unit_test(newer_ones_are_told_apart),
		cmocka_unit_test(zeros_between_sections_are_checked),
		cmocka_unit_test(sealed_damage_does_no_harm),
		cmocka_unit_test(an_id_set_may_have_strings_or_none),
		cmocka_unit_test(there_is_one_meta),
		cmocka_unit_test(as_many_sections_as_may_be),
		cmocka_unit_test(no_type_is_there_twice),
		cmocka_unit_test(nothing_follows_the_last_section),
		cmocka_unit_test(no_string_is_there_twice),
		cmocka_unit_test(an_index_out_of_range_is_not_followed),
		cmocka_unit_test(what_is_just_allowed_is_valid),
		cmocka_unit_test(no_key_is_there_twice),
		cmocka_unit_test(a_thousand_last_calls_at_most),
		cmocka_unit_test(empty_containers_are_valid),
		cmocka_unit_test(buckets_cover_all_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
