/*
 * A strict JSON (RFC 8259) scanner that keeps numbers as they are written. cJSON reads every number through
 * double, which loses money and large integers; so wherever a number or a canonical text matters, this
 * scanner is used, and cJSON only where JSON is printed. It allocates nothing and copies nothing:
 * a value is a span of the input.
 */
#ifndef USAGELOG_JSON_H
#define USAGELOG_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UL_JSON_DEPTH_MAX = 32, UL_JSON_NODES_MAX = 512, UL_JSON_SLOTS_MAX = 64 };

enum ul_json_type {
	UL_JSON_ERROR, /* not JSON, nested too deep, or not UTF-8 */
	UL_JSON_END,   /* of the object or array that is walked */
	UL_JSON_NULL,
	UL_JSON_FALSE,
	UL_JSON_TRUE,
	UL_JSON_NUMBER,
	UL_JSON_STRING,
	UL_JSON_ARRAY,
	UL_JSON_OBJECT,
};

/* A value, or a member's key, where it stands in the text; a string's span includes its quotes. */
struct ul_json_span {
	enum ul_json_type type;
	const char *text;
	size_t bytes;
};

/* Check a whole document of `bytes` bytes (leading and trailing blanks allowed) and find its value. On
 * UL_JSON_ERROR, `text` points at the byte that is wrong. Everything inside is checked too, so the walk below cannot
 * fail. */
struct ul_json_span ul_json_parse(const char *text, size_t bytes);

/*
 * Paths that are wanted, found in the pass that checks: of the values that no path leads to nothing is kept. A path is names with dots between,
 * "[]" for every element of an array, "*" for every name, as in "choices[].usage.*". Where the whole document is an array and no path begins
 * with "[]", each element is a whole of its own.
 */
struct ul_json_node {
	const char *key; /* not terminated; must live on */
	uint32_t key_bytes;
	uint16_t first, next; /* child, sibling; 0: none */
	uint16_t elements;
	uint16_t also; /* for another slot */
	uint8_t slot;  /* from 1; 0: none */
	uint8_t rank;
	uint8_t event;
	bool any;
};
struct ul_json_paths {
	unsigned count;
	unsigned slots; /* of which one is used: the highest, and one more */
	struct ul_json_node nodes[UL_JSON_NODES_MAX];
};
void ul_json_paths_init(struct ul_json_paths *paths);
/* The value at this path goes to a slot. Several may go to one: of those that are there and not null the lowest rank counts, of equal ones the
 * last. False: too many paths. */
bool ul_json_paths_add(struct ul_json_paths *paths, const char *path, unsigned slot, unsigned rank);
/* The same for a path in which a dot may be part of a name as well: "a.b" is the member "a.b", or else "b" in "a". */
bool ul_json_paths_add_names(struct ul_json_paths *paths, const char *path, unsigned slot);
/* Whenever a value at this path has ended, `visit` is called with this number, not 0. */
bool ul_json_paths_event(struct ul_json_paths *paths, const char *path, unsigned event);

struct ul_json_find {
	const struct ul_json_paths *paths;            /* set first */
	struct ul_json_span spans[UL_JSON_SLOTS_MAX]; /* type UL_JSON_END: not there */
	uint8_t ranks[UL_JSON_SLOTS_MAX];
	/* May be NULL. It may clear slots. The key is that of the value, if it has one. */
	void (*visit)(void *arg, unsigned event, struct ul_json_span key, struct ul_json_span value);
	void *arg;
};
void ul_json_find_clear(struct ul_json_find *find);
/* As ul_json_parse(), and fill the slots, which were cleared before. What was found before an error stays. */
struct ul_json_span ul_json_find(const char *text, size_t bytes, struct ul_json_find *find);

/* Walk an object or array that ul_json_parse() checked. */
struct ul_json_walk {
	const char *at;
	const char *end;
	bool object;
};
void ul_json_enter(struct ul_json_walk *walk, struct ul_json_span container);
/* The next member or element; UL_JSON_END after the last. `key` is set for objects; it may be NULL. */
struct ul_json_span ul_json_next(struct ul_json_walk *walk, struct ul_json_span *key);

/* The member of an object with this (unescaped) name, the last if there are several; type UL_JSON_END if none. */
struct ul_json_span ul_json_member(struct ul_json_span object, const char *name);

/* Is this string, unescaped, these bytes? */
bool ul_json_string_is(struct ul_json_span string, const char *text, size_t bytes);

/* Unescape a string into `out` of `out_bytes` bytes, not terminated. Returns its length, or -1 if it does not fit. */
ptrdiff_t ul_json_unescape(struct ul_json_span string, char *out, size_t out_bytes);

/* Why there is no canonical form: both negative, so that a caller who need not know tests for that. */
enum { UL_JSON_TOO_LONG = -1, UL_JSON_KEY_TWICE = -2 };

/* Write the canonical form (FORMAT.md 5) of a checked value. Returns its length, UL_JSON_TOO_LONG if it does not fit
 * (or the value takes 4 GiB or more), or UL_JSON_KEY_TWICE. `out` is scratch space too: all of it may be written to. */
ptrdiff_t ul_json_canonical(struct ul_json_span value, char *out, size_t out_bytes);

/* Write `bytes` bytes of UTF-8 as a JSON string in canonical form. Returns its length, or -1 if it does not fit or
 * is not UTF-8. */
ptrdiff_t ul_json_quote(const char *text, size_t bytes, char *out, size_t out_bytes);

#endif
