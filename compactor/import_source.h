/*
 * The file that is imported, and how far it is: a file, or the standard input; read once, or twice where it is
 * checked first.
 */
#ifndef USAGELOG_IMPORT_SOURCE_H
#define USAGELOG_IMPORT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct import_source {
	int fd;
	uint64_t bytes;          /* read no further than that; UINT64_MAX: to the end */
	uint64_t bytes_expected; /* for the progress bar; 0: unknown */
	uint64_t start;          /* where it begins: the standard input may be a file that was read from before */
	bool seekable;
	bool moved; /* it was read from */
};

/* Open `operand`, a path or "-"; `twice`: it will be read twice, so what cannot be rewound is copied to a nameless
 * temporary file. 0, or an exit status after a message. */
int import_source_open(struct import_source *source, const char *operand, bool twice);
void import_source_close(struct import_source *source);

/* To the beginning. 0 or -errno. */
int import_source_rewind(struct import_source *source);

/* A line on stderr that says how far an import is, if stderr is a terminal and the import is a long one. */
struct import_progress {
	bool wanted, shown;
	uint64_t begin_ns, next_ns;
};
void import_progress_begin(struct import_progress *progress);
void import_progress_show(struct import_progress *progress, uint64_t bytes, uint64_t bytes_expected, uint64_t lines);
void import_progress_clear(struct import_progress *progress);

#endif
