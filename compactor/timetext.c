/* Times as text. Days are the calendar's, digits after the point are decimal.h's; here is what stands between. */
#include "timetext.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "calendar.h"
#include "decimal.h"

enum {
	DAY_SECONDS = 86400,
	SECOND_NS = 1000000000,
	DATE_BYTES = 10, /* 2026-01-10 */
	TIME_BYTES = 8,  /* 22:32:06 */
	FIELD_BYTES_MAX = 128,
};

/* How far local time is ahead of UTC at this second. */
static int64_t offset_at(int64_t second)
{
	time_t time = (time_t)second;
	struct tm local;
	return localtime_r(&time, &local) ? local.tm_gmtoff : 0;
}

/* The UTC second of a local one. Of the offsets a day before and a day after, the earlier is tried first: so the
 * first of two moments is found, and a moment that there is not falls back to it. */
static int64_t local_to_utc(struct timetext_zone *zone, int64_t local)
{
	if (local >= zone->start && local < zone->end)
		return local - zone->offset;
	int64_t before = offset_at(local - DAY_SECONDS), after = offset_at(local + DAY_SECONDS);
	if (before == after && offset_at(local - 2 * DAY_SECONDS) == before &&
	    offset_at(local + 2 * DAY_SECONDS) == before) {
		/* No change is near: zones keep an offset for days at least. */
		zone->start = local - DAY_SECONDS;
		zone->end = local + DAY_SECONDS;
		zone->offset = before;
	}
	if (offset_at(local - before) == before || offset_at(local - after) != after)
		return local - before;
	return local - after;
}

static bool take_two(const char *text, char after, int64_t most, int64_t *value)
{
	if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
		return false;
	*value = (text[0] - '0') * 10 + (text[1] - '0');
	return *value <= most && (!after || text[2] == after);
}

static bool take_time(const char *text, int64_t *second)
{
	int64_t hours, minutes, seconds;
	if (!take_two(text, ':', 23, &hours) || !take_two(text + 3, ':', 59, &minutes) ||
	    !take_two(text + 6, 0, 60, &seconds))
		return false;
	*second = hours * 3600 + minutes * 60 + seconds;
	return true;
}

/* Take ".413623" at `*at`, if it is there, as ns. */
static bool take_fraction(const char **at, const char *end, int64_t *ns)
{
	const char *from = *at;
	*ns = 0;
	if (from == end || *from != '.')
		return true;
	const char *digits = from + 1;
	uint64_t value = 0; /* of many digits nothing, but then it is not used */
	const char *to = digits;
	for (; to < end && *to >= '0' && *to <= '9'; to++)
		value = value * 10 + (uint64_t)(*to - '0');
	*at = to;
	/* Beyond nine digits there is something to round. */
	if (to - digits > 9)
		return decimal_parse(from, (size_t)(to - from), 9, ns) == DECIMAL_OK;
	for (ptrdiff_t i = to - digits; i < 9; i++)
		value *= 10;
	*ns = (int64_t)value;
	return to > digits;
}

/* What ends a time: nothing (local), Z, or +HH:MM. */
static bool take_offset(const char *at, const char *end, bool *local, int64_t *offset)
{
	int64_t hours, minutes;
	*local = at == end;
	*offset = 0;
	if (*local || (end - at == 1 && (*at == 'Z' || *at == 'z')))
		return true;
	if (end - at != 6 || (*at != '+' && *at != '-') || !take_two(at + 1, ':', 23, &hours) ||
	    !take_two(at + 4, 0, 59, &minutes))
		return false;
	*offset = (hours * 3600 + minutes * 60) * (*at == '-' ? -1 : 1);
	return true;
}

static bool take_date(struct timetext_zone *zone, const char *text)
{
	if (!memcmp(text, zone->date, DATE_BYTES))
		return true;
	/* The day is a text's that was found good; a bad one leaves the last good one. */
	if (!calendar_parse_day(&zone->day, text))
		return false;
	memcpy(zone->date, text, DATE_BYTES);
	return true;
}

