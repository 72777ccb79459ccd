/*
 * The scanner of json.h. One pass checks a document, byte by byte, with the open containers on a small stack; all
 * other functions walk text that this pass has checked, bounded by their span all the same.
 */
#include "json.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "utf8.h"

/* What stands in a string as it is, canonical or not: printable ASCII but for the quote and the backslash. */
static inline bool is_plain(char byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static inline bool is_blank(char byte)
{
	return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static inline bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && is_blank(*at))
		at++;
	return at;
}

static enum ul_json_type type_of(char first)
{
	switch (first) {
	case '{':
		return UL_JSON_OBJECT;
	case '[':
		return UL_JSON_ARRAY;
	case '"':
		return UL_JSON_STRING;
	case 'n':
		return UL_JSON_NULL;
	case 't':
		return UL_JSON_TRUE;
	case 'f':
		return UL_JSON_FALSE;
	default:
		return first == '-' || is_digit(first) ? UL_JSON_NUMBER : UL_JSON_ERROR;
	}
}

/* The UTF-16 unit of four hexadecimal digits, or -1. */
static int32_t read_unit(const char *at, const char *end)
{
	int32_t unit = 0;
	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char digit = at[i];
		if (is_digit(digit))
			unit = unit << 4 | (digit - '0');
		else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
			unit = unit << 4 | ((digit | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return unit;
}

/* Read `\uXXXX`, or two of them that are a surrogate pair. */
static int32_t read_unicode_escape(const char **at, const char *end)
{
	const char *from = *at;
	int32_t unit = read_unit(from + 2, end);
	if (unit < 0 || (unit >= 0xdc00 && unit < 0xe000))
		return -1;
	if (unit < 0xd800 || unit >= 0xe000) {
		*at = from + 6;
		return unit;
	}
	if (end - from < 12 || from[6] != '\\' || from[7] != 'u')
		return -1;
	int32_t low = read_unit(from + 8, end);
	if (low < 0xdc00 || low >= 0xe000)
		return -1;
	*at = from + 12;
	return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

/* Read the escape whose backslash is at `*at`. Returns -1, `*at` unmoved, if it is none. */
static int32_t read_escape(const char **at, const char *end)
{
	static const char meanings[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
					   ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
	const char *from = *at;
	if (end - from < 2)
		return -1;
	if (from[1] == 'u')
		return read_unicode_escape(at, end);
	char meaning = meanings[from[1] & 0x7f];
	if (!meaning || from[1] & 0x80)
		return -1;
	*at = from + 2;
	return meaning;
}

/* What is checked, and how far. When a check fails, `at` is the byte that is wrong. */
struct scan {
	const char *at;
	const char *end;
	bool escaped; /* the string before has a backslash */
	unsigned depth;
	struct {
		const char *from;
		struct ul_json_span key;
		unsigned node;   /* of its own path; 0: of none */
		unsigned inside; /* where the paths of what is in it go on */
		char closer;     /* the bracket that it waits for */
	} open[UL_JSON_DEPTH_MAX];
	unsigned node;             /* of the value that comes next */
	struct ul_json_span key;   /* its key */
	struct ul_json_find *find; /* NULL: only check */
};

/* Step over what stands in a string as it is, eight bytes at a time. In each byte of a word the upper bit is set where the byte is below 0x20, a
 * quote, a backslash or not ASCII; behind the first such byte there may be false ones. */
static const char *skip_plain(const char *at, const char *end)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
	while (end - at >= 8) {
		uint64_t word;
		memcpy(&word, at, sizeof(word));
		uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
		uint64_t found = (((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
				  ((backslash - ones) & ~backslash) | word) &
				 tops;
		if (found)
			return at + __builtin_ctzll(found) / 8;
		at += 8;
	}
	while (at < end && is_plain(*at))
		at++;
	return at;
}

static bool scan_string(struct scan *scan)
{
	const char *at = scan->at;
	bool closed = false;
	scan->escaped = false;
	if (at == scan->end || *at != '"')
		return false;
	at++;
	while (!closed) {
		at = skip_plain(at, scan->end);
		if (at == scan->end || (uint8_t)*at < 0x20)
			break;
		closed = *at == '"';
		scan->escaped |= *at == '\\';
		if (closed)
			at++;
		else if ((*at == '\\' ? read_escape(&at, scan->end) : ul_utf8_read(&at, scan->end)) < 0)
			break;
	}
	scan->at = at;
	return closed;
}

/* At least one digit. */
static bool scan_digits(struct scan *scan)
{
	const char *from = scan->at;
	while (scan->at < scan->end && is_digit(*scan->at))
		scan->at++;
	return scan->at > from;
}

static bool scan_next_is(const struct scan *scan, char one, char other)
{
	return scan->at < scan->end && (*scan->at == one || *scan->at == other);
}

static bool scan_number(struct scan *scan)
{
	if (scan_next_is(scan, '-', '-'))
		scan->at++;
	if (scan_next_is(scan, '0', '0'))
		scan->at++;
	else if (!scan_digits(scan))
		return false;
	if (scan_next_is(scan, '.', '.')) {
		scan->at++;
		if (!scan_digits(scan))
			return false;
	}
	if (!scan_next_is(scan, 'e', 'E'))
		return true;
	scan->at++;
	if (scan_next_is(scan, '+', '-'))
		scan->at++;
	return scan_digits(scan);
}

static bool scan_word(struct scan *scan, const char *word)
{
	for (; *word; word++, scan->at++)
		if (scan->at == scan->end || *scan->at != *word)
			return false;
	return true;
}

static bool scan_scalar(struct scan *scan)
{
	switch (type_of(*scan->at)) {
	case UL_JSON_STRING:
		return scan_string(scan);
	case UL_JSON_NUMBER:
		return scan_number(scan);
	case UL_JSON_NULL:
		return scan_word(scan, "null");
	case UL_JSON_TRUE:
		return scan_word(scan, "true");
	case UL_JSON_FALSE:
		return scan_word(scan, "false");
	default:
		return false;
	}
}

/* ---- wanted paths -------------------------------------------------------------------------------------------- */

/* No name that is wanted has a backslash, but each may be written with some: then the key is `escaped`. */
static unsigned find_child(const struct ul_json_paths *paths, unsigned node, struct ul_json_span key, bool escaped)
{
	const char *text = key.text + 1;
	size_t bytes = key.bytes - 2;
	unsigned child = paths->nodes[node].first;
	for (; child; child = paths->nodes[child].next) {
		const struct ul_json_node *wanted = &paths->nodes[child];
		if (wanted->any ||
		    (!escaped && wanted->key_bytes == bytes && (!bytes || *wanted->key == *text) &&
		     !memcmp(wanted->key, text, bytes)) ||
		    (escaped && ul_json_string_is(key, wanted->key, wanted->key_bytes)))
			break;
	}
	return child;
}

/* A value of this node ended. Of two that are alike the last counts, as everywhere; null stands for none. */
static void note(struct scan *scan, unsigned number, struct ul_json_span key, struct ul_json_span value)
{
	struct ul_json_find *find = scan->find;
	const struct ul_json_node *node = &find->paths->nodes[number];
	for (const struct ul_json_node *one = node; one->slot; one = &find->paths->nodes[one->also]) {
		struct ul_json_span *span = &find->spans[one->slot - 1];
		if (span->type <= UL_JSON_NULL ||
		    (value.type != UL_JSON_NULL && one->rank <= find->ranks[one->slot - 1])) {
			*span = value;
			find->ranks[one->slot - 1] = one->rank;
		}
	}
	if (node->event && find->visit)
		find->visit(find->arg, node->event, key, value);
}

void ul_json_find_clear(struct ul_json_find *find)
{
	for (unsigned i = 0; i < find->paths->slots; i++)
		find->spans[i].type = UL_JSON_END;
}

void ul_json_paths_init(struct ul_json_paths *paths)
{
	/* Node 0 is none, node 1 the whole. */
	memset(paths, 0, sizeof(*paths));
	paths->count = 2;
}

/* 0: no room. */
static unsigned new_node(struct ul_json_paths *paths, const char *key, size_t bytes)
{
	if (paths->count == UL_JSON_NODES_MAX)
		return 0;
	paths->nodes[paths->count] = (struct ul_json_node){.key = key, .key_bytes = (uint32_t)bytes};
	return paths->count++;
}

/* The child of this key; made if there is none. */
static unsigned make_child(struct ul_json_paths *paths, unsigned parent, const char *key, size_t bytes)
{
	uint16_t *place = &paths->nodes[parent].first;
	for (; *place; place = &paths->nodes[*place].next)
		if (paths->nodes[*place].key_bytes == bytes && !memcmp(paths->nodes[*place].key, key, bytes))
			return *place;
	return *place = (uint16_t)new_node(paths, key, bytes);
}

/* The node of a path; 0: no room. */
static unsigned make_node(struct ul_json_paths *paths, const char *path)
{
	unsigned node = 1;
	while (node && *path) {
		unsigned parent = node;
		bool elements = !strncmp(path, "[]", 2);
		size_t bytes = elements ? 2 : strcspn(path, ".[");
		if (!elements) {
			node = make_child(paths, parent, path, bytes);
			paths->nodes[node].any = node && bytes == 1 && *path == '*';
		} else {
			node = paths->nodes[parent].elements;
			if (!node)
				node = paths->nodes[parent].elements = (uint16_t)new_node(paths, path, bytes);
		}
		path += bytes;
		path += *path == '.';
	}
	return node;
}

static bool set_slot(struct ul_json_paths *paths, unsigned node, unsigned slot, unsigned rank)
{
	assert(slot < UL_JSON_SLOTS_MAX);
	if (slot >= paths->slots)
		paths->slots = slot + 1;
	/* A path that several slots want: a list of nodes that nothing leads to. */
	while (node && paths->nodes[node].slot) {
		if (!paths->nodes[node].also)
			paths->nodes[node].also = (uint16_t)new_node(paths, "", 0);
		node = paths->nodes[node].also;
	}
	paths->nodes[node].slot = node ? (uint8_t)(slot + 1) : 0;
	paths->nodes[node].rank = node ? (uint8_t)rank : 0;
	return node != 0;
}

bool ul_json_paths_add(struct ul_json_paths *paths, const char *path, unsigned slot, unsigned rank)
{
	return set_slot(paths, make_node(paths, path), slot, rank);
}

bool ul_json_paths_event(struct ul_json_paths *paths, const char *path, unsigned event)
{
	unsigned node = make_node(paths, path);
	paths->nodes[node].event = node ? (uint8_t)event : 0;
	return node != 0;
}

enum { NAMES_DEPTH_MAX = UL_JSON_DEPTH_MAX };

/* The path from here on is one name, dots included, or its beginning up to a dot is a name and the rest lies inside. */
static bool add_names(struct ul_json_paths *paths, unsigned node, const char *path, unsigned slot, unsigned depth)
{
	unsigned whole = make_child(paths, node, path, strlen(path));
	if (depth > NAMES_DEPTH_MAX || !set_slot(paths, whole, slot, depth))
		return false;
	for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
		unsigned child = make_child(paths, node, path, (size_t)(dot - path));
		if (!child || !add_names(paths, child, dot + 1, slot, depth + 1))
			return false;
	}
	return true;
}

bool ul_json_paths_add_names(struct ul_json_paths *paths, const char *path, unsigned slot)
{
	return add_names(paths, 1, path, slot, 0);
}

/* ---- the pass ------------------------------------------------------------------------------------------------ */

/* A member's key and its colon. */
static bool scan_key(struct scan *scan)
{
	scan->at = skip_blanks(scan->at, scan->end);
	const char *from = scan->at;
	if (!scan_string(scan))
		return false;
	scan->node = 0;
	unsigned inside = scan->open[scan->depth - 1].inside;
	if (inside) {
		scan->key = (struct ul_json_span){UL_JSON_STRING, from, (size_t)(scan->at - from)};
		scan->node = find_child(scan->find->paths, inside, scan->key, scan->escaped);
	}
	scan->at = skip_blanks(scan->at, scan->end);
	return scan_word(scan, ":");
}

/* What comes next in the document. */
enum step { STEP_VALUE, STEP_AFTER, STEP_DONE, STEP_WRONG };

/* The key of what has ended, if it is a member. */
static struct ul_json_span own_key(const struct scan *scan, struct ul_json_span key)
{
	bool member = scan->depth && scan->open[scan->depth - 1].closer == '}';
	return member ? key : (struct ul_json_span){.type = UL_JSON_END};
}

static enum step scan_one(struct scan *scan)
{
	const char *from = scan->at;
	unsigned node = scan->node;
	if (!scan_scalar(scan))
		return STEP_WRONG;
	if (node)
		note(scan, node, own_key(scan, scan->key),
		     (struct ul_json_span){type_of(*from), from, (size_t)(scan->at - from)});
	return STEP_AFTER;
}

/* The node of what is in the container that is being opened: of the whole, if it is an array, each element is a whole again. */
static unsigned inside_of(const struct scan *scan, bool object)
{
	if (!scan->node || object)
		return scan->node;
	unsigned elements = scan->find->paths->nodes[scan->node].elements;
	return elements || scan->depth ? elements : scan->node;
}

/* A whole scalar, or the opening of a container and what precedes the first value in it. */
static enum step scan_value(struct scan *scan)
{
	scan->at = skip_blanks(scan->at, scan->end);
	if (scan->at == scan->end)
		return STEP_WRONG;
	bool object = *scan->at == '{';
	if (!object && *scan->at != '[')
		return scan_one(scan);
	if (scan->depth == UL_JSON_DEPTH_MAX)
		return STEP_WRONG;
	char closer = object ? '}' : ']';
	unsigned inside = inside_of(scan, object);
	scan->open[scan->depth].from = scan->at;
	scan->open[scan->depth].key = scan->key;
	scan->open[scan->depth].node = scan->node;
	scan->open[scan->depth].inside = inside;
	scan->open[scan->depth].closer = closer;
	scan->depth++;
	scan->node = object ? 0 : inside;
	scan->at = skip_blanks(scan->at + 1, scan->end);
	if (scan_next_is(scan, closer, closer))
		return STEP_AFTER;
	return !object || scan_key(scan) ? STEP_VALUE : STEP_WRONG;
}

static enum step scan_close(struct scan *scan)
{
	scan->at++;
	scan->depth--;
	unsigned node = scan->open[scan->depth].node;
	/* An array as a whole is its elements. */
	if (node && (scan->depth || scan->open[0].closer == '}' || scan->find->paths->nodes[node].elements)) {
		const char *from = scan->open[scan->depth].from;
		note(scan, node, own_key(scan, scan->open[scan->depth].key),
		     (struct ul_json_span){type_of(*from), from, (size_t)(scan->at - from)});
	}
	return STEP_AFTER;
}

/* After a value: the end of its container, or a comma and what precedes the next value. */
static enum step scan_after(struct scan *scan)
{
	if (!scan->depth)
		return STEP_DONE;
	char closer = scan->open[scan->depth - 1].closer;
	scan->at = skip_blanks(scan->at, scan->end);
	if (scan_next_is(scan, closer, closer))
		return scan_close(scan);
	if (!scan_word(scan, ","))
		return STEP_WRONG;
	if (closer == '}')
		return scan_key(scan) ? STEP_VALUE : STEP_WRONG;
	scan->node = scan->open[scan->depth - 1].inside;
	return STEP_VALUE;
}

struct ul_json_span ul_json_find(const char *text, size_t bytes, struct ul_json_find *find)
{
	struct scan scan;
	scan.at = text;
	scan.end = text + bytes;
	scan.depth = 0;
	scan.find = find;
	scan.node = find != NULL;
	scan.key = (struct ul_json_span){.type = UL_JSON_END};
	enum step step = STEP_VALUE;
	const char *from = skip_blanks(text, scan.end);
	while (step == STEP_VALUE || step == STEP_AFTER)
		step = step == STEP_VALUE ? scan_value(&scan) : scan_after(&scan);
	const char *to = scan.at;
	if (step == STEP_DONE)
		scan.at = skip_blanks(to, scan.end);
	if (step != STEP_DONE || scan.at != scan.end)
		return (struct ul_json_span){UL_JSON_ERROR, scan.at, 0};
	return (struct ul_json_span){type_of(*from), from, (size_t)(to - from)};
}

struct ul_json_span ul_json_parse(const char *text, size_t bytes)
{
	return ul_json_find(text, bytes, NULL);
}

/* The functions from here on see only text that ul_json_parse() found to be right. */

/* To the quote that no odd number of backslashes stands before. */
static const char *skip_string(const char *at, const char *end)
{
	const char *quote, *from = at + 1;
	do {
		quote = memchr(from, '"', (size_t)(end - from));
		if (!quote)
			return end;
		for (at = quote; at > from && at[-1] == '\\';)
			at--;
		from = quote + 1;
	} while ((quote - at) % 2);
	return quote + 1;
}

static const char *skip_container(const char *at, const char *end)
{
	size_t depth = 0;
	do {
		if (*at == '"') {
			at = skip_string(at, end);
			continue;
		}
		depth += *at == '{' || *at == '[';
		depth -= *at == '}' || *at == ']';
		at++;
	} while (depth && at < end);
	return at;
}

static struct ul_json_span read_value(const char *at, const char *end)
{
	struct ul_json_span value = {type_of(*at), at, 0};
	const char *to = at;
	if (value.type == UL_JSON_STRING)
		to = skip_string(at, end);
	else if (value.type == UL_JSON_OBJECT || value.type == UL_JSON_ARRAY)
		to = skip_container(at, end);
	else
		while (to < end && !is_blank(*to) && *to != ',' && *to != ']' && *to != '}')
			to++;
	value.bytes = (size_t)(to - at);
	return value;
}

void ul_json_enter(struct ul_json_walk *walk, struct ul_json_span container)
{
	assert(container.type == UL_JSON_OBJECT || container.type == UL_JSON_ARRAY);
	assert(container.bytes >= 2);
	walk->at = container.text + 1;
	walk->end = container.text + container.bytes - 1;
	walk->object = container.type == UL_JSON_OBJECT;
}

/* Go to the next byte that is neither blank nor this separator: between checked values nothing else can stand. */
static const char *skip_separator(const char *at, const char *end, char separator)
{
	while (at < end && (is_blank(*at) || *at == separator))
		at++;
	return at;
}

struct ul_json_span ul_json_next(struct ul_json_walk *walk, struct ul_json_span *key)
{
	struct ul_json_span value = {UL_JSON_END, walk->end, 0};
	walk->at = skip_separator(walk->at, walk->end, ',');
	if (walk->object && walk->at < walk->end) {
		struct ul_json_span found = read_value(walk->at, walk->end);
		walk->at = skip_separator(walk->at + found.bytes, walk->end, ':');
		if (key)
			*key = found;
	}
	if (walk->at < walk->end)
		value = read_value(walk->at, walk->end);
	walk->at += value.bytes;
	return value;
}

/* The next code point of a string's inside, unescaped; -1 after the last. */
static int32_t next_code_point(const char **at, const char *end)
{
	if (*at >= end || **at == '"')
		return -1;
	return **at == '\\' ? read_escape(at, end) : ul_utf8_read(at, end);
}

bool ul_json_string_is(struct ul_json_span string, const char *text, size_t bytes)
{
	assert(string.type == UL_JSON_STRING && string.bytes >= 2);
	const char *at = string.text + 1;
	const char *end = string.text + string.bytes - 1;
	if (!memchr(at, '\\', (size_t)(end - at)))
		return (size_t)(end - at) == bytes && memcmp(at, text, bytes) == 0;
	for (int32_t code_point; (code_point = next_code_point(&at, end)) >= 0;) {
		char wanted[4];
		size_t wanted_bytes = ul_utf8_write(wanted, code_point);
		if (wanted_bytes > bytes || memcmp(wanted, text, wanted_bytes) != 0)
			return false;
		text += wanted_bytes;
		bytes -= wanted_bytes;
	}
	return bytes == 0;
}

struct ul_json_span ul_json_member(struct ul_json_span object, const char *name)
{
	struct ul_json_span found = {UL_JSON_END, object.text + object.bytes, 0};
	struct ul_json_span key;
	struct ul_json_walk walk;
	size_t name_bytes = strlen(name);
	ul_json_enter(&walk, object);
	for (;;) {
		struct ul_json_span value = ul_json_next(&walk, &key);
		if (value.type == UL_JSON_END)
			return found;
		if (ul_json_string_is(key, name, name_bytes))
			found = value;
	}
}

ptrdiff_t ul_json_unescape(struct ul_json_span string, char *out, size_t out_bytes)
{
	assert(string.type == UL_JSON_STRING && string.bytes >= 2);
	const char *at = string.text + 1;
	const char *end = string.text + string.bytes - 1;
	size_t used = 0;
	while (at < end) {
		const char *run = at;
		while (at < end && *at != '\\')
			at++;
		size_t run_bytes = (size_t)(at - run);
		if (run_bytes > out_bytes - used)
			return -1;
		memcpy(out + used, run, run_bytes);
		used += run_bytes;
		if (at == end)
			break;
		char escaped[4];
		int32_t code_point = read_escape(&at, end);
		size_t escaped_bytes = code_point < 0 ? 0 : ul_utf8_write(escaped, code_point);
		if (!escaped_bytes || escaped_bytes > out_bytes - used)
			return -1;
		memcpy(out + used, escaped, escaped_bytes);
		used += escaped_bytes;
	}
	return (ptrdiff_t)used;
}

/* Where canonical text goes; nothing is written at or beyond `end`. */
struct sink {
	char *at;
	char *end;
};

static bool put(struct sink *sink, const char *text, size_t bytes)
{
	if (bytes > (size_t)(sink->end - sink->at))
		return false;
	memcpy(sink->at, text, bytes);
	sink->at += bytes;
	return true;
}

static bool put_code_point(struct sink *sink, int32_t code_point)
{
	static const char digits[] = "0123456789abcdef";
	if (code_point == '"' || code_point == '\\')
		return put(sink, (char[]){'\\', (char)code_point}, 2);
	if (ul_is_control(code_point))
		return put(sink, (char[]){'\\', 'u', '0', '0', digits[code_point >> 4], digits[code_point & 15]}, 6);
	char bytes[4];
	return put(sink, bytes, ul_utf8_write(bytes, code_point));
}

/* Put a quoted string: the run of `from` to `end`, of which escapes are read as such only if `escaped`. */
static bool put_string(struct sink *sink, const char *from, const char *end, bool escaped)
{
	if (!put(sink, "\"", 1))
		return false;
	while (from < end) {
		const char *run = from;
		while (from < end && is_plain(*from))
			from++;
		if (!put(sink, run, (size_t)(from - run)))
			return false;
		if (from == end)
			break;
		int32_t code_point = escaped && *from == '\\' ? read_escape(&from, end) : ul_utf8_read(&from, end);
		if (code_point < 0 || !put_code_point(sink, code_point))
			return false;
	}
	return put(sink, "\"", 1);
}

/*
 * Members are sorted without memory of their own. The list of an object's members, a 32-bit offset for each, stands at
 * the end of the sink while the object is written at its beginning. A member takes at least five bytes of output
 * (`"":0` and a comma or the bracket), its entry four, and an entry is no longer needed once its member is begun: so
 * whenever the two would meet, the object does not fit anyway.
 */
enum { ENTRY_BYTES = 4 };

struct members {
	struct ul_json_span object;
	char *entries; /* unaligned */
	size_t count;
};

static uint32_t entry_get(const struct members *members, size_t index)
{
	uint32_t offset;
	memcpy(&offset, members->entries + index * ENTRY_BYTES, ENTRY_BYTES);
	return offset;
}

static void entry_set(struct members *members, size_t index, uint32_t offset)
{
	memcpy(members->entries + index * ENTRY_BYTES, &offset, ENTRY_BYTES);
}

/* List the members, from the end of the sink downwards, as their number is not known yet. */
static bool list_members(struct members *members, const struct sink *sink)
{
	struct ul_json_walk walk;
	ul_json_enter(&walk, members->object);
	members->entries = sink->end;
	members->count = 0;
	for (;;) {
		struct ul_json_span key;
		if (ul_json_next(&walk, &key).type == UL_JSON_END)
			return true;
		if (members->entries - sink->at < ENTRY_BYTES)
			return false;
		members->entries -= ENTRY_BYTES;
		members->count++;
		entry_set(members, 0, (uint32_t)(key.text - members->object.text));
	}
}

/* Compare two keys by their unescaped bytes. UTF-8 sorts as its code points do. */
static int compare_keys(const struct members *members, uint32_t a, uint32_t b)
{
	const char *end = members->object.text + members->object.bytes;
	const char *at_a = members->object.text + a + 1;
	const char *at_b = members->object.text + b + 1;
	for (;;) {
		int32_t next_a = next_code_point(&at_a, end);
		int32_t next_b = next_code_point(&at_b, end);
		if (next_a != next_b)
			return next_a < next_b ? -1 : 1;
		if (next_a < 0)
			return 0;
	}
}

/* Let entry `root` sink to its place in the heap of `count` entries. */
static void sift_down(struct members *members, size_t root, size_t count)
{
	uint32_t moved = entry_get(members, root);
	for (size_t child; (child = 2 * root + 1) < count; root = child) {
		if (child + 1 < count &&
		    compare_keys(members, entry_get(members, child), entry_get(members, child + 1)) < 0)
			child++;
		if (compare_keys(members, moved, entry_get(members, child)) >= 0)
			break;
		entry_set(members, root, entry_get(members, child));
	}
	entry_set(members, root, moved);
}

/* Heapsort: in place, and no input makes it quadratic. */
static void sort_members(struct members *members)
{
	for (size_t root = members->count / 2; root > 0; root--)
		sift_down(members, root - 1, members->count);
	for (size_t last = members->count; last > 1; last--) {
		uint32_t greatest = entry_get(members, 0);
		entry_set(members, 0, entry_get(members, last - 1));
		entry_set(members, last - 1, greatest);
		sift_down(members, 0, last - 1);
	}
}

static bool has_key_twice(const struct members *members)
{
	for (size_t i = 1; i < members->count; i++)
		if (compare_keys(members, entry_get(members, i - 1), entry_get(members, i)) == 0)
			return true;
	return false;
}

/* 0, or what ul_json_canonical() is to return. Recursion ends at UL_JSON_DEPTH_MAX, which the text was checked for. */
static ptrdiff_t put_value(struct sink *sink, struct ul_json_span value);

static ptrdiff_t put_member(struct sink *sink, const struct members *members, uint32_t offset)
{
	struct ul_json_span key;
	struct ul_json_walk walk;
	ul_json_enter(&walk, members->object);
	walk.at = members->object.text + offset;
	struct ul_json_span value = ul_json_next(&walk, &key);
	if (!put_string(sink, key.text + 1, key.text + key.bytes - 1, true) || !put(sink, ":", 1))
		return UL_JSON_TOO_LONG;
	return put_value(sink, value);
}

static ptrdiff_t put_object(struct sink *sink, struct ul_json_span object)
{
	struct members members = {.object = object};
	if (!list_members(&members, sink))
		return UL_JSON_TOO_LONG;
	sort_members(&members);
	if (has_key_twice(&members))
		return UL_JSON_KEY_TWICE;
	sink->end = members.entries;
	bool fits = put(sink, "{", 1);
	for (size_t i = 0; fits && i < members.count; i++) {
		uint32_t offset = entry_get(&members, i);
		sink->end += ENTRY_BYTES;
		fits = i == 0 || put(sink, ",", 1);
		ptrdiff_t error = fits ? put_member(sink, &members, offset) : UL_JSON_TOO_LONG;
		if (error)
			return error;
	}
	return fits && put(sink, "}", 1) ? 0 : UL_JSON_TOO_LONG;
}

static ptrdiff_t put_array(struct sink *sink, struct ul_json_span array)
{
	struct ul_json_walk walk;
	ul_json_enter(&walk, array);
	const char *before = "[";
	for (;; before = ",") {
		struct ul_json_span element = ul_json_next(&walk, NULL);
		if (element.type == UL_JSON_END)
			break;
		if (!put(sink, before, 1))
			return UL_JSON_TOO_LONG;
		ptrdiff_t error = put_value(sink, element);
		if (error)
			return error;
	}
	const char *rest = *before == '[' ? "[]" : "]";
	return put(sink, rest, strlen(rest)) ? 0 : UL_JSON_TOO_LONG;
}

static ptrdiff_t put_value(struct sink *sink, struct ul_json_span value)
{
	if (value.type == UL_JSON_OBJECT)
		return put_object(sink, value);
	if (value.type == UL_JSON_ARRAY)
		return put_array(sink, value);
	bool fits = value.type == UL_JSON_STRING ? put_string(sink, value.text + 1, value.text + value.bytes - 1, true)
						 : put(sink, value.text, value.bytes);
	return fits ? 0 : UL_JSON_TOO_LONG;
}

ptrdiff_t ul_json_canonical(struct ul_json_span value, char *out, size_t out_bytes)
{
	struct sink sink = {out, out + out_bytes};
	assert(value.type > UL_JSON_END);
	if (value.bytes > UINT32_MAX)
		return UL_JSON_TOO_LONG;
	ptrdiff_t error = put_value(&sink, value);
	return error ? error : sink.at - out;
}

ptrdiff_t ul_json_quote(const char *text, size_t bytes, char *out, size_t out_bytes)
{
	struct sink sink = {out, out + out_bytes};
	return put_string(&sink, text, text + bytes, false) ? sink.at - out : -1;
}
