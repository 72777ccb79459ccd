/*
 * A host for tests that do harm to its files: some threads record, and tell of each call what became of it.
 *
 *     host DIR [--threads N] [--id N] [--flush N] [--pause US] [--segment BYTES] [--interval MS] [--synchronous] [--no-helper]
 *              [--fallback DIR]... [--handler] [--own-faults] [--any-filesystem]
 *
 * Each thread has numbers that count its calls. After each call it tells its result, 16 bytes to stdout: struct told. With --flush it
 * flushes after each so many calls, and then tells that all before is durable; in the synchronous mode each call is that by itself.
 * --handler: the host has a handler for SIGBUS; --own-faults: and a thread with faults of its own, which only that handler may mend.
 *
 * Commands are letters on stdin: p pauses the threads, g has them go on, f flushes, s shows the stats as a line of JSON on stderr, whose first
 * field is the result of the last flush; q, or the end of stdin, stops the threads, flushes, shows the stats and closes.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "usagelog.h"

enum { THREADS_MAX = 64, FALLBACKS_MAX = 8, FLUSH_MS = 20000 };
enum kind { COMMITTED, DURABLE, HELD, DROPPED, REFUSED, NOT_FLUSHED, OWN_FAULT };

struct told {
	uint64_t time_ns; /* monotonic, when it was told */
	uint16_t kind;
	uint16_t thread;
	uint32_t number; /* of the call; of REFUSED and NOT_FLUSHED: the error */
};

static struct {
	const char *directory;
	const char *fallbacks[FALLBACKS_MAX];
	uint32_t threads, id, flush, pause_us;
	bool handler, own_faults;
	struct usagelog_options options;
} settings = {.threads = 1,
	      .options = {.size = sizeof(struct usagelog_options), .flush_interval_ms = 5, .retry_delay_ms = 5}};

static usagelog *host_log;
static int last_flush;
static _Atomic bool stopping;
static _Atomic uint32_t threads_paused;
static pthread_mutex_t pausing = PTHREAD_MUTEX_INITIALIZER;

static void tell(enum kind kind, uint32_t thread, uint32_t number)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	struct told told = {.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
			    .kind = (uint16_t)kind,
			    .thread = (uint16_t)thread,
			    .number = number};
	if (write(STDOUT_FILENO, &told, sizeof(told)) != sizeof(told))
		_exit(3);
}

static void tell_result(int result, uint32_t thread, uint32_t number)
{
	bool synchronous = settings.options.flags & USAGELOG_SYNCHRONOUS;
	if (result == 0)
		tell(synchronous ? DURABLE : COMMITTED, thread, number);
	else if (result == USAGELOG_ERROR_HELD)
		tell(HELD, thread, number);
	else if (result == USAGELOG_ERROR_DROPPED)
		tell(DROPPED, thread, number);
	else if (synchronous && result > -10000)
		tell(COMMITTED, thread, number); /* as the header says: committed, not known durable */
	else
		tell(REFUSED, thread, (uint32_t)-result);
}

static void *record(void *arg)
{
	uint32_t thread = *(uint32_t *)arg;
	for (uint32_t number = 1; !stopping; number++) {
		char model[32];
		pthread_mutex_lock(&pausing);
		pthread_mutex_unlock(&pausing);
		/* A new name now and then, so that definitions meet harm, too. */
		snprintf(model, sizeof(model), "model-%u", number / 100 % 50);
		struct usagelog_names names = {.provider = "p", .model = model, .attributes = {.operation = "chat"}};
		struct usagelog_call call = {.input_tokens = thread, .output_tokens = number};
		threads_paused--;
		tell_result(usagelog_record_names(host_log, &names, &call), thread % THREADS_MAX, number);
		if (settings.flush && number % settings.flush == 0) {
			int error = usagelog_flush(host_log, FLUSH_MS);
			tell(error ? NOT_FLUSHED : DURABLE, thread % THREADS_MAX, error ? (uint32_t)-error : number);
		}
		threads_paused++;
		if (settings.pause_us && number % 16 == 0)
			usleep(settings.pause_us);
	}
	return NULL;
}

/* ---- faults of the host's own --------------------------------------------------------------------------------- */

static uint8_t *own_page;
static _Atomic uint32_t own_faults;

