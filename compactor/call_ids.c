/* The ids of the calls that a log has. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "call_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "merge.h"
#include "os.h"
#include "recovery.h"

int call_ids_lock(const struct ul_directory *directory)
{
	int fd = os_open(directory->fd, "import.lock", O_RDWR | O_CREAT);
	if (fd < 0)
		return fd;
	int error = os_lock(fd);
	if (!error)
		return fd;
	os_close(fd);
	return error;
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

/* Open addressing; a free entry ends a search. */
struct entry {
	uint8_t id[16];
	int32_t standing; /* calls less reversals: above 0 if the log has the call */
	bool used;
};

struct call_ids {
	struct entry *entries;
	size_t mask, count;
};

enum { ENTRIES_MIN = 1024 };

static struct entry *find(const struct call_ids *ids, const uint8_t id[16])
{
	/* Hashed again: ids of a file from outside could be chosen to meet in one place, were their own bits taken. */
	size_t at = (size_t)XXH3_64bits(id, 16) & ids->mask;
	while (ids->entries[at].used && memcmp(ids->entries[at].id, id, 16) != 0)
		at = (at + 1) & ids->mask;
	return &ids->entries[at];
}

static int grow(struct call_ids *ids)
{
	struct call_ids larger = {.mask = 2 * ids->mask + 1, .count = ids->count};
	larger.entries = os_allocate(larger.mask + 1, sizeof(*larger.entries));
	if (!larger.entries)
		return -ENOMEM;
	for (size_t i = 0; i <= ids->mask; i++)
		if (ids->entries[i].used)
			*find(&larger, ids->entries[i].id) = ids->entries[i];
	free(ids->entries);
	*ids = larger;
	return 0;
}

static int change(struct call_ids *ids, const uint8_t id[16], int32_t by)
{
	/* At most two thirds full. */
	if (3 * ids->count > 2 * ids->mask) {
		int error = grow(ids);
		if (error)
			return error;
	}
	struct entry *entry = find(ids, id);
	if (!entry->used) {
		memcpy(entry->id, id, 16);
		entry->used = true;
		ids->count++;
	}
	entry->standing += by;
	return 0;
}

bool call_ids_has(const struct call_ids *ids, const uint8_t id[16])
{
	const struct entry *entry = find(ids, id);
	return entry->used && entry->standing > 0;
}

int call_ids_add(struct call_ids *ids, const uint8_t id[16])
{
	return change(ids, id, 1);
}

void call_ids_close(struct call_ids *ids)
{
	if (!ids)
		return;
	free(ids->entries);
	free(ids);
}

/* ---- from the log -------------------------------------------------------------------------------------------- */

static int visit(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	(void)number;
	enum ul_kind kind = ul_slot_kind(slot);
	if (!before || ul_slot_kind(before) != UL_KIND_CALL_ID || (kind != UL_KIND_CALL && kind != UL_KIND_REVERSAL))
		return 0;
	return change(arg, before->body.call_id.bytes, kind == UL_KIND_CALL ? 1 : -1);
}

static int read_group(struct call_ids *ids, const struct segments *segments, const struct segment_group *group,
		      const struct runs *folded, struct findings *findings)
{
	struct slot_counts counts = {0};
	struct group_reader reader;
	int error = group_open(&reader, segments, group, findings);
	if (error)
		return error;
	error = group_visit(&reader, folded, false, visit, ids, &counts);
	group_close(&reader);
	return error;
}

/* Take over the id set of a checkpoint. False: it names none that is sound. */
static bool read_set(struct call_ids *ids, const struct ul_directory *directory, const struct checkpoint *checkpoint,
		     const struct names *names, int *error)
{
	const struct ul_named_file *named = NULL;
	struct stored_file file;
	char name[STORE_NAME_BYTES];
	for (size_t i = 0; i < checkpoint->file_count; i++)
		if (checkpoint->files[i].kind == UL_FILE_IDS)
			named = &checkpoint->files[i];
	if (!named)
		return false;
	struct ul_text text = names_text(names, named->name);
	if (text.bytes >= sizeof(name))
		return false;
	memcpy(name, text.text, text.bytes);
	name[text.bytes] = '\0';
	store_read(directory->fd, name, UL_CONTAINER_IDS, &directory->conf.log_id, &file);
	bool sound = file.state == FILE_SOUND && file.container.header->checksum == named->checksum;
	uint64_t count = 0;
	const struct ul_id_record *records =
		sound ? ul_container_records(&file.container, UL_SECTION_IDS, &count) : NULL;
	for (uint64_t i = 0; i < count && !*error; i++)
		*error = change(ids, records[i].id.bytes, records[i].standing > 0);
	stored_file_clear(&file);
	return sound;
}

/* All slots that the checkpoint does not hold (`checkpoint` NULL: all there are). */
static int read_segments(struct call_ids *ids, const struct ul_directory *directory,
			 const struct checkpoint *checkpoint, struct findings *findings)
{
	static const struct runs none;
	struct segments segments;
	int error = segments_scan(&segments, directory, findings);
	if (error)
		return error;
	for (size_t i = 0; i < segments.group_count && !error; i++) {
		const struct segment_group *group = &segments.groups[i];
		const struct segment_state *state = checkpoint ? checkpoint_find_segment(checkpoint, &group->id) : NULL;
		error = read_group(ids, &segments, group, state ? &state->runs : &none, findings);
	}
	segments_clear(&segments);
	return error;
}

/* The ids are those of the checkpoint's set, and of what came since. Without a set, the segments have them all. */
static int read_log(struct call_ids *ids, const struct ul_directory *directory, struct findings *findings,
		    struct ul_message *why)
{
	struct recovery_state state;
	struct names names;
	int error = names_init(&names);
	if (error)
		return error;
	error = recovery_load(&state, &names, directory, findings, why);
	if (!error) {
		bool set = read_set(ids, directory, &state.checkpoint, &names, &error);
		if (!error)
			error = read_segments(ids, directory, set ? &state.checkpoint : NULL, findings);
		checkpoint_clear(&state.checkpoint);
	}
	names_clear(&names);
	return error;
}

/* What cannot be read does not stop an import for good, but it must be known: calls in there would be added once
 * more. */
static void tell(const struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		if (findings->items[i].kind == FINDING_LEFT_OUT)
			complain("warning: %s; calls in it that are imported again are added again",
				 findings->items[i].text);
}

int call_ids_read(struct call_ids **ids, const struct ul_directory *directory, struct ul_message *why)
{
	struct findings findings = {0};
	why->text[0] = '\0';
	struct call_ids *found = os_allocate(1, sizeof(*found));
	int error = found ? 0 : -ENOMEM;
	if (!error) {
		found->mask = ENTRIES_MIN - 1;
		found->entries = os_allocate(ENTRIES_MIN, sizeof(*found->entries));
		error = found->entries ? read_log(found, directory, &findings, why) : -ENOMEM;
	}
	if (error) {
		if (!why->text[0])
			ul_message_set(why, "%s: the calls that are there cannot be read: %s; nothing was added",
				       directory->path, usagelog_strerror(error));
		call_ids_close(found);
	} else {
		tell(&findings);
		*ids = found;
	}
	findings_clear(&findings);
	return error;
}
