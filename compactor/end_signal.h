/*
 * The wish to end a command that stays: SIGTERM or SIGINT, made something to wait for.
 */
#ifndef USAGELOG_END_SIGNAL_H
#define USAGELOG_END_SIGNAL_H

/* From here on the first of these signals makes the descriptor readable, and a second one ends the process; they stay ignored if they were. The
 * caller closes it. A negative code: it cannot be had. Once a process. */
int end_signal_open(void);

#endif
