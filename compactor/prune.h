/*
 * Retention: segments whose calls are all folded, and older than the log's settings ask for, are deleted (FORMAT.md 8, pruning). Before that
 * the checkpoint and the files that it names are copied as the base: what was deleted can then be had from there alone. It must not know how
 * calls are folded.
 */
#ifndef USAGELOG_PRUNE_H
#define USAGELOG_PRUNE_H

#include "checkpoint.h"
#include "merge.h"
#include "store.h"

struct pruned_file {
	const struct segment_file *file;
	int fd; /* holds the lock, so that no writer adopts it */
};

struct prune {
	const struct ul_directory *directory;
	const struct segments *segments;
	struct findings *findings;
	struct pruned_file *files; /* that are to go */
	size_t file_count;
	uint64_t segments_chosen;
	uint64_t bytes_freed;
	bool marks_are_new; /* some were not marked as pruned before: the checkpoint must be committed before they go */
};

/* Choose the segments that may go as of `now_ns`, lock their files, and mark them in the checkpoint, which holds what is committed. 0 or
 * -ENOMEM. In any case prune_clear() lets go of them. */
int prune_choose(struct prune *prune, struct checkpoint *checkpoint, int64_t now_ns);
void prune_clear(struct prune *prune);

/* Make this checkpoint, in memory and as a file, the base, durably; the files that it names must be committed. 0 or -errno, and then the old
 * base, if there is one, stands. */
int prune_keep_base(const struct prune *prune, const struct checkpoint *checkpoint, const struct names *names,
		    const void *bytes, size_t size_bytes);

/* Delete the files that were chosen. */
void prune_delete(struct prune *prune);

/* A file that a checkpoint names, and that the base has a copy of. */
struct base_file {
	char name[STORE_NAME_BYTES];
	enum ul_container_kind kind;
	uint64_t size_bytes;
	uint64_t checksum;
};

struct base_file base_file_of_day(const struct ul_day *day);
/* False: its name is none of its kind. */
bool base_file_of(struct base_file *named, const struct ul_named_file *file, const struct names *names);

/* Is the base there, with a file of the right size for each that it names? 1, 0 or a negative code. */
int base_is_whole(const struct ul_directory *directory, struct names *names);

/* Is the base's copy sound, and the one that is meant? 0, -ENOENT, -EIO, USAGELOG_ERROR_NEWER or -errno. */
int base_check(const struct ul_directory *directory, const struct base_file *named);

/* The file that a checkpoint names at `index`, first the days', then the others; `index` below base_file_count(). False: its name is none of
 * its kind. */
bool base_file_get(struct base_file *named, const struct checkpoint *checkpoint, const struct names *names,
		   size_t index);
size_t base_file_count(const struct checkpoint *checkpoint);

/* Put the base's copy of a lost file back where it was; what is there is set aside. 0, -ENOENT: there is no copy; -EIO: it is damaged or that
 * of another generation; or -errno. */
int base_put_back(const struct ul_directory *directory, const struct base_file *named);

/* Put back each file that the base names and that is not there or not sound. 0 or as base_put_back(); `name` says which. */
int base_restore(const struct ul_directory *directory, const struct checkpoint *base, const struct names *names,
		 char name[STORE_NAME_BYTES]);

#endif
