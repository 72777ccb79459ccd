/* Which calls of a log stand. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "standing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "os.h"

/* A call or reversal with an id. */
struct known {
	struct ul_id id;
	uint64_t content;
	struct call_place at;
	uint32_t reversal; /* 1 or 0 */
};

struct reading {
	struct known *items;
	size_t count, room;
	int error;
};

static bool note(void *arg, const struct call_line *line)
{
	struct reading *reading = arg;
	if (!line->call_id || reading->error)
		return false;
	if (reading->count == reading->room) {
		size_t room = reading->room ? 2 * reading->room : 1024;
		struct known *items = os_reallocate(reading->items, room, sizeof(*items));
		if (!items) {
			reading->error = -ENOMEM;
			return false;
		}
		reading->items = items;
		reading->room = room;
	}
	/* The slot's own bytes: what its definitions say may stand in other slots of another segment. */
	reading->items[reading->count++] = (struct known){*line->call_id,
							  XXH3_64bits(&line->slot->body, sizeof(line->slot->body)),
							  {*line->segment, line->number},
							  ul_slot_kind(line->slot) == UL_KIND_REVERSAL};
	return false;
}

static int compare_places(const void *left, const void *right)
{
	const struct call_place *a = left, *b = right;
	int order = memcmp(&a->segment, &b->segment, sizeof(a->segment));
	return order ? order : (a->number > b->number) - (a->number < b->number);
}

static int compare_known(const void *left, const void *right)
{
	const struct known *a = left, *b = right;
	int order = memcmp(&a->id, &b->id, sizeof(a->id));
	if (!order)
		order = (a->content > b->content) - (a->content < b->content);
	return order ? order : compare_places(&a->at, &b->at);
}

static void leave_out(struct standing *standing, const struct call_place *place)
{
	standing->left_out[standing->left_out_count++] = *place;
}

/* Calls and reversals of one content: the first call that stands, after those that were taken back; NULL: none does. */
static const struct call_place *settle_content(struct standing *standing, const struct known *items, size_t count)
{
	const struct call_place *first = NULL;
	size_t reversals = 0;
	for (size_t i = 0; i < count; i++)
		reversals += items[i].reversal;
	for (size_t i = 0; i < count; i++) {
		if (items[i].reversal)
			continue;
		if (reversals) {
			reversals--;
			standing->taken_back++;
			leave_out(standing, &items[i].at);
		} else if (!first) {
			first = &items[i].at;
		} else {
			standing->twice++;
			leave_out(standing, &items[i].at);
		}
	}
	standing->unmatched += reversals;
	return first;
}

/* All of one id. */
static void settle_id(struct standing *standing, const struct known *items, size_t count)
{
	const struct call_place *stands = NULL;
	for (size_t i = 0, next; i < count; i = next) {
		for (next = i; next < count && items[next].content == items[i].content;)
			next++;
		const struct call_place *found = settle_content(standing, items + i, next - i);
		if (found && stands) {
			bool later = compare_places(found, stands) > 0;
			standing->twice++;
			leave_out(standing, later ? found : stands);
			stands = later ? stands : found;
		} else if (found) {
			stands = found;
		}
	}
}

static int settle(struct standing *standing, struct reading *reading)
{
	struct known *items = reading->items;
	size_t count = reading->count, doubtful = 0;
	if (count)
		qsort(items, count, sizeof(*items), compare_known);
	/* Most ids are those of one call. */
	for (size_t i = 0, next; i < count; i = next) {
		for (next = i + 1; next < count && !memcmp(&items[next].id, &items[i].id, sizeof(items->id));)
			next++;
		doubtful += next - i > 1 ? next - i : 0;
	}
	standing->left_out = os_allocate(doubtful + 1, sizeof(*standing->left_out));
	if (!standing->left_out)
		return -ENOMEM;
	for (size_t i = 0, next; i < count; i = next) {
		for (next = i + 1; next < count && !memcmp(&items[next].id, &items[i].id, sizeof(items->id));)
			next++;
		if (next - i > 1 || items[i].reversal)
			settle_id(standing, items + i, next - i);
	}
	if (standing->left_out_count)
		qsort(standing->left_out, standing->left_out_count, sizeof(*standing->left_out), compare_places);
	return 0;
}

int standing_read(struct standing *standing, const struct ul_directory *directory)
{
	static const struct call_format format = {.wanted = note};
	struct reading reading = {0};
	int status = calls_take(directory, &format, &reading);
	if (!status && !reading.error)
		reading.error = settle(standing, &reading);
	free(reading.items);
	if (reading.error) {
		complain("%s: no memory for the ids of its calls, 48 bytes each", directory->path);
		status = STATUS_FILES;
	}
	return status;
}

void standing_clear(struct standing *standing)
{
	free(standing->left_out);
	*standing = (struct standing){0};
}

bool standing_has(const struct standing *standing, const struct call_line *line)
{
	if (!line->call_id || !standing->left_out_count)
		return true;
	const struct call_place place = {*line->segment, line->number};
	return !bsearch(&place, standing->left_out, standing->left_out_count, sizeof(place), compare_places);
}
