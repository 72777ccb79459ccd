/* Python's strings to handles of names: a look at the objects themselves, in most calls. */
#include "native.h"

#include <string.h>

static struct cached_model *place_of_model(struct name_cache *cache, Py_hash_t hash)
{
	return &cache->models[((size_t)hash ^ (size_t)hash >> 16) % NAMES_CACHED];
}

static struct cached_context *place_of_context(struct name_cache *cache, Py_hash_t hash)
{
	return &cache->contexts[((size_t)hash ^ (size_t)hash >> 16) % NAMES_CACHED];
}

static void clear_model(struct cached_model *cached)
{
	Py_CLEAR(cached->provider);
	Py_CLEAR(cached->model);
}

static void clear_context(struct cached_context *cached)
{
	for (int i = 0; i < CONTEXT_PARTS; i++)
		Py_CLEAR(cached->parts[i]);
	cached->handle.index = 0;
}

void name_cache_clear(struct name_cache *cache)
{
	for (int i = 0; i < NAMES_CACHED; i++) {
		clear_model(&cache->models[i]);
		clear_context(&cache->contexts[i]);
	}
}

static inline Py_hash_t mix(Py_hash_t hash, PyObject *text)
{
	return (Py_hash_t)((Py_uhash_t)hash * 1000003 ^ (Py_uhash_t)PyObject_Hash(text));
}

/* Of two strings with the same hash. */
static inline bool is_same(PyObject *left, PyObject *right)
{
	return left == right || (left && right && PyUnicode_Compare(left, right) == 0);
}

static void take(PyObject **place, PyObject *text)
{
	Py_XINCREF(text);
	*place = text;
}

static inline size_t place_of(uintptr_t objects)
{
	return (size_t)((uint64_t)objects * 0x9e3779b97f4a7c15 >> 58);
}
static_assert(NAMES_RECENT == 1 << 6, "the upper 6 bits of a product");

int name_cache_model(struct name_cache *cache, usagelog *log, PyObject *const fields[FIELD_COUNT], PyObject *provider,
		     PyObject *model, usagelog_model *out)
{
	struct cached_model **recent = &cache->recent_models[place_of((uintptr_t)provider + 3 * (uintptr_t)model)];
	if (likely(*recent && (*recent)->provider == provider && (*recent)->model == model)) {
		*out = (*recent)->handle;
		return 0;
	}
	Py_hash_t hash = mix(mix(0, provider), model);
	struct cached_model *cached = place_of_model(cache, hash);
	if (cached->hash == hash && cached->provider && is_same(cached->provider, provider) &&
	    is_same(cached->model, model)) {
		*out = cached->handle;
		*recent = cached;
		return 0;
	}
	const char *provider_text = value_text(provider, fields[FIELD_PROVIDER]);
	const char *model_text = provider_text ? value_text(model, fields[FIELD_MODEL]) : NULL;
	if (!model_text)
		return 1;
	int error = usagelog_model_get(log, provider_text, model_text, out);
	if (error)
		return error;
	clear_model(cached);
	take(&cached->provider, provider);
	take(&cached->model, model);
	cached->hash = hash;
	cached->handle = *out;
	return 0;
}

int name_parts_read(PyObject *const fields[FIELD_COUNT], PyObject *const parts[CONTEXT_PARTS],
		    struct usagelog_attributes *attributes)
{
	const char **texts[CONTEXT_PARTS] = {&attributes->operation, &attributes->error_type, &attributes->service_tier,
					     &attributes->session_id, &attributes->metadata};
	for (int i = 0; i < CONTEXT_PARTS; i++) {
		*texts[i] = parts[i] ? value_text(parts[i], fields[FIELD_OPERATION + i]) : NULL;
		if (parts[i] && !*texts[i])
			return 1;
	}
	return 0;
}

int name_cache_context(struct name_cache *cache, usagelog *log, PyObject *const fields[FIELD_COUNT],
		       PyObject *const parts[CONTEXT_PARTS], usagelog_context *out)
{
	uintptr_t objects = 0;
	for (int i = 0; i < CONTEXT_PARTS; i++)
		objects += (2 * (uintptr_t)i + 1) * (uintptr_t)parts[i];
	struct cached_context **recent = &cache->recent_contexts[place_of(objects)];
	if (likely(*recent && (*recent)->handle.index &&
		   memcmp((*recent)->parts, parts, sizeof((*recent)->parts)) == 0)) {
		*out = (*recent)->handle;
		return 0;
	}
	Py_hash_t hash = 0;
	for (int i = 0; i < CONTEXT_PARTS; i++)
		if (parts[i])
			hash = mix(hash + i, parts[i]);
	struct cached_context *cached = place_of_context(cache, hash);
	bool same = cached->hash == hash && cached->handle.index;
	for (int i = 0; i < CONTEXT_PARTS && same; i++)
		same = is_same(cached->parts[i], parts[i]);
	if (same) {
		*out = cached->handle;
		*recent = cached;
		return 0;
	}
	struct usagelog_attributes attributes;
	if (name_parts_read(fields, parts, &attributes))
		return 1;
	int error = usagelog_context_get(log, &attributes, out);
	/* Attributes that come to nothing have the handle of none, which marks a free place, and are found out each time. */
	if (error || !out->index)
		return error;
	clear_context(cached);
	for (int i = 0; i < CONTEXT_PARTS; i++)
		take(&cached->parts[i], parts[i]);
	cached->hash = hash;
	cached->handle = *out;
	return 0;
}
