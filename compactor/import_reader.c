/* JSON records to fields. */
#include "import_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"
#include "os.h"

/* Several fields may be read from one member, so that it is not the line's length that bounds them; but none is longer than a context.
 * Fuzzers have less, which is used up. */
#ifndef SCRATCH_BYTES
#define SCRATCH_BYTES ((size_t)1 << 18)
#endif

int import_reader_open(struct import_reader *reader, size_t state_bytes, size_t text_bytes)
{
	*reader = (struct import_reader){.state_bytes = state_bytes};
	ul_json_paths_init(&reader->paths);
	/* All are looked at, wanted or not. */
	reader->paths.slots = UL_JSON_SLOTS_MAX;
	reader->find.paths = &reader->paths;
	ul_json_find_clear(&reader->find);
	reader->paths.slots = FIELD_COUNT;
	reader->scratch = os_reallocate(NULL, 1, SCRATCH_BYTES);
	reader->state = os_allocate(1, state_bytes + 1);
	reader->texts = os_allocate(1, text_bytes + 1);
	if (!reader->scratch || !reader->state || !reader->texts) {
		import_reader_close(reader);
		return -ENOMEM;
	}
	reader->end = reader->scratch + SCRATCH_BYTES;
	import_reader_reset(reader);
	return 0;
}

void import_reader_close(struct import_reader *reader)
{
	free(reader->scratch);
	free(reader->state);
	free(reader->texts);
	reader->scratch = NULL;
	reader->state = NULL;
	reader->texts = NULL;
}

void import_reader_reset(struct import_reader *reader)
{
	memset(reader->state, 0, reader->state_bytes);
	reader->free = reader->scratch;
}

