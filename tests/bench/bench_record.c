/*
 * What one record() costs, beside the floor of what any such log must do: claim a slot, read the clock, build the entry,
 * checksum it with XXH3, store it. The floor is a loop written by hand, in this process, on the same kind of memory: a file
 * on the same filesystem, allocated and populated ahead, streamed through once. In each run all take turns, some thousand records at a
 * time, so that noise of the machine meets all alike; of the runs, the median and the spread are shown.
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

enum { RUNS_MAX = 101, WORKERS = 2, COPIES = 64, SLICE = 20000 };

static const char *directory = ".";
static uint32_t record_count = 500000;
static uint32_t run_count = 11;

static int64_t coarse_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- who takes part ----------------------------------------------------------------------------------------- */

enum how { FLOOR_CALLER, FLOOR_COARSE, RECORD_CALLER, RECORD_INTERNED, RECORD_STRINGS, RECORD_FRESH };

struct contestant {
	enum how how;
	/* The floor's. */
	int fd;
	uint64_t *words;
	_Atomic uint32_t next;
	/* The library's. */
	usagelog *log;
	char path[64];
	usagelog_model model;
	usagelog_context context;
	/* Of the run. */
	double spent;
	pthread_barrier_t *barrier;
};

/* ---- the floor ---------------------------------------------------------------------------------------------- */

static uint8_t *floor_file(size_t bytes, int *fd)
{
	void *base = NULL;
	*fd = os_open(AT_FDCWD, "bench_record.floor", O_RDWR | O_CREAT | O_TRUNC);
	int error = *fd < 0 ? *fd : os_extend(*fd, 0, bytes, true);
	os_unlink(AT_FDCWD, "bench_record.floor");
	if (!error)
		error = os_map(&base, bytes, *fd, 0, true);
	if (!error)
		error = os_populate(base, bytes, true);
	if (error)
		bench_die("the floor's file", error);
	return base;
}

/* `count` more records; ns for all. */
static double floor_slice(struct contestant *own, uint32_t count)
{
	/* What the compiler may not know in advance. */
	volatile uint64_t names = (uint64_t)449 << 32 | ul_tag(UL_KIND_CALL, 448), tokens = 100, rest = 50,
			  latency = 80000;
	volatile int64_t caller_ns = coarse_ns();
	bool with_clock = own->how == FLOOR_COARSE;
	uint64_t seed = names, *words = own->words;
	double start = bench_seconds();
	for (uint32_t i = 0; i < count; i++) {
		uint32_t slot = atomic_fetch_add_explicit(&own->next, 1, memory_order_relaxed);
		uint64_t body[7] = {
			names, (uint64_t)(with_clock ? coarse_ns() : caller_ns), 200000000, tokens, 0, rest, latency};
		uint64_t checksum = ul_slot_checksum(body, ul_slot_seed(seed, slot));
		uint64_t *place = words + (size_t)slot * 8;
		for (int word = 0; word < 7; word++)
			__atomic_store_n(&place[1 + word], body[word], __ATOMIC_RELAXED);
		__atomic_store_n(&place[0], checksum, __ATOMIC_RELEASE);
	}
	return bench_seconds() - start;
}

/* ---- the library -------------------------------------------------------------------------------------------- */

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

