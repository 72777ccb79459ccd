"""What a call costs its caller from Python, beside the floor of an empty extension call and of queue.Queue.put(); and beside the usual cure, a tracker
that puts a record into a queue, from which a thread rewrites a JSON file.

    bench_python.py [--json] [--directory DIR] [--runs N] [--calls N] [--seconds S]

All take turns in each run, so that noise of the machine meets all alike; of the runs, the median and the spread are shown. Single calls are one each
millisecond, while whatever runs in the background does: a thread that renders JSON has the interpreter's lock, for which the caller waits. The
sustained rate is of calls until all are in the summary: the fold, and its JSON, included. PYTHONPATH leads to the package, USAGELOG_BIN to the program.
"""
import argparse
import gc
import json
import os
import platform
import queue
import shutil
import statistics
import sys
import tempfile
import threading
import time
from datetime import datetime

import usagelog
from usagelog import Log, UsageTracker, _native

KEPT = 1000
FLUSH_COUNT = 10
PACE_NS = 1000000
CALL = ("gpt-4o-mini-2024-07-18", 100, 50, 0.0002, 80.5)


class WriteBehind:
    """The baseline: a queue, and a thread that rewrites the file when ten records have come together; the last 1,000 calls are kept."""

    def __init__(self, path):
        self.path = path
        self.queue = queue.Queue()
        self.data = {"sessions": [], "daily_totals": {}, "model_breakdown": {}, "provider_breakdown": {}}
        # As after any day of use.
        self.write([self.make(*CALL) for _ in range(KEPT)])
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    @staticmethod
    def make(model, input_tokens, output_tokens, cost_usd, latency_ms, operation="chat", metadata=None):
        return {"timestamp": datetime.now().isoformat(), "model": model, "provider": "openai" if model.startswith("gpt") else "unknown",
                "input_tokens": input_tokens, "output_tokens": output_tokens, "total_tokens": input_tokens + output_tokens,
                "cost_usd": cost_usd, "latency_ms": latency_ms, "operation": operation, "metadata": metadata or {}}

    def record(self, *args, **keywords):
        record = self.make(*args, **keywords)
        self.queue.put(record)
        return record

    def work(self):
        batch = []
        while True:
            record = self.queue.get()
            if record is not None:
                batch.append(record)
            if batch and (len(batch) >= FLUSH_COUNT or record is None):
                self.write(batch)
                batch = []
            if record is None:
                return

    def write(self, batch):
        for record in batch:
            for name, key in (("daily_totals", record["timestamp"][:10]), ("model_breakdown", record["model"]),
                              ("provider_breakdown", record["provider"])):
                total = self.data[name].setdefault(key, {"tokens": 0, "cost": 0.0, "calls": 0})
                total["tokens"] += record["total_tokens"]
                total["cost"] += record["cost_usd"]
                total["calls"] += 1
        self.data["sessions"] = (self.data["sessions"] + batch)[-KEPT:]
        self.data["last_updated"] = datetime.now().isoformat()
        with open(self.path + ".tmp", "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=2)
        os.replace(self.path + ".tmp", self.path)

    def shutdown(self):
        self.queue.put(None)
        self.thread.join()


def per_call_ns(loop, count):
    gc.collect()
    begin = time.perf_counter_ns()
    loop(count)
    return (time.perf_counter_ns() - begin) / count


def make_contestants(directory):
    """Each a loop of so many calls."""
    log = Log(os.path.join(directory, "native"))
    tracker = UsageTracker(os.path.join(directory, "tracker.json"), flush_interval=86400, flush_threshold=1 << 60)
    behind = WriteBehind(os.path.join(directory, "behind.json"))
    model, input_tokens, output_tokens, cost, latency = CALL

    def empty_loop(count):
        for _ in range(count):
            pass

    def extension_call(count, call=_native.nothing):
        for _ in range(count):
            call()

    def extension_call_keywords(count, call=_native.nothing):
        for _ in range(count):
            call(provider="openai", model=model, input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost, latency_ms=latency,
                 operation="chat")

    def queue_put(count):
        put = queue.Queue().put
        for _ in range(count):
            put(None)

    def native_record(count):
        for _ in range(count):
            log.record(provider="openai", model=model, input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost,
                       latency_ms=latency, operation="chat")

    def tracker_record(count):
        for _ in range(count):
            tracker.record(model=model, input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost, latency_ms=latency)

    def write_behind_record(count):
        for _ in range(count):
            behind.record(model=model, input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost, latency_ms=latency)

    loops = [empty_loop, extension_call, extension_call_keywords, queue_put, native_record, tracker_record, write_behind_record]
    return loops, behind, (log.close, tracker.shutdown, behind.shutdown)


def measure_latency(directory, runs, calls):
    """Of each, ns a call: median and spread over the runs, the loop itself subtracted."""
    loops, behind, ends = make_contestants(directory)
    spent = {loop.__name__: [] for loop in loops}
    for loop in loops:
        loop(min(calls, 100))
    for _ in range(runs):
        of_loop = 0.0
        for loop in loops:
            # Fewer, since all that are queued are waited for, so that its thread is at work in no other's turn.
            ns = per_call_ns(loop, calls if loop.__name__ != "write_behind_record" else max(calls // 20, 10))
            while behind.queue.qsize():
                time.sleep(0.001)
            if loop.__name__ == "empty_loop":
                of_loop = ns
            else:
                spent[loop.__name__].append(max(ns - of_loop, 0.0))
    for end in ends:
        end()
    del spent["empty_loop"]
    return {name: {"median_ns": statistics.median(ns), "least_ns": min(ns), "most_ns": max(ns)} for name, ns in spent.items()}


def measure_paced(directory, calls):
    """Single calls, one each millisecond, each timed by itself."""
    found = {}
    trackers = {"tracker": UsageTracker(os.path.join(directory, "paced.json"), flush_interval=0.1),
                "write_behind": WriteBehind(os.path.join(directory, "paced_behind.json"))}
    for name, tracker in trackers.items():
        spent, clock = [], time.perf_counter_ns
        next_ns = clock()
        for _ in range(calls):
            next_ns = max(next_ns + PACE_NS, clock())
            time.sleep(max(next_ns - clock(), 0) / 1e9)
            begin = clock()
            tracker.record(*CALL)
            spent.append(clock() - begin)
        tracker.shutdown()
        spent.sort()
        found[name] = {"mean_ns": sum(spent) / calls, "median_ns": spent[calls // 2], "p99_ns": spent[calls * 99 // 100], "most_ns": spent[-1]}
    return found


def calls_in(path):
    with open(path, encoding="utf-8") as file:
        return sum(day["calls"] for day in json.load(file)["daily_totals"].values())


def measure_rate(directory, make, seconds, batch):
    """Calls a second until all are in the file."""
    path = os.path.join(directory, "rate.json")
    tracker = make(path)
    count, before, begin = 0, KEPT if isinstance(tracker, WriteBehind) else 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in range(batch):
            tracker.record(*CALL)
        count += batch
        # The baseline's queue has no bound: it is given what it can write.
        while before and tracker.queue.qsize() > batch:
            time.sleep(0.0005)
    tracker.shutdown()
    spent = time.perf_counter() - begin
    assert calls_in(path) == count + before, (calls_in(path), count)
    return count / spent


def measure_rates(directory, runs, seconds):
    """Both, in turns."""
    contestants = {"tracker": (lambda path: UsageTracker(path, flush_interval=86400, flush_threshold=1 << 60, segment_size_bytes=1 << 28), 1000),
                   "write_behind": (WriteBehind, FLUSH_COUNT)}
    rates = {name: [] for name in contestants}
    for run in range(runs):
        for name, (make, batch) in contestants.items():
            place = os.path.join(directory, f"{name}.{run}")
            os.mkdir(place)
            rates[name].append(measure_rate(place, make, seconds, batch))
            shutil.rmtree(place, ignore_errors=True)
    return {name: {"median_per_second": statistics.median(found), "least_per_second": min(found), "most_per_second": max(found)}
            for name, found in rates.items()}


def cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())


def show(found):
    print(f"usagelog {found['version']}, Python {found['python']}, {found['cpu']}, {found['cores']} cores; "
          f"{found['runs']} runs of {found['calls']} calls\n")
    print(f"{'ns a call':>44} {'median':>9} {'least':>9} {'most':>9}")
    for name, of in found["latency"].items():
        print(f"{name.replace('_', ' '):>44} {of['median_ns']:9.0f} {of['least_ns']:9.0f} {of['most_ns']:9.0f}")
    print(f"\n{'one call each ms, ns':>44} {'median':>9} {'mean':>9} {'p99':>9} {'most':>9}")
    for name, of in found["paced"].items():
        print(f"{name.replace('_', ' '):>44} {of['median_ns']:9.0f} {of['mean_ns']:9.0f} {of['p99_ns']:9.0f} {of['most_ns']:9.0f}")
    print(f"\n{'calls/s until all are in the summary':>44} {'median':>9} {'least':>9} {'most':>9}")
    for name, of in found["rates"].items():
        print(f"{name.replace('_', ' '):>44} {of['median_per_second']:9.0f} {of['least_per_second']:9.0f} {of['most_per_second']:9.0f}")
    print(f"\nthe tracker against write behind: {found['latency_ratio']:.0f} x faster a call, {found['rate_ratio']:.0f} x the rate")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--directory", default=".")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--calls", type=int, default=200000)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-python-", dir=options.directory) as directory:
        latency = measure_latency(directory, options.runs, options.calls)
        paced = measure_paced(directory, max(options.calls // 50, 20))
        rates = measure_rates(directory, min(options.runs, 3), options.seconds)
    found = {"program": "bench_python", "version": usagelog.__version__, "python": platform.python_version(), "cpu": cpu(),
             "cores": os.cpu_count(), "runs": options.runs, "calls": options.calls, "latency": latency, "paced": paced,
             "rates": rates, "latency_ratio": latency["write_behind_record"]["median_ns"] / latency["tracker_record"]["median_ns"],
             "rate_ratio": rates["tracker"]["median_per_second"] / rates["write_behind"]["median_per_second"]}
    if options.json:
        json.dump(found, sys.stdout)
        print()
    else:
        show(found)


if __name__ == "__main__":
    main()
