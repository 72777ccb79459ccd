// Records a few calls from C++, the handle in a unique_ptr. The log is $USAGELOG_DIR, else the default directory.
//
//     c++ example.cpp $(pkg-config --cflags --libs usagelog) && USAGELOG_DIR=/tmp/log ./a.out
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

#include <usagelog.h>

namespace
{

void check(int error, const char *what)
{
	if (error)
		throw std::runtime_error(std::string(what) + ": " + usagelog_strerror(error));
}

// Ends with a flush of at most a second; flush first to learn whether it succeeded.
struct Close {
	void operator()(usagelog *log) const
	{
		usagelog_close(log, 1000);
	}
};
using Log = std::unique_ptr<usagelog, Close>;

Log open()
{
	usagelog *log = nullptr;
	check(usagelog_open(&log, nullptr, nullptr), "the usage log cannot be opened");
	return Log(log);
}

void record_some(usagelog *log)
{
	usagelog_model model;
	check(usagelog_model_get(log, "openai", "gpt-4o", &model), "gpt-4o");
	usagelog_call call = {};
	call.input_tokens = 100;
	call.output_tokens = 50;
	call.cost_pico_usd = 750000000; // 0.00075 USD
	call.flags = USAGELOG_COST;
	for (int i = 0; i < 3; i++) {
		int result = usagelog_record(log, model, usagelog_context(), &call);
		// Held is not lost: it is stored as soon as the disk takes it.
		if (result && result != USAGELOG_ERROR_HELD)
			std::cerr << "the call is lost: " << usagelog_strerror(result) << '\n';
	}
}

} // namespace

int main()
{
	try {
		Log log = open();
		record_some(log.get());
		check(usagelog_flush(log.get(), 1000), "not all calls are known durable");
		usagelog_stats stats = {};
		stats.size = sizeof(stats);
		check(usagelog_stats_get(log.get(), &stats), "stats");
		std::cout << stats.attempted << " calls, " << stats.committed << " committed, " << stats.durable
			  << " durable\n";
	} catch (const std::exception &error) {
		std::cerr << error.what() << '\n';
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
