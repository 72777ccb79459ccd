/* What every test of the format includes: cmocka with all that it needs before it, and numbers that look random but
 * repeat. */
#ifndef USAGELOG_TESTS_FORMAT_SUPPORT_H
#define USAGELOG_TESTS_FORMAT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* splitmix64: every seed gives a sequence of its own, the same on each run. */
static inline uint64_t test_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* A copy without a terminating zero or any other byte behind it, so that the sanitizer sees a read beyond the end. */
static inline char *test_exact_copy(const char *text, size_t bytes)
{
	char *copy = malloc(bytes ? bytes : 1);
	assert_non_null(copy);
	memcpy(copy, text, bytes);
	return copy;
}

#endif
