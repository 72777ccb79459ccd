/*
 * Opening the log for a subcommand: to read, or to record; with the process's zone set to the log's, and errors told.
 */
#ifndef USAGELOG_LOG_OPEN_H
#define USAGELOG_LOG_OPEN_H

#include "directory.h"
#include "usagelog.h"

/* Open a log that is there, to read. 0, or an exit status after a message. `path` NULL: the default directory. */
int log_open_to_read(struct ul_directory *directory, const char *path);

/* Open a log to record to, made if it is not there; `flags` are of enum usagelog_option_flags. Likewise; both are
 * closed by the caller. */
int log_open_to_record(struct ul_directory *directory, usagelog **log, const char *path, uint32_t flags);

#endif
