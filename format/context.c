/* Names and contexts: context.h. */
#include "context.h"

#include <assert.h>
#include <string.h>

#include "json.h"
#include "utf8.h"

bool ul_text_is_plain(const char *text, size_t bytes, size_t bytes_max)
{
	const char *end = text + bytes;
	if (bytes == 0 || bytes > bytes_max)
		return false;
	while (text < end) {
		int32_t code_point = ul_utf8_read(&text, end);
		if (code_point < 0 || ul_is_control(code_point))
			return false;
	}
	return true;
}

bool ul_name_is_valid(const char *name, size_t bytes)
{
	return ul_text_is_plain(name, bytes, UL_NAME_BYTES_MAX);
}

/* The members of a context, in the order of their keys' bytes, which is their order in every canonical text. */
enum member { MEMBER_ERROR_TYPE, MEMBER_METADATA, MEMBER_OPERATION, MEMBER_SERVICE_TIER, MEMBER_SESSION_ID, MEMBERS };

static const char *const member_names[MEMBERS] = {"error_type", "metadata", "operation", "service_tier", "session_id"};

/* A JSON object in the making. */
struct object {
	char *out;
	size_t bytes;
	size_t bytes_max;
};

static bool object_append(struct object *object, const char *text, size_t bytes)
{
	if (bytes > object->bytes_max - object->bytes)
		return false;
	memcpy(object->out + object->bytes, text, bytes);
	object->bytes += bytes;
	return true;
}

/* What precedes the next member: the opening bracket or a comma, its key, which needs no escapes, and the colon. */
static bool object_append_key(struct object *object, bool first, enum member member)
{
	const char *name = member_names[member];
	return object_append(object, first ? "{\"" : ",\"", 2) && object_append(object, name, strlen(name)) &&
	       object_append(object, "\":", 2);
}

static enum ul_context_error append_string(struct object *object, const char *text)
{
	size_t bytes = strnlen(text, UL_NAME_BYTES_MAX + 1);
	if (!ul_name_is_valid(text, bytes))
		return UL_CONTEXT_NAME;
	ptrdiff_t used = ul_json_quote(text, bytes, object->out + object->bytes, object->bytes_max - object->bytes);
	if (used < 0)
		return UL_CONTEXT_TOO_LONG;
	object->bytes += (size_t)used;
	return UL_CONTEXT_OK;
}

static enum ul_context_error append_metadata(struct object *object, struct ul_json_span metadata)
{
	ptrdiff_t used = ul_json_canonical(metadata, object->out + object->bytes, object->bytes_max - object->bytes);
	if (used == UL_JSON_KEY_TWICE)
		return UL_CONTEXT_METADATA;
	if (used < 0)
		return UL_CONTEXT_TOO_LONG;
	object->bytes += (size_t)used;
	return UL_CONTEXT_OK;
}

static bool object_is_empty(struct ul_json_span object)
{
	struct ul_json_walk walk;
	ul_json_enter(&walk, object);
	return ul_json_next(&walk, NULL).type == UL_JSON_END;
}

/* Find the metadata's object; `*metadata` is of type UL_JSON_END if there is none, or an empty one. */
static enum ul_context_error parse_metadata(const char *text, struct ul_json_span *metadata)
{
	*metadata = (struct ul_json_span){UL_JSON_END, NULL, 0};
	if (!text)
		return UL_CONTEXT_OK;
	struct ul_json_span found = ul_json_parse(text, strlen(text));
	if (found.type != UL_JSON_OBJECT)
		return UL_CONTEXT_METADATA;
	if (!object_is_empty(found))
		*metadata = found;
	return UL_CONTEXT_OK;
}

enum ul_context_error ul_context_build(const struct ul_attributes *attributes, char out[UL_CONTEXT_BYTES_MAX],
				       size_t *bytes)
{
	const char *const strings[MEMBERS] = {
		[MEMBER_ERROR_TYPE] = attributes->error_type,
		[MEMBER_OPERATION] = attributes->operation,
		[MEMBER_SERVICE_TIER] = attributes->service_tier,
		[MEMBER_SESSION_ID] = attributes->session_id,
	};
	struct object object = {.out = out, .bytes_max = UL_CONTEXT_BYTES_MAX};
	struct ul_json_span metadata;
	enum ul_context_error error = parse_metadata(attributes->metadata, &metadata);
	for (enum member i = 0; i < MEMBERS && !error; i++) {
		bool given = i == MEMBER_METADATA ? metadata.type == UL_JSON_OBJECT : strings[i] != NULL;
		if (!given)
			continue;
		if (!object_append_key(&object, object.bytes == 0, i))
			error = UL_CONTEXT_TOO_LONG;
		else
			error = i == MEMBER_METADATA ? append_metadata(&object, metadata)
						     : append_string(&object, strings[i]);
	}
	if (!error && object.bytes && !object_append(&object, "}", 1))
		error = UL_CONTEXT_TOO_LONG;
	/* Metadata is one level deeper in the context than it was on its own. */
	if (!error && object.bytes && ul_json_parse(out, object.bytes).type != UL_JSON_OBJECT)
		error = UL_CONTEXT_METADATA;
	if (!error)
		*bytes = object.bytes;
	return error;
}

/* Is this key, as canonical text has it, that of this member? */
static bool key_is(struct ul_json_span key, enum member member)
{
	size_t bytes = strlen(member_names[member]);
	return key.bytes == bytes + 2 && memcmp(key.text + 1, member_names[member], bytes) == 0;
}

