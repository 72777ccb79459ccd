/*
 * Where the figures of a report come from: of all that a log holds the least that answers what is asked. Facts of days first; calls one by one, out
 * of the segments that are kept, where facts do not tell.
 */
#ifndef USAGELOG_REPORT_SOURCE_H
#define USAGELOG_REPORT_SOURCE_H

#include "report.h"
#include "view.h"

/* Fill an opened report. `whole` is the checkpoint with what is pending; `time_zone` is the process's, by which its days are cut. What has to be left out
 * becomes a finding. 0 or a negative code. */
int report_gather(struct report *report, struct view *view, const struct checkpoint *whole, const char *time_zone);

#endif
