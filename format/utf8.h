/*
 * UTF-8, one code point at a time (RFC 3629): what the JSON scanner, names and log.conf all need to refuse the same
 * bytes.
 */
#ifndef USAGELOG_UTF8_H
#define USAGELOG_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Control characters, by FORMAT.md 5: those that move a terminal's cursor or worse when a name is printed. */
static inline bool ul_is_control(int32_t code_point)
{
	return code_point < 0x20 || (code_point >= 0x7f && code_point <= 0x9f);
}

/* How many bytes follow this first byte of a sequence; -1 if none may begin so. */
static inline int ul_utf8_following(uint8_t first)
{
	if (first < 0x80)
		return 0;
	if (first < 0xc2)
		return -1;
	if (first < 0xe0)
		return 1;
	if (first < 0xf0)
		return 2;
	return first < 0xf5 ? 3 : -1;
}

/* Read the code point at `*at` (which is before `end`) and step over it. Returns -1, `*at` unmoved, if it is not UTF-8:
 * overlong forms, surrogates and what lies above U+10FFFF are not. */
static inline int32_t ul_utf8_read(const char **at, const char *end)
{
	static const int32_t least[4] = {0, 0x80, 0x800, 0x10000};
	const char *from = *at;
	uint8_t first = (uint8_t)*from;
	int following = ul_utf8_following(first);
	if (following < 0 || end - from <= following)
		return -1;
	int32_t code_point = following ? first & (0x3f >> following) : first;
	for (int i = 1; i <= following; i++) {
		uint8_t next = (uint8_t)from[i];
		if ((next & 0xc0) != 0x80)
			return -1;
		code_point = code_point << 6 | (next & 0x3f);
	}
	if (code_point < least[following] || code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000))
		return -1;
	*at = from + following + 1;
	return code_point;
}

/* Write a code point; returns the bytes it takes, 1 to 4. */
static inline size_t ul_utf8_write(char out[4], int32_t code_point)
{
	if (code_point < 0x80) {
		out[0] = (char)code_point;
		return 1;
	}
	size_t following = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
	for (size_t i = following; i > 0; i--) {
		out[i] = (char)(0x80 | (code_point & 0x3f));
		code_point >>= 6;
	}
	/* The first byte begins with as many ones as the sequence has bytes. */
	out[0] = (char)(0xff << (7 - following) | code_point);
	return following + 1;
}

#endif
