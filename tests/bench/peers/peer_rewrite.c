/* The usual tracker: each call rewrites the JSON file, on the caller's thread. */
#include "peer.h"
#include "tracker.h"

static void *rewrite_open(const char *directory, bool is_durable)
{
	(void)is_durable;
	return tracker_open(directory);
}

static void rewrite_record(void *state, uint64_t number)
{
	tracker_add(state, number, peer_time_ns());
	tracker_write(state);
}

static void rewrite_close(void *state)
{
	tracker_close(state);
}

const struct peer peer_rewrite = {.name = "rewrite",
				  .what = "a JSON file rewritten by each call",
				  .open = rewrite_open,
				  .record = rewrite_record,
				  .flush = peer_flush_nothing,
				  .close = rewrite_close,
				  .count = tracker_count};
