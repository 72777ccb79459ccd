/* Calls one by one. */
#include "report_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

#define DAY_NS INT64_C(86400000000000)

/* Definitions of the group at hand; the first 16 bytes are the key. */
struct known_maker {
	uint64_t slot, zero;
	bool known;
	struct report_maker maker;
};

struct known_reading {
	uint64_t slot, zero;
	struct report_reading reading;
};

struct scan {
	struct report *report;
	struct group_reader *reader;
	struct table makers, readings;
	int64_t from_ns, until_ns; /* no call of the period lies outside */
	bool counted;
	int64_t calls;
	struct pricing *pricing;
	const char *log_zone, *shown_zone;
	struct calendar log_days; /* in the log's zone, by which days are priced */
	uint32_t prices;          /* the table of that day */
};

/* ---- definitions ----------------------------------------------------------------------------------------------- */

static const struct report_maker *find_maker(struct scan *scan, uint32_t slot)
{
	const uint64_t key[2] = {slot, 0};
	char text[UL_CONTEXT_BYTES_MAX];
	struct names *names = scan->report->names;
	struct known_maker *known = table_get(&scan->makers, key);
	if (known && !known->known) {
		uint32_t provider = NAME_UNKNOWN, model = NAME_UNKNOWN;
		ssize_t bytes = slot ? group_text(scan->reader, slot, UL_CLASS_MODEL, text) : -1;
		if (bytes >= 0) {
			size_t provider_bytes = strlen(text);
			provider = names_intern(names, text, provider_bytes);
			model = names_intern(names, text + provider_bytes + 1, (size_t)bytes - provider_bytes - 1);
		}
		known->known = report_find_maker(scan->report, provider, model, &known->maker);
	}
	if (!known)
		scan->report->error = -ENOMEM;
	return known && known->known ? &known->maker : NULL;
}

static const struct report_reading *find_reading(struct scan *scan, uint32_t slot)
{
	static const char none[] = "{}";
	const uint64_t key[2] = {slot, 0};
	char text[UL_CONTEXT_BYTES_MAX];
	struct known_reading *known = table_get(&scan->readings, key);
	if (known && !known->reading.known) {
		ssize_t bytes = slot ? group_text(scan->reader, slot, UL_CLASS_CONTEXT, text) : -1;
		report_read(scan->report, bytes < 0 ? none : text, bytes < 0 ? strlen(none) : (size_t)bytes,
			    &known->reading);
	}
	if (!known)
		scan->report->error = -ENOMEM;
	return known ? &known->reading : NULL;
}

/* ---- slots ----------------------------------------------------------------------------------------------------- */

static struct ul_row row_of_call(const struct ul_slot *slot, int64_t sign)
{
	const struct ul_call_body *call = &slot->body.call;
	const uint32_t *counts = &call->input_tokens;
	bool timed = !(slot->word & UL_LATENCY_UNKNOWN);
	struct ul_row row = {.price_class = slot->word & UL_UNPRICED ? UL_PRICE_NONE : UL_PRICE_GIVEN,
			     .calls = sign,
			     .latency_calls = timed ? sign : 0,
			     .latency_sum_us = timed ? sign * call_latency_us(slot) : 0,
			     .ttft_calls = call->ttft_us ? sign : 0,
			     .ttft_sum_us = sign * call->ttft_us,
			     .cost_pico_usd = money_stored((money_t)sign * call->cost_pico_usd)};
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		row.tokens[i] = sign * counts[i];
	return row;
}

static struct ul_row row_of_balance(const struct ul_slot *slot)
{
	const struct ul_balance_body *balance = &slot->body.balance;
	return (struct ul_row){.price_class = slot->word & UL_UNPRICED ? UL_PRICE_NONE : UL_PRICE_GIVEN,
			       .scope = (uint16_t)balance->scope,
			       .calls = (int64_t)balance->calls,
			       .balance_tokens = (int64_t)balance->tokens,
			       .cost_pico_usd = money_stored(balance->cost_pico_usd)};
}

/* The price table of a call's day in the log's zone, whatever the process's is; 0: none. */
static uint32_t find_table(struct scan *scan, int64_t time_ns)
{
	if (time_ns >= scan->log_days.start_ns && time_ns < scan->log_days.end_ns)
		return scan->prices;
	if (calendar_set_zone(scan->log_zone))
		scan->report->error = -ENOMEM;
	scan->prices = pricing_named(scan->pricing, calendar_find_day(&scan->log_days, time_ns));
	if (calendar_set_zone(scan->shown_zone))
		scan->report->error = -ENOMEM;
	return scan->prices;
}

