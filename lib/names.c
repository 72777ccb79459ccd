/*
 * The intern table: names by what the caller gave, found without a lock, added under one. It only grows, to a
 * bound; a name is never moved or freed while the handle lives, so a pointer to one needs no care.
 *
 * Before it, each lane remembers the names that it found last. Which of them a call may mean is told by where its strings stand in memory, which
 * costs next to nothing; whether it does, by comparing the strings themselves, which is cheaper than to hash them.
 */
#include "handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "os.h"
#include "seal.h"

enum { NAMES_BYTES_MAX = 4 << 20 }; /* keys and texts together: so many bytes a handle */

/* A part that is not given: distinct from an empty one, which is refused later. */
#define NOT_GIVEN UINT32_MAX

static uint32_t power_of_two(uint32_t least)
{
	uint32_t power = 1;
	while (power < least)
		power *= 2;
	return power;
}

int ul_names_open(struct ul_names *names, uint32_t names_max)
{
	uint32_t indexes = power_of_two(names_max + 1);
	*names = (struct ul_names){.bucket_mask = 2 * indexes - 1, .index_mask = indexes - 1};
	names->buckets = os_allocate(2 * indexes, sizeof(*names->buckets));
	names->by_index = os_allocate(indexes, sizeof(*names->by_index));
	if (names->buckets && names->by_index)
		return 0;
	ul_names_close(names);
	return -ENOMEM;
}

void ul_names_close(struct ul_names *names)
{
	for (uint32_t i = 1; names->by_index && i <= names->count; i++)
		free(atomic_load_explicit(&names->by_index[i], memory_order_relaxed));
	free(names->buckets);
	free(names->by_index);
	*names = (struct ul_names){0};
}

static void key_add(struct ul_key *key, const char *part)
{
	uint32_t i = key->part_count++;
	key->parts[i] = part;
	key->bytes[i] = NOT_GIVEN;
	if (!part)
		return;
	/* To its end, whatever is allowed later: of two long texts that begin alike, one is not the other. */
	key->bytes[i] = (uint32_t)strnlen(part, NOT_GIVEN - 1);
	key->hash = XXH3_64bits_withSeed(part, key->bytes[i], key->hash + i + 1);
}

void ul_key_model(struct ul_key *key, const char *provider, const char *model)
{
	*key = (struct ul_key){.text_class = UL_CLASS_MODEL};
	key_add(key, provider);
	key_add(key, model);
}

bool ul_key_context(struct ul_key *key, const struct usagelog_attributes *attributes)
{
	*key = (struct ul_key){.text_class = UL_CLASS_CONTEXT, .hash = UL_CLASS_CONTEXT};
	key_add(key, attributes->operation);
	key_add(key, attributes->error_type);
	key_add(key, attributes->service_tier);
	key_add(key, attributes->session_id);
	key_add(key, attributes->metadata);
	return attributes->operation || attributes->error_type || attributes->service_tier || attributes->session_id ||
	       attributes->metadata;
}

static bool key_is(const struct ul_key *key, const struct ul_name *name)
{
	if (name->hash != key->hash || name->text_class != key->text_class)
		return false;
	const char *at = name->key;
	for (uint32_t i = 0; i < key->part_count; i++) {
		if (name->key_bytes[i] != key->bytes[i])
			return false;
		if (key->bytes[i] == NOT_GIVEN)
			continue;
		if (memcmp(at, key->parts[i], key->bytes[i]) != 0)
			return false;
		at += key->bytes[i] + 1;
	}
	return true;
}

struct ul_name *ul_names_find(const struct ul_names *names, const struct ul_key *key)
{
	/* The table is at most half full, so a free bucket ends the search. */
	for (uint32_t i = (uint32_t)key->hash & names->bucket_mask;; i = (i + 1) & names->bucket_mask) {
		/* Pairs with the release in ul_names_insert(): the name is whole. */
		struct ul_name *name = atomic_load_explicit(&names->buckets[i], memory_order_acquire);
		if (!name || key_is(key, name))
			return name;
	}
}

/* ---- what a lane remembers -------------------------------------------------------------------------------- */

static const struct ul_name **remembered(struct ul_lane *lane, enum ul_class text_class, uintptr_t where)
{
	/* Strings of one table or of one buffer stand close to each other: the upper bits of a product mix them. */
	uint32_t place = (uint32_t)((uint64_t)where * 0x9e3779b97f4a7c15 >> 61);
	return &lane->recent[text_class - 1][place];
}

/* Is the next part of a name's key this one? */
static inline bool part_is(const struct ul_name *name, uint32_t i, const char **at, const char *part)
{
	uint32_t bytes = name->key_bytes[i];
	if (!part || bytes == NOT_GIVEN)
		return !part && bytes == NOT_GIVEN;
	if (strcmp(*at, part) != 0)
		return false;
	*at += bytes + 1;
	return true;
}

static inline const struct ul_name *find_model(usagelog *log, struct ul_lane *lane, const char *provider,
					       const char *model)
{
	const struct ul_name **place = remembered(lane, UL_CLASS_MODEL, (uintptr_t)provider + 3 * (uintptr_t)model);
	const struct ul_name *name = *place;
	const char *at = name ? name->key : NULL;
	if (likely(name && part_is(name, 0, &at, provider) && part_is(name, 1, &at, model)))
		return name;
	struct ul_key key;
	ul_key_model(&key, provider, model);
	name = ul_names_find(&log->names, &key);
	if (name)
		*place = name;
	return name;
}

