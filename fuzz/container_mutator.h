/*
 * The mutator of all targets that read containers (FORMAT.md 6): it changes records, takes some out and puts some in, lays the
 * sections out again, and makes size and checksum agree, so that what is behind the checksum is reached.
 */
#ifndef USAGELOG_CONTAINER_MUTATOR_H
#define USAGELOG_CONTAINER_MUTATOR_H

#include "container.h"

size_t container_mutate(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed, enum ul_container_kind kind);

/* Run every record of a sound container's sections, and every string, past the eye of a sanitizer. What it returns says nothing, but
 * keeps the reads from being left out. */
uint8_t container_walk(const struct ul_container *container);

/* The bytes, where a container may be read: aligned to 8. The caller frees them. */
void *container_aligned(const uint8_t *data, size_t bytes);

/* What is written of a sound container is sound itself, and has one form only. `encode` gives malloc'd bytes, or NULL of a container that no bytes
 * can be made of. */
void container_round_trip(const uint8_t *data, size_t bytes, enum ul_container_kind kind,
			  void *(*encode)(const struct ul_container *file, size_t *bytes));

#endif
