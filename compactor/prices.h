/*
 * A price table (FORMAT.md 14): which price is a call's, and what tokens come to at it. Pure functions of a valid container. It must not know
 * where tables come from, nor which one is whose.
 */
#ifndef USAGELOG_PRICES_H
#define USAGELOG_PRICES_H

#include "container.h"
#include "money.h"

/* What a price depends on. */
struct price_question {
	struct ul_text provider, model, service_tier; /* an empty tier: the call has none */
	uint8_t prompt_band;
};

/* The price; NULL: there is none. */
const struct ul_price *prices_find(const struct ul_container *table, const struct price_question *question);

/* The name under which a model's prices stand, whatever tier and band; false: under none. */
bool prices_find_name(const struct ul_container *table, struct ul_text provider, struct ul_text model,
		      struct ul_text *name);

/* What tokens cost, by kind; the counts may be sums of many calls, and negative. */
money_t price_cost(const struct ul_price *price, const int64_t tokens[UL_TOKEN_KINDS]);

/* The service of a tier; false: it is none that has prices. */
bool price_service(struct ul_text service_tier, enum ul_service *service);

#endif
