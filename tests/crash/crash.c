/* The campaign's common ground: the command line, the ledger, the census. */
#include "crash.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "context.h"
#include "reader.h"
#include "tracer.h"

enum { FAILURES_MAX = 10, STEP_SLOTS = 1024, UNFINISHED_MAX = 4096 };

/* ---- numbers from a seed ---------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t mix(uint64_t value)
{
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
	return value ^ (value >> 31);
}

uint64_t random_next(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15;
	return mix(*state);
}

uint32_t random_below(uint64_t *state, uint32_t end)
{
	return (uint32_t)((random_next(state) >> 32) * end >> 32);
}

uint32_t random_skewed(uint64_t *state, uint32_t end)
{
	uint32_t bits = 32 - (uint32_t)__builtin_clz(end);
	uint32_t below = (uint32_t)1 << (1 + random_below(state, bits));
	return random_below(state, below < end ? below : end);
}

/* ---- a run ------------------------------------------------------------------------------------------------ */

double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void pause_us(uint32_t us)
{
	struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
	nanosleep(&time, NULL);
}

static uint64_t number_of(const char *text)
{
	char *end;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (errno || end == text || *end) {
		fprintf(stderr, "%s: not a number\n", text);
		exit(16);
	}
	return number;
}

void campaign_begin(struct campaign *campaign, const char *member, uint64_t rounds, int argc, char **argv)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
						{"rounds", required_argument, NULL, 'n'},
						{"directory", required_argument, NULL, 'd'},
						{0}};
	const char *base = getenv("TMPDIR");
	*campaign = (struct campaign){.member = member, .seed = 1, .rounds = rounds, .begun = now_s()};
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 's')
			campaign->seed = number_of(optarg);
		else if (option == 'n')
			campaign->rounds = number_of(optarg);
		else if (option == 'd')
			base = optarg;
		else
			exit(16);
	}
	if (optind < argc || !getenv("USAGELOG_BIN")) {
		fprintf(stderr, "usage: USAGELOG_BIN=PROGRAM %s --seed S --rounds N [--directory DIR]\n", member);
		exit(16);
	}
	campaign->state = campaign->seed;
	ssize_t bytes = readlink("/proc/self/exe", campaign->program, sizeof(campaign->program) - 1);
	if (bytes < 0)
		campaign_skip("there is no /proc");
	snprintf(campaign->scratch, sizeof(campaign->scratch), "%s/usagelog-crash-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(campaign->scratch)) {
		perror(campaign->scratch);
		exit(16);
	}
}

/* One level of files is all that a log has. */
static void remove_all(const char *path)
{
	DIR *stream = opendir(path);
	for (struct dirent *entry = stream ? readdir(stream) : NULL; entry; entry = readdir(stream))
		unlinkat(dirfd(stream), entry->d_name, 0);
	if (stream)
		closedir(stream);
	rmdir(path);
}

void campaign_new_log(struct campaign *campaign)
{
	if (*campaign->log)
		remove_all(campaign->log);
	if (snprintf(campaign->log, sizeof(campaign->log), "%s/log", campaign->scratch) >= (int)sizeof(campaign->log))
		exit(16);
}

void *campaign_share(size_t bytes)
{
	void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		campaign_skip("no memory");
	return shared;
}

/* The log as the first failure found it: to $USAGELOG_KEEP, if that is set. */
static void keep(const struct campaign *campaign)
{
	const char *to = getenv("USAGELOG_KEEP");
	if (!to)
		return;
	pid_t child = fork();
	if (!child) {
		execlp("cp", "cp", "-a", campaign->scratch, to, (char *)NULL);
		_exit(127);
	}
	int status = program_end(child);
	fprintf(stderr, "%s: the log is %s %s\n", campaign->member, status ? "not kept in" : "kept in", to);
}

