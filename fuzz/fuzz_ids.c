/* An id set: checked, changed by nothing, encoded again. */
#include <string.h>

#include "container_mutator.h"
#include "fuzz.h"
#include "ids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct ul_container file, again;
	void *aligned = container_aligned(data, bytes);
	if (ul_container_open(&file, UL_CONTAINER_IDS, aligned, bytes, NULL) == UL_CONTAINER_VALID) {
		fuzz_sound++;
		container_walk(&file);
		uint64_t count, meta_count;
		size_t applied_count, encoded_bytes;
		const struct ul_id_meta *meta = ul_container_records(&file, UL_SECTION_META, &meta_count);
		const struct ul_id_record *records = ul_container_records(&file, UL_SECTION_IDS, &count);
		struct ul_id_record *applied = ids_apply(records, count, NULL, 0, &applied_count);
		FUZZ_CHECK(applied && applied_count == count);
		FUZZ_CHECK(!count || !memcmp(applied, records, count * sizeof(*records)));
		void *encoded =
			ids_encode(applied, applied_count, &file.header->log_id, meta->generation, &encoded_bytes);
		FUZZ_CHECK(encoded && ul_container_open(&again, UL_CONTAINER_IDS, encoded, encoded_bytes,
							&file.header->log_id) == UL_CONTAINER_VALID);
		free(encoded);
		free(applied);
	}
	free(aligned);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	return container_mutate(data, bytes, bytes_max, seed, UL_CONTAINER_IDS);
}
