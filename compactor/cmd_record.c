/* usagelog record: one call, from a script. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "call_ids.h"
#include "command.h"
#include "draft.h"
#include "log_open.h"
#include "os.h"

static const char *texts[FIELD_COUNT];
static bool synchronous;

static const struct option_entry entries[] = {
	{"provider", "P", "who was called: openai, anthropic, aws.bedrock ...", &texts[FIELD_PROVIDER], NULL},
	{"model", "M", "the model's name", &texts[FIELD_MODEL], NULL},
	{"input-tokens", "N", "without any from or to a cache", &texts[FIELD_INPUT_TOKENS], NULL},
	{"output-tokens", "N", "reasoning included", &texts[FIELD_OUTPUT_TOKENS], NULL},
	{"cache-read-tokens", "N", "read from a cache", &texts[FIELD_CACHE_READ_TOKENS], NULL},
	{"cache-write-5m-tokens", "N", "written to a cache for 5 minutes", &texts[FIELD_CACHE_WRITE_5M_TOKENS], NULL},
	{"cache-write-1h-tokens", "N", "written to a cache for an hour", &texts[FIELD_CACHE_WRITE_1H_TOKENS], NULL},
	{"reasoning-tokens", "N", "the part of the output that is reasoning", &texts[FIELD_REASONING_TOKENS], NULL},
	{"cost-usd", "USD", "decimal, exact to 1e-12; without it: unpriced", &texts[FIELD_COST_USD], NULL},
	{"latency-ms", "MS", "of the whole call; 0: unknown", &texts[FIELD_LATENCY_MS], NULL},
	{"ttft-ms", "MS", "to the first token; 0: not streamed", &texts[FIELD_TTFT_MS], NULL},
	{"operation", "O", "chat, embeddings ...", &texts[FIELD_OPERATION], NULL},
	{"error-type", "E", "the call failed: code, exception or status", &texts[FIELD_ERROR_TYPE], NULL},
	{"service-tier", "T", "batch, flex, priority ...", &texts[FIELD_SERVICE_TIER], NULL},
	{"session-id", "S", "what the call belongs to", &texts[FIELD_SESSION_ID], NULL},
	{"call-id", "ID", "the call's own id: it is recorded once", &texts[FIELD_CALL_ID], NULL},
	{"metadata", "JSON", "an object with anything else", &texts[FIELD_METADATA], NULL},
	{"time", "T", "default now; 2026-01-10T22:32:06Z, or usagelog(1)", &texts[FIELD_TIME], NULL},
	{"sync", NULL, "return when the call is on the disk", NULL, &synchronous},
};
enum { ENTRY_COUNT = sizeof(entries) / sizeof(entries[0]) };

/* The option that a field comes from. */
static const char *option_of(enum call_field field)
{
	for (size_t i = 0; i < ENTRY_COUNT; i++)
		if (entries[i].text == &texts[field])
			return entries[i].name;
	return field_names[field];
}

static bool make_draft(struct draft *draft)
{
	struct draft_rules rules = {0};
	struct field_value values[FIELD_COUNT] = {0};
	struct refusal why;
	for (enum call_field field = 0; field < FIELD_COUNT; field++) {
		if (!texts[field])
			continue;
		/* An empty value is a variable that was not set, more often than not. */
		if (!*texts[field]) {
			complain("--%s: the value is empty; leave the option out if there is none", option_of(field));
			return false;
		}
		values[field] = (struct field_value){texts[field], strlen(texts[field])};
	}
	if (draft_make(draft, &rules, values, &why))
		return true;
	complain("--%s: %s; nothing was recorded", option_of(why.field), why.reason);
	return false;
}

/* Wait for whoever adds calls now: scripts record side by side. */
static int wait_for_lock(const struct ul_directory *directory)
{
	enum { TRIES_MAX = 500 }; /* 10 ms each: 5 s */
	const struct timespec pause = {.tv_nsec = 10000000};
	int fd = call_ids_lock(directory);
	for (int i = 1; fd == -EAGAIN && i < TRIES_MAX; i++) {
		nanosleep(&pause, NULL);
		fd = call_ids_lock(directory);
	}
	return fd;
}

static int record(usagelog *log, const struct ul_directory *directory, const struct draft *draft)
{
	int error = usagelog_record_names(log, &draft->names, &draft->call);
	if (error) {
		complain("%s: the call was not recorded: %s", directory->path, usagelog_strerror(error));
		return STATUS_FILES;
	}
	error = synchronous ? usagelog_flush(log, -1) : 0;
	if (error) {
		complain("%s: the call is recorded, but not known to be on the disk: %s", directory->path,
			 usagelog_strerror(error));
		return STATUS_FILES;
	}
	return STATUS_DONE;
}

/* Record a call that has an id, unless the log has it. */
static int record_once(usagelog *log, const struct ul_directory *directory, const struct draft *draft)
{
	struct ul_message why;
	struct call_ids *ids;
	int lock = wait_for_lock(directory);
	if (lock == -EAGAIN) {
		complain("%s: an import has been running for 5 seconds, so that it cannot be known whether the call is "
			 "there; try again",
			 directory->path);
		return STATUS_BUSY;
	}
	if (lock < 0) {
		complain("%s/import.lock: cannot be locked: %s", directory->path, usagelog_strerror(lock));
		return STATUS_FILES;
	}
	int status = STATUS_FILES;
	if (call_ids_read(&ids, directory, &why)) {
		complain("%s", why.text);
	} else {
		/* Without --time the call is of now, and so never the one that is there in all its parts. */
		enum call_ids_found found = call_ids_find(ids, draft->id, texts[FIELD_TIME] ? draft_content(draft) : 0);
		status = found == CALL_IDS_NONE ? record(log, directory, draft) : STATUS_DONE;
		if (found == CALL_IDS_OTHER) {
			complain("%s: the call \"%s\" is there with other content, which was not changed; nothing was "
				 "recorded",
				 directory->path, texts[FIELD_CALL_ID]);
			status = STATUS_PART;
		}
		call_ids_close(ids);
	}
	os_close(lock);
	return status;
}

static int run(const struct command *command, const char *log_path, int argc, char **argv)
{
	struct command_line line;
	struct ul_directory directory;
	struct draft draft;
	usagelog *log;
	int status = command_parse(command, entries, ENTRY_COUNT, log_path, argc, argv, &line);
	if (status >= 0)
		return status;
	if (line.operand_count) {
		complain("record takes options only; \"%s\" is none", line.operands[0]);
		return STATUS_USAGE;
	}
	/* Looked at before, so that a mistake makes no log; and again in the log's zone, which a time without an
	 * offset is in. */
	if (!make_draft(&draft))
		return STATUS_USAGE;
	status = log_open_to_record(&directory, &log, line.log, USAGELOG_NO_HELPER);
	if (status)
		return status;
	if (!make_draft(&draft))
		status = STATUS_USAGE;
	else
		status = draft.call.call_id ? record_once(log, &directory, &draft) : record(log, &directory, &draft);
	int error = usagelog_close(log, 0);
	if (error && !status) {
		complain("%s: the call may be lost: %s", directory.path, usagelog_strerror(error));
		status = STATUS_FILES;
	}
	ul_directory_close(&directory);
	return status;
}

const struct command command_record = {
	.name = "record",
	.operands = "",
	.summary = "record one call",
	.details = "",
	.run = run,
};