static double library_slice(struct contestant *own, uint32_t count)
{
	static struct copy texts[COPIES];
	static struct usagelog_names names[COPIES];
	struct usagelog_call call = {.input_tokens = 100,
				     .output_tokens = 50,
				     .cost_pico_usd = 200000000,
				     .flags = USAGELOG_COST,
				     .latency_us = 80000};
	if (own->how == RECORD_FRESH)
		copy_names(texts, names);
	if (own->how == RECORD_CALLER)
		call.time_ns = coarse_ns();
	int error = 0;
	double start = bench_seconds();
	if (own->how == RECORD_FRESH)
		for (uint32_t i = 0; i < count; i++)
			error |= usagelog_record_names(own->log, &names[i % COPIES], &call);
	else if (own->how == RECORD_STRINGS)
		for (uint32_t i = 0; i < count; i++)
			error |= usagelog_record_names(own->log, &names_of_call, &call);
	else
		for (uint32_t i = 0; i < count; i++)
			error |= usagelog_record(own->log, own->model, own->context, &call);
	double spent = bench_seconds() - start;
	if (error)
		bench_die("record", error);
	return spent;
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
		error = os_populate(segment->base, (size_t)pages * UL_PAGE_BYTES, true);
	if (error)
		bench_die("populate", error);
	ul_segment_publish(segment, pages);
	return log;
}

/* ---- runs --------------------------------------------------------------------------------------------------- */

/* Ready to record: files populated, definitions written by a first call, the helper begun. */
static void begin(struct contestant *own, enum how how, uint32_t worker_count)
{
	*own = (struct contestant){.how = how};
	if (how <= FLOOR_COARSE) {
		own->words = (uint64_t *)(void *)floor_file((size_t)record_count * UL_SLOT_BYTES, &own->fd);
		return;
	}
	struct usagelog_call call = {.input_tokens = 1};
	snprintf(own->path, sizeof(own->path), "%s", bench_directory_make());
	own->log = open_populated(own->path, worker_count);
	int error = usagelog_model_get(own->log, names_of_call.provider, names_of_call.model, &own->model);
	if (!error)
		error = usagelog_context_get(own->log, &names_of_call.attributes, &own->context);
	if (!error)
		error = usagelog_record(own->log, own->model, own->context, &call);
	if (error)
		bench_die("the first call", error);
}

static void end(struct contestant *own)
{
	if (own->log) {
		usagelog_close(own->log, 0);
		bench_directory_remove(own->path);
		return;
	}
	munmap(own->words, (size_t)record_count * UL_SLOT_BYTES);
	close(own->fd);
}

static double slice(struct contestant *own, uint32_t count)
{
	return own->how <= FLOOR_COARSE ? floor_slice(own, count) : library_slice(own, count);
}

enum { ALONE = RECORD_FRESH + 1, FLOOR_2_THREADS = ALONE, RECORD_2_THREADS, FIGURES };
static const char *const figure_names[FIGURES] = {"floor_caller",    "floor_coarse",    "record_caller",
						  "record_interned", "record_strings",  "record_strings_fresh",
						  "floor_2_threads", "record_2_threads"};

/* All of one thread, in turns. */
static void run_alone(double results[FIGURES][RUNS_MAX], uint32_t run)
{
	static struct contestant contestants[ALONE];
	for (int i = 0; i < ALONE; i++)
		begin(&contestants[i], (enum how)i, 1);
	/* The helpers come to rest. */
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	for (uint32_t done = 0; done < record_count; done += SLICE) {
		uint32_t count = record_count - done < SLICE ? record_count - done : SLICE;
		for (int i = 0; i < ALONE; i++)
			contestants[i].spent += slice(&contestants[i], count);
	}
	for (int i = 0; i < ALONE; i++) {
		results[i][run] = contestants[i].spent * 1e9 / record_count;
		end(&contestants[i]);
	}
}

static void *run_beside(void *arg)
{
	struct contestant *own = arg;
	slice(own, SLICE < record_count ? 1 : 0);
	pthread_barrier_wait(own->barrier);
	own->spent = slice(own, record_count - 1);
	return NULL;
}

