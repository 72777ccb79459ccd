/*
 * A segment, folded: found in a directory, merged, summed up by day. A second file of the same segment, with some of its slots, must change
 * nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "pass.h"
#include "segment_mutator.h"
#include "slot.h"

/* The log that the golden segments belong to. */
static char time_zone[] = "Europe/Berlin", summary[] = "summary.json", group_by[] = "user";
static struct ul_directory directory = {
	.fd = -1,
	.conf = {.log_id = {{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
			     0xff}},
		 .time_zone = time_zone,
		 .summary = summary,
		 .group_by = {group_by},
		 .group_by_count = 1},
};
static const char *const file_names[] = {"first.seg", "second.seg"};

/* What a fold came to. */
struct folded {
	int result;
	uint64_t calls;
	size_t days;
	void *facts[8]; /* of the first days */
	size_t fact_bytes[8];
};

static void take_facts(struct folded *folded, struct pass *pass)
{
	for (size_t i = 0; i < pass->fold.day_count && i < 8; i++) {
		const struct facts *day = pass->fold.days[i];
		int error;
		struct ul_container file;
		folded->facts[i] = facts_encode(day, pass->names, &directory.conf.log_id,
						&(struct facts_origin){1, 0, 0}, &folded->fact_bytes[i], &error);
		FUZZ_CHECK(folded->facts[i]);
		FUZZ_CHECK(ul_container_open(&file, UL_CONTAINER_FACTS, folded->facts[i], folded->fact_bytes[i],
					     &directory.conf.log_id) == UL_CONTAINER_VALID);
	}
}

static struct folded fold_all(void)
{
	struct folded folded = {0};
	struct names names;
	struct findings findings = {0};
	struct checkpoint checkpoint = {0};
	struct segments segments;
	FUZZ_CHECK(names_init(&names) == 0 && segments_scan(&segments, &directory, &findings) == 0);
	struct pass pass = {.directory = &directory,
			    .segments = &segments,
			    .checkpoint = &checkpoint,
			    .names = &names,
			    .findings = &findings};
	folded.result = pass_run(&pass);
	FUZZ_CHECK(folded.result == 0 || folded.result == -EOVERFLOW);
	if (!folded.result) {
		folded.calls = pass.fold.calls;
		folded.days = pass.fold.day_count;
		take_facts(&folded, &pass);
		FUZZ_CHECK(fold_update_last_calls(&pass.fold, &checkpoint) == 0 &&
			   checkpoint.call_count <= UL_LAST_CALLS);
	}
	pass_clear(&pass);
	checkpoint_clear(&checkpoint);
	segments_clear(&segments);
	findings_clear(&findings);
	names_clear(&names);
	return folded;
}

static void folded_clear(struct folded *folded)
{
	for (size_t i = 0; i < 8; i++)
		free(folded->facts[i]);
}

/* Half of the pages, under the next generation. False: this is no segment to be copied. */
static bool write_second(const uint8_t *data, size_t bytes)
{
	struct ul_segment_header header;
	if (bytes < 2 * UL_PAGE_BYTES || ul_header_classify(data, &header) != UL_HEADER_VALID ||
	    header.generation == UINT32_MAX)
		return false;
	uint8_t *copy = malloc(bytes);
	FUZZ_CHECK(copy);
	memcpy(copy, data, bytes);
	header.generation++;
	ul_header_seal(copy, &header);
	memcpy(copy + UL_PAGE_BYTES, copy, UL_PAGE_BYTES);
	for (size_t at = (size_t)ul_first_page(header.size_bytes) * UL_PAGE_BYTES; at < bytes; at += 2 * UL_SLOT_BYTES)
		memset(copy + at, 0, bytes - at < UL_SLOT_BYTES ? bytes - at : UL_SLOT_BYTES);
	fuzz_write(directory.fd, file_names[1], copy, bytes);
	free(copy);
	return true;
}

static void begin(void)
{
	if (directory.path)
		return;
	directory.path = fuzz_directory();
	directory.fd = open(directory.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(directory.fd >= 0);
	calendar_set_zone(directory.conf.time_zone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	begin();
	fuzz_write(directory.fd, file_names[0], data, bytes);
	unlinkat(directory.fd, file_names[1], 0);
	struct folded alone = fold_all();
	fuzz_sound += alone.calls > 0;
	if (write_second(data, bytes)) {
		struct folded both = fold_all();
		FUZZ_CHECK(alone.result == both.result && alone.calls == both.calls && alone.days == both.days);
		for (size_t i = 0; i < 8 && i < alone.days; i++) {
			FUZZ_CHECK(alone.fact_bytes[i] == both.fact_bytes[i]);
			FUZZ_CHECK(!memcmp(alone.facts[i], both.facts[i], both.fact_bytes[i]));
		}
		folded_clear(&both);
	}
	folded_clear(&alone);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	return segment_mutate(data, bytes, bytes_max, seed);
}
