/*
 * A peer: one way to keep a record of each call, behind one interface, so that all are measured alike. Each stores what it would
 * store for the call below, by the best means that its kind allows, and nothing more. Failures end the program.
 */
#ifndef USAGELOG_PEER_H
#define USAGELOG_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The call that is recorded; all peers the same, from where it would stand in a program. */
struct peer_call {
	const char *provider, *model, *operation, *session_id;
	uint32_t input_tokens, output_tokens;
	int64_t cost_pico_usd;
	uint32_t latency_us;
};
extern const struct peer_call peer_call;

/* 64 bytes with its figures, for peers that store bytes. */
struct peer_entry {
	int64_t time_ns;
	int64_t cost_pico_usd;
	uint64_t number;
	uint32_t tokens[6];
	uint32_t latency_us;
	uint32_t ttft_us;
	uint32_t model;
	uint32_t context;
};
/* Filled in, with the time. */
struct peer_entry peer_entry_make(uint64_t number);

/* Wall clock, coarse, as usagelog reads it. */
int64_t peer_time_ns(void);
/* The call as a line of JSON with its line end; its length. */
enum { PEER_LINE_BYTES = 512 };
size_t peer_line(char line[PEER_LINE_BYTES], uint64_t number);

struct peer {
	const char *name;    /* key in JSON */
	const char *what;    /* for tables */
	const char *durable; /* how it makes a record durable before it returns; NULL: it does not */
	bool only_durable;   /* no use otherwise */
	bool one_thread;     /* record() by one thread only */
	uint64_t count_max;  /* calls as fast as can be: more would take long to come into the file; 0: any number */

	/* Begin in this directory, which is there and empty. With `is_durable`, record() returns when the call would survive a loss of
	 * power, and may be called by several threads. */
	void *(*open)(const char *directory, bool is_durable);
	void (*record)(void *state, uint64_t number);
	/* Return when all is in the file: handed to the kernel, so that it survives the death of the process. Synced or not. */
	void (*flush)(void *state);
	void (*close)(void *state);
	/* How many calls are in the directory's files, which a process left that was closed or killed. */
	uint64_t (*count)(const char *directory);
};

/* All that this build has, usagelog first; ends with NULL. */
extern const struct peer *const peers[];
/* And those that it lacks, by name; ends with NULL. */
extern const char *const peers_missing[];

extern const struct peer peer_usagelog, peer_usagelog_strings, peer_write, peer_write_allocated, peer_json_line,
	peer_rewrite, peer_write_behind, peer_sqlite, peer_lmdb, peer_rocksdb, peer_spdlog;

/* For peers that hand all to the kernel in record(). */
void peer_flush_nothing(void *state);
/* DIRECTORY/NAME, in memory of the caller's. */
enum { PEER_PATH_BYTES = 256 };
void peer_path(char path[PEER_PATH_BYTES], const char *directory, const char *name);
/* The file's lines that have an end; 0 if there is no file. */
uint64_t peer_count_lines(const char *directory, const char *name);

#ifdef __cplusplus
}
#endif

#endif