/* Two threads at the same time, on one log, or with a floor each: ns a record of both together. */
static double run_two(enum how how)
{
	struct contestant contestants[WORKERS];
	pthread_t threads[WORKERS];
	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, WORKERS);
	double longest = 0;
	for (uint32_t i = 0; i < WORKERS; i++) {
		if (how <= FLOOR_COARSE || i == 0)
			begin(&contestants[i], how, WORKERS);
		else
			contestants[i] = contestants[0];
		contestants[i].barrier = &barrier;
	}
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	for (uint32_t i = 0; i < WORKERS; i++)
		if (pthread_create(&threads[i], NULL, run_beside, &contestants[i]))
			bench_die("thread", -EAGAIN);
	for (uint32_t i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		longest = contestants[i].spent > longest ? contestants[i].spent : longest;
	}
	for (uint32_t i = 0; i < (how <= FLOOR_COARSE ? WORKERS : 1); i++)
		end(&contestants[i]);
	pthread_barrier_destroy(&barrier);
	return longest * 1e9 / record_count / WORKERS;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

/* The medians of the runs' own ratios: what was measured side by side is compared. */
static double ratio_of(double results[FIGURES][RUNS_MAX], int over, int under)
{
	double ratios[RUNS_MAX];
	for (uint32_t run = 0; run < run_count; run++)
		ratios[run] = results[over][run] / results[under][run];
	return bench_summarize(ratios, run_count).median;
}

static void print_json(const struct bench_summary figures[FIGURES], const double ratios[FIGURES])
{
	bench_json_open(NULL, '{');
	bench_machine_json("CLOCK_MONOTONIC");
	bench_json_count("runs", run_count);
	bench_json_count("records", record_count);
	for (int figure = 0; figure < FIGURES; figure++)
		bench_json_summary(figure_names[figure], "_ns", &figures[figure]);
	bench_json_number("record_caller_ratio", ratios[RECORD_CALLER]);
	bench_json_number("record_interned_ratio", ratios[RECORD_INTERNED]);
	bench_json_number("record_strings_ratio", ratios[RECORD_STRINGS]);
	bench_json_number("floor_threads_2_speedup", ratios[FLOOR_2_THREADS]);
	bench_json_number("threads_2_speedup", ratios[RECORD_2_THREADS]);
	bench_json_close();
}

static void print_table(const struct bench_summary figures[FIGURES], const double ratios[FIGURES])
{
	bench_machine_print("CLOCK_MONOTONIC");
	printf("%-22s %8s %8s %8s %17s %12s   (ns a record; %u runs of %u records)\n", "", "median", "least", "most",
	       "half of the runs", "x the floor", run_count, record_count);
	for (int figure = 0; figure < FIGURES; figure++) {
		const struct bench_summary *runs = &figures[figure];
		printf("%-22s %8.2f %8.2f %8.2f %8.2f-%8.2f", figure_names[figure], runs->median, runs->least,
		       runs->most, runs->quartile_low, runs->quartile_high);
		printf(figure < ALONE ? " %12.2f\n" : "\n", ratios[figure]);
	}
	printf("2 threads: %.2f x the records of one; of the floor: %.2f x\n", ratios[RECORD_2_THREADS],
	       ratios[FLOOR_2_THREADS]);
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
		run_alone(results, run);
		results[FLOOR_2_THREADS][run] = run_two(FLOOR_COARSE);
		results[RECORD_2_THREADS][run] = run_two(RECORD_INTERNED);
	}
	bench_progress_end();
	double ratios[FIGURES];
	for (int figure = 0; figure < ALONE; figure++)
		ratios[figure] =
			ratio_of(results, figure,
				 figure == FLOOR_CALLER || figure == RECORD_CALLER ? FLOOR_CALLER : FLOOR_COARSE);
	ratios[FLOOR_2_THREADS] = ratio_of(results, FLOOR_COARSE, FLOOR_2_THREADS);
	ratios[RECORD_2_THREADS] = ratio_of(results, RECORD_INTERNED, RECORD_2_THREADS);
	for (int figure = 0; figure < FIGURES; figure++)
		figures[figure] = bench_summarize(results[figure], run_count);
	if (json)
		print_json(figures, ratios);
	else
		print_table(figures, ratios);
	return 0;
}
