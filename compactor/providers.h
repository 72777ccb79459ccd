/*
 * Providers under the names that programs give them: one name stands for all that mean the same. Only names that were looked up are here: none is
 * guessed from a part of it.
 */
#ifndef USAGELOG_PROVIDERS_H
#define USAGELOG_PROVIDERS_H

#include <stddef.h>

/* What a provider is called in reports; NULL: as it is. Letters are equal in either case. */
const char *provider_find(const char *name, size_t bytes);

#endif
