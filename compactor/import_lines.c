/* Lines of a file. */
#include "import_lines.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

/* Room for the longest line, its line end, and a block to read into. */
enum {
	BLOCK_BYTES = 32 * 1024,
	ROOM_BYTES = LINE_BYTES_MAX + 2 + BLOCK_BYTES,
};

struct lines {
	bool skipping; /* the beginning of the line at hand is gone: it is too long */
	int fd;
	bool quoted;
	bool ended;
	size_t begin, end; /* in the buffer: what was read and not taken */
	uint64_t number;   /* of the line at `begin` */
	uint64_t bytes_read, bytes_max;
	size_t room;
	char *buffer; /* grows to ROOM_BYTES, for the sake of lines that are so long */
};

struct lines *lines_open(int fd, bool quoted, uint64_t bytes_max)
{
	struct lines *lines = os_allocate(1, sizeof(*lines));
	if (!lines)
		return NULL;
	lines->room = 2 * BLOCK_BYTES;
	lines->buffer = os_reallocate(NULL, 1, lines->room);
	if (!lines->buffer) {
		free(lines);
		return NULL;
	}
	lines->fd = fd;
	lines->quoted = quoted;
	lines->number = 1;
	lines->bytes_max = bytes_max;
	return lines;
}

void lines_close(struct lines *lines)
{
	if (lines)
		free(lines->buffer);
	free(lines);
}

uint64_t lines_bytes(const struct lines *lines)
{
	return lines->bytes_read;
}

/* Read a block behind what is there, which is moved to the front first: of usual lines that is little, and the same memory is used again. */
static int fill(struct lines *lines)
{
	memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
	lines->end -= lines->begin;
	lines->begin = 0;
	if (lines->room - lines->end < BLOCK_BYTES) {
		size_t room = 2 * lines->room + BLOCK_BYTES;
		char *more = os_reallocate(lines->buffer, 1, room);
		if (!more)
			return -ENOMEM;
		lines->buffer = more;
		lines->room = room;
	}
	assert(lines->end <= ROOM_BYTES - BLOCK_BYTES);
	size_t wanted = BLOCK_BYTES;
	if (wanted > lines->bytes_max - lines->bytes_read)
		wanted = (size_t)(lines->bytes_max - lines->bytes_read);
	ssize_t got = wanted ? os_read_next(lines->fd, lines->buffer + lines->end, wanted) : 0;
	if (got < 0)
		return (int)got;
	lines->ended = !got;
	lines->end += (size_t)got;
	lines->bytes_read += (uint64_t)got;
	return 0;
}

/* Find the newline that ends the line at `begin`, of which `*scanned` bytes are known not to hold it. */
static bool find_end(struct lines *lines, struct csv_scan *scan, size_t *scanned)
{
	const char *from = lines->buffer + lines->begin + *scanned, *end = lines->buffer + lines->end;
	const char *newline = memchr(from, '\n', (size_t)(end - from));
	/* Most lines of CSV have no quote and are done; else each byte is looked at. */
	bool simple = !lines->quoted || (!*scanned && newline && !memchr(from, '"', (size_t)(newline - from)));
	if (!simple)
		newline = csv_find_end(scan, from, end);
	bool found = newline && newline < end;
	*scanned = (size_t)((found ? newline : end) - lines->buffer) - lines->begin;
	return found;
}

/* Take what is too long out of the buffer, but for the last byte, which may be of the line end. */
static void skip(struct lines *lines, size_t *scanned)
{
	size_t bytes = lines->end - lines->begin - 1;
	lines->skipping = true;
	lines->begin += bytes;
	*scanned -= bytes;
}

/* The line is the first `bytes` at `begin`: strip its line end, and step over it. */
static void take(struct lines *lines, struct line *line, const struct csv_scan *scan, size_t bytes, bool newline)
{
	line->text = lines->buffer + lines->begin;
	line->bytes = bytes;
	line->number = lines->number;
	line->offset = lines->bytes_read - (lines->end - lines->begin);
	if (newline && bytes && line->text[bytes - 1] == '\r')
		line->bytes--;
	line->unended = !newline;
	line->too_long = lines->skipping || line->bytes > LINE_BYTES_MAX;
	line->open_quote = !newline && scan->state == CSV_QUOTED;
	lines->begin += bytes + newline;
	lines->number += scan->newlines + 1;
}

int lines_next(struct lines *lines, struct line *line)
{
	struct csv_scan scan = {0};
	size_t scanned = 0;
	bool newline;
	lines->skipping = false;
	while (!(newline = find_end(lines, &scan, &scanned)) && !lines->ended) {
		if (lines->end - lines->begin > LINE_BYTES_MAX + 1)
			skip(lines, &scanned);
		int error = fill(lines);
		if (error)
			return error;
	}
	if (!newline && !scanned && !lines->skipping)
		return 0;
	take(lines, line, &scan, scanned, newline);
	return 1;
}
