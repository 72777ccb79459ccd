/* Money out. */
#include "money.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DECIMALS = 12 };

static const uint64_t one_dollar = 1000000000000; /* pico-USD */

/* Write the digits of `value` backwards from `end`, a comma after every third if asked. Returns where they begin. */
static char *digits_before(char *end, unsigned __int128 value, bool commas)
{
	unsigned count = 0;
	do {
		if (commas && count && count % 3 == 0)
			*--end = ',';
		*--end = (char)('0' + (int)(value % 10));
		value /= 10;
		count++;
	} while (value);
	return end;
}

static unsigned __int128 size_of(money_t value)
{
	return value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
}

size_t money_print(char out[MONEY_TEXT_BYTES], money_t pico_usd)
{
	char text[MONEY_TEXT_BYTES], *whole_end = text + MONEY_TEXT_BYTES - DECIMALS - 2;
	unsigned __int128 size = size_of(pico_usd);
	uint64_t fraction = (uint64_t)(size % one_dollar);
	char *start = digits_before(whole_end, size / one_dollar, false);
	if (pico_usd < 0)
		*--start = '-';
	char *end = whole_end;
	if (fraction) {
		end += (size_t)snprintf(end, DECIMALS + 2, ".%012llu", (unsigned long long)fraction);
		while (end[-1] == '0')
			end--;
	}
	size_t length = (size_t)(end - start);
	memcpy(out, start, length);
	out[length] = '\0';
	return length;
}

size_t money_show(char out[MONEY_SHOWN_BYTES], money_t pico_usd, unsigned decimals)
{
	assert(decimals <= DECIMALS);
	uint64_t step = 1;
	for (unsigned i = decimals; i < DECIMALS; i++)
		step *= 10;
	unsigned __int128 size = (size_of(pico_usd) + step / 2) / step; /* in units of the last decimal */
	uint64_t units = one_dollar / step;
	char text[MONEY_SHOWN_BYTES], *end = text + sizeof(text);
	char *start = digits_before(end, size / units, true);
	if (pico_usd < 0 && size)
		*--start = '-';
	size_t length = (size_t)(end - start);
	memcpy(out, start, length);
	out[length] = '\0';
	if (decimals)
		length += (size_t)snprintf(out + length, DECIMALS + 2, ".%0*llu", (int)decimals,
					   (unsigned long long)(uint64_t)(size % units));
	return length;
}

size_t count_show(char out[MONEY_SHOWN_BYTES], int64_t count)
{
	char text[MONEY_SHOWN_BYTES], *end = text + sizeof(text), *start = digits_before(end, size_of(count), true);
	if (count < 0)
		*--start = '-';
	memcpy(out, start, (size_t)(end - start));
	out[end - start] = '\0';
	return (size_t)(end - start);
}

void size_show(char out[MONEY_SHOWN_BYTES], uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t unit = 1;
	uint64_t tenths = bytes / 1024 * 10 + bytes % 1024 * 10 / 1024;
	if (bytes < 1024) {
		snprintf(out, MONEY_SHOWN_BYTES, "%u B", (unsigned)bytes);
		return;
	}
	for (; tenths >= 10240; unit++)
		tenths /= 1024;
	snprintf(out, MONEY_SHOWN_BYTES, "%u.%u %s", (unsigned)(tenths / 10), (unsigned)(tenths % 10), units[unit]);
}
