/* The set of call ids. */
#include "ids.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "seal.h"

uint64_t id_content(struct ul_text provider, struct ul_text model, struct ul_text context, const struct ul_slot *slot)
{
	/* In one piece: the state that pieces want takes longer to set up than to hash what is usual. */
	char whole[2 * (UL_NAME_BYTES_MAX + 1) + UL_CONTEXT_BYTES_MAX + 1 + sizeof(slot->body)];
	const struct ul_text texts[] = {provider, model, context};
	char *at = whole;
	/* Names are checked where they are read. */
	assert(provider.bytes + model.bytes + context.bytes + 3 + sizeof(slot->body) <= sizeof(whole));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		memcpy(at, texts[i].text, texts[i].bytes);
		at += texts[i].bytes;
		*at++ = '\0';
	}
	memcpy(at, &slot->body, sizeof(slot->body));
	return XXH3_64bits(whole, (size_t)(at - whole) + sizeof(slot->body));
}

static int compare_changes(const void *left, const void *right)
{
	const struct id_change *a = left, *b = right;
	int order = memcmp(&a->id, &b->id, sizeof(a->id));
	return order ? order : (a->content > b->content) - (a->content < b->content);
}

/* The record of one id, whose changes are the first `count`; `old` may be NULL. Of several contents that stand the greatest is
 * kept, so that no order of folding shows. */
static struct ul_id_record settle(const struct ul_id_record *old, const struct id_change *changes, size_t count)
{
	struct ul_id_record record = {.id = count ? changes[0].id : old->id, .content = old ? old->content : 0};
	bool old_is_counted = !old;
	for (size_t i = 0; i < count;) {
		uint64_t content = changes[i].content;
		int64_t standing = 0;
		if (old && old->content == content) {
			standing = old->standing;
			old_is_counted = true;
		}
		for (; i < count && changes[i].content == content; i++)
			standing += changes[i].sign;
		if (standing > 0 || !record.standing) {
			record.content = content;
			record.standing = standing > 0;
		}
	}
	if (!old_is_counted && old->standing && (!record.standing || old->content > record.content)) {
		record.content = old->content;
		record.standing = 1;
	}
	return record;
}

struct ul_id_record *ids_apply(const struct ul_id_record *records, size_t record_count, struct id_change *changes,
			       size_t change_count, size_t *count)
{
	struct ul_id_record *all = os_allocate(record_count + change_count + 1, sizeof(*all));
	if (!all)
		return NULL;
	if (change_count)
		qsort(changes, change_count, sizeof(*changes), compare_changes);
	size_t made = 0, old = 0, next = 0;
	while (old < record_count || next < change_count) {
		int order = old == record_count    ? 1
			    : next == change_count ? -1
						   : memcmp(&records[old].id, &changes[next].id, sizeof(struct ul_id));
		if (order < 0) {
			all[made++] = records[old++];
			continue;
		}
		size_t end = next;
		while (end < change_count && memcmp(&changes[end].id, &changes[next].id, sizeof(struct ul_id)) == 0)
			end++;
		all[made++] = settle(order == 0 ? &records[old++] : NULL, &changes[next], end - next);
		next = end;
	}
	*count = made;
	return all;
}

void *ids_encode(const struct ul_id_record *records, size_t count, const struct ul_id *log_id, uint64_t generation,
		 size_t *size_bytes)
{
	struct ul_id_meta meta = {.generation = generation};
	const struct ul_section_data sections[] = {
		{UL_SECTION_META, sizeof(meta), &meta, 1},
		{UL_SECTION_IDS, sizeof(*records), records, count},
	};
	return ul_container_build(UL_CONTAINER_IDS, log_id, sections, sizeof(sections) / sizeof(sections[0]),
				  size_bytes);
}
