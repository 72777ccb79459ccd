#include "tracker.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bench.h"
#include "peer.h"

enum { KEPT_MAX = 1000 };

struct tracker {
	char path[PEER_PATH_BYTES];
	char temporary[PEER_PATH_BYTES];
	cJSON *root, *sessions, *days, *models, *providers;
	int kept;
};

static cJSON *need(cJSON *item)
{
	if (!item)
		bench_die("cJSON", -ENOMEM);
	return item;
}

static void add_total(cJSON *totals, const char *key)
{
	cJSON *total = cJSON_GetObjectItemCaseSensitive(totals, key);
	if (!total) {
		total = need(cJSON_AddObjectToObject(totals, key));
		need(cJSON_AddNumberToObject(total, "tokens", 0));
		need(cJSON_AddNumberToObject(total, "cost", 0));
		need(cJSON_AddNumberToObject(total, "calls", 0));
	}
	const double more[] = {peer_call.input_tokens + peer_call.output_tokens, (double)peer_call.cost_pico_usd / 1e12,
			       1};
	const char *const names[] = {"tokens", "cost", "calls"};
	for (int i = 0; i < 3; i++) {
		cJSON *number = cJSON_GetObjectItemCaseSensitive(total, names[i]);
		cJSON_SetNumberHelper(number, number->valuedouble + more[i]);
	}
}

void tracker_add(struct tracker *tracker, uint64_t number, int64_t time_ns)
{
	char timestamp[64];
	struct tm local;
	time_t seconds = time_ns / 1000000000;
	size_t length = strftime(timestamp, sizeof(timestamp), "%Y-%m-%dT%H:%M:%S", localtime_r(&seconds, &local));
	snprintf(timestamp + length, sizeof(timestamp) - length, ".%06d", (int)(time_ns % 1000000000 / 1000));
	cJSON *call = need(cJSON_CreateObject());
	need(cJSON_AddStringToObject(call, "timestamp", timestamp));
	need(cJSON_AddStringToObject(call, "model", peer_call.model));
	need(cJSON_AddStringToObject(call, "provider", peer_call.provider));
	need(cJSON_AddNumberToObject(call, "input_tokens", peer_call.input_tokens));
	need(cJSON_AddNumberToObject(call, "output_tokens", peer_call.output_tokens));
	need(cJSON_AddNumberToObject(call, "total_tokens", peer_call.input_tokens + peer_call.output_tokens));
	need(cJSON_AddNumberToObject(call, "cost_usd", (double)peer_call.cost_pico_usd / 1e12));
	need(cJSON_AddNumberToObject(call, "latency_ms", peer_call.latency_us / 1000.0));
	need(cJSON_AddStringToObject(call, "operation", peer_call.operation));
	cJSON *metadata = need(cJSON_AddObjectToObject(call, "metadata"));
	need(cJSON_AddNumberToObject(metadata, "number", (double)number));
	cJSON_AddItemToArray(tracker->sessions, call);
	if (tracker->kept == KEPT_MAX)
		cJSON_DeleteItemFromArray(tracker->sessions, 0);
	else
		tracker->kept++;
	timestamp[10] = 0; /* the day */
	add_total(tracker->days, timestamp);
	add_total(tracker->models, peer_call.model);
	add_total(tracker->providers, peer_call.provider);
}

void tracker_write(struct tracker *tracker)
{
	char *text = cJSON_Print(tracker->root);
	if (!text)
		bench_die("cJSON", -ENOMEM);
	FILE *file = fopen(tracker->temporary, "we");
	if (!file || fputs(text, file) == EOF || fclose(file) || rename(tracker->temporary, tracker->path))
		bench_die(tracker->path, -errno);
	cJSON_free(text);
}

struct tracker *tracker_open(const char *directory)
{
	struct tracker *tracker = calloc(1, sizeof(*tracker));
	if (!tracker)
		bench_die("tracker", -ENOMEM);
	peer_path(tracker->path, directory, "usage.json");
	peer_path(tracker->temporary, directory, "usage.json.tmp");
	tracker->root = need(cJSON_CreateObject());
	tracker->sessions = need(cJSON_AddArrayToObject(tracker->root, "sessions"));
	tracker->days = need(cJSON_AddObjectToObject(tracker->root, "daily_totals"));
	tracker->models = need(cJSON_AddObjectToObject(tracker->root, "model_breakdown"));
	tracker->providers = need(cJSON_AddObjectToObject(tracker->root, "provider_breakdown"));
	for (uint64_t number = 0; number < KEPT_MAX; number++)
		tracker_add(tracker, number, peer_time_ns());
	tracker_write(tracker);
	return tracker;
}

void tracker_close(struct tracker *tracker)
{
	cJSON_Delete(tracker->root);
	free(tracker);
}

static char *read_file(const char *path)
{
	struct stat found;
	FILE *file = fopen(path, "re");
	if (!file || fstat(fileno(file), &found)) {
		if (file)
			fclose(file);
		return NULL;
	}
	char *text = calloc(1, (size_t)found.st_size + 1);
	if (!text)
		bench_die(path, -ENOMEM);
	if (fread(text, 1, (size_t)found.st_size, file) != (size_t)found.st_size)
		bench_die(path, -EIO);
	fclose(file);
	return text;
}

uint64_t tracker_count(const char *directory)
{
	char path[PEER_PATH_BYTES];
	peer_path(path, directory, "usage.json");
	char *text = read_file(path);
	cJSON *root = text ? cJSON_Parse(text) : NULL;
	cJSON *models = cJSON_GetObjectItemCaseSensitive(root, "model_breakdown");
	cJSON *model = cJSON_GetObjectItemCaseSensitive(models, peer_call.model);
	const cJSON *calls = cJSON_GetObjectItemCaseSensitive(model, "calls");
	uint64_t count = cJSON_IsNumber(calls) ? (uint64_t)calls->valuedouble - KEPT_MAX : 0;
	cJSON_Delete(root);
	free(text);
	return count;
}
