/* The fold. */
#include "fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "os.h"

/* Twice and more of what is kept, so that the selection costs a few ns for each call that enters. */
enum { CANDIDATES_MAX = 16 * UL_LAST_CALLS };
#define CANDIDATE_NEW UINT32_MAX

/* What a definition of the group at hand means; the first 16 bytes are the key. */
struct meaning {
	uint64_t slot;
	uint64_t zero;
	uint32_t first;  /* model: provider; context: dimensions */
	uint32_t second; /* model: model; context: operation */
	uint32_t error;
	uint32_t known;
};

int fold_open(struct fold *fold, const struct ul_conf *conf, struct names *names, int64_t oldest_ns)
{
	*fold = (struct fold){.conf = conf, .names = names, .candidate_from_ns = oldest_ns};
	table_init(&fold->models, sizeof(struct meaning));
	table_init(&fold->contexts, sizeof(struct meaning));
	fold->candidates = os_allocate(CANDIDATES_MAX, sizeof(*fold->candidates));
	return fold->candidates ? 0 : -ENOMEM;
}

void fold_close(struct fold *fold)
{
	for (size_t i = 0; i < fold->day_count; i++) {
		facts_clear(fold->days[i]);
		free(fold->days[i]);
	}
	free(fold->days);
	free(fold->candidates);
	free(fold->last_calls);
	free(fold->taken_back);
	free(fold->id_changes);
	table_clear(&fold->models);
	table_clear(&fold->contexts);
	*fold = (struct fold){0};
}

/* Make room for one more item. Returns the array, which may have moved; NULL: no memory. */
static void *grow(void *array, size_t count, size_t *room, size_t item_bytes)
{
	if (count < *room)
		return array;
	size_t wanted = *room ? 2 * *room : 64;
	void *grown = os_reallocate(array, wanted, item_bytes);
	if (grown)
		*room = wanted;
	return grown;
}

/* ---- days -------------------------------------------------------------------------------------------------- */

