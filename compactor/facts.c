/* The aggregates of one day. */
#include "facts.h"

#include <errno.h>
#include <stdlib.h>

#include "os.h"

void facts_init(struct facts *facts, int32_t day)
{
	*facts = (struct facts){.day = day};
	table_init(&facts->rows, sizeof(struct ul_row));
	table_init(&facts->quarters, sizeof(struct ul_sum));
	table_init(&facts->histograms, sizeof(struct histogram));
	static_assert(offsetof(struct ul_row, calls) == TABLE_KEY_BYTES, "a row's key");
	static_assert(offsetof(struct histogram, counts) == TABLE_KEY_BYTES, "a histogram's key");
}

void facts_clear(struct facts *facts)
{
	for (uint32_t i = 0; i < facts->histograms.count; i++)
		free(((struct histogram *)table_record(&facts->histograms, i))->counts);
	table_clear(&facts->rows);
	table_clear(&facts->quarters);
	table_clear(&facts->histograms);
}

/* ---- sums -------------------------------------------------------------------------------------------------- */

/* Beyond these a sum could leave its field before it is looked at again. */
#define SUM_LIMIT ((int64_t)1 << 62)
#define MONEY_LIMIT ((int64_t)1 << 61) /* of the upper word */

static inline void add(struct facts *facts, int64_t *sum, int64_t value)
{
	if (__builtin_expect(__builtin_add_overflow(*sum, value, sum), 0))
		facts->error = -EOVERFLOW;
	facts->wide |= *sum >= SUM_LIMIT;
}

static inline void add_money(struct facts *facts, struct ul_i128 *sum, money_t value)
{
	money_t total;
	if (__builtin_expect(__builtin_add_overflow(money_of(*sum), value, &total), 0))
		facts->error = -EOVERFLOW;
	else
		*sum = money_stored(total);
	facts->wide |= sum->high >= MONEY_LIMIT || sum->high < -MONEY_LIMIT;
}

static inline void *get(struct facts *facts, struct table *table, const void *key)
{
	const uint8_t *records = table->records;
	void *record = table_get(table, key);
	if (!record)
		facts->error = -ENOMEM;
	facts->moves += table->records != records;
	return record;
}

static uint32_t find(struct facts *facts, struct table *table, const void *key)
{
	void *record = get(facts, table, key);
	return record ? table_number(table, record) : (uint32_t)FACTS_NOWHERE;
}

enum { BUCKETS_STEP = 64 };
static_assert((UL_BUCKET_MAX + 1) % BUCKETS_STEP == 0, "no window reaches beyond the last bucket");

/* Make a histogram reach a bucket. Its window grows in steps, so that a day of calls makes it grow a few times only. */
static bool reach_bucket(struct histogram *histogram, uint32_t bucket)
{
	uint32_t first = bucket / BUCKETS_STEP * BUCKETS_STEP, end = first + BUCKETS_STEP;
	if (histogram->count && histogram->first < first)
		first = histogram->first;
	if (histogram->count && histogram->first + histogram->count > end)
		end = histogram->first + histogram->count;
	int64_t *counts = os_allocate(end - first, sizeof(*counts));
	if (!counts)
		return false;
	if (histogram->count)
		memcpy(counts + (histogram->first - first), histogram->counts, histogram->count * sizeof(*counts));
	free(histogram->counts);
	*histogram = (struct histogram){histogram->provider, histogram->model, histogram->operation,
					histogram->measure,  counts,           first,
					end - first};
	return true;
}

static void add_bucket(struct facts *facts, const uint32_t key[4], uint32_t bucket, int64_t count)
{
	assert(bucket <= UL_BUCKET_MAX);
	uint32_t number = find(facts, &facts->histograms, key);
	int64_t *sum = number == (uint32_t)FACTS_NOWHERE ? NULL : facts_reach(facts, number, bucket);
	if (sum)
		add(facts, sum, count);
}

/* ---- calls ------------------------------------------------------------------------------------------------- */

