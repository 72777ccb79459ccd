/*
 * A process forks over and over while its threads record and flush: children that record to the same handle and end in every way there is, that fork
 * again, become daemons, start threads, or exec; and vfork() with exec. Each child writes to a segment of its own; the parent's calls stay whole.
 *
 *     fork_crowd --exec DIR    what a child execs: it records by itself, and tells of its calls on stdout
 */
#include "crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handle.h"

enum {
	LIFE_ROUNDS = 100, /* forks of one parent, and of one log */
	PARENT_THREADS = 3,
	CHILD_CALLS_MAX = 200,
	PARENT_CALLS_MAX = 1 << 20,
	CHILDREN_MAX = 8, /* at the same time */
};

static struct campaign campaign;
static struct ledger *ledger;

/* What the processes share beside the ledger. */
static struct shared {
	_Atomic bool over;
	_Atomic uint32_t forks, shared_segments;
} * shared;

static usagelog *parents_log;

static void trouble(int error)
{
	if (error)
		ledger_trouble(ledger, error);
}

/* ---- children --------------------------------------------------------------------------------------------- */

static void record_calls(uint64_t *state)
{
	struct handles handles = {0};
	uint32_t count = random_skewed(state, CHILD_CALLS_MAX);
	bool by_names = random_below(state, 2);
	for (uint32_t i = 0; i < count; i++)
		ledger_record(ledger, parents_log, by_names ? NULL : &handles);
}

static void *record_in_thread(void *arg)
{
	record_calls(arg);
	return NULL;
}

static struct ul_id current_id(void)
{
	const struct ul_segment *segment = atomic_load(&parents_log->current);
	return segment ? segment->id : (struct ul_id){0};
}

/* The ways in which a process may end that has a handle. */
__attribute__((noreturn)) static void end_somehow(uint64_t *state)
{
	switch (random_below(state, 4)) {
	case 0:
		trouble(usagelog_close(parents_log, 10000));
		break;
	case 1:
		trouble(usagelog_close(parents_log, 0));
		break;
	case 2:
		kill(getpid(), SIGKILL);
		break;
	default:
		break;
	}
	_exit(0);
}

/* Record, by a second thread too now and then. It may still be at work when this returns. */
static void record_with_thread(uint64_t *state, uint64_t *threads_state)
{
	pthread_t thread;
	*threads_state = random_next(state);
	bool starts = random_below(state, 4) == 0 && !pthread_create(&thread, NULL, record_in_thread, threads_state);
	record_calls(state);
	if (starts && random_below(state, 2))
		pthread_join(thread, NULL);
}

/* A child: what it was given is its parent's handle, as it was at the moment of the fork. It may fork on, and be a daemon, or wait. */
__attribute__((noreturn)) static void be_child(uint64_t state, struct ul_id parents_id)
{
	for (uint32_t depth = 0;; depth++) {
		uint64_t threads_state, childs_state = random_next(&state);
		bool daemon = random_below(&state, 2);
		if (random_below(&state, 8) == 0)
			end_somehow(&state);
		ledger_record(ledger, parents_log, NULL);
		struct ul_id id = current_id();
		/* Those who forked the children's children may have ended: then their segment is anybody's. */
		if (depth == 0 && !memcmp(&id, &parents_id, sizeof(id)))
			atomic_fetch_add(&shared->shared_segments, 1);
		record_with_thread(&state, &threads_state);
		if (random_below(&state, 4) == 0)
			trouble(usagelog_flush(parents_log, 10000));
		if (depth == 2 || random_below(&state, 4))
			end_somehow(&state);
		if (daemon)
			setsid();
		pid_t child = fork();
		if (child) {
			atomic_fetch_add(&shared->forks, 1);
			record_calls(&state);
			if (!daemon)
				waitpid(child, NULL, 0);
			end_somehow(&state);
		}
		state = childs_state;
	}
}

/* ---- another program -------------------------------------------------------------------------------------- */

static int be_program(const char *directory, const char *descriptor)
{
	uint64_t state = (uint64_t)getpid();
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED, (int)strtol(descriptor, NULL, 10), 0);
	if (ledger == MAP_FAILED)
		return 1;
	struct usagelog_options options = {.size = sizeof(options)};
	int error = usagelog_open(&parents_log, directory, &options);
	trouble(error);
	if (!error) {
		record_calls(&state);
		end_somehow(&state);
	}
	return error != 0;
}

