/*
 * A writer killed at any instruction. It runs under ptrace, a step at a time, through windows in which it records, defines, rotates, flushes, opens,
 * adopts, closes; with and without a helper, whose steps come in between, as those of a second thread that records, and of a signal handler that
 * does. What a thread stored in a shared mapping is in the file: so after each step the files are what SIGKILL would leave there and then, and
 * are read as a reader would, wherever a byte of a file that has a writer, or the ledger, changed. Each window ends by a real SIGKILL at a step of its own, most
 * of them in its midst; the next window goes on with what that left.
 */
#include "crash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handle.h"
#include "os.h"
#include "tracer.h"

enum {
	SEGMENT_BYTES = UL_SEGMENT_BYTES_MIN,
	LIFE_ROUNDS = 6,    /* windows until another log is begun */
	STEPS_FIRST = 2000, /* a window is thought to be so long at first, */
	STEPS_LEAST = 100,  /* and never shorter */
	BURST_MAX = 400,    /* steps of one thread in a row */
	WATCHED_MAX = 32,
	FULL_LOOK = 256, /* each so many steps all is read, changed or not */
};

enum act { RECORD, NAMES, DEFINE, IDS, ROTATE, FLUSH, OPEN, CLOSE, BEGIN, ACTS };
static const char *const act_names[ACTS] = {"record", "names", "define", "ids",  "rotate",
					    "flush",  "open",  "close",  "begin"};
/* How often each is chosen; and how many steps of it are made at most. Where most of the steps are the system's business, some system calls are skipped
 * first, and fewer steps made from there. */
static const struct {
	uint32_t weight, steps_max, skips_max;
} acts[ACTS] = {
	[RECORD] = {8, 40000, 0}, [NAMES] = {3, 40000, 0},   [DEFINE] = {3, 40000, 0},
	[IDS] = {2, 40000, 0},    [ROTATE] = {6, 40000, 16}, [FLUSH] = {2, 6000, 16},
	[OPEN] = {2, 4000, 100},  [CLOSE] = {2, 6000, 32},   [BEGIN] = {0, 4000, 100},
};
enum mode { INLINE, SYSCALLS, URING, SYNCHRONOUS, MODES };
static const uint32_t mode_flags[MODES] = {USAGELOG_NO_HELPER, USAGELOG_NO_URING, 0,
					   USAGELOG_SYNCHRONOUS | USAGELOG_NO_HELPER};

/* What a writer is to do; shared with it. */
struct plan {
	enum act act;
	enum mode mode;
	uint32_t before, calls;
	bool second;  /* a second thread records, too */
	bool handler; /* so does a signal handler */
	_Atomic bool window;
	_Atomic bool over;
};

static struct campaign campaign;
static struct ledger *ledger;
static struct plan *plan;

/* ---- the writer ------------------------------------------------------------------------------------------- */

static usagelog *writers_log;
static struct handles handles, handlers_handles;

static void handle(int signal)
{
	(void)signal;
	tracer_mark(MARK_OUT);
	ledger_record_in_handler(ledger, writers_log, &handlers_handles);
	tracer_mark(MARK_IN);
}

static void open_log(void)
{
	struct usagelog_options options = {.size = sizeof(options),
					   .flags = mode_flags[plan->mode],
					   .flush_interval_ms = 20,
					   .names_max = 64,
					   .segment_size_bytes = SEGMENT_BYTES};
	tracer_mark(MARK_IN);
	int error = usagelog_open(&writers_log, campaign.log, &options);
	tracer_mark(MARK_OUT);
	if (error) {
		ledger_trouble(ledger, error);
		_exit(1);
	}
}

static void *record_beside(void *unused)
{
	struct handles own = {0};
	while (!plan->window)
		pause_us(20);
	while (!plan->over && ledger_record(ledger, writers_log, &own) != USAGELOG_ERROR_CLOSED)
		;
	return unused;
}

