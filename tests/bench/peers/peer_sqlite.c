/*
 * SQLite with a write-ahead log: one prepared INSERT a transaction. Threads share the connection under a mutex, which is faster than
 * connections of their own that wait for each other's lock by sleeping.
 */
#include "peer.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

struct state {
	sqlite3 *database;
	sqlite3_stmt *insert;
	pthread_mutex_t mutex;
};

static void check(sqlite3 *database, int result, const char *what)
{
	if (result != SQLITE_OK && result != SQLITE_DONE)
		bench_fail("SQLite: %s: %s", what, sqlite3_errmsg(database));
}

static sqlite3 *open_database(const char *directory)
{
	char path[PEER_PATH_BYTES];
	sqlite3 *database;
	peer_path(path, directory, "calls.sqlite");
	check(NULL, sqlite3_open(path, &database), path);
	return database;
}

static void *sqlite_open(const char *directory, bool is_durable)
{
	static const char create[] =
		"PRAGMA journal_mode=WAL;"
		"CREATE TABLE calls(time_ns INTEGER, provider TEXT, model TEXT, operation TEXT, session_id TEXT, "
		"input_tokens INTEGER, output_tokens INTEGER, cost_pico_usd INTEGER, latency_us INTEGER)";
	static const char insert[] = "INSERT INTO calls VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)";
	struct state *state = calloc(1, sizeof(*state));
	if (!state)
		bench_die("SQLite", -ENOMEM);
	pthread_mutex_init(&state->mutex, NULL);
	sqlite3 *database = state->database = open_database(directory);
	check(database, sqlite3_exec(database, create, NULL, NULL, NULL), "the table");
	check(database,
	      sqlite3_exec(database, is_durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, NULL,
			   NULL),
	      "PRAGMA synchronous");
	check(database, sqlite3_prepare_v3(database, insert, -1, SQLITE_PREPARE_PERSISTENT, &state->insert, NULL),
	      insert);
	return state;
}

static void sqlite_record(void *arg, uint64_t number)
{
	struct state *state = arg;
	sqlite3_stmt *insert = state->insert;
	(void)number;
	pthread_mutex_lock(&state->mutex);
	sqlite3_bind_int64(insert, 1, peer_time_ns());
	sqlite3_bind_text(insert, 2, peer_call.provider, -1, SQLITE_STATIC);
	sqlite3_bind_text(insert, 3, peer_call.model, -1, SQLITE_STATIC);
	sqlite3_bind_text(insert, 4, peer_call.operation, -1, SQLITE_STATIC);
	sqlite3_bind_text(insert, 5, peer_call.session_id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(insert, 6, peer_call.input_tokens);
	sqlite3_bind_int64(insert, 7, peer_call.output_tokens);
	sqlite3_bind_int64(insert, 8, peer_call.cost_pico_usd);
	sqlite3_bind_int64(insert, 9, peer_call.latency_us);
	check(state->database, sqlite3_step(insert), "INSERT");
	sqlite3_reset(insert);
	pthread_mutex_unlock(&state->mutex);
}

static void sqlite_close(void *arg)
{
	struct state *state = arg;
	sqlite3_finalize(state->insert);
	check(state->database, sqlite3_close(state->database), "close");
	pthread_mutex_destroy(&state->mutex);
	free(state);
}

static uint64_t sqlite_count(const char *directory)
{
	sqlite3 *database = open_database(directory);
	sqlite3_stmt *select;
	uint64_t count = 0;
	/* A process that was killed before it had made the table recorded nothing. */
	if (sqlite3_prepare_v2(database, "SELECT count(*) FROM calls", -1, &select, NULL) == SQLITE_OK) {
		if (sqlite3_step(select) != SQLITE_ROW)
			check(database, sqlite3_errcode(database), "SELECT");
		count = (uint64_t)sqlite3_column_int64(select, 0);
		sqlite3_finalize(select);
	}
	sqlite3_close(database);
	return count;
}

const struct peer peer_sqlite = {.name = "sqlite",
				 .what = "SQLite, WAL, synchronous=NORMAL",
				 .durable = "SQLite, WAL, synchronous=FULL",
				 .open = sqlite_open,
				 .record = sqlite_record,
				 .flush = peer_flush_nothing,
				 .close = sqlite_close,
				 .count = sqlite_count};
