/*
 * What the benchmarks share: clocks, figures over runs, a histogram of times, the machine's description, and JSON. It knows
 * nothing of what is measured; a failure ends the program with what, where and why.
 */
#ifndef USAGELOG_BENCH_H
#define USAGELOG_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- begin and end ------------------------------------------------------------------------------------------ */

/* First of all: the program's name for messages, and the clocks. */
void bench_begin(const char *program);
/* "PROGRAM: WHAT: the error's text", status 1. `error` as the library returns them. */
void bench_die(const char *what, int error) __attribute__((noreturn));
/* "PROGRAM: MESSAGE", status 1. */
void bench_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Where the run stands, on stderr if somebody looks there. */
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bench_progress_end(void);

/* An option's number; status 2 if it is none or out of range. */
uint64_t bench_number(const char *option, const char *text, uint64_t least, uint64_t most);
/* A number with a fraction, likewise: seconds. */
double bench_decimal(const char *option, const char *text, double least, double most);

/* A new directory below the working directory: its name, which lives until the next call. */
const char *bench_directory_make(void);
/* Remove a directory and all in it, and wait until the filesystem is done with it, so that it does not meet what is measured next. */
void bench_directory_remove(const char *path);

/* ---- clocks ------------------------------------------------------------------------------------------------- */

/* Ticks of the CPU's counter where that is constant and the same on all cores, else ns. */
extern bool bench_has_counter;
extern double bench_ns_per_tick;

/* Name of the clock behind bench_ticks(), and its rate. */
const char *bench_clock_name(void);

/* Now. Nothing before it is still to begin, nothing after it has begun. */
static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
	if (bench_has_counter) {
		_mm_lfence();
		uint64_t ticks = __rdtsc();
		_mm_lfence();
		return ticks;
	}
#endif
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t bench_ticks_of_ns(double ns)
{
	return (uint64_t)(ns / bench_ns_per_tick + 0.5);
}

/* CLOCK_MONOTONIC, for whole runs. */
double bench_seconds(void);

/* ---- a histogram of times ----------------------------------------------------------------------------------- */

/* Exact below 64 ticks, then 64 buckets for each doubling: a value is known to 1.6 %. Adding touches two cache lines, and no
 * memory that was not touched when it was cleared. */
enum { BENCH_SUB_BITS = 6, BENCH_SUB = 1 << BENCH_SUB_BITS, BENCH_BUCKETS = (64 - BENCH_SUB_BITS + 1) * BENCH_SUB };

struct bench_histogram {
	uint64_t count;
	uint64_t most; /* ticks */
	uint64_t buckets[BENCH_BUCKETS];
};

void bench_histogram_clear(struct bench_histogram *histogram);
void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from);

static inline void bench_histogram_add(struct bench_histogram *histogram, uint64_t ticks)
{
	uint32_t shift = ticks < BENCH_SUB ? 0 : 63 - (uint32_t)__builtin_clzll(ticks) - BENCH_SUB_BITS;
	histogram->buckets[((uint64_t)shift << BENCH_SUB_BITS) + (ticks >> shift)]++;
	histogram->count++;
	histogram->most = ticks > histogram->most ? ticks : histogram->most;
}

/* The time that this part of all, 0 to 1, does not exceed; ns. */
double bench_quantile_ns(const struct bench_histogram *histogram, double part);
double bench_most_ns(const struct bench_histogram *histogram);
/* How many took longer. */
uint64_t bench_count_over(const struct bench_histogram *histogram, double ns);

/* ---- figures over runs -------------------------------------------------------------------------------------- */

struct bench_summary {
	double median, least, most;
	double quartile_low, quartile_high; /* half of the runs lie between these */
};

/* Sorts the samples. */
struct bench_summary bench_summarize(double *samples, size_t count);

/* ---- the machine -------------------------------------------------------------------------------------------- */

/* CPU, cores, kernel, filesystem of the working directory, clock, the library's version, date: for people, two lines. */
void bench_machine_print(const char *clock);
/* The same as members of the JSON object that is open. */
void bench_machine_json(const char *clock);

/* ---- JSON, to stdout ---------------------------------------------------------------------------------------- */

/* `key` is NULL in arrays and for the outermost value. */
void bench_json_open(const char *key, char bracket);
void bench_json_close(void); /* the outermost one ends the line */
void bench_json_text(const char *key, const char *text);
void bench_json_count(const char *key, uint64_t count);
void bench_json_number(const char *key, double number);
/* Members PREFIX_ns, PREFIX_least_ns, PREFIX_most_ns, PREFIX_quartile_low_ns, PREFIX_quartile_high_ns with this unit instead of ns. */
void bench_json_summary(const char *prefix, const char *unit, const struct bench_summary *summary);
/* An object with count, p50_ns, p99_ns, p99_9_ns, p99_99_ns, max_ns, over_100us_count, and distribution: pairs of nines (1 is p90, 2 is
 * p99) and ns, for plots. */
void bench_json_histogram(const char *key, const struct bench_histogram *histogram);

/* ns with a unit that suits, such as "17.2 us": for tables. Lives until the eighth call after it. */
const char *bench_ns_text(double ns);
/* A count with its thousands apart, likewise. */
const char *bench_count_text(double count);

#ifdef __cplusplus
}
#endif

#endif
