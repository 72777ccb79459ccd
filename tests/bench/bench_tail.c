/*
 * How long single calls of record() take when the log is written on and on: one call each microsecond, across rotations, with and
 * without syncs, by both backends, beside a loop that calls nothing, which shows what the machine itself adds. The modes
 * take turns, so that noise meets all alike. A call that comes late is not made up for: what counts is each call's own time.
 *
 * Then without a pace: how many records/s the log takes for as long as the disk does, beside populating mapped files of the same
 * size and writing the same bytes.
 *
 *     bench_tail [--json] [--directory DIR] [--seconds S of each mode] [--rounds N] [--pace-ns NS] [--unpaced-seconds S]
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bench.h"
#include "usagelog.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
	SYNC_INTERVAL_MS = 100,
	DAY_MS = 86400000,
	WARM_UP_COUNT = 20000,
	ENTRY_BYTES = 64,
	FILE_BYTES = 64 << 20, /* a segment's size by default */
	CHUNK_BYTES = 1 << 20
};

static double seconds_per_mode = 60;
static double unpaced_seconds = 10;
static uint32_t round_count = 6;
static double pace_ns = 1000;

/* ---- the modes ---------------------------------------------------------------------------------------------- */

struct mode {
	const char *name;
	const char *what;
	bool records, syncs, uring;
	struct bench_histogram histogram;
	uint64_t skipped; /* beats of the pace that passed while a call, or the machine, took longer */
	/* What the system counted of this thread: it asked for a page, it waited for something, it was taken off the processor. */
	uint64_t faults, waits, preemptions;
	struct usagelog_stats stats;
	int backend, backend_error;
};

static struct mode modes[] = {
	{.name = "bare", .what = "the paced loop alone"},
	{.name = "quiet_uring", .what = "no syncs, io_uring", .records = true, .uring = true},
	{.name = "quiet_syscall", .what = "no syncs, system calls", .records = true},
	{.name = "syncs_uring", .what = "a sync each 100 ms, io_uring", .records = true, .syncs = true, .uring = true},
	{.name = "syncs_syscall", .what = "a sync each 100 ms, system calls", .records = true, .syncs = true},
};
enum { MODES = sizeof(modes) / sizeof(modes[0]) };

struct log {
	usagelog *handle;
	usagelog_model model;
	usagelog_context context;
	const char *path;
};

static const struct usagelog_call call = {.input_tokens = 100,
					  .output_tokens = 50,
					  .cost_pico_usd = 200000000,
					  .flags = USAGELOG_COST,
					  .latency_us = 80000};

static struct log open_log(const struct usagelog_options *options)
{
	static const struct usagelog_attributes attributes = {.operation = "chat", .session_id = "e3bfdef4aca3"};
	struct log log = {.path = bench_directory_make()};
	int error = usagelog_open(&log.handle, log.path, options);
	if (!error)
		error = usagelog_model_get(log.handle, "openai", "gpt-4o-mini-2024-07-18", &log.model);
	if (!error)
		error = usagelog_context_get(log.handle, &attributes, &log.context);
	if (error)
		bench_die(log.path, error);
	return log;
}

static struct usagelog_stats stats_of(usagelog *handle)
{
	struct usagelog_stats stats = {.size = sizeof(stats)};
	int error = usagelog_stats_get(handle, &stats);
	if (error)
		bench_die("stats", error);
	return stats;
}

static void close_log(const struct log *log)
{
	int error = usagelog_close(log->handle, -1);
	if (error)
		bench_die("close of the log", error);
	bench_directory_remove(log->path);
}

/* ---- at a pace ---------------------------------------------------------------------------------------------- */

struct beat {
	uint64_t due;
	uint64_t step;
	uint64_t skipped;
};

static inline void wait_for_beat(struct beat *beat)
{
	uint64_t now = bench_ticks();
	while (now < beat->due)
		now = bench_ticks();
	beat->due += beat->step;
	if (now > beat->due) {
		uint64_t missed = (now - beat->due) / beat->step;
		beat->skipped += missed;
		beat->due += missed * beat->step;
	}
}

static void pace_bare(struct bench_histogram *histogram, struct beat *beat, uint64_t end)
{
	while (beat->due < end) {
		wait_for_beat(beat);
		uint64_t start = bench_ticks();
		__asm__ volatile("" ::: "memory");
		bench_histogram_add(histogram, bench_ticks() - start);
	}
}

