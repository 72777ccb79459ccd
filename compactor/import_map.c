/* --map, and the fields of lines by it. */
#include "import_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "decimal.h"
#include "os.h"

static const char byte_order_mark[] = "\xef\xbb\xbf";
enum { MARK_BYTES = 3, WHOLE_INPUT = SLOT_OWN };

/* ---- the map ------------------------------------------------------------------------------------------------- */

static const char *field_name(const void *arg, size_t index)
{
	(void)arg;
	return index < FIELD_COUNT ? field_names[index] : NULL;
}

static enum call_field find_field(const char *name)
{
	enum call_field field = 0;
	while (field < FIELD_COUNT && strcmp(name, field_names[field]) != 0)
		field++;
	return field;
}

/* One "field=path" or "field". */
static bool add_item(struct import_map *map, char *item)
{
	char *path = strchr(item, '=');
	if (path)
		*path++ = '\0';
	enum call_field field = find_field(item);
	if (field == FIELD_COUNT) {
		char suggestion[SUGGESTION_BYTES];
		suggest(item, field_name, NULL, suggestion);
		complain("--map: there is no field \"%s\"%s; the fields are listed in usagelog import --help", item,
			 suggestion);
		return false;
	}
	if (path && !*path) {
		complain("--map: the field %s is given no column; write %s=COLUMN", item, item);
		return false;
	}
	if (map->paths[field]) {
		complain("--map: the field %s is given twice", item);
		return false;
	}
	map->paths[field] = path ? path : field_names[field];
	return true;
}

bool import_map_open(struct import_map *map, const char *spec)
{
	*map = (struct import_map){.given = spec};
	map->fields = os_allocate(CSV_FIELDS_MAX, sizeof(*map->fields));
	map->spec = os_duplicate(spec ? spec : "");
	if (import_reader_open(&map->reader, 0, 0) || !map->fields || !map->spec) {
		complain("no memory to import");
		return false;
	}
	for (enum call_field field = 0; field < FIELD_COUNT && !spec; field++)
		map->paths[field] = field_names[field];
	char *rest = map->spec;
	for (char *item; spec && (item = strsep(&rest, ","));)
		if (!add_item(map, item))
			return false;
	if (!map->paths[FIELD_TIME]) {
		complain("--map: no column is given for the field time, without which a call belongs to no day; add "
			 "time=COLUMN");
		return false;
	}
	for (enum call_field field = 0; field < FIELD_COUNT; field++) {
		bool added = true;
		if (!spec && field_attributes[field])
			added = ul_json_paths_add_names(&map->reader.paths, field_attributes[field],
							field == FIELD_INPUT_TOKENS ? WHOLE_INPUT : field);
		if (map->paths[field])
			added &= ul_json_paths_add_names(&map->reader.paths, map->paths[field], field);
		if (added)
			continue;
		complain("--map: the column %s of the field %s has too many dots", map->paths[field],
			 field_names[field]);
		return false;
	}
	return true;
}

void import_map_close(struct import_map *map)
{
	free(map->fields);
	import_reader_close(&map->reader);
	free(map->spec);
}

static bool refuse(struct refusal *why, enum call_field field, const char *reason)
{
	why->field = field;
	snprintf(why->reason, sizeof(why->reason), "%s", reason);
	return false;
}

/* A file may begin with the mark; it is no part of its first name or value. */
static void step_over_mark(struct line *line)
{
	if (line->number == 1 && line->bytes >= MARK_BYTES && !memcmp(line->text, byte_order_mark, MARK_BYTES)) {
		line->text += MARK_BYTES;
		line->bytes -= MARK_BYTES;
	}
}

/* The count in a field; false: it is none, which is for others to say. */
static bool count_of(struct field_value value, uint64_t *count)
{
	*count = 0;
	return !value.bytes || !decimal_parse_count(value.text, value.bytes, UINT64_MAX >> 2, count);
}

/* An input that has what was read from a cache and written to one in it becomes one without. */
static void subtract_cached(struct import_map *map, struct field_value values[FIELD_COUNT])
{
	uint64_t input, cached = 0, count;
	for (enum call_field field = FIELD_CACHE_READ_TOKENS; field <= FIELD_CACHE_WRITE_1H_TOKENS; field++) {
		if (!count_of(values[field], &count))
			return;
		cached += count;
	}
	if (!count_of(values[FIELD_INPUT_TOKENS], &input) || !values[FIELD_INPUT_TOKENS].bytes || cached > input)
		return;
	int bytes = snprintf(map->input, sizeof(map->input), "%" PRIu64, input - cached);
	values[FIELD_INPUT_TOKENS] = (struct field_value){map->input, (size_t)bytes};
}

