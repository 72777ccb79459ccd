/*
 * Linked with a program whose seam (lib/os.h) has faults: which call fails is told by the environment.
 *
 *     USAGELOG_FAULT=SITE:FIRST:COUNT:ERRNO,...
 *                        of the calls made at that place of the program, in hexadecimal, those from the first on (1 is the first); kN instead of a
 *                        place: of all calls of the kind N of enum os_call
 *     USAGELOG_FAULT_TRACE=FILE               each place that is met is added to this file, and "failed" once if a call was made to fail
 *
 * A place is the address that the call returns to, from the program's beginning on, as a disassembler shows it.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os.h"

enum { SITES_MAX = 1 << 12, PLANS_MAX = 8 };

extern const char __executable_start[];

static struct plan {
	uintptr_t site;
	int kind; /* -1: none, but a site */
	uint32_t first, count;
	int error;
	_Atomic uint32_t seen, failed;
} plans[PLANS_MAX];
static uint32_t plan_count;
static int trace = -1;
static _Atomic uintptr_t met[SITES_MAX];

static void tell(const char *line, size_t bytes)
{
	/* Whole lines: others of this program's processes write to the file as well. */
	if (trace >= 0 && write(trace, line, bytes) != (ssize_t)bytes)
		_exit(99);
}

static void meet(uintptr_t site)
{
	char line[32];
	for (uint32_t i = 0, at = (uint32_t)site; i < SITES_MAX; i++, at++) {
		uintptr_t none = 0;
		if (atomic_compare_exchange_strong(&met[at % SITES_MAX], &none, site)) {
			tell(line, (size_t)snprintf(line, sizeof(line), "%zx\n", (size_t)site));
			return;
		}
		if (none == site)
			return;
	}
}

static int answer(enum os_call call)
{
	uintptr_t site = (uintptr_t)os_fault_site - (uintptr_t)__executable_start;
	int error = 0;
	if (trace >= 0)
		meet(site);
	for (uint32_t i = 0; i < plan_count; i++) {
		struct plan *plan = &plans[i];
		if (plan->kind < 0 ? site != plan->site : (int)call != plan->kind)
			continue;
		uint32_t n = ++plan->seen;
		if (n < plan->first || n - plan->first >= plan->count)
			continue;
		if (!atomic_exchange(&plan->failed, 1) && plan->kind < 0)
			tell("failed\n", 7);
		error = plan->error;
	}
	return error;
}

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("USAGELOG_FAULT"), *file = getenv("USAGELOG_FAULT_TRACE");
	for (; text && *text; text += strcspn(text, ","), text += *text == ',') {
		struct plan *plan = &plans[plan_count];
		size_t site = 0;
		bool kind = *text == 'k';
		if (plan_count++ == PLANS_MAX || sscanf(text + kind, kind ? "%zd:%u:%u:%d" : "%zx:%u:%u:%d", &site,
							&plan->first, &plan->count, &plan->error) != 4)
			_exit(98);
		plan->site = site;
		plan->kind = kind ? (int)site : -1;
	}
	if (file)
		trace = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	os_fault = answer;
}
