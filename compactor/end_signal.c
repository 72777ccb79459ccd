/* Signals to end. */
#include "end_signal.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "os.h"

static const int end_signals[] = {SIGTERM, SIGINT};
enum { END_SIGNALS = sizeof(end_signals) / sizeof(end_signals[0]) };

static int end_event; /* for the handler */

/* Only what may be done in a handler. */
static void on_signal(int number)
{
	int host_errno = errno;
	(void)number;
	for (size_t i = 0; i < END_SIGNALS; i++)
		signal(end_signals[i], SIG_DFL);
	os_tell(end_event);
	errno = host_errno;
}

int end_signal_open(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
	end_event = os_event();
	for (size_t i = 0; i < END_SIGNALS && end_event >= 0; i++)
		if (!sigaction(end_signals[i], NULL, &before) && before.sa_handler != SIG_IGN)
			sigaction(end_signals[i], &action, NULL);
	return end_event;
}
