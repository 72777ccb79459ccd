/* The text of log.conf: conf.h. */
#include "conf.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seal.h"
#include "slot.h"
#include "utf8.h"

static const char version_key[] = "usagelog ";
static const char checksum_key[] = "checksum ";
enum {
	CHECKSUM_DIGITS = 16,
	CHECKSUM_LINE_BYTES = sizeof(checksum_key) - 1 + CHECKSUM_DIGITS + 1, /* the line end counts */
};

static bool value_is_valid(const char *value, size_t bytes)
{
	const char *end = value + bytes;
	if (bytes == 0 || bytes > UL_CONF_VALUE_BYTES_MAX)
		return false;
	while (value < end) {
		int32_t code_point = ul_utf8_read(&value, end);
		if (code_point < 0x20 || code_point == 0x7f)
			return false;
	}
	return true;
}

int ul_conf_value_is_valid(const char *value)
{
	return value_is_valid(value, strnlen(value, UL_CONF_VALUE_BYTES_MAX + 1));
}

/* Text that is read line by line. */
struct reader {
	const char *at;
	const char *end;
};

/* A line's value, not terminated. */
struct value {
	const char *text;
	size_t bytes;
};

/* Take the next line if it is `key value`; otherwise it stays where it is. */
static bool read_line(struct reader *reader, const char *key, struct value *value)
{
	size_t key_bytes = strlen(key);
	size_t rest = (size_t)(reader->end - reader->at);
	if (rest < key_bytes || memcmp(reader->at, key, key_bytes) != 0)
		return false;
	const char *from = reader->at + key_bytes;
	const char *to = memchr(from, '\n', rest - key_bytes);
	if (!to || !value_is_valid(from, (size_t)(to - from)))
		return false;
	*value = (struct value){from, (size_t)(to - from)};
	reader->at = to + 1;
	return true;
}

/* Decimal digits without leading zeros. */
static bool is_number(struct value value)
{
	for (size_t i = 0; i < value.bytes; i++)
		if (value.text[i] < '0' || value.text[i] > '9')
			return false;
	return value.bytes == 1 || value.text[0] != '0';
}

static bool parse_number(struct value value, uint32_t *number)
{
	uint64_t found = 0;
	if (!is_number(value) || value.bytes > 10)
		return false;
	for (size_t i = 0; i < value.bytes; i++)
		found = found * 10 + (uint64_t)(value.text[i] - '0');
	if (found > UINT32_MAX)
		return false;
	*number = (uint32_t)found;
	return true;
}

/* What the first line says, before anything else is believed: a newer program's file may look otherwise from there
 * on. */
static enum ul_conf_error read_version(struct reader *reader)
{
	struct value version;
	if (!read_line(reader, version_key, &version) || !is_number(version) || version.text[0] == '0')
		return UL_CONF_DAMAGED;
	return version.bytes == 1 && version.text[0] == '1' ? UL_CONF_OK : UL_CONF_NEWER;
}

static void print_checksum_line(char line[CHECKSUM_LINE_BYTES + 1], const char *text, size_t bytes)
{
	snprintf(line, CHECKSUM_LINE_BYTES + 1, "%s%016llx\n", checksum_key,
		 (unsigned long long)XXH3_64bits(text, bytes));
}

static bool checksum_agrees(const char *text, size_t bytes)
{
	char line[CHECKSUM_LINE_BYTES + 1];
	if (bytes < CHECKSUM_LINE_BYTES)
		return false;
	print_checksum_line(line, text, bytes - CHECKSUM_LINE_BYTES);
	return memcmp(text + bytes - CHECKSUM_LINE_BYTES, line, CHECKSUM_LINE_BYTES) == 0;
}

static enum ul_conf_error read_string(struct reader *reader, const char *key, char **string)
{
	struct value value;
	if (!read_line(reader, key, &value))
		return UL_CONF_DAMAGED;
	*string = strndup(value.text, value.bytes);
	return *string ? UL_CONF_OK : UL_CONF_NO_MEMORY;
}

/* Read the lines of a key that may repeat. One more than there may be is left, and is then not the next key. */
static enum ul_conf_error read_strings(struct reader *reader, const char *key, char **strings, size_t strings_max,
				       size_t *count)
{
	struct value value;
	while (*count < strings_max && read_line(reader, key, &value)) {
		strings[*count] = strndup(value.text, value.bytes);
		if (!strings[*count])
			return UL_CONF_NO_MEMORY;
		++*count;
	}
	return UL_CONF_OK;
}

static bool fallbacks_are_absolute(const struct ul_conf *conf)
{
	for (size_t i = 0; i < conf->fallback_count; i++)
		if (conf->fallbacks[i][0] != '/')
			return false;
	return true;
}

