/*
 * usagelog beside other ways to keep a record of each call (peers/): what single calls take at a steady pace, how many a second come
 * into the file, and how many calls that had returned are not in the file when the process is killed.
 *
 * Each run is a child process with a directory of its own, so that no peer's threads and memory meet another's; the peers take
 * turns. A killed one is really killed: it tells the number of calls that returned through shared memory, and what
 * is in its files is counted after its death.
 *
 *     bench_peers [--json] [--directory DIR] [--only NAME] [--runs N] [--seconds S of each run] [--pace-us US] [--rounds N of kills]
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "peers/peer.h"

enum { PEERS_MAX = 16, RUNS_MAX = 101, WARM_UP_COUNT = 500, BEGIN_SECONDS_MAX = 60 };
/* A victim lives for so long after its first call, at least and at most. */
enum { LIFE_MS_MIN = 50, LIFE_MS_MAX = 200 };
/* The slower of the two paces of victims. */
enum { SLOW_PER_SECOND = 1000 };

static uint32_t run_count = 3;
static uint32_t kill_count = 20;
static double run_seconds = 1;
static double pace_us = 10;
static const char *only;

/* What a child tells. */
struct shared {
	_Atomic uint64_t returned; /* calls of a victim; stored after each return, read when it is dead */
	uint64_t records;
	double seconds;
	uint64_t counted;
	struct bench_histogram histogram;
};
static struct shared *shared;

struct kills {
	uint64_t returned, lost, lost_most;
	double lost_of_round[RUNS_MAX];
};

struct result {
	const struct peer *peer;
	struct bench_histogram histogram;
	double records_per_second[RUNS_MAX];
	struct kills fast, slow;
};

/* ---- children ----------------------------------------------------------------------------------------------- */

typedef void (*job)(const struct peer *peer, const char *directory);

