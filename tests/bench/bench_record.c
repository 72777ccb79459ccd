/*
 * What one record() costs, beside the floor of what any such log must do: claim a slot, read the clock, build the entry,
 * checksum it with XXH3, store it. The floor is a loop written by hand, in this process, on the same kind of memory: a file
 * on the same filesystem, allocated and populated ahead, streamed through once. Runs alternate, and the median
 * of the runs of each is shown, so that noise of the machine meets all alike.
 *
 *     bench_record [--json] [--directory DIR] [--runs N] [--records N]
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "handle.h"
#include "os.h"
#include "seal.h"

enum { RUNS_MAX = 101, WORKERS_MAX = 2 };

static const char *directory = ".";
static uint32_t record_count = 500000;
static uint32_t run_count = 11;

static void die(const char *what, int error)
{
	fprintf(stderr, "bench_record: %s: %s\n", what, usagelog_strerror(error));
	exit(1);
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int64_t coarse_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- the floor ---------------------------------------------------------------------------------------------- */

static uint8_t *floor_file(size_t bytes, int *fd)
{
	void *base = NULL;
	*fd = os_open(AT_FDCWD, "bench_record.floor", O_RDWR | O_CREAT | O_TRUNC);
	int error = *fd < 0 ? *fd : os_extend(*fd, 0, bytes, true);
	os_unlink(AT_FDCWD, "bench_record.floor");
	if (!error)
		error = os_map(&base, bytes, *fd, true);
	if (!error)
		error = os_populate(base, bytes);
	if (error)
		die("the floor's file", error);
	return base;
}

static double run_floor(bool with_clock)
{
	int fd;
	size_t bytes = (size_t)record_count * UL_SLOT_BYTES;
	uint64_t *words = (uint64_t *)(void *)floor_file(bytes, &fd);
	static _Atomic uint32_t next;
	atomic_store(&next, 0);
	/* What the compiler may not know in advance. */
	volatile uint64_t names = (uint64_t)449 << 32 | ul_tag(UL_KIND_CALL, 448), tokens = 100, rest = 50,
			  latency = 80000;
	volatile int64_t caller_ns = coarse_ns();
	uint64_t seed = names;
	double start = seconds();
	for (uint32_t i = 0; i < record_count; i++) {
		uint32_t slot = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
		uint64_t body[7] = {
			names, (uint64_t)(with_clock ? coarse_ns() : caller_ns), 200000000, tokens, 0, rest, latency};
		uint64_t checksum = ul_slot_checksum(body, ul_slot_seed(seed, slot));
		uint64_t *place = words + (size_t)slot * 8;
		for (int word = 0; word < 7; word++)
			__atomic_store_n(&place[1 + word], body[word], __ATOMIC_RELAXED);
		__atomic_store_n(&place[0], checksum, __ATOMIC_RELEASE);
	}
	double spent = seconds() - start;
	munmap(words, bytes);
	close(fd);
	return spent * 1e9 / record_count;
}

/* ---- the library -------------------------------------------------------------------------------------------- */

enum how { INTERNED, CALLERS_TIME, STRINGS };

struct worker {
	usagelog *log;
	enum how how;
	pthread_barrier_t *barrier;
	double spent;
};

static const struct usagelog_names names_of_call = {.provider = "openai",
						    .model = "gpt-4o-mini-2024-07-18",
						    .attributes = {.operation = "chat", .session_id = "e3bfdef4aca3"}};

static void *record_all(void *arg)
{
	struct worker *worker = arg;
	usagelog *log = worker->log;
	usagelog_model model;
	usagelog_context context;
	struct usagelog_call call = {.input_tokens = 100,
				     .output_tokens = 50,
				     .cost_pico_usd = 200000000,
				     .flags = USAGELOG_COST,
				     .latency_us = 80000};
	int error = usagelog_model_get(log, names_of_call.provider, names_of_call.model, &model);
	if (!error)
		error = usagelog_context_get(log, &names_of_call.attributes, &context);
	/* The first call takes a page, and writes the definitions. */
	if (!error)
		error = usagelog_record(log, model, context, &call);
	if (error)
		die("the first call", error);
	if (worker->how == CALLERS_TIME)
		call.time_ns = coarse_ns();
	pthread_barrier_wait(worker->barrier);
	double start = seconds();
	for (uint32_t i = 0; i < record_count; i++)
		error |= worker->how == STRINGS ? usagelog_record_names(log, &names_of_call, &call)
						: usagelog_record(log, model, context, &call);
	worker->spent = seconds() - start;
	if (error)
		die("record", error);
	return NULL;
}

/* A segment large enough for the run, wholly populated, and no sync while it lasts. */
static usagelog *open_populated(const char *path, uint32_t worker_count)
{
	usagelog *log;
	struct usagelog_options options = {
		.size = sizeof(options), .flush_interval_ms = 86400000, .flush_size_bytes = UINT64_MAX};
	options.segment_size_bytes = ((uint64_t)record_count * worker_count + 100 * UL_PAGE_SLOTS) * UL_SLOT_BYTES;
	options.segment_size_bytes += options.segment_size_bytes / 4096 + (1 << 20);
	options.segment_size_bytes *= 2; /* the helper makes the next one ready at half */
	int error = usagelog_open(&log, path, &options);
	if (error)
		die(path, error);
	struct ul_segment *segment = atomic_load(&log->current);
	uint32_t pages = segment->page_count / 2;
	error = os_extend(segment->fd, 0, (uint64_t)pages * UL_PAGE_BYTES, true);
	if (!error)
		error = os_populate(segment->base, (size_t)pages * UL_PAGE_BYTES);
	if (error)
		die("populate", error);
	ul_segment_publish(segment, pages);
	return log;
}

