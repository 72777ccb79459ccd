/*
 * Writers of 1 to 16 threads killed for real, by SIGKILL, at random moments: one after the other on the same log, each of which goes on in what the
 * ones before left, and at times two at once. Now and then the log is folded and verified, also while they write.
 */
#include "crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	THREADS_MAX = 16,
	LIFE_ROUNDS = 25,       /* kills until another log is begun */
	NUMBERS_A_ROUND = 8000, /* then a writer waits for its death */
	PAUSE_US_MAX = 8000,    /* until a kill */
	SEGMENT_BYTES_MIN = 64 << 10,
};

static struct campaign campaign;
static struct ledger *ledger;

struct writer {
	usagelog *log;
	uint64_t state;
	uint32_t end;
	bool flushes;
};

static void *record(void *arg)
{
	struct writer writer = *(const struct writer *)arg;
	struct handles handles = {0};
	while (ledger_end(ledger) < writer.end) {
		uint32_t count = random_skewed(&writer.state, 500);
		bool by_names = random_below(&writer.state, 3) == 0;
		for (uint32_t i = 0; i < count; i++)
			ledger_record(ledger, writer.log, by_names ? NULL : &handles);
		int error = writer.flushes && !random_below(&writer.state, 20) ? usagelog_flush(writer.log, 10000) : 0;
		if (error)
			ledger_trouble(ledger, error);
	}
	return NULL;
}

static void write_until_killed(uint64_t state, uint32_t threads)
{
	static const uint32_t modes[] = {0, 0, USAGELOG_NO_URING, USAGELOG_NO_HELPER, USAGELOG_SYNCHRONOUS};
	struct writer writers[THREADS_MAX];
	pthread_t thread;
	usagelog *log;
	struct usagelog_options options = {
		.size = sizeof(options),
		.flags = modes[random_below(&state, sizeof(modes) / sizeof(modes[0]))],
		.flush_interval_ms = 1 + random_below(&state, 20),
		.segment_size_bytes = SEGMENT_BYTES_MIN << (random_below(&state, 2) * 3),
	};
	uint32_t end = ledger_end(ledger) + NUMBERS_A_ROUND;
	int error = usagelog_open(&log, campaign.log, &options);
	if (error) {
		ledger_trouble(ledger, error);
		_exit(1);
	}
	for (uint32_t i = 0; i < threads; i++) {
		writers[i] = (struct writer){
			.log = log, .state = random_next(&state), .end = end, .flushes = random_below(&state, 3) == 0};
		if (pthread_create(&thread, NULL, record, &writers[i]))
			_exit(1);
	}
	for (;;)
		pause();
}

/* Unfinished slots that may be there: one for each thread that was killed on this log. */
static uint64_t unfinished_max;

static pid_t start_writer(void)
{
	uint64_t state = random_next(&campaign.state);
	uint32_t threads = 1 + random_skewed(&campaign.state, THREADS_MAX);
	unfinished_max += threads;
	pid_t child = fork();
	if (!child)
		write_until_killed(state, threads);
	return child;
}

static void kill_writer(pid_t child)
{
	kill(child, SIGKILL);
	int status = program_end(child);
	if (status != 256 + SIGKILL)
		campaign_fail(&campaign, "a writer ended with %d before it was killed", status);
}

/* False: every writer so far was killed before there was a log. */
static bool do_round(void)
{
	struct census census;
	uint32_t writers = 1 + (random_below(&campaign.state, 4) == 0);
	pid_t children[2];
	for (uint32_t i = 0; i < writers; i++)
		children[i] = start_writer();
	pause_us(random_skewed(&campaign.state, PAUSE_US_MAX));
	if (random_below(&campaign.state, 8) == 0) {
		campaign_check(&campaign, ledger, &census, UINT64_MAX);
		if (census.segments && program_end(program_start(&campaign, "compact")))
			campaign_fail(&campaign, "usagelog compact beside writers failed");
	}
	for (uint32_t i = 0; i < writers; i++)
		kill_writer(children[i]);
	campaign.points += writers;
	campaign_check(&campaign, ledger, &census, unfinished_max);
	if (!census.segments)
		return false;
	if (random_below(&campaign.state, 8) == 0)
		campaign_verify(&campaign);
	if (random_below(&campaign.state, 16) == 0)
		campaign_fold(&campaign, ledger, unfinished_max);
	return true;
}

int main(int argc, char **argv)
{
	unsigned long long calls = 0;
	campaign_begin(&campaign, "kill_random", 400, argc, argv);
	ledger = ledger_make();
	for (uint64_t round = 0; round < campaign.rounds; round++) {
		bool last = round % LIFE_ROUNDS == LIFE_ROUNDS - 1 || round == campaign.rounds - 1;
		campaign.round = round;
		if (round % LIFE_ROUNDS == 0) {
			campaign_new_log(&campaign);
			ledger_clear(ledger);
			unfinished_max = 0;
		}
		bool has_log = do_round();
		if (last && has_log) {
			campaign_fold(&campaign, ledger, unfinished_max);
			calls += ledger_end(ledger);
		}
	}
	snprintf(campaign.notes, sizeof(campaign.notes), "%llu calls", calls);
	return campaign_end(&campaign);
}
