/*
 * A log's directory: its settings, and which segment files it and its fallbacks hold. Used by the writer and by every reader.
 * Only what names say; what is inside a segment is the reader's (reader.h).
 */
#ifndef USAGELOG_DIRECTORY_H
#define USAGELOG_DIRECTORY_H

#include <stdbool.h>

#include "conf.h"
#include "format.h"
#include "usagelog.h"

/* A sentence for people: what, where, why, and what to do. */
struct ul_message {
	char text[1024];
};
void ul_message_set(struct ul_message *message, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct ul_directory {
	char *path;
	int fd;
	struct ul_conf conf;
};

/* Open a log that is there, to read. `path` NULL: the default. On error `why` says so. USAGELOG_ERROR_NO_LOG,
 * _CONF_DAMAGED, _NEWER, or -errno. */
int ul_directory_open(struct ul_directory *directory, const char *path, struct ul_message *why);
/* The directory itself was deleted: go on in what its path leads to now, if that is the same log. The descriptor keeps its number. */
int ul_directory_open_again(const struct ul_directory *directory);

/* Open a log to write to: make it if it is not there (unless told not to), and hold the options against its settings. Refuses
 * network filesystems; a directory that others may write to is a warning, left in `why` with result 0. */
int ul_directory_open_or_make(struct ul_directory *directory, const char *path, const struct usagelog_options *options,
			      struct ul_message *why);

/* Replace log.conf by these settings, durably. */
int ul_directory_write_conf(struct ul_directory *directory, const struct ul_conf *conf);

void ul_directory_close(struct ul_directory *directory);

/* Is this the name of a time zone that this host knows? */
bool ul_time_zone_is_known(const char *name);

enum { UL_DIRECTORIES_MAX = 1 + UL_CONF_FALLBACKS_MAX };

/* A file that a segment may be in. */
struct ul_segment_name {
	uint32_t directory; /* 0: the log's own; n: its n-th fallback */
	char name[256];
};

/* The segment files of a log, in all its directories, by directory and name. A fallback that is not there (yet) has fd -ENOENT; one that
 * cannot be read, another -errno. */
struct ul_segment_list {
	int fds[UL_DIRECTORIES_MAX];
	size_t directory_count;
	struct ul_segment_name *names;
	size_t count;
	size_t capacity;
};
int ul_segment_list_read(struct ul_segment_list *list, const struct ul_directory *directory);
void ul_segment_list_clear(struct ul_segment_list *list);

/* Does a file's name end in ".seg"? */
bool ul_is_segment_name(const char *name);

#endif