static void remove_log(const char *path)
{
	char command[512];
	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command))
		die("rm", -EIO);
}

/* ns a record of each thread; with several, of all together. */
static double run_library(enum how how, uint32_t worker_count)
{
	static const char path[] = "bench_record.log";
	struct worker workers[WORKERS_MAX];
	pthread_t threads[WORKERS_MAX];
	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, worker_count);
	usagelog *log = open_populated(path, worker_count);
	double longest = 0;
	for (uint32_t i = 0; i < worker_count; i++) {
		workers[i] = (struct worker){.log = log, .how = how, .barrier = &barrier};
		if (pthread_create(&threads[i], NULL, record_all, &workers[i]))
			die("thread", -EAGAIN);
	}
	for (uint32_t i = 0; i < worker_count; i++) {
		pthread_join(threads[i], NULL);
		longest = workers[i].spent > longest ? workers[i].spent : longest;
	}
	usagelog_close(log, 0);
	remove_log(path);
	return longest * 1e9 / record_count / worker_count;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

enum { FLOOR_CALLER, FLOOR_COARSE, RECORD_CALLER, RECORD_INTERNED, RECORD_STRINGS, RECORD_2_THREADS, FIGURES };
static const char *const figure_names[FIGURES] = {"floor_caller_ns",    "floor_coarse_ns",   "record_caller_ns",
						  "record_interned_ns", "record_strings_ns", "record_2_threads_ns"};

static double measure(int figure)
{
	switch (figure) {
	case FLOOR_CALLER:
		return run_floor(false);
	case FLOOR_COARSE:
		return run_floor(true);
	case RECORD_CALLER:
		return run_library(CALLERS_TIME, 1);
	case RECORD_INTERNED:
		return run_library(INTERNED, 1);
	case RECORD_STRINGS:
		return run_library(STRINGS, 1);
	default:
		return run_library(INTERNED, 2);
	}
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return a < b ? -1 : a > b;
}

static void print_results(double results[FIGURES][RUNS_MAX], bool json)
{
	double median[FIGURES];
	struct utsname machine;
	struct statfs filesystem = {0};
	uname(&machine);
	statfs(".", &filesystem);
	for (int figure = 0; figure < FIGURES; figure++) {
		qsort(results[figure], run_count, sizeof(double), compare);
		median[figure] = results[figure][run_count / 2];
	}
	double speedup = median[RECORD_INTERNED] / median[RECORD_2_THREADS];
	if (json)
		printf("{\"kernel\": \"%s\", \"machine\": \"%s\", \"cores\": %ld, \"filesystem\": \"0x%lx\", \"runs\": "
		       "%u, \"records\": %u",
		       machine.release, machine.machine, sysconf(_SC_NPROCESSORS_ONLN),
		       (unsigned long)filesystem.f_type, run_count, record_count);
	else
		printf("%-22s %8s %8s %8s %12s   (ns a record; %u runs of %u records)\n", "", "median", "least", "most",
		       "x the floor", run_count, record_count);
	for (int figure = 0; figure < FIGURES; figure++) {
		const double *runs = results[figure];
		int floor = figure == FLOOR_CALLER || figure == RECORD_CALLER ? FLOOR_CALLER : FLOOR_COARSE;
		if (json)
			printf(", \"%s\": %.2f, \"%.*s_least_ns\": %.2f, \"%.*s_most_ns\": %.2f", figure_names[figure],
			       median[figure], (int)strlen(figure_names[figure]) - 3, figure_names[figure], runs[0],
			       (int)strlen(figure_names[figure]) - 3, figure_names[figure], runs[run_count - 1]);
		else
			printf("%-22s %8.2f %8.2f %8.2f %12.2f\n", figure_names[figure], median[figure], runs[0],
			       runs[run_count - 1], median[figure] / median[floor]);
	}
	printf(json ? ", \"threads_2_speedup\": %.2f}\n" : "2 threads: %.2f x the records of one\n", speedup);
}

static uint32_t number(const char *text, uint32_t most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	if (*end || !value || value > most) {
		fprintf(stderr, "bench_record: %s: a number from 1 to %u is needed\n", text, most);
		exit(2);
	}
	return (uint32_t)value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"directory", required_argument, NULL, 'd'},
						{"runs", required_argument, NULL, 'r'},
						{"records", required_argument, NULL, 'n'},
						{NULL, 0, NULL, 0}};
	static double results[FIGURES][RUNS_MAX];
	bool json = false;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'j')
			json = true;
		else if (option == 'd')
			directory = optarg;
		else if (option == 'r')
			run_count = number(optarg, RUNS_MAX);
		else if (option == 'n')
			record_count = number(optarg, 5000000);
		else
			return 2;
	}
	if (chdir(directory))
		die(directory, -errno);
	for (uint32_t run = 0; run < run_count; run++)
		for (int figure = 0; figure < FIGURES; figure++)
			results[figure][run] = measure(figure);
	print_results(results, json);
	return 0;
}
