/*
 * What the log comes to at a glance: all days, the last ones, today and this month; and by model, provider, operation and error. The view of
 * `usagelog report` that is shown if none is named, and all of `usagelog summary`.
 */
#ifndef USAGELOG_REPORT_OVERVIEW_H
#define USAGELOG_REPORT_OVERVIEW_H

#include "view.h"

/* Print it, of the last so many days, to standard output. `whole`: the checkpoint with what is pending. 0 or a negative code. */
int report_overview(struct view *view, struct checkpoint *whole, int32_t days, bool json, bool raw_names);

#endif
