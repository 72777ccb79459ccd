/*
 * A report as it is written: as a table for people, as JSON and as CSV for programs. What the figures are is settled before.
 */
#ifndef USAGELOG_REPORT_SHOWN_H
#define USAGELOG_REPORT_SHOWN_H

#include <locale.h>
#include <stdio.h>

#include "json_text.h"
#include "report.h"
#include "view.h"

struct report_shown {
	const struct report *report;
	const struct report_lines *lines;
	const struct view *view;
	const char *name;      /* of the view, or NULL */
	const char *time_zone; /* that days are cut in */
	bool all_days;         /* no call in the days asked for: the period is all there is */
	int32_t days_asked;    /* 0: all */
};

/* Members of the object that was begun. */
void report_put_json(struct json_text *json, const struct report_shown *shown);
/* How it looks on a terminal, or elsewhere. */
struct report_style {
	size_t width; /* columns; 0: as many as it takes */
	bool narrow;  /* only the columns that matter most */
	bool colours, bars, utf8;
	locale_t locale; /* of numbers and dates; 0: none */
};

/* A table with its totals, and what is to be said of it. 0 or -ENOMEM. */
int report_print_text(FILE *stream, const struct report_shown *shown, const struct report_style *style);

/* A line of names first; numbers exact; names that a spreadsheet would take for a formula after a quote. */
void report_print_csv(FILE *stream, const struct report_shown *shown);

#endif
