/* The handler of guard.h. */
#include "guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "os.h"

enum { RANGES_MAX = 4096, LEVELS = 8, PART_BYTES = 4096 };
/* Of a part that is lost. */
enum { BEING_KEPT = 1, KEPT, LOST };

/* What the handler looks through, without a lock. Whoever finds its own access in a range may use the guard: the range is in use. */
static struct {
	_Atomic uintptr_t first; /* 0: free */
	_Atomic uintptr_t end;
	_Atomic(struct ul_guard *) guard;
} ranges[RANGES_MAX];

/*
 * Each time that a handler of the host's is found in place of ours, ours is put before it as another function. A host's handler that hands on what it
 * found when it was put in place then comes to an earlier one of ours, which hands on to who was there before that: never in a circle.
 */
static struct {
	pthread_mutex_t mutex;
	struct sigaction before[LEVELS];
	uint32_t count;
} levels = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct ul_guard *find(uintptr_t at)
{
	for (uint32_t i = 0; i < RANGES_MAX; i++)
		if (at >= atomic_load_explicit(&ranges[i].first, memory_order_acquire) &&
		    at < atomic_load_explicit(&ranges[i].end, memory_order_acquire))
			return atomic_load_explicit(&ranges[i].guard, memory_order_relaxed);
	return NULL;
}

/* Copy what the page holds to where it is kept. A read of our own might fault; the system's says so. */
static bool keep(struct ul_guard *guard, uintptr_t page, size_t bytes)
{
	uint8_t *kept = atomic_load_explicit(&guard->kept, memory_order_acquire);
	void *area = NULL;
	if (!kept) {
		if (os_map_zeros(&area, guard->bytes))
			return false;
		if (atomic_compare_exchange_strong(&guard->kept, &kept, area))
			kept = area;
		else
			os_unmap(area, guard->bytes); /* another thread was faster, and `kept` is what it made */
	}
	return !os_read_memory(kept + (page - (uintptr_t)guard->address), (const void *)page, bytes);
}

static void set_state(const struct ul_guard *guard, uintptr_t page, uintptr_t end, uint8_t state)
{
	for (uintptr_t part = page; part < end; part += PART_BYTES)
		__atomic_store_n(&guard->lost[(part - (uintptr_t)guard->address) / PART_BYTES], state,
				 __ATOMIC_RELEASE);
}

