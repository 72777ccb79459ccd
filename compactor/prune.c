/* Retention. */
#include "prune.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

/* ---- which may go ---------------------------------------------------------------------------------------------- */

/* What speaks against deleting a segment. */
struct doubts {
	struct runs_cursor folded;
	int64_t limit_ns;
	bool young;    /* holds a call that is not old enough */
	bool unfolded; /* holds a slot that is not folded */
};

static int doubt(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	struct doubts *doubts = arg;
	enum ul_kind kind = ul_slot_kind(slot);
	(void)before;
	if (kind == UL_KIND_CALL || kind == UL_KIND_REVERSAL)
		doubts->young |= slot->body.call.time_ns >= doubts->limit_ns;
	if (kind == UL_KIND_BALANCE)
		doubts->young |= slot->body.balance.time_ns >= doubts->limit_ns;
	doubts->unfolded |= !runs_cursor_has(&doubts->folded, number);
	return doubts->young || doubts->unfolded;
}

/* Cheap, so that each run can ask it of all segments: a file that was written to lately holds what is younger still, or was just put there. */
static bool has_changed_since(const struct prune *prune, const struct segment_group *group, int64_t limit_ns)
{
	for (uint32_t i = 0; i < group->file_count; i++) {
		const struct ul_segment_name *name = group->files[i].name;
		struct stat found;
		if (os_stat_at(prune->segments->list.fds[name->directory], name->name, &found) ||
		    (int64_t)found.st_mtim.tv_sec >= limit_ns / 1000000000)
			return true;
	}
	return false;
}

/* Read all of a group: may it go? 1, 0 or -errno. */
static int may_go(const struct prune *prune, const struct segment_group *group, const struct segment_state *state,
		  int64_t limit_ns)
{
	static const struct runs none;
	struct group_reader reader;
	struct slot_counts counts = {0};
	struct doubts doubts = {.folded.runs = &state->runs, .limit_ns = limit_ns};
	int error = group_open(&reader, prune->segments, group, prune->findings);
	if (error)
		return error;
	error = group_visit(&reader, &none, false, doubt, &doubts, &counts);
	bool all = reader.reader_count == group->file_count;
	group_close(&reader);
	if (error)
		return error < 0 ? error : 0;
	if (counts.damaged || counts.unknown || counts.conflicts)
		findings_add(prune->findings, FINDING_NOTE,
			     "%s: is older than retention_days, and kept: not all that it holds could be folded",
			     group->files[0].name->name);
	return all && !counts.damaged && !counts.unknown && !counts.conflicts;
}

/* Lock a file that the name still leads to. 0; -EAGAIN: it has a writer; or -errno. */
static int lock_file(struct prune *prune, const struct segment_file *file)
{
	int directory = prune->segments->list.fds[file->name->directory];
	struct stat there, ours;
	int fd = os_open(directory, file->name->name, O_RDWR);
	if (fd < 0)
		return fd;
	int error = os_lock(fd);
	if (!error)
		error = os_stat(fd, &ours);
	if (!error)
		error = os_stat_at(directory, file->name->name, &there);
	if (!error && (there.st_dev != ours.st_dev || there.st_ino != ours.st_ino))
		error = -EAGAIN;
	if (error) {
		os_close(fd);
		return error;
	}
	prune->files[prune->file_count++] = (struct pruned_file){file, fd};
	prune->bytes_freed += (uint64_t)ours.st_blocks * 512;
	return 0;
}

static void unlock_from(struct prune *prune, size_t first)
{
	while (prune->file_count > first)
		os_close(prune->files[--prune->file_count].fd);
}

/* Choose a group if it may go: locked before it is read, so that what was read is what is deleted. 0 or -ENOMEM. */
static int consider(struct prune *prune, const struct segment_group *group, struct segment_state *state,
		    int64_t limit_ns)
{
	size_t first = prune->file_count;
	uint64_t bytes_freed = prune->bytes_freed;
	int result = 1;
	for (uint32_t i = 0; i < group->file_count && result > 0; i++)
		if (lock_file(prune, &group->files[i]))
			result = 0;
	if (result > 0)
		result = may_go(prune, group, state, limit_ns);
	if (result > 0) {
		prune->marks_are_new |= !(state->record.state & UL_SEGMENT_PRUNED);
		state->record.state |= UL_SEGMENT_PRUNED;
		prune->segments_chosen++;
		return 0;
	}
	unlock_from(prune, first);
	prune->bytes_freed = bytes_freed;
	return result == -ENOMEM ? result : 0;
}