static int pace_record(const struct log *log, struct bench_histogram *histogram, struct beat *beat, uint64_t end)
{
	int error = 0;
	while (beat->due < end) {
		wait_for_beat(beat);
		uint64_t start = bench_ticks();
		error |= usagelog_record(log->handle, log->model, log->context, &call);
		bench_histogram_add(histogram, bench_ticks() - start);
	}
	return error;
}

/* From the first call on the helper starts and the files grow to what the pace asks for: not counted. */
static void warm_up(const struct log *log, struct beat beat)
{
	static struct bench_histogram ignored;
	int error = pace_record(log, &ignored, &beat, beat.due + WARM_UP_COUNT * beat.step);
	if (error)
		bench_die("record", error);
}

static void add_stats(struct mode *mode, const struct usagelog_stats *before, const struct usagelog_stats *after)
{
	mode->stats.committed += after->committed - before->committed;
	mode->stats.syncs += after->syncs - before->syncs;
	mode->stats.sync_errors += after->sync_errors - before->sync_errors;
	mode->stats.rotations += after->rotations - before->rotations;
	mode->stats.inline_rotations += after->inline_rotations - before->inline_rotations;
	mode->stats.inline_extensions += after->inline_extensions - before->inline_extensions;
	mode->backend = after->backend;
	mode->backend_error = after->backend_error;
}

static struct rusage usage_of_thread(void)
{
	struct rusage usage;
	if (getrusage(RUSAGE_THREAD, &usage))
		bench_die("getrusage", -errno);
	return usage;
}

static void add_usage(struct mode *mode, const struct rusage *before)
{
	struct rusage after = usage_of_thread();
	mode->faults += (uint64_t)(after.ru_minflt - before->ru_minflt + after.ru_majflt - before->ru_majflt);
	mode->waits += (uint64_t)(after.ru_nvcsw - before->ru_nvcsw);
	mode->preemptions += (uint64_t)(after.ru_nivcsw - before->ru_nivcsw);
}

static void run_records(struct mode *mode, double seconds)
{
	struct usagelog_options options = {.size = sizeof(options),
					   .flags = mode->uring ? 0 : USAGELOG_NO_URING,
					   .flush_interval_ms = mode->syncs ? SYNC_INTERVAL_MS : DAY_MS,
					   .flush_size_bytes = UINT64_MAX};
	struct log log = open_log(&options);
	struct beat beat = {.due = bench_ticks(), .step = bench_ticks_of_ns(pace_ns)};
	warm_up(&log, beat);
	struct usagelog_stats before = stats_of(log.handle);
	struct rusage usage = usage_of_thread();
	beat.due = bench_ticks();
	int error = pace_record(&log, &mode->histogram, &beat, beat.due + bench_ticks_of_ns(seconds * 1e9));
	add_usage(mode, &usage);
	if (error)
		bench_die("record", error);
	struct usagelog_stats after = stats_of(log.handle);
	mode->skipped += beat.skipped;
	add_stats(mode, &before, &after);
	close_log(&log);
}

static void run_bare(struct mode *mode, double seconds)
{
	struct beat beat = {.due = bench_ticks(), .step = bench_ticks_of_ns(pace_ns)};
	struct rusage usage = usage_of_thread();
	pace_bare(&mode->histogram, &beat, beat.due + bench_ticks_of_ns(seconds * 1e9));
	add_usage(mode, &usage);
	mode->skipped += beat.skipped;
}

static void run_paced(void)
{
	for (int i = 0; i < MODES; i++)
		bench_histogram_clear(&modes[i].histogram);
	for (uint32_t round = 0; round < round_count; round++)
		for (int i = 0; i < MODES; i++) {
			bench_progress("round %u of %u, %s", round + 1, round_count, modes[i].name);
			if (modes[i].records)
				run_records(&modes[i], seconds_per_mode / round_count);
			else
				run_bare(&modes[i], seconds_per_mode / round_count);
		}
}

/* ---- as fast as can be -------------------------------------------------------------------------------------- */

struct unpaced {
	uint64_t records;
	double seconds;         /* of the records */
	double durable_seconds; /* and until all of them were synced */
	struct usagelog_stats stats;
	double populate_bytes_per_second;
	double write_bytes_per_second;
};

/* What a run may take of the disk: a quarter of what is free. */
static uint64_t bytes_allowed(void)
{
	struct statvfs filesystem;
	if (statvfs(".", &filesystem))
		bench_die("statvfs of the working directory", -errno);
	uint64_t bytes = (uint64_t)filesystem.f_bavail * filesystem.f_frsize / 4;
	if (bytes < 2 * FILE_BYTES)
		bench_fail("the filesystem has less than %d MiB free, which a run needs", 8 * FILE_BYTES >> 20);
	return bytes;
}

