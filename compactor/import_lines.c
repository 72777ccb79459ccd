/* Lines of a file, and the chain over them. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "import_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for the chain before a line, the longest line, the line end, and a block to read into. */
enum {
	BLOCK_BYTES = 256 * 1024,
	CHAIN_BYTES = sizeof(XXH128_canonical_t),
	ROOM_BYTES = CHAIN_BYTES + LINE_BYTES_MAX + 2 + BLOCK_BYTES,
};

struct lines {
	XXH3_state_t hash;
	XXH128_canonical_t chain; /* h(n): of the line before */
	bool skipping;            /* `hash` has the beginning of the line at hand, which is too long */
	int fd;
	bool quoted;
	bool ended;
	size_t begin, end; /* in the buffer: what was read and not taken; before it is room for the chain */
	uint64_t number;   /* of the line at `begin` */
	uint64_t bytes_read, bytes_max;
	char buffer[ROOM_BYTES];
};

struct lines *lines_open(int fd, bool quoted, uint64_t bytes_max)
{
	struct lines *lines;
	/* The hash's state is aligned beyond what malloc() gives. */
	if (posix_memalign((void **)&lines, _Alignof(struct lines), sizeof(*lines)))
		return NULL;
	lines->fd = fd;
	lines->quoted = quoted;
	lines->ended = false;
	lines->skipping = false;
	lines->begin = lines->end = CHAIN_BYTES;
	lines->number = 1;
	lines->bytes_read = 0;
	lines->bytes_max = bytes_max;
	XXH128_canonicalFromHash(&lines->chain, XXH3_128bits("line", sizeof("line")));
	return lines;
}

void lines_close(struct lines *lines)
{
	free(lines);
}

uint64_t lines_bytes(const struct lines *lines)
{
	return lines->bytes_read;
}

/* Read more behind what is there. */
static int fill(struct lines *lines)
{
	if (ROOM_BYTES - lines->end < BLOCK_BYTES) {
		memmove(lines->buffer + CHAIN_BYTES, lines->buffer + lines->begin, lines->end - lines->begin);
		lines->end -= lines->begin - CHAIN_BYTES;
		lines->begin = CHAIN_BYTES;
	}
	size_t wanted = ROOM_BYTES - lines->end;
	if (wanted > lines->bytes_max - lines->bytes_read)
		wanted = (size_t)(lines->bytes_max - lines->bytes_read);
	ssize_t got;
	do
		got = wanted ? read(lines->fd, lines->buffer + lines->end, wanted) : 0;
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
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

/* Take what is too long out of the buffer and into the hash, but for the last byte, which may be of the line end. */
static void skip(struct lines *lines, size_t *scanned)
{
	size_t bytes = lines->end - lines->begin - 1;
	if (!lines->skipping) {
		XXH3_128bits_reset(&lines->hash);
		XXH3_128bits_update(&lines->hash, &lines->chain, CHAIN_BYTES);
		lines->skipping = true;
	}
	XXH3_128bits_update(&lines->hash, lines->buffer + lines->begin, bytes);
	lines->begin += bytes;
	*scanned -= bytes;
}

/* The hash of the chain and the line at `begin`, in one go: the chain is put before the line, where nothing is wanted
 * any more. */
static XXH128_hash_t hash_line(struct lines *lines, size_t bytes)
{
	char *from = lines->buffer + lines->begin - CHAIN_BYTES;
	if (lines->skipping) {
		XXH3_128bits_update(&lines->hash, from + CHAIN_BYTES, bytes);
		return XXH3_128bits_digest(&lines->hash);
	}
	memcpy(from, &lines->chain, CHAIN_BYTES);
	return XXH3_128bits(from, CHAIN_BYTES + bytes);
}

/* The line is the first `bytes` at `begin`: strip its line end, finish its hash, and step over it. */
static void take(struct lines *lines, struct line *line, const struct csv_scan *scan, size_t bytes, bool newline)
{
	line->text = lines->buffer + lines->begin;
	line->bytes = bytes;
	line->number = lines->number;
	if (newline && bytes && line->text[bytes - 1] == '\r')
		line->bytes--;
	XXH128_canonicalFromHash(&lines->chain, hash_line(lines, line->bytes));
	memcpy(line->id, &lines->chain, sizeof(line->id));
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
