/* JSON on its way out. */
#include "json_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "os.h"

enum { NUMBER_BYTES = 32 };

void json_text_clear(struct json_text *json)
{
	free(json->text);
	*json = (struct json_text){0};
}

int json_text_print(struct json_text *json)
{
	int error = json->error;
	if (!error)
		printf("%s\n", json->text);
	json_text_clear(json);
	return error;
}

/* Room for so many more bytes and a zero. False: none, and from then on nothing is added. */
static bool make_room(struct json_text *json, size_t bytes)
{
	if (json->error)
		return false;
	if (bytes < json->room - json->bytes)
		return true;
	size_t room = 2 * json->room + bytes + 4096;
	char *text = os_reallocate(json->text, room, 1);
	if (!text) {
		json->error = -ENOMEM;
		return false;
	}
	json->text = text;
	json->room = room;
	return true;
}

static void append(struct json_text *json, const char *text, size_t bytes)
{
	if (!make_room(json, bytes))
		return;
	memcpy(json->text + json->bytes, text, bytes);
	json->bytes += bytes;
	json->text[json->bytes] = '\0';
}

static void append_quoted(struct json_text *json, struct ul_text value)
{
	/* At worst each byte is six: \u0000. */
	size_t most = (size_t)value.bytes * 6 + 2;
	if (!make_room(json, most))
		return;
	ptrdiff_t used = ul_json_quote(value.text, value.bytes, json->text + json->bytes, most);
	/* What is no UTF-8 was refused long before. */
	assert(used > 0);
	json->bytes += used > 0 ? (size_t)used : 0;
	json->text[json->bytes] = '\0';
}

static void begin_line(struct json_text *json)
{
	static const char tabs[JSON_TEXT_DEPTH_MAX + 1] = "\n\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t";
	if (json->dense || (json->flat && json->depth >= json->flat))
		return;
	append(json, tabs, json->depth + (size_t)1);
}

/* All that stands before a value. */
static void begin_value(struct json_text *json, struct ul_text key)
{
	bool one_line = json->flat && json->depth >= json->flat;
	if (json->any)
		append(json, ", ", one_line && !json->dense ? 2 : 1);
	if (json->depth)
		begin_line(json);
	if (key.bytes || (json->depth && json->closing[json->depth - 1] == '}')) {
		append_quoted(json, key);
		append(json, ": ", json->dense ? 1 : 2);
	}
	json->any = true;
}

static void begin(struct json_text *json, struct ul_text key, const char *opening, char closing)
{
	begin_value(json, key);
	append(json, opening, 1);
	assert(json->depth < JSON_TEXT_DEPTH_MAX);
	json->closing[json->depth++] = closing;
	json->any = false;
}

void json_begin_object(struct json_text *json, struct ul_text key)
{
	begin(json, key, "{", '}');
}

void json_begin_array(struct json_text *json, struct ul_text key)
{
	begin(json, key, "[", ']');
}

void json_in_a_line(struct json_text *json)
{
	if (!json->flat)
		json->flat = json->depth + 1;
}

void json_end(struct json_text *json)
{
	assert(json->depth > 0);
	bool one_line = json->flat && json->depth >= json->flat;
	json->depth--;
	if (json->any && !one_line)
		begin_line(json);
	append(json, &json->closing[json->depth], 1);
	if (json->depth < json->flat)
		json->flat = 0;
	json->any = true;
}

void json_string(struct json_text *json, struct ul_text key, struct ul_text value)
{
	begin_value(json, key);
	append_quoted(json, value);
}

void json_verbatim(struct json_text *json, struct ul_text key, struct ul_text value)
{
	begin_value(json, key);
	append(json, value.text, value.bytes);
}

void json_boolean(struct json_text *json, struct ul_text key, bool value)
{
	json_verbatim(json, key, json_key(value ? "true" : "false"));
}

void json_null(struct json_text *json, struct ul_text key)
{
	json_verbatim(json, key, json_key("null"));
}

static struct ul_text digits(char end[NUMBER_BYTES], int64_t value)
{
	char *at = end + NUMBER_BYTES;
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
	do {
		*--at = (char)('0' + (int)(rest % 10));
		rest /= 10;
	} while (rest);
	if (value < 0)
		*--at = '-';
	return (struct ul_text){at, (uint32_t)(end + NUMBER_BYTES - at)};
}

void json_integer(struct json_text *json, struct ul_text key, int64_t value)
{
	char text[NUMBER_BYTES];
	json_verbatim(json, key, digits(text, value));
}

void json_exact(struct json_text *json, struct ul_text key, int64_t value)
{
	char text[NUMBER_BYTES];
	json_string(json, key, digits(text, value));
}

void json_thousandths(struct json_text *json, struct ul_text key, int64_t value)
{
	char text[NUMBER_BYTES];
	unsigned rest = (unsigned)(value < 0 ? -(value % 1000) : value % 1000);
	int length = snprintf(text, sizeof(text), "%s%lld.%03u", value < 0 && value > -1000 ? "-" : "",
			      (long long)(value / 1000), rest);
	while (text[length - 1] == '0')
		length--;
	length -= text[length - 1] == '.';
	json_verbatim(json, key, (struct ul_text){text, (uint32_t)length});
}

void json_money(struct json_text *json, struct ul_text key, money_t pico_usd)
{
	char text[MONEY_TEXT_BYTES];
	json_verbatim(json, key, (struct ul_text){text, (uint32_t)money_print(text, pico_usd)});
}

void json_money_exact(struct json_text *json, struct ul_text key, money_t pico_usd)
{
	char text[MONEY_TEXT_BYTES];
	json_string(json, key, (struct ul_text){text, (uint32_t)money_print(text, pico_usd)});
}
