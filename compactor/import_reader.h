/*
 * JSON that is imported, record by record: the wanted members of each, as the texts of a call's fields. What the members are, and which
 * records are calls, a format says (import_format.h). It must not know of files and of the log.
 */
#ifndef USAGELOG_IMPORT_READER_H
#define USAGELOG_IMPORT_READER_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "draft.h"
#include "json.h"

/* Slots of what is found: those of the fields, and a format's own ones behind them. */
enum { SLOT_OWN = FIELD_COUNT };

enum import_verdict {
	IMPORT_CALL,
	IMPORT_NO_CALL, /* nothing of it was to be had */
	IMPORT_REPEAT,  /* the call was there before */
	IMPORT_REFUSED, /* `why` is set */
};

struct import_reader;

/* Totals that a file has beside its calls. */
enum import_total { IMPORT_TOTAL_DAY, IMPORT_TOTAL_MODEL };

/* Where records go. `at` is where one stands in the text. */
struct import_sink {
	void *arg;
	void (*record)(void *arg, const char *at, enum import_verdict verdict,
		       const struct field_value values[FIELD_COUNT], const struct refusal *why);
	void (*total)(void *arg, enum import_total kind, struct field_value name, uint64_t calls, uint64_t tokens,
		      int64_t cost_pico_usd);
};

/* What a format does with a record whose members are in `reader->find`: values that can be read off are there already. */
typedef enum import_verdict import_take(struct import_reader *reader, struct field_value values[FIELD_COUNT],
					struct refusal *why);
/* What ended inside of a record: an event of ul_json_paths_event(). */
typedef void import_event(struct import_reader *reader, unsigned event, struct ul_json_span key,
			  struct ul_json_span value);

struct import_reader {
	struct ul_json_paths paths;
	struct ul_json_find find;
	struct field_value defaults[FIELD_COUNT]; /* what a record begins with */
	import_take *take;                        /* NULL: each record is a call */
	import_event *event;                      /* NULL: a record is a line, or an element of its array */
	void *state;                              /* of the format, zeroed before each file */
	size_t state_bytes;
	char *texts; /* room for paths that are made */
	const struct import_sink *sink;
	char *scratch, *free, *end; /* room for texts of the record at hand */
};

/* 0 or -ENOMEM. Paths and the rest are then set by the caller. */
int import_reader_open(struct import_reader *reader, size_t state_bytes, size_t text_bytes);
void import_reader_close(struct import_reader *reader);
/* A file begins. */
void import_reader_reset(struct import_reader *reader);

/* One line, or a whole file, which may be an array of records: they go to the sink. False: it is not JSON, `why` is set, and none went there. */
bool import_reader_take(struct import_reader *reader, const char *text, size_t bytes, bool whole_file,
			struct refusal *why);

/* The two halves of it, for one object: check it and find its members; and these as texts, which stay until the next record. */
bool import_reader_parse(struct import_reader *reader, const char *text, size_t bytes, struct refusal *why);
bool import_reader_fields(struct import_reader *reader, struct field_value values[FIELD_COUNT], struct refusal *why);

/* Only look: are these the paths' members? False: it is not a JSON object, or an array of them. */
bool import_reader_look(struct import_reader *reader, const char *text, size_t bytes);

/* For formats: the record that ends at this event goes to the sink. */
void import_reader_record(struct import_reader *reader, struct ul_json_span record);

/* What was found in a slot; as a text; NULL bytes if it is not there or no scalar. */
static inline struct ul_json_span found(const struct import_reader *reader, unsigned slot)
{
	return reader->find.spans[slot];
}
struct field_value found_text(struct import_reader *reader, unsigned slot);
bool found_is(struct import_reader *reader, unsigned slot, const char *text);
/* The count in a slot; 0 if it is not there. False: it is none. */
bool found_count(struct import_reader *reader, unsigned slot, uint64_t *count);

/* A text made for the record at hand; of no bytes if there is no room left. */
struct field_value make_text(struct import_reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline bool value_is(struct field_value value, const char *text)
{
	return value.bytes == __builtin_strlen(text) && !__builtin_memcmp(value.text, text, value.bytes);
}

enum import_verdict refuse_record(struct refusal *why, enum call_field field, const char *reason);

#endif
