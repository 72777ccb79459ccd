/*
 * Providers under the names that programs give them: one name stands for all that mean the same. Only names that were looked up are here: none is
 * guessed from a part of it. It must not know what the names are wanted for.
 */
#ifndef USAGELOG_PROVIDERS_H
#define USAGELOG_PROVIDERS_H

#include "names.h"

/* The name that stands for all names of a provider; the name itself if none other is known. Letters are equal in either case. */
struct ul_text provider_family(struct ul_text provider);
/* The same of a name's number. */
uint32_t provider_name(struct names *names, uint32_t provider);

/* The names of a family besides its own, by index; NULL after the last. */
const char *provider_alias(struct ul_text family, size_t index);

static inline struct ul_text provider_text(const char *name)
{
	return (struct ul_text){name, (uint32_t)__builtin_strlen(name)};
}

#endif