static void mend(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	uintptr_t at = (uintptr_t)info->si_addr - (uintptr_t)own_page;
	if (!own_page || at >= 4096)
		_exit(4); /* not ours: the library should have seen to it */
	if (mmap(own_page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		_exit(5);
	own_faults++;
}

static void have_handler(void)
{
	struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
	sigaction(SIGBUS, &action, NULL);
}

static void *fault(void *unused)
{
	char name[] = "/tmp/usagelog-host-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	while (!stopping && fd >= 0) {
		/* An empty file: each access to the page is beyond its end. */
		uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (page == MAP_FAILED)
			_exit(5);
		own_page = page;
		*(volatile uint8_t *)page = 1;
		tell(OWN_FAULT, 0, own_faults);
		munmap(page, 4096);
		usleep(200);
	}
	return unused;
}

/* ---- what is asked of it -------------------------------------------------------------------------------------- */

static void show_stats(void)
{
	struct usagelog_stats stats = {.size = sizeof(stats)};
	int error = usagelog_stats_get(host_log, &stats);
	uint64_t dropped = 0;
	for (int i = 0; i < USAGELOG_CAUSES; i++)
		dropped += stats.dropped[i];
	fprintf(stderr,
		"{\"flushed\": %d, \"error\": %d, \"attempted\": %lu, \"committed\": %lu, \"durable\": %lu, \"held\": "
		"%lu, "
		"\"dropped\": %lu, \"dropped_space\": %lu, \"dropped_gone\": %lu, \"dropped_permission\": %lu, "
		"\"sync_errors\": %lu, \"fallbacks\": %lu, "
		"\"fallback\": %u, \"backend\": %d, \"last_error\": %d, \"segments\": %u}\n",
		last_flush, error, stats.attempted, stats.committed, stats.durable, stats.held, dropped,
		stats.dropped[USAGELOG_CAUSE_SPACE], stats.dropped[USAGELOG_CAUSE_GONE],
		stats.dropped[USAGELOG_CAUSE_PERMISSION], stats.sync_errors, stats.fallbacks, stats.segment_in_fallback,
		stats.backend, stats.last_error, stats.segments_mapped);
}

static void obey(void)
{
	char command = 0;
	bool paused = false;
	while (command != 'q' && read(STDIN_FILENO, &command, 1) == 1) {
		if (command == 'p' && !paused) {
			paused = !pthread_mutex_lock(&pausing);
			while (threads_paused < settings.threads)
				usleep(50);
		}
		if (command == 'g' && paused)
			paused = pthread_mutex_unlock(&pausing);
		if (command == 'f')
			last_flush = usagelog_flush(host_log, FLUSH_MS);
		if (command == 's')
			show_stats();
	}
	if (paused)
		pthread_mutex_unlock(&pausing);
}

static uint32_t number_of(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

static void read_settings(int argc, char **argv)
{
	static const struct option options[] = {{"threads", 1, NULL, 't'},
						{"id", 1, NULL, 'i'},
						{"flush", 1, NULL, 'f'},
						{"pause", 1, NULL, 'p'},
						{"segment", 1, NULL, 's'},
						{"interval", 1, NULL, 'n'},
						{"synchronous", 0, NULL, 'y'},
						{"no-helper", 0, NULL, 'h'},
						{"fallback", 1, NULL, 'b'},
						{"handler", 0, NULL, 'r'},
						{"own-faults", 0, NULL, 'o'},
						{"any-filesystem", 0, NULL, 'a'},
						{NULL, 0, NULL, 0}};
	struct usagelog_options *log = &settings.options;
	log->fallback_directories = settings.fallbacks;
	log->segment_size_bytes = 1 << 20;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 't':
			settings.threads = number_of(optarg);
			break;
		case 'i':
			settings.id = number_of(optarg);
			break;
		case 'f':
			settings.flush = number_of(optarg);
			break;
		case 'p':
			settings.pause_us = number_of(optarg);
			break;
		case 's':
			log->segment_size_bytes = number_of(optarg);
			break;
		case 'n':
			log->flush_interval_ms = number_of(optarg);
			break;
		case 'y':
			log->flags |= USAGELOG_SYNCHRONOUS;
			break;
		case 'h':
			log->flags |= USAGELOG_NO_HELPER;
			break;
		case 'b':
			if (log->fallback_directory_count == FALLBACKS_MAX)
				exit(16);
			settings.fallbacks[log->fallback_directory_count++] = optarg;
			break;
		case 'r':
			settings.handler = true;
			break;
		case 'o':
			settings.own_faults = settings.handler = true;
			break;
		case 'a':
			log->flags |= USAGELOG_ALLOW_ANY_FILESYSTEM;
			break;
		default:
			exit(16);
		}
	}
	settings.directory = argv[optind];
	if (optind + 1 != argc || !settings.threads || settings.threads > THREADS_MAX)
		exit(16);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX], faulting;
	uint32_t numbers[THREADS_MAX];
	read_settings(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	if (settings.handler)
		have_handler();
	int error = usagelog_open(&host_log, settings.directory, &settings.options);
	if (error) {
		fprintf(stderr, "host: %s: %s\n", settings.directory, usagelog_strerror(error));
		return 1;
	}
	threads_paused = settings.threads;
	for (uint32_t i = 0; i < settings.threads; i++) {
		numbers[i] = settings.id * THREADS_MAX + i;
		if (pthread_create(&threads[i], NULL, record, &numbers[i]))
			return 2;
	}
	if (settings.own_faults && pthread_create(&faulting, NULL, fault, NULL))
		return 2;
	obey();
	stopping = true;
	for (uint32_t i = 0; i < settings.threads; i++)
		pthread_join(threads[i], NULL);
	if (settings.own_faults)
		pthread_join(faulting, NULL);
	last_flush = usagelog_flush(host_log, FLUSH_MS);
	show_stats();
	error = usagelog_close(host_log, FLUSH_MS);
	if (error)
		fprintf(stderr, "host: close: %s\n", usagelog_strerror(error));
	return 0;
}
