/* The fold. */
#include "fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "os.h"

/* Several times what is kept, so that the selection costs a few ns for each call that enters. */
enum { CANDIDATES_MAX = 5 * UL_LAST_CALLS };
#define CANDIDATE_NEW UINT32_MAX

/* What a definition of the group at hand means; the first 16 bytes are the key. */
struct meaning {
	uint64_t slot;
	uint64_t zero;
	uint32_t first;  /* model: provider; context: dimensions */
	uint32_t second; /* model: model; context: operation */
	uint32_t error;
	uint32_t known;
	uint32_t service_tier; /* context's */
	uint32_t text;         /* context's, whole; NAME_EMPTY: nobody asked yet */
};

int fold_open(struct fold *fold, const struct ul_conf *conf, struct names *names, int64_t oldest_ns)
{
	*fold = (struct fold){.conf = conf, .names = names, .candidate_from_ns = oldest_ns};
	table_init(&fold->models, sizeof(struct meaning));
	table_init(&fold->contexts, sizeof(struct meaning));
	fold->candidates = os_allocate(CANDIDATES_MAX, sizeof(*fold->candidates));
	fold->candidate_pages = os_allocate(CANDIDATE_PAGES, sizeof(*fold->candidate_pages));
	fold->places = os_allocate_aligned(64, sizeof(*fold->places));
	for (size_t i = 0; i < FULL_PAGES; i++)
		fold->full_pages_oldest_ns[i] = INT64_MIN;
	return fold->candidates && fold->candidate_pages && fold->places ? 0 : -ENOMEM;
}

