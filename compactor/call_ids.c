/* The ids of the calls that a log has. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "call_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "ids.h"
#include "merge.h"
#include "os.h"
#include "recovery.h"
#include "table.h"

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

/* In the order in which they came, so that the memory grows at its end and is never copied. */
struct entry {
	uint8_t id[16];
	uint64_t content; /* of the call that stands; 0: unknown */
	int32_t standing; /* calls less reversals: above 0 if the log has the call */
	uint32_t file;    /* the last file that it was met in; 0: none */
};

/* Open addressing; a free bucket ends a search. */
struct bucket {
	uint32_t hash; /* the upper half; its upper bits are the bucket's place: in a larger table they stay in order */
	uint32_t number; /* of the entry, from 1; 0: free */
};

struct call_ids {
	struct entry *entries;
	size_t count, room;
	struct bucket *buckets;
	uint32_t mask;
	uint32_t file;  /* being read, from 1 */
	unsigned shift; /* of a bucket's hash, to its place */
};

enum { BUCKET_BITS_MIN = 10 };

/* Hashed again: ids of a file from outside could be chosen to meet in one place, were their own bits taken. */
static uint32_t hash_of(const uint8_t id[16])
{
	return (uint32_t)(XXH3_64bits(id, 16) >> 32);
}

/* The id's bucket, or the free one where it would be. */
static struct bucket *find(const struct call_ids *ids, const uint8_t id[16], uint32_t hash)
{
	for (uint32_t at = hash >> ids->shift;; at = (at + 1) & ids->mask) {
		struct bucket *bucket = &ids->buckets[at];
		if (!bucket->number || (bucket->hash == hash &&
					!memcmp(ids->entries[bucket->number - 1].id, id, sizeof(ids->entries->id))))
			return bucket;
	}
}

