/*
 * A program that makes a log of many segments, and one that opens it.
 *
 *     crowd make DIR COUNT    one handle after the other, each with a segment of its own and one call in it: kinds 0 to COUNT - 1
 *     crowd open DIR KIND     one more, whose segment has the size of kind KIND; tells how long the open took: "12.3 us\n"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "usagelog.h"

/* Only a segment of the size wanted is adopted: each has a size of its own. */
enum { LEAST_BYTES = 64 << 10, STEP_BYTES = 4096 };

/* Twenty thousand syncs would be a test of the disk. */
static int syncs;
int fsync(int fd)
{
	(void)fd;
	syncs++;
	return 0;
}

static double now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Open, record one call, close; how long the open took. */
static double visit(const char *path, unsigned long kind, uint32_t input_tokens)
{
	struct usagelog_options options = {.size = sizeof(options),
					   .flags = USAGELOG_NO_HELPER,
					   .segment_size_bytes = LEAST_BYTES + kind * STEP_BYTES};
	struct usagelog_names names = {.provider = "p", .model = "m"};
	struct usagelog_call call = {.input_tokens = input_tokens};
	usagelog *log;
	double begun = now_us();
	int error = usagelog_open(&log, path, &options);
	double took = now_us() - begun;
	if (!error) {
		error = usagelog_record_names(log, &names, &call);
		int closed = usagelog_close(log, 0);
		error = error ? error : closed;
	}
	if (error) {
		fprintf(stderr, "crowd: %s: %s\n", path, usagelog_strerror(error));
		exit(1);
	}
	return took;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 16;
	unsigned long number = strtoul(argv[3], NULL, 10);
	if (!strcmp(argv[1], "open")) {
		printf("%.1f us\n", visit(argv[2], number, 2));
		return 0;
	}
	for (unsigned long i = 0; i < number; i++)
		visit(argv[2], i, 1);
	return syncs ? 0 : 1;
}
