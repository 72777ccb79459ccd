/*
 * The rest of record(): a thread's first call, a full page, names that this segment has no definitions of yet, call ids, no
 * file to be had, a helper to be woken, a forked child. All of it under the handle's mutex: once in 64 calls or so.
 */
#include "handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "seal.h"

enum {
	STORE_TRIES_MAX = 8, /* a rotation between definition and call has both done again in the new segment */
};

/* ---- room ------------------------------------------------------------------------------------------------- */

/* Wake the helper where something falls due that only a count of pages shows. */
static void call_helper_if_due(usagelog *log, const struct ul_segment *segment, uint32_t page)
{
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	bool extend = ready < segment->page_count && ready - page < UL_AHEAD_PAGES_MIN;
	bool sync = page >= atomic_load_explicit(&segment->wake_page, memory_order_relaxed);
	if ((extend || sync) && !log->helper_called)
		ul_helper_wake(log);
}

static int extend_inline(usagelog *log, struct ul_segment *segment, uint32_t page)
{
	uint32_t ready = atomic_load_explicit(&segment->ready_pages, memory_order_relaxed);
	uint32_t pages = ul_segment_extension(segment, page + 1);
	int error = os_extend(segment->fd, (uint64_t)ready * UL_PAGE_BYTES, (uint64_t)(pages - ready) * UL_PAGE_BYTES,
			      true);
	log->stats.inline_extensions++;
	if (!error)
		ul_segment_publish(segment, pages);
	else
		ul_warn(log, error, "%s/%s: cannot be extended: %s; going on in another file", log->directory.path,
			segment->name, usagelog_strerror(error));
	return error;
}

/* A page of the current segment: its number, or an error if the segment has no more to give. */
static int give_page(usagelog *log, struct ul_segment *segment, uint32_t *given)
{
	uint32_t page = atomic_load_explicit(&segment->next_page, memory_order_relaxed);
	do {
		if (segment->retired || page >= segment->page_count)
			return -ENOSPC;
		/* Acquire: pairs with ul_segment_publish(). */
		if (page >= atomic_load_explicit(&segment->ready_pages, memory_order_acquire)) {
			int error = extend_inline(log, segment, page);
			if (error) {
				segment->retired = true;
				return error;
			}
		}
		/* Others take pages in ul_lane_refill(). Release: pairs with the acquire in sync.c, which looks at all pages below. */
	} while (!atomic_compare_exchange_weak_explicit(&segment->next_page, &page, page + 1, memory_order_release,
							memory_order_relaxed));
	*given = page;
	return 0;
}

/* Pages of its file were found missing: nothing is added to it any more. */
static void leave_if_failed(usagelog *log, struct ul_segment *segment)
{
	if (!segment || !segment->guard.failed || segment->retired)
		return;
	segment->retired = true;
	ul_warn(log, -EIO,
		"%s/%s: pages of it are gone or cannot be written: it was cut short, or its disk is full or failed; "
		"going on in another "
		"file",
		log->directory.path, segment->name);
}

