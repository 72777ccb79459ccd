/* usagelog verify: one line a file, and an exit status. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "money.h"
#include "os.h"
#include "verify.h"

/* A compactor that commits meanwhile takes files away that were to be looked at. */
enum { ROUNDS_MAX = 5 };

static const char *const verdicts[VERDICTS] = {"PASS", "TAIL", "FAIL"};

static int status_of(const struct verification *found, bool strict)
{
	return (found->residue && strict ? STATUS_RESIDUE : 0) | (found->damage ? STATUS_DAMAGE : 0) |
	       (found->unreadable ? STATUS_FILES : 0);
}

/* ---- for people -------------------------------------------------------------------------------------------- */

static void print_file(const struct checked_file *file)
{
	char calls[MONEY_SHOWN_BYTES], durable[MONEY_SHOWN_BYTES];
	printf("%s  ", verdicts[file->verdict]);
	print_safely(stdout, file->name, strlen(file->name));
	if (file->is_segment) {
		count_show(calls, (int64_t)file->calls);
		count_show(durable, (int64_t)file->durable);
		printf("  %s calls, %s durable, %llu holes, %llu unfinished, %llu damaged", calls, durable,
		       (unsigned long long)file->slots.holes, (unsigned long long)file->slots.unfinished,
		       (unsigned long long)file->slots.damaged);
	} else if (file->calls) {
		count_show(calls, (int64_t)file->calls);
		printf("  %s calls", calls);
	}
	if (*file->text) {
		printf(file->is_segment || file->calls ? ": " : "  ");
		print_safely(stdout, file->text, strlen(file->text));
	}
	printf("\n");
}

static void print_text(const struct verification *found)
{
	for (size_t i = 0; i < found->count; i++)
		print_file(&found->files[i]);
	printf("%s\n", found->damage ? "DAMAGED" : found->unreadable ? "NOT ALL COULD BE READ" : "SOUND");
}

/* ---- for scripts -------------------------------------------------------------------------------------------- */

static bool put(cJSON *object, const char *key, cJSON *item)
{
	if (item && cJSON_AddItemToObject(object, key, item))
		return true;
	cJSON_Delete(item);
	return false;
}

static bool put_count(cJSON *object, const char *key, uint64_t count)
{
	return put(object, key, cJSON_CreateNumber((double)count));
}

static cJSON *json_bad_slots(const struct checked_file *file)
{
	cJSON *array = cJSON_CreateArray();
	bool ok = array != NULL;
	for (uint32_t i = 0; i < file->bad_slot_count && ok; i++) {
		cJSON *slot = cJSON_CreateObject();
		ok = slot && put_count(slot, "slot", file->bad_slots[i]) &&
		     put_count(slot, "offset", (uint64_t)file->bad_slots[i] * 64) && cJSON_AddItemToArray(array, slot);
		if (!ok)
			cJSON_Delete(slot);
	}
	if (ok)
		return array;
	cJSON_Delete(array);
	return NULL;
}

static bool put_segment(cJSON *object, const struct checked_file *file)
{
	return put_count(object, "calls", file->calls) && put_count(object, "durable", file->durable) &&
	       put_count(object, "holes", file->slots.holes) &&
	       put_count(object, "unfinished", file->slots.unfinished) &&
	       put_count(object, "damaged", file->slots.damaged) && put_count(object, "unknown", file->slots.unknown) &&
	       put(object, "damaged_slots", json_bad_slots(file));
}

static cJSON *json_file(const struct checked_file *file)
{
	cJSON *object = cJSON_CreateObject();
	bool ok = object && put(object, "verdict", cJSON_CreateString(verdicts[file->verdict])) &&
		  put(object, "name", cJSON_CreateString(file->name)) &&
		  put(object, "text", cJSON_CreateString(file->text)) &&
		  (!file->is_segment || put_segment(object, file));
	if (ok)
		return object;
	cJSON_Delete(object);
	return NULL;
}