static pid_t start_child(job run, const struct peer *peer, const char *directory)
{
	pid_t child = fork();
	if (child < 0)
		bench_die("fork", -errno);
	if (child)
		return child;
	/* One that records without end must not outlive the one that is to kill it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		bench_die("prctl", -errno);
	run(peer, directory);
	_exit(0);
}

static int wait_for(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			bench_die("waitpid", -errno);
	return status;
}

static void run_child(job run, const struct peer *peer, const char *directory)
{
	int status = wait_for(start_child(run, peer, directory));
	if (WIFSIGNALED(status))
		bench_fail("%s: the run was ended by signal %d", peer->name, WTERMSIG(status));
	if (status)
		bench_fail("%s: the run failed with status %d", peer->name, WEXITSTATUS(status));
}

static void count_files(const struct peer *peer, const char *directory)
{
	shared->counted = peer->count(directory);
}

/* ---- single calls ------------------------------------------------------------------------------------------- */

/* A call that comes late is not made up for: each call's own time counts, not that of those it kept waiting. */
static void time_calls(const struct peer *peer, const char *directory)
{
	void *state = peer->open(directory, false);
	uint64_t step = bench_ticks_of_ns(pace_us * 1e3), number = 0;
	uint64_t begin = bench_ticks(), life = bench_ticks_of_ns(run_seconds * 1e9);
	/* No longer than a run, where a call takes milliseconds. */
	while (number < WARM_UP_COUNT && bench_ticks() - begin < life)
		peer->record(state, number++);
	uint64_t now = bench_ticks(), due = now, end = now + life;
	while (due < end) {
		while (now < due)
			now = bench_ticks();
		uint64_t start = bench_ticks();
		peer->record(state, number++);
		now = bench_ticks();
		bench_histogram_add(&shared->histogram, now - start);
		due = due + step > now ? due + step : now;
	}
	/* Not closed: a queue may need minutes to be emptied, and what is in the file is of no interest here. */
}

static void run_latency(const struct peer *peer, struct bench_histogram *histogram)
{
	const char *directory = bench_directory_make();
	bench_histogram_clear(&shared->histogram);
	run_child(time_calls, peer, directory);
	bench_histogram_merge(histogram, &shared->histogram);
	bench_directory_remove(directory);
}

/* What the machine and the measuring take where nothing is done: no peer, but timed as one. */
static void *nothing_open(const char *directory, bool is_durable)
{
	(void)directory, (void)is_durable;
	return NULL;
}

static void nothing_record(void *state, uint64_t number)
{
	(void)state, (void)number;
}

static const struct peer nothing = {
	.name = "nothing", .what = "nothing", .open = nothing_open, .record = nothing_record};
static struct bench_histogram nothing_histogram;

/* ---- as fast as can be -------------------------------------------------------------------------------------- */

static void record_fast(const struct peer *peer, const char *directory)
{
	enum { BATCH = 20 }; /* so often the clock is looked at */
	void *state = peer->open(directory, false);
	uint64_t number = 0, most = peer->count_max ? peer->count_max : UINT64_MAX;
	double start = bench_seconds();
	do
		for (int i = 0; i < BATCH; i++)
			peer->record(state, number++);
	while (number < most && bench_seconds() - start < run_seconds);
	peer->flush(state);
	shared->seconds = bench_seconds() - start;
	shared->records = number;
	peer->close(state);
}

static void run_throughput(struct result *result, uint32_t run)
{
	const char *directory = bench_directory_make();
	run_child(record_fast, result->peer, directory);
	run_child(count_files, result->peer, directory);
	if (shared->counted != shared->records)
		bench_fail("%s: of %llu calls %llu are in the file after close, and nothing was killed",
			   result->peer->name, (unsigned long long)shared->records,
			   (unsigned long long)shared->counted);
	result->records_per_second[run] = (double)shared->records / shared->seconds;
	bench_directory_remove(directory);
}

/* ---- kills -------------------------------------------------------------------------------------------------- */

static void tell(uint64_t number)
{
	atomic_store_explicit(&shared->returned, number, memory_order_release);
}

static void be_fast_victim(const struct peer *peer, const char *directory)
{
	void *state = peer->open(directory, false);
	for (uint64_t number = 0;;) {
		peer->record(state, number++);
		tell(number);
	}
}

static void be_slow_victim(const struct peer *peer, const char *directory)
{
	void *state = peer->open(directory, false);
	struct timespec due;
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (uint64_t number = 0;;) {
		peer->record(state, number++);
		tell(number);
		due.tv_nsec += 1000000000 / SLOW_PER_SECOND;
		due.tv_sec += due.tv_nsec / 1000000000;
		due.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	}
}

static void sleep_ms(double ms)
{
	struct timespec time = {.tv_sec = (time_t)(ms / 1e3), .tv_nsec = (long)(ms * 1e6) % 1000000000};
	while (nanosleep(&time, &time))
		;
}

static void kill_one(struct result *result, struct kills *kills, job victim, uint32_t round)
{
	const char *directory = bench_directory_make();
	atomic_store(&shared->returned, 0);
	pid_t child = start_child(victim, result->peer, directory);
	double deadline = bench_seconds() + BEGIN_SECONDS_MAX;
	while (!atomic_load(&shared->returned) && bench_seconds() < deadline)
		sleep_ms(1);
	/* Lives of all lengths, evenly. */
	sleep_ms(LIFE_MS_MIN + (LIFE_MS_MAX - LIFE_MS_MIN) * (round + 0.5) / kill_count);
	kill(child, SIGKILL);
	int status = wait_for(child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL || !atomic_load(&shared->returned))
		bench_fail("%s: the process to be killed ended by itself, or recorded nothing", result->peer->name);
	run_child(count_files, result->peer, directory);
	uint64_t returned = atomic_load(&shared->returned);
	/* One more than returned may be there: the one that was on its way. */
	uint64_t lost = returned > shared->counted ? returned - shared->counted : 0;
	kills->returned += returned;
	kills->lost += lost;
	kills->lost_most = lost > kills->lost_most ? lost : kills->lost_most;
	kills->lost_of_round[round] = (double)lost;
	bench_directory_remove(directory);
}

/* ---- results ------------------------------------------------------------------------------------------------ */

static void print_kills_json(const char *key, struct kills *kills)
{
	struct bench_summary lost = bench_summarize(kills->lost_of_round, kill_count);
	bench_json_open(key, '{');
	bench_json_count("kills", kill_count);
	bench_json_count("returned", kills->returned);
	bench_json_count("lost", kills->lost);
	bench_json_number("lost_median", lost.median);
	bench_json_count("lost_most", kills->lost_most);
	bench_json_close();
}

static void print_json(struct result *results, size_t count)
{
	bench_json_open(NULL, '{');
	bench_machine_json(bench_clock_name());
	bench_json_count("runs", run_count);
	bench_json_number("seconds", run_seconds);
	bench_json_number("pace_us", pace_us);
	bench_json_count("slow_per_second", SLOW_PER_SECOND);
	bench_json_open("nothing", '{');
	bench_json_histogram("latency", &nothing_histogram);
	bench_json_close();
	bench_json_open("peers", '[');
	for (size_t i = 0; i < count; i++) {
		struct bench_summary speed = bench_summarize(results[i].records_per_second, run_count);
		bench_json_open(NULL, '{');
		bench_json_text("name", results[i].peer->name);
		bench_json_text("what", results[i].peer->what);
		bench_json_histogram("latency", &results[i].histogram);
		bench_json_summary("records", "_per_second", &speed);
		print_kills_json("killed_at_speed", &results[i].fast);
		print_kills_json("killed_at_pace", &results[i].slow);
		bench_json_close();
	}
	bench_json_close();
	bench_json_open("missing", '[');
	for (const char *const *missing = peers_missing; *missing; missing++)
		bench_json_text(NULL, *missing);
	bench_json_close();
	bench_json_close();
}

static void print_times(const char *what, const struct bench_histogram *all)
{
	printf("%-36s %8s %8s %8s %8s %8s", what, bench_ns_text(bench_quantile_ns(all, 0.5)),
	       bench_ns_text(bench_quantile_ns(all, 0.99)), bench_ns_text(bench_quantile_ns(all, 0.999)),
	       bench_ns_text(bench_quantile_ns(all, 0.9999)), bench_ns_text(bench_most_ns(all)));
}

static void print_table(struct result *results, size_t count)
{
	bench_machine_print(bench_clock_name());
	printf("a call each %.3g us, %u runs of %.3g s; killed %u times at full speed and %u times at %d calls/s\n\n",
	       pace_us, run_count, run_seconds, kill_count, kill_count, SLOW_PER_SECOND);
	printf("%-36s %8s %8s %8s %8s %8s %12s   %s\n", "", "median", "p99", "p99.9", "p99.99", "max", "records/s",
	       "lost by a kill: median, most; at a pace");
	print_times(nothing.what, &nothing_histogram);
	putchar('\n');
	for (size_t i = 0; i < count; i++) {
		struct bench_summary speed = bench_summarize(results[i].records_per_second, run_count);
		struct bench_summary fast = bench_summarize(results[i].fast.lost_of_round, kill_count);
		struct bench_summary slow = bench_summarize(results[i].slow.lost_of_round, kill_count);
		print_times(results[i].peer->what, &results[i].histogram);
		printf(" %12s   %s, %s; %s, %s\n", bench_count_text(speed.median), bench_count_text(fast.median),
		       bench_count_text(fast.most), bench_count_text(slow.median), bench_count_text(slow.most));
	}
	for (const char *const *missing = peers_missing; *missing; missing++)
		printf("not here, for its library was not there when this was built: %s\n", *missing);
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static size_t choose(struct result results[PEERS_MAX])
{
	size_t count = 0;
	for (const struct peer *const *peer = peers; *peer; peer++)
		if (!(*peer)->only_durable && (!only || !strcmp(only, (*peer)->name)))
			results[count++].peer = *peer;
	if (!count)
		bench_fail("--only %s: there is no such peer in this build", only);
	return count;
}

static void measure(struct result *results, size_t count)
{
	for (uint32_t run = 0; run < run_count; run++) {
		run_latency(&nothing, &nothing_histogram);
		for (size_t i = 0; i < count; i++) {
			bench_progress("run %u of %u, %s", run + 1, run_count, results[i].peer->name);
			run_latency(results[i].peer, &results[i].histogram);
			run_throughput(&results[i], run);
		}
	}
	for (uint32_t round = 0; round < kill_count; round++)
		for (size_t i = 0; i < count; i++) {
			bench_progress("kill %u of %u, %s", round + 1, kill_count, results[i].peer->name);
			kill_one(&results[i], &results[i].fast, be_fast_victim, round);
			kill_one(&results[i], &results[i].slow, be_slow_victim, round);
		}
	bench_progress_end();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},          {"directory", required_argument, NULL, 'd'},
		{"only", required_argument, NULL, 'o'},    {"runs", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'}, {"pace-us", required_argument, NULL, 'p'},
		{"rounds", required_argument, NULL, 'k'},  {NULL, 0, NULL, 0}};
	static struct result results[PEERS_MAX];
	const char *directory = ".";
	bool json = false;
	bench_begin("bench_peers");
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
		else if (option == 'p')
			pace_us = bench_decimal("pace-us", optarg, 0.1, 1e6);
		else if (option == 'k')
			kill_count = (uint32_t)bench_number("rounds", optarg, 1, RUNS_MAX);
		else
			return 2;
	}
	if (chdir(directory))
		bench_die(directory, -errno);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		bench_die("memory shared with the runs", -errno);
	size_t count = choose(results);
	measure(results, count);
	if (json)
		print_json(results, count);
	else
		print_table(results, count);
	return 0;
}
