/*
 * A signal handler that records, at each instruction of a call that records on the same thread: the processor stops behind every one (the trap
 * flag), and at the one whose turn it is the handler records some calls. All calls are different, so that one that is stored over another shows.
 */
#include "support.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif
#include <signal.h>
#include <ucontext.h>

#include "handle.h"

enum { TRAP_FLAG = 1 << 8 };

static usagelog *traced;
static usagelog_model model;

static _Atomic uint32_t last_number;
static _Atomic uint64_t told, told_numbers; /* that record() said are committed: how many, and their sum */
static volatile uint32_t step, step_wanted, handler_calls;

/* What the call is that is stopped at. */
enum kind { PLAIN, WITH_ID, WITH_NAMES };

static void record_next(enum kind kind)
{
	static const struct usagelog_names names = {.provider = "openai", .model = "gpt-4o"};
	static const uint8_t id[UL_ID_BYTES] = {1};
	uint32_t number = ++last_number;
	struct usagelog_call call = {.input_tokens = number, .call_id = kind == WITH_ID ? id : NULL};
	int error = kind == WITH_NAMES ? usagelog_record_names(traced, &names, &call)
				       : usagelog_record(traced, model, (usagelog_context){0}, &call);
	if (error)
		return;
	told++;
	told_numbers += number;
}

static void handle_step(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (++step != step_wanted)
		return;
	for (uint32_t i = 0; i < handler_calls; i++)
		record_next(PLAIN);
#if defined(__x86_64__)
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG; /* the rest need not be stopped at */
#else
	(void)context;
#endif
}

static void set_trap_flag(bool on)
{
#if defined(__x86_64__)
	__writeeflags(on ? __readeflags() | TRAP_FLAG : __readeflags() & ~(uint64_t)TRAP_FLAG);
#else
	(void)on;
#endif
}

/* With so many slots of its page left. */
static void fill_page(uint32_t left)
{
	const struct ul_lane *lane;
	do {
		record_next(PLAIN);
		lane = ul_thread.lane;
	} while (lane->page_end - atomic_load(&lane->next) != left);
}

/* Calls that take each way: with or without another page, in the middle of the call or of the handler. */
static const struct sweep {
	enum kind kind;
	uint32_t left, calls; /* slots, when the call begins; calls of the handler */
	uint32_t stride;      /* long ways: every third instruction, as a stop takes microseconds */
} sweeps[] = {
	{PLAIN, 0, 1, 1}, {PLAIN, 1, 2, 1}, {WITH_ID, 1, 2, 3}, {WITH_ID, 2, 1, 1}, {WITH_NAMES, 1, 2, 1},
};

/* Have the handler record at one instruction after another of a call, until the call is over before its turn comes. */
static void run_sweep(const struct sweep *sweep)
{
	handler_calls = sweep->calls;
	step_wanted = 1;
	do {
		fill_page(sweep->left);
		step = 0;
		set_trap_flag(true);
		record_next(sweep->kind);
		set_trap_flag(false);
		step_wanted += sweep->stride;
	} while (step == step_wanted - sweep->stride);
	assert_true(step_wanted > 100);
}

static void a_handler_records_at_each_instruction(void **state)
{
	(void)state;
#if !defined(__x86_64__) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(USAGELOG_EMULATED)
	skip(); /* there is no such flag; next to nothing is allowed in a handler; or a stop takes too long */
#endif
	struct usagelog_options options = {
		.size = sizeof(options), .flags = USAGELOG_NO_HELPER, .segment_size_bytes = (uint64_t)1 << 30};
	struct sigaction action = {.sa_sigaction = handle_step, .sa_flags = SA_SIGINFO}, before;
	traced = open_log(path, &options);
	assert_int_equal(usagelog_model_get(traced, "openai", "gpt-4o", &model), 0);
	assert_int_equal(sigaction(SIGTRAP, &action, &before), 0);
	for (size_t i = 0; i < sizeof(sweeps) / sizeof(sweeps[0]); i++)
		run_sweep(&sweeps[i]);
	sigaction(SIGTRAP, &before, NULL);
	assert_int_equal(stats_of(traced).committed, told);
	assert_int_equal(stats_of(traced).dropped[USAGELOG_CAUSE_REENTERED], last_number - told);
	assert_int_equal(usagelog_close(traced, 10000), 0);
	struct found found = read_log(path);
	assert_int_equal(found.calls, told);
	assert_int_equal(found.input_tokens, told_numbers);
	assert_int_equal(found.damaged + found.unknown, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_handler_records_at_each_instruction, setup_directory,
						teardown_directory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
