/*
 * The checkpoints of several logs, kept side by side, and added up (FORMAT.md 12). The unit is a log: of two checkpoints of one log the one that
 * contains the other stands for it, so that adding is commutative, associative and idempotent, and nothing is counted twice. It must not
 * know what the totals are of.
 */
#ifndef USAGELOG_MERGED_H
#define USAGELOG_MERGED_H

#include "checkpoint.h"
#include "directory.h"

struct merged_part {
	struct ul_id log_id;
	char *time_zone;
	void *bytes; /* a valid checkpoint of that log */
	size_t size_bytes;
	uint64_t generation;
	uint64_t calls; /* folded */
	char *from;     /* where it was read, for messages */
};

struct merged {
	struct merged_part *parts; /* by log id */
	size_t count;
};

void merged_clear(struct merged *merged);

/* Add a log's directory or a merged file. 0; -ENOENT or another -errno; USAGELOG_ERROR_NEWER; USAGELOG_ERROR_CONTRADICTION: another checkpoint of
 * the same log is there, and neither contains the other. `why` says what and where; `merged` is as it was, or holds some parts of the
 * file. */
int merged_add(struct merged *merged, const char *path, struct ul_message *why);

/* The merged file. malloc'd; NULL: no memory. The same bytes whatever the order of merged_add() was. */
void *merged_encode(const struct merged *merged, size_t *size_bytes);

/* All totals added up, and the last calls of all; segments and files are each log's own affair and stay out. The logs must cut their days in one
 * time zone. 0, -ENOMEM, -EOVERFLOW or USAGELOG_ERROR_CONTRADICTION and `why`. */
int merged_sum(const struct merged *merged, struct checkpoint *whole, struct names *names, struct ul_message *why);

#endif