void campaign_fail(struct campaign *campaign, const char *format, ...)
{
	va_list args;
	fprintf(stderr, "%s: --seed %llu, round %llu: ", campaign->member, (unsigned long long)campaign->seed,
		(unsigned long long)campaign->round);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	campaign->failures++;
	if (campaign->failures == 1)
		keep(campaign);
	if (campaign->failures == FAILURES_MAX)
		exit(campaign_end(campaign));
}

int campaign_end(struct campaign *campaign)
{
	bool held = !(campaign->lost | campaign->twice | campaign->falsely | campaign->failures);
	if (*campaign->scratch && *campaign->log)
		remove_all(campaign->log);
	if (*campaign->scratch)
		remove_all(campaign->scratch);
	printf("{\"member\": \"%s\", \"points\": %llu, \"lost\": %llu, \"twice\": %llu, \"false\": %llu, \"failures\": "
	       "%llu, "
	       "\"seconds\": %.1f, \"notes\": \"seed %llu, %llu rounds%s%s\"}\n",
	       campaign->member, (unsigned long long)campaign->points, (unsigned long long)campaign->lost,
	       (unsigned long long)campaign->twice, (unsigned long long)campaign->falsely,
	       (unsigned long long)campaign->failures, now_s() - campaign->begun, (unsigned long long)campaign->seed,
	       (unsigned long long)campaign->rounds, *campaign->notes ? "; " : "", campaign->notes);
	return !held;
}

void campaign_skip(const char *why)
{
	printf("skipped: %s\n", why);
	exit(SKIPPED);
}

void campaign_needs_threads_after_fork(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	campaign_skip("the sanitizer allows no thread in the child of a process with threads");
#endif
}

/* ---- calls by number -------------------------------------------------------------------------------------- */

#define TIME_NS ((int64_t)1768041126 * 1000000000)

/* The call of a number. Each eighth has the time at which it is recorded. */
static struct usagelog_call call_of(uint32_t number, uint8_t id[16])
{
	uint64_t bits = mix(number);
	struct usagelog_call call = {
		.time_ns = number % 8 ? TIME_NS + (int64_t)(bits % 1000000) * 1000000 : 0,
		.input_tokens = number,
		.cache_read_tokens = (uint32_t)bits & 0xfffff,
		.cache_write_5m_tokens = (uint32_t)(bits >> 20) & 0xff,
		.cache_write_1h_tokens = (uint32_t)(bits >> 28) & 0xff,
		.output_tokens = (uint32_t)(bits >> 36) & 0xffff,
		.reasoning_tokens = (uint32_t)(bits >> 36) & 0xfff,
		.latency_us = (bits >> 8) & 0xffffff,
		.ttft_us = (uint32_t)(bits >> 12) & 0xffff,
	};
	if (bits & 1) {
		call.flags = USAGELOG_COST;
		call.cost_pico_usd = (int64_t)(bits >> 24);
	}
	if (number % 16 == 5) {
		usagelog_call_id((const char *)&number, sizeof(number), id);
		call.call_id = id;
	}
	return call;
}

struct names {
	char model[32], session[32], metadata[METADATA_BYTES + 32];
	struct usagelog_names names;
};

static void names_of(uint32_t number, struct names *out)
{
	uint32_t model = number / MODEL_CALLS, context = number / CONTEXT_CALLS;
	snprintf(out->model, sizeof(out->model), "model-%u", model);
	snprintf(out->session, sizeof(out->session), "session-%u", context);
	snprintf(out->metadata, sizeof(out->metadata), "{\"n\":\"%0*u\"}", METADATA_BYTES, context);
	out->names = (struct usagelog_names){.provider = "provider", .model = out->model};
	if (context % 4 >= 1)
		out->names.attributes.operation = "chat";
	if (context % 4 >= 2)
		out->names.attributes.session_id = out->session;
	if (context % 4 == 3)
		out->names.attributes.metadata = out->metadata;
}

/* ---- the ledger ------------------------------------------------------------------------------------------- */

static int descriptor = -1;

