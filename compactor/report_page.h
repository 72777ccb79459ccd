/*
 * The page of `report --html`: one file that needs nothing else, with the figures as JSON in it (page_data.h) and a script that shows them
 * (page/). Names from outside reach it as data alone: no byte of theirs can end the element that they stand in, and a policy in the page's
 * head lets no script run but the page's own. It must not know what the figures are.
 */
#ifndef USAGELOG_REPORT_PAGE_H
#define USAGELOG_REPORT_PAGE_H

#include "page_data.h"

/* Write it (page_data_write()) to a file, which is replaced as a whole and is only its owner's to read; or to standard output, if the path is "-".
 * False after a message. */
bool page_write(const char *path, struct view *view, struct checkpoint *whole, struct report *report,
		bool period_given);

/* The page about its data: page/page.html with its style and script (page/embed.cmake). */
extern const unsigned char page_before_data[], page_after_data[];
extern const size_t page_before_data_bytes, page_after_data_bytes;

#endif
