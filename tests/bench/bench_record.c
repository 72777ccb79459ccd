/*
 * What one record() costs, beside the floor of what any such log must do: claim a slot, read the clock, build the entry,
 * checksum it with XXH3, store it. The floor is a loop written by hand, in this process, on the same kind of memory: a file
 * on the same filesystem, allocated and populated ahead, streamed through once. Runs alternate, and the median
 * of the runs of each is shown with their spread, so that noise of the machine meets all alike.
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
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "handle.h"
#include "os.h"
#include "seal.h"

enum { RUNS_MAX = 101, WORKERS_MAX = 2, COPIES = 64 };

static const char *directory = ".";
static uint32_t record_count = 500000;
static uint32_t run_count = 11;

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
		bench_die("the floor's file", error);
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
	double start = bench_seconds();
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
	double spent = bench_seconds() - start;
	munmap(words, bytes);
	close(fd);
	return spent * 1e9 / record_count;
}

/* ---- the library -------------------------------------------------------------------------------------------- */

enum how { INTERNED, CALLERS_TIME, STRINGS, FRESH_STRINGS };

struct worker {
	usagelog *log;
	enum how how;
	pthread_barrier_t *barrier;
	double spent;
};

static const struct usagelog_names names_of_call = {.provider = "openai",
						    .model = "gpt-4o-mini-2024-07-18",
						    .attributes = {.operation = "chat", .session_id = "e3bfdef4aca3"}};

/* The same texts in buffers of their own, which a program has that reads each call's names from somewhere. Each call takes
 * the next set, so that no string is where it was a call ago; they are made before the clock starts. */
struct copy {
	char provider[16], model[32], operation[16], session_id[16];
};

static void copy_names(struct copy texts[COPIES], struct usagelog_names names[COPIES])
{
	for (size_t i = 0; i < COPIES; i++) {
		struct copy *copy = &texts[i];
		snprintf(copy->provider, sizeof(copy->provider), "%s", names_of_call.provider);
		snprintf(copy->model, sizeof(copy->model), "%s", names_of_call.model);
		snprintf(copy->operation, sizeof(copy->operation), "%s", names_of_call.attributes.operation);
		snprintf(copy->session_id, sizeof(copy->session_id), "%s", names_of_call.attributes.session_id);
		names[i] = (struct usagelog_names){
			.provider = copy->provider,
			.model = copy->model,
			.attributes = {.operation = copy->operation, .session_id = copy->session_id}};
	}
}

static int record_loop(const struct worker *worker, usagelog_model model, usagelog_context context,
		       const struct usagelog_call *call, const struct usagelog_names names[COPIES])
{
	int error = 0;
	if (worker->how == FRESH_STRINGS)
		for (uint32_t i = 0; i < record_count; i++)
			error |= usagelog_record_names(worker->log, &names[i % COPIES], call);
	else if (worker->how == STRINGS)
		for (uint32_t i = 0; i < record_count; i++)
			error |= usagelog_record_names(worker->log, &names_of_call, call);
	else
		for (uint32_t i = 0; i < record_count; i++)
			error |= usagelog_record(worker->log, model, context, call);
	return error;
}

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
	struct copy texts[COPIES];
	struct usagelog_names names[COPIES];
	copy_names(texts, names);
	int error = usagelog_model_get(log, names_of_call.provider, names_of_call.model, &model);
	if (!error)
		error = usagelog_context_get(log, &names_of_call.attributes, &context);
	/* The first call takes a page, and writes the definitions. */
	if (!error)
		error = usagelog_record(log, model, context, &call);
	if (error)
		bench_die("the first call", error);
	if (worker->how == CALLERS_TIME)
		call.time_ns = coarse_ns();
	pthread_barrier_wait(worker->barrier);
	double start = bench_seconds();
	error = record_loop(worker, model, context, &call, names);
	worker->spent = bench_seconds() - start;
	if (error)
		bench_die("record", error);
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
		bench_die(path, error);
	struct ul_segment *segment = atomic_load(&log->current);
	uint32_t pages = segment->page_count / 2;
	error = os_extend(segment->fd, 0, (uint64_t)pages * UL_PAGE_BYTES, true);
	if (!error)
		error = os_populate(segment->base, (size_t)pages * UL_PAGE_BYTES);
	if (error)
		bench_die("populate", error);
	ul_segment_publish(segment, pages);
	return log;
}

