/*
 * How long calls took, for the page: histograms by model and day, or by month where they are old, in buckets as fine as the room for them lets
 * them be. It must not know what is shown of them.
 */
#ifndef USAGELOG_PAGE_TIMES_H
#define USAGELOG_PAGE_TIMES_H

#include "facts.h"
#include "json_text.h"

struct page_times {
	/* Set before page_times_open(). */
	int32_t first_day, last_day;
	/* The number of a histogram's model. 1: it is wanted; 0: it is not; or -ENOMEM. */
	int (*find_model)(void *arg, const struct histogram *histogram, uint32_t *model);
	void *arg;

	struct facts block; /* the histograms of the days at hand; its day is their last */
	int32_t block_first;
	int64_t *
		entries; /* measure, first and last day since the first one, model, number of pairs, pairs of bucket and count */
	size_t count, room, pair_count;
	uint32_t shift; /* 2^shift buckets are one */
	int64_t counts[UL_BUCKET_MAX + 1];
};

void page_times_open(struct page_times *times);
void page_times_clear(struct page_times *times);

/* Add a day; days come in order. 0, -ENOMEM or -EOVERFLOW. */
int page_times_add(struct page_times *times, const struct facts *facts);
/* That was all. 0 or -ENOMEM. */
int page_times_end(struct page_times *times);

/* "latency_shift", and "latency": the entries one after the other, buckets as what they are more than the one before. */
void page_times_put(const struct page_times *times, struct json_text *json);

#endif