int ledger_descriptor(void)
{
	return descriptor;
}

struct ledger *ledger_make(void)
{
	struct ledger *ledger = MAP_FAILED;
	descriptor = memfd_create("ledger", 0);
	if (descriptor >= 0 && !ftruncate(descriptor, sizeof(*ledger)))
		ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
	if (ledger == MAP_FAILED) {
		perror("the ledger");
		exit(16);
	}
	ledger_clear(ledger);
	return ledger;
}

void ledger_clear(struct ledger *ledger)
{
	uint32_t end = ledger_end(ledger);
	memset((void *)ledger, 0, offsetof(struct ledger, tellings) + end);
	atomic_store(&ledger->next, 1);
}

void ledger_trouble(struct ledger *ledger, int error)
{
	int none = 0;
	atomic_compare_exchange_strong(&ledger->trouble, &none, error);
}

static void tell(struct ledger *ledger, uint32_t number, enum telling telling)
{
	/* Release: what was done before is done for whoever sees this; so it is for a kill, which comes between two instructions. */
	__atomic_store_n(&ledger->tellings[number], (uint8_t)telling, __ATOMIC_RELEASE);
	atomic_fetch_add_explicit(&ledger->changes, 1, memory_order_relaxed);
}

static int get_handles(struct ledger *ledger, usagelog *log, struct handles *handles, uint32_t number)
{
	struct names names;
	uint32_t model = 1 + number / MODEL_CALLS, context = 1 + number / CONTEXT_CALLS;
	int error = 0;
	if (handles->model_number == model && handles->context_number == context)
		return 0;
	names_of(number, &names);
	error = usagelog_model_get(log, names.names.provider, names.names.model, &handles->model);
	if (!error)
		error = usagelog_context_get(log, &names.names.attributes, &handles->context);
	*handles = error ? (struct handles){0} : (struct handles){model, context, handles->model, handles->context};
	if (error && error != USAGELOG_ERROR_NAMES_FULL && error != USAGELOG_ERROR_CLOSED)
		ledger_trouble(ledger, error);
	return error;
}

void ledger_prepare(struct ledger *ledger, usagelog *log, struct handles *handles)
{
	get_handles(ledger, log, handles, atomic_load(&ledger->next));
}

static int record_number(struct ledger *ledger, usagelog *log, struct handles *handles, uint32_t number)
{
	uint8_t id[16];
	struct names names;
	if (number >= LEDGER_NUMBERS) {
		ledger_trouble(ledger, -ENOSPC);
		return -ENOSPC;
	}
	struct usagelog_call call = call_of(number, id);
	bool by_names = !handles || get_handles(ledger, log, handles, number);
	if (by_names)
		names_of(number, &names);
	tell(ledger, number, BEGUN);
	tracer_mark(MARK_IN);
	int error = by_names ? usagelog_record_names(log, &names.names, &call)
			     : usagelog_record(log, handles->model, handles->context, &call);
	tracer_mark(MARK_OUT);
	/* Closed while it waited for its sync: it is committed, and not known durable. */
	bool stored = !error || error == -ECANCELED;
	tell(ledger, number, stored ? TOLD : REFUSED);
	/* The other two say that nothing was stored; whether they should be said is the member's to know. */
	if (!stored && error != USAGELOG_ERROR_DROPPED && error != USAGELOG_ERROR_CLOSED)
		ledger_trouble(ledger, error);
	return error;
}

int ledger_record(struct ledger *ledger, usagelog *log, struct handles *handles)
{
	return record_number(ledger, log, handles, atomic_fetch_add(&ledger->next, 1));
}

void ledger_record_in_handler(struct ledger *ledger, usagelog *log, const struct handles *handles)
{
	struct handles known = *handles;
	uint32_t number = atomic_load(&ledger->next);
	/* No other name than these may be asked for here. */
	if (known.model_number == 1 + number / MODEL_CALLS && known.context_number == 1 + number / CONTEXT_CALLS &&
	    atomic_compare_exchange_strong(&ledger->next, &number, number + 1))
		record_number(ledger, log, &known, number);
}

