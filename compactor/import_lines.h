/*
 * The lines of a file that is imported, one at a time in bounded memory. A line of CSV is a record: quoted newlines do not end it. What is in
 * a line is for others.
 */
#ifndef USAGELOG_IMPORT_LINES_H
#define USAGELOG_IMPORT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csv.h"

/* Lines of chats hold pictures. */
enum { LINE_BYTES_MAX = 16 << 20 };

struct lines;

struct line {
	char *text; /* may be written to; valid until the next line is taken */
	size_t bytes;
	uint64_t number; /* of its first line in the file, from 1 */
	uint64_t offset; /* from where reading began; of a line that is not too long */
	bool too_long;   /* beyond LINE_BYTES_MAX: the text is not there */
	bool unended;    /* the file ends without a line end */
	bool open_quote; /* the file ends inside of quotes that this record opened */
};

/* Read lines from `fd`, from its position, at most `bytes_max` bytes; `quoted`: as CSV. NULL if there is no memory.
 * The caller keeps the fd. */
struct lines *lines_open(int fd, bool quoted, uint64_t bytes_max);
void lines_close(struct lines *lines);

/* The next line: 1, or 0 at the end, or -errno. */
int lines_next(struct lines *lines, struct line *line);

/* How many bytes were read so far. */
uint64_t lines_bytes(const struct lines *lines);

#endif
