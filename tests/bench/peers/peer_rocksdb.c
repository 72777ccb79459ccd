/* RocksDB: 64 bytes under the next number, through its write-ahead log; synced where calls are to be durable. */
#include "peer.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <rocksdb/c.h>

#include "bench.h"

struct state {
	rocksdb_options_t *options;
	rocksdb_writeoptions_t *write_options;
	rocksdb_t *database;
	_Atomic uint64_t next;
};

static void check(char *error, const char *what)
{
	if (error)
		bench_fail("RocksDB: %s: %s", what, error);
}

static struct state *open_database(const char *directory)
{
	char *error = NULL;
	struct state *state = calloc(1, sizeof(*state));
	if (!state)
		bench_die("RocksDB", -ENOMEM);
	state->options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(state->options, 1);
	state->write_options = rocksdb_writeoptions_create();
	state->database = rocksdb_open(state->options, directory, &error);
	check(error, directory);
	return state;
}

static void *rocksdb_peer_open(const char *directory, bool is_durable)
{
	struct state *state = open_database(directory);
	rocksdb_writeoptions_set_sync(state->write_options, is_durable);
	return state;
}

static void rocksdb_peer_record(void *arg, uint64_t number)
{
	struct state *state = arg;
	struct peer_entry entry = peer_entry_make(number);
	/* Keys are sorted as bytes. */
	uint64_t key = htobe64(atomic_fetch_add_explicit(&state->next, 1, memory_order_relaxed));
	char *error = NULL;
	rocksdb_put(state->database, state->write_options, (const char *)&key, sizeof(key), (const char *)&entry,
		    sizeof(entry), &error);
	check(error, "put");
}

static void rocksdb_peer_close(void *arg)
{
	struct state *state = arg;
	rocksdb_close(state->database);
	rocksdb_writeoptions_destroy(state->write_options);
	rocksdb_options_destroy(state->options);
	free(state);
}

static uint64_t rocksdb_peer_count(const char *directory)
{
	struct state *state = open_database(directory);
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_iterator_t *iterator = rocksdb_create_iterator(state->database, options);
	uint64_t count = 0;
	char *error = NULL;
	for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator))
		count++;
	rocksdb_iter_get_error(iterator, &error);
	check(error, "iterator");
	rocksdb_iter_destroy(iterator);
	rocksdb_readoptions_destroy(options);
	rocksdb_peer_close(state);
	return count;
}

const struct peer peer_rocksdb = {.name = "rocksdb",
				  .what = "RocksDB, WAL not synced",
				  .durable = "RocksDB, WriteOptions.sync",
				  .open = rocksdb_peer_open,
				  .record = rocksdb_peer_record,
				  .flush = peer_flush_nothing,
				  .close = rocksdb_peer_close,
				  .count = rocksdb_peer_count};
