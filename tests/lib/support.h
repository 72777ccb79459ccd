/* What the tests of lib/ share: a log in a directory of its own, and what a reader finds in it. */
#ifndef USAGELOG_TESTS_SUPPORT_H
#define USAGELOG_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "usagelog.h"

/* A new directory under the build's, or $TMPDIR; removed by remove_directory(). */
void make_directory(char directory[256]);
void remove_directory(const char *directory);

/* A test's own directory, and what makes and removes it, as cmocka calls it. */
extern char path[256];
int setup_directory(void **state);
int teardown_directory(void **state);

/* How many files of the directory end so. */
size_t count_files(const char *directory, const char *ending);
/* The path of the n-th file, by name, that ends so. */
void find_file(const char *directory, const char *ending, size_t n, char found[512]);

/* What the segments of a directory hold, all files together. */
struct found {
	uint64_t calls, definitions, continuations, call_ids, paddings;
	uint64_t unfinished, damaged, unknown;
	uint64_t input_tokens;
	uint64_t durable_slots;
	uint64_t segments;
};
struct found read_log(const char *directory);
/* How many calls carry this many input tokens. */
uint64_t count_calls(const char *directory, uint32_t input_tokens);

/* `usagelog verify` finds the log sound, and `usagelog dump` so many calls. The program is $USAGELOG_BIN; without it, nothing is done. */
void verify_log(const char *directory, uint64_t calls);

usagelog *open_log(const char *directory, const struct usagelog_options *options);
struct usagelog_stats stats_of(usagelog *log);
/* Record a call that can be told by its input tokens; must be committed. */
void record_one(usagelog *log, uint32_t input_tokens);
/* Poll until the condition holds, at most ten seconds. */
#define wait_until(condition)                                              \
	do {                                                               \
		int tries_;                                                \
		for (tries_ = 0; tries_ < 10000 && !(condition); tries_++) \
			sleep_ms(1);                                       \
		assert_true(condition);                                    \
	} while (0)
void sleep_ms(unsigned ms);

#endif
