/*
 * Providers under their several names: LiteLLM's, OpenTelemetry's gen_ai.provider.name, and what people write. It must not know what the
 * names are wanted for.
 */
#ifndef USAGELOG_PROVIDERS_H
#define USAGELOG_PROVIDERS_H

#include "container.h"

/* The name that all names of a provider share, which is the prefix of its models in LiteLLM's map; the name itself if none other is known. */
struct ul_text provider_family(struct ul_text provider);

/* The names of a family besides its own, by index; NULL after the last. */
const char *provider_alias(struct ul_text family, size_t index);

static inline struct ul_text provider_text(const char *name)
{
	return (struct ul_text){name, (uint32_t)__builtin_strlen(name)};
}

#endif
