/* Where the figures of a report come from. */
#include "report_source.h"

static int add_rows(void *arg, const struct facts *facts)
{
	return report_add_rows(arg, facts);
}

int report_gather(struct report *report, struct view *view, const struct checkpoint *whole, bool own_zone)
{
	(void)own_zone;
	return view_visit_days(view, whole, report->first_day, report->last_day, add_rows, report);
}