/* ---- the census ------------------------------------------------------------------------------------------- */

/* A text that was read and found to be as it should: a segment has few, and many calls. */
struct text {
	uint32_t slot;
	uint32_t names; /* the calls of these names may have it */
};

struct counting {
	struct census *census;
	struct ledger *ledger;
	uint64_t *places; /* where each number was found: 0: nowhere yet */
	uint32_t end;     /* of the numbers when the census began */
	struct ul_reader reader;
	const char *name;
	struct text model, context; /* of the last call */
	struct unfinished {
		uint64_t seed; /* the segment's */
		uint32_t slot;
	} unfinished[UNFINISHED_MAX];
	bool any_copy; /* a segment has more than one file */
};

__attribute__((format(printf, 2, 3))) static void wrong(struct counting *counting, const char *format, ...)
{
	va_list args;
	if (counting->census->wrong++ || *counting->census->why)
		return;
	va_start(args, format);
	vsnprintf(counting->census->why, sizeof(counting->census->why), format, args);
	va_end(args);
}

static bool text_is(struct counting *counting, enum ul_class text_class, uint32_t slot, const char *wanted,
		    size_t wanted_bytes)
{
	char text[UL_CONTEXT_BYTES_MAX];
	if (!wanted_bytes || !slot)
		return !wanted_bytes && !slot;
	ssize_t bytes = ul_reader_text(&counting->reader, slot, text_class, text);
	return bytes == (ssize_t)wanted_bytes && !memcmp(text, wanted, wanted_bytes);
}

static bool names_are(struct counting *counting, const struct ul_slot *slot, uint32_t number)
{
	struct names names;
	char text[UL_CONTEXT_BYTES_MAX];
	size_t bytes;
	struct text model = {slot->tag & UL_SLOT_MASK, number / MODEL_CALLS};
	struct text context = {slot->word & UL_SLOT_MASK, number / CONTEXT_CALLS};
	if (!memcmp(&model, &counting->model, sizeof(model)) && !memcmp(&context, &counting->context, sizeof(context)))
		return true;
	names_of(number, &names);
	bytes = (size_t)snprintf(text, sizeof(text), "%s%c%s", names.names.provider, 0, names.names.model);
	if (!text_is(counting, UL_CLASS_MODEL, model.slot, text, bytes))
		return false;
	const struct usagelog_attributes *given = &names.names.attributes;
	struct ul_attributes attributes = {
		.operation = given->operation, .session_id = given->session_id, .metadata = given->metadata};
	if (ul_context_build(&attributes, text, &bytes) ||
	    !text_is(counting, UL_CLASS_CONTEXT, context.slot, text, bytes))
		return false;
	counting->model = model;
	counting->context = context;
	return true;
}

static bool body_is(const struct ul_slot *slot, uint32_t number)
{
	uint8_t id[16];
	struct usagelog_call call = call_of(number, id);
	uint32_t flags = (call.flags & USAGELOG_COST ? 0 : UL_UNPRICED) | (call.latency_us ? 0 : UL_LATENCY_UNKNOWN);
	const struct ul_call_body *body = &slot->body.call;
	return (slot->word & ~UL_SLOT_MASK) == flags && body->cost_pico_usd == call.cost_pico_usd &&
	       (call.time_ns ? body->time_ns == call.time_ns : body->time_ns > TIME_NS) &&
	       body->cache_read_tokens == call.cache_read_tokens &&
	       body->cache_write_5m_tokens == call.cache_write_5m_tokens &&
	       body->cache_write_1h_tokens == call.cache_write_1h_tokens && body->output_tokens == call.output_tokens &&
	       body->reasoning_tokens == call.reasoning_tokens && body->latency == call.latency_us &&
	       body->ttft_us == call.ttft_us;
}

