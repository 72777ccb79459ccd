/* usagelog itself, with the defaults: names looked up once, or given as strings with each call. */
#include "peer.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "format.h"
#include "usagelog.h"

struct state {
	usagelog *log;
	usagelog_model model;
	usagelog_context context;
};

static struct usagelog_names names_of_call(void)
{
	return (struct usagelog_names){
		.provider = peer_call.provider,
		.model = peer_call.model,
		.attributes = {.operation = peer_call.operation, .session_id = peer_call.session_id}};
}

static struct usagelog_call figures_of_call(void)
{
	return (struct usagelog_call){.input_tokens = peer_call.input_tokens,
				      .output_tokens = peer_call.output_tokens,
				      .cost_pico_usd = peer_call.cost_pico_usd,
				      .flags = USAGELOG_COST,
				      .latency_us = peer_call.latency_us};
}

static void *usagelog_peer_open(const char *directory, bool is_durable)
{
	struct usagelog_options options = {.size = sizeof(options), .flags = is_durable ? USAGELOG_SYNCHRONOUS : 0};
	struct usagelog_names names = names_of_call();
	struct state *state = calloc(1, sizeof(*state));
	if (!state)
		bench_die("usagelog", -ENOMEM);
	int error = usagelog_open(&state->log, directory, &options);
	if (!error)
		error = usagelog_model_get(state->log, names.provider, names.model, &state->model);
	if (!error)
		error = usagelog_context_get(state->log, &names.attributes, &state->context);
	if (error)
		bench_die("usagelog", error);
	return state;
}

static void record_known(void *arg, uint64_t number)
{
	struct state *state = arg;
	struct usagelog_call call = figures_of_call();
	(void)number;
	int error = usagelog_record(state->log, state->model, state->context, &call);
	if (error)
		bench_die("usagelog_record", error);
}

static void record_strings(void *arg, uint64_t number)
{
	struct state *state = arg;
	struct usagelog_names names = names_of_call();
	struct usagelog_call call = figures_of_call();
	(void)number;
	int error = usagelog_record_names(state->log, &names, &call);
	if (error)
		bench_die("usagelog_record_names", error);
}

static void usagelog_peer_close(void *arg)
{
	struct state *state = arg;
	int error = usagelog_close(state->log, -1);
	if (error)
		bench_die("usagelog_close", error);
	free(state);
}

static int visit(void *arg, const struct usagelog_slot *shown)
{
	struct ul_slot slot;
	memcpy(&slot, shown->bytes, sizeof(slot));
	*(uint64_t *)arg += shown->state == USAGELOG_SLOT_VALID && ul_slot_kind(&slot) == UL_KIND_CALL;
	return 0;
}

static int is_segment(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);
	return length > 4 && !strcmp(entry->d_name + length - 4, ".seg");
}

/* A killed writer leaves one file a segment: no slot is in two. */
static uint64_t usagelog_peer_count(const char *directory)
{
	struct dirent **entries;
	uint64_t calls = 0;
	int count = scandir(directory, &entries, is_segment, alphasort);
	for (int i = 0; i < count; i++) {
		char path[PEER_PATH_BYTES];
		usagelog_segment *segment;
		peer_path(path, directory, entries[i]->d_name);
		int error = usagelog_segment_open(&segment, path);
		if (!error)
			error = usagelog_segment_visit(segment, visit, &calls);
		if (error)
			bench_die(path, error);
		usagelog_segment_close(segment);
		free(entries[i]);
	}
	if (count < 0)
		bench_die(directory, -errno);
	free(entries);
	return calls;
}

const struct peer peer_usagelog = {.name = "usagelog",
				   .what = "usagelog",
				   .durable = "usagelog, USAGELOG_SYNCHRONOUS",
				   .open = usagelog_peer_open,
				   .record = record_known,
				   .flush = peer_flush_nothing,
				   .close = usagelog_peer_close,
				   .count = usagelog_peer_count};

const struct peer peer_usagelog_strings = {.name = "usagelog_strings",
					   .what = "usagelog, names as strings",
					   .open = usagelog_peer_open,
					   .record = record_strings,
					   .flush = peer_flush_nothing,
					   .close = usagelog_peer_close,
					   .count = usagelog_peer_count};
