/*
 * A call in the making: from the text of its fields, wherever that comes from (options, columns, members), to what
 * the library takes; or to the field that is wrong and why. `record` and `import` refuse the same things because both
 * come through here.
 */
#ifndef USAGELOG_DRAFT_H
#define USAGELOG_DRAFT_H

#include <stdbool.h>
#include <stddef.h>

#include "format.h"
#include "timetext.h"
#include "usagelog.h"

enum call_field {
	FIELD_TIME,
	FIELD_PROVIDER,
	FIELD_MODEL,
	FIELD_OPERATION,
	FIELD_INPUT_TOKENS,
	FIELD_CACHE_READ_TOKENS,
	FIELD_CACHE_WRITE_5M_TOKENS,
	FIELD_CACHE_WRITE_1H_TOKENS,
	FIELD_OUTPUT_TOKENS,
	FIELD_REASONING_TOKENS,
	FIELD_COST_USD,
	FIELD_LATENCY_MS,
	FIELD_TTFT_MS,
	FIELD_ERROR_TYPE,
	FIELD_SERVICE_TIER,
	FIELD_SESSION_ID,
	FIELD_CALL_ID,
	FIELD_METADATA,
	FIELD_IS_ERROR,
	FIELD_KIND,    /* what dump writes of that which is no call: an opening balance is taken, a reversal refused */
	FIELD_SEGMENT, /* with FIELD_SLOT: what a dump's line is known by */
	FIELD_SLOT,
	FIELD_CALLS, /* of an opening balance, as the next two */
	FIELD_TOKENS,
	FIELD_SCOPE,
	FIELD_COUNT
};

/* The one name of each field, everywhere. */
extern const char *const field_names[FIELD_COUNT];
/* The attribute of OpenTelemetry's GenAI conventions that means the same, where there is one, else NULL. Their names are in flux: here they stand
 * once. Its input includes what was read from a cache and written to one. */
extern const char *const field_attributes[FIELD_COUNT];

/* A field's text, not terminated; no bytes: not given. */
struct field_value {
	const char *text;
	size_t bytes;
};

struct draft {
	struct usagelog_call call;   /* its call_id points to `id`, or is NULL */
	struct usagelog_names names; /* point into the texts below */
	bool is_balance;             /* no call but this, of the same names; its id is that of `call` */
	struct ul_balance_body balance;
	uint8_t id[16];
	char provider[UL_NAME_BYTES_MAX + 1], model[UL_NAME_BYTES_MAX + 1], operation[UL_NAME_BYTES_MAX + 1],
		error_type[UL_NAME_BYTES_MAX + 1], service_tier[UL_NAME_BYTES_MAX + 1],
		session_id[UL_NAME_BYTES_MAX + 1];
	char metadata[UL_CONTEXT_BYTES_MAX + 1];
	char context[UL_CONTEXT_BYTES_MAX]; /* canonical; of no bytes if there are no attributes */
	size_t context_bytes;
};

/* Why a call is refused: the field, and the sentence that begins with its name. */
struct refusal {
	enum call_field field;
	char reason[192];
};

struct draft_rules {
	struct timetext_zone zone;
	bool input_includes_cache; /* subtract the cached tokens from the input */
};

/* Make a call of these fields in a draft that is zeroed, or was made before: names that stay are checked once. False: `why` is set, and the draft is good for nothing. A call without a time is
 * "now"; who wants one asks before. */
bool draft_make(struct draft *draft, struct draft_rules *rules, const struct field_value values[FIELD_COUNT],
		struct refusal *why);

/* What the call is, as the log's id set would say it (ids.h). The draft has a time. */
uint64_t draft_content(const struct draft *draft);

#endif