static void exec_program(bool by_vfork)
{
	char descriptor[16];
	snprintf(descriptor, sizeof(descriptor), "%d", ledger_descriptor());
	pid_t child = by_vfork ? vfork() : fork();
	if (!child) {
		execl(campaign.program, campaign.program, "--exec", campaign.log, descriptor, (char *)NULL);
		_exit(127);
	}
}

/* ---- the parent ------------------------------------------------------------------------------------------- */

static void *record_beside(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	struct handles handles = {0};
	for (uint32_t calls = 0; !shared->over && calls < PARENT_CALLS_MAX; calls += 64) {
		for (uint32_t i = 0; i < 64; i++)
			ledger_record(ledger, parents_log, random_below(&state, 4) ? &handles : NULL);
		if (random_below(&state, 64) == 0)
			trouble(usagelog_flush(parents_log, 10000));
		pause_us(random_below(&state, 200));
	}
	return NULL;
}

__attribute__((noreturn)) static void be_parent(uint64_t state, uint32_t forks)
{
	pthread_t threads[PARENT_THREADS];
	static const uint32_t modes[] = {0, USAGELOG_NO_URING, USAGELOG_NO_HELPER, USAGELOG_SYNCHRONOUS};
	struct usagelog_options options = {
		.size = sizeof(options), .flags = modes[random_below(&state, 4)], .flush_interval_ms = 5};
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	int error = usagelog_open(&parents_log, campaign.log, &options);
	trouble(error);
	if (error)
		_exit(1);
	for (uint32_t i = 0; i < PARENT_THREADS; i++)
		if (pthread_create(&threads[i], NULL, record_beside, (void *)(uintptr_t)random_next(&state)))
			_exit(1);
	uint32_t running = 0;
	for (uint32_t i = 0; i < forks; i++) {
		uint32_t kind = random_below(&state, 10);
		uint64_t childs_state = random_next(&state);
		struct ul_id id = current_id();
		ledger_record(ledger, parents_log, NULL);
		pid_t child = kind < 2 ? 0 : fork();
		if (kind < 2)
			exec_program(kind == 0);
		else if (!child)
			be_child(childs_state, id);
		atomic_fetch_add(&shared->forks, 1);
		running++;
		while (running && waitpid(-1, NULL, running < CHILDREN_MAX ? WNOHANG : 0) > 0)
			running--;
	}
	shared->over = true;
	for (uint32_t i = 0; i < PARENT_THREADS; i++)
		pthread_join(threads[i], NULL);
	struct usagelog_stats stats = {.size = sizeof(stats)};
	trouble(usagelog_flush(parents_log, 10000));
	trouble(usagelog_stats_get(parents_log, &stats));
	/* The parent's completions are its own: everything that it committed is known durable. */
	if (stats.durable != stats.committed || stats.attempted != stats.committed)
		ledger_trouble(ledger, -EPROTO);
	trouble(usagelog_close(parents_log, 10000));
	while (waitpid(-1, NULL, 0) > 0)
		;
	_exit(0);
}

static void do_life(uint32_t forks)
{
	campaign_new_log(&campaign);
	ledger_clear(ledger);
	*shared = (struct shared){0};
	uint64_t state = random_next(&campaign.state);
	pid_t parent = fork();
	if (!parent)
		be_parent(state, forks);
	int status = program_end(parent);
	if (status)
		campaign_fail(&campaign, "the parent ended with %d", status);
	if (shared->shared_segments)
		campaign_fail(&campaign, "%u children wrote to their parent's segment", shared->shared_segments);
	campaign.points += shared->forks;
	/* Children killed themselves between two calls, but for their threads. */
	campaign_fold(&campaign, ledger, shared->forks);
}

int main(int argc, char **argv)
{
	unsigned long long calls = 0;
	if (argc == 4 && !strcmp(argv[1], "--exec"))
		return be_program(argv[2], argv[3]);
	campaign_begin(&campaign, "fork_crowd", 1000, argc, argv);
	campaign_needs_threads_after_fork();
	ledger = ledger_make();
	shared = campaign_share(sizeof(*shared));
	for (uint64_t round = 0; round < campaign.rounds; round += LIFE_ROUNDS) {
		uint64_t left = campaign.rounds - round;
		campaign.round = round;
		do_life((uint32_t)(left < LIFE_ROUNDS ? left : LIFE_ROUNDS));
		calls += ledger_end(ledger);
	}
	snprintf(campaign.notes, sizeof(campaign.notes), "%llu calls", calls);
	return campaign_end(&campaign);
}
