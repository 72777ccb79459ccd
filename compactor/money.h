/*
 * Money out: pico-USD (1e-12 US dollars) as exact decimal text. Sums are 128 bits wide, and no double is ever made of one.
 */
#ifndef USAGELOG_MONEY_H
#define USAGELOG_MONEY_H

#include <stddef.h>
#include <stdint.h>

#include "format.h"

typedef __int128 money_t;

static inline money_t money_of(struct ul_i128 value)
{
	return (money_t)((unsigned __int128)(uint64_t)value.high << 64 | value.low);
}

static inline struct ul_i128 money_stored(money_t value)
{
	return (struct ul_i128){.low = (uint64_t)value, .high = (int64_t)(value >> 64)};
}

/* A sign, 27 digits, a point, 12 digits, a zero. */
enum { MONEY_TEXT_BYTES = 48 };

/* US dollars, exactly, without zeros at the end: 0, 0.0002, -12.5. Returns the length. */
size_t money_print(char out[MONEY_TEXT_BYTES], money_t pico_usd);

/* US dollars for people: thousands separated, rounded half up in size to so many decimals (0 to 12). */
enum { MONEY_SHOWN_BYTES = 64 };
size_t money_show(char out[MONEY_SHOWN_BYTES], money_t pico_usd, unsigned decimals);

/* A count with thousands separated: 1,234,567. */
size_t count_show(char out[MONEY_SHOWN_BYTES], int64_t count);

/* Bytes with their unit: 512 B, 1.2 GiB. */
void size_show(char out[MONEY_SHOWN_BYTES], uint64_t bytes);

#endif
