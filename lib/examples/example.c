/*
 * Records a few calls and tells what came of them. The log is $USAGELOG_DIR, else the default directory.
 *
 *     cc example.c $(pkg-config --cflags --libs usagelog) && USAGELOG_DIR=/tmp/log ./a.out
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <usagelog.h>

static void warn_user(void *arg, int error, const char *message)
{
	(void)error;
	fprintf((FILE *)arg, "usage log: %s\n", message);
}

/* What is not in the log is not worth ending a program that talks to a model. */
static void check_recorded(int result)
{
	if (result == USAGELOG_ERROR_HELD)
		fprintf(stderr, "the call is in memory until the disk takes it\n");
	else if (result)
		fprintf(stderr, "the call is lost: %s\n", usagelog_strerror(result));
}

/* The convenient way: names as strings with each call. */
static void record_by_names(usagelog *log)
{
	struct usagelog_names names = {.provider = "openai", .model = "gpt-4o"};
	struct usagelog_call call = {.input_tokens = 100, .output_tokens = 50, .latency_us = 812000};
	names.attributes.operation = "chat";
	names.attributes.metadata = "{\"user\":\"ada\"}";
	call.cost_pico_usd = 750000000; /* 0.00075 USD */
	call.flags = USAGELOG_COST;
	check_recorded(usagelog_record_names(log, &names, &call));
}

/* The fast way: names looked up once, then 64 bytes a call. */
static int record_by_handles(usagelog *log)
{
	struct usagelog_attributes attributes = {.operation = "chat", .session_id = "s-1"};
	usagelog_model model;
	usagelog_context context;
	int error = usagelog_model_get(log, "anthropic", "claude-sonnet-4", &model);
	if (!error)
		error = usagelog_context_get(log, &attributes, &context);
	if (error)
		return error;
	for (uint32_t i = 0; i < 3; i++) {
		/* No cost: the call is unpriced, not free. No time: now. */
		struct usagelog_call call = {.input_tokens = 20, .cache_read_tokens = 1900, .output_tokens = 250 + i};
		check_recorded(usagelog_record(log, model, context, &call));
	}
	return 0;
}

static int print_stats(usagelog *log)
{
	struct usagelog_stats stats = {.size = sizeof(stats)};
	int error = usagelog_stats_get(log, &stats);
	if (!error)
		printf("%" PRIu64 " calls, %" PRIu64 " committed, %" PRIu64 " durable\n", stats.attempted,
		       stats.committed, stats.durable);
	return error;
}

int main(void)
{
	struct usagelog_options options = {.size = sizeof(options), .warning = warn_user, .warning_arg = stderr};
	usagelog *log;
	int error = usagelog_open(&log, NULL, &options);
	if (error) {
		fprintf(stderr, "the usage log cannot be opened: %s\n", usagelog_strerror(error));
		return EXIT_FAILURE;
	}
	record_by_names(log);
	error = record_by_handles(log);
	if (!error)
		error = usagelog_flush(log, 1000);
	if (!error)
		error = print_stats(log);
	if (error)
		fprintf(stderr, "usage log: %s\n", usagelog_strerror(error));
	int close_error = usagelog_close(log, 1000);
	if (close_error)
		fprintf(stderr, "not all calls are known durable: %s\n", usagelog_strerror(close_error));
	return error || close_error ? EXIT_FAILURE : EXIT_SUCCESS;
}