enum import_verdict refuse_record(struct refusal *why, enum call_field field, const char *reason)
{
	why->field = field;
	snprintf(why->reason, sizeof(why->reason), "%s", reason);
	return IMPORT_REFUSED;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static bool unescape(struct import_reader *reader, struct ul_json_span value, struct field_value *out)
{
	*out = (struct field_value){value.text + 1, value.bytes - 2};
	if (!memchr(out->text, '\\', out->bytes))
		return true;
	ptrdiff_t length = ul_json_unescape(value, reader->free, (size_t)(reader->end - reader->free));
	if (length < 0)
		return false;
	*out = (struct field_value){reader->free, (size_t)length};
	reader->free += length;
	return true;
}

static bool take_value(struct import_reader *reader, enum call_field field, struct ul_json_span value,
		       struct field_value *out, struct refusal *why)
{
	switch (value.type) {
	case UL_JSON_END:
	case UL_JSON_NULL:
		*out = (struct field_value){0};
		return true;
	case UL_JSON_STRING:
		return unescape(reader, value, out) || (refuse_record(why, field, "is too long"), false);
	case UL_JSON_OBJECT:
		if (field != FIELD_METADATA) {
			refuse_record(why, field, "is a JSON object; name a member of it: FIELD=OUTER.INNER");
			return false;
		}
		break;
	case UL_JSON_ARRAY:
		refuse_record(why, field, "is a JSON array, not a value");
		return false;
	default:
		break;
	}
	*out = (struct field_value){value.text, value.bytes};
	return true;
}

struct field_value found_text(struct import_reader *reader, unsigned slot)
{
	struct ul_json_span span = reader->find.spans[slot];
	struct field_value text = {0};
	if (span.type == UL_JSON_STRING && !unescape(reader, span, &text))
		return (struct field_value){0};
	if (span.type == UL_JSON_NUMBER || span.type == UL_JSON_TRUE || span.type == UL_JSON_FALSE)
		text = (struct field_value){span.text, span.bytes};
	return text;
}

bool found_is(struct import_reader *reader, unsigned slot, const char *text)
{
	struct ul_json_span span = reader->find.spans[slot];
	if (span.type == UL_JSON_STRING)
		return ul_json_string_is(span, text, strlen(text));
	return span.type > UL_JSON_NULL && span.bytes == strlen(text) && !memcmp(span.text, text, span.bytes);
}

bool found_count(struct import_reader *reader, unsigned slot, uint64_t *count)
{
	struct field_value text = found_text(reader, slot);
	*count = 0;
	return !text.bytes || !decimal_parse_count(text.text, text.bytes, UINT64_MAX >> 1, count);
}

struct field_value make_text(struct import_reader *reader, const char *format, ...)
{
	struct field_value made = {0};
	size_t room = (size_t)(reader->end - reader->free);
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(reader->free, room, format, arguments);
	va_end(arguments);
	if (length > 0 && (size_t)length < room) {
		made = (struct field_value){reader->free, (size_t)length};
		reader->free += length;
	}
	return made;
}

/* ---- records ------------------------------------------------------------------------------------------------- */

bool import_reader_fields(struct import_reader *reader, struct field_value values[FIELD_COUNT], struct refusal *why)
{
	reader->free = reader->scratch;
	for (enum call_field field = 0; field < FIELD_COUNT; field++) {
		const struct ul_json_span *span = &reader->find.spans[field];
		struct field_value value;
		/* What only a dump has may be anything in a file that is none. */
		bool nested = span->type == UL_JSON_OBJECT || span->type == UL_JSON_ARRAY;
		if (span->type <= UL_JSON_NULL || (nested && field >= FIELD_KIND))
			continue;
		if (!take_value(reader, field, *span, &value, why))
			return false;
		if (value.bytes)
			values[field] = value;
	}
	return true;
}

void import_reader_record(struct import_reader *reader, struct ul_json_span record)
{
	struct field_value values[FIELD_COUNT];
	struct refusal why;
	enum import_verdict verdict = IMPORT_CALL;
	memcpy(values, reader->defaults, sizeof(values));
	if (record.type != UL_JSON_OBJECT)
		verdict = refuse_record(&why, FIELD_COUNT, "is not a JSON object");
	else if (!import_reader_fields(reader, values, &why))
		verdict = IMPORT_REFUSED;
	else if (reader->take)
		verdict = reader->take(reader, values, &why);
	reader->sink->record(reader->sink->arg, record.text, verdict, values, &why);
	reader->free = reader->scratch;
	ul_json_find_clear(&reader->find);
}

enum { EVENT_ELEMENT = 255 };

static void visit(void *arg, unsigned event, struct ul_json_span key, struct ul_json_span value)
{
	struct import_reader *reader = arg;
	if (event == EVENT_ELEMENT)
		import_reader_record(reader, value);
	else
		reader->event(reader, event, key, value);
}

static bool parse(struct import_reader *reader, const char *text, size_t bytes, struct ul_json_span *whole,
		  struct refusal *why)
{
	reader->find.paths = &reader->paths;
	ul_json_find_clear(&reader->find);
	reader->find.visit = NULL;
	*whole = ul_json_find(text, bytes, &reader->find);
	if (whole->type != UL_JSON_ERROR)
		return true;
	why->field = FIELD_COUNT;
	snprintf(why->reason, sizeof(why->reason), "is not JSON: wrong at byte %zu", (size_t)(whole->text - text) + 1);
	return false;
}

bool import_reader_parse(struct import_reader *reader, const char *text, size_t bytes, struct refusal *why)
{
	struct ul_json_span whole;
	if (!parse(reader, text, bytes, &whole, why))
		return false;
	if (whole.type != UL_JSON_OBJECT)
		refuse_record(why, FIELD_COUNT, "is not a JSON object");
	return whole.type == UL_JSON_OBJECT;
}

bool import_reader_look(struct import_reader *reader, const char *text, size_t bytes)
{
	struct ul_json_span whole;
	struct refusal why;
	return parse(reader, text, bytes, &whole, &why) &&
	       (whole.type == UL_JSON_OBJECT || whole.type == UL_JSON_ARRAY);
}

bool import_reader_take(struct import_reader *reader, const char *text, size_t bytes, bool whole_file,
			struct refusal *why)
{
	struct ul_json_span whole;
	if (!parse(reader, text, bytes, &whole, why))
		return false;
	bool elements = !reader->event && whole_file && whole.type == UL_JSON_ARRAY;
	if (!elements && (!reader->event || whole.type != UL_JSON_OBJECT)) {
		import_reader_record(reader, whole);
		return true;
	}
	/* Once more, now that it is known to be right, record by record. */
	ul_json_find_clear(&reader->find);
	reader->find.visit = visit;
	reader->find.arg = reader;
	if (elements)
		ul_json_paths_event(&reader->paths, "", EVENT_ELEMENT);
	(void)ul_json_find(text, bytes, &reader->find);
	return true;
}
