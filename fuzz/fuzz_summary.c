/*
 * A summary.json that is not what the compactor wrote, as verify reads it, in a log that is sound otherwise: whatever it says, the rest of
 * the log is found sound, and verify comes to an end.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "fuzz.h"
#include "usagelog.h"
#include "verify.h"

static char *path;
static char summary_path_text[64];

static int remove_one(void *arg, const char *name)
{
	int fd = *(int *)arg;
	if (name[0] != '.')
		unlinkat(fd, name, 0);
	return 0;
}

static void clean(void)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	store_list(fd, remove_one, &fd);
	close(fd);
	rmdir(path);
}

/* A small log with a checkpoint; 2026-01-10, so that inputs are the same on every day. */
static void begin(void)
{
	if (summary_path_text[0])
		return;
	path = fuzz_directory();
	FUZZ_CHECK(atexit(clean) == 0);
	struct usagelog_options options = {.size = sizeof(options),
					   .flags = USAGELOG_NO_HELPER | USAGELOG_ALLOW_ANY_FILESYSTEM,
					   .segment_size_bytes = 65536,
					   .time_zone = "UTC"};
	struct usagelog_names names = {.provider = "openai", .model = "gpt-4o"};
	struct usagelog_call call = {
		.time_ns = 1768084326000000000, .input_tokens = 100, .output_tokens = 50, .latency_us = 80000};
	usagelog *log;
	FUZZ_CHECK(usagelog_open(&log, path, &options) == 0);
	FUZZ_CHECK(usagelog_record_names(log, &names, &call) == 0 && usagelog_close(log, -1) == 0);
	char *arguments[] = {(char[]){"compact"}, (char[]){"--quiet"}, NULL};
	FUZZ_CHECK(command_compact.run(&command_compact, path, 2, arguments) == STATUS_DONE);
	snprintf(summary_path_text, sizeof(summary_path_text), "%s/summary.json", path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	begin();
	int fd = open(summary_path_text, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	close(fd);
	struct verification found;
	struct ul_message why;
	bool moved;
	FUZZ_CHECK(verify_once(&found, path, &moved, &why) == 0 && !moved);
	FUZZ_CHECK(!found.error && !found.unreadable && found.valid == 1 && found.folded == 1);
	for (size_t i = 0; i < found.count; i++)
		FUZZ_CHECK(found.files[i].verdict == VERDICT_PASS || !strcmp(found.files[i].name, "summary.json"));
	verification_clear(&found);
	return 0;
}
