/* A map of prices, of which a table is made: that is sound, and can be asked. */
#include "fuzz.h"
#include "price_asking.h"
#include "price_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const struct ul_id log_id;
	const struct price_table_origin origin = {.generation = 1, .since = -1};
	struct price_map map;
	struct price_map_counts counts;
	struct ul_message why;
	struct ul_container table;
	size_t table_bytes;
	int error;
	fuzz_silence();
	FUZZ_CHECK(!price_map_open(&map));
	if (!price_map_add(&map, "fuzz", (const char *)data, bytes, &why)) {
		void *made = price_map_encode(&map, &log_id, &origin, &table_bytes, &error);
		FUZZ_CHECK(!price_map_count(&map, &counts));
		FUZZ_CHECK(made && ul_container_open(&table, UL_CONTAINER_PRICES, made, table_bytes, &log_id) ==
					   UL_CONTAINER_VALID);
		ask_prices(&table);
		free(made);
	}
	price_map_clear(&map);
	return 0;
}
