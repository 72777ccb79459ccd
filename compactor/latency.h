/*
 * How long calls took, out of histograms and rows: means and quantiles, by model and over all. A quantile is the middle of its bucket, so
 * within 0.8 % of a value that a call had (FORMAT.md 7); a mean is exact.
 */
#ifndef USAGELOG_LATENCY_H
#define USAGELOG_LATENCY_H

#include "facts.h"

enum { LATENCY_QUANTILES = 4 };
/* In percent: 50, 90, 95, 99. */
extern const unsigned latency_percents[LATENCY_QUANTILES];

struct latency {
	uint64_t model; /* name; NAME_EMPTY: all of them */
	uint64_t zero;
	int64_t calls;
	int64_t sum_us;
	int64_t quantiles_us[LATENCY_QUANTILES];
};

/* By model name, all of them first. Models without a call of this measure are left out. */
struct latency_list {
	struct latency *items;
	size_t count;
};

/* 0 or -ENOMEM. latency_clear() in any case. */
int latency_make(struct latency_list *list, const struct facts *facts, enum ul_measure measure,
		 const struct names *names);
void latency_clear(struct latency_list *list);

/* The quantiles of `count` buckets' counts, of which the first is bucket `first`. */
void latency_quantiles(const int64_t *counts, uint32_t first, uint32_t count, int64_t quantiles_us[LATENCY_QUANTILES]);

/* The mean in us, rounded half away from 0. */
int64_t latency_mean_us(const struct latency *latency);

#endif