static size_t day_place(const struct fold *fold, int32_t day)
{
	size_t low = 0, high = fold->day_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (fold->days[middle]->day < day)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct facts *fold_find_day(const struct fold *fold, int32_t day)
{
	size_t at = day_place(fold, day);
	return at < fold->day_count && fold->days[at]->day == day ? fold->days[at] : NULL;
}

struct facts *fold_get_day(struct fold *fold, int32_t day)
{
	size_t at = day_place(fold, day);
	if (at < fold->day_count && fold->days[at]->day == day)
		return fold->days[at];
	struct facts *facts = os_allocate(1, sizeof(*facts));
	struct facts **days = facts ? grow(fold->days, fold->day_count, &fold->day_room, sizeof(struct facts *)) : NULL;
	if (!days) {
		free(facts);
		fold->error = -ENOMEM;
		return NULL;
	}
	fold->days = days;
	memmove(days + at + 1, days + at, (fold->day_count - at) * sizeof(struct facts *));
	days[at] = facts;
	fold->day_count++;
	facts_init(facts, day);
	return facts;
}

static bool day_is_wanted(const struct fold *fold, int32_t day)
{
	if (!fold->only_days)
		return true;
	for (size_t i = 0; i < fold->only_day_count; i++)
		if (fold->only_days[i] == day)
			return true;
	return false;
}

/* The facts that a moment falls into; NULL: not wanted, or no memory. */
static inline struct facts *facts_at(struct fold *fold, int64_t time_ns)
{
	int32_t day = calendar_day(&fold->calendar, time_ns);
	if (fold->current && fold->current->day == day)
		return fold->current;
	if (!day_is_wanted(fold, day))
		return NULL;
	fold->current = fold_get_day(fold, day);
	return fold->current;
}

/* ---- names ------------------------------------------------------------------------------------------------- */

static void resolve_model(struct fold *fold, struct meaning *meaning)
{
	char text[UL_CONTEXT_BYTES_MAX];
	ssize_t bytes = group_text(fold->reader, (uint32_t)meaning->slot, UL_CLASS_MODEL, text);
	meaning->first = meaning->second = NAME_UNKNOWN;
	if (bytes < 0)
		return;
	size_t provider_bytes = strlen(text);
	meaning->first = names_intern(fold->names, text, provider_bytes);
	meaning->second = names_intern(fold->names, text + provider_bytes + 1, (size_t)bytes - provider_bytes - 1);
}

static void resolve_context(struct fold *fold, struct meaning *meaning)
{
	char text[UL_CONTEXT_BYTES_MAX], dimensions[UL_CONTEXT_BYTES_MAX], name[UL_NAME_BYTES_MAX + 1];
	const struct ul_conf *conf = fold->conf;
	ssize_t bytes = group_text(fold->reader, (uint32_t)meaning->slot, UL_CLASS_CONTEXT, text);
	meaning->first = NAME_NO_DIMENSIONS;
	meaning->second = NAME_EMPTY;
	if (bytes < 0)
		return;
	size_t length = ul_context_dimensions(text, (size_t)bytes, (const char *const *)conf->group_by,
					      conf->group_by_count, dimensions);
	meaning->first = names_intern(fold->names, dimensions, length);
	length = ul_context_string(text, (size_t)bytes, "operation", name);
	meaning->second = names_intern(fold->names, name, length);
	meaning->error = ul_context_string(text, (size_t)bytes, "error_type", name) > 0;
}

static struct meaning *find_meaning(struct fold *fold, struct table *table, uint32_t slot,
				    void (*resolve)(struct fold *fold, struct meaning *meaning))
{
	uint64_t key[2] = {slot, 0};
	struct meaning *meaning = table_get(table, key);
	if (!meaning) {
		fold->error = -ENOMEM;
		return NULL;
	}
	if (!meaning->known) {
		resolve(fold, meaning);
		meaning->known = 1;
	}
	return meaning;
}

/* The names of a call or balance. False: no memory. */
static inline bool find_names(struct fold *fold, const struct ul_slot *slot, struct call_names *names)
{
	uint32_t model = slot->tag & UL_SLOT_MASK, context = slot->word & UL_SLOT_MASK;
	*names = (struct call_names){NAME_UNKNOWN, NAME_UNKNOWN, NAME_NO_DIMENSIONS, NAME_EMPTY, false};
	if (model) {
		const struct meaning *meaning = find_meaning(fold, &fold->models, model, resolve_model);
		if (!meaning)
			return false;
		names->provider = meaning->first;
		names->model = meaning->second;
	}
	if (context) {
		const struct meaning *meaning = find_meaning(fold, &fold->contexts, context, resolve_context);
		if (!meaning)
			return false;
		names->dimensions = meaning->first;
		names->operation = meaning->second;
		names->error = meaning->error;
	}
	return true;
}

/* The whole text of a call's context, as a name; "{}" if it has none. */
static uint32_t context_name(struct fold *fold, const struct ul_slot *slot)
{
	char text[UL_CONTEXT_BYTES_MAX];
	uint32_t context = slot->word & UL_SLOT_MASK;
	ssize_t bytes = context ? group_text(fold->reader, context, UL_CLASS_CONTEXT, text) : -1;
	return bytes < 0 ? NAME_NO_DIMENSIONS : names_intern(fold->names, text, (size_t)bytes);
}

/* ---- the last calls ------------------------------------------------------------------------------------------ */

static int compare_candidates(const struct candidate *a, const struct candidate *b)
{
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	return (a->slot > b->slot) - (a->slot < b->slot);
}

/* Move the `count` greatest of `total` candidates to the front, in no order (Hoare's selection). */
static void select_greatest(struct candidate *items, size_t total, size_t count)
{
	size_t low = 0, high = total;
	while (high - low > 1) {
		struct candidate pivot = items[low + (high - low - 1) / 2];
		size_t left = low, right = high - 1;
		for (;;) {
			while (compare_candidates(&items[left], &pivot) > 0)
				left++;
			while (compare_candidates(&items[right], &pivot) < 0)
				right--;
			if (left >= right)
				break;
			struct candidate swap = items[left];
			items[left++] = items[right];
			items[right--] = swap;
		}
		size_t border = right + 1;
		if (count == border)
			return;
		if (count < border)
			high = border;
		else
			low = border;
	}
}

static void cut_candidates(struct fold *fold)
{
	if (fold->candidate_count <= UL_LAST_CALLS)
		return;
	select_greatest(fold->candidates, fold->candidate_count, UL_LAST_CALLS);
	fold->candidate_count = UL_LAST_CALLS;
	int64_t oldest = fold->candidates[0].time_ns;
	for (size_t i = 1; i < UL_LAST_CALLS; i++)
		if (fold->candidates[i].time_ns < oldest)
			oldest = fold->candidates[i].time_ns;
	if (oldest > fold->candidate_from_ns)
		fold->candidate_from_ns = oldest;
}

static inline void add_candidate(struct fold *fold, uint32_t number, int64_t time_ns)
{
	if (time_ns < fold->candidate_from_ns)
		return;
	if (fold->candidate_count == CANDIDATES_MAX)
		cut_candidates(fold);
	fold->candidates[fold->candidate_count++] =
		(struct candidate){time_ns, fold->group_number, number, CANDIDATE_NEW};
}

static struct ul_last_call last_call(struct fold *fold, uint32_t number, const struct ul_slot *slot,
				     const struct ul_slot *id)
{
	struct call_names names;
	struct ul_last_call call = {.segment_id = fold->reader->group->id, .slot = number, .call = slot->body.call};
	if (!find_names(fold, slot, &names))
		return call;
	call.provider = names.provider;
	call.model = names.model;
	call.context = context_name(fold, slot);
	call.flags = slot->word >> 28;
	if (id)
		call.call_id = id->body.call_id;
	return call;
}

/* Read again the candidates of this group that are left, as they go into the list. */
static int settle_candidates(struct fold *fold)
{
	cut_candidates(fold);
	for (size_t i = 0; i < fold->candidate_count; i++) {
		struct candidate *candidate = &fold->candidates[i];
		struct ul_slot slot, id;
		if (candidate->call != CANDIDATE_NEW)
			continue;
		struct ul_last_call *calls =
			grow(fold->last_calls, fold->last_call_count, &fold->last_call_room, sizeof(*calls));
		if (!calls)
			return -ENOMEM;
		fold->last_calls = calls;
		if (!group_slot(fold->reader, candidate->slot, &slot))
			return -EIO; /* it was valid a moment ago */
		bool has_id = candidate->slot % UL_PAGE_SLOTS && group_slot(fold->reader, candidate->slot - 1, &id) &&
			      ul_slot_kind(&id) == UL_KIND_CALL_ID;
		candidate->call = (uint32_t)fold->last_call_count;
		calls[fold->last_call_count++] = last_call(fold, candidate->slot, &slot, has_id ? &id : NULL);
	}
	return 0;
}

/* Is this the call that was taken back? */
static bool is_taken_back(const struct ul_last_call *call, const struct ul_last_call *reversal)
{
	return memcmp(&call->call_id, &reversal->call_id, sizeof(call->call_id)) == 0 &&
	       call->provider == reversal->provider && call->model == reversal->model &&
	       call->context == reversal->context && call->flags == reversal->flags &&
	       memcmp(&call->call, &reversal->call, sizeof(call->call)) == 0;
}

int fold_update_last_calls(const struct fold *fold, struct checkpoint *checkpoint)
{
	struct ul_last_call *calls = os_allocate(fold->candidate_count + 1, sizeof(*calls));
	if (!calls)
		return -ENOMEM;
	for (size_t i = 0; i < fold->candidate_count; i++)
		calls[i] = fold->last_calls[fold->candidates[i].call];
	int error = checkpoint_add_calls(checkpoint, calls, fold->candidate_count);
	free(calls);
	for (size_t i = 0; i < fold->taken_back_count && !error; i++) {
		size_t at = 0;
		while (at < checkpoint->call_count && !is_taken_back(&checkpoint->calls[at], &fold->taken_back[i].call))
			at++;
		if (at == checkpoint->call_count)
			continue;
		checkpoint->call_count--;
		memmove(&checkpoint->calls[at], &checkpoint->calls[at + 1],
			(checkpoint->call_count - at) * sizeof(*checkpoint->calls));
	}
	return error;
}

/* ---- slots ------------------------------------------------------------------------------------------------- */

static void fold_id(struct fold *fold, uint32_t number, const struct ul_slot *slot, const struct ul_slot *id)
{
	bool reversal = ul_slot_kind(slot) == UL_KIND_REVERSAL;
	struct ul_last_call call = last_call(fold, number, slot, id);
	struct id_change *changes =
		grow(fold->id_changes, fold->id_change_count, &fold->id_change_room, sizeof(*changes));
	if (changes)
		fold->id_changes = changes;
	struct taken_back *taken_back =
		reversal ? grow(fold->taken_back, fold->taken_back_count, &fold->taken_back_room, sizeof(*taken_back))
			 : NULL;
	if (taken_back)
		fold->taken_back = taken_back;
	if (!changes || (reversal && !taken_back)) {
		fold->error = -ENOMEM;
		return;
	}
	changes[fold->id_change_count++] = (struct id_change){call.call_id,
							      id_content(names_text(fold->names, call.provider),
									 names_text(fold->names, call.model),
									 names_text(fold->names, call.context), slot),
							      reversal ? -1 : 1};
	if (reversal)
		taken_back[fold->taken_back_count++] = (struct taken_back){call};
}

static void fold_call(struct fold *fold, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	struct call_names names;
	int64_t time_ns = slot->body.call.time_ns;
	struct facts *facts = facts_at(fold, time_ns);
	if (!facts || !find_names(fold, slot, &names))
		return;
	facts_add_call(facts, &names, slot);
	if (facts->error)
		fold->error = facts->error;
	fold->calls++;
	if (before && ul_slot_kind(before) == UL_KIND_CALL_ID)
		fold_id(fold, number, slot, before);
	if (ul_slot_kind(slot) == UL_KIND_REVERSAL)
		return;
	add_candidate(fold, number, time_ns);
	if (!fold->any_call || time_ns > fold->newest_ns)
		fold->newest_ns = time_ns;
	fold->any_call = true;
}

static void fold_balance(struct fold *fold, const struct ul_slot *slot)
{
	struct call_names names;
	struct facts *facts = facts_at(fold, slot->body.balance.time_ns);
	if (!facts || !find_names(fold, slot, &names))
		return;
	facts_add_balance(facts, &names, slot);
	if (facts->error)
		fold->error = facts->error;
	fold->balances++;
}

static int fold_slot(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	struct fold *fold = arg;
	enum ul_kind kind = ul_slot_kind(slot);
	if (kind == UL_KIND_CALL || kind == UL_KIND_REVERSAL)
		fold_call(fold, number, slot, before);
	else if (kind == UL_KIND_BALANCE)
		fold_balance(fold, slot);
	if (fold->added && runs_append(fold->added, number))
		fold->error = -ENOMEM;
	return fold->error;
}

int fold_group(struct fold *fold, struct group_reader *reader, uint32_t group_number, const struct runs *runs,
	       bool again, struct runs *added)
{
	fold->reader = reader;
	fold->group_number = group_number;
	fold->added = added;
	table_clear(&fold->models);
	table_clear(&fold->contexts);
	int error = group_visit(reader, runs, again, fold_slot, fold, &fold->counts);
	if (!error)
		error = settle_candidates(fold);
	if (!fold->error && (fold->names->error || error == -ENOMEM))
		fold->error = -ENOMEM;
	fold->reader = NULL;
	return fold->error ? fold->error : error;
}