/* Leave so few pages in the segment that the window comes to the next one. */
static void fill_segment(void)
{
	for (;;) {
		const struct ul_lane *lane = writers_log->lane_blocks[0];
		struct ul_segment *segment = atomic_load(&writers_log->current);
		bool last = atomic_load(&segment->next_page) >= segment->page_count;
		if (lane && last && atomic_load(&lane->next) + 3 >= lane->page_end)
			return;
		ledger_record(ledger, writers_log, &handles);
	}
}

/* Go on with the next number that is `rest` modulo `step`: those before it are nobody's. */
static void skip_to(uint32_t step, uint32_t rest)
{
	while (atomic_load(&ledger->next) % step != rest)
		atomic_fetch_add(&ledger->next, 1);
}

static void act(void)
{
	switch (plan->act) {
	case RECORD:
	case ROTATE:
		for (uint32_t i = 0; i < plan->calls; i++)
			ledger_record(ledger, writers_log, &handles);
		break;
	case NAMES:
		for (uint32_t i = 0; i < plan->calls; i++)
			ledger_record(ledger, writers_log, NULL);
		break;
	case DEFINE:
		skip_to(MODEL_CALLS, 0);
		ledger_record(ledger, writers_log, NULL);
		skip_to(4 * CONTEXT_CALLS, 3 * CONTEXT_CALLS);
		ledger_record(ledger, writers_log, NULL);
		break;
	case IDS:
		for (uint32_t i = 0; i < plan->calls; i++) {
			skip_to(16, 5);
			ledger_record(ledger, writers_log, NULL);
		}
		break;
	case FLUSH: {
		tracer_mark(MARK_IN);
		int error = usagelog_flush(writers_log, 60000);
		tracer_mark(MARK_OUT);
		if (error)
			ledger_trouble(ledger, error);
		break;
	}
	case OPEN:
	case BEGIN:
		open_log();
		ledger_record(ledger, writers_log, &handles);
		break;
	default: {
		tracer_mark(MARK_IN);
		int error = usagelog_close(writers_log, 60000);
		tracer_mark(MARK_OUT);
		if (error)
			ledger_trouble(ledger, error);
	}
	}
}

static void run_writer(void *unused)
{
	pthread_t thread;
	struct sigaction action = {.sa_handler = handle};
	(void)unused;
	bool opens = plan->act == OPEN || plan->act == BEGIN;
	if (!opens) {
		open_log();
		for (uint32_t i = 0; i < plan->before; i++)
			ledger_record(ledger, writers_log, i % 3 ? &handles : NULL);
		if (plan->act == ROTATE)
			fill_segment();
		ledger_prepare(ledger, writers_log, &handles);
		handlers_handles = handles;
	}
	sigaction(SIGUSR1, &action, NULL);
	if (plan->second && !opens && pthread_create(&thread, NULL, record_beside, NULL))
		_exit(1);
	plan->window = true;
	tracer_mark(MARK_BEGIN);
	act();
	tracer_mark(MARK_END);
	plan->over = true;
	if (plan->second && !opens)
		pthread_join(thread, NULL);
	if (plan->act != CLOSE)
		usagelog_close(writers_log, 60000);
}

/* ---- the judge -------------------------------------------------------------------------------------------- */

/* Files that have a writer, as they were when last looked at. */
static struct watched {
	int fd;
	size_t bytes;
	uint8_t seen[SEGMENT_BYTES];
} watched[WATCHED_MAX];
static uint32_t watched_count;
static uint64_t differing, killed;

static void watch_files(void)
{
	while (watched_count)
		close(watched[--watched_count].fd);
	DIR *stream = opendir(campaign.log);
	for (struct dirent *entry = stream ? readdir(stream) : NULL; entry; entry = readdir(stream)) {
		size_t length = strlen(entry->d_name);
		if (length < 4 ||
		    (strcmp(entry->d_name + length - 4, ".seg") && strcmp(entry->d_name + length - 4, ".tmp")))
			continue;
		int fd = openat(dirfd(stream), entry->d_name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && os_is_locked(fd) == 1 && watched_count < WATCHED_MAX)
			watched[watched_count++].fd = fd;
		else if (fd >= 0)
			close(fd);
	}
	if (stream)
		closedir(stream);
}

