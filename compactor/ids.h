/*
 * The set of call ids (FORMAT.md 9): which imported calls the checkpoint holds. Changes are gathered while folding, in any
 * order, and applied at once.
 */
#ifndef USAGELOG_IDS_H
#define USAGELOG_IDS_H

#include "container.h"

/* A call with an id was folded (sign 1), or one was taken back (-1). */
struct id_change {
	struct ul_id id;
	uint64_t content;
	int64_t sign;
};

/* What a call is, to see that it changed since: FORMAT.md 9, content. `context` is "{}" if it has none. All are
 * within the bounds of names and contexts. */
uint64_t id_content(struct ul_text provider, struct ul_text model, struct ul_text context, const struct ul_slot *slot);

/* The set after the changes, in order of the id; malloc'd, NULL if there is no memory. Sorts the changes. */
struct ul_id_record *ids_apply(const struct ul_id_record *records, size_t record_count, struct id_change *changes,
			       size_t change_count, size_t *count);

/* The file. malloc'd; NULL: no memory. */
void *ids_encode(const struct ul_id_record *records, size_t count, const struct ul_id *log_id, uint64_t generation,
		 size_t *size_bytes);

#endif
