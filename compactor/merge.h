/*
 * The segments of a log, each of one file or several: found, grouped by id, and read slot by slot as one
 * (FORMAT.md 3.6 and 4). What a slot means is for others (fold.h).
 */
#ifndef USAGELOG_MERGE_H
#define USAGELOG_MERGE_H

#include <stdbool.h>

#include "directory.h"
#include "findings.h"
#include "mapping.h"
#include "reader.h"
#include "runs.h"

/* A segment file as it was found. */
struct segment_file {
	const struct ul_segment_name *name;
	struct ul_id id;
	uint64_t size_bytes; /* that the header says */
	uint32_t generation;
	uint32_t first_slot,
		used_end;  /* entries; the end of those known durable, or of all there is room for if none is */
	bool original;     /* the header is this file's own */
	bool needs_rescue; /* its writer is dead, and a sync of this boot was under way or failed */
	bool is_ours;      /* it has a header, and the log's id */
	int error; /* why it was left out: -errno, USAGELOG_ERROR_SEGMENT or _NEWER; 0: it was not, or is foreign */
	enum ul_header_state page_states[2];
};

/* The files of one segment, the one that counts first in front. */
struct segment_group {
	struct ul_id id;
	struct segment_file *files;
	uint32_t file_count;
	bool excluded; /* for whoever uses it: it could not be read or synced in this run */
	int error;     /* why; 0: another reason */
};

struct segments {
	struct ul_segment_list list;
	struct segment_file *files; /* those that are ours first, by group; then the rest */
	size_t file_count;
	struct segment_group *groups; /* by id */
	size_t group_count;
};

/* Find them. Files that are left out become findings. 0 or -errno: the log's own directory cannot be read. */
int segments_scan(struct segments *segments, const struct ul_directory *directory, struct findings *findings);
void segments_clear(struct segments *segments);

/* Where a file is, for messages. */
const char *segment_directory_path(const struct ul_directory *directory, const struct ul_segment_name *name);

struct slot_counts {
	uint64_t damaged; /* checksum disagrees, or lost though it was durable */
	uint64_t holes;
	uint64_t unfinished;
	uint64_t unknown;
	uint64_t conflicts;
	uint32_t first_conflict;
};
void slot_counts_add(struct slot_counts *counts, const struct slot_counts *more);

/* Told of each slot that counts in slot_counts, but for conflicts; holes are UL_SLOT_EMPTY. */
typedef void (*group_bad_fn)(void *arg, uint32_t number, enum ul_slot_state state);

struct file_page;

/* A group opened for reading. */
struct group_reader {
	const struct segments *segments;
	const struct segment_group *group;
	struct ul_reader *readers;
	const struct segment_file **files; /* of each reader */
	struct mapping *mappings;          /* of each reader: the part that is being read */
	struct file_page **pages;          /* of each reader: the page at hand */
	struct runs *unsynced; /* of each reader: pages with slots that were visited and are not known durable; */
	uint64_t **named;      /* the same of slots that were asked for by number: a bit for each page */
	uint32_t reader_count;
	uint32_t first_slot, end_slot;
	struct ul_slot
		asked[UL_PAGE_SLOTS]; /* the page of the last slot that was asked for by number, as one file had it */
	uint32_t asked_first, asked_file; /* 0: none */
	int error; /* a slot that was asked for by number could not be read: what it would have said is not known */
	group_bad_fn bad; /* NULL: nobody is told */
	void *bad_arg;
};

/* 0; or -errno: no file of it can be read, or there is no memory. A file that is gone by now, or of another size, is left out. */
int group_open(struct group_reader *reader, const struct segments *segments, const struct segment_group *group,
	       struct findings *findings);
void group_close(struct group_reader *reader);

/* The slots of a page, merged. In each mask the lowest bit is the first slot's. */
struct slot_page {
	uint32_t first;              /* the number of its first slot */
	const struct ul_slot *slots; /* all 64, good until the visit returns */
	uint64_t valid;
	uint64_t plain;  /* a call that is priced, its latency known and in us; where `valid` says that it is one */
	uint64_t wanted; /* to be visited */
};

/* Slots from `first` to before `end`, both the first of a page or the group's. */
struct slot_range {
	uint32_t first, end;
};

typedef int (*group_page_fn)(void *arg, const struct slot_page *page);

/* Visit the pages of a range that hold valid slots which are in `runs` (`in_runs`) or are not, in order, counting such slots that are not
 * valid. 0, what `visit` returned, or -errno of a read. */
int group_visit_pages(struct group_reader *reader, struct slot_range range, const struct runs *runs, bool in_runs,
		      group_page_fn visit, void *arg, struct slot_counts *counts);

/* The slot before the i-th of the page, if it is valid too, else NULL. */
static inline const struct ul_slot *slot_page_before(const struct slot_page *page, uint32_t i)
{
	return i && page->valid >> (i - 1) & 1 ? &page->slots[i - 1] : NULL;
}

/* A valid slot. `before` is the slot before it in its page, if that is valid too, else NULL. Good until the visit returns. */
typedef int (*group_visit_fn)(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before);

/* The same, slot by slot, for the whole group. */
int group_visit(struct group_reader *reader, const struct runs *runs, bool in_runs, group_visit_fn visit, void *arg,
		struct slot_counts *counts);

/* One slot, merged. Is it valid? */
bool group_slot(struct group_reader *reader, uint32_t number, struct ul_slot *slot);

/* The text of a definition: its length, or USAGELOG_ERROR_SEGMENT if there is none that is valid. */
ssize_t group_text(struct group_reader *reader, uint32_t slot, enum ul_class text_class,
		   char out[UL_CONTEXT_BYTES_MAX]);

/* Sync the pages of all slots visited so far, or read by number, that are not known durable, and the directories that hold the files. 0 or -errno. */
int group_sync(struct group_reader *reader);

#endif
