/*
 * The usual cure for the usual tracker: a call is put into a queue, which is as long as it has to be, and a thread takes
 * it from there and rewrites the JSON file when ten have come together.
 */
#include "peer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "bench.h"
#include "tracker.h"

enum { REWRITE_COUNT = 10 };

struct item {
	struct item *next;
	uint64_t number;
	int64_t time_ns;
};

struct state {
	struct tracker *tracker; /* the worker's */
	pthread_t worker;
	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t changed;
	struct item *first;
	struct item **last;
	uint64_t put, written;
	bool flushing, closing;
};

static struct item *take(struct state *state)
{
	while (!state->first && !state->closing && !state->flushing)
		pthread_cond_wait(&state->changed, &state->mutex);
	struct item *item = state->first;
	if (item && !(state->first = item->next))
		state->last = &state->first;
	return item;
}

static void *work(void *arg)
{
	struct state *state = arg;
	uint64_t unwritten = 0;
	pthread_mutex_lock(&state->mutex);
	for (;;) {
		struct item *item = take(state);
		bool is_last = !item && state->closing;
		pthread_mutex_unlock(&state->mutex);
		if (item) {
			tracker_add(state->tracker, item->number, item->time_ns);
			unwritten++;
		}
		bool write = unwritten >= REWRITE_COUNT || (!item && unwritten);
		if (write)
			tracker_write(state->tracker);
		free(item);
		pthread_mutex_lock(&state->mutex);
		state->written += write ? unwritten : 0;
		unwritten = write ? 0 : unwritten;
		if (!item)
			state->flushing = false;
		if (!item || write)
			pthread_cond_broadcast(&state->changed);
		if (is_last)
			break;
	}
	pthread_mutex_unlock(&state->mutex);
	return NULL;
}

static void *write_behind_open(const char *directory, bool is_durable)
{
	(void)is_durable;
	struct state *state = calloc(1, sizeof(*state));
	if (!state)
		bench_die("write-behind", -ENOMEM);
	state->last = &state->first;
	state->tracker = tracker_open(directory);
	pthread_mutex_init(&state->mutex, NULL);
	pthread_cond_init(&state->changed, NULL);
	int error = -pthread_create(&state->worker, NULL, work, state);
	if (error)
		bench_die("the write-behind thread", error);
	return state;
}

static void write_behind_record(void *arg, uint64_t number)
{
	struct state *state = arg;
	struct item *item = malloc(sizeof(*item));
	if (!item)
		bench_die("write-behind", -ENOMEM);
	*item = (struct item){.number = number, .time_ns = peer_time_ns()};
	pthread_mutex_lock(&state->mutex);
	bool was_empty = !state->first;
	*state->last = item;
	state->last = &item->next;
	state->put++;
	pthread_mutex_unlock(&state->mutex);
	if (was_empty)
		pthread_cond_broadcast(&state->changed);
}

static void write_behind_flush(void *arg)
{
	struct state *state = arg;
	pthread_mutex_lock(&state->mutex);
	while (state->written < state->put) {
		state->flushing = true;
		pthread_cond_broadcast(&state->changed);
		pthread_cond_wait(&state->changed, &state->mutex);
	}
	pthread_mutex_unlock(&state->mutex);
}

static void write_behind_close(void *arg)
{
	struct state *state = arg;
	pthread_mutex_lock(&state->mutex);
	state->closing = true;
	pthread_cond_broadcast(&state->changed);
	pthread_mutex_unlock(&state->mutex);
	pthread_join(state->worker, NULL);
	pthread_cond_destroy(&state->changed);
	pthread_mutex_destroy(&state->mutex);
	tracker_close(state->tracker);
	free(state);
}

const struct peer peer_write_behind = {.name = "write_behind",
				       .what = "a JSON file rewritten behind a queue",
				       .count_max = 3000,
				       .open = write_behind_open,
				       .record = write_behind_record,
				       .flush = write_behind_flush,
				       .close = write_behind_close,
				       .count = tracker_count};
