/* Which calls of the seam fail in a test: `answer` is what os_fault is set to. */
#ifndef USAGELOG_TESTS_FAULT_PLAN_H
#define USAGELOG_TESTS_FAULT_PLAN_H

#include <stdatomic.h>
#include <stdint.h>

#include "os.h"

/* Which calls fail: those of one kind, from the n-th on, so many of them, with this errno. */
static struct {
	_Atomic int kind;
	_Atomic uint32_t first, count;
	_Atomic int error;
	_Atomic uint32_t seen;
} plan = {.kind = -1};

static int answer(enum os_call call)
{
	if ((int)call != plan.kind)
		return 0;
	uint32_t n = ++plan.seen;
	return n >= plan.first && n - plan.first < plan.count ? plan.error : 0;
}

static void fail_calls(enum os_call kind, uint32_t first, uint32_t count, int error)
{
	plan.kind = -1;
	plan.seen = 0;
	plan.first = first;
	plan.count = count;
	plan.error = error;
	plan.kind = (int)kind;
}

static void fail_nothing(void)
{
	plan.kind = -1;
}

#endif