uint8_t prompt_band(uint64_t prompt_tokens)
{
	static const uint32_t bands[] = {128000, 200000, 256000, 272000, 512000};
	uint8_t band = 0;
	while (band < sizeof(bands) / sizeof(bands[0]) && prompt_tokens > bands[band])
		band++;
	return band;
}

static inline void add_tokens(struct facts *facts, int64_t tokens[UL_TOKEN_KINDS], const struct ul_call_body *call,
			      int64_t sign)
{
	static_assert(offsetof(struct ul_call_body, reasoning_tokens) ==
			      offsetof(struct ul_call_body, input_tokens) + UL_REASONING * sizeof(uint32_t),
		      "the counts stand in the order of enum ul_token_kind");
	const uint32_t *counts = &call->input_tokens;
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		add(facts, &tokens[i], sign * counts[i]);
}

static void add_latency(struct facts *facts, struct ul_row *row, const struct call_names *names,
			const struct ul_slot *slot, int64_t sign)
{
	const struct ul_call_body *call = &slot->body.call;
	uint32_t key[4] = {names->provider, names->model, names->operation, UL_MEASURE_LATENCY};
	if (!(slot->word & UL_LATENCY_UNKNOWN)) {
		int64_t latency_us = call_latency_us(slot);
		add(facts, &row->latency_calls, sign);
		add(facts, &row->latency_sum_us, sign * latency_us);
		add_bucket(facts, key, ul_bucket_of((uint64_t)latency_us), sign);
	}
	if (call->ttft_us) {
		key[3] = UL_MEASURE_TTFT;
		add(facts, &row->ttft_calls, sign);
		add(facts, &row->ttft_sum_us, sign * call->ttft_us);
		add_bucket(facts, key, ul_bucket_of(call->ttft_us), sign);
	}
}

static struct ul_row call_row_key(const struct call_names *names, const struct ul_slot *slot)
{
	return (struct ul_row){.provider = names->provider,
			       .model = names->model,
			       .dimensions = names->dimensions,
			       .price_class = slot->word & UL_UNPRICED ? UL_PRICE_NONE : UL_PRICE_GIVEN,
			       .prompt_band = call_prompt_band(&slot->body.call)};
}

void facts_add_call(struct facts *facts, const struct call_names *names, const struct ul_slot *slot)
{
	const struct ul_call_body *call = &slot->body.call;
	bool unpriced = slot->word & UL_UNPRICED;
	int64_t sign = ul_slot_kind(slot) == UL_KIND_REVERSAL ? -1 : 1;
	struct ul_row row_key = call_row_key(names, slot);
	struct ul_sum quarter_key = {.number = quarter_of(call->time_ns),
				     .first = names->provider,
				     .second = names->model,
				     .price_key = call_price_key(names, slot)};
	struct ul_row *row = get(facts, &facts->rows, &row_key);
	struct ul_sum *quarter = get(facts, &facts->quarters, &quarter_key);
	if (!row || !quarter)
		return;
	add(facts, &row->calls, sign);
	add_tokens(facts, row->tokens, call, sign);
	add_money(facts, &row->cost_pico_usd, (money_t)sign * call->cost_pico_usd);
	add_latency(facts, row, names, slot, sign);
	add(facts, &quarter->calls, sign);
	add(facts, &quarter->errors, names->error ? sign : 0);
	add_tokens(facts, quarter->tokens, call, sign);
	add(facts, &quarter->unpriced_calls, unpriced ? sign : 0);
	add_money(facts, &quarter->cost_pico_usd, (money_t)sign * call->cost_pico_usd);
}

