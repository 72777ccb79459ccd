/* How long calls took, for the page. */
#include "page_times.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "os.h"

/* Days are kept apart if they are among the last so many, before that months, or they would be most of the page. */
enum { DAYS_APART = 92 };
/* And in so many pairs of bucket and count at most, for which buckets are joined: 6 bytes each, some 6 MB. */
enum { PAIRS_MAX = 1000000, SHIFT_MAX = 6 };
enum { BUCKETS = UL_BUCKET_MAX + 1, HEAD = 5 };

void page_times_open(struct page_times *times)
{
	facts_init(&times->block, 0);
}

void page_times_clear(struct page_times *times)
{
	facts_clear(&times->block);
	free(times->entries);
}

/* Join neighbouring buckets of what is there already, and from now on. An octave has 64, so that none is joined with the next one's. */
static void coarsen(struct page_times *times)
{
	size_t from = 0, to = 0;
	times->shift++;
	times->pair_count = 0;
	while (from < times->count) {
		int64_t *head = &times->entries[to], pairs = times->entries[from + 4];
		memmove(head, &times->entries[from], HEAD * sizeof(*head));
		head[4] = 0;
		from += HEAD;
		to += HEAD;
		for (; pairs; pairs--, from += 2) {
			int64_t bucket = times->entries[from] / 2, count = times->entries[from + 1];
			if (head[4] && times->entries[to - 2] == bucket) {
				times->entries[to - 1] += count;
				continue;
			}
			times->entries[to++] = bucket;
			times->entries[to++] = count;
			head[4]++;
		}
		times->pair_count += (size_t)head[4];
	}
	times->count = to;
}

/* Room for a head and all buckets. */
static int make_room(struct page_times *times)
{
	size_t wanted = times->count + HEAD + 2 * (size_t)BUCKETS;
	if (wanted <= times->room)
		return 0;
	int64_t *entries = os_reallocate(times->entries, 2 * wanted, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	times->entries = entries;
	times->room = 2 * wanted;
	return 0;
}

/* Append times->counts as one entry, and clear them. */
static int append_counts(struct page_times *times, enum ul_measure measure, uint32_t model)
{
	int error = make_room(times);
	if (error)
		return error;
	int64_t *head = &times->entries[times->count];
	size_t at = times->count + HEAD;
	const int32_t from = times->first_day;
	const int64_t begin[HEAD] = {measure, times->block_first - from, times->block.day - from, model, 0};
	memcpy(head, begin, sizeof(begin));
	for (uint32_t i = 0; i < BUCKETS; i++) {
		if (!times->counts[i])
			continue;
		int64_t bucket = i >> times->shift;
		if (head[4] && times->entries[at - 2] == bucket) {
			times->entries[at - 1] += times->counts[i];
		} else {
			times->entries[at++] = bucket;
			times->entries[at++] = times->counts[i];
			head[4]++;
		}
		times->counts[i] = 0;
	}
	if (head[4])
		times->count = at;
	times->pair_count += (size_t)head[4];
	while (times->pair_count > PAIRS_MAX && times->shift < SHIFT_MAX)
		coarsen(times);
	return 0;
}

static int compare_histograms(const void *left, const void *right)
{
	const struct histogram *a = *(const struct histogram *const *)left,
			       *b = *(const struct histogram *const *)right;
	if (a->measure != b->measure)
		return a->measure < b->measure ? -1 : 1;
	return (a->model > b->model) - (a->model < b->model);
}

static void add_counts(struct page_times *times, const struct histogram *histogram)
{
	for (uint32_t i = 0; i < histogram->count; i++) {
		int64_t *count = &times->counts[histogram->first + i];
		assert(histogram->first + i < BUCKETS);
		/* Parts of a sum that did not overflow as a whole may do so where reversals make parts larger: they wrap. */
		*count = (int64_t)((uint64_t)*count + (uint64_t)histogram->counts[i]);
	}
}

/* The block's histograms become entries by measure and model, and the block is empty again. */
static int end_block(struct page_times *times)
{
	uint32_t count = times->block.histograms.count;
	const struct histogram **list = os_allocate(count + (size_t)1, sizeof(*list));
	int error = list ? 0 : -ENOMEM;
	for (uint32_t i = 0; list && i < count; i++)
		list[i] = table_record(&times->block.histograms, i);
	if (list)
		qsort(list, count, sizeof(*list), compare_histograms);
	for (uint32_t i = 0; i < count && !error; i++) {
		uint32_t model;
		int wanted = times->find_model(times->arg, list[i], &model);
		error = wanted < 0 ? wanted : 0;
		if (wanted > 0)
			add_counts(times, list[i]);
		if (!error && (i + 1 == count || compare_histograms(&list[i], &list[i + 1])))
			error = append_counts(times, (enum ul_measure)list[i]->measure, model);
	}
	free(list);
	facts_clear(&times->block);
	facts_init(&times->block, 0);
	return error;
}

/* Are two days kept as one? The earlier one comes first. */
static bool share_block(const struct page_times *times, int32_t first, int32_t next)
{
	struct calendar_date a = calendar_date_of(first), b = calendar_date_of(next);
	return (int64_t)times->last_day - next >= DAYS_APART && a.year == b.year && a.month == b.month;
}

int page_times_add(struct page_times *times, const struct facts *facts)
{
	int error = 0;
	if (times->block.histograms.count && !share_block(times, times->block_first, facts->day))
		error = end_block(times);
	if (!times->block.histograms.count)
		times->block_first = facts->day;
	times->block.day = facts->day;
	facts_add_histograms(&times->block, facts);
	return error ? error : times->block.error;
}

int page_times_end(struct page_times *times)
{
	return end_block(times);
}

static void put_number(struct json_text *json, int64_t value)
{
	json_integer(json, json_key(""), value);
}

void page_times_put(const struct page_times *times, struct json_text *json)
{
	json_integer(json, json_key("latency_shift"), times->shift);
	json_in_a_line(json);
	json_begin_array(json, json_key("latency"));
	for (size_t i = 0; i < times->count;) {
		const int64_t *entry = &times->entries[i];
		int64_t bucket = 0;
		for (size_t j = 0; j < HEAD; j++)
			put_number(json, entry[j]);
		i += HEAD;
		for (int64_t j = 0; j < entry[4]; j++, i += 2) {
			put_number(json, times->entries[i] - bucket);
			put_number(json, times->entries[i + 1]);
			bucket = times->entries[i];
		}
	}
	json_end(json);
}
