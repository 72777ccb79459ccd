/* The strings of one run. */
#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "seal.h"

enum { BUCKETS_FIRST = 1024 };

int names_compare(struct ul_text left, struct ul_text right)
{
	int order = memcmp(left.text, right.text, left.bytes < right.bytes ? left.bytes : right.bytes);
	return order ? order : (left.bytes > right.bytes) - (left.bytes < right.bytes);
}

int names_init(struct names *names)
{
	*names = (struct names){.bucket_mask = BUCKETS_FIRST - 1};
	names->buckets = os_allocate(BUCKETS_FIRST, sizeof(*names->buckets));
	if (!names->buckets)
		return -ENOMEM;
	names_intern(names, "", 0);
	names_intern(names, "{}", 2);
	names_intern(names, "(unknown)", 9);
	if (names->error)
		names_clear(names);
	else
		assert(names->count == NAME_UNKNOWN + 1);
	return names->count ? 0 : -ENOMEM;
}

void names_clear(struct names *names)
{
	free(names->text);
	free(names->entries);
	free(names->buckets);
	*names = (struct names){0};
}

static uint32_t bucket_of(const struct names *names, const char *text, size_t bytes)
{
	return (uint32_t)XXH3_64bits(text, bytes) & names->bucket_mask;
}

/* Keep the buckets at most half full. */
static int grow_buckets(struct names *names)
{
	uint32_t room = (names->bucket_mask + 1) * 2;
	uint32_t *buckets = os_allocate(room, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	free(names->buckets);
	names->buckets = buckets;
	names->bucket_mask = room - 1;
	for (uint32_t i = 0; i < names->count; i++) {
		struct ul_text text = names_text(names, i);
		uint32_t at = bucket_of(names, text.text, text.bytes);
		while (buckets[at])
			at = (at + 1) & names->bucket_mask;
		buckets[at] = i + 1;
	}
	return 0;
}

static int make_room(struct names *names, size_t bytes)
{
	if (names->count == names->room) {
		uint32_t room = names->room ? 2 * names->room : 256;
		struct name_entry *entries = os_reallocate(names->entries, room, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		names->entries = entries;
		names->room = room;
	}
	if (bytes > names->text_room - names->text_bytes || !names->text) {
		size_t room = 2 * names->text_room + bytes + 4096;
		char *text = os_reallocate(names->text, room, 1);
		if (!text)
			return -ENOMEM;
		names->text = text;
		names->text_room = room;
	}
	return names->count >= names->bucket_mask / 2 ? grow_buckets(names) : 0;
}

static uint32_t add_name(struct names *names, const char *text, size_t bytes)
{
	if (names->count >= UINT32_MAX / 4 || make_room(names, bytes)) {
		names->error = -ENOMEM;
		return NAME_EMPTY;
	}
	uint32_t at = bucket_of(names, text, bytes);
	while (names->buckets[at])
		at = (at + 1) & names->bucket_mask;
	names->entries[names->count] = (struct name_entry){names->text_bytes, (uint32_t)bytes};
	memcpy(names->text + names->text_bytes, text, bytes);
	names->text_bytes += bytes;
	names->buckets[at] = ++names->count;
	return names->count - 1;
}

uint32_t names_intern(struct names *names, const char *text, size_t bytes)
{
	struct ul_text wanted = {text, (uint32_t)bytes};
	for (uint32_t at = bucket_of(names, text, bytes); names->buckets[at]; at = (at + 1) & names->bucket_mask) {
		uint32_t name = names->buckets[at] - 1;
		if (!names_compare(names_text(names, name), wanted))
			return name;
	}
	return add_name(names, text, bytes);
}

uint32_t *names_of_file(struct names *names, const struct ul_container *file)
{
	uint64_t count;
	ul_container_records(file, UL_SECTION_STRINGS, &count);
	uint32_t *name_of = os_allocate((size_t)count + 1, sizeof(*name_of));
	for (uint32_t i = 0; name_of && i < count; i++) {
		struct ul_text text = ul_container_string(file, i);
		name_of[i] = names_intern(names, text.text, text.bytes);
	}
	if (names->error) {
		free(name_of);
		return NULL;
	}
	return name_of;
}

static int compare_numbers(const void *left, const void *right, void *names)
{
	return names_compare(names_text(names, *(const uint32_t *)left), names_text(names, *(const uint32_t *)right));
}

static int fill_sections(const struct names *names, const uint32_t *order, struct name_sections *sections)
{
	size_t total = 0;
	for (uint32_t i = 0; i < sections->record_count; i++)
		total += names->entries[order[i]].bytes;
	if (total > UINT32_MAX)
		return -EOVERFLOW;
	sections->records = os_allocate(sections->record_count + (size_t)1, sizeof(*sections->records));
	sections->bytes = os_allocate(total + 1, 1);
	if (!sections->records || !sections->bytes)
		return -ENOMEM;
	for (uint32_t i = 0; i < sections->record_count; i++) {
		struct ul_text text = names_text(names, order[i]);
		sections->index[order[i]] = i;
		sections->records[i] = (struct ul_string_record){sections->byte_count, text.bytes};
		memcpy(sections->bytes + sections->byte_count, text.text, text.bytes);
		sections->byte_count += text.bytes;
	}
	return 0;
}

int names_collect(const struct names *names, const uint8_t *used, struct name_sections *sections)
{
	struct name_sections made = {0};
	uint32_t *order = os_allocate(names->count, sizeof(*order));
	made.index = os_allocate(names->count, sizeof(*made.index));
	int error = order && made.index ? 0 : -ENOMEM;
	if (!error) {
		for (uint32_t i = 0; i < names->count; i++)
			if (used[i])
				order[made.record_count++] = i;
		qsort_r(order, made.record_count, sizeof(*order), compare_numbers, (void *)(uintptr_t)names);
		error = fill_sections(names, order, &made);
	}
	free(order);
	if (error)
		name_sections_clear(&made);
	else
		*sections = made;
	return error;
}

void name_sections_clear(struct name_sections *sections)
{
	free(sections->index);
	free(sections->records);
	free(sections->bytes);
	*sections = (struct name_sections){0};
}
