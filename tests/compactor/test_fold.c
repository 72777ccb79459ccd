/*
 * The fold by pages and by threads says what adding one slot after the other says: over random segments with damage, holes, ids, reversals,
 * balances, slots of a newer program, missing definitions, and second files.
 */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context.h"
#include "os.h"
#include "pass.h"
#include "seal.h"
#include "slot.h"

enum { SEGMENT_BYTES = 65536 * 8, PAGES = SEGMENT_BYTES / UL_PAGE_BYTES, SEGMENTS = 3, DAYS_MAX = 64, DEFINED = 40 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { LOGS = 2 };
#else
enum { LOGS = 6 };
#endif

static char time_zone[] = "Europe/Berlin", summary[] = "summary.json", group_by[] = "user";
static char path[] = "/tmp/usagelog-fold-XXXXXX";
static struct ul_directory directory = {
	.path = path,
	.conf = {.log_id = {{9, 8, 7}},
		 .time_zone = time_zone,
		 .summary = summary,
		 .group_by = {group_by},
		 .group_by_count = 1},
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static uint32_t pick(uint64_t *random, uint32_t count)
{
	return (uint32_t)(next_random(random) % count);
}

/* ---- a log ---------------------------------------------------------------------------------------------------- */

static _Alignas(64) uint8_t image[SEGMENT_BYTES];

static uint32_t first_slot(void)
{
	return ul_first_page(SEGMENT_BYTES) * UL_PAGE_SLOTS;
}

static void put(uint64_t seed, uint32_t number, struct ul_slot slot)
{
	uint64_t body[7];
	memcpy(body, &slot.tag, sizeof(body));
	slot.checksum = ul_slot_checksum(body, ul_slot_seed(seed, number));
	memcpy(image + (size_t)number * UL_SLOT_BYTES, &slot, sizeof(slot));
}

static void put_text(uint64_t seed, uint32_t number, enum ul_class class, const char *text, uint32_t bytes)
{
	struct ul_slot slot = {.tag = ul_tag(UL_KIND_DEFINITION, 0), .word = (uint32_t) class << 28 | bytes};
	memcpy(slot.body.text, text, bytes);
	put(seed, number, slot);
}

static struct ul_slot random_call(uint64_t *random, bool in_order, uint32_t at)
{
	static const uint32_t flags[] = {
		0, 0, 0, 0, UL_UNPRICED, UL_LATENCY_MS, UL_LATENCY_UNKNOWN, UL_CONTEXT_RESERVED};
	uint32_t first = first_slot(), flag = flags[pick(random, 8)];
	int64_t time_ns = in_order ? INT64_C(1700000000000000000) + (int64_t)at * 30000000000
				   : INT64_C(1700000000000000000) + (int64_t)(next_random(random) % 800000000000000);
	if (pick(random, 500) == 0)
		time_ns = pick(random, 2) ? INT64_MAX : INT64_MIN;
	struct ul_slot slot = {
		/* Some lead to no definition, or to the other class. */
		.tag = ul_tag(UL_KIND_CALL, pick(random, 20) ? first + pick(random, DEFINED) : pick(random, 3)),
		.word = flag |
			(pick(random, 20) ? first + DEFINED + pick(random, DEFINED) : pick(random, first + 2000)),
		.body.call = {time_ns, (int64_t)next_random(random), pick(random, 200000), pick(random, 300000),
			      pick(random, 9), pick(random, 9), pick(random, 5000), pick(random, 500),
			      pick(random, 0x7fffffff), pick(random, 2) * pick(random, 1000000)},
	};
	if (flag == UL_UNPRICED && pick(random, 9))
		slot.body.call.cost_pico_usd = 0;
	if (flag == UL_LATENCY_UNKNOWN && pick(random, 9))
		slot.body.call.latency = 0;
	return slot;
}

static struct ul_slot random_slot(uint64_t *random, bool in_order, uint32_t at)
{
	struct ul_slot slot = random_call(random, in_order, at);
	switch (pick(random, 24)) {
	case 0:
		slot.tag = ul_tag(UL_KIND_REVERSAL, slot.tag & UL_SLOT_MASK);
		break;
	case 1:
		slot = (struct ul_slot){.tag = ul_tag(UL_KIND_CALL_ID, 0)};
		memcpy(slot.body.call_id.bytes, &at, sizeof(at));
		break;
	case 2:
		slot.tag = ul_tag(UL_KIND_BALANCE, slot.tag & UL_SLOT_MASK);
		slot.word &= UL_SLOT_MASK;
		memset((uint8_t *)&slot.body + 16, 0, 32);
		slot.body.balance.calls = pick(random, 1000);
		slot.body.balance.tokens = pick(random, 1000000);
		slot.body.balance.scope = 1 + pick(random, 3);
		break;
	case 3:
		slot.tag = ul_tag((enum ul_kind)pick(random, 16), slot.tag & UL_SLOT_MASK);
		break;
	default:
		break;
	}
	return slot;
}

static void put_definitions(uint64_t seed)
{
	char text[64];
	for (uint32_t i = 0; i < DEFINED; i++) {
		int bytes = snprintf(text, sizeof(text), "p%u%cm%u", i % 3, 0, i);
		put_text(seed, first_slot() + i, UL_CLASS_MODEL, text, (uint32_t)bytes);
		bytes = i % 10 ? snprintf(text, sizeof(text), "{\"metadata\":{\"user\":\"u%u\"},\"operation\":\"o%u\"}",
					  i, i % 4)
			       : snprintf(text, sizeof(text), "{\"error_type\":\"%u\"}", i);
		put_text(seed, first_slot() + DEFINED + i, UL_CLASS_CONTEXT, text, (uint32_t)bytes);
	}
}

static void fill(uint64_t *random, uint64_t seed, bool in_order)
{
	put_definitions(seed);
	for (uint32_t at = first_slot() + 2 * DEFINED; at < SEGMENT_BYTES / UL_SLOT_BYTES - 100; at++) {
		uint8_t *bytes = image + (size_t)at * UL_SLOT_BYTES;
		/* Whole pages as they mostly are, and pages where anything goes. */
		bool calm = at / UL_PAGE_SLOTS % 3 == 0;
		put(seed, at, calm ? random_call(random, in_order, at) : random_slot(random, in_order, at));
		if (calm || pick(random, 12))
			continue;
		if (pick(random, 2))
			memset(bytes, 0, pick(random, 2) ? UL_SLOT_BYTES : 8);
		else
			bytes[pick(random, UL_SLOT_BYTES)] ^= (uint8_t)(1 + pick(random, 255));
	}
}

static void write_file(uint32_t number, uint32_t generation)
{
	char name[64];
	snprintf(name, sizeof(name), "%u.%u.seg", number, generation);
	int fd = openat(directory.fd, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	/* Not whole pages. */
	assert_int_equal(write(fd, image, SEGMENT_BYTES - 1000), SEGMENT_BYTES - 1000);
	close(fd);
}

static void seal_header(uint32_t number, uint32_t generation)
{
	struct ul_segment_header header = {.version = UL_VERSION,
					   .log_id = directory.conf.log_id,
					   .segment_id = {{(uint8_t)(number + 1)}},
					   .generation = generation,
					   .size_bytes = SEGMENT_BYTES};
	ul_header_seal(image, &header);
	memcpy(image + UL_PAGE_BYTES, image, UL_PAGE_BYTES);
}

static void make_log(uint64_t seed)
{
	uint64_t random = seed;
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		struct ul_id id = {{(uint8_t)(i + 1)}};
		memset(image, 0, sizeof(image));
		seal_header(i, 0);
		for (uint32_t page = first_slot() / UL_PAGE_SLOTS; page < PAGES; page++)
			image[UL_TABLE_PAGE * UL_PAGE_BYTES + page] = (uint8_t)pick(&random, 65);
		fill(&random, ul_segment_seed(&id), seed % 2);
		write_file(i, 0);
		char name[64];
		snprintf(name, sizeof(name), "%u.1.seg", i);
		unlinkat(directory.fd, name, 0);
		if (i != 1)
			continue;
		/* A second file with other slots lost, and some that contradict. */
		seal_header(i, 1);
		for (uint32_t j = 0; j < 400; j++) {
			uint32_t at = first_slot() + pick(&random, SEGMENT_BYTES / UL_SLOT_BYTES - first_slot());
			if (j % 4)
				memset(image + (size_t)at * UL_SLOT_BYTES, 0, UL_SLOT_BYTES);
			else
				put(ul_segment_seed(&id), at, random_slot(&random, seed % 2, at));
		}
		write_file(i, 1);
	}
}

/* ---- folded, by pages ------------------------------------------------------------------------------------------ */

struct outcome {
	uint64_t calls, balances;
	struct slot_counts counts;
	size_t day_count;
	void *facts[DAYS_MAX * 8];
	size_t bytes[DAYS_MAX * 8];
	struct ul_last_call *last_calls;
	size_t last_call_count;
	uint64_t id_changes, taken_back, added;
	char findings[4096];
};

static void encode_day(struct outcome *outcome, const struct facts *day, const struct names *names)
{
	int error;
	size_t at = outcome->day_count++;
	assert_true(at < DAYS_MAX * 8);
	outcome->facts[at] = facts_encode(day, names, &directory.conf.log_id, &(struct facts_origin){1, 2, 0},
					  &outcome->bytes[at], &error);
	assert_non_null(outcome->facts[at]);
}

/* Numbers of names differ from fold to fold: texts stand for them. */
static uint32_t text_hash(const struct names *names, uint32_t name)
{
	struct ul_text text = names_text(names, name);
	return (uint32_t)XXH3_64bits(text.text, text.bytes);
}

static void take_last_calls(struct outcome *outcome, const struct fold *fold, const struct names *names)
{
	struct checkpoint checkpoint = {0};
	assert_int_equal(fold_update_last_calls(fold, &checkpoint), 0);
	outcome->last_calls = checkpoint.calls;
	outcome->last_call_count = checkpoint.call_count;
	for (size_t i = 0; i < checkpoint.call_count; i++) {
		struct ul_last_call *call = &checkpoint.calls[i];
		call->provider = text_hash(names, call->provider);
		call->model = text_hash(names, call->model);
		call->context = text_hash(names, call->context);
	}
}

static struct outcome *fold_by_threads(uint32_t threads, bool again, const struct checkpoint *from)
{
	struct outcome *outcome = calloc(1, sizeof(*outcome));
	struct names names;
	struct findings findings = {0};
	struct segments segments;
	static const struct checkpoint nothing;
	assert_int_equal(names_init(&names), 0);
	assert_int_equal(segments_scan(&segments, &directory, &findings), 0);
	struct pass pass = {.directory = &directory,
			    .segments = &segments,
			    .checkpoint = from ? from : &nothing,
			    .names = &names,
			    .findings = &findings,
			    .again = again,
			    .threads = threads};
	assert_int_equal(pass_run(&pass), 0);
	outcome->calls = pass.fold.calls;
	outcome->balances = pass.fold.balances;
	outcome->counts = pass.fold.counts;
	for (size_t i = 0; i < pass.fold.day_count; i++)
		encode_day(outcome, pass.fold.days[i], &names);
	take_last_calls(outcome, &pass.fold, &names);
	outcome->id_changes = pass.fold.id_change_count;
	outcome->taken_back = pass.fold.taken_back_count;
	for (size_t i = 0; i < segments.group_count; i++)
		outcome->added += runs_total(&pass.results[i].added) + pass.results[i].bad;
	for (size_t i = 0; i < findings.count; i++)
		strncat(outcome->findings, findings.items[i].text,
			sizeof(outcome->findings) - strlen(outcome->findings) - 1);
	pass_clear(&pass);
	segments_clear(&segments);
	findings_clear(&findings);
	names_clear(&names);
	return outcome;
}

static void outcome_free(struct outcome *outcome)
{
	for (size_t i = 0; i < outcome->day_count; i++)
		free(outcome->facts[i]);
	free(outcome->last_calls);
	free(outcome);
}

static void expect_same(const struct outcome *left, const struct outcome *right)
{
	assert_int_equal(left->calls, right->calls);
	assert_int_equal(left->balances, right->balances);
	assert_int_equal(left->day_count, right->day_count);
	for (size_t i = 0; i < left->day_count; i++) {
		assert_int_equal(left->bytes[i], right->bytes[i]);
		assert_memory_equal(left->facts[i], right->facts[i], left->bytes[i]);
	}
}

static void expect_all_same(const struct outcome *left, const struct outcome *right)
{
	expect_same(left, right);
	assert_memory_equal(&left->counts, &right->counts, sizeof(left->counts));
	assert_int_equal(left->last_call_count, right->last_call_count);
	if (left->last_call_count)
		assert_memory_equal(left->last_calls, right->last_calls,
				    left->last_call_count * sizeof(*left->last_calls));
	assert_int_equal(left->id_changes, right->id_changes);
	assert_int_equal(left->taken_back, right->taken_back);
	assert_int_equal(left->added, right->added);
	assert_string_equal(left->findings, right->findings);
}

/* ---- one slot after the other ----------------------------------------------------------------------------------- */

struct slow {
	struct outcome *outcome;
	struct group_reader *reader;
	struct names *names;
	struct fold days; /* only its days are used */
	struct calendar calendar;
};

static uint32_t intern(struct slow *slow, const char *text, size_t bytes)
{
	return names_intern(slow->names, text, bytes);
}

static int add_slot(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	struct slow *slow = arg;
	enum ul_kind kind = ul_slot_kind(slot);
	char text[UL_CONTEXT_BYTES_MAX], part[UL_CONTEXT_BYTES_MAX];
	struct call_names who = {NAME_UNKNOWN, NAME_UNKNOWN, NAME_NO_DIMENSIONS, NAME_EMPTY, NAME_EMPTY, false};
	(void)number;
	(void)before;
	if (kind != UL_KIND_CALL && kind != UL_KIND_REVERSAL && kind != UL_KIND_BALANCE)
		return 0;
	ssize_t bytes = group_text(slow->reader, slot->tag & UL_SLOT_MASK, UL_CLASS_MODEL, text);
	if (bytes > 0) {
		who.provider = intern(slow, text, strlen(text));
		who.model = intern(slow, text + strlen(text) + 1, (size_t)bytes - strlen(text) - 1);
	}
	bytes = group_text(slow->reader, slot->word & UL_SLOT_MASK, UL_CLASS_CONTEXT, text);
	if (bytes > 0) {
		const struct ul_conf *conf = &directory.conf;
		size_t length = ul_context_dimensions(text, (size_t)bytes, (const char *const *)conf->group_by,
						      conf->group_by_count, part);
		who.dimensions = intern(slow, part, length);
		who.operation = intern(slow, part, ul_context_string(text, (size_t)bytes, "operation", part));
		who.error = ul_context_string(text, (size_t)bytes, "error_type", part) > 0;
	}
	struct facts *facts = fold_get_day(&slow->days, calendar_day(&slow->calendar, slot->body.call.time_ns));
	if (kind == UL_KIND_BALANCE) {
		facts_add_balance(facts, &who, slot);
		slow->outcome->balances++;
	} else {
		facts_add_call(facts, &who, slot);
		slow->outcome->calls++;
	}
	assert_int_equal(facts->error, 0);
	return 0;
}

static struct outcome *fold_by_slots(void)
{
	static const struct runs none;
	struct names names;
	struct findings findings = {0};
	struct segments segments;
	struct slow slow = {.outcome = calloc(1, sizeof(struct outcome)), .names = &names};
	assert_int_equal(names_init(&names), 0);
	assert_int_equal(segments_scan(&segments, &directory, &findings), 0);
	for (size_t i = 0; i < segments.group_count; i++) {
		struct group_reader reader;
		assert_int_equal(group_open(&reader, &segments, &segments.groups[i], &findings), 0);
		slow.reader = &reader;
		assert_int_equal(group_visit(&reader, &none, false, add_slot, &slow, &slow.outcome->counts), 0);
		group_close(&reader);
	}
	for (size_t i = 0; i < slow.days.day_count; i++)
		encode_day(slow.outcome, slow.days.days[i], &names);
	fold_close(&slow.days);
	segments_clear(&segments);
	findings_clear(&findings);
	names_clear(&names);
	return slow.outcome;
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void pages_and_threads_agree(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= LOGS; seed++) {
		make_log(seed);
		struct outcome *slow = fold_by_slots(), *one = fold_by_threads(1, false, NULL);
		expect_same(slow, one);
		assert_int_equal(slow->counts.damaged, one->counts.damaged);
		assert_int_equal(slow->counts.conflicts, one->counts.conflicts);
		assert_true(one->counts.conflicts && one->counts.damaged && one->counts.holes && one->counts.unknown &&
			    one->id_changes && one->taken_back);
		assert_int_equal(one->last_call_count, UL_LAST_CALLS);
		for (uint32_t threads = 2; threads <= 4; threads++) {
			struct outcome *more = fold_by_threads(threads, false, NULL);
			expect_all_same(one, more);
			outcome_free(more);
		}
		outcome_free(slow);
		outcome_free(one);
	}
}

/* What was folded is neither folded twice nor left out when it is folded again. */
static void parts_agree(void **state)
{
	uint64_t random = 5;
	(void)state;
	make_log(2);
	struct checkpoint from = {0};
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		struct ul_id id = {{(uint8_t)(i + 1)}};
		struct segment_state *segment = checkpoint_get_segment(&from, &id);
		assert_non_null(segment);
		for (uint32_t at = first_slot(); at < SEGMENT_BYTES / UL_SLOT_BYTES; at += 1 + pick(&random, 40))
			assert_int_equal(runs_append(&segment->runs, at), 0);
	}
	uint64_t calls[2];
	for (int again = 0; again < 2; again++) {
		struct outcome *one = fold_by_threads(1, again, &from), *two = fold_by_threads(2, again, &from);
		expect_all_same(one, two);
		calls[again] = one->calls;
		outcome_free(one);
		outcome_free(two);
	}
	struct outcome *all = fold_by_threads(1, false, NULL);
	assert_int_equal(calls[0] + calls[1], all->calls);
	outcome_free(all);
	checkpoint_clear(&from);
}

/* Sums at the end of their field are added with care. */
static void large_sums_are_checked(void **state)
{
	struct names names;
	struct facts facts;
	(void)state;
	assert_int_equal(names_init(&names), 0);
	facts_init(&facts, 1);
	struct call_names who = {NAME_UNKNOWN, NAME_UNKNOWN, NAME_NO_DIMENSIONS, NAME_EMPTY, NAME_EMPTY, false};
	struct ul_slot call = {.tag = ul_tag(UL_KIND_CALL, 0)};
	facts_add_call(&facts, &who, &call);
	assert_true(facts_may_add(&facts, 64));
	struct ul_row row = {.provider = NAME_UNKNOWN, .model = NAME_UNKNOWN, .dimensions = NAME_NO_DIMENSIONS};
	row.tokens[UL_INPUT] = (int64_t)1 << 62;
	facts_add_row(&facts, &row);
	assert_false(facts_may_add(&facts, 64));
	facts_clear(&facts);
	names_clear(&names);
}

/* ---- a file that is cut while it is mapped --------------------------------------------------------------------- */

static void cut_file_is_no_crash(void **state)
{
	static _Alignas(64) struct ul_slot copy[UL_PAGE_SLOTS];
	struct mapping mapping;
	struct ul_page_bits bits;
	struct ul_id id = {{1}};
	(void)state;
	make_log(1);
	int fd = openat(directory.fd, "0.0.seg", O_RDWR | O_CLOEXEC);
	uint64_t seed = ul_segment_seed(&id), at = (uint64_t)first_slot() * UL_SLOT_BYTES;
	mapping_open(&mapping, fd, at, SEGMENT_BYTES - at);
	assert_true(mapping_take(&mapping, at, copy, seed, &bits));
	assert_int_equal(bits.sealed, UINT64_MAX);
	assert_int_equal(ftruncate(fd, (off_t)at + 100000), 0);
	assert_false(mapping_take(&mapping, at + 40 * UL_PAGE_BYTES, copy, seed, &bits));
	/* Nothing of it is used any more. */
	assert_false(mapping_take(&mapping, at, copy, seed, &bits));
	mapping_close(&mapping);
	assert_false(mapping_take(&mapping, at, copy, seed, &bits));
	close(fd);
}

struct cutter {
	int fd;
	uint64_t calls;
};

static int cut_then_count(void *arg, const struct slot_page *page)
{
	struct cutter *cutter = arg;
	if (!cutter->calls)
		assert_int_equal(ftruncate(cutter->fd, (off_t)(first_slot() + 20 * UL_PAGE_SLOTS) * UL_SLOT_BYTES), 0);
	cutter->calls += (uint64_t)__builtin_popcountll(page->valid & page->wanted);
	assert_true(page->first < first_slot() + 20 * UL_PAGE_SLOTS);
	return 0;
}

static void file_cut_in_a_visit(void **state)
{
	static const struct runs none;
	struct findings findings = {0};
	struct segments segments;
	struct group_reader reader;
	struct slot_counts counts = {0};
	(void)state;
	make_log(1);
	struct cutter cutter = {.fd = openat(directory.fd, "0.0.seg", O_RDWR | O_CLOEXEC)};
	assert_int_equal(segments_scan(&segments, &directory, &findings), 0);
	assert_int_equal(group_open(&reader, &segments, &segments.groups[0], &findings), 0);
	struct slot_range all = {reader.first_slot, reader.end_slot};
	assert_int_equal(group_visit_pages(&reader, all, &none, false, cut_then_count, &cutter, &counts), 0);
	assert_true(cutter.calls > 500);
	/* What was durable is lost. */
	assert_true(counts.damaged > 1000);
	group_close(&reader);
	segments_clear(&segments);
	findings_clear(&findings);
	close(cutter.fd);
}

static void make_calls(usagelog *log, const char *model, uint32_t count)
{
	struct usagelog_names names = {.provider = "provider", .model = model};
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(usagelog_record_names(log, &names, &(struct usagelog_call){.input_tokens = 1}), 0);
}

static int note_model(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	uint32_t *model = arg;
	(void)number;
	(void)before;
	if (ul_slot_kind(slot) == UL_KIND_CALL)
		*model = slot->tag & UL_SLOT_MASK;
	return 0;
}

/* A call may be seen whose names were defined after the file was opened, and beyond what was its end then. */
static void names_of_a_file_that_grows(void **state)
{
	static const struct runs none;
	struct findings findings = {0};
	struct segments segments;
	struct group_reader before, after;
	struct slot_counts counts = {0};
	struct ul_directory grows;
	struct ul_message why;
	struct usagelog_options options = {
		.size = sizeof(options), .flags = USAGELOG_NO_HELPER, .segment_size_bytes = 1 << 20};
	char place[] = "/tmp/usagelog-grows-XXXXXX", name[600], text[UL_CONTEXT_BYTES_MAX];
	usagelog *log;
	uint32_t model = 0;
	(void)state;
	assert_non_null(mkdtemp(place));
	assert_int_equal(usagelog_open(&log, place, &options), 0);
	make_calls(log, "old", 1);
	assert_int_equal(ul_directory_open(&grows, place, &why), 0);
	assert_int_equal(segments_scan(&segments, &grows, &findings), 0);
	assert_int_equal(segments.group_count, 1);
	assert_int_equal(group_open(&before, &segments, &segments.groups[0], &findings), 0);
	make_calls(log, "old", 5000);
	make_calls(log, "new", 1);
	assert_int_equal(group_open(&after, &segments, &segments.groups[0], &findings), 0);
	assert_int_equal(group_visit(&after, &none, false, note_model, &model, &counts), 0);
	assert_true(model >= before.end_slot);
	assert_int_equal(group_text(&before, model, UL_CLASS_MODEL, text), sizeof("provider") + strlen("new"));
	assert_memory_equal(text, "provider\0new", sizeof("provider") + strlen("new"));
	assert_true(ul_reader_text(&before.readers[0], model, UL_CLASS_MODEL, text) > 0);
	/* It is synced with the call that names it, though its page was not visited. */
	assert_int_equal(before.unsynced[0].count, 0);
	assert_int_equal(group_sync(&before), 0);
	assert_int_equal(before.unsynced[0].count, 1);
	assert_int_equal(before.unsynced[0].items[0].first_slot, model / UL_PAGE_SLOTS);
	/* Beyond what the segment may grow to there is nothing. */
	assert_true(group_text(&before, UL_SLOT_MASK, UL_CLASS_MODEL, text) < 0);
	snprintf(name, sizeof(name), "%s/%s", place, before.files[0]->name->name);
	group_close(&before);
	group_close(&after);
	segments_clear(&segments);
	findings_clear(&findings);
	assert_int_equal(usagelog_close(log, 0), 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(unlinkat(grows.fd, "log.conf", 0), 0);
	ul_directory_close(&grows);
	assert_int_equal(rmdir(place), 0);
}

static int begin(void **state)
{
	(void)state;
	directory.fd = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return directory.fd < 0 || calendar_set_zone(time_zone) ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < SEGMENTS * 2; i++) {
		char name[64];
		snprintf(name, sizeof(name), "%u.%u.seg", i / 2, i % 2);
		unlinkat(directory.fd, name, 0);
	}
	close(directory.fd);
	return rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_and_threads_agree), cmocka_unit_test(parts_agree),
		cmocka_unit_test(large_sums_are_checked),  cmocka_unit_test(cut_file_is_no_crash),
		cmocka_unit_test(file_cut_in_a_visit),     cmocka_unit_test(names_of_a_file_that_grows),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
