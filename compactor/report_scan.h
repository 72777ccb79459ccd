/*
 * The calls of a report one by one, out of the segments that are kept: for what facts do not tell. The same calls as the view's figures are of,
 * whatever is recorded meanwhile.
 */
#ifndef USAGELOG_REPORT_SCAN_H
#define USAGELOG_REPORT_SCAN_H

#include "report.h"
#include "view.h"

/* Add all calls to a report whose days are cut in this zone, the process's. `counted`: they are counted, and `*calls` is how many of the period there are; else they only complete what was counted, and
 * files that cannot hold calls of the period are passed over. 0 or a negative code. */
int report_scan(struct report *report, struct view *view, const char *time_zone, bool counted, int64_t *calls);

#endif
