/* The file that is imported: a file, or the standard input; read once, or twice where it is checked first. */
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
	bool stays; /* cannot be had again by its name */
	bool moved; /* it was read from */
};

/* Open `operand`, a path or "-"; `twice`: it will be read twice, so what cannot be rewound is copied to a nameless
 * temporary file; `below`: it was found in a directory, where links are not followed. 0, or an exit status after a message. */
int import_source_open(struct import_source *source, const char *operand, bool twice, bool below);
void import_source_close(struct import_source *source);

/* To the beginning. 0 or -errno. */
int import_source_rewind(struct import_source *source);

#endif
