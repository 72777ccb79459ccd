/* A fact file: checked, added to facts in memory, encoded again. */
#include <errno.h>

#include "container_mutator.h"
#include "facts.h"
#include "fuzz.h"

/* Encode what a container says; NULL if a sum left its field. */
static void *encode_again(const struct ul_container *file, size_t *bytes)
{
	struct names names;
	struct facts facts;
	uint64_t count;
	const struct ul_fact_meta *meta = ul_container_records(file, UL_SECTION_META, &count);
	FUZZ_CHECK(count == 1 && names_init(&names) == 0);
	facts_init(&facts, meta->day);
	facts_add_file(&facts, &names, file);
	FUZZ_CHECK(!facts.error || facts.error == -EOVERFLOW);
	void *encoded = NULL;
	int error = 0;
	if (!facts.error) {
		encoded = facts_encode(&facts, &names, &file->header->log_id,
				       &(struct facts_origin){meta->generation, meta->settings, meta->prices}, bytes,
				       &error);
		FUZZ_CHECK(encoded && !error);
	}
	facts_clear(&facts);
	names_clear(&names);
	return encoded;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	container_round_trip(data, bytes, UL_CONTAINER_FACTS, encode_again);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	return container_mutate(data, bytes, bytes_max, seed, UL_CONTAINER_FACTS);
}
