/* Checkpoints of several logs. */
#include "merged.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "slot.h"
#include "store.h"

static void clear_part(struct merged_part *part)
{
	free(part->time_zone);
	free(part->bytes);
	free(part->from);
	*part = (struct merged_part){0};
}

void merged_clear(struct merged *merged)
{
	for (size_t i = 0; i < merged->count; i++)
		clear_part(&merged->parts[i]);
	free(merged->parts);
	*merged = (struct merged){0};
}

/* ---- which of two stands ---------------------------------------------------------------------------------------- */

static int load(struct checkpoint *checkpoint, struct names *names, const struct merged_part *part,
		struct ul_container *file)
{
	enum ul_container_state state =
		ul_container_open(file, UL_CONTAINER_CHECKPOINT, part->bytes, part->size_bytes, &part->log_id);
	assert(state == UL_CONTAINER_VALID);
	return state == UL_CONTAINER_VALID ? checkpoint_load(checkpoint, names, file) : -EIO;
}

/* Does `whole` hold all slots that `part` does? */
static bool contains(const struct checkpoint *whole, const struct checkpoint *part)
{
	for (size_t i = 0; i < part->segment_count; i++) {
		const struct segment_state *held = checkpoint_find_segment(whole, &part->segments[i].record.id);
		if (!part->segments[i].runs.count)
			continue;
		if (!held || !runs_include(&held->runs, &part->segments[i].runs))
			return false;
	}
	return true;
}

enum choice { KEEP_OLD, TAKE_NEW, CONFLICT };

static enum choice choose(const struct merged_part *old, const struct checkpoint *of_old, const struct merged_part *new,
			  const struct checkpoint *of_new)
{
	bool old_holds = contains(of_old, of_new), new_holds = contains(of_new, of_old);
	if (!old_holds && !new_holds)
		return CONFLICT;
	if (old_holds != new_holds)
		return old_holds ? KEEP_OLD : TAKE_NEW;
	/* They hold the same calls: which one stands must not depend on the order. */
	if (of_old->generation != of_new->generation)
		return of_old->generation > of_new->generation ? KEEP_OLD : TAKE_NEW;
	if (old->size_bytes != new->size_bytes)
		return old->size_bytes > new->size_bytes ? KEEP_OLD : TAKE_NEW;
	return memcmp(old->bytes, new->bytes, old->size_bytes) >= 0 ? KEEP_OLD : TAKE_NEW;
}

