/* Where the figures of a report come from. */
#include "report_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "report_scan.h"

/* Days of one zone reach into two days before and after of another one. */
enum { OTHER_ZONE_DAYS = 2 };

static int add_rows(void *arg, const struct facts_parts *parts)
{
	return report_add_rows(arg, parts);
}

static int add_quarters(void *arg, const struct facts_parts *parts)
{
	return report_add_quarters(arg, parts);
}

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

struct quarter_calls {
	int32_t quarter;
	int64_t calls;
};

struct quarter_list {
	struct quarter_calls *items;
	size_t count, room;
	int error;
};

static void list_quarter(void *arg, const struct ul_sum *quarter)
{
	struct quarter_list *list = arg;
	struct quarter_calls *last = list->count ? &list->items[list->count - 1] : NULL;
	if (list->error)
		return;
	if (last && last->quarter == quarter->number) {
		last->calls += quarter->calls;
		return;
	}
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 1024;
		struct quarter_calls *items = os_reallocate(list->items, room, sizeof(*items));
		if (!items) {
			list->error = -ENOMEM;
			return;
		}
		list->items = items;
		list->room = room;
	}
	list->items[list->count++] = (struct quarter_calls){quarter->number, quarter->calls};
}

/* Each quarter of some days. */
struct quarter_visit {
	void (*visit)(void *arg, const struct ul_sum *quarter);
	void *arg;
};

static int visit_quarters(void *arg, const struct facts_parts *parts)
{
	const struct quarter_visit *each = arg;
	uint64_t count = 0;
	const struct ul_sum *quarters =
		parts->file ? ul_container_records(parts->file, UL_SECTION_QUARTERS, &count) : NULL;
	for (uint64_t i = 0; i < count; i++)
		each->visit(each->arg, &quarters[i]);
	for (uint32_t i = 0; parts->facts && i < parts->facts->quarters.count; i++)
		each->visit(each->arg, table_record(&parts->facts->quarters, i));
	return 0;
}

static int compare_quarters(const void *left, const void *right)
{
	int32_t a = ((const struct quarter_calls *)left)->quarter, b = ((const struct quarter_calls *)right)->quarter;
	return (a > b) - (a < b);
}

/* Bring the list in order, each quarter once. */
static void join_quarters(struct quarter_list *list)
{
	size_t joined = 0;
	if (list->count)
		qsort(list->items, list->count, sizeof(*list->items), compare_quarters);
	for (size_t i = 0; i < list->count; i++) {
		if (joined && list->items[joined - 1].quarter == list->items[i].quarter)
			list->items[joined - 1].calls += list->items[i].calls;
		else
			list->items[joined++] = list->items[i];
	}
	list->count = joined;
}

/* Is there, before this day, a pause after which a block begins whatever was before it? */
static bool has_pause(const struct quarter_list *list, int32_t before_day)
{
	const struct quarter_calls *before = NULL;
	for (size_t i = 0; i < list->count; i++) {
		const struct quarter_calls *quarter = &list->items[i];
		if (quarter->calls <= 0)
			continue;
		if (before && calendar_quarter_day(before->quarter) >= before_day)
			return false;
		if (before && quarter->quarter - before->quarter > REPORT_BLOCK_QUARTERS)
			return true;
		before = quarter;
	}
	return false;
}

/* Hand the quarters that have calls to the report. */
static int set_blocks(struct report *report, const struct quarter_list *list)
{
	int32_t *quarters = os_allocate(list->count + 1, sizeof(*quarters));
	size_t count = 0;
	if (!quarters)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].calls > 0)
			quarters[count++] = list->items[i].quarter;
	report_set_blocks(report, quarters, count);
	return 0;
}

/* Where a block begins depends on the one before it: so days are read back to a pause as long as a block, or to the first one. */
static int make_blocks(struct report *report, struct view *view, const struct checkpoint *whole)
{
	struct quarter_list list = {0};
	struct quarter_visit each = {list_quarter, &list};
	int64_t oldest = whole->day_count ? whole->days[0].day : 0, until = (int64_t)report->last_day + OTHER_ZONE_DAYS;
	int64_t from = (int64_t)report->first_day - OTHER_ZONE_DAYS - 1;
	int error = 0;
	for (int64_t step = 4; !error && until >= oldest; step *= 2) {
		from = from < oldest ? oldest : from;
		error = view_visit_parts(view, whole, (int32_t)from, (int32_t)until, visit_quarters, &each);
		join_quarters(&list);
		if (error || list.error || has_pause(&list, report->first_day - 1))
			break;
		until = from - 1;
		from -= step;
	}
	error = error ? error : list.error ? list.error : set_blocks(report, &list);
	free(list.items);
	return error;
}

/* ---- calls ----------------------------------------------------------------------------------------------------- */

struct expected {
	struct report *report;
	int64_t calls;
};

static void expect(void *arg, const struct ul_sum *quarter)
{
	struct expected *expected = arg;
	if (report_has_quarter(expected->report, quarter->number))
		expected->calls += quarter->calls;
}

/* Count what facts do not tell apart, and say so if not all of it is there any more. */
static int count_calls(struct report *report, struct view *view, const struct checkpoint *whole, const char *time_zone)
{
	struct expected expected = {.report = report};
	struct quarter_visit each = {expect, &expected};
	int64_t calls;
	int error = report_scan(report, view, time_zone, true, &calls);
	if (!error)
		error = view_visit_parts(view, whole, report->first_day - OTHER_ZONE_DAYS,
					 report->last_day + OTHER_ZONE_DAYS, visit_quarters, &each);
	if (!error && calls != expected.calls)
		findings_add(&view->findings, FINDING_LEFT_OUT,
			     "%s: what is asked for stands in no totals, and of %lld calls of these days the segments "
			     "hold %lld: the others were deleted (retention_days), or cannot be read, and are left "
			     "out; usagelog config group_by keeps a key of the metadata in the totals",
			     view->directory.path, (long long)expected.calls, (long long)calls);
	return error;
}

int report_gather(struct report *report, struct view *view, const struct checkpoint *whole, const char *time_zone)
{
	int64_t calls;
	bool own_zone = !strcmp(time_zone, view->directory.conf.time_zone);
	int error = report_needs_blocks(report) ? make_blocks(report, view, whole) : 0;
	if (error)
		return error;
	if (own_zone && report_takes_rows(report, &view->directory.conf))
		error = view_visit_parts(view, whole, report->first_day, report->last_day, add_rows, report);
	else if (report_takes_quarters(report))
		error = view_visit_parts(view, whole, report->first_day - OTHER_ZONE_DAYS,
					 report->last_day + OTHER_ZONE_DAYS, add_quarters, report);
	else
		return count_calls(report, view, whole, time_zone);
	bool all_told = report->sums_only || (own_zone && report_takes_histograms(report));
	return error || all_told ? error : report_scan(report, view, time_zone, false, &calls);
}