/* Read all between the version and the checksum. What was read so far is in `conf` on an error too. */
static enum ul_conf_error read_settings(struct reader *reader, struct ul_conf *conf)
{
	struct value value;
	if (!read_line(reader, "log_id ", &value) || value.bytes != UL_ID_TEXT_BYTES - 1 ||
	    !ul_id_parse(&conf->log_id, value.text))
		return UL_CONF_DAMAGED;
	enum ul_conf_error error = read_string(reader, "time_zone ", &conf->time_zone);
	if (!error)
		error = read_strings(reader, "fallback ", conf->fallbacks, UL_CONF_FALLBACKS_MAX,
				     &conf->fallback_count);
	if (!error && !fallbacks_are_absolute(conf))
		error = UL_CONF_DAMAGED;
	if (!error)
		error = read_string(reader, "summary ", &conf->summary);
	if (!error && (!read_line(reader, "retention_days ", &value) || !parse_number(value, &conf->retention_days)))
		error = UL_CONF_DAMAGED;
	if (!error)
		error = read_strings(reader, "group_by ", conf->group_by, UL_CONF_GROUP_BY_MAX, &conf->group_by_count);
	if (!error && reader->at != reader->end)
		error = UL_CONF_DAMAGED;
	return error;
}

enum ul_conf_error ul_conf_parse(struct ul_conf *conf, const char *text, size_t bytes)
{
	struct ul_conf found = {0};
	struct reader reader = {text, text + bytes};
	enum ul_conf_error error = read_version(&reader);
	if (error)
		return error;
	if (bytes > UL_CONF_BYTES_MAX || !checksum_agrees(text, bytes))
		return UL_CONF_DAMAGED;
	reader.end -= CHECKSUM_LINE_BYTES;
	error = read_settings(&reader, &found);
	if (error)
		ul_conf_clear(&found);
	else
		*conf = found;
	return error;
}

/* Text in the making; once something did not fit or was not allowed, it stays failed. */
struct printer {
	char *out;
	size_t bytes;
	bool failed;
};

static void print_bytes(struct printer *printer, const char *text, size_t bytes)
{
	if (printer->failed || bytes > UL_CONF_BYTES_MAX - printer->bytes) {
		printer->failed = true;
		return;
	}
	memcpy(printer->out + printer->bytes, text, bytes);
	printer->bytes += bytes;
}

static void print_line(struct printer *printer, const char *key, const char *value)
{
	if (!value || !ul_conf_value_is_valid(value)) {
		printer->failed = true;
		return;
	}
	print_bytes(printer, key, strlen(key));
	print_bytes(printer, value, strlen(value));
	print_bytes(printer, "\n", 1);
}

static void print_lines(struct printer *printer, const char *key, char *const *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		print_line(printer, key, values[i]);
}

size_t ul_conf_print(const struct ul_conf *conf, char out[UL_CONF_BYTES_MAX])
{
	struct printer printer = {.out = out};
	char id[UL_ID_TEXT_BYTES];
	char days[sizeof("4294967295")];
	char checksum[CHECKSUM_LINE_BYTES + 1];
	if (conf->fallback_count > UL_CONF_FALLBACKS_MAX || conf->group_by_count > UL_CONF_GROUP_BY_MAX)
		return 0;
	ul_id_format(id, &conf->log_id);
	snprintf(days, sizeof(days), "%u", conf->retention_days);
	print_line(&printer, version_key, "1");
	print_line(&printer, "log_id ", id);
	print_line(&printer, "time_zone ", conf->time_zone);
	print_lines(&printer, "fallback ", conf->fallbacks, conf->fallback_count);
	print_line(&printer, "summary ", conf->summary);
	print_line(&printer, "retention_days ", days);
	print_lines(&printer, "group_by ", conf->group_by, conf->group_by_count);
	if (printer.failed || !fallbacks_are_absolute(conf))
		return 0;
	print_checksum_line(checksum, out, printer.bytes);
	print_bytes(&printer, checksum, CHECKSUM_LINE_BYTES);
	return printer.failed ? 0 : printer.bytes;
}

static void free_strings(char **strings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(strings[i]);
}

void ul_conf_clear(struct ul_conf *conf)
{
	free(conf->time_zone);
	free_strings(conf->fallbacks, conf->fallback_count);
	free(conf->summary);
	free_strings(conf->group_by, conf->group_by_count);
	*conf = (struct ul_conf){0};
}

uint64_t ul_conf_settings(const struct ul_conf *conf)
{
	XXH3_state_t state;
	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, conf->time_zone, strlen(conf->time_zone));
	for (size_t i = 0; i < conf->group_by_count; i++) {
		XXH3_64bits_update(&state, "", 1);
		XXH3_64bits_update(&state, conf->group_by[i], strlen(conf->group_by[i]));
	}
	return XXH3_64bits_digest(&state);
}
