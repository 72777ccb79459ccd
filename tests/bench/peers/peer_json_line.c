/* A line of JSON a call, flushed to the kernel: what a program without any library would do. */
#include "peer.h"

#include <errno.h>
#include <stdio.h>

#include "bench.h"

static void *json_line_open(const char *directory, bool is_durable)
{
	char path[PEER_PATH_BYTES];
	(void)is_durable;
	peer_path(path, directory, "calls.jsonl");
	FILE *file = fopen(path, "ae");
	if (!file)
		bench_die(path, -errno);
	return file;
}

static void json_line_record(void *state, uint64_t number)
{
	char line[PEER_LINE_BYTES];
	size_t length = peer_line(line, number);
	if (fwrite(line, 1, length, state) != length || fflush(state))
		bench_die("a line of JSON", -errno);
}

static void json_line_close(void *state)
{
	if (fclose(state))
		bench_die("close of the lines of JSON", -errno);
}

static uint64_t json_line_count(const char *directory)
{
	return peer_count_lines(directory, "calls.jsonl");
}

const struct peer peer_json_line = {.name = "json_line",
				    .what = "a line of JSON, fflush",
				    .open = json_line_open,
				    .record = json_line_record,
				    .flush = peer_flush_nothing,
				    .close = json_line_close,
				    .count = json_line_count};
