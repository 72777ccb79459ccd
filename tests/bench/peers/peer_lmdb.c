/* LMDB: 64 bytes under the next number, one transaction a call, appended; without syncs but where calls are to be durable. */
#include "peer.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>

#include "bench.h"

/* Address space, not disk. */
static const size_t map_bytes = (size_t)64 << 30;

struct state {
	MDB_env *environment;
	MDB_dbi table;
	size_t next; /* under the lock of the write transaction */
};

static void check(int result, const char *what)
{
	if (result)
		bench_fail("LMDB: %s: %s", what, mdb_strerror(result));
}

static MDB_env *open_environment(const char *directory, unsigned flags)
{
	MDB_env *environment;
	check(mdb_env_create(&environment), "mdb_env_create");
	check(mdb_env_set_mapsize(environment, map_bytes), "mdb_env_set_mapsize");
	check(mdb_env_open(environment, directory, flags, 0600), directory);
	return environment;
}

static void *lmdb_open(const char *directory, bool is_durable)
{
	MDB_txn *transaction;
	struct state *state = calloc(1, sizeof(*state));
	if (!state)
		bench_die("LMDB", -ENOMEM);
	state->environment = open_environment(directory, is_durable ? 0 : MDB_NOSYNC);
	check(mdb_txn_begin(state->environment, NULL, 0, &transaction), "mdb_txn_begin");
	check(mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &state->table), "mdb_dbi_open");
	check(mdb_txn_commit(transaction), "mdb_txn_commit");
	return state;
}

static void lmdb_record(void *arg, uint64_t number)
{
	struct state *state = arg;
	MDB_txn *transaction;
	struct peer_entry entry = peer_entry_make(number);
	MDB_val value = {.mv_size = sizeof(entry), .mv_data = &entry};
	check(mdb_txn_begin(state->environment, NULL, 0, &transaction), "mdb_txn_begin");
	size_t next = state->next++;
	MDB_val key = {.mv_size = sizeof(next), .mv_data = &next};
	check(mdb_put(transaction, state->table, &key, &value, MDB_APPEND), "mdb_put");
	check(mdb_txn_commit(transaction), "mdb_txn_commit");
}

static void lmdb_close(void *arg)
{
	struct state *state = arg;
	mdb_env_close(state->environment);
	free(state);
}

static uint64_t lmdb_count(const char *directory)
{
	MDB_stat found;
	MDB_env *environment = open_environment(directory, 0);
	check(mdb_env_stat(environment, &found), "mdb_env_stat");
	mdb_env_close(environment);
	return found.ms_entries;
}

const struct peer peer_lmdb = {.name = "lmdb",
			       .what = "LMDB, MDB_NOSYNC, MDB_APPEND",
			       .durable = "LMDB",
			       .open = lmdb_open,
			       .record = lmdb_record,
			       .flush = peer_flush_nothing,
			       .close = lmdb_close,
			       .count = lmdb_count};
