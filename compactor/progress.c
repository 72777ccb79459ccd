/* How far a run is. */
#include "progress.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "money.h"
#include "os.h"

enum { FIRST_NS = 500000000, NEXT_NS = 100000000, NS_PER_S = 1000000000, BAR_COLUMNS = 30, LINE_BYTES = 256 };

#define NEVER UINT64_MAX

static bool forbidden;
static struct {
	const char *what;
	uint64_t bytes, begin_ns;
	_Atomic uint64_t done;
	_Atomic uint64_t next_ns; /* who moves it on draws */
	atomic_bool shown;
} progress = {.next_ns = NEVER};

void progress_forbid(void)
{
	forbidden = true;
}

void progress_begin(const char *what, uint64_t bytes)
{
	progress_end();
	if (forbidden || !isatty(STDERR_FILENO))
		return;
	progress.what = what;
	progress.bytes = bytes;
	progress.begin_ns = os_monotonic_ns();
	atomic_store_explicit(&progress.done, 0, memory_order_relaxed);
	/* Threads that add are begun after this, and have ended before it is called again. */
	atomic_store_explicit(&progress.next_ns, progress.begin_ns + FIRST_NS, memory_order_relaxed);
}

static void draw(uint64_t done, uint64_t now_ns)
{
	char line[LINE_BYTES], size[MONEY_SHOWN_BYTES], all[MONEY_SHOWN_BYTES], rate[MONEY_SHOWN_BYTES];
	size_show(size, done);
	size_show(all, progress.bytes);
	size_show(rate, (uint64_t)((double)done * NS_PER_S / (double)(now_ns - progress.begin_ns)));
	int used;
	if (progress.bytes && done <= progress.bytes) {
		double part = (double)done / (double)progress.bytes;
		int full = (int)(part * BAR_COLUMNS);
		used = snprintf(line, sizeof(line), "\r%s [%.*s%*s] %3d %%  %s of %s, %s/s\033[K", progress.what, full,
				"##############################", BAR_COLUMNS - full, "", (int)(part * 100), size, all,
				rate);
	} else {
		used = snprintf(line, sizeof(line), "\r%s  %s, %s/s\033[K", progress.what, size, rate);
	}
	atomic_store_explicit(&progress.shown, true, memory_order_relaxed);
	/* In one piece. */
	fwrite(line, 1, used < LINE_BYTES ? (size_t)used : LINE_BYTES - 1, stderr);
	fflush(stderr);
}

void progress_add(uint64_t bytes)
{
	uint64_t next_ns = atomic_load_explicit(&progress.next_ns, memory_order_relaxed);
	if (next_ns == NEVER)
		return;
	uint64_t done = atomic_fetch_add_explicit(&progress.done, bytes, memory_order_relaxed) + bytes;
	uint64_t now_ns = os_monotonic_ns();
	if (now_ns >= next_ns && atomic_compare_exchange_strong_explicit(&progress.next_ns, &next_ns, now_ns + NEXT_NS,
									 memory_order_relaxed, memory_order_relaxed))
		draw(done, now_ns);
}

void progress_clear(void)
{
	if (atomic_exchange_explicit(&progress.shown, false, memory_order_relaxed))
		fputs("\r\033[K", stderr);
}

void progress_end(void)
{
	progress_clear();
	atomic_store_explicit(&progress.next_ns, NEVER, memory_order_relaxed);
}
