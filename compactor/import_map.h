/*
 * Which column or member each field is read from: --map, and lines taken apart by it. Nothing of a line but the
 * mapped fields is looked at, so nothing else can reach the log.
 */
#ifndef USAGELOG_IMPORT_MAP_H
#define USAGELOG_IMPORT_MAP_H

#include <stdbool.h>

#include "csv.h"
#include "draft.h"
#include "import_lines.h"
#include "import_reader.h"

struct import_map {
	const char *paths[FIELD_COUNT]; /* NULL: not read */
	char *spec;                     /* what the paths point into */
	bool given;                     /* --map was: a column that is not there is an error */
	/* CSV: */
	struct {
		enum call_field field;
		size_t column;
	} found[FIELD_COUNT]; /* the fields that the header has */
	size_t found_count;
	bool input_is_whole; /* the input's column has OpenTelemetry's name, so that cached tokens are in it */
	size_t column_count;
	struct csv_field *fields; /* CSV_FIELDS_MAX of them */
	/* JSON: */
	struct import_reader reader;
	uint64_t objects;       /* lines that were JSON objects */
	bool seen[FIELD_COUNT]; /* one of them had the member, be it null */
	char input[24];         /* less the cached tokens, of the line at hand */
};

/* Parse --map, "field=column,field,..."; NULL: each field from the column of its own name, or of the attribute that OpenTelemetry
 * has for it. False after an error message. */
bool import_map_open(struct import_map *map, const char *spec);
void import_map_close(struct import_map *map);

/* Find the columns in a CSV header. False after an error message, which begins with the file's name. */
bool import_map_header(struct import_map *map, const char *file, struct line *header);

/* Take a line's fields; their texts are valid until the next line. False: refused, `why` is set (field FIELD_COUNT:
 * the line itself). Fields that the line does not have are left as they are. */
bool import_map_csv(struct import_map *map, struct line *line, struct field_value values[FIELD_COUNT],
		    struct refusal *why);
bool import_map_json(struct import_map *map, struct line *line, struct field_value values[FIELD_COUNT],
		     struct refusal *why);

/* A file begins. */
void import_map_forget(struct import_map *map);

/* Of the JSON lines taken so far, did none have a path that --map names? The first such field, or FIELD_COUNT. A path
 * that is written wrong reads as "not given", and calls without their counts cannot be put right later. */
enum call_field import_map_unseen(const struct import_map *map);

#endif
