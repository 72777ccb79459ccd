/*
 * How many calls a second become durable before record() returns, by 1 to 64 threads, in the synchronous mode of usagelog, beside
 * others that promise the same and the bare system calls, on the same disk in the same run. All take turns.
 *
 *     bench_commit [--json] [--directory DIR] [--only NAME] [--runs N] [--seconds S of each]
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "peers/peer.h"

enum { PEERS_MAX = 16, RUNS_MAX = 101, THREADS_MAX = 64 };

static const uint32_t thread_counts[] = {1, 4, 16, THREADS_MAX};
enum { THREAD_COUNTS = sizeof(thread_counts) / sizeof(thread_counts[0]) };

static uint32_t run_count = 3;
static double run_seconds = 2;

struct result {
	const struct peer *peer;
	double records_per_second[THREAD_COUNTS][RUNS_MAX];
	struct bench_summary summary[THREAD_COUNTS];
};

static uint32_t steps_of(const struct peer *peer)
{
	return peer->one_thread ? 1 : THREAD_COUNTS;
}

/* ---- one run ------------------------------------------------------------------------------------------------ */

struct run {
	const struct peer *peer;
	void *state;
	pthread_barrier_t begin;
	_Atomic bool stop;                  /* relaxed: nothing else is told by it */
	_Atomic uint64_t records;           /* relaxed: read after the threads have ended */
	_Alignas(64) _Atomic uint64_t next; /* of the peers that number their calls, one thread's */
};

static void *record_until_told(void *arg)
{
	struct run *run = arg;
	uint64_t count = 0;
	/* The first call makes what is made once. */
	run->peer->record(run->state, atomic_fetch_add(&run->next, 1));
	pthread_barrier_wait(&run->begin);
	while (!atomic_load_explicit(&run->stop, memory_order_relaxed)) {
		run->peer->record(run->state, atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed));
		count++;
	}
	atomic_fetch_add_explicit(&run->records, count, memory_order_relaxed);
	return NULL;
}

static void sleep_seconds(double seconds)
{
	struct timespec time = {.tv_sec = (time_t)seconds,
				.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
	while (nanosleep(&time, &time))
		;
}

static double measure(const struct peer *peer, uint32_t thread_count)
{
	pthread_t threads[THREADS_MAX];
	const char *directory = bench_directory_make();
	struct run run = {.peer = peer, .state = peer->open(directory, true)};
	pthread_barrier_init(&run.begin, NULL, thread_count + 1);
	for (uint32_t i = 0; i < thread_count; i++) {
		int error = -pthread_create(&threads[i], NULL, record_until_told, &run);
		if (error)
			bench_die("a thread that records", error);
	}
	pthread_barrier_wait(&run.begin);
	double start = bench_seconds();
	sleep_seconds(run_seconds);
	atomic_store_explicit(&run.stop, true, memory_order_relaxed);
	/* Calls that are on their way count, and so does their time. */
	for (uint32_t i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	double spent = bench_seconds() - start;
	pthread_barrier_destroy(&run.begin);
	peer->close(run.state);
	bench_directory_remove(directory);
	return (double)atomic_load(&run.records) / spent;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

static void print_json(const struct result *results, size_t count)
{
	bench_json_open(NULL, '{');
	bench_machine_json("CLOCK_MONOTONIC");
	bench_json_count("runs", run_count);
	bench_json_number("seconds", run_seconds);
	bench_json_open("peers", '[');
	for (size_t i = 0; i < count; i++) {
		bench_json_open(NULL, '{');
		bench_json_text("name", results[i].peer->name);
		bench_json_text("what", results[i].peer->durable);
		bench_json_open("threads", '[');
		for (uint32_t step = 0; step < steps_of(results[i].peer); step++) {
			bench_json_open(NULL, '{');
			bench_json_count("threads", thread_counts[step]);
			bench_json_summary("records", "_per_second", &results[i].summary[step]);
			bench_json_close();
		}
		bench_json_close();
		bench_json_close();
	}
	bench_json_close();
	bench_json_open("missing", '[');
	for (const char *const *missing = peers_missing; *missing; missing++)
		bench_json_text(NULL, *missing);
	bench_json_close();
	bench_json_close();
}

static void print_table(const struct result *results, size_t count)
{
	bench_machine_print("CLOCK_MONOTONIC");
	printf("durable records/s: median (least - most) of %u runs of %.3g s\n\n%-44s", run_count, run_seconds,
	       "threads");
	for (uint32_t step = 0; step < THREAD_COUNTS; step++)
		printf(" %26u", thread_counts[step]);
	putchar('\n');
	for (size_t i = 0; i < count; i++) {
		printf("%-44s", results[i].peer->durable);
		for (uint32_t step = 0; step < steps_of(results[i].peer); step++) {
			const struct bench_summary *runs = &results[i].summary[step];
			printf(" %8s (%7s -%7s)", bench_count_text(runs->median), bench_count_text(runs->least),
			       bench_count_text(runs->most));
		}
		putchar('\n');
	}
	for (const char *const *missing = peers_missing; *missing; missing++)
		printf("not built, or cannot be durable: %s\n", *missing);
}

static void measure_all(struct result *results, size_t count)
{
	for (uint32_t run = 0; run < run_count; run++)
		for (size_t i = 0; i < count; i++)
			for (uint32_t step = 0; step < steps_of(results[i].peer); step++) {
				bench_progress("run %u of %u, %s, %u threads", run + 1, run_count,
					       results[i].peer->name, thread_counts[step]);
				results[i].records_per_second[step][run] =
					measure(results[i].peer, thread_counts[step]);
			}
	for (size_t i = 0; i < count; i++)
		for (uint32_t step = 0; step < steps_of(results[i].peer); step++)
			results[i].summary[step] = bench_summarize(results[i].records_per_second[step], run_count);
	bench_progress_end();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},          {"directory", required_argument, NULL, 'd'},
		{"only", required_argument, NULL, 'o'},    {"runs", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
	static struct result results[PEERS_MAX];
	const char *directory = ".", *only = NULL;
	bool json = false;
	bench_begin("bench_commit");
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'j')
			json = true;
		else if (option == 'd')
			directory = optarg;
		else if (option == 'o')
			only = optarg;
		else if (option == 'r')
			run_count = (uint32_t)bench_number("runs", optarg, 1, RUNS_MAX);
		else if (option == 's')
			run_seconds = bench_decimal("seconds", optarg, 0.001, 3600);
		else
			return 2;
	}
	if (chdir(directory))
		bench_die(directory, -errno);
	size_t count = 0;
	for (const struct peer *const *peer = peers; *peer; peer++)
		if ((*peer)->durable && (!only || !strcmp(only, (*peer)->name)))
			results[count++].peer = *peer;
	if (!count)
		bench_fail("--only %s: there is no such peer in this build that can be durable", only);
	measure_all(results, count);
	if (json)
		print_json(results, count);
	else
		print_table(results, count);
	return 0;
}
