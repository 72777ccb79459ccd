/*
 * A thread that is stopped at an instruction of record(), between claim and commit or anywhere else, while another one goes on in the pages above
 * and flushes, and the log is folded; at times after a signal handler has recorded there, too. When it goes on, its call is committed late, in a page
 * below others that are durable already: the next flush covers it, and it is counted once.
 */
#include "crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tracer.h"

enum {
	LIFE_ROUNDS = 10,
	SEGMENT_BYTES = 1 << 18,
	STEPS_MAX = 400, /* a record() of the hot path takes about 130 */
	HOLD_S_MAX = 10,
	BESIDE_US_MAX = 20000, /* that long another thread may wait for a lock that the stopped one holds */
};

static struct campaign campaign;
static struct ledger *ledger;

/* What the process is to do, and how far it is. */
static struct shared {
	uint32_t flags, before, calls, beside;
	_Atomic bool recorded, go_beside, beside_is_done, flushed, leave;
} * shared;

static usagelog *writers_log;
static struct handles handles, handlers_handles;

static void handle(int signal)
{
	(void)signal;
	ledger_record_in_handler(ledger, writers_log, &handlers_handles);
}

static void flush(void)
{
	int error = usagelog_flush(writers_log, -1);
	if (error)
		ledger_trouble(ledger, error);
}

static void *record_beside(void *unused)
{
	struct handles own = {0};
	while (!shared->go_beside)
		pause_us(50);
	for (uint32_t i = 0; i < shared->beside; i++)
		ledger_record(ledger, writers_log, &own);
	flush();
	shared->beside_is_done = true;
	return unused;
}

static void run_writer(void *unused)
{
	pthread_t thread;
	struct sigaction action = {.sa_handler = handle};
	struct usagelog_options options = {.size = sizeof(options),
					   .flags = shared->flags,
					   .flush_interval_ms = 5,
					   .segment_size_bytes = SEGMENT_BYTES};
	(void)unused;
	int error = usagelog_open(&writers_log, campaign.log, &options);
	if (error) {
		ledger_trouble(ledger, error);
		_exit(1);
	}
	sigaction(SIGUSR1, &action, NULL);
	for (uint32_t i = 0; i < shared->before; i++)
		ledger_record(ledger, writers_log, &handles);
	ledger_prepare(ledger, writers_log, &handles);
	handlers_handles = handles;
	if (pthread_create(&thread, NULL, record_beside, NULL))
		_exit(1);
	tracer_mark(MARK_BEGIN);
	for (uint32_t i = 0; i < shared->calls; i++)
		ledger_record(ledger, writers_log, &handles);
	shared->recorded = true;
	pthread_join(thread, NULL);
	flush();
	shared->flushed = true;
	while (!shared->leave)
		pause_us(50);
	error = usagelog_close(writers_log, -1);
	if (error)
		ledger_trouble(ledger, error);
}

/* Is there a call that is claimed, and not committed? */
static bool is_late(void)
{
	struct census census;
	census_take(&census, campaign.log, ledger);
	return census.unfinished;
}

/* Step the first thread into its calls, most times until one of them is under way in the log; the others run, as far as they can without it. */
static void step_in(struct tracer *tracer, bool by_handler)
{
	uint32_t steps = random_below(&campaign.state, STEPS_MAX), main_thread = tracer->main_thread;
	bool until_late = random_below(&campaign.state, 4) && !by_handler;
	steps += until_late ? STEPS_MAX : 0;
	uint32_t signal_step = by_handler ? random_below(&campaign.state, steps + 1) : UINT32_MAX;
	struct traced *thread = &tracer->threads[main_thread];
	for (uint32_t step = 0; step < steps && !shared->recorded && !tracer_is_over(tracer);) {
		tracer_look(tracer, false);
		tracer_go_others(tracer, main_thread);
		if (thread->state != STANDS)
			continue;
		if (thread->outside) {
			tracer_go(tracer, main_thread);
			continue;
		}
		if (step == signal_step)
			thread->signal = SIGUSR1;
		tracer_step(tracer, main_thread);
		step++;
		/* A call is under way in the log for some ten steps. */
		if (until_late && step % 3 == 0 && is_late())
			return;
	}
}

/* Let the others go, and the first thread too if `all`, until the flag is set. False: it is not, in that time. */
static bool pump(struct tracer *tracer, bool all, const _Atomic bool *flag, double seconds)
{
	double end = now_s() + seconds;
	while (!*flag && !tracer_is_over(tracer) && now_s() < end) {
		tracer_look(tracer, false);
		tracer_go_others(tracer, all ? TRACED_MAX : tracer->main_thread);
		pause_us(20);
	}
	return *flag;
}

static uint64_t unfinished_seen;

static void do_round(void)
{
	static const uint32_t modes[] = {0, 0, USAGELOG_NO_URING, USAGELOG_NO_HELPER, USAGELOG_SYNCHRONOUS};
	uint64_t *state = &campaign.state;
	struct tracer tracer;
	struct census census;
	*shared = (struct shared){.flags = modes[random_below(state, 5)],
				  .before = random_below(state, 100),
				  .calls = 1 + random_below(state, 8),
				  .beside = random_skewed(state, 200)};
	/* A handler may record where there is a helper. */
	bool by_handler = random_below(state, 3) == 0 && !(shared->flags & ~(uint32_t)USAGELOG_NO_URING);
	tracer_start(&tracer, run_writer, NULL);
	if (!tracer_run(&tracer)) {
		campaign_fail(&campaign, "the writer ended before its time: status %x", (unsigned)tracer.status);
		return;
	}
	step_in(&tracer, by_handler);
	tracer_unmark();
	shared->go_beside = true;
	pump(&tracer, false, &shared->beside_is_done, BESIDE_US_MAX / 1e6);
	campaign_check(&campaign, ledger, &census, 1 + by_handler + !shared->beside_is_done);
	unfinished_seen += census.unfinished;
	if (random_below(state, 2) && program_end(program_start(&campaign, "compact")))
		campaign_fail(&campaign, "usagelog compact beside a stopped writer failed");
	if (!pump(&tracer, true, &shared->flushed, HOLD_S_MAX)) {
		campaign_fail(&campaign, "the writer did not go on, or its flush did not return");
		tracer_kill(&tracer);
		return;
	}
	campaign_check(&campaign, ledger, &census, 0);
	if (census.not_durable)
		campaign_fail(&campaign, "%llu slots are not durable after a flush",
			      (unsigned long long)census.not_durable);
	campaign_fold(&campaign, ledger, 0);
	shared->leave = true;
	int status = tracer_finish(&tracer);
	if (status)
		campaign_fail(&campaign, "the writer ended with status %x", (unsigned)status);
	campaign.points++;
}

int main(int argc, char **argv)
{
	campaign_begin(&campaign, "late_commits", 200, argc, argv);
	const char *cannot = tracer_cannot();
	if (cannot)
		campaign_skip(cannot);
	ledger = ledger_make();
	shared = campaign_share(sizeof(*shared));
	for (uint64_t round = 0; round < campaign.rounds; round++) {
		campaign.round = round;
		if (round % LIFE_ROUNDS == 0) {
			campaign_new_log(&campaign);
			ledger_clear(ledger);
		}
		do_round();
	}
	snprintf(campaign.notes, sizeof(campaign.notes), "%llu times between claim and commit",
		 (unsigned long long)unfinished_seen);
	return campaign_end(&campaign);
}
