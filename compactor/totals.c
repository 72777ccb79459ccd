/* Totals out of roll-ups. */
#include "totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

int64_t total_tokens(const struct total *total)
{
	/* Shown, not stored: what does not fit is shown as the most. */
	int64_t sum = total->balance_tokens;
	for (size_t i = 0; i < UL_REASONING; i++)
		if (__builtin_add_overflow(sum, total->tokens[i], &sum))
			return INT64_MAX;
	return sum;
}

static bool add_row(struct total *total, const struct ul_row *row, bool error)
{
	money_t cost;
	bool overflow = __builtin_add_overflow(money_of(total->cost_pico_usd), money_of(row->cost_pico_usd), &cost);
	overflow |= __builtin_add_overflow(total->calls, row->calls, &total->calls);
	overflow |= __builtin_add_overflow(total->errors, error ? row->calls : 0, &total->errors);
	overflow |= __builtin_add_overflow(total->unpriced, row->price_class == UL_PRICE_NONE ? row->calls : 0,
					   &total->unpriced);
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		overflow |= __builtin_add_overflow(total->tokens[i], row->tokens[i], &total->tokens[i]);
	overflow |= __builtin_add_overflow(total->balance_tokens, row->balance_tokens, &total->balance_tokens);
	total->cost_pico_usd = money_stored(cost);
	return !overflow;
}

static int add_to(struct table *table, uint64_t key, const struct ul_row *row, bool error)
{
	uint64_t keys[2] = {key, 0};
	struct total *total = table_get(table, keys);
	if (!total)
		return -ENOMEM;
	return add_row(total, row, error) ? 0 : -EOVERFLOW;
}

static uint32_t dimension(struct names *names, uint32_t dimensions, const char *name)
{
	char text[UL_NAME_BYTES_MAX + 1];
	struct ul_text all = names_text(names, dimensions);
	size_t bytes = ul_context_string(all.text, all.bytes, name, text);
	return bytes ? names_intern(names, text, bytes) : NAME_EMPTY;
}

/* FORMAT.md 3.4: an opening balance may count in days and totals only, or in breakdowns by name only. */
static int add_rollup(struct totals *totals, struct names *names, const struct ul_rollup *rollup)
{
	const struct ul_row *row = &rollup->row;
	uint32_t error_type = dimension(names, row->dimensions, "error_type");
	uint32_t operation = dimension(names, row->dimensions, "operation");
	bool failed = error_type != NAME_EMPTY;
	int error = 0;
	if (row->scope == 0 || row->scope & 1) {
		error = add_row(&totals->all, row, failed) ? 0 : -EOVERFLOW;
		if (!error)
			error = add_to(&totals->days, (uint32_t)rollup->day, row, failed);
	}
	if (row->scope == 1 || error)
		return error;
	error = add_to(&totals->models, row->model, row, failed);
	if (!error)
		error = add_to(&totals->providers, row->provider, row, failed);
	if (!error && operation != NAME_EMPTY)
		error = add_to(&totals->operations, operation, row, failed);
	if (!error && failed)
		error = add_to(&totals->errors, error_type, row, failed);
	return error;
}

int totals_make(struct totals *totals, const struct checkpoint *checkpoint, struct names *names, int32_t first_day,
		int32_t last_day)
{
	*totals = (struct totals){0};
	struct table *tables[] = {&totals->days, &totals->models, &totals->providers, &totals->operations,
				  &totals->errors};
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		table_init(tables[i], sizeof(struct total));
	static_assert(offsetof(struct total, calls) == TABLE_KEY_BYTES, "a total's key");
	int error = 0;
	for (size_t i = 0; i < checkpoint->rollup_count && !error; i++) {
		const struct ul_rollup *rollup = &checkpoint->rollups[i];
		if (rollup->day >= first_day && rollup->day <= last_day && !row_is_zero(&rollup->row))
			error = add_rollup(totals, names, rollup);
	}
	return error ? error : names->error;
}

void totals_clear(struct totals *totals)
{
	table_clear(&totals->days);
	table_clear(&totals->models);
	table_clear(&totals->providers);
	table_clear(&totals->operations);
	table_clear(&totals->errors);
}

static int compare_names(const void *left, const void *right, void *names)
{
	const struct total *a = left, *b = right;
	return names_compare(names_text(names, (uint32_t)a->key), names_text(names, (uint32_t)b->key));
}

static int compare_days(const void *left, const void *right)
{
	int32_t a = total_day(left), b = total_day(right);
	return (a > b) - (a < b);
}

static int compare_costs(const void *left, const void *right, void *names)
{
	const struct total *a = left, *b = right;
	money_t cost_a = money_of(a->cost_pico_usd), cost_b = money_of(b->cost_pico_usd);
	if (cost_a != cost_b)
		return cost_a > cost_b ? -1 : 1;
	if (a->calls != b->calls)
		return a->calls > b->calls ? -1 : 1;
	return compare_names(left, right, names);
}

void totals_sort_by_name(struct table *table, const struct names *names)
{
	if (table->count)
		qsort_r(table->records, table->count, table->record_bytes, compare_names, (void *)(uintptr_t)names);
}

void totals_sort_by_day(struct table *table)
{
	if (table->count)
		qsort(table->records, table->count, table->record_bytes, compare_days);
}

void totals_sort_by_cost(struct table *table, const struct names *names)
{
	if (table->count)
		qsort_r(table->records, table->count, table->record_bytes, compare_costs, (void *)(uintptr_t)names);
}