void facts_add_balance(struct facts *facts, const struct call_names *names, const struct ul_slot *slot)
{
	const struct ul_balance_body *balance = &slot->body.balance;
	bool unpriced = slot->word & UL_UNPRICED;
	int64_t calls = (int64_t)balance->calls, tokens = (int64_t)balance->tokens;
	struct ul_row row_key = {.provider = names->provider,
				 .model = names->model,
				 .dimensions = names->dimensions,
				 .price_class = unpriced ? UL_PRICE_NONE : UL_PRICE_GIVEN,
				 .scope = (uint16_t)balance->scope};
	struct ul_row *row = get(facts, &facts->rows, &row_key);
	if (!row)
		return;
	add(facts, &row->calls, calls);
	add(facts, &row->balance_tokens, tokens);
	add_money(facts, &row->cost_pico_usd, balance->cost_pico_usd);
	if (!(balance->scope & 1))
		return;
	struct ul_sum quarter_key = {
		.number = quarter_of(balance->time_ns), .first = names->provider, .second = names->model};
	struct ul_sum *quarter = get(facts, &facts->quarters, &quarter_key);
	if (!quarter)
		return;
	add(facts, &quarter->calls, calls);
	add(facts, &quarter->errors, names->error ? calls : 0);
	add(facts, &quarter->balance_tokens, tokens);
	add(facts, &quarter->unpriced_calls, unpriced ? calls : 0);
	add_money(facts, &quarter->cost_pico_usd, balance->cost_pico_usd);
}

/* ---- places ------------------------------------------------------------------------------------------------ */

enum { UNCHECKED_MAX = 1 << 20 };

uint32_t facts_find_row(struct facts *facts, const struct call_names *names, const struct ul_slot *slot)
{
	struct ul_row key = call_row_key(names, slot);
	return find(facts, &facts->rows, &key);
}

uint32_t facts_find_quarter(struct facts *facts, const struct call_names *names, int32_t quarter, uint32_t price_key)
{
	struct ul_sum key = {
		.number = quarter, .first = names->provider, .second = names->model, .price_key = price_key};
	return find(facts, &facts->quarters, &key);
}

uint32_t facts_find_histogram(struct facts *facts, const struct call_names *names, enum ul_measure measure)
{
	uint32_t key[4] = {names->provider, names->model, names->operation, measure};
	return find(facts, &facts->histograms, key);
}

int64_t *facts_reach(struct facts *facts, uint32_t number, uint32_t bucket)
{
	struct histogram *histogram = table_record(&facts->histograms, number);
	if (bucket - histogram->first >= histogram->count) {
		facts->moves++;
		if (!reach_bucket(histogram, bucket)) {
			facts->error = -ENOMEM;
			return NULL;
		}
	}
	return &histogram->counts[bucket - histogram->first];
}

static bool sums_are_wide(const int64_t *sums, size_t count, struct ul_i128 cost)
{
	for (size_t i = 0; i < count; i++)
		if (sums[i] >= SUM_LIMIT)
			return true;
	return cost.high >= MONEY_LIMIT || cost.high < -MONEY_LIMIT;
}

bool facts_may_add(struct facts *facts, uint32_t calls)
{
	if (facts->unchecked < calls && !facts->wide) {
		for (uint32_t i = 0; i < facts->rows.count; i++) {
			const struct ul_row *row = table_record(&facts->rows, i);
			facts->wide |= sums_are_wide(&row->calls, 12, row->cost_pico_usd);
		}
		for (uint32_t i = 0; i < facts->quarters.count; i++) {
			const struct ul_sum *quarter = table_record(&facts->quarters, i);
			facts->wide |= sums_are_wide(&quarter->calls, 10, quarter->cost_pico_usd);
		}
		static_assert(offsetof(struct ul_row, cost_pico_usd) - offsetof(struct ul_row, calls) == 12 * 8,
			      "sums");
		static_assert(offsetof(struct ul_sum, cost_pico_usd) - offsetof(struct ul_sum, calls) == 10 * 8,
			      "sums");
		facts->unchecked = UNCHECKED_MAX;
	}
	if (facts->wide)
		return false;
	facts->unchecked -= calls;
	return true;
}

/* ---- whole files ------------------------------------------------------------------------------------------- */

