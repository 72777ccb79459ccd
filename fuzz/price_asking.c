#include "price_asking.h"

#include <string.h>

#include "fuzz.h"
#include "prices.h"

void ask_prices(const struct ul_container *table)
{
	static const int64_t tokens[UL_TOKEN_KINDS] = {INT64_MAX, INT64_MIN, 1, 2, INT64_MAX, INT64_MAX};
	static const char *const tiers[UL_SERVICES] = {"Default", "batch", "FLEX", "priority"};
	uint64_t count;
	const struct ul_price *prices = ul_container_records(table, UL_SECTION_PRICES, &count);
	for (uint64_t i = 0; i < count; i++) {
		const char *tier = tiers[prices[i].service];
		struct ul_text name = ul_container_string(table, prices[i].name), found;
		const struct price_question question = {ul_container_string(table, prices[i].provider),
							name,
							{tier, (uint32_t)strlen(tier)},
							prices[i].first_band};
		FUZZ_CHECK(prices_find_name(table, question.provider, name, &found) && found.text == name.text);
		FUZZ_CHECK(prices_find(table, &question) == &prices[i]);
		(void)price_cost(&prices[i], tokens);
		prices_find_name(table, (struct ul_text){"google", 6}, name, &found);
	}
}
