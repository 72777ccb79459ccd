/* CSV records: their end, their fields, and fields back to text. */
#include "csv.h"

#include <stdbool.h>
#include <string.h>

const char *csv_find_end(struct csv_scan *scan, const char *at, const char *end)
{
	for (; at < end; at++) {
		char c = *at;
		switch (scan->state) {
		case CSV_FIELD_START:
		case CSV_PLAIN:
			if (c == '\n')
				return at;
			if (c == '"' && scan->state == CSV_FIELD_START)
				scan->state = CSV_QUOTED;
			else
				scan->state = c == ',' ? CSV_FIELD_START : CSV_PLAIN;
			break;
		case CSV_QUOTED:
			scan->newlines += c == '\n';
			if (c == '"')
				scan->state = CSV_QUOTE_SEEN;
			break;
		case CSV_QUOTE_SEEN: /* the field's end, or the first of two */
			if (c == '\n')
				return at;
			scan->state = c == '"' ? CSV_QUOTED : c == ',' ? CSV_FIELD_START : CSV_PLAIN;
			break;
		}
	}
	return end;
}

/* Take a quoted field whose opening quote is at `*at`; `*at` is left behind its closing quote. */
static enum csv_error take_quoted(char **at, const char *end, struct csv_field *field)
{
	char *from = *at + 1, *to = from;
	field->text = to;
	for (;;) {
		char *quote = memchr(from, '"', (size_t)(end - from));
		if (!quote)
			return CSV_OPEN_QUOTE;
		memmove(to, from, (size_t)(quote - from));
		to += quote - from;
		from = quote + 1;
		if (from == end || *from != '"')
			break;
		*to++ = '"';
		from++;
	}
	field->bytes = (size_t)(to - field->text);
	*at = from;
	return from == end || *from == ',' ? CSV_OK : CSV_AFTER_QUOTE;
}

static void take_plain(char **at, char *end, struct csv_field *field)
{
	char *comma = memchr(*at, ',', (size_t)(end - *at));
	field->text = *at;
	*at = comma ? comma : end;
	field->bytes = (size_t)(*at - field->text);
}

enum csv_error csv_split(char *text, size_t bytes, struct csv_field fields[CSV_FIELDS_MAX], size_t *count)
{
	char *at = text, *end = text + bytes;
	size_t found = 0;
	for (;;) {
		enum csv_error error = CSV_OK;
		if (found == CSV_FIELDS_MAX)
			return CSV_TOO_MANY;
		if (at < end && *at == '"')
			error = take_quoted(&at, end, &fields[found]);
		else
			take_plain(&at, end, &fields[found]);
		if (error)
			return error;
		found++;
		if (at == end)
			break;
		at++; /* the comma */
	}
	*count = found;
	return CSV_OK;
}

const char *csv_strerror(enum csv_error error)
{
	switch (error) {
	case CSV_OK:
		return "is a record";
	case CSV_TOO_MANY:
		return "has more than 1,024 fields";
	case CSV_AFTER_QUOTE:
		return "has text between a closing quote and the next comma";
	case CSV_OPEN_QUOTE:
		return "has a quote that is not closed";
	}
	return "is no record";
}

void csv_print(FILE *stream, const char *text, size_t bytes)
{
	bool quoted = false;
	for (size_t i = 0; i < bytes && !quoted; i++)
		quoted = text[i] == '"' || text[i] == ',' || text[i] == '\n' || text[i] == '\r';
	if (!quoted) {
		fwrite(text, 1, bytes, stream);
		return;
	}
	putc('"', stream);
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '"')
			putc('"', stream);
		putc(text[i], stream);
	}
	putc('"', stream);
}
