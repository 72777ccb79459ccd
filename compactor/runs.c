/* A set of slots as runs. */
#include "runs.h"

#include <errno.h>
#include <stdlib.h>

#include "os.h"

void runs_clear(struct runs *runs)
{
	free(runs->items);
	*runs = (struct runs){0};
}

int runs_append_run(struct runs *runs, struct ul_run run)
{
	struct ul_run *last = runs->count ? &runs->items[runs->count - 1] : NULL;
	assert(run.slot_count && (!last || run.first_slot - last->first_slot >= last->slot_count));
	if (last && run.first_slot - last->first_slot == last->slot_count) {
		last->slot_count += run.slot_count;
		return 0;
	}
	if (runs->count == runs->room) {
		uint32_t room = runs->room ? 2 * runs->room : 8;
		struct ul_run *items = os_reallocate(runs->items, room, sizeof(*items));
		if (!items)
			return -ENOMEM;
		runs->items = items;
		runs->room = room;
	}
	runs->items[runs->count++] = run;
	return 0;
}

int runs_append(struct runs *runs, uint32_t number)
{
	if (runs->count) {
		struct ul_run *last = &runs->items[runs->count - 1];
		if (number - last->first_slot == last->slot_count - 1)
			return 0;
		if (number - last->first_slot == last->slot_count) {
			last->slot_count++;
			return 0;
		}
	}
	return runs_append_run(runs, (struct ul_run){number, 1});
}

/* Append a run that may overlap the last one, but does not begin before it. */
static int append_overlapping(struct runs *runs, struct ul_run run)
{
	if (runs->count) {
		struct ul_run *last = &runs->items[runs->count - 1];
		uint32_t end = last->first_slot + last->slot_count;
		if (run.first_slot < end) {
			if (run.first_slot + run.slot_count > end)
				last->slot_count = run.first_slot + run.slot_count - last->first_slot;
			return 0;
		}
	}
	return runs_append_run(runs, run);
}

int runs_unite(struct runs *runs, const struct runs *more)
{
	struct runs both = {0};
	uint32_t left = 0, right = 0;
	while (left < runs->count || right < more->count) {
		bool take_left = right == more->count ||
				 (left < runs->count && runs->items[left].first_slot <= more->items[right].first_slot);
		struct ul_run next = take_left ? runs->items[left++] : more->items[right++];
		if (append_overlapping(&both, next)) {
			runs_clear(&both);
			return -ENOMEM;
		}
	}
	runs_clear(runs);
	*runs = both;
	return 0;
}

uint32_t runs_next(const struct runs *runs, uint32_t number, uint32_t end, bool wanted)
{
	/* The first run that ends after the number. */
	uint32_t low = 0, high = runs->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (runs->items[middle].first_slot + runs->items[middle].slot_count > number)
			high = middle;
		else
			low = middle + 1;
	}
	uint32_t found = number;
	if (low == runs->count)
		found = wanted ? end : number;
	else if (wanted)
		found = runs->items[low].first_slot > number ? runs->items[low].first_slot : number;
	else if (runs->items[low].first_slot <= number)
		found = runs->items[low].first_slot + runs->items[low].slot_count;
	return found < end ? found : end;
}

bool runs_include(const struct runs *runs, const struct runs *part)
{
	for (uint32_t i = 0; i < part->count; i++) {
		uint32_t first = part->items[i].first_slot, end = first + part->items[i].slot_count;
		if (runs_next(runs, first, end, false) < end)
			return false;
	}
	return true;
}

/* The lowest `count` bits, 0 to 64. */
static uint64_t low_bits(uint32_t count)
{
	return count < 64 ? ((uint64_t)1 << count) - 1 : UINT64_MAX;
}

uint64_t runs_bits(const struct runs *runs, uint32_t first, uint32_t *at)
{
	uint64_t bits = 0;
	while (*at < runs->count && runs->items[*at].first_slot + runs->items[*at].slot_count <= first)
		++*at;
	for (uint32_t i = *at; i < runs->count && runs->items[i].first_slot < first + 64; i++) {
		uint32_t start = runs->items[i].first_slot, end = start + runs->items[i].slot_count;
		bits |= low_bits(end - first < 64 ? end - first : 64) & ~low_bits(start > first ? start - first : 0);
	}
	return bits;
}

int runs_append_bits(struct runs *runs, uint32_t first, uint64_t bits)
{
	int error = 0;
	while (bits && !error) {
		uint32_t start = (uint32_t)__builtin_ctzll(bits);
		uint64_t gaps = ~(bits >> start);
		uint32_t count = gaps ? (uint32_t)__builtin_ctzll(gaps) : 64;
		error = runs_append_run(runs, (struct ul_run){first + start, count});
		bits &= ~(low_bits(count) << start);
	}
	return error;
}

uint64_t runs_total(const struct runs *runs)
{
	uint64_t total = 0;
	for (uint32_t i = 0; i < runs->count; i++)
		total += runs->items[i].slot_count;
	return total;
}
