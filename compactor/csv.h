/*
 * CSV as RFC 4180 has it: one record's text to its fields. Where a record ends is import_lines.h's to say, by the
 * same rules: a quote begins a quoted field only at the field's first byte; elsewhere it is a character like any
 * other.
 */
#ifndef USAGELOG_CSV_H
#define USAGELOG_CSV_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CSV_FIELDS_MAX = 1024 };

struct csv_field {
	char *text; /* in the record's own bytes, not terminated */
	size_t bytes;
};

enum csv_error {
	CSV_OK = 0,
	CSV_TOO_MANY,    /* more than CSV_FIELDS_MAX fields */
	CSV_AFTER_QUOTE, /* text between a closing quote and the comma */
	CSV_OPEN_QUOTE,  /* a quote that is not closed */
};

/* A sentence's end for people, such as "has a quote that is not closed". */
const char *csv_strerror(enum csv_error error);

/* Take a record (without its line end) apart, in place: doubled quotes become one in the record's own bytes. A record
 * of no bytes is one empty field. */
enum csv_error csv_split(char *text, size_t bytes, struct csv_field fields[CSV_FIELDS_MAX], size_t *count);

/* How far a record is scanned for its end. */
struct csv_scan {
	uint64_t newlines; /* inside of quotes */
	enum { CSV_FIELD_START, CSV_PLAIN, CSV_QUOTED, CSV_QUOTE_SEEN } state;
};

/* Scan on to the newline that ends the record; returns the end if it is not in these bytes. Zero the scan to begin a
 * record. */
const char *csv_find_end(struct csv_scan *scan, const char *at, const char *end);

/* Write a field, quoted if it must be. */
void csv_print(FILE *stream, const char *text, size_t bytes);

#endif
