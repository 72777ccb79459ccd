/*
 * Decimal text to integers, exactly: money, latencies, counts and times are never put through a floating-point
 * number, which would lose a part of them. Pure functions of text.
 */
#ifndef USAGELOG_DECIMAL_H
#define USAGELOG_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

enum decimal_error {
	DECIMAL_OK = 0,
	DECIMAL_SYNTAX,   /* not a decimal number */
	DECIMAL_RANGE,    /* beyond what the field holds */
	DECIMAL_FRACTION, /* a count that is not whole */
	DECIMAL_NEGATIVE, /* a count or duration below 0 */
};

/* A sentence's end for people, such as "is not a decimal number". */
const char *decimal_strerror(enum decimal_error error);

/*
 * `*out` = text * 10^scale, rounded to the nearest integer, halves to the even one. The text is [+-] digits [.
 * digits] [e [+-] digits], of any length, with digits on at least one side of the point. Scale 12 makes US dollars
 * pico-USD, 3 makes ms us, 9 makes s ns. DECIMAL_SYNTAX, DECIMAL_RANGE.
 */
enum decimal_error decimal_parse(const char *text, size_t bytes, int scale, int64_t *out);

/* A whole number from 0 to `most`: 100, 100.0 and 1e2 are the same one. All errors. */
enum decimal_error decimal_parse_count(const char *text, size_t bytes, uint64_t most, uint64_t *out);

/* A number of 0 or more, times 10^scale, rounded as above, at most `most` (of the result). All errors but
 * DECIMAL_FRACTION. */
enum decimal_error decimal_parse_positive(const char *text, size_t bytes, int scale, uint64_t most, uint64_t *out);

#endif