static bool survive(struct ul_guard *guard, uintptr_t at)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t page = at / page_bytes * page_bytes, base = (uintptr_t)guard->address;
	uintptr_t end = page + page_bytes < base + guard->bytes ? page + page_bytes : base + guard->bytes;
	uintptr_t first = page > base ? page : base;
	uint8_t nothing = 0;
	/* Another thread is at it, which is to read the page before zeros are there: the access is repeated until it is done. */
	if (guard->lost && !__atomic_compare_exchange_n(&guard->lost[(first - base) / PART_BYTES], &nothing, BEING_KEPT,
							false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return true;
	/* First said, then done: whoever's store gets through finds it said. */
	if (guard->lost)
		set_state(guard, first, end, BEING_KEPT);
	atomic_store_explicit(&guard->failed, 1, memory_order_seq_cst);
	if (guard->on_fault)
		guard->on_fault(guard->owner);
	if (guard->lost)
		set_state(guard, first, end, keep(guard, first, end - first) ? KEPT : LOST);
	void *place = (void *)page;
	return !os_map_zeros(&place, page_bytes);
}

const void *ul_guard_kept(const struct ul_guard *guard, size_t offset)
{
	for (;;) {
		/* Acquire: pairs with the release of the handler, which copied the page before. */
		uint8_t state = __atomic_load_n(&guard->lost[offset / PART_BYTES], __ATOMIC_ACQUIRE);
		if (state != BEING_KEPT)
			return state == KEPT ? atomic_load_explicit(&guard->kept, memory_order_relaxed) + offset : NULL;
		os_pause();
	}
}

static void hand_on(struct sigaction *before, int signal, siginfo_t *info, void *context)
{
	struct sigaction action = *before;
	bool of_access = info->si_code > 0; /* else somebody sent it */
	if (action.sa_flags & SA_RESETHAND)
		*before = (struct sigaction){.sa_handler = SIG_DFL};
	if (action.sa_flags & SA_SIGINFO) {
		action.sa_sigaction(signal, info, context);
	} else if (action.sa_handler == SIG_DFL || (action.sa_handler == SIG_IGN && of_access)) {
		/* The access is repeated on return, and ends the process as it would have without us. */
		struct sigaction none = {.sa_handler = SIG_DFL};
		sigaction(signal, &none, NULL);
		if (!of_access)
			raise(signal);
	} else if (action.sa_handler != SIG_IGN) {
		action.sa_handler(signal);
	}
}

static void handle(uint32_t level, int signal, siginfo_t *info, void *context)
{
	int host_errno = errno;
	uintptr_t at = (uintptr_t)info->si_addr;
	struct ul_guard *guard = info->si_code > 0 ? find(at) : NULL;
	if (!guard || !survive(guard, at))
		hand_on(&levels.before[level], signal, info, context);
	errno = host_errno;
}

#define LEVEL(n)                                                           \
	static void handle_##n(int signal, siginfo_t *info, void *context) \
	{                                                                  \
		handle(n, signal, info, context);                          \
	}
LEVEL(0)
LEVEL(1)
LEVEL(2)
LEVEL(3)
LEVEL(4)
LEVEL(5)
LEVEL(6)
LEVEL(7)
static void (*const handlers[LEVELS])(int, siginfo_t *, void *) = {handle_0, handle_1, handle_2, handle_3,
								   handle_4, handle_5, handle_6, handle_7};

/* Which of ours this is, or would stand before it: LEVELS if none. */
static uint32_t level_of(const struct sigaction *action, bool *ours)
{
	for (uint32_t i = 0; i < LEVELS; i++) {
		*ours = action->sa_sigaction == handlers[i];
		if (*ours || (i < levels.count && action->sa_sigaction == levels.before[i].sa_sigaction))
			return i;
	}
	return levels.count;
}

/* Before the host's, called as that would be: on its stack, with its mask. */
static void put_first(uint32_t level, struct sigaction host)
{
	struct sigaction action = {.sa_sigaction = handlers[level],
				   .sa_mask = host.sa_mask,
				   .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | (host.sa_flags & SA_NODEFER)};
	levels.before[level] = host;
	sigaction(SIGBUS, &action, NULL);
}

void ul_guard_renew(void)
{
	struct sigaction found;
	bool ours;
	pthread_mutex_lock(&levels.mutex);
	uint32_t level = sigaction(SIGBUS, NULL, &found) ? LEVELS : level_of(&found, &ours);
	if (level < LEVELS) {
		/* The host may have put back an earlier one; by signal(), which forgets how it is called. What came after is out of use. */
		if (!ours || !(found.sa_flags & SA_SIGINFO))
			put_first(level, ours ? levels.before[level] : found);
		levels.count = level + 1;
	}
	pthread_mutex_unlock(&levels.mutex);
}

void ul_guard_fork_begins(void)
{
	pthread_mutex_lock(&levels.mutex);
}

void ul_guard_fork_ends(void)
{
	pthread_mutex_unlock(&levels.mutex);
}

int ul_guard_begin(struct ul_guard *guard)
{
	ul_guard_renew();
	for (uint32_t i = 0; i < RANGES_MAX; i++) {
		uintptr_t nobody = 0;
		/* An end of 0 until the rest is there: nothing lies in the range yet. */
		if (atomic_load_explicit(&ranges[i].first, memory_order_relaxed) ||
		    !atomic_compare_exchange_strong(&ranges[i].first, &nobody, (uintptr_t)guard->address))
			continue;
		atomic_store_explicit(&ranges[i].guard, guard, memory_order_relaxed);
		atomic_store_explicit(&ranges[i].end, (uintptr_t)guard->address + guard->bytes, memory_order_release);
		return 0;
	}
	return -ENOMEM;
}

void ul_guard_end(struct ul_guard *guard)
{
	os_unmap(atomic_load_explicit(&guard->kept, memory_order_acquire), guard->bytes);
	for (uint32_t i = 0; i < RANGES_MAX && guard->address; i++) {
		if (atomic_load_explicit(&ranges[i].first, memory_order_relaxed) != (uintptr_t)guard->address)
			continue;
		atomic_store_explicit(&ranges[i].end, 0, memory_order_relaxed);
		atomic_store_explicit(&ranges[i].guard, NULL, memory_order_relaxed);
		atomic_store_explicit(&ranges[i].first, 0, memory_order_release);
		return;
	}
}