static void count_call(struct counting *counting, uint32_t slot_number, const struct ul_slot *slot)
{
	struct census *census = counting->census;
	const struct ul_call_body *body = &slot->body.call;
	uint32_t number = body->input_tokens;
	uint64_t place = counting->reader.seed + slot_number;
	place += !place;
	if (!number || number >= ledger_end(counting->ledger) || !body_is(slot, number) ||
	    !names_are(counting, slot, number)) {
		census->falsely++;
		wrong(counting, "%s: slot %u: call %u is not as it was recorded", counting->name, slot_number, number);
		return;
	}
	uint8_t telling = __atomic_load_n(&counting->ledger->tellings[number], __ATOMIC_ACQUIRE);
	if (telling == UNUSED || telling == REFUSED) {
		census->falsely++;
		wrong(counting, "%s: slot %u: call %u was %s", counting->name, slot_number, number,
		      telling == UNUSED ? "never begun" : "refused");
	}
	if (number >= counting->end)
		return; /* the log grows while it is read */
	if (counting->places[number] == place)
		return; /* the same slot in another file of the segment */
	if (counting->places[number]) {
		census->twice++;
		wrong(counting, "%s: slot %u: call %u is there twice", counting->name, slot_number, number);
		return;
	}
	counting->places[number] = place;
	census->calls++;
	census->tokens += (uint64_t)body->input_tokens + body->cache_read_tokens + body->cache_write_5m_tokens +
			  body->cache_write_1h_tokens + body->output_tokens;
}

/* Once, however many files of its segment it is in: a rescue copies it along. */
static void count_unfinished(struct counting *counting, uint32_t slot_number)
{
	struct census *census = counting->census;
	uint64_t seed = counting->reader.seed;
	for (uint64_t i = 0; i < census->unfinished; i++)
		if (counting->unfinished[i].seed == seed && counting->unfinished[i].slot == slot_number)
			return;
	if (census->unfinished < UNFINISHED_MAX)
		counting->unfinished[census->unfinished++] = (struct unfinished){seed, slot_number};
	else
		wrong(counting, "%s: slot %u: more are unfinished than there can be", counting->name, slot_number);
}

/* An id must stand before the call that it was given for. */
static void check_id(struct counting *counting, uint32_t slot_number, const struct ul_slot *id,
		     const struct ul_slot *call)
{
	uint8_t wanted[16];
	bool is_call = call && call->checksum && ul_slot_kind(call) == UL_KIND_CALL;
	if (!is_call)
		return;
	usagelog_call_id((const char *)&call->body.call.input_tokens, sizeof(uint32_t), wanted);
	if (memcmp(wanted, id->body.call_id.bytes, sizeof(wanted)) != 0)
		wrong(counting, "%s: slot %u: the id of another call", counting->name, slot_number);
}

static void count_page(struct counting *counting, uint32_t page, struct ul_slot *slots)
{
	struct census *census = counting->census;
	uint32_t durable = counting->reader.durable[page], leading = 0;
	for (uint32_t i = 0; i < UL_PAGE_SLOTS; i++) {
		uint32_t number = page * UL_PAGE_SLOTS + i;
		enum ul_slot_state state = ul_reader_classify(&counting->reader, number, &slots[i]);
		leading += leading == i && state == UL_SLOT_VALID;
		if (state == UL_SLOT_UNFINISHED)
			count_unfinished(counting, number);
		else if (state == UL_SLOT_DAMAGED || state == UL_SLOT_UNKNOWN)
			wrong(counting, "%s: slot %u: %s", counting->name, number,
			      state == UL_SLOT_DAMAGED ? "damaged" : "unknown");
		else if (state == UL_SLOT_VALID && ul_slot_kind(&slots[i]) == UL_KIND_CALL)
			count_call(counting, number, &slots[i]);
		else if (state == UL_SLOT_VALID && ul_slot_kind(&slots[i]) == UL_KIND_CALL_ID)
			check_id(counting, number, &slots[i], i + 1 < UL_PAGE_SLOTS ? &slots[i + 1] : NULL);
	}
	if (durable > leading)
		wrong(counting, "%s: page %u: %u slots are said to be durable, %u are there", counting->name, page,
		      durable, leading);
	census->durable += durable;
	census->not_durable += leading > durable ? leading - durable : 0;
}

