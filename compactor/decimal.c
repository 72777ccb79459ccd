/* Decimal text to integers. The text is first taken apart into its digits and where the point stands among them; then
 * only digits are counted. */
#include "decimal.h"

#include <stdbool.h>

enum {
	INTEGER_DIGITS_MAX = 19,   /* of INT64_MAX */
	EXPONENT_MAX = 1000000000, /* beyond all texts' lengths: larger exponents change nothing */
};

/* The digits of a number: those of `whole`, then those of `fraction`, with the point moved right by `exponent`. */
struct parts {
	bool negative;
	const char *whole, *fraction;
	size_t whole_digits, fraction_digits;
	int64_t exponent;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t digits_at(const char *at, const char *end)
{
	const char *from = at;
	while (at < end && is_digit(*at))
		at++;
	return (size_t)(at - from);
}

static bool take_exponent(const char *at, const char *end, int64_t *exponent)
{
	bool negative = at < end && *at == '-';
	if (at < end && (*at == '-' || *at == '+'))
		at++;
	size_t digits = digits_at(at, end);
	if (!digits || at + digits != end)
		return false;
	int64_t value = 0;
	for (; at < end; at++)
		value = value < EXPONENT_MAX ? value * 10 + (*at - '0') : EXPONENT_MAX;
	*exponent = negative ? -value : value;
	return true;
}

static bool take_apart(const char *text, size_t bytes, struct parts *parts)
{
	if (!bytes)
		return false;
	const char *at = text, *end = text + bytes;
	*parts = (struct parts){.negative = *text == '-'};
	if (*at == '-' || *at == '+')
		at++;
	parts->whole = at;
	parts->whole_digits = digits_at(at, end);
	at += parts->whole_digits;
	if (at < end && *at == '.') {
		parts->fraction = ++at;
		parts->fraction_digits = digits_at(at, end);
		at += parts->fraction_digits;
	}
	if (!parts->whole_digits && !parts->fraction_digits)
		return false;
	if (at < end && (*at == 'e' || *at == 'E'))
		return take_exponent(at + 1, end, &parts->exponent);
	return at == end;
}

static int digit_of(const struct parts *parts, size_t index)
{
	return index < parts->whole_digits ? parts->whole[index] - '0'
					   : parts->fraction[index - parts->whole_digits] - '0';
}

/* Is any digit from `index` on not 0? */
static bool any_from(const struct parts *parts, size_t index)
{
	for (size_t count = parts->whole_digits + parts->fraction_digits; index < count; index++)
		if (digit_of(parts, index))
			return true;
	return false;
}

/* |number| * 10^scale, rounded; `*exact` says that nothing was rounded off. Any result above 10^19 is DECIMAL_RANGE. */
static enum decimal_error to_integer(const struct parts *parts, int scale, uint64_t *out, bool *exact)
{
	size_t count = parts->whole_digits + parts->fraction_digits, first = 0;
	while (first < count && !digit_of(parts, first))
		first++;
	*out = 0;
	*exact = true;
	if (first == count)
		return DECIMAL_OK;
	/* Where the point stands, counted in digits from the first that is not 0: so many digits are kept. */
	int64_t kept = (int64_t)parts->whole_digits - (int64_t)first + parts->exponent + scale;
	if (kept > INTEGER_DIGITS_MAX)
		return DECIMAL_RANGE;
	if (kept < 0) {
		*exact = false;
		return DECIMAL_OK;
	}
	uint64_t value = 0;
	for (size_t i = 0; i < (size_t)kept; i++)
		value = value * 10 + (first + i < count ? (uint64_t)digit_of(parts, first + i) : 0);
	size_t next = first + (size_t)kept;
	if (next < count) {
		int digit = digit_of(parts, next);
		bool more = any_from(parts, next + 1);
		*exact = !digit && !more;
		if (digit > 5 || (digit == 5 && (more || (value & 1))))
			value++;
	}
	*out = value;
	return DECIMAL_OK;
}

enum decimal_error decimal_parse(const char *text, size_t bytes, int scale, int64_t *out)
{
	struct parts parts;
	uint64_t value;
	bool exact;
	if (!take_apart(text, bytes, &parts))
		return DECIMAL_SYNTAX;
	enum decimal_error error = to_integer(&parts, scale, &value, &exact);
	if (error)
		return error;
	if (value > (uint64_t)INT64_MAX + parts.negative)
		return DECIMAL_RANGE;
	*out = parts.negative ? (int64_t)(0 - value) : (int64_t)value;
	return DECIMAL_OK;
}

static enum decimal_error parse_positive(const char *text, size_t bytes, int scale, uint64_t most, uint64_t *out,
					 bool whole)
{
	struct parts parts;
	uint64_t value;
	bool exact;
	if (!take_apart(text, bytes, &parts))
		return DECIMAL_SYNTAX;
	if (parts.negative && any_from(&parts, 0))
		return DECIMAL_NEGATIVE;
	enum decimal_error error = to_integer(&parts, scale, &value, &exact);
	if (error)
		return error;
	if (whole && !exact)
		return DECIMAL_FRACTION;
	if (value > most)
		return DECIMAL_RANGE;
	*out = value;
	return DECIMAL_OK;
}

enum decimal_error decimal_parse_positive(const char *text, size_t bytes, int scale, uint64_t most, uint64_t *out)
{
	return parse_positive(text, bytes, scale, most, out, false);
}

enum decimal_error decimal_parse_count(const char *text, size_t bytes, uint64_t most, uint64_t *out)
{
	/* The usual count: a few plain digits. */
	if (bytes && bytes <= 10 && digits_at(text, text + bytes) == bytes) {
		uint64_t value = 0;
		for (size_t i = 0; i < bytes; i++)
			value = value * 10 + (uint64_t)(text[i] - '0');
		if (value > most)
			return DECIMAL_RANGE;
		*out = value;
		return DECIMAL_OK;
	}
	return parse_positive(text, bytes, 0, most, out, true);
}

const char *decimal_strerror(enum decimal_error error)
{
	switch (error) {
	case DECIMAL_OK:
		return "is a number";
	case DECIMAL_SYNTAX:
		return "is not a decimal number";
	case DECIMAL_RANGE:
		return "is beyond what the field holds";
	case DECIMAL_FRACTION:
		return "is not a whole number";
	case DECIMAL_NEGATIVE:
		return "is negative";
	}
	return "is not a number";
}
