/*
 * JSON on its way out: text that grows, one value after the other. Integers and amounts of money are written digit by digit, so that nothing is
 * rounded on the way; who reads them as doubles rounds once. It must not know what the values mean.
 */
#ifndef USAGELOG_JSON_TEXT_H
#define USAGELOG_JSON_TEXT_H

#include <stdbool.h>

#include "container.h"
#include "money.h"

enum { JSON_TEXT_DEPTH_MAX = 16 };

/* Zero it to begin. */
struct json_text {
	bool dense; /* set it to begin: no space, no line, for texts that only programs read */
	char *text; /* terminated */
	size_t bytes, room;
	unsigned depth;
	unsigned flat;                     /* the depth from which on all is in one line; 0: none */
	char closing[JSON_TEXT_DEPTH_MAX]; /* by depth */
	bool any;                          /* in the object or array at hand */
	int error;                         /* -ENOMEM, for good */
};

void json_text_clear(struct json_text *json);
/* Print it and a line's end to standard output, unless an error came of it, which is returned. It is empty afterwards. */
int json_text_print(struct json_text *json);

/* A key that is a string of the program. */
static inline struct ul_text json_key(const char *key)
{
	return (struct ul_text){key, (uint32_t)__builtin_strlen(key)};
}

/* In an object each value has a key; in an array, and for the outermost value, it is of no bytes. UTF-8 both. */
void json_begin_object(struct json_text *json, struct ul_text key);
void json_begin_array(struct json_text *json, struct ul_text key);
/* The object or array that is begun next stands in one line. */
void json_in_a_line(struct json_text *json);
void json_end(struct json_text *json);

void json_string(struct json_text *json, struct ul_text key, struct ul_text value);
void json_boolean(struct json_text *json, struct ul_text key, bool value);
void json_null(struct json_text *json, struct ul_text key);
void json_integer(struct json_text *json, struct ul_text key, int64_t value);
/* The same as a string, for readers to whom numbers are doubles. */
void json_exact(struct json_text *json, struct ul_text key, int64_t value);
/* Thousandths: 80123 is 80.123. */
void json_thousandths(struct json_text *json, struct ul_text key, int64_t value);
/* US dollars, as a number and as a string. */
void json_money(struct json_text *json, struct ul_text key, money_t pico_usd);
void json_money_exact(struct json_text *json, struct ul_text key, money_t pico_usd);
/* A value that is JSON already. */
void json_verbatim(struct json_text *json, struct ul_text key, struct ul_text value);

#endif
