/*
 * The names of one kind that the page tells apart, numbered from 1, the dearest first; 0 is none. All the rest has one number, "(other)". It must
 * not know what the names mean.
 */
#ifndef USAGELOG_PAGE_NAMES_H
#define USAGELOG_PAGE_NAMES_H

#include "breakdown.h"
#include "json_text.h"

struct page_names {
	struct sum_list list; /* of all time, by name; set before page_names_choose(), freed by page_names_clear() */
	size_t most;
	uint64_t other; /* the number of all the rest; 0: there is none */
	struct table places;
};

/* Tell so many apart. 0 or -ENOMEM. */
int page_names_choose(struct page_names *chosen, const struct names *names, size_t most);
void page_names_clear(struct page_names *chosen);

/* The number of a name; a name that no sum of all time has, such as that of a day whose file is lost, is none. 0 or -ENOMEM. */
int page_names_find(struct page_names *chosen, uint32_t name, uint32_t *number);

/* The names by their numbers. */
void page_names_put(const struct page_names *chosen, struct json_text *json, const char *key,
		    const struct names *names);

#endif