static enum timetext_error parse_date(struct timetext_zone *zone, const char *text, size_t bytes, int64_t *time_ns)
{
	const char *at = text + DATE_BYTES + 1 + TIME_BYTES, *end = text + bytes;
	bool local;
	int64_t of_day, fraction, offset, second;
	if (bytes < DATE_BYTES + 1 + TIME_BYTES ||
	    (text[DATE_BYTES] != 'T' && text[DATE_BYTES] != 't' && text[DATE_BYTES] != ' ') ||
	    !take_fraction(&at, end, &fraction) || !take_offset(at, end, &local, &offset))
		return TIMETEXT_SYNTAX;
	if (!take_date(zone, text) || !take_time(text + DATE_BYTES + 1, &of_day))
		return TIMETEXT_DATE;
	second = (int64_t)zone->day * DAY_SECONDS + of_day;
	second = local ? local_to_utc(zone, second) : second - offset;
	/* 128 bits, so that nothing overflows before it is looked at. */
	__int128 ns = (__int128)second * SECOND_NS + fraction;
	if (ns < INT64_MIN || ns > INT64_MAX)
		return TIMETEXT_RANGE;
	*time_ns = (int64_t)ns;
	return TIMETEXT_OK;
}

static bool looks_like_date(const char *text, size_t bytes)
{
	if (bytes < DATE_BYTES || text[4] != '-' || text[7] != '-')
		return false;
	return text[0] >= '0' && text[0] <= '9';
}

enum timetext_error timetext_parse(struct timetext_zone *zone, const char *text, size_t bytes, int64_t *time_ns)
{
	if (bytes > FIELD_BYTES_MAX)
		return TIMETEXT_SYNTAX;
	if (looks_like_date(text, bytes))
		return parse_date(zone, text, bytes, time_ns);
	switch (decimal_parse(text, bytes, 9, time_ns)) {
	case DECIMAL_OK:
		return TIMETEXT_OK;
	case DECIMAL_RANGE:
		return TIMETEXT_RANGE;
	default:
		return TIMETEXT_SYNTAX;
	}
}

static char *put_digits(char *out, unsigned value, int digits)
{
	for (int i = digits; i > 0; i--, value /= 10)
		out[i - 1] = (char)('0' + value % 10);
	return out + digits;
}

void timetext_print(char out[TIMETEXT_BYTES], int64_t time_ns)
{
	int64_t second = time_ns / SECOND_NS - (time_ns % SECOND_NS < 0);
	unsigned fraction = (unsigned)(time_ns - second * SECOND_NS);
	int64_t day = second / DAY_SECONDS - (second % DAY_SECONDS < 0);
	unsigned of_day = (unsigned)(second - day * DAY_SECONDS);
	struct calendar_date date = calendar_date_of((int32_t)day);
	out = put_digits(out, (unsigned)date.year, 4);
	*out++ = '-';
	out = put_digits(out, date.month, 2);
	*out++ = '-';
	out = put_digits(out, date.day, 2);
	*out++ = 'T';
	out = put_digits(out, of_day / 3600, 2);
	*out++ = ':';
	out = put_digits(out, of_day / 60 % 60, 2);
	*out++ = ':';
	out = put_digits(out, of_day % 60, 2);
	*out++ = '.';
	out = put_digits(out, fraction, 9);
	*out++ = 'Z';
	*out = '\0';
}

const char *timetext_strerror(enum timetext_error error)
{
	switch (error) {
	case TIMETEXT_OK:
		return "is a time";
	case TIMETEXT_SYNTAX:
		return "is not a time: write 2026-01-10T22:32:06Z, or 2026-01-10 22:32:06 (in the log's zone), or "
		       "seconds since "
		       "1970";
	case TIMETEXT_DATE:
		return "is a day or a time of day that there is not";
	case TIMETEXT_RANGE:
		return "lies outside of the years 1677 to 2262 (numbers are seconds since 1970, not ms)";
	}
	return "is not a time";
}
