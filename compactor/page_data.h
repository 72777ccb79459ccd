/*
 * What `report --html` shows, as JSON for the page's own script (page/sums.js): page_sums.h and the last calls. It must not know what the page
 * looks like.
 */
#ifndef USAGELOG_PAGE_DATA_H
#define USAGELOG_PAGE_DATA_H

#include "json_text.h"
#include "report.h"
#include "view.h"

/*
 * One object. The report has days and filters, and was not opened; `period_given`: somebody asked for just these days. `whole` is what
 * view_add_pending() gave; its last calls are brought up to date. 0, -ENOMEM or -EOVERFLOW.
 *
 * Amounts are two numbers, whole millionths of a US dollar and the rest in pico-USD, so that a script whose numbers are doubles adds them up
 * exactly. Names are numbers of a list, whose first one is the empty string: none. What has many numbers is a flat list of
 * them; what stands in them is written where they are made (page_data.c, page_times.c) and read (page/sums.js).
 */
int page_data_write(struct json_text *json, struct view *view, struct checkpoint *whole, struct report *report,
		    bool period_given);

#endif
