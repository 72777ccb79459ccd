/*
 * A line on the terminal that says how far a long run is: bytes done, of all if that is known, and how fast. It is
 * drawn on standard error, if that is a terminal, after half a second, at most ten times a second, and erased at the
 * end and before a message. There is one of it, as there is one terminal.
 */
#ifndef USAGELOG_PROGRESS_H
#define USAGELOG_PROGRESS_H

#include <stdint.h>

/* Never draw it, whatever begins: what is asked to be quiet is. */
void progress_forbid(void);

/* Begin anew: `what` is done, a word such as "folding"; `bytes` are all, 0 if that is not known. */
void progress_begin(const char *what, uint64_t bytes);
/* So much more is done. Any thread may say so; it costs little. */
void progress_add(uint64_t bytes);
/* Erase it: until the next time it is drawn, or for good. */
void progress_clear(void);
void progress_end(void);

#endif