int prune_choose(struct prune *prune, struct checkpoint *checkpoint, int64_t now_ns)
{
	int64_t newest_ns = checkpoint->newest_ns < now_ns ? checkpoint->newest_ns : now_ns, limit_ns;
	int64_t days_ns = (int64_t)prune->directory->conf.retention_days * 86400;
	prune->files = os_allocate(prune->segments->file_count + 1, sizeof(*prune->files));
	if (!prune->files)
		return -ENOMEM;
	if (__builtin_mul_overflow(days_ns, (int64_t)1000000000, &days_ns) ||
	    __builtin_sub_overflow(newest_ns, days_ns, &limit_ns))
		return 0; /* older than time itself */
	for (size_t i = 0; i < prune->segments->group_count; i++) {
		const struct segment_group *group = &prune->segments->groups[i];
		struct segment_state *state = checkpoint_find_segment(checkpoint, &group->id);
		if (!state || group->excluded || has_changed_since(prune, group, limit_ns))
			continue;
		int error = consider(prune, group, state, limit_ns);
		if (error)
			return error;
	}
	return 0;
}

void prune_clear(struct prune *prune)
{
	unlock_from(prune, 0);
	free(prune->files);
	prune->files = NULL;
}

/* Not synced: what comes back after a power loss is marked as deleted, and the next run deletes it again. */
void prune_delete(struct prune *prune)
{
	for (size_t i = 0; i < prune->file_count; i++) {
		const struct ul_segment_name *name = prune->files[i].file->name;
		int error = os_unlink(prune->segments->list.fds[name->directory], name->name);
		if (error && error != -ENOENT)
			findings_add(
				prune->findings, FINDING_RESIDUE,
				"%s/%s: is older than retention_days and cannot be deleted: %s; the next run tries "
				"again",
				segment_directory_path(prune->directory, name), name->name, usagelog_strerror(error));
	}
}

/* ---- the base ---------------------------------------------------------------------------------------------------- */

struct base_file base_file_of_day(const struct ul_day *day)
{
	struct base_file named = {.kind = UL_CONTAINER_FACTS, .size_bytes = day->size_bytes, .checksum = day->checksum};
	store_fact_name(named.name, day->day, day->generation);
	return named;
}

bool base_file_of(struct base_file *named, const struct ul_named_file *file, const struct names *names)
{
	struct ul_text text = names_text(names, file->name);
	uint64_t generation;
	*named = (struct base_file){.kind = file->kind == UL_FILE_IDS ? UL_CONTAINER_IDS : UL_CONTAINER_PRICES,
				    .size_bytes = file->size_bytes,
				    .checksum = file->checksum};
	if (text.bytes >= STORE_NAME_BYTES)
		return false;
	memcpy(named->name, text.text, text.bytes);
	return file->kind == UL_FILE_IDS ? store_parse_ids_name(named->name, &generation)
					 : store_parse_prices_name(named->name, &generation);
}

size_t base_file_count(const struct checkpoint *checkpoint)
{
	return checkpoint->day_count + checkpoint->file_count;
}

bool base_file_get(struct base_file *named, const struct checkpoint *checkpoint, const struct names *names,
		   size_t index)
{
	assert(index < base_file_count(checkpoint));
	if (index >= checkpoint->day_count)
		return base_file_of(named, &checkpoint->files[index - checkpoint->day_count], names);
	*named = base_file_of_day(&checkpoint->days[index]);
	return true;
}

/* Read a file that must be the one that is meant: 0, -ENOENT, -EIO if it is damaged or another one, or -errno. The caller clears it. */
static int read_named(const struct ul_directory *directory, const struct base_file *named, const char *name,
		      struct stored_file *file)
{
	store_read_named(directory->fd, name, named->kind, &directory->conf.log_id, named->checksum, file);
	if (file->state == FILE_SOUND)
		return 0;
	if (file->state == FILE_NEWER)
		return USAGELOG_ERROR_NEWER;
	return file->error ? file->error : file->state == FILE_MISSING ? -ENOENT : -EIO;
}