static int take_page(usagelog *log, struct ul_lane *lane)
{
	/* Else a signal handler on this thread could take the page that is chosen here, and store a call where the next one will be stored. */
	atomic_store_explicit(&lane->limit, UL_PARKED, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	ul_source_return(log);
	/* At most: the current segment is full, a spare that cannot be extended, one made now. */
	for (int tries = 0; tries < 3; tries++) {
		struct ul_segment *segment = atomic_load_explicit(&log->current, memory_order_relaxed);
		leave_if_failed(log, segment);
		uint32_t page = segment && segment == lane->segment && !segment->retired ? ul_lane_next_page(lane) : 0;
		if (page || (segment && !give_page(log, segment, &page))) {
			ul_lane_set(log, lane, segment,
				    page == segment->first_page ? segment->first_slot : page * UL_PAGE_SLOTS);
			call_helper_if_due(log, segment, page);
			return 0;
		}
		if (segment)
			segment->retired = true;
		int error = ul_source_next(log);
		if (error)
			return error;
	}
	return log->source.error ? log->source.error : -ENOSPC;
}

/* A lane may be used without the mutex, unless every call is to wait for its sync anyway. */
static void lane_go(usagelog *log, struct ul_lane *lane)
{
	bool synchronous = log->options.flags & USAGELOG_SYNCHRONOUS;
	atomic_store_explicit(&lane->limit, synchronous ? UL_PARKED : lane->page_end, memory_order_relaxed);
}

static void write_slot(const struct ul_lane *lane, uint32_t number, uint32_t tag, uint32_t word, const void *body)
{
	uint64_t words[7];
	words[0] = tag | (uint64_t)word << 32;
	memcpy(&words[1], body, 6 * sizeof(words[0]));
	uint64_t checksum = ul_slot_checksum(words, ul_slot_seed(lane->seed, number));
	struct ul_slot *slot = &lane->slots[number];
	memcpy(&slot->tag, words, sizeof(words));
	/* The commit. Release: pairs with the acquire of every reader of this slot. */
	__atomic_store_n(&slot->checksum, checksum, __ATOMIC_RELEASE);
}

/* A slot that holds no call is not counted as one. */
static void count_other(struct ul_lane *lane, uint32_t slots)
{
	/* In one: a signal handler on this thread may have the lane go on in another page, where they count from zero. */
	atomic_fetch_add_explicit(&lane->other_slots, slots, memory_order_relaxed);
}

static void write_padding(struct ul_lane *lane, uint32_t number)
{
	static const uint64_t zero[6];
	count_other(lane, 1);
	write_slot(lane, number, ul_tag(UL_KIND_PADDING, 0), 0, zero);
}

/*
 * A number past the end of a page is nobody's, even if a signal handler has gone on in the page behind since, and stored its call in the slot of that
 * number. A number in a page is ours alone, and its slot empty.
 */
void ul_lane_abandon(struct ul_lane *lane, uint32_t number)
{
	if (number < lane->page_end && number < atomic_load_explicit(&lane->next, memory_order_relaxed) &&
	    !__atomic_load_n(&lane->slots[number].checksum, __ATOMIC_RELAXED))
		write_padding(lane, number);
}

bool ul_lane_has_stored(struct ul_lane *lane, uint32_t slot)
{
	if (!lane->segment || !ul_segment_is_lost(lane->segment, slot))
		return true;
	count_other(lane, 1);
	return false;
}

/* Claim `count` slots side by side in one page. */
static int claim(usagelog *log, struct ul_lane *lane, uint32_t count, uint32_t *first)
{
	for (int tries = 0; tries < STORE_TRIES_MAX; tries++) {
		uint32_t next = atomic_load_explicit(&lane->next, memory_order_relaxed);
		/* A signal handler on this thread may claim, too. */
		while (lane->segment && next + count <= lane->page_end)
			if (atomic_compare_exchange_weak_explicit(&lane->next, &next, next + count,
								  memory_order_relaxed, memory_order_relaxed)) {
				*first = next;
				return 0;
			}
		int error = take_page(log, lane);
		if (error)
			return error;
		lane_go(log, lane);
	}
	return -EAGAIN;
}

/* ---- definitions and calls -------------------------------------------------------------------------------- */

/* Write the definition of a name, last chunk first, each leading to the one before. -ESTALE: the segment changed on the way. */
static int define(usagelog *log, struct ul_lane *lane, const struct ul_name *name, uint32_t *slot)
{
	struct ul_segment *segment = lane->segment;
	uint32_t next = 0;
	for (uint32_t chunk = (name->text_bytes - 1) / UL_CHUNK_BYTES + 1; chunk-- > 0;) {
		uint32_t offset = chunk * UL_CHUNK_BYTES, number;
		uint32_t bytes =
			name->text_bytes - offset < UL_CHUNK_BYTES ? name->text_bytes - offset : UL_CHUNK_BYTES;
		uint8_t text[UL_CHUNK_BYTES] = {0};
		memcpy(text, name->text + offset, bytes);
		int error = claim(log, lane, 1, &number);
		if (error)
			return error;
		if (lane->segment != segment) {
			write_padding(lane, number);
			return -ESTALE;
		}
		count_other(lane, 1);
		uint32_t word = chunk ? offset : (uint32_t)name->text_class << 28 | name->text_bytes;
		write_slot(lane, number, ul_tag(chunk ? UL_KIND_CONTINUATION : UL_KIND_DEFINITION, next), word, text);
		next = number;
	}
	if (name->index) /* Release: pairs with the acquire in usagelog_record(). */
		atomic_store_explicit(&segment->definitions[name->index], next, memory_order_release);
	*slot = next;
	return 0;
}

static int find_definition(usagelog *log, struct ul_lane *lane, const struct ul_name *name, uint32_t *slot)
{
	*slot = 0;
	/* Attributes that come to nothing, such as an empty metadata object, have no text. */
	if (!name || !name->text_bytes)
		return 0;
	if (name->index)
		*slot = atomic_load_explicit(&lane->segment->definitions[name->index], memory_order_relaxed);
	return *slot ? 0 : define(log, lane, name, slot);
}

/* Store a call in the lane's segment. -ESTALE: that changed meanwhile. */
static int store_here(usagelog *log, struct ul_lane *lane, const struct ul_pending *pending)
{
	struct ul_segment *segment = lane->segment;
	uint32_t model, context, number;
	int error = find_definition(log, lane, pending->model, &model);
	if (!error)
		error = find_definition(log, lane, pending->context, &context);
	if (!error)
		error = claim(log, lane, pending->has_id ? 2 : 1, &number);
	if (error)
		return error;
	bool defined = !ul_segment_is_lost(segment, model) && !ul_segment_is_lost(segment, context);
	if (lane->segment != segment || !defined) {
		for (uint32_t i = 0; i < (pending->has_id ? 2U : 1U); i++)
			write_padding(lane, number + i);
		return -ESTALE;
	}
	if (pending->has_id) {
		uint8_t body[UL_CHUNK_BYTES] = {0};
		memcpy(body, pending->call_id.bytes, UL_ID_BYTES);
		count_other(lane, 1);
		write_slot(lane, number++, ul_tag(UL_KIND_CALL_ID, 0), 0, body);
	}
	if (pending->kind != UL_KIND_CALL)
		count_other(lane, 1);
	write_slot(lane, number, ul_tag(pending->kind, model), pending->flags | context, &pending->body);
	if (!ul_segment_is_lost(segment, number))
		return 0;
	if (pending->kind == UL_KIND_CALL)
		count_other(lane, 1);
	return -ESTALE;
}

static int store(usagelog *log, struct ul_lane *lane, const struct ul_pending *pending)
{
	int error = -ESTALE;
	for (int tries = 0; tries < STORE_TRIES_MAX && error == -ESTALE; tries++) {
		/* Without a page there is no segment to look for definitions in. */
		error = ul_lane_is_full(lane) ? take_page(log, lane) : 0;
		if (error)
			return error;
		lane_go(log, lane);
		error = store_here(log, lane, pending);
	}
	return error == -ESTALE ? -EAGAIN : error;
}

/* ---- when there is no room -------------------------------------------------------------------------------- */

static int drop(usagelog *log, int error)
{
	log->stats.dropped[ul_cause_of(error)]++;
	return USAGELOG_ERROR_DROPPED;
}

static int hold_or_drop(usagelog *log, struct ul_lane *lane, const struct ul_pending *pending, int error)
{
	/* Names outside of the table live no longer than this call. */
	bool can_be_held = pending->model->index && (!pending->context || pending->context->index);
	if (can_be_held && log->held_count < log->options.held_count_max) {
		log->held[log->held_count++] = *pending;
		return USAGELOG_ERROR_HELD;
	}
	/* The memory is full: no more waiting for this directory, the next one is tried now. */
	if (log->source.tries) {
		log->source.tries = log->options.retry_count_max + 1;
		log->source.next_try_ns = 0;
		error = store(log, lane, pending);
		if (!error) {
			ul_drain_held(log);
			return 0;
		}
	}
	return drop(log, error);
}

void ul_drain_held(usagelog *log)
{
	struct ul_lane *lane = log->held_count ? ul_lane_get(log) : NULL;
	uint32_t done = 0;
	while (lane && done < log->held_count && !store(log, lane, &log->held[done]))
		done++;
	log->held_count -= done;
	memmove(log->held, log->held + done, log->held_count * sizeof(log->held[0]));
}

static int append_locked(usagelog *log, const struct ul_pending *pending)
{
	if (!atomic_load_explicit(log->alive, memory_order_relaxed))
		ul_handle_after_fork(log);
	struct ul_lane *lane = ul_lane_get(log);
	if (!lane)
		return pending->kind == UL_KIND_CALL ? drop(log, -ENOMEM) : -ENOMEM;
	/* A signal handler that interrupted record() itself: what that is in the midst of using, the lane and its segment, must not change. */
	if (atomic_load_explicit(&lane->inside, memory_order_relaxed)) {
		atomic_fetch_add_explicit(&log->reentered, 1, memory_order_relaxed);
		return USAGELOG_ERROR_DROPPED;
	}
	if (log->held_count)
		ul_drain_held(log);
	int error = store(log, lane, pending);
	if (error && pending->kind == UL_KIND_CALL)
		error = hold_or_drop(log, lane, pending, error);
	ul_helper_need(log);
	return error;
}

/* Is this a signal handler that interrupted a call of the library that may hold a lock? Then its call is lost, and counted. */
static bool is_reentered(usagelog *log)
{
	if (ul_thread.inside)
		atomic_fetch_add_explicit(&log->reentered, 1, memory_order_relaxed);
	return ul_thread.inside;
}

/* Under the mutex, which this lets go of. What a signal handler interrupted must find errno as it was. */
static int append_and_unlock(usagelog *log, const struct ul_pending *pending)
{
	int error = append_locked(log, pending);
	bool synchronous = log->options.flags & USAGELOG_SYNCHRONOUS;
	uint64_t generation = log->generation;
	ul_unlock(log);
	ul_deliver_warnings(log);
	if (error || !synchronous)
		return error;
	error = ul_flush_shared(log, generation);
	/* It is committed: not that nothing was recorded. */
	return error == USAGELOG_ERROR_CLOSED ? -ECANCELED : error;
}

/* The names behind their handles, which anything may be that a caller has. */
static int find_names(usagelog *log, struct ul_pending *pending, uint32_t model, uint32_t context)
{
	if (!model || (model | context) > log->names.index_mask)
		return USAGELOG_ERROR_CALL;
	pending->model = atomic_load_explicit(&log->names.by_index[model], memory_order_relaxed);
	pending->context = context ? atomic_load_explicit(&log->names.by_index[context], memory_order_relaxed) : NULL;
	if (!pending->model || pending->model->text_class != UL_CLASS_MODEL)
		return USAGELOG_ERROR_CALL;
	if (context && (!pending->context || pending->context->text_class != UL_CLASS_CONTEXT))
		return USAGELOG_ERROR_CALL;
	return 0;
}

int ul_record_rare(usagelog *log, usagelog_model model, usagelog_context context, const struct usagelog_call *call)
{
	struct ul_pending pending;
	int host_errno = errno;
	int error = ul_pending_fill(&pending, call);
	if (error)
		return error;
	if (is_reentered(log))
		return USAGELOG_ERROR_DROPPED;
	error = ul_lock_open(log);
	if (!error) {
		error = find_names(log, &pending, model.index, context.index);
		if (error)
			ul_unlock(log);
		else
			error = append_and_unlock(log, &pending);
	}
	errno = host_errno;
	return error;
}

void ul_unpark(usagelog *log)
{
	int host_errno = errno;
	if (!ul_lock_open(log)) {
		ul_helper_need(log);
		ul_unlock(log);
	}
	errno = host_errno;
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

int ul_pending_fill(struct ul_pending *pending, const struct usagelog_call *call)
{
	if (call->flags & ~(uint32_t)USAGELOG_COST)
		return USAGELOG_ERROR_CALL;
	uint64_t latency = call->latency_us;
	pending->flags = (call->flags & USAGELOG_COST ? 0 : UL_UNPRICED) | (latency ? 0 : UL_LATENCY_UNKNOWN);
	if (latency > UINT32_MAX) {
		latency = latency / 1000 + (latency % 1000 >= 500);
		pending->flags |= UL_LATENCY_MS;
	}
	if (latency > UINT32_MAX)
		return USAGELOG_ERROR_CALL;
	pending->kind = UL_KIND_CALL;
	pending->has_id = call->call_id != NULL;
	if (call->call_id)
		memcpy(pending->call_id.bytes, call->call_id, UL_ID_BYTES);
	pending->body = (struct ul_call_body){
		.time_ns = call->time_ns ? call->time_ns : os_time_ns(),
		.cost_pico_usd = call->flags & USAGELOG_COST ? call->cost_pico_usd : 0,
		.input_tokens = call->input_tokens,
		.cache_read_tokens = call->cache_read_tokens,
		.cache_write_5m_tokens = call->cache_write_5m_tokens,
		.cache_write_1h_tokens = call->cache_write_1h_tokens,
		.output_tokens = call->output_tokens,
		.reasoning_tokens = call->reasoning_tokens,
		.latency = (uint32_t)latency,
		.ttft_us = call->ttft_us,
	};
	return 0;
}

uint64_t ul_committed(const usagelog *log)
{
	uint64_t calls = 0;
	for (uint32_t block = 0; block < log->lane_block_count; block++)
		for (uint32_t i = 0; i < UL_LANES_A_BLOCK; i++)
			calls += ul_lane_calls(&log->lane_blocks[block][i]);
	return calls;
}

uint64_t ul_attempted(const usagelog *log)
{
	uint64_t calls =
		ul_committed(log) + log->held_count + atomic_load_explicit(&log->reentered, memory_order_relaxed);
	for (uint32_t i = 0; i < UL_CAUSES; i++)
		calls += log->stats.dropped[i];
	return calls;
}

/* Find or make the name of a key, under the mutex; `*own` is set to one that the caller must free. */
static int name_of(usagelog *log, const struct ul_key *key, const struct ul_name **name, struct ul_name **own)
{
	*own = NULL;
	*name = ul_names_find(&log->names, key);
	if (*name)
		return 0;
	struct ul_name *made;
	int error = ul_name_make(&made, key);
	if (error)
		return error;
	error = ul_names_insert(&log->names, made);
	if (error)
		*own = made;
	*name = made;
	return error;
}

static int get_index(usagelog *log, const struct ul_key *key, uint32_t *index)
{
	const struct ul_name *name;
	struct ul_name *own;
	if (ul_thread.inside)
		return -EAGAIN;
	int error = ul_lock_open(log);
	if (error)
		return error;
	error = name_of(log, key, &name, &own);
	if (!error)
		*index = name->text_bytes ? name->index : 0;
	ul_unlock(log);
	free(own);
	return error;
}

int usagelog_model_get(usagelog *log, const char *provider, const char *model, usagelog_model *out)
{
	struct ul_key key;
	ul_key_model(&key, provider, model);
	return get_index(log, &key, &out->index);
}

int usagelog_context_get(usagelog *log, const struct usagelog_attributes *attributes, usagelog_context *out)
{
	struct ul_key key;
	if (!ul_key_context(&key, attributes)) {
		out->index = 0;
		return 0;
	}
	return get_index(log, &key, &out->index);
}

/* Names that the table has no room for live as long as this call. */
static int append_names(usagelog *log, const struct usagelog_names *names, struct ul_pending *pending)
{
	struct ul_key model, context;
	struct ul_name *own_model = NULL, *own_context = NULL;
	int host_errno = errno;
	ul_key_model(&model, names->provider, names->model);
	bool has_context = ul_key_context(&context, &names->attributes);
	int error = ul_lock_open(log);
	if (error)
		return error;
	error = name_of(log, &model, &pending->model, &own_model);
	if (has_context && (!error || error == USAGELOG_ERROR_NAMES_FULL))
		error = name_of(log, &context, &pending->context, &own_context);
	if (error == -ENOMEM && pending->kind == UL_KIND_CALL)
		error = drop(log, error);
	if (!error || error == USAGELOG_ERROR_NAMES_FULL)
		error = append_and_unlock(log, pending);
	else
		ul_unlock(log);
	free(own_model);
	free(own_context);
	errno = host_errno;
	return error;
}

int ul_record_names_rare(usagelog *log, const struct usagelog_names *names, const struct usagelog_call *call)
{
	struct ul_pending pending = {0};
	int error = ul_pending_fill(&pending, call);
	if (error)
		return error;
	return is_reentered(log) ? USAGELOG_ERROR_DROPPED : append_names(log, names, &pending);
}

int ul_record_balance(usagelog *log, const struct usagelog_names *names, const uint8_t *id,
		      const struct ul_balance_body *balance)
{
	struct ul_pending pending = {.kind = UL_KIND_BALANCE, .has_id = id != NULL, .balance = *balance};
	if (id)
		memcpy(pending.call_id.bytes, id, UL_ID_BYTES);
	if (balance->calls >= UL_BALANCE_MAX || balance->tokens >= UL_BALANCE_MAX || balance->scope < 1 ||
	    balance->scope > 3)
		return USAGELOG_ERROR_CALL;
	return ul_thread.inside ? -EAGAIN : append_names(log, names, &pending);
}
