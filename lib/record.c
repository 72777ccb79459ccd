/*
 * The hot path, and nothing else: build the entry in registers, checksum it, store it. What it needs is at hand:
 * the thread's lane has room, or the next page is taken with one atomic; and both names have definitions in the lane's segment. Whatever
 * is rare is append.c's.
 *
 * It writes only the lane, which is the thread's own, and the slot; and once in 64 records the segment's next page. It reads what is otherwise
 * read only: the handle's serial, the names, and the segment's table of definitions.
 */
#include "handle.h"

#include <time.h>

#include "seal.h"

/*
 * Claim a slot: one instruction, so that a signal handler on this thread that records too finds it done or not
 * begun, never half. It needs no lock prefix: no other thread writes `next`.
 */
static inline uint32_t claim(struct ul_lane *lane)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	uint32_t slot = 1;
	__asm__ volatile("xaddl %0, %1" : "+r"(slot), "+m"(lane->next) : : "cc");
	return slot;
#else
	return atomic_fetch_add_explicit(&lane->next, 1, memory_order_relaxed);
#endif
}

/* The time of the call, if the caller does not say: the coarse clock, which a virtual machine reads without asking its host. */
static inline int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * What lies between these two, the lane, its segment and the names, stays: who wants to take it away parks the lane, has all threads
 * pass a barrier, and waits until nobody is inside. By then a thread sees its lane parked, and if not, is seen inside.
 * A signal handler that records meanwhile leaves the count as it found it.
 */