static cJSON *json_files(const struct verification *found)
{
	cJSON *array = cJSON_CreateArray();
	bool ok = array != NULL;
	for (size_t i = 0; i < found->count && ok; i++) {
		cJSON *file = json_file(&found->files[i]);
		ok = file && cJSON_AddItemToArray(array, file);
		if (!ok)
			cJSON_Delete(file);
	}
	if (ok)
		return array;
	cJSON_Delete(array);
	return NULL;
}

static cJSON *make_json(const struct verification *found, int status)
{
	cJSON *object = cJSON_CreateObject();
	bool ok = object && put(object, "files", json_files(found)) && put_count(object, "valid", found->valid) &&
		  put_count(object, "pruned", found->pruned) && put_count(object, "folded", found->folded) &&
		  put_count(object, "pending", found->pending) && put_count(object, "damaged", found->damaged) &&
		  put_count(object, "holes", found->holes) && put_count(object, "unfinished", found->unfinished) &&
		  put_count(object, "unknown", found->unknown) &&
		  put_count(object, "dropped_at_least", found->dropped) &&
		  put_count(object, "status", (uint64_t)status);
	if (ok)
		return object;
	cJSON_Delete(object);
	return NULL;
}

static void *json_allocate(size_t bytes)
{
	return os_allocate(1, bytes);
}

static int print_json(const struct verification *found, int status)
{
	cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = json_allocate, .free_fn = free});
	cJSON *object = make_json(found, status);
	char *text = object ? cJSON_Print(object) : NULL;
	if (text)
		printf("%s\n", text);
	free(text);
	cJSON_Delete(object);
	return text ? 0 : -ENOMEM;
}

/* The same where nothing could be looked at. */
static void print_json_error(const char *why)
{
	cJSON *object = cJSON_CreateObject();
	bool ok = object && put(object, "files", cJSON_CreateArray()) &&
		  put(object, "error", cJSON_CreateString(why)) && put_count(object, "status", STATUS_FILES);
	char *text = ok ? cJSON_Print(object) : NULL;
	if (text)
		printf("%s\n", text);
	free(text);
	cJSON_Delete(object);
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int verify(struct verification *found, const char *log, struct ul_message *why)
{
	bool moved = false;
	int error = verify_once(found, log, &moved, why);
	for (unsigned round = 1; round < ROUNDS_MAX && !error && moved && (found->damage || found->residue); round++) {
		verification_clear(found);
		error = verify_once(found, log, &moved, why);
	}
	return error;
}

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	bool json = false, strict = false;
	const struct option_entry entries[] = {
		{"json", NULL, "print one JSON object", NULL, &json},
		{"strict", NULL, "status 1 for what processes that died left behind", NULL, &strict},
	};
	struct command_line line;
	int status = command_parse(command, entries, 2, log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (line.operand_count) {
		complain("verify takes no operand, but \"%s\" was given; see usagelog verify --help", line.operands[0]);
		return STATUS_USAGE;
	}
	struct verification found;
	struct ul_message why;
	int error = verify(&found, line.log, &why);
	status = error ? STATUS_FILES : status_of(&found, strict);
	if (error)
		complain("%s", why.text);
	if (error && json)
		print_json_error(why.text);
	else if (!error && !json)
		print_text(&found);
	else if (!error && print_json(&found, status)) {
		complain("no memory to print what was found");
		status = STATUS_FILES;
	}
	verification_clear(&found);
	return status;
}

const struct command command_verify = {
	.name = "verify",
	.operands = "",
	.summary = "check every file of the log, and every sum",
	.details = "Reads only, and takes no lock; works beside writers and a compactor. One line a\n"
		   "file: PASS, TAIL (sound, but something that died left a trace: unfinished\n"
		   "slots, holes, files, a summary that is out of date), or FAIL.\n"
		   "\n"
		   "Exit status, a sum of: 0 sound; 1 traces as under TAIL, with --strict only;\n"
		   "4 damage; 8 no such log, or not all could be read; 16 usage. Calls that are not\n"
		   "folded yet are in order.",
	.run = run,
};
