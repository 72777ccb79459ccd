/*
 * The formats that import knows: of each, how it is recognized, which members are wanted, and what they mean. One table; what is said in the
 * file itself decides, never its name.
 */
#ifndef USAGELOG_IMPORT_FORMAT_H
#define USAGELOG_IMPORT_FORMAT_H

#include "import_reader.h"

struct import_path {
	const char *path;
	uint8_t slot;
};

struct import_format {
	const char *name; /* of --format */
	const char *what; /* for people */
	const struct import_path
		*paths; /* ended by one without a path; of several for one slot the first one that is there counts */
	const char *const *
		places; /* where a record may lie in a line, the first one that is there counts; ended by NULL. NULL: it is the line */
	bool (*is)(struct import_reader *reader); /* are these members of it? */
	import_take *take;
	import_event *event;
	const struct import_path *events; /* paths and numbers */
	size_t state_bytes;
	const char *provider; /* of calls that do not say it; NULL: none */
	bool document;        /* one JSON text, not lines */
	bool streamed;        /* a call may have several rows, of which the last one counts */
	bool undated;         /* a record may have no time */
	bool copies; /* a call may be in several files, of which not all have the same of it: what the log has stays */
};

extern const struct import_format format_claude_code, format_codex, format_litellm, format_responses, format_otlp,
	format_tracker;

/* NULL: there is none of this name. By index, NULL after the last. */
const struct import_format *import_format_named(const char *name);
const struct import_format *import_format_at(size_t index);

/* Readers for all of them. 0 or -ENOMEM. */
enum { IMPORT_FORMATS = 6 };
struct import_formats {
	struct import_reader readers[IMPORT_FORMATS];
};
int import_formats_open(struct import_formats *all);
void import_formats_close(struct import_formats *all);
struct import_reader *import_formats_reader(struct import_formats *all, const struct import_format *format);

/* Of which format is this line, or whole file? NULL: of none; `*json`: it is JSON at least. */
const struct import_format *import_formats_find(struct import_formats *all, const char *text, size_t bytes, bool *json);

#endif
