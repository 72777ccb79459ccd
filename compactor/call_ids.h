/*
 * The ids of the calls that a log has: what makes an import that is repeated add each call once. In memory, 24 bytes
 * a slot of the table. Who looks ids up and adds calls by the answer holds the log's import lock meanwhile.
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

bool call_ids_has(const struct call_ids *ids, const uint8_t id[16]);
/* 0 or -ENOMEM. */
int call_ids_add(struct call_ids *ids, const uint8_t id[16]);

#endif