void fold_close(struct fold *fold)
{
	for (size_t i = 0; i < fold->day_count; i++) {
		facts_clear(fold->days[i]);
		free(fold->days[i]);
	}
	free(fold->days);
	free(fold->candidates);
	free(fold->candidate_pages);
	free(fold->places);
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

static void lock_names(struct fold *fold)
{
	if (fold->names_lock)
		pthread_mutex_lock(fold->names_lock);
}

static void unlock_names(struct fold *fold)
{
	if (fold->names_lock)
		pthread_mutex_unlock(fold->names_lock);
}

static void resolve_model(struct fold *fold, struct meaning *meaning)
{
	char text[UL_CONTEXT_BYTES_MAX];
	ssize_t bytes = group_text(fold->reader, (uint32_t)meaning->slot, UL_CLASS_MODEL, text);
	meaning->first = meaning->second = NAME_UNKNOWN;
	if (bytes < 0)
		return;
	size_t provider_bytes = strlen(text);
	lock_names(fold);
	meaning->first = names_intern(fold->names, text, provider_bytes);
	meaning->second = names_intern(fold->names, text + provider_bytes + 1, (size_t)bytes - provider_bytes - 1);
	unlock_names(fold);
}

static void resolve_context(struct fold *fold, struct meaning *meaning)
{
	char text[UL_CONTEXT_BYTES_MAX], dimensions[UL_CONTEXT_BYTES_MAX];
	char operation[UL_NAME_BYTES_MAX + 1], service_tier[UL_NAME_BYTES_MAX + 1], error_type[UL_NAME_BYTES_MAX + 1];
	const struct ul_conf *conf = fold->conf;
	ssize_t bytes = group_text(fold->reader, (uint32_t)meaning->slot, UL_CLASS_CONTEXT, text);
	meaning->first = NAME_NO_DIMENSIONS;
	meaning->second = NAME_EMPTY;
	if (bytes < 0)
		return;
	size_t dimensions_bytes = ul_context_dimensions(text, (size_t)bytes, (const char *const *)conf->group_by,
							conf->group_by_count, dimensions);
	size_t operation_bytes = ul_context_string(text, (size_t)bytes, "operation", operation);
	size_t service_tier_bytes = ul_context_string(text, (size_t)bytes, "service_tier", service_tier);
	meaning->error = ul_context_string(text, (size_t)bytes, "error_type", error_type) > 0;
	lock_names(fold);
	meaning->first = names_intern(fold->names, dimensions, dimensions_bytes);
	meaning->second = names_intern(fold->names, operation, operation_bytes);
	meaning->service_tier = names_intern(fold->names, service_tier, service_tier_bytes);
	unlock_names(fold);
	if (meaning->service_tier > UL_PRICE_KEY_NAME)
		fold->error = -EOVERFLOW;
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

/* The names of a call or balance; slot 0 is no definition, and means what one that cannot be read does. False: no memory. */
static inline bool find_names(struct fold *fold, const struct ul_slot *slot, struct call_names *names)
{
	const struct meaning *model = find_meaning(fold, &fold->models, slot->tag & UL_SLOT_MASK, resolve_model);
	const struct meaning *context = find_meaning(fold, &fold->contexts, slot->word & UL_SLOT_MASK, resolve_context);
	if (!model || !context)
		return false;
	*names = (struct call_names){model->first,    model->second,         context->first,
				     context->second, context->service_tier, context->error};
	return true;
}

/* The whole text of a call's context, as a name; "{}" if it has none. Only the last calls and those with an id need it. */
static uint32_t context_name(struct fold *fold, const struct ul_slot *slot)
{
	struct meaning *context = find_meaning(fold, &fold->contexts, slot->word & UL_SLOT_MASK, resolve_context);
	if (!context)
		return NAME_NO_DIMENSIONS;
	if (context->text == NAME_EMPTY) {
		char text[UL_CONTEXT_BYTES_MAX];
		ssize_t bytes = group_text(fold->reader, (uint32_t)context->slot, UL_CLASS_CONTEXT, text);
		lock_names(fold);
		context->text = bytes < 0 ? NAME_NO_DIMENSIONS : names_intern(fold->names, text, (size_t)bytes);
		unlock_names(fold);
	}
	return context->text;
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

/* Make candidates of the calls in the pages that may still hold one. 0, or -EIO: a slot that was valid is not any more. */
static int settle_pages(struct fold *fold)
{
	for (size_t i = 0; i < fold->candidate_page_count; i++) {
		const struct candidate_page *page = &fold->candidate_pages[i];
		for (uint64_t rest = page->calls; rest && page->newest_ns >= fold->candidate_from_ns;
		     rest &= rest - 1) {
			struct ul_slot slot;
			uint32_t number = page->first + (uint32_t)__builtin_ctzll(rest);
			if (!group_slot(fold->reader, number, &slot))
				return -EIO;
			add_candidate(fold, number, slot.body.call.time_ns);
		}
	}
	fold->candidate_page_count = 0;
	return 0;
}

/* Forget the pages whose calls are all too old by now. */
static void drop_pages(struct fold *fold)
{
	size_t kept = 0;
	for (size_t i = 0; i < fold->candidate_page_count; i++)
		if (fold->candidate_pages[i].newest_ns >= fold->candidate_from_ns)
			fold->candidate_pages[kept++] = fold->candidate_pages[i];
	fold->candidate_page_count = kept;
}

/* Where as many pages as that hold the list's number of calls together begin at some time or later, no earlier call can be among the last. */
static void note_full_page(struct fold *fold, int64_t oldest_ns)
{
	size_t least = 0, next = 0;
	for (size_t i = 1; i < FULL_PAGES; i++)
		if (fold->full_pages_oldest_ns[i] < fold->full_pages_oldest_ns[least])
			least = i;
	if (oldest_ns <= fold->full_pages_oldest_ns[least])
		return;
	fold->full_pages_oldest_ns[least] = oldest_ns;
	for (size_t i = 1; i < FULL_PAGES; i++)
		if (fold->full_pages_oldest_ns[i] < fold->full_pages_oldest_ns[next])
			next = i;
	if (fold->full_pages_oldest_ns[next] > fold->candidate_from_ns)
		fold->candidate_from_ns = fold->full_pages_oldest_ns[next];
}

/* The calls of a page may be among the last: in the order of time each page is newer than the one before, and single candidates would cost as
 * much as their sums. */
static int add_candidate_page(struct fold *fold, struct candidate_page page, int64_t oldest_ns)
{
	int error = 0;
	if (page.newest_ns < fold->candidate_from_ns)
		return 0;
	if (__builtin_popcountll(page.calls) >= FULL_PAGE_CALLS)
		note_full_page(fold, oldest_ns);
	if (fold->candidate_page_count == CANDIDATE_PAGES)
		drop_pages(fold);
	if (fold->candidate_page_count == CANDIDATE_PAGES)
		error = settle_pages(fold);
	if (!error)
		fold->candidate_pages[fold->candidate_page_count++] = page;
	return error;
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
	lock_names(fold);
	uint64_t content = id_content(names_text(fold->names, call.provider), names_text(fold->names, call.model),
				      names_text(fold->names, call.context), slot);
	unlock_names(fold);
	changes[fold->id_change_count++] = (struct id_change){call.call_id, content, reversal ? -1 : 1};
	if (reversal)
		taken_back[fold->taken_back_count++] = (struct taken_back){call};
}

static void note_newest(struct fold *fold, int64_t time_ns)
{
	if (!fold->any_call || time_ns > fold->newest_ns)
		fold->newest_ns = time_ns;
	fold->any_call = true;
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
	note_newest(fold, time_ns);
}

static void fold_balance(struct fold *fold, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	struct call_names names;
	struct facts *facts = facts_at(fold, slot->body.balance.time_ns);
	if (!facts || !find_names(fold, slot, &names))
		return;
	facts_add_balance(facts, &names, slot);
	if (facts->error)
		fold->error = facts->error;
	fold->balances++;
	if (before && ul_slot_kind(before) == UL_KIND_CALL_ID)
		fold_id(fold, number, slot, before);
}

static void fold_slot(struct fold *fold, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	enum ul_kind kind = ul_slot_kind(slot);
	if (kind == UL_KIND_CALL || kind == UL_KIND_REVERSAL)
		fold_call(fold, number, slot, before);
	else if (kind == UL_KIND_BALANCE)
		fold_balance(fold, number, slot, before);
}

/* ---- pages ------------------------------------------------------------------------------------------------- */

/* Calls of one day, in three steps: what their names are, where they go, add them there. After each step the memory that the next one needs is on
 * its way for all of them, where one call after the other would wait for it. */
struct batch {
	struct facts *facts;
	uint32_t count;
	uint64_t keys[UL_PAGE_SLOTS];
	struct facts_entry entries[UL_PAGE_SLOTS];
};

static void add_one(struct fold *fold, struct facts *facts, const struct ul_slot *slot)
{
	struct call_names names;
	if (find_names(fold, slot, &names))
		facts_add_call(facts, &names, slot);
}

/* The stretch of time about a call. Its facts are NULL if the day is not wanted, or if there is no memory, and then `error` is set. */
static void find_span(struct fold *fold, int64_t time_ns)
{
	struct facts *facts = facts_at(fold, time_ns);
	int32_t quarter = quarter_of(time_ns);
	/* Near the ends of time a quarter begins or ends where no time is. */
	__int128 start = (__int128)quarter * UL_QUARTER_NS, end = start + UL_QUARTER_NS;
	if (start < fold->calendar.start_ns)
		start = fold->calendar.start_ns;
	if (end > fold->calendar.end_ns)
		end = fold->calendar.end_ns;
	bool same_day = facts == fold->span.facts && fold->span.length_ns;
	fold->span = (struct fold_span){.start_ns = (uint64_t)start,
					.length_ns = end > start ? (uint64_t)(end - start) : 0,
					.facts = facts,
					.quarter = quarter,
					.number = fold->span.number + 1,
					.day_number = fold->span.day_number + !same_day};
}

/* Find where a call goes in its day. False: no memory. */
static bool find_place(struct fold *fold, struct place *place, uint64_t key, const struct ul_slot *slot)
{
	struct facts *facts = fold->span.facts;
	struct call_names names;
	if (!find_names(fold, slot, &names))
		return false;
	place->key = key;
	place->day = fold->span.day_number;
	place->at = (struct facts_place){.row = facts_find_row(facts, &names, slot),
					 .latency = facts_find_histogram(facts, &names, UL_MEASURE_LATENCY),
					 .ttft = facts_find_histogram(facts, &names, UL_MEASURE_TTFT),
					 .error = names.error,
					 .price_key = call_price_key(&names, slot)};
	if (facts->error)
		fold->error = facts->error;
	return !facts->error;
}

/* The same for its quarter of an hour. */
static bool find_quarter(struct fold *fold, struct quarter_place *quarter, uint32_t price_key,
			 const struct ul_slot *slot)
{
	struct facts *facts = fold->span.facts;
	struct call_names names;
	if (!find_names(fold, slot, &names))
		return false;
	*quarter = (struct quarter_place){place_quarter_key(slot->tag & UL_SLOT_MASK, price_key), fold->span.number,
					  facts_find_quarter(facts, &names, fold->span.quarter, price_key)};
	if (facts->error)
		fold->error = facts->error;
	return !facts->error;
}

/* Put a call into the batch, and have its place brought. */
static inline void add_to_batch(struct fold *fold, struct batch *batch, const struct ul_slot *slot)
{
	uint64_t key = place_key(slot);
	__builtin_prefetch(places_row(fold->places, key));
	batch->keys[batch->count] = key;
	batch->entries[batch->count++].slot = slot;
}

/* Look the calls' places up, and have these brought. False: no memory. */
static bool find_places(struct fold *fold, struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++) {
		struct facts_entry *entry = &batch->entries[i];
		uint32_t model = entry->slot->tag & UL_SLOT_MASK;
		struct place *place = places_row(fold->places, batch->keys[i]);
		if (__builtin_expect(place->key != batch->keys[i] || place->day != fold->span.day_number, 0) &&
		    !find_place(fold, place, batch->keys[i], entry->slot))
			return false;
		uint32_t price_key = place->at.price_key;
		struct quarter_place *quarter = places_quarter(fold->places, model, price_key);
		if (__builtin_expect(quarter->span != fold->span.number ||
					     quarter->who != place_quarter_key(model, price_key),
				     0) &&
		    !find_quarter(fold, quarter, price_key, entry->slot))
			return false;
		if (!facts_bring(batch->facts, entry, &place->at, quarter->record)) {
			fold->error = batch->facts->error;
			return false;
		}
	}
	return true;
}

static void add_batch(struct fold *fold, struct batch *batch)
{
	struct facts *facts = batch->facts;
	uint32_t moves;
	if (!batch->count)
		return;
	/* What is new may move what was found before; the second time nothing is new. */
	do {
		moves = facts->moves;
		if (!find_places(fold, batch))
			return;
	} while (facts->moves != moves);
	if (facts_may_add(facts, batch->count))
		for (uint32_t i = 0; i < batch->count; i++)
			facts_add_entry(&batch->entries[i]);
	else
		for (uint32_t i = 0; i < batch->count; i++)
			add_one(fold, facts, batch->entries[i].slot);
	if (facts->error)
		fold->error = facts->error;
	fold->calls += batch->count;
	batch->count = 0;
}

/* Calls of a page without ids. 0 or -EIO. */
static int fold_calls(struct fold *fold, const struct slot_page *page, uint64_t calls)
{
	struct batch batch;
	struct candidate_page seen = {.newest_ns = INT64_MIN, .first = page->first};
	int64_t oldest_ns = INT64_MAX;
	batch.count = 0;
	batch.facts = fold->span.facts;
	for (uint64_t rest = calls; rest && !fold->error; rest &= rest - 1) {
		const struct ul_slot *slot = &page->slots[__builtin_ctzll(rest)];
		int64_t time_ns = slot->body.call.time_ns;
		if ((uint64_t)time_ns - fold->span.start_ns >= fold->span.length_ns) {
			add_batch(fold, &batch);
			find_span(fold, time_ns);
			batch.facts = fold->span.facts;
		}
		if (!batch.facts)
			continue;
		add_to_batch(fold, &batch, slot);
		seen.newest_ns = time_ns > seen.newest_ns ? time_ns : seen.newest_ns;
		oldest_ns = time_ns < oldest_ns ? time_ns : oldest_ns;
		seen.calls |= rest & -rest;
	}
	add_batch(fold, &batch);
	if (!seen.calls || fold->error)
		return 0;
	note_newest(fold, seen.newest_ns);
	return add_candidate_page(fold, seen, oldest_ns);
}

static int fold_page(void *arg, const struct slot_page *page)
{
	struct fold *fold = arg;
	uint64_t folded = page->valid & page->wanted, calls = page->valid & page->plain, ids = 0;
	for (uint64_t rest = page->valid & ~page->plain; rest; rest &= rest - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(rest);
		enum ul_kind kind = ul_slot_kind(&page->slots[i]);
		calls |= (uint64_t)(kind == UL_KIND_CALL) << i;
		ids |= (uint64_t)(kind == UL_KIND_CALL_ID) << i;
	}
	calls &= folded & ~(ids << 1);
	int error = fold_calls(fold, page, calls);
	for (uint64_t rest = folded & ~calls; rest && !fold->error; rest &= rest - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(rest);
		fold_slot(fold, page->first + i, &page->slots[i], slot_page_before(page, i));
	}
	if (fold->added && runs_append_bits(fold->added, page->first, folded))
		fold->error = -ENOMEM;
	return fold->error ? fold->error : error;
}

int fold_group(struct fold *fold, struct group_reader *reader, uint32_t group_number, const struct runs *runs,
	       bool again, struct slot_range range, struct runs *added)
{
	fold->reader = reader;
	fold->group_number = group_number;
	fold->span.length_ns = 0;
	fold->candidate_page_count = 0;
	fold->added = added;
	table_clear(&fold->models);
	table_clear(&fold->contexts);
	int error = group_visit_pages(reader, range, runs, again, fold_page, fold, &fold->counts);
	if (!error)
		error = settle_pages(fold);
	if (!error)
		error = settle_candidates(fold);
	/* A name that could not be read is not unknown. */
	if (!error)
		error = reader->error;
	lock_names(fold);
	if (!fold->error && (fold->names->error || error == -ENOMEM))
		fold->error = -ENOMEM;
	unlock_names(fold);
	fold->reader = NULL;
	return fold->error ? fold->error : error;
}

/* ---- two folds ----------------------------------------------------------------------------------------------- */

static bool merge_days(struct fold *fold, struct fold *more)
{
	for (size_t i = 0; i < more->day_count; i++) {
		struct facts *from = more->days[i], *facts = fold_find_day(fold, from->day);
		if (facts) {
			facts_add_facts(facts, from);
			if (facts->error)
				fold->error = facts->error;
			facts_clear(from);
		} else {
			facts = fold_get_day(fold, from->day);
			if (facts) {
				*facts = *from;
				facts_init(from, from->day);
			}
		}
		if (fold->error)
			return false;
	}
	return true;
}

static void *append(void *array, size_t *count, size_t *room, const void *more, size_t more_count, size_t item_bytes)
{
	while (*room - *count < more_count) {
		void *grown = grow(array, *room, room, item_bytes);
		if (!grown)
			return NULL;
		array = grown;
	}
	if (more_count)
		memcpy((uint8_t *)array + *count * item_bytes, more, more_count * item_bytes);
	*count += more_count;
	return array;
}

static bool merge_lists(struct fold *fold, const struct fold *more)
{
	uint32_t offset = (uint32_t)fold->last_call_count;
	struct ul_last_call *calls = append(fold->last_calls, &fold->last_call_count, &fold->last_call_room,
					    more->last_calls, more->last_call_count, sizeof(*calls));
	fold->last_calls = calls ? calls : fold->last_calls;
	struct taken_back *taken_back = append(fold->taken_back, &fold->taken_back_count, &fold->taken_back_room,
					       more->taken_back, more->taken_back_count, sizeof(*taken_back));
	fold->taken_back = taken_back ? taken_back : fold->taken_back;
	struct id_change *changes = append(fold->id_changes, &fold->id_change_count, &fold->id_change_room,
					   more->id_changes, more->id_change_count, sizeof(*changes));
	fold->id_changes = changes ? changes : fold->id_changes;
	if ((more->last_call_count && !calls) || (more->taken_back_count && !taken_back) ||
	    (more->id_change_count && !changes)) {
		fold->error = -ENOMEM;
		return false;
	}
	/* Each has no more than the list holds. */
	cut_candidates(fold);
	assert(more->candidate_count <= UL_LAST_CALLS);
	for (size_t i = 0; i < more->candidate_count; i++) {
		struct candidate candidate = more->candidates[i];
		candidate.call += offset;
		fold->candidates[fold->candidate_count++] = candidate;
	}
	cut_candidates(fold);
	return true;
}

bool fold_merge(struct fold *fold, struct fold *more)
{
	if (more->error)
		fold->error = more->error;
	if (fold->error || !merge_days(fold, more) || !merge_lists(fold, more))
		return false;
	slot_counts_add(&fold->counts, &more->counts);
	fold->calls += more->calls;
	fold->balances += more->balances;
	if (more->any_call)
		note_newest(fold, more->newest_ns);
	return true;
}