static bool member_is_valid(struct ul_json_span key, struct ul_json_span value)
{
	char name[UL_NAME_BYTES_MAX];
	if (key_is(key, MEMBER_METADATA))
		return value.type == UL_JSON_OBJECT && !object_is_empty(value);
	if (!key_is(key, MEMBER_ERROR_TYPE) && !key_is(key, MEMBER_OPERATION) && !key_is(key, MEMBER_SERVICE_TIER) &&
	    !key_is(key, MEMBER_SESSION_ID))
		return false;
	if (value.type != UL_JSON_STRING)
		return false;
	ptrdiff_t bytes = ul_json_unescape(value, name, sizeof(name));
	return bytes > 0 && ul_name_is_valid(name, (size_t)bytes);
}

bool ul_context_is_valid(const char *text, size_t bytes)
{
	char canonical[UL_CONTEXT_BYTES_MAX];
	struct ul_json_span key;
	struct ul_json_walk walk;
	if (bytes > UL_CONTEXT_BYTES_MAX)
		return false;
	struct ul_json_span object = ul_json_parse(text, bytes);
	if (object.type != UL_JSON_OBJECT)
		return false;
	if (ul_json_canonical(object, canonical, sizeof(canonical)) != (ptrdiff_t)bytes ||
	    memcmp(text, canonical, bytes) != 0)
		return false;
	ul_json_enter(&walk, object);
	for (;;) {
		struct ul_json_span value = ul_json_next(&walk, &key);
		if (value.type == UL_JSON_END)
			return true;
		if (!member_is_valid(key, value))
			return false;
	}
}

/* The object of a valid context; of a call without one, the empty object. */
static struct ul_json_span span_of(const char *text, size_t bytes)
{
	static const char empty[] = "{}";
	return bytes ? (struct ul_json_span){UL_JSON_OBJECT, text, bytes}
		     : (struct ul_json_span){UL_JSON_OBJECT, empty, 2};
}

/* Is this key of metadata, unescaped, one that facts are grouped by? */
static bool key_is_grouped(struct ul_json_span key, const char *const *group_by, size_t group_by_count)
{
	for (size_t i = 0; i < group_by_count; i++)
		if (ul_json_string_is(key, group_by[i], strlen(group_by[i])))
			return true;
	return false;
}

/* Append a member as it stands in a canonical text: what is taken out of such a text in order is canonical again. */
static bool append_member(struct object *object, bool first, struct ul_json_span key, struct ul_json_span value)
{
	return object_append(object, first ? "{" : ",", 1) && object_append(object, key.text, key.bytes) &&
	       object_append(object, ":", 1) && object_append(object, value.text, value.bytes);
}

/* Append the members of metadata that are grouped by, under its key; nothing if there are none. */
static bool append_grouped(struct object *object, struct ul_json_span metadata, const char *const *group_by,
			   size_t group_by_count)
{
	bool first = true;
	struct ul_json_span key;
	struct ul_json_walk walk;
	ul_json_enter(&walk, metadata);
	for (;;) {
		struct ul_json_span value = ul_json_next(&walk, &key);
		if (value.type == UL_JSON_END)
			return first || object_append(object, "}", 1);
		if (!key_is_grouped(key, group_by, group_by_count))
			continue;
		if (first && !object_append_key(object, object->bytes == 0, MEMBER_METADATA))
			return false;
		if (!append_member(object, first, key, value))
			return false;
		first = false;
	}
}

size_t ul_context_dimensions(const char *text, size_t bytes, const char *const *group_by, size_t group_by_count,
			     char out[UL_CONTEXT_BYTES_MAX])
{
	struct object object = {.out = out, .bytes_max = UL_CONTEXT_BYTES_MAX};
	struct ul_json_span key;
	struct ul_json_walk walk;
	bool fits = true;
	ul_json_enter(&walk, span_of(text, bytes));
	while (fits) {
		struct ul_json_span value = ul_json_next(&walk, &key);
		if (value.type == UL_JSON_END)
			break;
		if (key_is(key, MEMBER_METADATA))
			fits = append_grouped(&object, value, group_by, group_by_count);
		else
			fits = append_member(&object, object.bytes == 0, key, value);
	}
	if (object.bytes == 0)
		fits = object_append(&object, "{", 1);
	fits = fits && object_append(&object, "}", 1);
	/* A part of a text that fits does fit. */
	assert(fits);
	return object.bytes;
}

size_t ul_context_string(const char *text, size_t bytes, const char *name, char out[UL_NAME_BYTES_MAX + 1])
{
	struct ul_json_span value = ul_json_member(span_of(text, bytes), name);
	ptrdiff_t used = value.type == UL_JSON_STRING ? ul_json_unescape(value, out, UL_NAME_BYTES_MAX) : 0;
	size_t length = used > 0 ? (size_t)used : 0;
	out[length] = '\0';
	return length;
}

bool ul_model_text_is_valid(const char *text, size_t bytes, size_t *provider_bytes)
{
	const char *zero = memchr(text, '\0', bytes);
	if (!zero)
		return false;
	size_t provider = (size_t)(zero - text);
	if (!ul_name_is_valid(text, provider) || !ul_name_is_valid(zero + 1, bytes - provider - 1))
		return false;
	*provider_bytes = provider;
	return true;
}
