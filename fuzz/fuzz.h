/*
 * What all fuzz targets share. A target is one function of bytes; it runs under libFuzzer, or over files under replay.c. It aborts
 * when a promise is broken, and never for what the bytes say.
 */
#ifndef USAGELOG_FUZZ_H
#define USAGELOG_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The three names are libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t bytes_max);

/* A promise; unlike assert() it is also looked at in release builds. */
#define FUZZ_CHECK(condition)                                                                   \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* How many inputs were sound so far, of a target whose inputs have checksums: only with those it comes to what is behind them. */
extern unsigned long fuzz_sound;

/* A small generator for mutators: libFuzzer's rand() must not be used up. */
static inline uint32_t fuzz_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* A descriptor of a file that holds these bytes until the next call, and is read from its beginning; the caller closes it. */
int fuzz_file(const uint8_t *data, size_t bytes);

/* Make a file of these bytes under this name in a directory, whatever was there. */
void fuzz_write(int directory, const char *name, const void *data, size_t bytes);

/* Make a directory of its own for this run, in memory if there is room for that; at its end it is removed with its files.
 * Static. */
char *fuzz_directory(void);

/* What the code under test says about hostile input goes nowhere; sanitizers and FUZZ_CHECK write to the descriptor. */
void fuzz_silence(void);

#endif
