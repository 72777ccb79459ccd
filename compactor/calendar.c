/* Days in the log's time zone. */
#include "calendar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DAY_SECONDS = 86400, HOUR_SECONDS = 3600, QUARTER_SECONDS = 900, SECOND_NS = 1000000000 };

int calendar_set_zone(const char *zone)
{
	if (setenv("TZ", zone, 1))
		return -ENOMEM;
	tzset();
	return 0;
}

static int64_t floor_divide(int64_t value, int64_t by)
{
	return value / by - (value % by < 0);
}

/* How far local time is ahead of UTC at this second. Seconds of 64-bit nanoseconds are years 1677 to 2262: no failure. */
static int64_t offset_at(int64_t second)
{
	time_t time = (time_t)second;
	struct tm local;
	return localtime_r(&time, &local) ? local.tm_gmtoff : 0;
}

/* Of two seconds with different offsets, `left` before `right`: the first second with the offset of `right`. There is one
 * change between them: zones keep an offset for days at least. */
static int64_t find_change(int64_t left, int64_t right)
{
	int64_t offset = offset_at(right);
	while (right - left > 1) {
		int64_t middle = left + (right - left) / 2;
		if (offset_at(middle) == offset)
			right = middle;
		else
			left = middle;
	}
	return right;
}

static int64_t to_ns(int64_t second)
{
	int64_t ns;
	if (__builtin_mul_overflow(second, (int64_t)SECOND_NS, &ns))
		return second < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

int32_t calendar_find_day(struct calendar *calendar, int64_t time_ns)
{
	int64_t second = floor_divide(time_ns, SECOND_NS);
	int64_t offset = offset_at(second);
	int64_t day = floor_divide(second + offset, DAY_SECONDS);
	int64_t start = day * DAY_SECONDS - offset, end = start + DAY_SECONDS;
	/* Where the offset changes within this day, only the part on this side of the change is kept: a change at one past midnight
	 * brings back a minute of the day before. */
	if (offset_at(start) != offset)
		start = find_change(start, second);
	if (offset_at(end - 1) != offset)
		end = find_change(second, end - 1);
	*calendar = (struct calendar){.start_ns = to_ns(start), .end_ns = to_ns(end), .day = (int32_t)day};
	return calendar->day;
}

/* Do two quarters begin in the same local hour, under the same offset? */
static bool share_hour(int64_t left, int64_t right)
{
	int64_t left_offset = offset_at(left * QUARTER_SECONDS), right_offset = offset_at(right * QUARTER_SECONDS);
	return left_offset == right_offset &&
	       floor_divide(left * QUARTER_SECONDS + left_offset, HOUR_SECONDS) ==
		       floor_divide(right * QUARTER_SECONDS + right_offset, HOUR_SECONDS);
}

int32_t calendar_hour_of(struct calendar_hour *hour, int32_t quarter)
{
	if (quarter >= hour->first && quarter < hour->end)
		return (int32_t)hour->first;
	*hour = (struct calendar_hour){quarter, (int64_t)quarter + 1};
	/* An hour has four quarters, so neither loop goes further than three. */
	while (hour->first > INT32_MIN && share_hour(hour->first - 1, quarter))
		hour->first--;
	while (share_hour(hour->end, quarter))
		hour->end++;
	return (int32_t)hour->first;
}

int32_t calendar_quarter_day(int32_t quarter)
{
	int64_t second = (int64_t)quarter * QUARTER_SECONDS;
	return (int32_t)floor_divide(second + offset_at(second), DAY_SECONDS);
}

/* The Gregorian calendar in eras of 400 years, March being a year's first month, so that the leap day is its last. */
struct calendar_date calendar_date_of(int32_t day)
{
	int64_t shifted = (int64_t)day + 719468; /* days from 0000-03-01 to 1970-01-01 */
	int64_t era = floor_divide(shifted, 146097);
	int64_t of_era = shifted - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153; /* 0: March */
	struct calendar_date date = {
		.day = (uint32_t)(of_year - (153 * month + 2) / 5 + 1),
		.month = (uint32_t)(month < 10 ? month + 3 : month - 9),
	};
	date.year = (int32_t)(year + era * 400 + (date.month <= 2));
	return date;
}

int32_t calendar_day_of(struct calendar_date date)
{
	int64_t year = (int64_t)date.year - (date.month <= 2);
	int64_t era = floor_divide(year, 400);
	int64_t of_era_year = year - era * 400;
	int64_t of_year = (153 * (int64_t)(date.month > 2 ? date.month - 3 : date.month + 9) + 2) / 5 + date.day - 1;
	int64_t of_era = of_era_year * 365 + of_era_year / 4 - of_era_year / 100 + of_year;
	return (int32_t)(era * 146097 + of_era - 719468);
}

uint32_t calendar_days_in_month(int32_t year, uint32_t month)
{
	struct calendar_date next = {month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1};
	return (uint32_t)(calendar_day_of(next) - calendar_day_of((struct calendar_date){year, month, 1}));
}

void calendar_print_day(char out[CALENDAR_DAY_BYTES], int32_t day)
{
	struct calendar_date date = calendar_date_of(day);
	unsigned year = date.year < 0 ? 0 : date.year > 9999 ? 9999 : (unsigned)date.year;
	snprintf(out, CALENDAR_DAY_BYTES, "%04u-%02u-%02u", year, date.month % 100, date.day % 100);
}

static bool parse_digits(const char *text, size_t count, uint32_t *value)
{
	*value = 0;
	for (size_t i = 0; i < count; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*value = *value * 10 + (uint32_t)(text[i] - '0');
	}
	return true;
}

bool calendar_parse_day(int32_t *day, const char *text)
{
	uint32_t year;
	struct calendar_date date;
	if (!parse_digits(text, 4, &year) || text[4] != '-' || !parse_digits(text + 5, 2, &date.month) ||
	    text[7] != '-' || !parse_digits(text + 8, 2, &date.day))
		return false;
	date.year = (int32_t)year;
	if (date.month < 1 || date.month > 12 || date.day < 1 ||
	    date.day > calendar_days_in_month(date.year, date.month))
		return false;
	*day = calendar_day_of(date);
	return true;
}

void calendar_print_time(char out[CALENDAR_TIME_BYTES], int64_t time_ns)
{
	int64_t second = floor_divide(time_ns, SECOND_NS);
	int64_t local = second + offset_at(second);
	int64_t day = floor_divide(local, DAY_SECONDS), of_day = local - day * DAY_SECONDS;
	char date[CALENDAR_DAY_BYTES];
	calendar_print_day(date, (int32_t)day);
	int64_t of_second = time_ns % SECOND_NS;
	if (of_second < 0)
		of_second += SECOND_NS;
	snprintf(out, CALENDAR_TIME_BYTES, "%sT%02d:%02d:%02d.%06d", date, (int)(of_day / 3600),
		 (int)(of_day / 60 % 60), (int)(of_day % 60), (int)(of_second / 1000));
}

void calendar_print_hour(char out[CALENDAR_TIME_BYTES], int32_t quarter)
{
	int64_t second = (int64_t)quarter * QUARTER_SECONDS, offset = offset_at(second);
	int64_t hour = floor_divide(second + offset, HOUR_SECONDS), day = floor_divide(hour, 24);
	int ahead = (int)(offset < 0 ? -offset : offset);
	char date[CALENDAR_DAY_BYTES];
	calendar_print_day(date, (int32_t)day);
	int length = snprintf(out, CALENDAR_TIME_BYTES, "%sT%02d:00%c%02d:%02d", date, (int)(hour - day * 24),
			      offset < 0 ? '-' : '+', ahead / HOUR_SECONDS % 100, ahead / 60 % 60);
	if (ahead % 60)
		snprintf(out + length, CALENDAR_TIME_BYTES - (size_t)length, ":%02d", ahead % 60);
}
