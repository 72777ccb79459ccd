/* How long calls took. */
#include "latency.h"

#include <errno.h>
#include <stdlib.h>

#include "os.h"

const unsigned latency_percents[LATENCY_QUANTILES] = {50, 90, 95, 99};

enum { BUCKETS = UL_BUCKET_MAX + 1 };

/* Parts of sums that did not overflow as a whole may do so where reversals make parts larger: they wrap. */
static void add(int64_t *sum, int64_t more)
{
	*sum = (int64_t)((uint64_t)*sum + (uint64_t)more);
}

static int64_t middle_of(uint32_t bucket)
{
	uint64_t least, greatest;
	ul_bucket_range(bucket, &least, &greatest);
	return (int64_t)((least + (greatest - least) / 2) & INT64_MAX);
}

/* The least value that so many percent of the calls do not exceed. */
void latency_quantiles(const int64_t *counts, uint32_t first, uint32_t count, int64_t quantiles_us[LATENCY_QUANTILES])
{
	int64_t all = 0, seen = 0;
	size_t next = 0;
	for (uint32_t i = 0; i < count; i++)
		add(&all, counts[i]);
	for (uint32_t i = 0; i < count && next < LATENCY_QUANTILES; i++) {
		add(&seen, counts[i]);
		while (next < LATENCY_QUANTILES && seen > 0 &&
		       (__int128)seen * 100 >= (__int128)all * latency_percents[next])
			quantiles_us[next++] = middle_of(first + i);
	}
}

static int add_rows(struct table *models, const struct facts *facts, enum ul_measure measure)
{
	for (uint32_t i = 0; i < facts->rows.count; i++) {
		const struct ul_row *row = table_record(&facts->rows, i);
		bool is_latency = measure == UL_MEASURE_LATENCY;
		int64_t calls = is_latency ? row->latency_calls : row->ttft_calls;
		const uint64_t keys[2][2] = {{NAME_EMPTY, 0}, {row->model, 0}};
		for (size_t j = 0; j < 2 && calls; j++) {
			struct latency *latency = table_get(models, keys[j]);
			if (!latency)
				return -ENOMEM;
			add(&latency->calls, calls);
			add(&latency->sum_us, is_latency ? row->latency_sum_us : row->ttft_sum_us);
		}
	}
	return 0;
}

static int compare_models(const void *left, const void *right)
{
	uint32_t a = (*(const struct histogram *const *)left)->model,
		 b = (*(const struct histogram *const *)right)->model;
	return (a > b) - (a < b);
}

static size_t list_histograms(const struct histogram **list, const struct facts *facts, enum ul_measure measure)
{
	size_t count = 0;
	for (uint32_t i = 0; i < facts->histograms.count; i++) {
		const struct histogram *histogram = table_record(&facts->histograms, i);
		if (histogram->measure == (uint32_t)measure)
			list[count++] = histogram;
	}
	qsort(list, count, sizeof(*list), compare_models);
	return count;
}

static int add_quantiles(struct table *models, const struct histogram *const *list, size_t count, int64_t *counts,
			 int64_t *all)
{
	uint64_t key[2] = {NAME_EMPTY, 0};
	struct latency *latency;
	for (size_t i = 0; i < count;) {
		uint32_t model = list[i]->model;
		memset(counts, 0, BUCKETS * sizeof(*counts));
		for (; i < count && list[i]->model == model; i++)
			for (uint32_t j = 0; j < list[i]->count; j++) {
				assert(list[i]->first + j < BUCKETS);
				add(&counts[list[i]->first + j], list[i]->counts[j]);
				add(&all[list[i]->first + j], list[i]->counts[j]);
			}
		key[0] = model;
		latency = table_get(models, key);
		if (!latency)
			return -ENOMEM;
		latency_quantiles(counts, 0, BUCKETS, latency->quantiles_us);
	}
	key[0] = NAME_EMPTY;
	latency = table_get(models, key);
	if (latency)
		latency_quantiles(all, 0, BUCKETS, latency->quantiles_us);
	return latency ? 0 : -ENOMEM;
}

/* The empty name sorts first. */
static int compare_names(const void *left, const void *right, void *names)
{
	const struct latency *a = left, *b = right;
	return names_compare(names_text(names, (uint32_t)a->model), names_text(names, (uint32_t)b->model));
}

static int list_models(struct latency_list *list, const struct table *models, const struct names *names)
{
	list->items = os_allocate(models->count + (size_t)1, sizeof(*list->items));
	if (!list->items)
		return -ENOMEM;
	for (uint32_t i = 0; i < models->count; i++) {
		const struct latency *latency = table_record(models, i);
		if (latency->calls > 0)
			list->items[list->count++] = *latency;
	}
	qsort_r(list->items, list->count, sizeof(*list->items), compare_names, (void *)(uintptr_t)names);
	return 0;
}

int latency_make(struct latency_list *list, const struct facts *facts, enum ul_measure measure,
		 const struct names *names)
{
	static_assert(offsetof(struct latency, calls) == TABLE_KEY_BYTES, "a latency's key");
	struct table models;
	*list = (struct latency_list){0};
	table_init(&models, sizeof(struct latency));
	const struct histogram **histograms = os_allocate(facts->histograms.count + (size_t)1, sizeof(*histograms));
	/* Of one model, and of all. */
	int64_t *counts = os_allocate(BUCKETS, sizeof(*counts)), *all = os_allocate(BUCKETS, sizeof(*all));
	int error = histograms && counts && all ? add_rows(&models, facts, measure) : -ENOMEM;
	if (!error)
		error = add_quantiles(&models, histograms, list_histograms(histograms, facts, measure), counts, all);
	if (!error)
		error = list_models(list, &models, names);
	free(histograms);
	free(counts);
	free(all);
	table_clear(&models);
	return error;
}

void latency_clear(struct latency_list *list)
{
	free(list->items);
	*list = (struct latency_list){0};
}

int64_t latency_mean_us(const struct latency *latency)
{
	__int128 twice = (__int128)latency->sum_us * 2, calls = latency->calls;
	assert(calls > 0);
	return (int64_t)((twice + (twice < 0 ? -calls : calls)) / (2 * calls));
}
