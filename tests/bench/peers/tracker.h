/*
 * The file of the usual tracker, for the two peers that write it: the last 1,000 calls, and totals by day, model and provider; written
 * whole each time, to a temporary name that is then renamed. It begins with 1,000 calls, as it does after any day of use.
 */
#ifndef USAGELOG_TRACKER_H
#define USAGELOG_TRACKER_H

#include <stdint.h>

struct tracker;

struct tracker *tracker_open(const char *directory);
void tracker_add(struct tracker *tracker, uint64_t number, int64_t time_ns);
void tracker_write(struct tracker *tracker);
void tracker_close(struct tracker *tracker);
/* Calls that the file's totals have, beyond those that it began with. */
uint64_t tracker_count(const char *directory);

#endif
