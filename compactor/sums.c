/* Sums. */
#include "sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "money.h"
#include "os.h"

static_assert(offsetof(struct ul_sum, calls) == TABLE_KEY_BYTES, "a sum's key");

bool sum_add(struct ul_sum *sum, const struct ul_sum *more)
{
	money_t cost;
	bool overflow = __builtin_add_overflow(money_of(sum->cost_pico_usd), money_of(more->cost_pico_usd), &cost);
	overflow |= __builtin_add_overflow(sum->calls, more->calls, &sum->calls);
	overflow |= __builtin_add_overflow(sum->errors, more->errors, &sum->errors);
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		overflow |= __builtin_add_overflow(sum->tokens[i], more->tokens[i], &sum->tokens[i]);
	overflow |= __builtin_add_overflow(sum->balance_tokens, more->balance_tokens, &sum->balance_tokens);
	overflow |= __builtin_add_overflow(sum->unpriced_calls, more->unpriced_calls, &sum->unpriced_calls);
	sum->cost_pico_usd = money_stored(cost);
	return !overflow;
}

bool sum_add_row(struct ul_sum *sum, const struct ul_row *row, bool error)
{
	struct ul_sum more = {.calls = row->calls,
			      .errors = error ? row->calls : 0,
			      .balance_tokens = row->balance_tokens,
			      .unpriced_calls = row->price_class == UL_PRICE_NONE ? row->calls : 0,
			      .cost_pico_usd = row->cost_pico_usd};
	memcpy(more.tokens, row->tokens, sizeof(more.tokens));
	return sum_add(sum, &more);
}

bool sum_is_zero(const struct ul_sum *sum)
{
	static const struct ul_sum zero;
	size_t key = offsetof(struct ul_sum, calls);
	return memcmp(&sum->calls, &zero.calls, sizeof(zero) - key) == 0;
}

int64_t sum_tokens(const struct ul_sum *sum)
{
	/* Shown, not stored: what does not fit is shown as the most. */
	int64_t tokens = sum->balance_tokens;
	for (size_t i = 0; i < UL_REASONING; i++)
		if (__builtin_add_overflow(tokens, sum->tokens[i], &tokens))
			return INT64_MAX;
	return tokens;
}

int sum_list_gather(struct sum_list *list, const struct table *table, uint8_t *used)
{
	list->items = os_allocate(table->count + (size_t)1, sizeof(*list->items));
	if (!list->items)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->count; i++) {
		const struct ul_sum *sum = table_record(table, i);
		if (sum_is_zero(sum))
			continue;
		list->items[list->count++] = *sum;
		if (used)
			used[sum->first] = used[sum->second] = 1;
		if (used && sum->price_key)
			used[sum->price_key & UL_PRICE_KEY_NAME] = 1;
	}
	return 0;
}

static int compare(const void *left, const void *right)
{
	const struct ul_sum *a = left, *b = right;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	if (a->second != b->second)
		return a->second < b->second ? -1 : 1;
	return (a->price_key > b->price_key) - (a->price_key < b->price_key);
}

void sum_list_sort(struct sum_list *list)
{
	qsort(list->items, list->count, sizeof(*list->items), compare);
}

void sum_list_lay_out(struct sum_list *list, const uint32_t *index)
{
	for (size_t i = 0; i < list->count; i++) {
		struct ul_sum *sum = &list->items[i];
		sum->first = index[sum->first];
		sum->second = index[sum->second];
		if (sum->price_key)
			sum->price_key =
				(sum->price_key & ~UL_PRICE_KEY_NAME) | index[sum->price_key & UL_PRICE_KEY_NAME];
	}
	sum_list_sort(list);
}

void sum_list_clear(struct sum_list *list)
{
	free(list->items);
	*list = (struct sum_list){0};
}