/* Add the numbers of a row to another's, whose key stays. False: a sum left its field. */
static bool row_add(struct ul_row *row, const struct ul_row *more)
{
	money_t cost;
	bool overflow = __builtin_add_overflow(money_of(row->cost_pico_usd), money_of(more->cost_pico_usd), &cost);
	overflow |= __builtin_add_overflow(row->calls, more->calls, &row->calls);
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		overflow |= __builtin_add_overflow(row->tokens[i], more->tokens[i], &row->tokens[i]);
	overflow |= __builtin_add_overflow(row->balance_tokens, more->balance_tokens, &row->balance_tokens);
	overflow |= __builtin_add_overflow(row->latency_calls, more->latency_calls, &row->latency_calls);
	overflow |= __builtin_add_overflow(row->latency_sum_us, more->latency_sum_us, &row->latency_sum_us);
	overflow |= __builtin_add_overflow(row->ttft_calls, more->ttft_calls, &row->ttft_calls);
	overflow |= __builtin_add_overflow(row->ttft_sum_us, more->ttft_sum_us, &row->ttft_sum_us);
	row->cost_pico_usd = money_stored(cost);
	return !overflow;
}

void facts_add_row(struct facts *facts, const struct ul_row *row)
{
	struct ul_row *sum = get(facts, &facts->rows, row);
	if (sum && !row_add(sum, row))
		facts->error = -EOVERFLOW;
	facts->unchecked = 0;
}

void facts_add_histograms(struct facts *facts, const struct facts *more)
{
	for (uint32_t i = 0; i < more->histograms.count; i++) {
		const struct histogram *from = table_record(&more->histograms, i);
		uint32_t key[4] = {from->provider, from->model, from->operation, from->measure};
		/* The window is made as wide as it will be. */
		if (from->count)
			add_bucket(facts, key, from->first + from->count - 1, 0);
		for (uint32_t j = 0; j < from->count; j++)
			if (from->counts[j])
				add_bucket(facts, key, from->first + j, from->counts[j]);
	}
}

void facts_add_quarter(struct facts *facts, const struct ul_sum *more)
{
	struct ul_sum *quarter = get(facts, &facts->quarters, more);
	if (quarter && !sum_add(quarter, more))
		facts->error = -EOVERFLOW;
	facts->unchecked = 0;
}

void facts_add_facts(struct facts *facts, const struct facts *more)
{
	for (uint32_t i = 0; i < more->rows.count; i++)
		facts_add_row(facts, table_record(&more->rows, i));
	for (uint32_t i = 0; i < more->quarters.count; i++)
		facts_add_quarter(facts, table_record(&more->quarters, i));
	facts_add_histograms(facts, more);
	if (more->error)
		facts->error = more->error;
	facts->wide |= more->wide;
}

void facts_add_records(struct facts *facts, const uint32_t *name_of, const struct ul_container *file)
{
	uint64_t count;
	const struct ul_row *rows = ul_container_records(file, UL_SECTION_ROWS, &count);
	for (uint64_t i = 0; i < count; i++) {
		struct ul_row row = rows[i];
		row.provider = name_of[row.provider];
		row.model = name_of[row.model];
		row.dimensions = name_of[row.dimensions];
		facts_add_row(facts, &row);
	}
	uint64_t bucket_count;
	const struct ul_bucket *buckets = ul_container_records(file, UL_SECTION_BUCKETS, &bucket_count);
	const struct ul_histogram *histograms = ul_container_records(file, UL_SECTION_HISTOGRAMS, &count);
	for (uint64_t i = 0; i < count; i++) {
		const struct ul_histogram *from = &histograms[i];
		uint32_t key[4] = {name_of[from->provider], name_of[from->model], name_of[from->operation],
				   from->measure};
		/* The last one first, so that the window grows at most twice. */
		for (uint32_t j = 0; j < from->bucket_count; j++) {
			uint32_t at = from->first_bucket + (j ? j - 1 : from->bucket_count - 1);
			add_bucket(facts, key, buckets[at].bucket, buckets[at].count);
		}
	}
}

