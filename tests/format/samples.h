/*
 * Sound containers of each kind, small, but with every section in use, and ways to spoil them: for the tests of
 * container.c and for the golden files.
 */
#ifndef USAGELOG_TESTS_FORMAT_SAMPLES_H
#define USAGELOG_TESTS_FORMAT_SAMPLES_H

#include "container.h"

extern const struct ul_id sample_log_id;

/* Build the sample of this kind, with an additional section of type `extra` (0: none) and without that of type
 * `left_out` (0: none is left out). The caller frees it. */
void *sample_build(enum ul_container_kind kind, uint32_t extra, uint32_t left_out, size_t *size_bytes);

/* Make the checksum agree again. */
void sample_seal(void *bytes, size_t size_bytes);

/* Record `index` of a section of a sound frame, to be changed. */
void *sample_record(void *bytes, uint32_t type, uint64_t index);

/* One change to a sound sample after which it is no longer so. */
struct sample_change {
	const char *why; /* a sentence about what is wrong, without a full stop; also names the case in a failure */
	enum ul_container_kind kind;
	uint32_t type; /* section of the record that changes; 0: `offset` counts from the beginning of the file */
	uint32_t index;
	uint32_t offset;
	uint32_t bytes;
	uint64_t value;
};

extern const struct sample_change sample_changes[];
extern const size_t sample_change_count;

/* Make the change and seal. */
void sample_spoil(void *bytes, size_t size_bytes, const struct sample_change *change);

/* Swap two neighbouring records and seal. */
void sample_swap(void *bytes, size_t size_bytes, uint32_t type, uint64_t index);

#endif