static inline const struct ul_name *find_context(usagelog *log, struct ul_lane *lane,
						 const struct usagelog_attributes *given)
{
	uintptr_t where = (uintptr_t)given->operation + 3 * (uintptr_t)given->error_type +
			  5 * (uintptr_t)given->service_tier + 7 * (uintptr_t)given->session_id +
			  9 * (uintptr_t)given->metadata;
	const struct ul_name **place = remembered(lane, UL_CLASS_CONTEXT, where);
	const struct ul_name *name = *place;
	const char *at = name ? name->key : NULL;
	if (likely(name && part_is(name, 0, &at, given->operation) && part_is(name, 1, &at, given->error_type) &&
		   part_is(name, 2, &at, given->service_tier) && part_is(name, 3, &at, given->session_id) &&
		   part_is(name, 4, &at, given->metadata)))
		return name;
	struct ul_key key;
	ul_key_context(&key, given);
	name = ul_names_find(&log->names, &key);
	if (name)
		*place = name;
	return name;
}

bool ul_lane_names(usagelog *log, struct ul_lane *lane, const struct usagelog_names *names, uint32_t *model,
		   uint32_t *context)
{
	const struct usagelog_attributes *given = &names->attributes;
	const struct ul_name *name = find_model(log, lane, names->provider, names->model);
	if (unlikely(!name))
		return false;
	*model = name->index;
	*context = 0;
	if (!((uintptr_t)given->operation | (uintptr_t)given->error_type | (uintptr_t)given->service_tier |
	      (uintptr_t)given->session_id | (uintptr_t)given->metadata))
		return true;
	name = find_context(log, lane, given);
	/* Attributes that come to nothing, such as an empty metadata object, have no text, and no definition. */
	if (name && name->text_bytes)
		*context = name->index;
	return name;
}

/* ---- making ----------------------------------------------------------------------------------------------- */

static int make_text(const struct ul_key *key, char text[UL_CONTEXT_BYTES_MAX], size_t *bytes)
{
	if (key->text_class == UL_CLASS_MODEL) {
		for (uint32_t i = 0; i < 2; i++)
			if (!key->parts[i] || !ul_name_is_valid(key->parts[i], key->bytes[i]))
				return USAGELOG_ERROR_NAME;
		memcpy(text, key->parts[0], key->bytes[0]);
		text[key->bytes[0]] = '\0';
		memcpy(text + key->bytes[0] + 1, key->parts[1], key->bytes[1]);
		*bytes = key->bytes[0] + 1 + key->bytes[1];
		return 0;
	}
	struct ul_attributes attributes = {.operation = key->parts[0],
					   .error_type = key->parts[1],
					   .service_tier = key->parts[2],
					   .session_id = key->parts[3],
					   .metadata = key->parts[4]};
	switch (ul_context_build(&attributes, text, bytes)) {
	case UL_CONTEXT_OK:
		return 0;
	case UL_CONTEXT_NAME:
		return USAGELOG_ERROR_NAME;
	case UL_CONTEXT_METADATA:
		return USAGELOG_ERROR_METADATA;
	case UL_CONTEXT_TOO_LONG:
		break;
	}
	return USAGELOG_ERROR_CONTEXT_TOO_LONG;
}

int ul_name_make(struct ul_name **name, const struct ul_key *key)
{
	char text[UL_CONTEXT_BYTES_MAX];
	size_t text_bytes, key_bytes = 0;
	int error = make_text(key, text, &text_bytes);
	if (error)
		return error;
	for (uint32_t i = 0; i < key->part_count; i++)
		key_bytes += key->bytes[i] == NOT_GIVEN ? 0 : key->bytes[i] + 1;
	struct ul_name *made = os_allocate(1, sizeof(*made) + key_bytes + text_bytes);
	if (!made)
		return -ENOMEM;
	made->hash = key->hash;
	made->text_class = key->text_class;
	made->text_bytes = (uint32_t)text_bytes;
	char *at = made->key;
	for (uint32_t i = 0; i < key->part_count; i++) {
		made->key_bytes[i] = key->bytes[i];
		if (key->bytes[i] == NOT_GIVEN)
			continue;
		memcpy(at, key->parts[i], key->bytes[i]);
		at += key->bytes[i] + 1; /* the memory is zeroed: each part is terminated */
	}
	made->text = at;
	memcpy(at, text, text_bytes);
	*name = made;
	return 0;
}

int ul_names_insert(struct ul_names *names, struct ul_name *name)
{
	size_t bytes = (size_t)(name->text - (char *)name) + name->text_bytes;
	if (names->count == names->index_mask || names->bytes + bytes > NAMES_BYTES_MAX)
		return USAGELOG_ERROR_NAMES_FULL;
	uint32_t i = (uint32_t)name->hash & names->bucket_mask;
	while (atomic_load_explicit(&names->buckets[i], memory_order_relaxed))
		i = (i + 1) & names->bucket_mask;
	names->bytes += bytes;
	name->index = ++names->count;
	/* Read under the mutex, too. */
	atomic_store_explicit(&names->by_index[name->index], name, memory_order_relaxed);
	/* Release: pairs with the acquire in ul_names_find(). */
	atomic_store_explicit(&names->buckets[i], name, memory_order_release);
	return 0;
}
