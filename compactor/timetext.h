/*
 * Times as text: what people and other programs write, to ns since the Unix epoch and back, exactly. Local times are
 * those of the process's zone (calendar_set_zone()).
 */
#ifndef USAGELOG_TIMETEXT_H
#define USAGELOG_TIMETEXT_H

#include <stddef.h>
#include <stdint.h>

enum timetext_error {
	TIMETEXT_OK = 0,
	TIMETEXT_SYNTAX, /* none of the three forms */
	TIMETEXT_DATE,   /* a day or a time of day that there is not */
	TIMETEXT_RANGE,  /* before 1677-09-21 or after 2262-04-11: outside of 64-bit ns */
};

/* A sentence's end for people, such as "is not a time: ...". */
const char *timetext_strerror(enum timetext_error error);

/* What is remembered from one time to the next: local seconds in [start, end) are all `offset` ahead of UTC, and the
 * date last read is that day. Zero it to begin. */
struct timetext_zone {
	int64_t start, end, offset;
	char date[10];
	int32_t day;
};

/*
 * Read one of
 *   2026-01-10T22:32:06.413623Z, 2026-01-10T22:32:06+01:00   RFC 3339
 *   2026-01-10 22:32:06.413623                               the same without an offset: local time
 *   1768084326.413623                                        seconds since the Unix epoch, a decimal number
 * Digits beyond ns are rounded, halves to the even ns. A leap second (:60) is the second after it.
 *
 * Where clocks are set back, a local time that comes twice is the first of the two; where they are set forward, one
 * that does not come is taken by the offset before the change, as if the clock had not been set: 02:30 of a skipped
 * hour is 03:30.
 */
enum timetext_error timetext_parse(struct timetext_zone *zone, const char *text, size_t bytes, int64_t *time_ns);

/* 2026-01-10T22:32:06.413623000Z, always 30 bytes and a zero. */
enum { TIMETEXT_BYTES = 31 };
void timetext_print(char out[TIMETEXT_BYTES], int64_t time_ns);

#endif