/* A call without a cost has that of its day's price table, as in the facts. */
static void price(struct scan *scan, const struct ul_slot *slot, struct report_call *call)
{
	struct ul_row *row = &call->row;
	if (!scan->counted || row->price_class != UL_PRICE_NONE || row->scope || !scan->pricing->count)
		return;
	row->provider = call->maker->provider;
	row->model = call->maker->model;
	row->prompt_band = call_prompt_band(&slot->body.call);
	int error =
		pricing_row(scan->pricing, find_table(scan, call->time_ns), report_service_tier(call->reading), row);
	if (error)
		scan->report->error = error;
}

static void visit_slot(struct scan *scan, const struct ul_slot *slot)
{
	enum ul_kind kind = ul_slot_kind(slot);
	struct report_call call = {.time_ns = slot->body.call.time_ns};
	if ((kind != UL_KIND_CALL && kind != UL_KIND_REVERSAL && kind != UL_KIND_BALANCE) ||
	    call.time_ns < scan->from_ns || call.time_ns >= scan->until_ns)
		return;
	call.maker = find_maker(scan, slot->tag & UL_SLOT_MASK);
	call.reading = call.maker ? find_reading(scan, slot->word & UL_SLOT_MASK) : NULL;
	if (!call.reading)
		return;
	call.row =
		kind == UL_KIND_BALANCE ? row_of_balance(slot) : row_of_call(slot, kind == UL_KIND_REVERSAL ? -1 : 1);
	price(scan, slot, &call);
	bool in_days = !call.row.scope || call.row.scope & 1;
	if (report_add_call(scan->report, &call, scan->counted) && in_days)
		scan->calls += call.row.calls;
}

static int visit_page(void *arg, const struct slot_page *page)
{
	struct scan *scan = arg;
	for (uint64_t rest = page->valid & page->wanted; rest && !scan->report->error; rest &= rest - 1)
		visit_slot(scan, &page->slots[__builtin_ctzll(rest)]);
	return scan->report->error;
}

/* ---- groups ---------------------------------------------------------------------------------------------------- */

/* A file without a writer that was last changed long before the period holds none of its calls: their clocks would have been ahead by more than
 * a day. Should one have been, it is missed, which is noticed where calls are compared with what was counted. */
static bool is_too_old(const struct scan *scan, const struct group_reader *reader)
{
	for (uint32_t i = 0; i < reader->reader_count; i++) {
		struct stat found;
		if (ul_reader_has_writer(&reader->readers[i]) || os_stat(reader->readers[i].fd, &found) ||
		    (int64_t)found.st_mtim.tv_sec * INT64_C(1000000000) + DAY_NS >= scan->from_ns)
			return false;
	}
	return true;
}

static int visit_runs(struct scan *scan, const struct runs *runs)
{
	struct slot_counts counts = {0};
	struct slot_range all = {scan->reader->first_slot, scan->reader->end_slot};
	return runs->count ? group_visit_pages(scan->reader, all, runs, true, visit_page, scan, &counts) : 0;
}

static int scan_group(struct scan *scan, struct view *view, size_t index)
{
	const struct segment_group *group = &view->segments.groups[index];
	const struct segment_state *folded = checkpoint_find_segment(view->from, &group->id);
	struct group_reader reader;
	int error = group->excluded ? 1 : group_open(&reader, &view->segments, group, &view->findings);
	/* What cannot be read was said when the log was folded, or is missed. */
	if (error)
		return error == -ENOMEM ? error : 0;
	scan->reader = &reader;
	table_init(&scan->makers, sizeof(struct known_maker));
	table_init(&scan->readings, sizeof(struct known_reading));
	if (scan->counted || !is_too_old(scan, &reader)) {
		if (folded)
			error = visit_runs(scan, &folded->runs);
		if (!error)
			error = visit_runs(scan, &view->pending.results[index].added);
	}
	table_clear(&scan->makers);
	table_clear(&scan->readings);
	group_close(&reader);
	return error;
}

/* Days are at most a day and two hours off from those of UTC; a block takes five hours more. */
static int64_t day_ns(int64_t day)
{
	int64_t ns;
	return __builtin_mul_overflow(day, DAY_NS, &ns) ? (day < 0 ? INT64_MIN : INT64_MAX) : ns;
}

int report_scan(struct report *report, struct view *view, const char *time_zone, bool counted, int64_t *calls)
{
	struct scan scan = {.report = report,
			    .counted = counted,
			    .pricing = &view->pricing,
			    .log_zone = view->directory.conf.time_zone,
			    .shown_zone = time_zone,
			    .from_ns = day_ns((int64_t)report->first_day - 2),
			    .until_ns = day_ns((int64_t)report->last_day + 3)};
	int error = 0;
	for (size_t i = 0; i < view->segments.group_count && !error; i++)
		error = scan_group(&scan, view, i);
	*calls = scan.calls;
	if (error && !report->error && error != -ENOMEM)
		error = 0;
	return error ? error : report->names->error;
}