static void count_file(struct counting *counting)
{
	static struct ul_slot slots[STEP_SLOTS];
	struct ul_reader *reader = &counting->reader;
	counting->census->segments++;
	counting->any_copy |= reader->header.generation > 0;
	counting->model = counting->context = (struct text){0};
	for (uint32_t i = 0; i < 2; i++)
		if (reader->page_states[i] != UL_HEADER_VALID)
			wrong(counting, "%s: header %u is damaged", counting->name, i);
	if (reader->table_damaged)
		wrong(counting, "%s: the page table is damaged", counting->name);
	uint32_t at = reader->first_slot;
	while ((at = ul_reader_next_data(reader, at) / UL_PAGE_SLOTS * UL_PAGE_SLOTS) < reader->end_slot) {
		uint32_t count = reader->end_slot - at < STEP_SLOTS ? reader->end_slot - at : STEP_SLOTS;
		if (ul_reader_read(reader, at, STEP_SLOTS, slots)) {
			wrong(counting, "%s: cannot be read", counting->name);
			return;
		}
		for (uint32_t i = 0; i < count; i += UL_PAGE_SLOTS)
			count_page(counting, (at + i) / UL_PAGE_SLOTS, &slots[i]);
		at += STEP_SLOTS;
	}
}

/* The slots that are finished in this file were not when it was copied. */
static void drop_finished(struct counting *counting)
{
	struct census *census = counting->census;
	struct ul_slot slot;
	for (uint64_t i = 0; i < census->unfinished;) {
		uint32_t number = counting->unfinished[i].slot;
		if (counting->unfinished[i].seed == counting->reader.seed &&
		    !ul_reader_read(&counting->reader, number, 1, &slot) &&
		    ul_reader_classify(&counting->reader, number, &slot) == UL_SLOT_VALID)
			counting->unfinished[i] = counting->unfinished[--census->unfinished];
		else
			i++;
	}
}

static void each_file(struct counting *counting, const char *path, void (*look)(struct counting *counting))
{
	DIR *stream = opendir(path);
	for (struct dirent *entry = stream ? readdir(stream) : NULL; entry; entry = readdir(stream)) {
		size_t length = strlen(entry->d_name);
		if (length < 4 || strcmp(entry->d_name + length - 4, ".seg") != 0)
			continue;
		counting->name = entry->d_name;
		int error = ul_reader_open(&counting->reader, dirfd(stream), entry->d_name);
		if (error == -ENOENT)
			continue; /* a spare that its writer had no use for */
		if (error) {
			wrong(counting, "%s: cannot be opened as a segment", entry->d_name);
			continue;
		}
		look(counting);
		ul_reader_close(&counting->reader);
	}
	if (stream)
		closedir(stream);
}

bool census_take(struct census *census, const char *path, struct ledger *ledger)
{
	static uint64_t places[LEDGER_NUMBERS];
	static uint8_t told[LEDGER_NUMBERS];
	static struct counting counting;
	uint32_t end = ledger_end(ledger);
	*census = (struct census){0};
	counting = (struct counting){.census = census, .ledger = ledger, .places = places, .end = end};
	memset(places, 0, end * sizeof(places[0]));
	/* First what was told, then what is there: writers may be at work. */
	memcpy(told, ledger->tellings, end);
	atomic_thread_fence(memory_order_acquire);
	each_file(&counting, path, count_file);
	if (census->unfinished && counting.any_copy)
		each_file(&counting, path, drop_finished);
	for (uint32_t number = 1; number < end; number++) {
		census->told += told[number] == TOLD;
		if (told[number] != TOLD || places[number])
			continue;
		census->lost++;
		wrong(&counting, "call %u was committed and is missing", number);
	}
	return !(census->lost | census->twice | census->falsely | census->wrong);
}