/* Room for twice as many, in buckets that are at most half full. */
static int grow(struct call_ids *ids)
{
	unsigned bits = ids->buckets ? 32 - ids->shift + 1 : BUCKET_BITS_MIN;
	size_t bucket_count = (size_t)1 << bits;
	/* What the hash can tell apart. */
	if (bits > 31)
		return -ENOMEM;
	struct entry *entries = os_reallocate(ids->entries, bucket_count / 2, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	ids->entries = entries;
	struct bucket *buckets = os_allocate(bucket_count, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	uint32_t mask = (uint32_t)bucket_count - 1;
	for (size_t i = 0; ids->buckets && i <= ids->mask; i++) {
		if (!ids->buckets[i].number)
			continue;
		uint32_t at = ids->buckets[i].hash >> (32 - bits);
		while (buckets[at].number)
			at = (at + 1) & mask;
		buckets[at] = ids->buckets[i];
	}
	free(ids->buckets);
	ids->buckets = buckets;
	ids->mask = mask;
	ids->shift = 32 - bits;
	ids->room = bucket_count / 2;
	return 0;
}

static int change(struct call_ids *ids, const uint8_t id[16], uint64_t content, int32_t by)
{
	if (ids->count == ids->room) {
		int error = grow(ids);
		if (error)
			return error;
	}
	uint32_t hash = hash_of(id);
	struct bucket *bucket = find(ids, id, hash);
	if (!bucket->number) {
		ids->entries[ids->count] = (struct entry){0};
		memcpy(ids->entries[ids->count].id, id, sizeof(ids->entries->id));
		ids->entries[ids->count].file = ids->file;
		*bucket = (struct bucket){hash, (uint32_t)++ids->count};
	}
	struct entry *entry = &ids->entries[bucket->number - 1];
	/* A call whose content changed is taken back and added anew: what was added last stands. */
	if (by > 0)
		entry->content = content;
	entry->standing += by;
	return 0;
}

void call_ids_prefetch(const struct call_ids *ids, const uint8_t id[16])
{
	__builtin_prefetch(&ids->buckets[hash_of(id) >> ids->shift], 1);
}

void call_ids_next_file(struct call_ids *ids)
{
	ids->file++;
}

bool call_ids_meet(struct call_ids *ids, const uint8_t id[16])
{
	const struct bucket *bucket = find(ids, id, hash_of(id));
	if (!bucket->number)
		return false;
	struct entry *entry = &ids->entries[bucket->number - 1];
	bool met = entry->file == ids->file;
	entry->file = ids->file;
	return met;
}

enum call_ids_found call_ids_find(const struct call_ids *ids, const uint8_t id[16], uint64_t content)
{
	const struct bucket *bucket = find(ids, id, hash_of(id));
	if (!bucket->number)
		return CALL_IDS_NONE;
	const struct entry *entry = &ids->entries[bucket->number - 1];
	if (entry->standing <= 0)
		return CALL_IDS_NONE;
	return !content || !entry->content || content == entry->content ? CALL_IDS_SAME : CALL_IDS_OTHER;
}

int call_ids_add(struct call_ids *ids, const uint8_t id[16], uint64_t content)
{
	return change(ids, id, content, 1);
}

void call_ids_close(struct call_ids *ids)
{
	if (!ids)
		return;
	free(ids->entries);
	free(ids->buckets);
	free(ids);
}

/* ---- from the log -------------------------------------------------------------------------------------------- */

/* A definition's text as a name, found once for the many calls that refer to it. */
struct meaning {
	uint64_t slot, zero; /* the table's key */
	uint64_t known;
	uint32_t name, second;
};

/* The group being read, and what its definitions say. */
struct group_ids {
	struct call_ids *ids;
	struct group_reader reader;
	struct names names;
	struct table models, contexts;
};

static void resolve(struct group_ids *group, struct meaning *meaning, enum ul_class text_class)
{
	char text[UL_CONTEXT_BYTES_MAX];
	ssize_t bytes = group_text(&group->reader, (uint32_t)meaning->slot, text_class, text);
	if (bytes < 0)
		return;
	size_t first = text_class == UL_CLASS_MODEL ? strnlen(text, (size_t)bytes) : (size_t)bytes;
	meaning->name = names_intern(&group->names, text, first);
	if (first < (size_t)bytes)
		meaning->second = names_intern(&group->names, text + first + 1, (size_t)bytes - first - 1);
	meaning->known = 1;
}

/* NULL: there is no such text, or no memory. */
static const struct meaning *find_meaning(struct group_ids *group, enum ul_class text_class, uint32_t slot)
{
	uint64_t key[2] = {slot, 0};
	struct meaning *meaning = table_get(text_class == UL_CLASS_MODEL ? &group->models : &group->contexts, key);
	if (meaning && !meaning->known)
		resolve(group, meaning, text_class);
	return meaning && meaning->known ? meaning : NULL;
}

/* As the id set would have it; 0 if a name of the call cannot be read, so that it is taken for the same as any. */
static uint64_t content_of(struct group_ids *group, const struct ul_slot *slot)
{
	uint32_t model_slot = slot->tag & UL_SLOT_MASK, context_slot = slot->word & UL_SLOT_MASK;
	const struct meaning *model = find_meaning(group, UL_CLASS_MODEL, model_slot);
	const struct meaning *context = context_slot ? find_meaning(group, UL_CLASS_CONTEXT, context_slot) : NULL;
	if (!model || (context_slot && !context) || group->names.error)
		return 0;
	return id_content(names_text(&group->names, model->name), names_text(&group->names, model->second),
			  context ? names_text(&group->names, context->name) : (struct ul_text){"{}", 2}, slot);
}

static int visit(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	struct group_ids *group = arg;
	(void)number;
	enum ul_kind kind = ul_slot_kind(slot);
	if (!before || ul_slot_kind(before) != UL_KIND_CALL_ID ||
	    (kind != UL_KIND_CALL && kind != UL_KIND_REVERSAL && kind != UL_KIND_BALANCE))
		return 0;
	if (kind == UL_KIND_REVERSAL)
		return change(group->ids, before->body.call_id.bytes, 0, -1);
	return change(group->ids, before->body.call_id.bytes, content_of(group, slot), 1);
}

static int read_group(struct call_ids *ids, const struct segments *segments, const struct segment_group *group,
		      const struct runs *folded, struct findings *findings)
{
	struct slot_counts counts = {0};
	struct group_ids reading = {.ids = ids};
	int error = group_open(&reading.reader, segments, group, findings);
	if (error)
		return error;
	table_init(&reading.models, sizeof(struct meaning));
	table_init(&reading.contexts, sizeof(struct meaning));
	error = names_init(&reading.names);
	if (!error) {
		error = group_visit(&reading.reader, folded, false, visit, &reading, &counts);
		/* Else what a call names, and with it whether it is another one, is not known. */
		if (!error)
			error = reading.reader.error;
		names_clear(&reading.names);
	}
	table_clear(&reading.models);
	table_clear(&reading.contexts);
	group_close(&reading.reader);
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
	store_read_named(directory->fd, name, UL_CONTAINER_IDS, &directory->conf.log_id, named->checksum, &file);
	bool sound = file.state == FILE_SOUND;
	/* The segments have the ids too, but not those of segments that were deleted. */
	*error = file.state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file.error;
	uint64_t count = 0;
	const struct ul_id_record *records =
		sound ? ul_container_records(&file.container, UL_SECTION_IDS, &count) : NULL;
	for (uint64_t i = 0; i < count && !*error; i++)
		*error = change(ids, records[i].id.bytes, records[i].content, records[i].standing > 0);
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
	int error = found ? grow(found) : -ENOMEM;
	if (!error)
		error = read_log(found, directory, &findings, why);
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
