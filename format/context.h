/*
 * Names and attributes (FORMAT.md 5): what may be a name, and how a set of attributes becomes the one canonical text
 * that a definition holds, and how such a text is read back and reduced to its dimensions. Works on bytes from callers
 * and from disk alike, so it trusts neither.
 */
#ifndef USAGELOG_CONTEXT_H
#define USAGELOG_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "format.h"

/* Is this text of 1 to `bytes_max` bytes UTF-8 without control characters? */
bool ul_text_is_plain(const char *text, size_t bytes, size_t bytes_max);

/* Is this a name: 1 to 1,024 bytes of UTF-8 without control characters? */
bool ul_name_is_valid(const char *name, size_t bytes);

/* The attributes of a call. NULL = not given. `metadata` is a JSON object. Terminated strings. */
struct ul_attributes {
	const char *operation;
	const char *error_type;
	const char *service_tier;
	const char *session_id;
	const char *metadata;
};

enum ul_context_error {
	UL_CONTEXT_OK = 0,
	UL_CONTEXT_NAME,     /* one of the four strings is not a name */
	UL_CONTEXT_METADATA, /* not a JSON object, nested too deep, or a key twice */
	UL_CONTEXT_TOO_LONG, /* beyond 16,384 bytes */
};

/* Write the canonical context of these attributes; `*bytes` is 0 if none is given (an empty metadata object counts
 * as none). */
enum ul_context_error ul_context_build(const struct ul_attributes *attributes, char out[UL_CONTEXT_BYTES_MAX],
				       size_t *bytes);

/* Is this the canonical text of a context? */
bool ul_context_is_valid(const char *text, size_t bytes);

/* Write the dimensions of a valid context: itself less all that is not a dimension; "{}" if nothing is left. 0
 * bytes: a call without a context. `group_by`: keys of metadata, of which none is kept if the count is 0. Returns
 * the length (always at most the context's, or 2). */
size_t ul_context_dimensions(const char *text, size_t bytes, const char *const *group_by, size_t group_by_count,
			     char out[UL_CONTEXT_BYTES_MAX]);

/* Copy out the string member `name` ("operation", "error_type", ...) of a valid context or dimensions, terminated; 0
 * bytes: a call without one. Returns its length; 0 if it has none. */
size_t ul_context_string(const char *text, size_t bytes, const char *name, char out[UL_NAME_BYTES_MAX + 1]);

/* Is this the text of a model's definition: provider, zero byte, model, each a name? `*provider_bytes` is set. */
bool ul_model_text_is_valid(const char *text, size_t bytes, size_t *provider_bytes);

#endif
