/* A checkpoint: checked, loaded, encoded again. */
#include <errno.h>

#include "checkpoint.h"
#include "container_mutator.h"
#include "fuzz.h"

/* What stands in for a day's lost file comes to what the totals have of it. */
static void stand_in(const struct checkpoint *checkpoint, struct names *names)
{
	for (size_t i = 0; i < checkpoint->day_count && i < 8; i++) {
		struct facts facts;
		facts_init(&facts, checkpoint->days[i].day);
		totals_stand_in(&checkpoint->totals, names, &facts);
		int agrees = facts.error ? facts.error : checkpoint_agrees(checkpoint, names, &facts);
		FUZZ_CHECK(agrees >= 0 || agrees == -EOVERFLOW);
		facts_clear(&facts);
	}
}

static void *encode_again(const struct ul_container *file, size_t *bytes)
{
	struct names names;
	struct checkpoint checkpoint = {0};
	int error;
	FUZZ_CHECK(names_init(&names) == 0 && checkpoint_load(&checkpoint, &names, file) == 0);
	checkpoint_calls(&checkpoint);
	for (size_t i = 0; i < checkpoint.segment_count; i++)
		FUZZ_CHECK(checkpoint_find_segment(&checkpoint, &checkpoint.segments[i].record.id) ==
			   &checkpoint.segments[i]);
	for (size_t i = 0; i < checkpoint.day_count; i++)
		FUZZ_CHECK(checkpoint_find_day(&checkpoint, checkpoint.days[i].day) == &checkpoint.days[i]);
	stand_in(&checkpoint, &names);
	FUZZ_CHECK(checkpoint_trim(&checkpoint) == 0);
	void *encoded = checkpoint_encode(&checkpoint, &names, &file->header->log_id, bytes, &error);
	FUZZ_CHECK(encoded && !error);
	checkpoint_clear(&checkpoint);
	names_clear(&names);
	return encoded;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	container_round_trip(data, bytes, UL_CONTAINER_CHECKPOINT, encode_again);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	return container_mutate(data, bytes, bytes_max, seed, UL_CONTAINER_CHECKPOINT);
}