static void add_quarters(struct facts *facts, const uint32_t *name_of, const struct ul_container *file)
{
	uint64_t count;
	const struct ul_sum *quarters = ul_container_records(file, UL_SECTION_QUARTERS, &count);
	for (uint64_t i = 0; i < count; i++) {
		struct ul_sum more = quarters[i];
		more.first = name_of[more.first];
		more.second = name_of[more.second];
		if (more.price_key)
			more.price_key =
				(more.price_key & ~UL_PRICE_KEY_NAME) | name_of[more.price_key & UL_PRICE_KEY_NAME];
		facts_add_quarter(facts, &more);
	}
}

void facts_add_file(struct facts *facts, struct names *names, const struct ul_container *file)
{
	uint32_t *name_of = names_of_file(names, file);
	if (name_of) {
		facts_add_records(facts, name_of, file);
		add_quarters(facts, name_of, file);
	} else {
		facts->error = -ENOMEM;
	}
	free(name_of);
}

int64_t facts_calls(const struct facts *facts)
{
	int64_t calls = 0;
	for (uint32_t i = 0; i < facts->rows.count; i++) {
		const struct ul_row *row = table_record(&facts->rows, i);
		if (row->scope == 0 || row->scope & 1)
			calls = (int64_t)((uint64_t)calls + (uint64_t)row->calls);
	}
	return calls;
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

static bool row_is_zero(const struct ul_row *row)
{
	static const struct ul_row zero;
	return memcmp(&row->calls, &zero.calls, sizeof(zero) - offsetof(struct ul_row, calls)) == 0;
}

static int compare(uint64_t left, uint64_t right)
{
	return (left > right) - (left < right);
}

static int compare_rows(const void *left, const void *right)
{
	const struct ul_row *a = left, *b = right;
	int order = compare(a->provider, b->provider);
	if (!order)
		order = compare(a->model, b->model);
	if (!order)
		order = compare(a->dimensions, b->dimensions);
	if (!order)
		order = compare(a->price_class, b->price_class);
	if (!order)
		order = compare(a->prompt_band, b->prompt_band);
	return order ? order : compare(a->scope, b->scope);
}

static int compare_histograms(const void *left, const void *right)
{
	const struct histogram *a = left, *b = right;
	int order = compare(a->provider, b->provider);
	if (!order)
		order = compare(a->model, b->model);
	if (!order)
		order = compare(a->operation, b->operation);
	return order ? order : compare(a->measure, b->measure);
}

void facts_draft_clear(struct facts_draft *draft)
{
	free(draft->rows);
	sum_list_clear(&draft->quarters);
	free(draft->sorted);
	free(draft->histograms);
	free(draft->buckets);
	*draft = (struct facts_draft){0};
}

static size_t buckets_used(const struct histogram *histogram)
{
	size_t used = 0;
	for (uint32_t i = 0; i < histogram->count; i++)
		used += histogram->counts[i] != 0;
	return used;
}

static void gather_rows(struct facts_draft *draft, const struct facts *facts, uint8_t *used)
{
	for (uint32_t i = 0; i < facts->rows.count; i++) {
		const struct ul_row *row = table_record(&facts->rows, i);
		if (row_is_zero(row))
			continue;
		draft->rows[draft->row_count++] = *row;
		used[row->provider] = used[row->model] = used[row->dimensions] = 1;
	}
}

static void gather_histograms(struct facts_draft *draft, const struct facts *facts, uint8_t *used)
{
	for (uint32_t i = 0; i < facts->histograms.count; i++) {
		const struct histogram *histogram = table_record(&facts->histograms, i);
		size_t buckets = buckets_used(histogram);
		if (!buckets)
			continue;
		draft->bucket_count += buckets;
		draft->sorted[draft->histogram_count++] = *histogram;
		used[histogram->provider] = used[histogram->model] = used[histogram->operation] = 1;
	}
}

int facts_draft_gather(struct facts_draft *draft, const struct facts *facts, uint8_t *used)
{
	draft->rows = os_allocate(facts->rows.count + (size_t)1, sizeof(*draft->rows));
	draft->sorted = os_allocate(facts->histograms.count + (size_t)1, sizeof(*draft->sorted));
	draft->histograms = os_allocate(facts->histograms.count + (size_t)1, sizeof(*draft->histograms));
	if (!draft->rows || !draft->sorted || !draft->histograms)
		return -ENOMEM;
	gather_rows(draft, facts, used);
	gather_histograms(draft, facts, used);
	if (draft->bucket_count > UINT32_MAX)
		return -EOVERFLOW;
	draft->buckets = os_allocate(draft->bucket_count + 1, sizeof(*draft->buckets));
	return draft->buckets ? sum_list_gather(&draft->quarters, &facts->quarters, used) : -ENOMEM;
}

static void lay_out_histograms(struct facts_draft *draft)
{
	uint32_t used = 0;
	for (size_t i = 0; i < draft->histogram_count; i++) {
		const struct histogram *from = &draft->sorted[i];
		struct ul_histogram *histogram = &draft->histograms[i];
		*histogram =
			(struct ul_histogram){from->provider, from->model, from->operation, from->measure, used, 0};
		for (uint32_t j = 0; j < from->count; j++)
			if (from->counts[j])
				draft->buckets[used++] =
					(struct ul_bucket){.bucket = from->first + j, .count = from->counts[j]};
		histogram->bucket_count = used - histogram->first_bucket;
	}
	assert(used == draft->bucket_count);
}

void facts_draft_lay_out(struct facts_draft *draft, const uint32_t *index)
{
	for (size_t i = 0; i < draft->row_count; i++) {
		struct ul_row *row = &draft->rows[i];
		row->provider = index[row->provider];
		row->model = index[row->model];
		row->dimensions = index[row->dimensions];
	}
	for (size_t i = 0; i < draft->histogram_count; i++) {
		struct histogram *histogram = &draft->sorted[i];
		histogram->provider = index[histogram->provider];
		histogram->model = index[histogram->model];
		histogram->operation = index[histogram->operation];
	}
	qsort(draft->rows, draft->row_count, sizeof(*draft->rows), compare_rows);
	qsort(draft->sorted, draft->histogram_count, sizeof(*draft->sorted), compare_histograms);
	sum_list_lay_out(&draft->quarters, index);
	lay_out_histograms(draft);
}

void *facts_encode(const struct facts *facts, const struct names *names, const struct ul_id *log_id,
		   const struct facts_origin *origin, size_t *size_bytes, int *error)
{
	struct facts_draft draft = {0};
	struct name_sections used_names = {0};
	uint8_t *used = os_allocate(names->count, 1);
	void *bytes = NULL;
	*error = used ? facts_draft_gather(&draft, facts, used) : -ENOMEM;
	if (!*error)
		*error = names_collect(names, used, &used_names);
	if (!*error) {
		facts_draft_lay_out(&draft, used_names.index);
		struct ul_fact_meta meta = {.day = facts->day,
					    .prices = origin->prices,
					    .generation = origin->generation,
					    .settings = origin->settings};
		const struct ul_section_data sections[] = {
			{UL_SECTION_META, sizeof(meta), &meta, 1},
			{UL_SECTION_STRINGS, sizeof(struct ul_string_record), used_names.records,
			 used_names.record_count},
			{UL_SECTION_STRING_BYTES, 1, used_names.bytes, used_names.byte_count},
			{UL_SECTION_ROWS, sizeof(struct ul_row), draft.rows, draft.row_count},
			{UL_SECTION_QUARTERS, sizeof(struct ul_sum), draft.quarters.items, draft.quarters.count},
			{UL_SECTION_HISTOGRAMS, sizeof(struct ul_histogram), draft.histograms, draft.histogram_count},
			{UL_SECTION_BUCKETS, sizeof(struct ul_bucket), draft.buckets, draft.bucket_count},
		};
		bytes = ul_container_build(UL_CONTAINER_FACTS, log_id, sections, sizeof(sections) / sizeof(sections[0]),
					   size_bytes);
		*error = bytes ? 0 : -ENOMEM;
	}
	facts_draft_clear(&draft);
	name_sections_clear(&used_names);
	free(used);
	return bytes;
}