static int copy_to_base(const struct ul_directory *directory, const struct base_file *named, const char *base)
{
	struct stored_file file;
	int error = read_named(directory, named, named->name, &file);
	if (!error)
		error = store_write(directory->fd, base, file.bytes, file.size_bytes);
	stored_file_clear(&file);
	return error;
}

/* Files do not change once they are written: one that has its size is not copied again. */
static bool is_there(const struct ul_directory *directory, const char *name, uint64_t size_bytes)
{
	struct stat found;
	return !os_stat_at(directory->fd, name, &found) && S_ISREG(found.st_mode) &&
	       (uint64_t)found.st_size == size_bytes;
}

int prune_keep_base(const struct prune *prune, const struct checkpoint *checkpoint, const struct names *names,
		    const void *bytes, size_t size_bytes)
{
	const struct ul_directory *directory = prune->directory;
	int error = 0;
	for (size_t i = 0; i < base_file_count(checkpoint) && !error; i++) {
		struct base_file named;
		char base[STORE_NAME_BYTES];
		if (!base_file_get(&named, checkpoint, names, i))
			continue;
		store_base_name(base, named.name);
		if (!is_there(directory, base, named.size_bytes))
			error = copy_to_base(directory, &named, base);
		if (error)
			findings_add(prune->findings, FINDING_DAMAGE, "%s/%s: cannot be copied as part of the base: %s",
				     directory->path, named.name, usagelog_strerror(error));
	}
	if (!error)
		error = os_sync(directory->fd);
	if (!error)
		error = store_write(directory->fd, "checkpoint.base", bytes, size_bytes);
	return error;
}

int base_is_whole(const struct ul_directory *directory, struct names *names)
{
	struct stored_file file;
	struct checkpoint base = {0};
	store_read(directory->fd, "checkpoint.base", UL_CONTAINER_CHECKPOINT, &directory->conf.log_id, &file);
	int error = file.state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file.error;
	bool whole = file.state == FILE_SOUND;
	if (whole)
		error = checkpoint_load(&base, names, &file.container);
	for (size_t i = 0; i < base_file_count(&base) && whole; i++) {
		struct base_file named;
		char name[STORE_NAME_BYTES];
		if (!base_file_get(&named, &base, names, i))
			continue;
		store_base_name(name, named.name);
		whole = is_there(directory, name, named.size_bytes);
	}
	checkpoint_clear(&base);
	stored_file_clear(&file);
	return error ? error : whole;
}

int base_check(const struct ul_directory *directory, const struct base_file *named)
{
	char base[STORE_NAME_BYTES];
	struct stored_file file;
	store_base_name(base, named->name);
	int error = read_named(directory, named, base, &file);
	stored_file_clear(&file);
	return error;
}

int base_put_back(const struct ul_directory *directory, const struct base_file *named)
{
	char base[STORE_NAME_BYTES], renamed[2 * STORE_NAME_BYTES];
	struct stored_file file;
	store_base_name(base, named->name);
	int error = read_named(directory, named, base, &file);
	if (!error) {
		error = store_set_aside(directory->fd, named->name, renamed);
		if (!error || error == -ENOENT)
			error = store_write(directory->fd, named->name, file.bytes, file.size_bytes);
	}
	stored_file_clear(&file);
	return error;
}

int base_restore(const struct ul_directory *directory, const struct checkpoint *base, const struct names *names,
		 char name[STORE_NAME_BYTES])
{
	for (size_t i = 0; i < base_file_count(base); i++) {
		struct base_file named;
		struct stored_file file;
		if (!base_file_get(&named, base, names, i))
			continue;
		int error = read_named(directory, &named, named.name, &file);
		stored_file_clear(&file);
		if (error)
			error = base_put_back(directory, &named);
		if (error) {
			store_base_name(name, named.name);
			return error;
		}
	}
	return 0;
}
