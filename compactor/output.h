/*
 * Where an answer goes: the standard output, or a file that is replaced as a whole once the answer is whole, so that nobody reads half of one.
 */
#ifndef USAGELOG_OUTPUT_H
#define USAGELOG_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

struct output {
	FILE *stream;
	const char *path; /* NULL: the standard output */
	int directory;    /* -1: it is written in place */
	bool is_private;
	char name[NAME_MAX + 1], draft[NAME_MAX + 1];
};

/* `path` NULL: the standard output. What is there and no regular file, such as /dev/null, is written to as it is; a file of a log's own is refused.
 * `is_private`: only its owner may read the file, whoever could read the one that it replaces. False after a message. */
bool output_open(struct output *output, const char *path, bool is_private);

/* Put the file in its place, durably; or, if not `whole`, leave what was there. False after a message: the answer is not there, or might not be
 * after a power failure. */
bool output_close(struct output *output, bool whole);

/* Write bytes that are all there, to a private file. False after a message. */
bool output_write(const char *path, const void *bytes, size_t size_bytes);

#endif
