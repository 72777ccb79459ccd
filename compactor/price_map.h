/*
 * Price maps from outside: JSON in LiteLLM's form, one after the other, a model in a later one in the place of the same in an earlier one. What
 * prices in US dollars a token become whole pico-USD, exactly; what is odd about them is written down. A price table is made of it. It must not
 * know files.
 */
#ifndef USAGELOG_PRICE_MAP_H
#define USAGELOG_PRICE_MAP_H

#include "directory.h"
#include "findings.h"
#include "names.h"
#include "table.h"

struct price_map {
	struct names names;
	struct table entries; /* by name */
	uint64_t source;      /* of what was added; see FORMAT.md 14 */
	struct findings
		findings; /* what is odd: FINDING_DAMAGE is suspect, FINDING_LEFT_OUT cannot be used, FINDING_NOTE is worth knowing */
};

/* What there is of a map. */
struct price_map_counts {
	uint32_t models;     /* that have prices */
	uint32_t without;    /* that are in the map, but have none a token */
	uint32_t free_ones;  /* that cost nothing */
	uint32_t derived_1h; /* whose 1 h cache writes are priced by those kept 5 minutes */
};

/* 0 or -ENOMEM. */
int price_map_open(struct price_map *map);
void price_map_clear(struct price_map *map);

/* Add the models of a file, `name` for messages. 0, -EINVAL or -ENOMEM, and `why`. */
int price_map_add(struct price_map *map, const char *name, const char *text, size_t bytes, struct ul_message *why);

/* A table's own words about itself. */
struct price_table_origin {
	uint64_t generation;
	int32_t since;
	bool replaces;
};

/* The price table, malloc'd; NULL and `*error`. */
void *price_map_encode(struct price_map *map, const struct ul_id *log_id, const struct price_table_origin *origin,
		       size_t *size_bytes, int *error);

/* What a table made of it would hold. 0 or -ENOMEM. */
int price_map_count(struct price_map *map, struct price_map_counts *counts);

#endif