/* Has a byte changed since? */
static bool see_files(void)
{
	static uint8_t now[SEGMENT_BYTES];
	bool changed = false;
	for (uint32_t i = 0; i < watched_count; i++) {
		ssize_t got = pread(watched[i].fd, now, sizeof(now), 0);
		size_t bytes = got > 0 ? (size_t)got : 0;
		if (bytes == watched[i].bytes && !memcmp(now, watched[i].seen, bytes))
			continue;
		watched[i].bytes = bytes;
		memcpy(watched[i].seen, now, bytes);
		changed = true;
	}
	return changed;
}

static void look(bool anew, uint64_t unfinished_max)
{
	static uint32_t changes;
	struct census census;
	if (anew)
		watch_files();
	bool changed = see_files();
	uint32_t told = atomic_load(&ledger->changes);
	campaign.points++;
	differing += changed || told != changes;
	if (!changed && told == changes && !anew && campaign.points % FULL_LOOK)
		return;
	changes = told;
	if (!campaign_check(&campaign, ledger, &census, unfinished_max))
		fprintf(stderr, "at point %llu of this run, while it was to %s in mode %d\n",
			(unsigned long long)campaign.points, act_names[plan->act], plan->mode);
}

/* A thread that stands. TRACED_MAX: none. */
static uint32_t choose(const struct tracer *tracer)
{
	uint32_t standing[TRACED_MAX], count = 0;
	for (uint32_t i = 0; i < tracer->count; i++)
		if (tracer->threads[i].state == STANDS)
			standing[count++] = i;
	return count ? standing[random_below(&campaign.state, count)] : TRACED_MAX;
}

/* A window may be long, its end as far as its beginning: now and then, go so many system calls into it first. */
static void skip(struct tracer *tracer, uint32_t skips, uint64_t unfinished_max)
{
	while (skips-- && !tracer->end && tracer_skip(tracer, tracer->main_thread))
		look(true, unfinished_max);
}

/* Step through the window, at most so many steps. How many there were; `*ended`: it ended before. */
static uint32_t step_through(struct tracer *tracer, uint32_t steps_max, uint64_t unfinished_max, bool *ended)
{
	uint32_t current = tracer->main_thread, burst = 0, steps = 0;
	while (steps < steps_max && !tracer_is_over(tracer) && !tracer->end) {
		if (!burst-- || tracer->threads[current].state != STANDS) {
			current = choose(tracer);
			burst = random_skewed(&campaign.state, BURST_MAX);
		}
		if (current == TRACED_MAX) {
			tracer_look(tracer, true);
			burst = 0;
		} else if (tracer->threads[current].outside) {
			/* It may come to wait for what one that stands has locked. */
			tracer_go(tracer, current);
			tracer_look(tracer, false);
		} else {
			if (plan->handler && current == tracer->main_thread && !random_below(&campaign.state, 200))
				tracer->threads[current].signal = SIGUSR1;
			bool anew = tracer_step(tracer, current);
			steps++;
			look(anew, unfinished_max);
		}
	}
	*ended = tracer->end || tracer_is_over(tracer);
	return steps;
}

static enum act choose_act(void)
{
	uint32_t all = 0, act = 0;
	for (uint32_t i = 0; i < ACTS; i++)
		all += acts[i].weight;
	uint32_t chosen = random_below(&campaign.state, all);
	while (chosen >= acts[act].weight)
		chosen -= acts[act++].weight;
	return (enum act)act;
}

static void make_plan(bool first)
{
	uint64_t *state = &campaign.state;
	enum act act = first ? BEGIN : choose_act();
	*plan = (struct plan){.act = act,
			      .mode = (enum mode)random_below(state, MODES),
			      .before = random_skewed(state, 200),
			      .calls = 1 + random_skewed(state, 140),
			      .second = random_below(state, 3) == 0,
			      .handler = random_below(state, 3) == 0};
	/* Only where there is a helper: else a handler's call may do what it may not. */
	plan->handler &= plan->mode == SYSCALLS || plan->mode == URING;
}

