/* Figures for people. */
#include "report_cells.h"

#include <inttypes.h>
#include <langinfo.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "calendar.h"

/* The locale's signs in place of those of C. */
static void localize(char cell[REPORT_CELL_BYTES], locale_t locale)
{
	char plain[REPORT_CELL_BYTES];
	size_t used = 0;
	if (!locale)
		return;
	const char *point = nl_langinfo_l(RADIXCHAR, locale), *separator = nl_langinfo_l(THOUSEP, locale);
	memcpy(plain, cell, REPORT_CELL_BYTES);
	for (const char *at = plain; *at && used + MB_LEN_MAX < REPORT_CELL_BYTES; at++) {
		const char *sign = *at == '.' ? point : *at == ',' ? separator : NULL;
		if (sign)
			used += (size_t)snprintf(cell + used, REPORT_CELL_BYTES - used, "%s", sign);
		else
			cell[used++] = *at;
	}
	cell[used] = '\0';
}

void report_print_count(char out[REPORT_CELL_BYTES], locale_t locale, money_t count)
{
	count_show(out, count > INT64_MAX ? INT64_MAX : (int64_t)count);
	localize(out, locale);
}

void report_print_money(char out[REPORT_CELL_BYTES], locale_t locale, money_t pico_usd, unsigned decimals)
{
	static_assert((int)MONEY_SHOWN_BYTES == (int)REPORT_CELL_BYTES, "an amount is a cell");
	money_show(out, pico_usd, decimals);
	localize(out, locale);
}

void report_print_brief(char out[REPORT_CELL_BYTES], locale_t locale, money_t count)
{
	static const char units[] = "kMGTPE";
	money_t size = count < 0 ? -count : count, unit = 1;
	const char *sign = count < 0 ? "-" : "";
	int u = -1;
	while (size / unit >= 1000 && units[u + 1]) {
		unit *= 1000;
		u++;
	}
	int64_t whole = (int64_t)(size / unit);
	int hundredths = (int)(size * 100 / unit % 100);
	if (u < 0)
		snprintf(out, REPORT_CELL_BYTES, "%s%" PRId64, sign, whole);
	else if (whole < 10)
		snprintf(out, REPORT_CELL_BYTES, "%s%d.%02d%c", sign, (int)whole, hundredths, units[u]);
	else if (whole < 100)
		snprintf(out, REPORT_CELL_BYTES, "%s%d.%d%c", sign, (int)whole, hundredths / 10, units[u]);
	else
		snprintf(out, REPORT_CELL_BYTES, "%s%" PRId64 "%c", sign, whole, units[u]);
	localize(out, locale);
}

void report_print_share(char out[REPORT_CELL_BYTES], locale_t locale, money_t share)
{
	money_t tenths = ((share < 0 ? -share : share) + 50) / 100;
	snprintf(out, REPORT_CELL_BYTES, "%s%" PRId64 ".%d%%", share < 0 && tenths ? "-" : "", (int64_t)(tenths / 10),
		 (int)(tenths % 10));
	localize(out, locale);
}

void report_print_duration(char out[REPORT_CELL_BYTES], locale_t locale, int64_t us)
{
	enum { MS = 1000, SECOND = 1000 * MS, MINUTE = 60 * SECOND };
	if (us < 10 * MS)
		snprintf(out, REPORT_CELL_BYTES, "%d.%dms", (int)(us / MS), (int)(us % MS / 100));
	else if (us < SECOND)
		snprintf(out, REPORT_CELL_BYTES, "%dms", (int)(us / MS));
	else if (us < 10 * SECOND)
		snprintf(out, REPORT_CELL_BYTES, "%d.%02ds", (int)(us / SECOND), (int)(us % SECOND / (10 * MS)));
	else if (us < MINUTE)
		snprintf(out, REPORT_CELL_BYTES, "%d.%ds", (int)(us / SECOND), (int)(us % SECOND / (100 * MS)));
	else
		snprintf(out, REPORT_CELL_BYTES, "%" PRId64 "m%02ds", us / MINUTE, (int)(us % MINUTE / SECOND));
	localize(out, locale);
}

void report_print_day(char out[REPORT_CELL_BYTES], locale_t locale, int32_t day)
{
	struct calendar_date date = calendar_date_of(day);
	/* 1970-01-01 was a Thursday. */
	struct tm fields = {.tm_year = date.year - 1900,
			    .tm_mon = (int)date.month - 1,
			    .tm_mday = (int)date.day,
			    .tm_wday = (int)((((int64_t)day + 4) % 7 + 7) % 7)};
	if (!locale || !strftime_l(out, REPORT_CELL_BYTES, "%x", &fields, locale))
		calendar_print_day(out, day);
}