bool campaign_check(struct campaign *campaign, struct ledger *ledger, struct census *census, uint64_t unfinished_max)
{
	bool held = census_take(census, campaign->log, ledger);
	int trouble = atomic_exchange(&ledger->trouble, 0);
	campaign->lost += census->lost;
	campaign->twice += census->twice;
	campaign->falsely += census->falsely;
	if (!held)
		campaign_fail(campaign, "%s", census->why);
	if (census->unfinished > unfinished_max)
		campaign_fail(campaign, "%llu slots are unfinished, where there were %llu threads",
			      (unsigned long long)census->unfinished, (unsigned long long)unfinished_max);
	if (trouble)
		campaign_fail(campaign, "a call of the library returned %d: %s", trouble, usagelog_strerror(trouble));
	return held && !trouble && census->unfinished <= unfinished_max;
}

/* ---- the program ------------------------------------------------------------------------------------------ */

pid_t program_start(const struct campaign *campaign, const char *command)
{
	char said[PATH_BYTES + 16];
	snprintf(said, sizeof(said), "%s/%s.said", campaign->scratch, command);
	pid_t child = fork();
	if (child)
		return child;
	int out = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	const char *program = getenv("USAGELOG_BIN");
	if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(127);
	execl(program, program, "--log", campaign->log, command, (char *)NULL);
	_exit(127);
}

int program_end(pid_t child)
{
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void show(const struct campaign *campaign, const char *command)
{
	char said[PATH_BYTES + 16];
	int byte;
	snprintf(said, sizeof(said), "%s/%s.said", campaign->scratch, command);
	FILE *file = fopen(said, "r");
	while (file && (byte = getc(file)) != EOF)
		putc(byte, stderr);
	if (file)
		fclose(file);
}

static void run_program(struct campaign *campaign, const char *command)
{
	int status = program_end(program_start(campaign, command));
	if (status) {
		show(campaign, command);
		campaign_fail(campaign, "usagelog %s ended with %d", command, status);
	}
}

void campaign_verify(struct campaign *campaign)
{
	run_program(campaign, "verify");
}

/* A number of summary.json's totals. */
static double total(const char *path, const char *name)
{
	static char text[1 << 22];
	char summary[PATH_BYTES + 16];
	snprintf(summary, sizeof(summary), "%s/summary.json", path);
	FILE *file = fopen(summary, "r");
	size_t bytes = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		fclose(file);
	text[bytes] = '\0';
	cJSON *json = cJSON_Parse(text);
	const cJSON *found = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "totals"), name);
	double value = cJSON_IsNumber(found) ? found->valuedouble : -1;
	cJSON_Delete(json);
	return value;
}

void campaign_fold(struct campaign *campaign, struct ledger *ledger, uint64_t unfinished_max)
{
	struct census census;
	run_program(campaign, "compact");
	run_program(campaign, "verify");
	/* Behind the fold, which may have rescued what a dead writer was syncing. */
	campaign_check(campaign, ledger, &census, unfinished_max);
	double calls = total(campaign->log, "calls"), tokens = total(campaign->log, "tokens");
	if (calls > (double)census.calls)
		campaign->twice += (uint64_t)(calls - (double)census.calls);
	else if (calls >= 0)
		campaign->lost += (uint64_t)((double)census.calls - calls);
	if (calls == (double)census.calls && tokens == (double)census.tokens)
		return;
	show(campaign, "compact");
	show(campaign, "verify");
	campaign_fail(campaign, "summary.json says %.0f calls of %.0f tokens, the segments %llu of %llu", calls, tokens,
		      (unsigned long long)census.calls, (unsigned long long)census.tokens);
}
