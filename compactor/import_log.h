/* The log that calls are imported to: its lock, the ids that it has, and one call after the other, each once. */
#ifndef USAGELOG_IMPORT_LOG_H
#define USAGELOG_IMPORT_LOG_H

#include "call_ids.h"
#include "draft.h"
#include "usagelog.h"

struct import_log {
	struct ul_directory directory;
	usagelog *log;
	struct call_ids *ids; /* NULL: calls are recorded whether or not they are there, without ids */
	int lock;
	uint64_t added, there, changed; /* `changed`: there, with other content */
};

/* Open, lock, and read the ids. 0, or an exit status after a message. */
int import_log_open(struct import_log *log, const char *path, bool again);
/* `status` is what was reached so far; returned, or another one after a message. */
int import_log_close(struct import_log *log, int status);

/* Record the draft's call if the log does not have it; its call_id is set. `any`: whatever content there is under the id is this call. 0 or
 * a negative error, after which the log can take no more. */
int import_log_add(struct import_log *log, struct draft *draft, bool any);
/* Does the log have an id? */
bool import_log_has(const struct import_log *log, const uint8_t id[16]);
/* Totals of calls that are nowhere else (FORMAT.md 3.4), once for an id. Likewise. */
int import_log_balance(struct import_log *log, const uint8_t id[16], const char *provider, const char *model,
		       const struct ul_balance_body *balance);

#endif