static int compare_parts(const struct merged_part *old, const struct merged_part *new, enum choice *choice)
{
	struct checkpoint of_old = {0}, of_new = {0};
	struct ul_container file;
	struct names names;
	int error = names_init(&names);
	if (error)
		return error;
	error = load(&of_old, &names, old, &file);
	if (!error)
		error = load(&of_new, &names, new, &file);
	if (!error)
		*choice = choose(old, &of_old, new, &of_new);
	checkpoint_clear(&of_old);
	checkpoint_clear(&of_new);
	names_clear(&names);
	return error;
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

static size_t place_of(const struct merged *merged, const struct ul_id *log_id)
{
	size_t at = 0;
	while (at < merged->count && memcmp(&merged->parts[at].log_id, log_id, sizeof(*log_id)) < 0)
		at++;
	return at;
}

/* What is said of a part without loading it. */
static void describe(struct merged_part *part)
{
	struct ul_container file;
	uint64_t count;
	if (ul_container_open(&file, UL_CONTAINER_CHECKPOINT, part->bytes, part->size_bytes, NULL) !=
	    UL_CONTAINER_VALID)
		return;
	const struct ul_checkpoint_meta *meta = ul_container_records(&file, UL_SECTION_META, &count);
	part->generation = meta->generation;
	const struct ul_folded_segment *segments = ul_container_records(&file, UL_SECTION_SEGMENTS, &count);
	for (uint64_t i = 0; i < count; i++)
		part->calls += (uint64_t)segments[i].calls;
}

/* Take over a part, or free it. */
static int add_part(struct merged *merged, struct merged_part *part, struct ul_message *why)
{
	size_t at = place_of(merged, &part->log_id);
	struct merged_part *old = at < merged->count ? &merged->parts[at] : NULL;
	enum choice choice = TAKE_NEW;
	int error = part->time_zone && part->bytes && part->from ? 0 : -ENOMEM;
	if (!error)
		describe(part);
	if (!error && old && memcmp(&old->log_id, &part->log_id, sizeof(part->log_id)) == 0) {
		error = compare_parts(old, part, &choice);
		if (!error && choice == CONFLICT) {
			char id[UL_ID_TEXT_BYTES];
			ul_id_format(id, &part->log_id);
			ul_message_set(why,
				       "%s and %s: both are of log %s, and each holds calls that the other does not: a "
				       "copy of the log was written to; leave one of them out",
				       old->from, part->from, id);
			error = USAGELOG_ERROR_CONTRADICTION;
		} else if (!error && choice == TAKE_NEW) {
			clear_part(old);
			*old = *part;
			*part = (struct merged_part){0};
		}
		clear_part(part);
		return error;
	}
	struct merged_part *parts = error ? NULL : os_reallocate(merged->parts, merged->count + 1, sizeof(*parts));
	if (!parts) {
		clear_part(part);
		ul_message_set(why, "no memory to merge logs");
		return -ENOMEM;
	}
	memmove(parts + at + 1, parts + at, (merged->count - at) * sizeof(*parts));
	parts[at] = *part;
	merged->parts = parts;
	merged->count++;
	return 0;
}

static int add_log(struct merged *merged, const char *path, struct ul_message *why)
{
	struct ul_directory directory;
	struct stored_file file;
	int error = ul_directory_open(&directory, path, why);
	if (error)
		return error;
	store_read(directory.fd, "checkpoint", UL_CONTAINER_CHECKPOINT, &directory.conf.log_id, &file);
	if (file.state == FILE_SOUND) {
		struct merged_part part = {.log_id = directory.conf.log_id,
					   .time_zone = os_duplicate(directory.conf.time_zone),
					   .bytes = file.bytes,
					   .size_bytes = file.size_bytes,
					   .from = os_duplicate(directory.path)};
		file.bytes = NULL;
		error = add_part(merged, &part, why);
	} else {
		error = file.state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file.error ? file.error : -ENOENT;
		ul_message_set(why, "%s/checkpoint: %s; run usagelog compact on that log first", directory.path,
			       file.state == FILE_MISSING   ? "there is none"
			       : file.state == FILE_DAMAGED ? "is damaged"
							    : usagelog_strerror(error));
	}
	stored_file_clear(&file);
	ul_directory_close(&directory);
	return error;
}

static char *text_of(const struct ul_container *file, uint32_t index)
{
	struct ul_text text = ul_container_string(file, index);
	char *copy = os_allocate(text.bytes + 1, 1);
	if (copy)
		memcpy(copy, text.text, text.bytes);
	return copy;
}

static int add_parts(struct merged *merged, const char *path, const struct ul_container *file, struct ul_message *why)
{
	uint64_t count, byte_count;
	const struct ul_part *parts = ul_container_records(file, UL_SECTION_PARTS, &count);
	const uint8_t *bytes = ul_container_records(file, UL_SECTION_PART_BYTES, &byte_count);
	int error = 0;
	for (uint64_t i = 0; i < count && !error; i++) {
		struct ul_container inner;
		enum ul_container_state state =
			ul_container_open(&inner, UL_CONTAINER_CHECKPOINT, bytes + parts[i].offset,
					  (size_t)parts[i].size_bytes, &parts[i].log_id);
		if (state != UL_CONTAINER_VALID) {
			ul_message_set(why, "%s: %s", path,
				       state == UL_CONTAINER_NEWER
					       ? "holds a part of a newer usagelog than this one; use the newer one"
					       : "is damaged");
			return state == UL_CONTAINER_NEWER ? USAGELOG_ERROR_NEWER : -EIO;
		}
		struct merged_part part = {.log_id = parts[i].log_id,
					   .time_zone = text_of(file, parts[i].time_zone),
					   .bytes = os_allocate((size_t)parts[i].size_bytes, 1),
					   .size_bytes = (size_t)parts[i].size_bytes,
					   .from = os_duplicate(path)};
		if (part.bytes)
			memcpy(part.bytes, bytes + parts[i].offset, part.size_bytes);
		error = add_part(merged, &part, why);
	}
	return error;
}

static int add_file(struct merged *merged, const char *path, struct ul_message *why)
{
	struct stored_file file;
	store_read(AT_FDCWD, path, UL_CONTAINER_MERGED, NULL, &file);
	int error = file.state == FILE_NEWER ? USAGELOG_ERROR_NEWER : file.error;
	if (file.state == FILE_SOUND)
		error = add_parts(merged, path, &file.container, why);
	else if (error)
		ul_message_set(why, "%s: %s", path, usagelog_strerror(error));
	else {
		error = file.state == FILE_MISSING ? -ENOENT : -EIO;
		ul_message_set(why, "%s: %s", path,
			       file.state == FILE_MISSING
				       ? "there is no such log or file"
				       : "is neither a log's directory nor a whole file of usagelog merge");
	}
	stored_file_clear(&file);
	return error;
}

int merged_add(struct merged *merged, const char *path, struct ul_message *why)
{
	struct stat found;
	bool is_directory = !os_stat_at(AT_FDCWD, path, &found) && S_ISDIR(found.st_mode);
	return is_directory ? add_log(merged, path, why) : add_file(merged, path, why);
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

static void *lay_out(const struct merged *merged, const struct name_sections *zones, const uint32_t *zone_names,
		     struct ul_part *records, uint8_t *bytes, size_t byte_count, size_t *size_bytes)
{
	static const struct ul_merged_meta meta;
	static const struct ul_id no_log;
	uint64_t at = 0;
	for (size_t i = 0; i < merged->count; i++) {
		const struct merged_part *part = &merged->parts[i];
		records[i] = (struct ul_part){.log_id = part->log_id,
					      .time_zone = zones->index[zone_names[i]],
					      .offset = at,
					      .size_bytes = part->size_bytes};
		memcpy(bytes + at, part->bytes, part->size_bytes);
		at += part->size_bytes;
	}
	const struct ul_section_data sections[] = {
		{UL_SECTION_META, sizeof(meta), &meta, 1},
		{UL_SECTION_STRINGS, sizeof(struct ul_string_record), zones->records, zones->record_count},
		{UL_SECTION_STRING_BYTES, 1, zones->bytes, zones->byte_count},
		{UL_SECTION_PARTS, sizeof(*records), records, merged->count},
		{UL_SECTION_PART_BYTES, 1, bytes, byte_count},
	};
	return ul_container_build(UL_CONTAINER_MERGED, &no_log, sections, sizeof(sections) / sizeof(sections[0]),
				  size_bytes);
}

void *merged_encode(const struct merged *merged, size_t *size_bytes)
{
	struct names names;
	struct name_sections zones = {0};
	size_t byte_count = 0;
	void *file = NULL;
	for (size_t i = 0; i < merged->count; i++)
		byte_count += merged->parts[i].size_bytes;
	if (names_init(&names))
		return NULL;
	uint32_t *zone_names = os_allocate(merged->count + 1, sizeof(*zone_names));
	struct ul_part *records = os_allocate(merged->count + 1, sizeof(*records));
	uint8_t *bytes = os_allocate(byte_count + 1, 1);
	for (size_t i = 0; i < merged->count && zone_names; i++)
		zone_names[i] = names_intern(&names, merged->parts[i].time_zone, strlen(merged->parts[i].time_zone));
	uint8_t *used = names.error ? NULL : os_allocate(names.count, 1);
	for (size_t i = 0; i < merged->count && zone_names && used; i++)
		used[zone_names[i]] = 1;
	if (zone_names && records && bytes && used && !names_collect(&names, used, &zones))
		file = lay_out(merged, &zones, zone_names, records, bytes, byte_count, size_bytes);
	name_sections_clear(&zones);
	free(used);
	free(bytes);
	free(records);
	free(zone_names);
	names_clear(&names);
	return file;
}

/* ---- the sum ----------------------------------------------------------------------------------------------------- */

/* Days are counted together; whose fact files hold them is each log's own affair. */
static int add_days(struct checkpoint *whole, const struct checkpoint *part)
{
	int error = 0;
	for (size_t i = 0; i < part->day_count && !error; i++) {
		const struct ul_day *known = checkpoint_find_day(whole, part->days[i].day);
		struct ul_day day = {.day = part->days[i].day, .calls = known ? known->calls : 0};
		if (__builtin_add_overflow(day.calls, part->days[i].calls, &day.calls))
			return -EOVERFLOW;
		error = checkpoint_set_day(whole, &day);
	}
	return error;
}

static int add_to_sum(struct checkpoint *whole, struct names *names, const struct merged_part *part)
{
	struct checkpoint one = {0};
	struct ul_container file;
	int error = load(&one, names, part, &file);
	uint32_t *name_of = error ? NULL : names_of_file(names, &file);
	if (!error && !name_of)
		error = -ENOMEM;
	if (!error)
		error = totals_load(&whole->totals, name_of, &file);
	if (!error)
		error = checkpoint_add_calls(whole, one.calls, one.call_count);
	if (!error)
		error = add_days(whole, &one);
	if (!error && (!whole->generation || one.newest_ns > whole->newest_ns))
		whole->newest_ns = one.newest_ns;
	if (one.generation > whole->generation)
		whole->generation = one.generation;
	free(name_of);
	checkpoint_clear(&one);
	return error;
}

int merged_sum(const struct merged *merged, struct checkpoint *whole, struct names *names, struct ul_message *why)
{
	const struct merged_part *first = merged->parts;
	int error = 0;
	for (size_t i = 0; i < merged->count && !error; i++) {
		const struct merged_part *part = &merged->parts[i];
		if (strcmp(part->time_zone, first->time_zone) != 0) {
			ul_message_set(why,
				       "%s cuts its days in %s, %s in %s: such days cannot be added; give the logs one "
				       "zone (usagelog config time_zone) and run usagelog compact on them",
				       first->from, first->time_zone, part->from, part->time_zone);
			return USAGELOG_ERROR_CONTRADICTION;
		}
		error = add_to_sum(whole, names, part);
	}
	if (!error)
		error = checkpoint_trim(whole);
	if (error)
		ul_message_set(why, "the logs cannot be added up: %s", usagelog_strerror(error));
	return error;
}
