/*
 * A summary.json that is not what the compactor wrote, as verify reads it: whatever it says, verify comes to an end, and calls it right if it is
 * the compactor's own.
 */
#include "command.h"
#include "fuzz.h"
#include "usagelog.h"
#include "verify.h"

static char *path;
static struct view view;

static void clean(void)
{
	view_close(&view);
}

/* VERDICTS: any. */
static void check_verdict(enum verdict wanted)
{
	struct verification found = {0};
	verify_summary(&found, &view);
	FUZZ_CHECK(!found.error && !found.unreadable && found.count == 1);
	FUZZ_CHECK(wanted == VERDICTS || found.files[0].verdict == wanted);
	verification_clear(&found);
}

/* A small log with a checkpoint; 2026-01-10, so that inputs are the same on every day. */
static void begin(void)
{
	if (path)
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
	struct ul_message why;
	FUZZ_CHECK(view_open(&view, path, &why) == 0);
	check_verdict(VERDICT_PASS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	begin();
	fuzz_write(view.directory.fd, "summary.json", data, bytes);
	check_verdict(VERDICTS);
	return 0;
}
