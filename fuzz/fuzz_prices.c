/* A price table, checked and asked; and a map that one is made of, which begins with anything but a table's magic. */
#include <string.h>

#include "container_mutator.h"
#include "fuzz.h"
#include "price_map.h"
#include "prices.h"

/* Ask for each model as its provider's and as nobody's: its name is found, and what it costs can be said. */
static void ask(const struct ul_container *table)
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

static void read_table(const uint8_t *data, size_t bytes)
{
	struct ul_container table;
	void *aligned = container_aligned(data, bytes);
	if (ul_container_open(&table, UL_CONTAINER_PRICES, aligned, bytes, NULL) == UL_CONTAINER_VALID) {
		fuzz_sound++;
		container_walk(&table);
		ask(&table);
	}
	free(aligned);
}

/* What is made of a map is sound. */
static void read_map(const uint8_t *data, size_t bytes)
{
	static const struct ul_id log_id;
	const struct price_table_origin origin = {.generation = 1, .since = -1};
	struct price_map map;
	struct price_map_counts counts;
	struct ul_message why;
	struct ul_container table;
	size_t table_bytes;
	int error;
	FUZZ_CHECK(!price_map_open(&map));
	if (!price_map_add(&map, "fuzz", (const char *)data, bytes, &why)) {
		void *made = price_map_encode(&map, &log_id, &origin, &table_bytes, &error);
		FUZZ_CHECK(!price_map_count(&map, &counts));
		FUZZ_CHECK(made && ul_container_open(&table, UL_CONTAINER_PRICES, made, table_bytes, &log_id) ==
					   UL_CONTAINER_VALID);
		ask(&table);
		free(made);
	}
	price_map_clear(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const char magic[] = "ULPRICE\n";
	fuzz_silence();
	if (bytes >= strlen(magic) && memcmp(data, magic, strlen(magic)) == 0)
		read_table(data, bytes);
	else
		read_map(data, bytes);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	if (bytes && data[0] == 'U')
		return container_mutate(data, bytes, bytes_max, seed, UL_CONTAINER_PRICES);
	return LLVMFuzzerMutate(data, bytes, bytes_max);
}
