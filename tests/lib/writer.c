/*
 * A program for tests to kill.
 *
 *     writer tell DIR THREADS      record without end; after each call that was committed, tell its number: 8 bytes to stdout
 *     writer trace DIR THREADS PART PARTS < ROWS
 *                                  record this part of the rows "time_ns input output", each once: rows whose id is in the log already,
 *                                  from a run that was killed, are left out
 */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "usagelog.h"

enum { THREADS_MAX = 64, ROWS_MAX = 1 << 20 };

static usagelog *open_log(const char *path)
{
	usagelog *log;
	struct usagelog_options options = {
		.size = sizeof(options), .segment_size_bytes = 1 << 20, .flush_interval_ms = 5};
	int error = usagelog_open(&log, path, &options);
	if (error) {
		fprintf(stderr, "writer: %s: %s\n", path, usagelog_strerror(error));
		exit(1);
	}
	return log;
}

/* ---- tell --------------------------------------------------------------------------------------------------- */

struct teller {
	usagelog *log;
	uint32_t number;
};

static void *tell(void *arg)
{
	struct teller *teller = arg;
	char name[32];
	for (uint32_t i = 0;; i++) {
		/* A new name now and then, so that definitions are killed in, too. */
		snprintf(name, sizeof(name), "model-%u-%u", teller->number, i / 100);
		struct usagelog_names names = {.provider = "p", .model = name, .attributes = {.operation = "chat"}};
		struct usagelog_call call = {.input_tokens = teller->number, .output_tokens = i};
		uint32_t told[2] = {teller->number, i};
		if (usagelog_record_names(teller->log, &names, &call) == 0 &&
		    write(STDOUT_FILENO, told, sizeof(told)) != sizeof(told))
			return NULL;
	}
}

/* ---- trace -------------------------------------------------------------------------------------------------- */

struct row {
	int64_t time_ns;
	uint32_t input, output;
	bool there;
	uint8_t id[16];
};

static struct row *rows;
static uint32_t row_count;

static void read_rows(void)
{
	long long time_ns;
	rows = calloc(ROWS_MAX, sizeof(*rows));
	while (rows && row_count < ROWS_MAX &&
	       scanf("%lld %u %u", &time_ns, &rows[row_count].input, &rows[row_count].output) == 3) {
		struct row *row = &rows[row_count++];
		row->time_ns = time_ns;
		usagelog_call_id((const char *)&row_count, sizeof(row_count), row->id);
	}
}

struct pairing {
	uint8_t id[16];
	uint32_t slot;
};

static int compare_ids(const void *left, const void *right)
{
	return memcmp(((const struct row *const *)left)[0]->id, ((const struct row *const *)right)[0]->id, 16);
}

static struct row **by_id;

static int visit(void *arg, const struct usagelog_slot *shown)
{
	struct pairing *pairing = arg;
	struct ul_slot slot;
	memcpy(&slot, shown->bytes, sizeof(slot));
	if (shown->state != USAGELOG_SLOT_VALID)
		return 0;
	if (ul_slot_kind(&slot) == UL_KIND_CALL_ID) {
		memcpy(pairing->id, slot.body.call_id.bytes, 16);
		pairing->slot = shown->number + 1;
	} else if (ul_slot_kind(&slot) == UL_KIND_CALL && pairing->slot == shown->number) {
		struct row wanted, *key = &wanted;
		memcpy(wanted.id, pairing->id, 16);
		struct row **found = bsearch(&key, by_id, row_count, sizeof(*by_id), compare_ids);
		if (found)
			(*found)->there = true;
	}
	return 0;
}

static void find_what_is_there(const char *path)
{
	by_id = calloc(row_count, sizeof(*by_id));
	for (uint32_t i = 0; i < row_count; i++)
		by_id[i] = &rows[i];
	qsort(by_id, row_count, sizeof(*by_id), compare_ids);
	DIR *directory = opendir(path);
	for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory)) {
		char name[1024];
		usagelog_segment *segment;
		struct pairing pairing = {.slot = 0};
		size_t length = strlen(entry->d_name);
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (length < 4 || strcmp(entry->d_name + length - 4, ".seg") != 0 ||
		    usagelog_segment_open(&segment, name))
			continue;
		usagelog_segment_visit(segment, visit, &pairing);
		usagelog_segment_close(segment);
	}
	if (directory)
		closedir(directory);
}

struct part {
	usagelog *log;
	uint32_t first, step;
};

static void *record_part(void *arg)
{
	struct part *part = arg;
	for (uint32_t i = part->first; i < row_count; i += part->step) {
		struct usagelog_names names = {
			.provider = "azure", .model = i % 3 ? "gpt-4" : "gpt-4o", .attributes = {.operation = "chat"}};
		struct usagelog_call call = {.time_ns = rows[i].time_ns,
					     .input_tokens = rows[i].input,
					     .output_tokens = rows[i].output,
					     .call_id = rows[i].id};
		if (rows[i].there)
			continue;
		int error = usagelog_record_names(part->log, &names, &call);
		if (error) {
			fprintf(stderr, "writer: row %u: %s\n", i, usagelog_strerror(error));
			exit(1);
		}
		if (i / part->step % 4 == 0)
			usleep(10000); /* slow enough to be killed in the middle */
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	struct teller tellers[THREADS_MAX];
	struct part parts[THREADS_MAX];
	bool trace = argc == 6 && !strcmp(argv[1], "trace");
	if (!trace && (argc != 4 || strcmp(argv[1], "tell") != 0))
		return 16;
	uint32_t count = (uint32_t)strtoul(argv[3], NULL, 10);
	if (!count || count > THREADS_MAX)
		return 16;
	if (trace) {
		read_rows();
		find_what_is_there(argv[2]);
	}
	usagelog *log = open_log(argv[2]);
	for (uint32_t i = 0; i < count; i++) {
		tellers[i] = (struct teller){.log = log, .number = i};
		if (trace)
			parts[i] = (struct part){.log = log,
						 .first = (uint32_t)strtoul(argv[4], NULL, 10) * count + i,
						 .step = (uint32_t)strtoul(argv[5], NULL, 10) * count};
		if (pthread_create(&threads[i], NULL, trace ? record_part : tell,
				   trace ? (void *)&parts[i] : (void *)&tellers[i]))
			return 1;
	}
	for (uint32_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return usagelog_close(log, 10000) ? 1 : 0;
}
