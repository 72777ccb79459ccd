/* A price table: checked, and asked. */
#include "container_mutator.h"
#include "fuzz.h"
#include "price_asking.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct ul_container table;
	void *aligned = container_aligned(data, bytes);
	if (ul_container_open(&table, UL_CONTAINER_PRICES, aligned, bytes, NULL) == UL_CONTAINER_VALID) {
		fuzz_sound++;
		container_walk(&table);
		ask_prices(&table);
	}
	free(aligned);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	return container_mutate(data, bytes, bytes_max, seed, UL_CONTAINER_PRICES);
}