/* ns a record of each thread; with several, of all together. */
static double run_library(enum how how, uint32_t worker_count)
{
	const char *path = bench_directory_make();
	struct worker workers[WORKERS_MAX];
	pthread_t threads[WORKERS_MAX];
	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, worker_count);
	usagelog *log = open_populated(path, worker_count);
	double longest = 0;
	for (uint32_t i = 0; i < worker_count; i++) {
		workers[i] = (struct worker){.log = log, .how = how, .barrier = &barrier};
		if (pthread_create(&threads[i], NULL, record_all, &workers[i]))
			bench_die("thread", -EAGAIN);
	}
	for (uint32_t i = 0; i < worker_count; i++) {
		pthread_join(threads[i], NULL);
		longest = workers[i].spent > longest ? workers[i].spent : longest;
	}
	usagelog_close(log, 0);
	bench_directory_remove(path);
	return longest * 1e9 / record_count / worker_count;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

enum {
	FLOOR_CALLER,
	FLOOR_COARSE,
	RECORD_CALLER,
	RECORD_INTERNED,
	RECORD_STRINGS,
	RECORD_FRESH,
	RECORD_2_THREADS,
	FIGURES
};
static const char *const figure_names[FIGURES] = {"floor_caller",    "floor_coarse",   "record_caller",
						  "record_interned", "record_strings", "record_strings_fresh",
						  "record_2_threads"};

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
	case RECORD_FRESH:
		return run_library(FRESH_STRINGS, 1);
	default:
		return run_library(INTERNED, 2);
	}
}

static void print_json(const struct bench_summary figures[FIGURES])
{
	bench_json_open(NULL, '{');
	bench_machine_json("CLOCK_MONOTONIC");
	bench_json_count("runs", run_count);
	bench_json_count("records", record_count);
	for (int figure = 0; figure < FIGURES; figure++)
		bench_json_summary(figure_names[figure], "_ns", &figures[figure]);
	bench_json_number("threads_2_speedup", figures[RECORD_INTERNED].median / figures[RECORD_2_THREADS].median);
	bench_json_close();
}

static void print_table(const struct bench_summary figures[FIGURES])
{
	bench_machine_print("CLOCK_MONOTONIC");
	printf("%-22s %8s %8s %8s %17s %12s   (ns a record; %u runs of %u records)\n", "", "median", "least", "most",
	       "half of the runs", "x the floor", run_count, record_count);
	for (int figure = 0; figure < FIGURES; figure++) {
		const struct bench_summary *runs = &figures[figure];
		int floor = figure == FLOOR_CALLER || figure == RECORD_CALLER ? FLOOR_CALLER : FLOOR_COARSE;
		printf("%-22s %8.2f %8.2f %8.2f %8.2f-%8.2f %12.2f\n", figure_names[figure], runs->median, runs->least,
		       runs->most, runs->quartile_low, runs->quartile_high, runs->median / figures[floor].median);
	}
	printf("2 threads: %.2f x the records of one\n",
	       figures[RECORD_INTERNED].median / figures[RECORD_2_THREADS].median);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"directory", required_argument, NULL, 'd'},
						{"runs", required_argument, NULL, 'r'},
						{"records", required_argument, NULL, 'n'},
						{NULL, 0, NULL, 0}};
	static double results[FIGURES][RUNS_MAX];
	struct bench_summary figures[FIGURES];
	bool json = false;
	bench_begin("bench_record");
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'j')
			json = true;
		else if (option == 'd')
			directory = optarg;
		else if (option == 'r')
			run_count = (uint32_t)bench_number("runs", optarg, 1, RUNS_MAX);
		else if (option == 'n')
			record_count = (uint32_t)bench_number("records", optarg, 1, 5000000);
		else
			return 2;
	}
	if (chdir(directory))
		bench_die(directory, -errno);
	for (uint32_t run = 0; run < run_count; run++) {
		bench_progress("run %u of %u", run + 1, run_count);
		for (int figure = 0; figure < FIGURES; figure++)
			results[figure][run] = measure(figure);
	}
	bench_progress_end();
	for (int figure = 0; figure < FIGURES; figure++)
		figures[figure] = bench_summarize(results[figure], run_count);
	if (json)
		print_json(figures);
	else
		print_table(figures);
	return 0;
}
