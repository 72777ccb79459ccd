/*
 * Writers that SIGSTOP stops for a while, wherever they are, two compactors at once, and other writers that go on meanwhile. Whoever is stopped is
 * neither presumed dead nor counted twice: when all have ended by themselves, nothing is unfinished, and the summary has each call once.
 */
#include "crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	LIFE_ROUNDS = 20,
	WRITERS = 3,
	THREADS_MAX = 3,
	PAUSE_US_MAX = 3000,
	BEHIND = 2,
	BEGIN_S_MAX = 10,
	NUMBERS_A_ROUND = 2000, /* then writers wait, so that a log grows no faster than it is folded */
};

static struct campaign campaign;
static struct ledger *ledger;
static struct orders {
	_Atomic bool over;
	_Atomic uint32_t end; /* of the numbers until the next round */
} * orders;

struct writer {
	usagelog *log;
	uint64_t state;
};

static void *record(void *arg)
{
	struct writer *writer = arg;
	struct handles handles = {0};
	while (!orders->over) {
		uint32_t count = ledger_end(ledger) < orders->end ? random_skewed(&writer->state, 40) : 0;
		for (uint32_t i = 0; i < count; i++)
			ledger_record(ledger, writer->log, random_below(&writer->state, 4) ? &handles : NULL);
		int error = random_below(&writer->state, 16) ? 0 : usagelog_flush(writer->log, -1);
		if (error)
			ledger_trouble(ledger, error);
		pause_us(random_below(&writer->state, 3000));
	}
	return NULL;
}

static void be_writer(uint64_t state)
{
	static const uint32_t modes[] = {0, USAGELOG_NO_URING, USAGELOG_NO_HELPER, USAGELOG_SYNCHRONOUS};
	struct writer writers[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	usagelog *log;
	struct usagelog_options options = {.size = sizeof(options),
					   .flags = modes[random_below(&state, 4)],
					   .flush_interval_ms = 2,
					   .segment_size_bytes = 1 << 18};
	int error = usagelog_open(&log, campaign.log, &options);
	uint32_t count = 1 + random_below(&state, THREADS_MAX);
	for (uint32_t i = 0; i < count && !error; i++) {
		writers[i] = (struct writer){log, random_next(&state)};
		error = pthread_create(&threads[i], NULL, record, &writers[i]);
	}
	for (uint32_t i = 0; i < count && !error; i++)
		pthread_join(threads[i], NULL);
	error = error ? error : usagelog_close(log, -1);
	if (error)
		ledger_trouble(ledger, error);
	_exit(error != 0);
}

/* Two at once: one folds, or both do, one after the other; who finds the other at work says so. */
static void fold_twice(void)
{
	pid_t first = program_start(&campaign, "compact"), second = program_start(&campaign, "compact");
	int one = program_end(first), other = program_end(second);
	if ((one && other) || (one && one != BEHIND) || (other && other != BEHIND))
		campaign_fail(&campaign, "two compactors at once ended with %d and %d", one, other);
}

static void stop_one(const pid_t writers[WRITERS])
{
	struct census census;
	pid_t writer = writers[random_below(&campaign.state, WRITERS)];
	orders->end = ledger_end(ledger) + NUMBERS_A_ROUND;
	pause_us(random_skewed(&campaign.state, PAUSE_US_MAX));
	kill(writer, SIGSTOP);
	pause_us(random_skewed(&campaign.state, PAUSE_US_MAX));
	campaign_check(&campaign, ledger, &census, UINT64_MAX);
	fold_twice();
	kill(writer, SIGCONT);
	fold_twice();
	campaign.points++;
}

static void do_life(uint64_t rounds)
{
	pid_t writers[WRITERS];
	campaign_new_log(&campaign);
	ledger_clear(ledger);
	orders->over = false;
	orders->end = NUMBERS_A_ROUND;
	for (uint32_t i = 0; i < WRITERS; i++) {
		uint64_t state = random_next(&campaign.state);
		writers[i] = fork();
		if (!writers[i])
			be_writer(state);
	}
	double end = now_s() + BEGIN_S_MAX;
	while (ledger_end(ledger) < 2 && now_s() < end)
		pause_us(100);
	for (uint64_t round = 0; round < rounds; round++, campaign.round++)
		stop_one(writers);
	orders->over = true;
	for (uint32_t i = 0; i < WRITERS; i++) {
		int status = program_end(writers[i]);
		if (status)
			campaign_fail(&campaign, "a writer ended with %d", status);
	}
	campaign_fold(&campaign, ledger, 0);
}

int main(int argc, char **argv)
{
	unsigned long long calls = 0;
	campaign_begin(&campaign, "stopped_writers", 200, argc, argv);
	ledger = ledger_make();
	orders = campaign_share(sizeof(*orders));
	while (campaign.round < campaign.rounds) {
		uint64_t left = campaign.rounds - campaign.round;
		do_life(left < LIFE_ROUNDS ? left : LIFE_ROUNDS);
		calls += ledger_end(ledger);
	}
	snprintf(campaign.notes, sizeof(campaign.notes), "%llu calls, %d writers", calls, WRITERS);
	return campaign_end(&campaign);
}