static void run_unpaced_log(struct unpaced *result)
{
	struct usagelog_options options = {.size = sizeof(options)};
	struct log log = open_log(&options);
	uint64_t most = bytes_allowed() / ENTRY_BYTES;
	int error = 0;
	double start = bench_seconds();
	do {
		for (int i = 0; i < 1000; i++)
			error |= usagelog_record(log.handle, log.model, log.context, &call);
		result->records += 1000;
		result->seconds = bench_seconds() - start;
	} while (result->seconds < unpaced_seconds && result->records < most);
	if (error)
		bench_die("record", error);
	error = usagelog_flush(log.handle, -1);
	if (error)
		bench_die("flush", error);
	result->durable_seconds = bench_seconds() - start;
	result->stats = stats_of(log.handle);
	close_log(&log);
}

static void populate_file(int fd)
{
	int error = -posix_fallocate(fd, 0, FILE_BYTES);
	if (error)
		bench_die("fallocate of the file to populate", error);
	void *base = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		bench_die("mmap of the file to populate", -errno);
	if (madvise(base, FILE_BYTES, MADV_POPULATE_WRITE))
		bench_die("MADV_POPULATE_WRITE", -errno);
	munmap(base, FILE_BYTES);
}

static void write_file(int fd)
{
	static char chunk[CHUNK_BYTES];
	memset(chunk, 'u', sizeof(chunk));
	for (size_t done = 0; done < FILE_BYTES; done += CHUNK_BYTES)
		if (write(fd, chunk, CHUNK_BYTES) != CHUNK_BYTES)
			bench_die("write of the file to compare with", -errno);
	if (fdatasync(fd))
		bench_die("fdatasync of the file to compare with", -errno);
}

/* Files of a segment's size, as many as hold the records, for as long as the records took at most; bytes/s. */
static double run_files(void (*fill)(int fd), uint64_t bytes)
{
	const char *path = bench_directory_make();
	double start = bench_seconds(), spent;
	uint64_t done = 0;
	do {
		char name[64];
		snprintf(name, sizeof(name), "%s/%u", path, (unsigned)(done / FILE_BYTES));
		int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			bench_die(name, -errno);
		fill(fd);
		close(fd);
		done += FILE_BYTES;
		spent = bench_seconds() - start;
	} while (done < bytes && spent < unpaced_seconds);
	bench_directory_remove(path);
	return (double)done / spent;
}

static void run_unpaced(struct unpaced *result)
{
	bench_progress("without a pace");
	run_unpaced_log(result);
	bench_progress("populating as much");
	result->populate_bytes_per_second = run_files(populate_file, result->records * ENTRY_BYTES);
	bench_progress("writing as much");
	result->write_bytes_per_second = run_files(write_file, result->records * ENTRY_BYTES);
}

/* ---- results ------------------------------------------------------------------------------------------------ */

static const char *backend_name(int backend)
{
	switch (backend) {
	case USAGELOG_BACKEND_URING:
		return "uring";
	case USAGELOG_BACKEND_SYSCALL:
		return "syscall";
	default:
		return "none";
	}
}

static void print_stats_json(const struct usagelog_stats *stats)
{
	bench_json_count("rotations", stats->rotations);
	bench_json_count("inline_rotations", stats->inline_rotations);
	bench_json_count("inline_extensions", stats->inline_extensions);
	bench_json_count("syncs", stats->syncs);
	bench_json_count("sync_errors", stats->sync_errors);
}

static void print_unpaced_json(const struct unpaced *result)
{
	bench_json_open("unpaced", '{');
	bench_json_count("records", result->records);
	bench_json_number("seconds", result->seconds);
	bench_json_number("records_per_second", (double)result->records / result->seconds);
	bench_json_number("durable_records_per_second", (double)result->records / result->durable_seconds);
	bench_json_number("bytes_per_second", (double)result->records * ENTRY_BYTES / result->seconds);
	bench_json_number("populate_bytes_per_second", result->populate_bytes_per_second);
	bench_json_number("write_fdatasync_bytes_per_second", result->write_bytes_per_second);
	print_stats_json(&result->stats);
	bench_json_close();
}

