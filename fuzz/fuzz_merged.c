/* A file of `usagelog merge`, with checkpoints of several logs: taken in, written again, added to itself, added up. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "container_mutator.h"
#include "fuzz.h"
#include "merged.h"

static const char name[] = "merged";
static char path[64];
static int directory = -1;

static void begin(void)
{
	if (directory >= 0)
		return;
	const char *place = fuzz_directory();
	directory = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(directory >= 0 && snprintf(path, sizeof(path), "%s/%s", place, name) < (int)sizeof(path));
}

static bool take(struct merged *merged, const void *data, size_t bytes)
{
	struct ul_message why = {.text = ""};
	fuzz_write(directory, name, data, bytes);
	int error = merged_add(merged, path, &why);
	FUZZ_CHECK(!error || why.text[0]);
	return !error;
}

static void add_up(const struct merged *merged)
{
	struct checkpoint whole = {0};
	struct names names;
	struct ul_message why;
	FUZZ_CHECK(names_init(&names) == 0);
	int error = merged_sum(merged, &whole, &names, &why);
	FUZZ_CHECK(!error || error == -EOVERFLOW || error == USAGELOG_ERROR_CONTRADICTION);
	checkpoint_clear(&whole);
	names_clear(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	begin();
	struct merged first = {0}, second = {0};
	struct ul_container file;
	void *aligned = container_aligned(data, bytes);
	/* No file is made of what is no container. */
	bool is_container = ul_container_open(&file, UL_CONTAINER_MERGED, aligned, bytes, NULL) == UL_CONTAINER_VALID;
	if (is_container)
		container_walk(&file);
	if (is_container && take(&first, data, bytes)) {
		fuzz_sound++;
		add_up(&first);
		/* What we write is sound, has one form only, and changes nothing when it is added once more. */
		size_t once_bytes, twice_bytes;
		void *once = merged_encode(&first, &once_bytes);
		FUZZ_CHECK(once && take(&second, once, once_bytes) && take(&second, once, once_bytes));
		void *twice = merged_encode(&second, &twice_bytes);
		FUZZ_CHECK(twice && twice_bytes == once_bytes && !memcmp(once, twice, once_bytes));
		free(twice);
		free(once);
	}
	merged_clear(&second);
	merged_clear(&first);
	free(aligned);
	return 0;
}

/* A few bytes within one of the checkpoints, which is sealed again. False: there is none. */
static bool change_part(uint8_t *data, size_t bytes, uint64_t *random)
{
	uint8_t *found = NULL;
	struct ul_container_header header;
	uint32_t seen = 0;
	for (uint8_t *at = data, *end = data + bytes; (at = memmem(at, (size_t)(end - at), "ULCHECK\n", 8)); at++)
		if (fuzz_random(random) % ++seen == 0)
			found = at;
	if (!found || bytes - (size_t)(found - data) < sizeof(header))
		return false;
	memcpy(&header, found, sizeof(header));
	if (header.size_bytes < sizeof(header) || header.size_bytes > bytes - (size_t)(found - data))
		return false;
	size_t size = (size_t)header.size_bytes, at = 16 + fuzz_random(random) % (size - 16);
	size_t count = size - at < 64 ? size - at : 64;
	LLVMFuzzerMutate(found + at, count, count);
	ul_container_seal(found, size, UL_CONTAINER_CHECKPOINT);
	return true;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	uint64_t random = seed;
	if (fuzz_random(&random) % 2 || !change_part(data, bytes, &random))
		return container_mutate(data, bytes, bytes_max, seed, UL_CONTAINER_MERGED);
	ul_container_seal(data, bytes, UL_CONTAINER_MERGED);
	return bytes;
}
