/*
 * The mutator of all targets that read segments: it changes one header field, state block, durable count or slot at a time, in place, and
 * makes the checksums agree, so that what is behind them is reached.
 */
#ifndef USAGELOG_SEGMENT_MUTATOR_H
#define USAGELOG_SEGMENT_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

size_t segment_mutate(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed);

/* Make a header page's magic and checksum agree with the rest of it. */
void segment_seal_header(uint8_t *page);

#endif
