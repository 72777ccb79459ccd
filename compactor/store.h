/*
 * The compactor's files in a log's directory: read whole and checked, written under a temporary name, synced and renamed, set
 * aside when they are corrupt. The order in which things become durable is here; what they mean is not.
 */
#ifndef USAGELOG_STORE_H
#define USAGELOG_STORE_H

#include <stdbool.h>
#include <sys/types.h>

#include "container.h"

enum file_state {
	FILE_MISSING,
	FILE_SOUND,
	FILE_DAMAGED,    /* also: not a regular file, or larger than any can be */
	FILE_NEWER,      /* a newer program's */
	FILE_UNREADABLE, /* the system says why in `error` */
	FILE_STATES,
};

#define STORE_FILE_BYTES_MAX ((uint64_t)1 << 32)
enum { STORE_NAME_BYTES = 64 };

/* A file in memory. */
struct stored_file {
	enum file_state state;
	int error;
	void *bytes;
	size_t size_bytes;
	struct ul_container container; /* if sound */
};

/* Read a container and check it, log id included. */
void store_read(int directory, const char *name, enum ul_container_kind kind, const struct ul_id *log_id,
		struct stored_file *file);
/* The same of a file that a checkpoint names: another one than that of this checksum is damaged. */
void store_read_named(int directory, const char *name, enum ul_container_kind kind, const struct ul_id *log_id,
		      uint64_t checksum, struct stored_file *file);
void stored_file_clear(struct stored_file *file);

/* Read the fact file of a day that a checkpoint names. */
void store_read_day(int directory, const struct ul_day *day, const struct ul_id *log_id, struct stored_file *file);

/* Read any regular file whole, one zero byte after it. FILE_SOUND: it was read. */
void store_read_bytes(int directory, const char *name, struct stored_file *file);

/* Take the compactor's lock: a descriptor to close, -EAGAIN if another one has it, or -errno. */
int store_lock(int directory);

/* Write `<name>.new`, sync it, rename it to `name`. The directory is not synced. 0 or -errno, and then `name` is as it was. */
int store_write(int directory, const char *name, const void *bytes, size_t size_bytes);

/* Replace the checkpoint, keeping the one that is there as the previous one, all durable (FORMAT.md 8, commit). */
int store_commit(int directory, const void *bytes, size_t size_bytes);

/* Rename a file to `<name>.corrupted.<time>`, and say what it is called now. */
int store_set_aside(int directory, const char *name, char renamed[2 * STORE_NAME_BYTES]);

/* <day>.<generation>.facts, <generation>.ids and <generation>.prices. */
void store_fact_name(char out[STORE_NAME_BYTES], int32_t day, uint64_t generation);
bool store_parse_fact_name(const char *name, int32_t *day, uint64_t *generation);
void store_ids_name(char out[STORE_NAME_BYTES], uint64_t generation);
bool store_parse_ids_name(const char *name, uint64_t *generation);
void store_prices_name(char out[STORE_NAME_BYTES], uint64_t generation);
bool store_parse_prices_name(const char *name, uint64_t *generation);

/* The copy of such a file in the base (FORMAT.md 8, pruning): its name with ".base" after it. */
void store_base_name(char out[STORE_NAME_BYTES], const char *name);
/* The name of the file that this is the base's copy of; false: it is none. */
bool store_parse_base_name(const char *name, char original[STORE_NAME_BYTES]);

/* Is it the name of a file that a compactor was in the midst of writing? */
bool store_is_draft_name(const char *name);
/* Is this the name of a file that the log itself is made of, and that nothing else may be written to? */
bool store_is_reserved_name(const char *name);

/* Call `visit` for each name in the directory, in any order, until it returns other than 0. 0, that, or -errno. */
int store_list(int directory, int (*visit)(void *arg, const char *name), void *arg);

#endif
