/* Rows summed up by what is named in them. */
#include "breakdown.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "money.h"
#include "providers.h"

enum { BY_MODEL, BY_PROVIDER, BY_OPERATION, BY_ERROR, BY_COUNT };

static uint32_t dimension(struct names *names, uint32_t dimensions, const char *name)
{
	char text[UL_NAME_BYTES_MAX + 1];
	struct ul_text all = names_text(names, dimensions);
	size_t bytes = ul_context_string(all.text, all.bytes, name, text);
	return bytes ? names_intern(names, text, bytes) : NAME_EMPTY;
}

/* FORMAT.md 3.4: an opening balance may count in days and totals only, or in breakdowns by name only. */
static int add_row(struct breakdown *breakdown, struct table by[BY_COUNT], struct names *names,
		   const struct ul_row *row)
{
	uint32_t error_type = dimension(names, row->dimensions, "error_type");
	const uint32_t keys[BY_COUNT] = {[BY_MODEL] = row->model,
					 [BY_PROVIDER] = row->provider,
					 [BY_OPERATION] = dimension(names, row->dimensions, "operation"),
					 [BY_ERROR] = error_type};
	bool failed = error_type != NAME_EMPTY;
	if ((row->scope == 0 || row->scope & 1) && !sum_add_row(&breakdown->all, row, failed))
		return -EOVERFLOW;
	for (size_t i = 0; i < BY_COUNT && row->scope != 1; i++) {
		struct ul_sum key = {.first = keys[i]};
		if (keys[i] == NAME_EMPTY)
			continue;
		struct ul_sum *sum = table_get(&by[i], &key);
		if (!sum)
			return -ENOMEM;
		if (!sum_add_row(sum, row, failed))
			return -EOVERFLOW;
	}
	return 0;
}

int breakdown_make(struct breakdown *breakdown, const struct table *rows, struct names *names)
{
	struct table by[BY_COUNT];
	struct sum_list *lists[BY_COUNT] = {[BY_MODEL] = &breakdown->models,
					    [BY_PROVIDER] = &breakdown->providers,
					    [BY_OPERATION] = &breakdown->operations,
					    [BY_ERROR] = &breakdown->errors};
	int error = 0;
	*breakdown = (struct breakdown){0};
	for (size_t i = 0; i < BY_COUNT; i++)
		table_init(&by[i], sizeof(struct ul_sum));
	for (uint32_t i = 0; i < rows->count && !error; i++)
		error = add_row(breakdown, by, names, table_record(rows, i));
	for (size_t i = 0; i < BY_COUNT; i++) {
		if (!error)
			error = sum_list_gather(lists[i], &by[i], NULL);
		table_clear(&by[i]);
	}
	return error ? error : names->error;
}

void breakdown_clear(struct breakdown *breakdown)
{
	sum_list_clear(&breakdown->models);
	sum_list_clear(&breakdown->providers);
	sum_list_clear(&breakdown->operations);
	sum_list_clear(&breakdown->errors);
}

uint32_t breakdown_provider(struct names *names, uint32_t provider)
{
	char copy[UL_NAME_BYTES_MAX];
	struct ul_text given = names_text(names, provider), family = provider_family(given);
	if (names_compare(given, family) == 0 || family.bytes > sizeof(copy))
		return provider;
	/* It may be a part of a name, and names move as others are added. */
	memcpy(copy, family.text, family.bytes);
	return names_intern(names, copy, family.bytes);
}

int breakdown_join_providers(struct breakdown *breakdown, struct names *names)
{
	struct table joined;
	struct sum_list list = {0};
	int error = 0;
	table_init(&joined, sizeof(struct ul_sum));
	for (size_t i = 0; i < breakdown->providers.count && !error; i++) {
		const struct ul_sum *part = &breakdown->providers.items[i];
		struct ul_sum key = {.first = breakdown_provider(names, part->first)};
		struct ul_sum *sum = table_get(&joined, &key);
		error = !sum ? -ENOMEM : sum_add(sum, part) ? 0 : -EOVERFLOW;
	}
	if (!error)
		error = sum_list_gather(&list, &joined, NULL);
	table_clear(&joined);
	if (error) {
		sum_list_clear(&list);
		return error;
	}
	sum_list_clear(&breakdown->providers);
	breakdown->providers = list;
	return names->error;
}

static int compare_names(const void *left, const void *right, void *names)
{
	const struct ul_sum *a = left, *b = right;
	return names_compare(names_text(names, a->first), names_text(names, b->first));
}

static int compare_costs(const void *left, const void *right, void *names)
{
	const struct ul_sum *a = left, *b = right;
	money_t cost_a = money_of(a->cost_pico_usd), cost_b = money_of(b->cost_pico_usd);
	if (cost_a != cost_b)
		return cost_a > cost_b ? -1 : 1;
	if (a->calls != b->calls)
		return a->calls > b->calls ? -1 : 1;
	return compare_names(left, right, names);
}

void breakdown_sort_by_name(struct sum_list *list, const struct names *names)
{
	if (list->count)
		qsort_r(list->items, list->count, sizeof(*list->items), compare_names, (void *)(uintptr_t)names);
}

void breakdown_sort_by_cost(struct sum_list *list, const struct names *names)
{
	if (list->count)
		qsort_r(list->items, list->count, sizeof(*list->items), compare_costs, (void *)(uintptr_t)names);
}