static inline void step_in(struct ul_lane *lane)
{
	uint32_t inside = atomic_load_explicit(&lane->inside, memory_order_relaxed);
	atomic_store_explicit(&lane->inside, inside + 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void step_out(struct ul_lane *lane)
{
	uint32_t inside = atomic_load_explicit(&lane->inside, memory_order_relaxed);
	/* Release: pairs with the acquire of who waits in open.c. */
	atomic_store_explicit(&lane->inside, inside - 1, memory_order_release);
}

static inline uint64_t pair(uint32_t low, uint32_t high)
{
	return low | (uint64_t)high << 32;
}

enum { DONE, RARE, WAKE };

/* Inside. RARE: this call is append.c's, also after a store that went astray. WAKE: done, and the lane was parked meanwhile. */
__attribute__((always_inline)) static inline int record_inside(usagelog *log, struct ul_lane *lane, uint32_t model,
							       uint32_t context, const struct usagelog_call *call,
							       int64_t time_ns)
{
	/* The limit is the helper's to change; its value at this moment is compared with a later one below. */
	uint32_t limit = atomic_load_explicit(&lane->limit, memory_order_relaxed);
	if (unlikely(atomic_load_explicit(&lane->next, memory_order_relaxed) >= limit)) {
		if (limit == UL_PARKED || !ul_lane_refill(log, lane))
			return RARE;
		limit = lane->page_end;
	}
	if (unlikely((model | context) > lane->name_mask))
		return RARE;
	/* Acquire: pairs with the release in append.c's define(): a call that names a definition is stored after it. */
	_Atomic uint32_t *definitions = lane->definitions;
	uint32_t model_slot = atomic_load_explicit(&definitions[model], memory_order_acquire);
	uint32_t context_slot = atomic_load_explicit(&definitions[context], memory_order_acquire);
	if (unlikely(!model_slot || (!context_slot && context)))
		return RARE;
	if (unlikely(call->flags > USAGELOG_COST || call->latency_us > UINT32_MAX || call->call_id))
		return RARE;

	uint32_t slot_number = claim(lane);
	/*
	 * A signal handler on this thread that recorded since the checks above may have used up the page, or moved the lane to
	 * another one: then the slot is not in the page that was looked at, or that page is in another segment.
	 */
	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely((slot_number ^ (limit - 1)) >= UL_PAGE_SLOTS || lane->definitions != definitions)) {
		ul_lane_abandon(lane, slot_number);
		return RARE;
	}

	bool priced = call->flags & USAGELOG_COST;
	uint32_t latency = (uint32_t)call->latency_us;
	uint32_t flags = (priced ? 0 : UL_UNPRICED) | (latency ? 0 : UL_LATENCY_UNKNOWN);
	uint64_t body[7];
	body[0] = pair(ul_tag(UL_KIND_CALL, model_slot), flags | context_slot);
	body[1] = (uint64_t)time_ns;
	body[2] = priced ? (uint64_t)call->cost_pico_usd : 0;
	body[3] = pair(call->input_tokens, call->cache_read_tokens);
	body[4] = pair(call->cache_write_5m_tokens, call->cache_write_1h_tokens);
	body[5] = pair(call->output_tokens, call->reasoning_tokens);
	body[6] = pair(latency, call->ttft_us);

	uint64_t checksum = ul_slot_checksum(body, ul_slot_seed(lane->seed, slot_number));
	uint64_t *words = (uint64_t *)(void *)&lane->slots[slot_number];
	/* Unrolled, so that the words stay in registers: copied by a loop, they would be spilled and loaded again. */
#pragma GCC unroll 7
	for (int i = 0; i < 7; i++)
		__atomic_store_n(&words[1 + i], body[i], __ATOMIC_RELAXED);
	/* The commit. Release: pairs with the acquire of every reader of this slot, in this process or another. */
	__atomic_store_n(&words[0], checksum, __ATOMIC_RELEASE);

	/*
	 * Was the lane parked meanwhile? The store above and this load must not change places; the helper's membarrier()
	 * between its store of the limit and its look at the slots sees to that, so a compiler barrier is enough here. It is parked, too, where
	 * the store found no file behind the page.
	 */
	atomic_signal_fence(memory_order_seq_cst);
	if (likely(atomic_load_explicit(&lane->limit, memory_order_relaxed) != UL_PARKED))
		return DONE;
	return ul_lane_has_stored(lane, slot_number) ? WAKE : RARE;
}

/* Without a stack protector: there is no array on the stack to guard, `body` is all registers, and the guard is a twentieth of the time. */
__attribute__((no_stack_protector)) int usagelog_record(usagelog *log, usagelog_model model, usagelog_context context,
							const struct usagelog_call *call)
{
	struct ul_lane *lane = ul_thread.lane;
	if (unlikely(ul_thread.serial != atomic_load_explicit(&log->serial, memory_order_relaxed)))
		return ul_record_rare(log, model, context, call);
	/* First: between claim and commit is no place to call a function, and no register is in use yet. */
	int64_t time_ns = call->time_ns ? call->time_ns : now_ns();
	step_in(lane);
	int result = record_inside(log, lane, model.index, context.index, call, time_ns);
	step_out(lane);
	if (likely(result == DONE))
		return 0;
	if (result == RARE)
		return ul_record_rare(log, model, context, call);
	ul_unpark(log);
	return 0;
}

__attribute__((no_stack_protector)) int usagelog_record_names(usagelog *log, const struct usagelog_names *names,
							      const struct usagelog_call *call)
{
	struct ul_lane *lane = ul_thread.lane;
	if (unlikely(ul_thread.serial != atomic_load_explicit(&log->serial, memory_order_relaxed)))
		return ul_record_names_rare(log, names, call);
	int64_t time_ns = call->time_ns ? call->time_ns : now_ns();
	step_in(lane);
	uint32_t model = 0, context = 0;
	/* A parked lane may belong to a handle that is being closed: then the names are not to be looked at. */
	bool found = likely(atomic_load_explicit(&lane->limit, memory_order_relaxed) != UL_PARKED) &&
		     ul_lane_names(log, lane, names, &model, &context);
	int result = found ? record_inside(log, lane, model, context, call, time_ns) : RARE;
	step_out(lane);
	if (likely(result == DONE))
		return 0;
	if (result == RARE)
		return found ? ul_record_rare(log, (usagelog_model){model}, (usagelog_context){context}, call)
			     : ul_record_names_rare(log, names, call);
	ul_unpark(log);
	return 0;
}
