/* The table of peers, and what several of them need. */
#include "peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench.h"

/* Only what the build found: CMakeLists.txt defines these. */
const struct peer *const peers[] = {
	&peer_usagelog,     &peer_usagelog_strings, &peer_write, &peer_write_allocated, &peer_json_line,
#ifdef PEER_SPDLOG
	&peer_spdlog,
#endif
#ifdef PEER_LMDB
	&peer_lmdb,
#endif
#ifdef PEER_ROCKSDB
	&peer_rocksdb,
#endif
#ifdef PEER_SQLITE
	&peer_sqlite,
#endif
	&peer_write_behind, &peer_rewrite,          NULL,
};

const char *const peers_missing[] = {
#ifndef PEER_SPDLOG
	"spdlog",
#endif
#ifndef PEER_LMDB
	"lmdb",
#endif
#ifndef PEER_ROCKSDB
	"rocksdb",
#endif
#ifndef PEER_SQLITE
	"sqlite",
#endif
	NULL,
};

const struct peer_call peer_call = {.provider = "openai",
				    .model = "gpt-4o-mini-2024-07-18",
				    .operation = "chat",
				    .session_id = "e3bfdef4aca3",
				    .input_tokens = 100,
				    .output_tokens = 50,
				    .cost_pico_usd = 200000000,
				    .latency_us = 80000};

int64_t peer_time_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

_Static_assert(sizeof(struct peer_entry) == 64, "as large as an entry of usagelog");

struct peer_entry peer_entry_make(uint64_t number)
{
	return (struct peer_entry){.time_ns = peer_time_ns(),
				   .cost_pico_usd = peer_call.cost_pico_usd,
				   .number = number,
				   .tokens = {peer_call.input_tokens, 0, 0, 0, peer_call.output_tokens},
				   .latency_us = peer_call.latency_us,
				   .model = 1,
				   .context = 1};
}

size_t peer_line(char line[PEER_LINE_BYTES], uint64_t number)
{
	int64_t now = peer_time_ns();
	int length =
		snprintf(line, PEER_LINE_BYTES,
			 "{\"number\": %" PRIu64 ", \"time\": %" PRId64 ".%06" PRId64
			 ", \"provider\": \"%s\", \"model\": \"%s\", \"operation\": \"%s\", \"session_id\": \"%s\", "
			 "\"input_tokens\": %u, \"output_tokens\": %u, \"cost_usd\": %" PRId64 ".%012" PRId64
			 ", \"latency_ms\": %u}\n",
			 number, now / 1000000000, now % 1000000000 / 1000, peer_call.provider, peer_call.model,
			 peer_call.operation, peer_call.session_id, peer_call.input_tokens, peer_call.output_tokens,
			 peer_call.cost_pico_usd / 1000000000000, peer_call.cost_pico_usd % 1000000000000,
			 peer_call.latency_us / 1000);
	return (size_t)length;
}

void peer_flush_nothing(void *state)
{
	(void)state;
}

void peer_path(char path[PEER_PATH_BYTES], const char *directory, const char *name)
{
	if (snprintf(path, PEER_PATH_BYTES, "%s/%s", directory, name) >= PEER_PATH_BYTES)
		bench_die(directory, -ENAMETOOLONG);
}

uint64_t peer_count_lines(const char *directory, const char *name)
{
	char path[PEER_PATH_BYTES], bytes[65536];
	uint64_t count = 0;
	size_t length;
	peer_path(path, directory, name);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	while ((length = fread(bytes, 1, sizeof(bytes), file)))
		for (char *at = bytes; (at = memchr(at, '\n', (size_t)(bytes + length - at))); at++)
			count++;
	if (ferror(file))
		bench_die(path, -EIO);
	fclose(file);
	return count;
}
