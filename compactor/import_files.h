/* The files that are imported: operands, and what is below those that are directories. */
#ifndef USAGELOG_IMPORT_FILES_H
#define USAGELOG_IMPORT_FILES_H

#include "import_source.h"

#include <stddef.h>

struct import_file {
	char *path;
	bool below; /* found in a directory: not named by the user */
	const struct import_format *format;
	bool lines; /* of JSON; else it is one JSON text */
	bool csv;
	struct import_source source; /* open if its fd is not negative */
	uint64_t bytes_max;          /* read no further than that */
};

struct import_files {
	struct import_file *files; /* in order of their paths, below each operand */
	size_t count, room;
};

/* Add an operand: a file, "-", or a directory, of which all files are taken whose names end in .json, .jsonl, .ndjson or .csv, however deep,
 * but for hidden ones and links. 0, or an exit status after a message. */
int import_files_add(struct import_files *files, const char *operand);
void import_file_clear(struct import_file *file);
void import_files_clear(struct import_files *files);

#endif
