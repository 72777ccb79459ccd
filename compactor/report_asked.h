/*
 * What was asked of `usagelog report`: its options, understood, and the days that they come to.
 */
#ifndef USAGELOG_REPORT_ASKED_H
#define USAGELOG_REPORT_ASKED_H

#include <locale.h>

#include "command.h"
#include "report.h"

/* A view is a name for a key and a period; the overview and the status line have neither. */
struct report_view {
	const char *name;
	const char *key; /* "" if it has none */
	int32_t days;    /* that are shown if none are asked for */
};

enum budget_period { BUDGET_NONE, BUDGET_DAY, BUDGET_WEEK, BUDGET_MONTH };

struct asked {
	/* As given; NULL: not given. */
	const char *since, *until, *days, *by, *sort, *top, *time_zone, *locale_name, *budget_text, *html;
	const char *models[OPTION_VALUES_MAX + 1], *providers[OPTION_VALUES_MAX + 1],
		*operations[OPTION_VALUES_MAX + 1], *where[OPTION_VALUES_MAX + 1];
	bool breakdown, raw_names, narrow, json, csv, live;
	/* As understood. */
	const struct report_view *view; /* NULL: only keys were given */
	char *by_names;                 /* `by`, cut at its commas */
	struct report report;           /* its keys and filters */
	struct report_order order;
	size_t top_lines;
	int32_t days_shown; /* 0: all */
	locale_t locale;    /* 0: none */
	enum budget_period budget_period;
	int64_t budget_pico_usd;
};

enum { ASKED_DAYS_DEFAULT = 30, ASKED_DAYS_MAX = 36500 };

/* The names of views, by index. */
const char *asked_view_name(const void *arg, size_t index);
extern const struct report_view report_overview_view, report_statusline_view;

/* Understand what was given; `view` is the operand, or NULL. False: it was said what is wrong. asked_clear() in any case. */
bool asked_understand(struct asked *asked, const char *view);
void asked_clear(struct asked *asked);

/* Set the report's days. `first` and `last` are those with calls, if there are any; `*all_days`: they are shown because the days asked for have no call. False: it was
 * said what is wrong. */
bool asked_find_days(const struct asked *asked, struct report *report, int32_t today, bool any, int32_t first,
		     int32_t last, bool *all_days);

/* The first day of the budget's period that today is in. */
int32_t asked_budget_from(const struct asked *asked, int32_t today);

#endif
