/*
 * The ids of the calls that a log has: what makes an import that is repeated add each call once. In memory, 48 bytes
 * a call, and as many again before it grows. Who looks ids up and adds calls by the answer holds the log's import lock meanwhile.
 */
#ifndef USAGELOG_CALL_IDS_H
#define USAGELOG_CALL_IDS_H

#include <stdbool.h>

#include "directory.h"

/* Take the lock `import.lock`: a descriptor to close, -EAGAIN if somebody else adds calls now, -errno. */
int call_ids_lock(const struct ul_directory *directory);

struct call_ids;

/* Read the ids of all calls that the log's files hold, less those taken back. 0 or -errno, with `why` set. Files that
 * cannot be read, other than for lack of memory, are an error too: a call in them would be added twice. */
int call_ids_read(struct call_ids **ids, const struct ul_directory *directory, struct ul_message *why);
void call_ids_close(struct call_ids *ids);

/* The id will be looked up soon: have its place brought near meanwhile. */
void call_ids_prefetch(const struct call_ids *ids, const uint8_t id[16]);

/* A file begins; and was this id in the file before, or added since it began? From now on it was. */
void call_ids_next_file(struct call_ids *ids);
bool call_ids_meet(struct call_ids *ids, const uint8_t id[16]);

enum call_ids_found { CALL_IDS_NONE, CALL_IDS_SAME, CALL_IDS_OTHER };

/* Does the log have the call, and is it the same? `content` is as in ids.h; 0: unknown, the same as any. */
enum call_ids_found call_ids_find(const struct call_ids *ids, const uint8_t id[16], uint64_t content);
/* 0 or -ENOMEM. */
int call_ids_add(struct call_ids *ids, const uint8_t id[16], uint64_t content);

#endif
