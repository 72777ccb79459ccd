/*
 * Providers under the names that programs give them: one name stands for all that mean the same. Only names that were looked up are here: none is
 * guessed from a part of it.
 */
#ifndef USAGELOG_PROVIDERS_H
#define USAGELOG_PROVIDERS_H

#include "names.h"

/* What a provider is called in reports, itself if it has no other name. Letters are equal in either case. */
uint32_t provider_name(struct names *names, uint32_t provider);

#endif