static void do_round(bool first)
{
	static uint32_t limits[ACTS][MODES];
	struct tracer tracer;
	struct census census;
	bool ended;
	make_plan(first);
	campaign_check(&campaign, ledger, &census, UINT64_MAX);
	/* One a thread, and one that a signal handler interrupted. */
	uint64_t unfinished_max = census.unfinished + 1 + plan->second + plan->handler;
	uint32_t *limit = &limits[plan->act][plan->mode];
	*limit = *limit ? *limit : STEPS_FIRST;
	uint32_t steps_max = random_below(&campaign.state, *limit);
	tracer_start(&tracer, run_writer, NULL);
	if (!tracer_run(&tracer)) {
		campaign_check(&campaign, ledger, &census, unfinished_max);
		campaign_fail(&campaign, "the writer ended before its time: status %x", (unsigned)tracer.status);
		tracer_kill(&tracer);
		return;
	}
	look(true, unfinished_max);
	uint32_t skips = random_below(&campaign.state, 1 + acts[plan->act].skips_max);
	skip(&tracer, skips, unfinished_max);
	uint32_t steps = step_through(&tracer, steps_max, unfinished_max, &ended);
	/* Where the windows end is learnt, so that kills are spread over all of them. */
	if (!ended)
		*limit *= 2;
	else if (!skips)
		*limit = steps + steps / 8 + STEPS_LEAST;
	*limit = *limit < acts[plan->act].steps_max ? *limit : acts[plan->act].steps_max;
	if (tracer_is_over(&tracer))
		campaign_fail(&campaign, "the writer ended in the window: status %x", (unsigned)tracer.status);
	else if (ended && random_below(&campaign.state, 2)) {
		int status = tracer_finish(&tracer);
		if (status)
			campaign_fail(&campaign, "the writer ended with status %x", (unsigned)status);
	} else {
		killed++;
		tracer_kill(&tracer);
	}
	campaign_check(&campaign, ledger, &census, unfinished_max);
	if (!census.segments)
		return; /* there is no log yet */
	if (random_below(&campaign.state, 2))
		campaign_verify(&campaign);
	if (random_below(&campaign.state, 4) == 0)
		campaign_fold(&campaign, ledger, unfinished_max);
}

/* A writer that nobody kills goes on with what is there, and all is folded. */
static void end_life(void)
{
	struct census census;
	*plan = (struct plan){.act = RECORD, .mode = URING, .before = 300, .calls = 1};
	campaign_check(&campaign, ledger, &census, UINT64_MAX);
	pid_t child = fork();
	if (!child) {
		run_writer(NULL);
		_exit(0);
	}
	int status = program_end(child);
	if (status)
		campaign_fail(&campaign, "the last writer ended with %d", status);
	campaign_fold(&campaign, ledger, census.unfinished);
}

int main(int argc, char **argv)
{
	campaign_begin(&campaign, "kill_steps", 60, argc, argv);
	const char *cannot = tracer_cannot();
	if (cannot)
		campaign_skip(cannot);
	ledger = ledger_make();
	plan = campaign_share(sizeof(*plan));
	for (uint64_t round = 0; round < campaign.rounds; round++) {
		campaign.round = round;
		if (round % LIFE_ROUNDS == 0) {
			campaign_new_log(&campaign);
			ledger_clear(ledger);
		}
		do_round(round % LIFE_ROUNDS == 0);
		if (round % LIFE_ROUNDS == LIFE_ROUNDS - 1)
			end_life();
	}
	snprintf(campaign.notes, sizeof(campaign.notes), "%llu states differed, %llu really killed",
		 (unsigned long long)differing, (unsigned long long)killed);
	return campaign_end(&campaign);
}
