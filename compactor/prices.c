/* A price table. */
#include "prices.h"

#include <stdio.h>
#include <string.h>

#include "names.h"
#include "providers.h"

/* ---- tiers ------------------------------------------------------------------------------------------------- */

static const struct {
	const char *tier;
	enum ul_service service;
} tiers[] = {
	{"", UL_SERVICE_STANDARD},     {"standard", UL_SERVICE_STANDARD},  {"default", UL_SERVICE_STANDARD},
	{"auto", UL_SERVICE_STANDARD}, {"on_demand", UL_SERVICE_STANDARD}, {"batch", UL_SERVICE_BATCH},
	{"batches", UL_SERVICE_BATCH}, {"flex", UL_SERVICE_FLEX},          {"priority", UL_SERVICE_PRIORITY},
};

/* Are they the same but for the case of letters of ASCII? */
static bool is_tier(struct ul_text text, const char *tier)
{
	if (text.bytes != strlen(tier))
		return false;
	for (uint32_t i = 0; i < text.bytes; i++) {
		char letter = text.text[i];
		if (letter >= 'A' && letter <= 'Z')
			letter = (char)(letter - 'A' + 'a');
		if (letter != tier[i])
			return false;
	}
	return true;
}

bool price_service(struct ul_text service_tier, enum ul_service *service)
{
	for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++)
		if (is_tier(service_tier, tiers[i].tier)) {
			*service = tiers[i].service;
			return true;
		}
	return false;
}

/* ---- names ------------------------------------------------------------------------------------------------- */

/* The prices of one name, one after the other. */
struct found {
	const struct ul_price *prices;
	uint64_t count;
};

/* Find a name by halving: records stand in the order of their names' bytes. */
static bool find_name(const struct ul_container *table, struct ul_text name, struct found *found)
{
	uint64_t count, low = 0, high;
	const struct ul_price *prices = ul_container_records(table, UL_SECTION_PRICES, &count);
	high = count;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (names_compare(ul_container_string(table, prices[middle].name), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == count || names_compare(ul_container_string(table, prices[low].name), name) != 0)
		return false;
	*found = (struct found){&prices[low], 0};
	while (low < count && prices[low].name == found->prices->name) {
		found->count++;
		low++;
	}
	return true;
}

static bool same_text(struct ul_text left, struct ul_text right)
{
	return left.bytes == right.bytes && memcmp(left.text, right.text, left.bytes) == 0;
}

/* The same, if it is a model of this family of providers. */
static bool find_of_family(const struct ul_container *table, struct ul_text family, struct ul_text name,
			   struct found *found)
{
	return find_name(table, name, found) &&
	       same_text(provider_family(ul_container_string(table, found->prices->provider)), family);
}

/* The name behind a provider and a slash. */
static bool find_qualified(const struct ul_container *table, struct ul_text provider, struct ul_text model,
			   struct found *found)
{
	char text[2 * UL_NAME_BYTES_MAX + 2];
	int bytes = snprintf(text, sizeof(text), "%.*s/%.*s", (int)provider.bytes, provider.text, (int)model.bytes,
			     model.text);
	return bytes > 0 && (size_t)bytes < sizeof(text) &&
	       find_name(table, (struct ul_text){text, (uint32_t)bytes}, found);
}

/* What follows the first slash, if a name of the family stands before it. */
static bool cut_provider(struct ul_text *model, struct ul_text family)
{
	const char *slash = memchr(model->text, '/', model->bytes);
	if (!slash)
		return false;
	struct ul_text before = {model->text, (uint32_t)(slash - model->text)};
	if (!same_text(provider_family(before), family))
		return false;
	*model = (struct ul_text){slash + 1, model->bytes - before.bytes - 1};
	return model->bytes > 0;
}

/* The rules of FORMAT.md 14, in their order. */
static bool find(const struct ul_container *table, struct ul_text provider, struct ul_text model, struct found *found)
{
	struct ul_text family = provider_family(provider), rest = model;
	if (find_of_family(table, family, model, found) || find_qualified(table, provider, model, found) ||
	    find_qualified(table, family, model, found))
		return true;
	for (size_t i = 0; provider_alias(family, i); i++)
		if (find_qualified(table, provider_text(provider_alias(family, i)), model, found))
			return true;
	if (cut_provider(&rest, family) && find_of_family(table, family, rest, found))
		return true;
	return find_name(table, model, found);
}

bool prices_find_name(const struct ul_container *table, struct ul_text provider, struct ul_text model,
		      struct ul_text *name)
{
	struct found found;
	if (!find(table, provider, model, &found))
		return false;
	*name = ul_container_string(table, found.prices->name);
	return true;
}

const struct ul_price *prices_find(const struct ul_container *table, const struct price_question *question)
{
	enum ul_service service;
	struct found found;
	if (!price_service(question->service_tier, &service) ||
	    !find(table, question->provider, question->model, &found))
		return NULL;
	for (uint64_t i = 0; i < found.count; i++) {
		const struct ul_price *price = &found.prices[i];
		if (price->service == service && price->first_band <= question->prompt_band &&
		    question->prompt_band <= price->last_band)
			return price;
	}
	return NULL;
}

/* ---- money ------------------------------------------------------------------------------------------------- */

money_t price_cost(const struct ul_price *price, const int64_t tokens[UL_TOKEN_KINDS])
{
	/* Six products of at most 2^63 * 2^53 stay far below 2^127. */
	money_t cost = 0;
	for (size_t i = 0; i < UL_REASONING; i++)
		cost += (money_t)tokens[i] * price->pico_usd[i];
	/* Reasoning is a part of the output, at a price of its own. */
	return cost + (money_t)tokens[UL_REASONING] * (price->pico_usd[UL_REASONING] - price->pico_usd[UL_OUTPUT]);
}
