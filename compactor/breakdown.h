/*
 * Rows summed up by what is named in them: by model, provider, operation and error type. What summary.json and the command `summary` show is
 * taken from here. It must not know which days the rows are of.
 */
#ifndef USAGELOG_BREAKDOWN_H
#define USAGELOG_BREAKDOWN_H

#include "facts.h"

/* `first` of a sum is the name. */
struct breakdown {
	struct ul_sum all; /* of what counts in days and totals */
	struct sum_list models;
	struct sum_list providers;
	struct sum_list operations; /* of calls that have one */
	struct sum_list errors;     /* by error_type */
};

/* Sum up a table of rows. 0, -ENOMEM or -EOVERFLOW. In any case breakdown_clear() frees it. */
int breakdown_make(struct breakdown *breakdown, const struct table *rows, struct names *names);
void breakdown_clear(struct breakdown *breakdown);
/* The name that a provider has in reports: one for all that it has. */
uint32_t breakdown_provider(struct names *names, uint32_t provider);
/* Take providers together that are one under several names. 0, -ENOMEM or -EOVERFLOW. */
int breakdown_join_providers(struct breakdown *breakdown, struct names *names);

/* Sort by name, or by cost (the most first, then calls, then name). */
void breakdown_sort_by_name(struct sum_list *list, const struct names *names);
void breakdown_sort_by_cost(struct sum_list *list, const struct names *names);

#endif
