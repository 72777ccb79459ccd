/*
 * Runs a fuzz target over files, without a fuzzer: TARGET_replay [--mutations N] FILE|DIRECTORY...
 *
 * With mutations, each file is also run in N changed forms, by the target's own mutator where it has one. The same forms each time, so
 * that a failure here can be had again. What a failing run was fed is left in `replay-failed`.
 */
#include <dirent.h>
#include <err.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#include "fuzz.h"

#pragma weak LLVMFuzzerCustomMutator

enum { INPUT_BYTES_MAX = 1 << 20, ROOM_BYTES = INPUT_BYTES_MAX + 65536, SOUND_OF = 20 };

static uint64_t random_state;
static unsigned long mutations;
static unsigned long files_run;
static unsigned long forms_run, forms_sound; /* changed forms of files that are sound */
static uint8_t running[ROOM_BYTES];
static size_t running_bytes;

/* The simplest of what libFuzzer does: flip, set, copy, cut and insert. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t bytes_max)
{
	static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '\n', '"', '0', ',', '{'};
	uint32_t choice = fuzz_random(&random_state) % 6;
	size_t at = bytes ? fuzz_random(&random_state) % bytes : 0;
	if (!bytes || (choice == 0 && bytes < bytes_max)) {
		if (!bytes_max)
			return 0;
		memmove(data + at + 1, data + at, bytes - at);
		data[at] = telling[fuzz_random(&random_state) % sizeof(telling)];
		return bytes + 1;
	}
	size_t count = 1 + fuzz_random(&random_state) % 8;
	count = count < bytes - at ? count : bytes - at;
	if (choice == 1 && bytes > count) {
		memmove(data + at, data + at + count, bytes - at - count);
		return bytes - count;
	}
	if (choice == 2)
		memmove(data + at, data + fuzz_random(&random_state) % (bytes - count + 1), count);
	else if (choice == 3)
		data[at] ^= (uint8_t)(1u << fuzz_random(&random_state) % 8);
	else if (choice == 4)
		data[at] = telling[fuzz_random(&random_state) % sizeof(telling)];
	else
		data[at] = (uint8_t)fuzz_random(&random_state);
	return bytes;
}

static void keep(int signal_number)
{
	int fd = open("replay-failed", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	bool kept = fd >= 0 && write(fd, running, running_bytes) == (ssize_t)running_bytes;
	static const char said[] = "what was run is in replay-failed\n";
	if (kept && write(STDERR_FILENO, said, sizeof(said) - 1) < 0)
		_exit(1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* In memory of exactly its size, so that a read beyond the end is seen. */
static void run(const uint8_t *data, size_t bytes)
{
	memcpy(running, data, bytes);
	running_bytes = bytes;
	uint8_t *exact = malloc(bytes ? bytes : 1);
	if (!exact)
		err(1, "no memory");
	memcpy(exact, data, bytes);
	LLVMFuzzerTestOneInput(exact, bytes);
	free(exact);
}

static void run_mutated(const uint8_t *original, size_t bytes, bool sound)
{
	unsigned long before = fuzz_sound;
	static uint8_t changed[ROOM_BYTES];
	size_t changed_bytes = 0;
	for (unsigned long i = 0; i < mutations; i++) {
		/* A few changes on top of each other, then from the beginning. */
		if (i % 4 == 0) {
			memcpy(changed, original, bytes);
			changed_bytes = bytes;
		}
		size_t room = bytes + 65536;
		changed_bytes = LLVMFuzzerCustomMutator ? LLVMFuzzerCustomMutator(changed, changed_bytes, room,
										  fuzz_random(&random_state))
							: LLVMFuzzerMutate(changed, changed_bytes, room);
		FUZZ_CHECK(changed_bytes <= room);
		run(changed, changed_bytes);
	}
	forms_run += sound ? mutations : 0;
	forms_sound += sound ? fuzz_sound - before : 0;
}

static void replay_file(const char *path)
{
	static uint8_t data[INPUT_BYTES_MAX];
	FILE *file = fopen(path, "rb");
	if (!file)
		err(1, "%s", path);
	size_t bytes = fread(data, 1, sizeof(data), file);
	if (ferror(file) || !feof(file))
		errx(1, "%s: cannot be read whole: an input has less than %d bytes", path, INPUT_BYTES_MAX);
	fclose(file);
	random_state = bytes;
	unsigned long before = fuzz_sound;
	run(data, bytes);
	run_mutated(data, bytes, fuzz_sound > before);
	files_run++;
}

static void replay(const char *path)
{
	struct stat found;
	if (stat(path, &found))
		err(1, "%s", path);
	if (!S_ISDIR(found.st_mode)) {
		replay_file(path);
		return;
	}
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	if (count < 0)
		err(1, "%s", path);
	for (int i = 0; i < count; i++) {
		char name[4096];
		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			replay(name);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	signal(SIGABRT, keep);
	int first = 1;
	if (argc > 2 && !strcmp(argv[1], "--mutations")) {
		mutations = strtoul(argv[2], NULL, 10);
		first = 3;
	}
	for (int i = first; i < argc; i++)
		replay(argv[i]);
	/* A folder that is empty would prove nothing. */
	if (!files_run)
		errx(1, "no file was run: usage: %s [--mutations N] FILE|DIRECTORY...", argv[0]);
	printf("%lu files; of %lu changed forms of sound ones %lu are sound\n", files_run, forms_run, forms_sound);
	/* A mutator that does not mend what it changed would try the checksums alone. */
	if (forms_sound < forms_run / SOUND_OF)
		errx(1, "of them at least one in %d has to be", SOUND_OF);
	return 0;
}
