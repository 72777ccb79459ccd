/*
 * What calls come to, for the page: by day and by who and what they were, by session, and by the attributes that the log groups by; of what the
 * filters of a report let through. It must not know how this is written or shown.
 */
#ifndef USAGELOG_PAGE_SUMS_H
#define USAGELOG_PAGE_SUMS_H

#include "page_names.h"
#include "page_times.h"
#include "report.h"
#include "view.h"

/* Most names of a kind that are told apart. Of an attribute so many values, in so many sums: if there are more, models are not told apart in them. */
enum { PAGE_NAMES = 500, PAGE_SESSIONS = 2000, PAGE_VALUES = 50, PAGE_VALUE_SUMS = 100000 };

enum page_kind { PAGE_PROVIDERS, PAGE_MODELS, PAGE_OPERATIONS, PAGE_ERRORS, PAGE_KINDS };

/* Who and what calls were, as numbers of the page; the first 16 bytes are the key. */
struct page_group {
	uint32_t provider, model;
	uint32_t operation;
	uint32_t error_and_scope; /* 4 x error + scope */
	uint32_t number;          /* from 1 */
};

/* An attribute by which costs are shown: service_tier, and what log.conf groups by. */
struct page_attribute {
	char *name;
	struct report_key key;
	struct page_names values;
	bool by_model;
	struct table sums; /* by day, value and model, or 0 */
};

struct page_sums {
	/* Set before page_sums_gather(). The report has days and filters, and was not opened. */
	struct view *view;
	struct checkpoint *whole;
	struct report *report;

	struct report_key operation, error, session, service_tier;
	struct page_names names[PAGE_KINDS];
	struct page_attribute attributes[REPORT_ATTRIBUTES_MAX];
	uint32_t attribute_count;
	struct table readings;
	struct table groups;   /* struct page_group */
	struct table rows;     /* by day and group, from 0 */
	struct table sessions; /* by day, session (a name) and model (a number of the page) */
	struct table
		savings; /* what caching saved, by day and model: of calls whose prices are known, with the tokens that they read */
	struct page_times times;
};

/* 0, -ENOMEM or -EOVERFLOW. page_sums_clear() in any case. */
int page_sums_gather(struct page_sums *sums);
void page_sums_clear(struct page_sums *sums);

/* The sessions, of which the dearest ones are chosen. 0, -ENOMEM or -EOVERFLOW. */
int page_sums_choose_sessions(const struct page_sums *sums, struct page_names *sessions);

/* Do filters let a call through? `maker`: what its provider is called. 1, 0 or -ENOMEM. */
int page_sums_want_call(struct page_sums *sums, const struct ul_last_call *call, struct report_maker *maker);

#endif