static void print_json(const struct unpaced *result)
{
	bench_json_open(NULL, '{');
	bench_machine_json(bench_clock_name());
	bench_json_number("seconds_per_mode", seconds_per_mode);
	bench_json_count("rounds", round_count);
	bench_json_number("pace_ns", pace_ns);
	bench_json_open("modes", '[');
	for (int i = 0; i < MODES; i++) {
		const struct mode *mode = &modes[i];
		bench_json_open(NULL, '{');
		bench_json_text("name", mode->name);
		bench_json_text("what", mode->what);
		bench_json_histogram("latency", &mode->histogram);
		bench_json_count("skipped", mode->skipped);
		bench_json_count("faults", mode->faults);
		bench_json_count("waits", mode->waits);
		bench_json_count("preemptions", mode->preemptions);
		if (mode->records) {
			bench_json_text("backend", backend_name(mode->backend));
			print_stats_json(&mode->stats);
		}
		bench_json_close();
	}
	bench_json_close();
	print_unpaced_json(result);
	bench_json_close();
}

static void print_mode(const struct mode *mode)
{
	const struct bench_histogram *all = &mode->histogram;
	printf("%-34s %8s %8s %8s %8s %8s %7s", mode->what, bench_ns_text(bench_quantile_ns(all, 0.5)),
	       bench_ns_text(bench_quantile_ns(all, 0.99)), bench_ns_text(bench_quantile_ns(all, 0.999)),
	       bench_ns_text(bench_quantile_ns(all, 0.9999)), bench_ns_text(bench_most_ns(all)),
	       bench_count_text((double)bench_count_over(all, 100e3)));
	printf(" %6llu %6llu %9llu", (unsigned long long)mode->faults, (unsigned long long)mode->waits,
	       (unsigned long long)mode->preemptions);
	if (mode->records)
		printf(" %6llu %9llu %12llu %4llu", (unsigned long long)mode->stats.syncs,
		       (unsigned long long)mode->stats.rotations, (unsigned long long)mode->stats.inline_rotations,
		       (unsigned long long)mode->stats.inline_extensions);
	putchar('\n');
	if (mode->records && mode->uring && mode->backend != USAGELOG_BACKEND_URING)
		printf("    io_uring was not used: %s\n", usagelog_strerror(mode->backend_error));
}

static void print_table(const struct unpaced *result)
{
	bench_machine_print(bench_clock_name());
	printf("one call each %.0f ns, %.3g s of each mode in %u rounds\n\n", pace_ns, seconds_per_mode, round_count);
	printf("%-34s %8s %8s %8s %8s %8s %7s %6s %6s %9s %6s %9s %17s\n", "", "p50", "p99", "p99.9", "p99.99", "max",
	       ">100 us", "faults", "waits", "preempted", "syncs", "rotations", "inline: rot. ext.");
	for (int i = 0; i < MODES; i++)
		print_mode(&modes[i]);
	double bytes = (double)result->records * ENTRY_BYTES;
	printf("\nwithout a pace: %s records/s for %.1f s, %s records/s until all are durable; %llu rotations, %llu of "
	       "them inline, "
	       "%llu inline extensions\n",
	       bench_count_text((double)result->records / result->seconds), result->seconds,
	       bench_count_text((double)result->records / result->durable_seconds),
	       (unsigned long long)result->stats.rotations, (unsigned long long)result->stats.inline_rotations,
	       (unsigned long long)result->stats.inline_extensions);
	printf("MB/s of the log %.0f, of fallocate and MADV_POPULATE_WRITE %.0f, of write and fdatasync %.0f\n",
	       bytes / result->seconds / 1e6, result->populate_bytes_per_second / 1e6,
	       result->write_bytes_per_second / 1e6);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"directory", required_argument, NULL, 'd'},
						{"seconds", required_argument, NULL, 's'},
						{"rounds", required_argument, NULL, 'r'},
						{"pace-ns", required_argument, NULL, 'p'},
						{"unpaced-seconds", required_argument, NULL, 'u'},
						{NULL, 0, NULL, 0}};
	static struct unpaced result;
	const char *directory = ".";
	bool json = false;
	bench_begin("bench_tail");
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'j')
			json = true;
		else if (option == 'd')
			directory = optarg;
		else if (option == 's')
			seconds_per_mode = bench_decimal("seconds", optarg, 0.001, 86400);
		else if (option == 'r')
			round_count = (uint32_t)bench_number("rounds", optarg, 1, 10000);
		else if (option == 'p')
			pace_ns = bench_decimal("pace-ns", optarg, 100, 1e9);
		else if (option == 'u')
			unpaced_seconds = bench_decimal("unpaced-seconds", optarg, 0.001, 3600);
		else
			return 2;
	}
	if (chdir(directory))
		bench_die(directory, -errno);
	/* The modes choose the backend; the environment would choose it for all. */
	unsetenv("USAGELOG_BACKEND");
	run_paced();
	run_unpaced(&result);
	bench_progress_end();
	if (json)
		print_json(&result);
	else
		print_table(&result);
	return 0;
}
