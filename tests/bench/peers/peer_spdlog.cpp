/* spdlog's asynchronous logger with its defaults: a queue of 8,192 messages, a thread that writes them, callers that wait when it is full. */
#include <memory>
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>

#include "bench.h"
#include "peer.h"

namespace
{

struct state {
	std::shared_ptr<spdlog::sinks::sink> sink;
	std::shared_ptr<spdlog::details::thread_pool> pool;
	std::shared_ptr<spdlog::async_logger> logger;
};

void start_pool(state *peer)
{
	peer->pool = std::make_shared<spdlog::details::thread_pool>(8192, 1);
	peer->logger = std::make_shared<spdlog::async_logger>("calls", peer->sink, peer->pool,
							      spdlog::async_overflow_policy::block);
	peer->logger->set_pattern("%v");
}

void *spdlog_open(const char *directory, bool)
{
	char path[PEER_PATH_BYTES];
	peer_path(path, directory, "calls.jsonl");
	try {
		auto peer = std::make_unique<state>();
		peer->sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
		start_pool(peer.get());
		return peer.release();
	} catch (const std::exception &error) {
		bench_fail("spdlog: %s: %s", path, error.what());
	}
}

void spdlog_record(void *arg, uint64_t number)
{
	const struct peer_call &call = peer_call;
	int64_t now = peer_time_ns();
	static_cast<state *>(arg)->logger->info(
		"{{\"number\": {}, \"time\": {}.{:06}, \"provider\": \"{}\", \"model\": \"{}\", \"operation\": \"{}\", "
		"\"session_id\": \"{}\", \"input_tokens\": {}, \"output_tokens\": {}, \"cost_usd\": {}.{:012}, "
		"\"latency_ms\": {}}}",
		number, now / 1000000000, now % 1000000000 / 1000, call.provider, call.model, call.operation,
		call.session_id, call.input_tokens, call.output_tokens, call.cost_pico_usd / 1000000000000,
		call.cost_pico_usd % 1000000000000, call.latency_us / 1000);
}

/* Its own flush() only joins the queue. A pool that ends writes all that it was given. */
void spdlog_flush(void *arg)
{
	state *peer = static_cast<state *>(arg);
	peer->logger.reset();
	peer->pool.reset();
	peer->sink->flush();
	start_pool(peer);
}

void spdlog_close(void *arg)
{
	spdlog_flush(arg);
	delete static_cast<state *>(arg);
}

uint64_t spdlog_count(const char *directory)
{
	return peer_count_lines(directory, "calls.jsonl");
}

struct peer make_peer()
{
	struct peer peer = {};
	peer.name = "spdlog";
	peer.what = "spdlog, asynchronous";
	peer.open = spdlog_open;
	peer.record = spdlog_record;
	peer.flush = spdlog_flush;
	peer.close = spdlog_close;
	peer.count = spdlog_count;
	return peer;
}

} // namespace

extern "C" const struct peer peer_spdlog = make_peer();
