/*
 * Days in the log's time zone. The zone is the process's (TZ): the program has one thread and one log.
 * A fold asks for the day of every call, so the stretch of time about the last answer, in which the day is the
 * same, is kept.
 */
#ifndef USAGELOG_CALENDAR_H
#define USAGELOG_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Make this IANA zone the process's. Who calls it has checked that the host knows the zone (ul_time_zone_is_known()). 0 or -ENOMEM. */
int calendar_set_zone(const char *zone);

struct calendar {
	int64_t start_ns, end_ns; /* the day is the same in [start, end); empty at first */
	int32_t day;
};

int32_t calendar_find_day(struct calendar *calendar, int64_t time_ns);

/* Days since 1970-01-01 in the zone. */
static inline int32_t calendar_day(struct calendar *calendar, int64_t time_ns)
{
	if (time_ns >= calendar->start_ns && time_ns < calendar->end_ns)
		return calendar->day;
	return calendar_find_day(calendar, time_ns);
}

/* A local hour, by quarters of an hour since the epoch (FORMAT.md): those in [first, end) begin in it. Zero it to begin. */
struct calendar_hour {
	int64_t first, end;
};

/* The first quarter of the local hour that this one begins in. Where the offset from UTC changes, an hour ends. */
int32_t calendar_hour_of(struct calendar_hour *hour, int32_t quarter);
/* The day that a quarter begins in. */
int32_t calendar_quarter_day(int32_t quarter);

enum { CALENDAR_DAY_BYTES = 16, CALENDAR_TIME_BYTES = 40 };

/* YYYY-MM-DD. Days that a call can have lie in the years 1677 to 2262; others are cut to four digits of year. */
void calendar_print_day(char out[CALENDAR_DAY_BYTES], int32_t day);
/* Parse exactly YYYY-MM-DD, a day that there is. Looks at 10 bytes. */
bool calendar_parse_day(int32_t *day, const char *text);

/* Local time, YYYY-MM-DDTHH:MM:SS.uuuuuu. */
void calendar_print_time(char out[CALENDAR_TIME_BYTES], int64_t time_ns);

/* The local hour that a quarter begins in, with its offset: YYYY-MM-DDTHH:00+HH:MM, of older times with seconds of offset. */
void calendar_print_hour(char out[CALENDAR_TIME_BYTES], int32_t quarter);

struct calendar_date {
	int32_t year;
	uint32_t month, day; /* from 1 */
};
struct calendar_date calendar_date_of(int32_t day);
int32_t calendar_day_of(struct calendar_date date);
uint32_t calendar_days_in_month(int32_t year, uint32_t month);

#endif
