/* --map, and the fields of lines by it. */
#include "import_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "json.h"
#include "os.h"

static const char byte_order_mark[] = "\xef\xbb\xbf";
enum { MARK_BYTES = 3, KEY_BYTES_MAX = 1024 };

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
	map->scratch = os_allocate(1, LINE_BYTES_MAX);
	map->spec = os_duplicate(spec ? spec : "");
	if (!map->fields || !map->scratch || !map->spec) {
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
	return true;
}

void import_map_close(struct import_map *map)
{
	free(map->fields);
	free(map->scratch);
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

/* ---- CSV ----------------------------------------------------------------------------------------------------- */

static bool find_column(struct import_map *map, const char *file, enum call_field field)
{
	const char *name = map->paths[field];
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
	if (map->found_count > before || (!map->given && field != FIELD_TIME))
		return true;
	complain("%s:1: there is no column \"%s\" for the field %s; name another one: --map %s=COLUMN", file, name,
		 field_names[field], field_names[field]);
	return false;
}

bool import_map_header(struct import_map *map, const char *file, struct line *header)
{
	map->found_count = 0;
	step_over_mark(header);
	enum csv_error error = csv_split(header->text, header->bytes, map->fields, &map->column_count);
	if (error || header->too_long) {
		complain("%s:1: the header %s", file, header->too_long ? "is longer than 1 MiB" : csv_strerror(error));
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
	return true;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------- */

/* The rest of `path` after this key: "" if it is the whole of it, what stands behind the dot if a part, NULL if it is
 * another. */
static const char *path_after(const char *path, struct ul_json_span key)
{
	char unescaped[KEY_BYTES_MAX];
	const char *text = key.text + 1;
	size_t bytes = key.bytes - 2;
	if (memchr(text, '\\', bytes)) {
		ptrdiff_t length = ul_json_unescape(key, unescaped, sizeof(unescaped));
		if (length < 0)
			return NULL;
		text = unescaped;
		bytes = (size_t)length;
	}
	if (strncmp(path, text, bytes) != 0 || memchr(text, '\0', bytes))
		return NULL;
	if (!path[bytes])
		return path + bytes;
	return path[bytes] == '.' ? path + bytes + 1 : NULL;
}

/* The value at a path: a member of that whole name, dots included, before one of an object inside. */
static struct ul_json_span find_path(struct ul_json_span object, const char *path)
{
	struct ul_json_span whole = {.type = UL_JSON_END}, nested = {.type = UL_JSON_END}, key, value;
	struct ul_json_walk walk;
	ul_json_enter(&walk, object);
	while ((value = ul_json_next(&walk, &key)).type != UL_JSON_END) {
		const char *rest = path_after(path, key);
		if (rest && !*rest)
			whole = value;
		else if (rest && value.type == UL_JSON_OBJECT)
			nested = find_path(value, rest);
	}
	return whole.type != UL_JSON_END ? whole : nested;
}

struct found_member {
	struct ul_json_span value;
	bool whole;
};

/* Look all paths up in one walk through the line's object. */
static void find_members(const struct import_map *map, struct ul_json_span object,
			 struct found_member found[FIELD_COUNT])
{
	struct ul_json_span key, value;
	struct ul_json_walk walk;
	ul_json_enter(&walk, object);
	while ((value = ul_json_next(&walk, &key)).type != UL_JSON_END) {
		for (enum call_field field = 0; field < FIELD_COUNT; field++) {
			const char *path = map->paths[field];
			if (!path || (key.text[1] != *path && key.text[1] != '\\'))
				continue;
			const char *rest = path_after(path, key);
			if (rest && !*rest)
				found[field] = (struct found_member){value, true};
			else if (rest && value.type == UL_JSON_OBJECT && !found[field].whole)
				found[field].value = find_path(value, rest);
		}
	}
}

/* Unescaped strings of one line. Several fields may be read from one member, so that it is not the line's length that
 * bounds them. */
struct scratch {
	char *at, *end;
};

static bool take_string(enum call_field field, struct ul_json_span value, struct scratch *scratch,
			struct field_value *out, struct refusal *why)
{
	*out = (struct field_value){value.text + 1, value.bytes - 2};
	if (!memchr(out->text, '\\', out->bytes))
		return true;
	ptrdiff_t length = ul_json_unescape(value, scratch->at, (size_t)(scratch->end - scratch->at));
	if (length < 0)
		return refuse(why, field, "is too long");
	*out = (struct field_value){scratch->at, (size_t)length};
	scratch->at += length;
	return true;
}

static bool take_value(enum call_field field, struct ul_json_span value, struct scratch *scratch,
		       struct field_value *out, struct refusal *why)
{
	switch (value.type) {
	case UL_JSON_END:
	case UL_JSON_NULL:
		return true;
	case UL_JSON_STRING:
		return take_string(field, value, scratch, out, why);
	case UL_JSON_OBJECT:
		if (field != FIELD_METADATA)
			return refuse(why, field, "is a JSON object; name a member of it: FIELD=OUTER.INNER");
		break;
	case UL_JSON_ARRAY:
		return refuse(why, field, "is a JSON array, not a value");
	default:
		break;
	}
	*out = (struct field_value){value.text, value.bytes};
	return true;
}

bool import_map_json(struct import_map *map, struct line *line, struct field_value values[FIELD_COUNT],
		     struct refusal *why)
{
	struct found_member found[FIELD_COUNT];
	step_over_mark(line);
	struct ul_json_span object = ul_json_parse(line->text, line->bytes);
	if (object.type == UL_JSON_ERROR) {
		why->field = FIELD_COUNT;
		snprintf(why->reason, sizeof(why->reason), "is not JSON: wrong at byte %zu",
			 (size_t)(object.text - line->text) + 1);
		return false;
	}
	if (object.type != UL_JSON_OBJECT)
		return refuse(why, FIELD_COUNT, "is not a JSON object");
	for (enum call_field field = 0; field < FIELD_COUNT; field++)
		found[field] = (struct found_member){.value.type = UL_JSON_END};
	find_members(map, object, found);
	map->objects++;
	for (enum call_field field = 0; field < FIELD_COUNT; field++)
		map->seen[field] |= found[field].value.type != UL_JSON_END;
	struct scratch scratch = {map->scratch, map->scratch + LINE_BYTES_MAX};
	for (enum call_field field = 0; field < FIELD_COUNT; field++) {
		struct field_value value = {0};
		/* What only a dump has may be anything in a file that is none. */
		bool nested = found[field].value.type == UL_JSON_OBJECT || found[field].value.type == UL_JSON_ARRAY;
		if (nested && (field == FIELD_SEGMENT || field == FIELD_SLOT))
			continue;
		if (!take_value(field, found[field].value, &scratch, &value, why))
			return false;
		if (value.bytes)
			values[field] = value;
	}
	return true;
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