/* ---- CSV ----------------------------------------------------------------------------------------------------- */

/* The column of this name, if there is one, for a field. False after an error message. */
static bool find_name(struct import_map *map, const char *file, enum call_field field, const char *name)
{
	size_t before = map->found_count;
	for (size_t i = 0; i < map->column_count; i++) {
		if (map->fields[i].bytes != strlen(name) ||
		    memcmp(map->fields[i].text, name, map->fields[i].bytes) != 0)
			continue;
		if (map->found_count > before) {
			complain("%s:1: there are two columns \"%s\"; rename one of them", file, name);
			return false;
		}
		map->found[map->found_count].field = field;
		map->found[map->found_count++].column = i;
	}
	return true;
}

static bool find_column(struct import_map *map, const char *file, enum call_field field)
{
	const char *name = map->paths[field];
	size_t before = map->found_count;
	if (!find_name(map, file, field, name))
		return false;
	if (map->found_count == before && !map->given && field_attributes[field]) {
		if (!find_name(map, file, field, field_attributes[field]))
			return false;
		map->input_is_whole |= field == FIELD_INPUT_TOKENS && map->found_count > before;
	}
	if (map->found_count > before || (!map->given && field != FIELD_TIME))
		return true;
	complain("%s:1: there is no column \"%s\" for the field %s; name another one: --map %s=COLUMN", file, name,
		 field_names[field], field_names[field]);
	return false;
}

bool import_map_header(struct import_map *map, const char *file, struct line *header)
{
	map->found_count = 0;
	map->input_is_whole = false;
	step_over_mark(header);
	enum csv_error error = csv_split(header->text, header->bytes, map->fields, &map->column_count);
	if (error || header->too_long) {
		complain("%s:1: the header %s", file, header->too_long ? "is longer than 16 MiB" : csv_strerror(error));
		return false;
	}
	for (enum call_field field = 0; field < FIELD_COUNT; field++)
		if (map->paths[field] && !find_column(map, file, field))
			return false;
	return true;
}

bool import_map_csv(struct import_map *map, struct line *line, struct field_value values[FIELD_COUNT],
		    struct refusal *why)
{
	size_t count;
	enum csv_error error = csv_split(line->text, line->bytes, map->fields, &count);
	if (error)
		return refuse(why, FIELD_COUNT, csv_strerror(error));
	if (count != map->column_count) {
		why->field = FIELD_COUNT;
		snprintf(why->reason, sizeof(why->reason), "has %zu fields where the header has %zu", count,
			 map->column_count);
		return false;
	}
	for (size_t i = 0; i < map->found_count; i++) {
		const struct csv_field *found = &map->fields[map->found[i].column];
		if (found->bytes)
			values[map->found[i].field] = (struct field_value){found->text, found->bytes};
	}
	if (map->input_is_whole)
		subtract_cached(map, values);
	return true;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------- */

bool import_map_json(struct import_map *map, struct line *line, struct field_value values[FIELD_COUNT],
		     struct refusal *why)
{
	step_over_mark(line);
	if (!import_reader_parse(&map->reader, line->text, line->bytes, why))
		return false;
	map->objects++;
	for (enum call_field field = 0; field < FIELD_COUNT && map->given; field++)
		map->seen[field] |= map->reader.find.spans[field].type != UL_JSON_END;
	if (!import_reader_fields(&map->reader, values, why))
		return false;
	if (found(&map->reader, WHOLE_INPUT).type > UL_JSON_NULL &&
	    found(&map->reader, FIELD_INPUT_TOKENS).type <= UL_JSON_NULL) {
		values[FIELD_INPUT_TOKENS] = found_text(&map->reader, WHOLE_INPUT);
		subtract_cached(map, values);
	}
	return true;
}

void import_map_forget(struct import_map *map)
{
	map->objects = 0;
	memset(map->seen, 0, sizeof(map->seen));
}

enum call_field import_map_unseen(const struct import_map *map)
{
	enum call_field field = 0;
	/* A file without failures has no reason for one. */
	while (field < FIELD_COUNT && (!map->given || !map->objects || !map->paths[field] || map->seen[field] ||
				       field == FIELD_ERROR_TYPE || field == FIELD_IS_ERROR))
		field++;
	return field;
}
