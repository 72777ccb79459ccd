"""UsageTracker and AsyncUsageWriter: the old tracker's calls, results and keys."""
import gc
import json
import logging
import math
import os
import resource
import time
from datetime import datetime
from decimal import Decimal
from unittest import mock

import support
from usagelog import AsyncUsageWriter, Error, Log, UsageTracker, _program
from usagelog.providers import provider_of

PRICES = {"gpt-4o": {"input": 0.003, "output": 0.015}, "gpt-4": {"input": 30, "output": 60}, "free": {"input": 0, "output": 0},
          "anthropic/claude-3": {"input": "0.003", "output": Decimal("0.015")}, "broken": {"input": "x"}}
KEYS = ["timestamp", "model", "provider", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "latency_ms", "operation", "metadata"]
STATS = {"total_flushes", "total_records", "last_flush_time", "error_count", "fallback_writes", "lost_records", "retry_count",
         "corruption_recoveries", "buffer_size", "queue_size", "last_error"}


class TrackerTest(support.ScratchTest):
    def setUp(self):
        super().setUp()
        self.file = self.path("usage.json")
        level = logging.getLogger("usagelog").level
        logging.getLogger("usagelog").setLevel(logging.CRITICAL)
        self.addCleanup(logging.getLogger("usagelog").setLevel, level)

    def tracker(self, *args, **options):
        tracker = UsageTracker(self.file, *args, **{"flush_interval": 3600, **options})
        self.addCleanup(tracker.shutdown)
        return tracker


class Record(TrackerTest):
    def test_result(self):
        tracker = self.tracker()
        before = datetime.now()
        record = tracker.record("gpt-4o", 100, 50, 0.00105, 812.5)
        self.assertEqual(list(record), KEYS)
        self.assertTrue(before <= datetime.fromisoformat(record["timestamp"]) <= datetime.now())
        del record["timestamp"]
        self.assertEqual(record, {"model": "gpt-4o", "provider": "openai", "input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
                                  "cost_usd": 0.00105, "latency_ms": 812.5, "operation": "chat", "metadata": {}})
        metadata = {"user": "ada", "n": [1]}
        record = tracker.record(latency_ms=3, cost_usd=None, output_tokens=0, input_tokens=4294967295, model="x/y", metadata=metadata,
                                operation="embeddings")
        self.assertEqual(list(record), KEYS)
        self.assertEqual((record["provider"], record["total_tokens"], record["cost_usd"], record["operation"]),
                         ("unknown", 4294967295, None, "embeddings"))
        self.assertIs(record["metadata"], metadata)
        first, second = tracker.log
        self.assertEqual((first["cost_usd"], second["cost_usd"]), (Decimal("0.00105"), None))
        self.assertEqual((first["metadata"], second["metadata"]), (None, metadata))
        # The next record is another dict.
        self.assertEqual(tracker.record("gpt-4o", 1, 1, 0, 1)["metadata"], {})

    def test_the_file_says_the_same(self):
        tracker = self.tracker()
        records = [tracker.record("gpt-4o", i, 50, round(i * 0.001 + 0.1, 3), i + 0.5, "chat", {"i": i} if i else None) for i in range(5)]
        self.assertTrue(tracker.flush())
        for session, record in zip(self.read_json("usage.json")["sessions"], records):
            self.assertEqual({key: session[key] for key in KEYS}, record)

    def test_timestamps_are_local_and_always_of_one_form(self):
        with mock.patch.dict(os.environ, TZ="Asia/Kathmandu"):
            time.tzset()
            try:
                stamp = self.tracker().record("m", 1, 1, 0, 1)["timestamp"]
                self.assertRegex(stamp, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$")
                self.assertLess(abs((datetime.now() - datetime.fromisoformat(stamp)).total_seconds()), 60)
            finally:
                os.environ.pop("TZ")
                time.tzset()

    def test_wrong_calls_are_wrong(self):
        tracker = self.tracker()
        for args, keywords in (((), {}), (("m", 1, 1, 0), {}), (("m", 1, 1, 0, 1, "o", None, 8), {}), (("m", 1, 1, 0, 1), {"model": "n"}),
                               (("m", 1, 1, 0, 1), {"colour": 1})):
            with self.assertRaises(TypeError):
                tracker.record(*args, **keywords)
        self.assertEqual(list(tracker.log), [])

    def test_odd_values_are_recorded_as_near_as_can_be(self):
        class Strange:
            def __str__(self):
                return "strange"

        deep = {}
        for _ in range(100):
            deep = {"deep": deep}
        cycle = {}
        cycle["me"] = cycle
        odd = [(("m", 1.0, 2, 0, 1), {"input_tokens": 1}), (("m", -5, 2, 0, 1), {"input_tokens": 0}),
               (("m", 1, None, 0, 1), {"output_tokens": 0}), (("m", 1 << 40, 2, 0, 1), {"input_tokens": 4294967295}),
               (("", 1, 2, 0, 1), {"model": "(unknown)"}), ((None, 1, 2, 0, 1), {"model": "None"}),
               (("a\nb\0c", 1, 2, 0, 1), {"model": "a b c"}), (("\u00e9" * 2000, 1, 2, 0, 1), {"model": "\u00e9" * 512}),
               (("m\ud800", 1, 2, 0, 1), {"model": "m"}), (("m", 1, 2, math.nan, 1), {"cost_usd": None}),
               (("m", 1, 2, 1e300, 1), {"cost_usd": None}), (("m", 1, 2, "0.5", 1), {"cost_usd": Decimal("0.5")}),
               (("m", 1, 2, Decimal("0.5"), 1), {"cost_usd": Decimal("0.5")}), (("m", 1, 2, "x", 1), {"cost_usd": None}),
               (("m", 1, 2, 0, None), {"latency_ms": None}), (("m", 1, 2, 0, -3.0), {"latency_ms": None}),
               (("m", 1, 2, 0, math.inf), {"latency_ms": None}), (("m", 1, 2, 0, 1, None), {"operation": "chat"}),
               (("m", 1, 2, 0, 1, "o", {"a": Strange(), 3: 4}), {"metadata": {"a": "strange", "3": 4}}),
               (("m", 1, 2, 0, 1, "o", {"a": math.nan}), {"metadata": {"a": "NaN"}}),
               (("m", 1, 2, 0, 1, "o", [1]), {"metadata": {"value": [1]}}),
               (("m", 1, 2, 0, 1, "o", {"a": "x" * 20000}), {"metadata": {"usagelog": "metadata left out"}}),
               (("m", 1, 2, 0, 1, "o", deep), {"metadata": {"usagelog": "metadata left out"}}),
               (("m", 1, 2, 0, 1, "o", cycle), {"metadata": {"usagelog": "metadata left out"}}),
               (("m", 1, 2, 0, 1, "o", {(1, 2): 3}), {"metadata": None})]
        tracker = self.tracker()
        names = ("model", "input_tokens", "output_tokens", "cost_usd", "latency_ms", "operation", "metadata")
        for args, _ in odd:
            record = tracker.record(*args)
            self.assertEqual(list(record), KEYS)
            for name, value in zip(names, args):
                self.assertTrue(record[name] is value or name == "operation", name)
        rows = list(tracker.log)
        self.assertEqual(len(rows), len(odd))
        for row, (args, wanted) in zip(rows, odd):
            self.assertEqual({name: row[name] for name in wanted}, wanted, args)

    def test_dropped_calls_are_counted_and_do_no_harm(self):
        # A fold beside it would meet the limit as well, and its error would be the last.
        tracker = self.tracker(held_count_max=1, segment_size_bytes=65536, retry_base_delay=3600, helper=False, compact_on_flush=False)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
        try:
            for _ in range(2000):
                self.assertEqual(list(tracker.record("m", 1, 1, 0.1, 1)), KEYS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        stats = tracker.get_writer_stats()
        self.assertGreater(stats["lost_records"], 100)
        self.assertEqual(stats["queue_size"], 1)
        self.assertIn("dropped", stats["last_error"])
        self.assertGreater(stats["error_count"], 100)


class Prices(TrackerTest):
    def test_calculate_cost(self):
        tracker = self.tracker(PRICES)
        for model, wanted in (("gpt-4o", 0.00105), ("openai/gpt-4o", 0.00105), ("anthropic/claude-3", 0.00105), ("free", 0.0),
                              ("gpt-4", 6.0)):
            self.assertEqual(tracker.calculate_cost(model, 100, 50), wanted, model)
        self.assertEqual(tracker.get_writer_stats()["unpriced"], 0)
        self.assertIsInstance(tracker.calculate_cost("free", 1, 1), float)
        with self.assertLogs("usagelog", "WARNING") as logs:
            for _ in range(3):
                for model in ("gpt-4o-mini", "claude-3", "gpt", "", "broken"):
                    self.assertEqual(tracker.calculate_cost(model, 100, 50), 0.0, model)
        self.assertEqual(len(logs.output), 5, "each once")
        self.assertEqual(tracker.get_writer_stats()["unpriced"], 15)
        self.assertEqual(self.tracker().calculate_cost("gpt-4o", 1, 1), 0.0)

    def test_table_of_the_log(self):
        """What `pricing` does not have is in the log's price table; a call without a cost is priced with it when it is folded."""
        tracker = self.tracker({"mine": {"input": 1, "output": 1}})
        path = self.write("map.json", json.dumps({
            "gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "litellm_provider": "openai"},
            "gemini/gemini-pro": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "litellm_provider": "gemini",
                                  "input_cost_per_token_above_200k_tokens": 3e-06, "output_cost_per_token_above_200k_tokens": 4e-06},
            "mine": {"input_cost_per_token": 1, "output_cost_per_token": 1}}))
        self.assertIsNone(tracker.log.prices("gpt-4o"))
        self.assertTrue(tracker.log.import_prices(path))
        for model, tokens, wanted in (("gpt-4o", 100, 0.00075), ("openai/gpt-4o", 100, 0.00075), ("gemini-pro", 200000, 0.2001),
                                      ("gemini-pro", 200001, 0.600203), ("mine", 100, 0.15), ("gpt-4", 100, 0.0)):
            self.assertEqual(tracker.calculate_cost(model, tokens, 50), wanted, model)
        self.assertEqual(tracker.get_writer_stats()["unpriced"], 1)
        self.assertEqual(tracker.log.prices("gemini-pro", "google")["name"], "gemini/gemini-pro")
        tracker.log.record(provider="openai", model="gpt-4o", input_tokens=100, output_tokens=50)
        self.assertEqual(tracker.log.summary()["totals"]["cost_exact"], "0.00075")
        with self.assertRaises(Error):
            tracker.log.import_prices(self.path("nowhere.json"))

    def test_costs_are_exact(self):
        tracker = self.tracker({"m": {"input": 0.1, "output": 0.2}})
        self.assertEqual(tracker.calculate_cost("m", 1000, 1000), 0.3)

    def test_providers(self):
        for model, provider in (("openai/gpt-4o", "openai"), ("bedrock/anthropic.claude-3", "bedrock"), ("claude-3-opus", "anthropic"),
                                ("gpt-4", "openai"), ("GPT-4", "openai"), ("chatgpt-4o-latest", "openai"), ("o1", "openai"),
                                ("o3-mini", "openai"), ("gemini-pro", "google"), ("gemini/gemini-pro", "gemini"), ("o365", "unknown"),
                                ("models/gemini-1.5", "google"), ("proxy/claude-3", "anthropic"), ("us.anthropic.claude-3", "anthropic"),
                                ("claudette", "unknown"), ("egpt", "unknown"), ("mixtral", "unknown"), ("", "unknown"), ("/gpt-4", "openai"),
                                ("Azure/x", "azure"), ("nobody/x", "unknown"), ("phone4", "unknown"), ("auto1", "unknown")):
            self.assertEqual(provider_of(model), provider, model)
            if model:
                self.assertEqual(self.tracker().record(model, 1, 1, 0, 1)["provider"], provider)


class Summary(TrackerTest):
    def test_keys_and_figures(self):
        tracker = self.tracker()
        tracker.record("gpt-4o", 100, 50, 0.1, 1.0)
        self.assertTrue(tracker.flush())
        tracker.record("claude-3", 30, 20, 0.2, 1.0)  # not compacted
        self.assertEqual(tracker.get_summary(), {
            "period_days": 30, "total_tokens": 200, "total_cost_usd": 0.3, "total_calls": 2, "avg_daily_tokens": 200, "avg_daily_cost": 0.3,
            "projected_monthly_cost": 9.0,
            "model_breakdown": {"claude-3": {"tokens": 50, "cost": 0.2, "calls": 1}, "gpt-4o": {"tokens": 150, "cost": 0.1, "calls": 1}},
            "provider_breakdown": {"anthropic": {"tokens": 50, "cost": 0.2, "calls": 1}, "openai": {"tokens": 150, "cost": 0.1, "calls": 1}}})
        self.assertEqual(tracker.get_today(), {"tokens": 200, "cost": 0.3, "calls": 2})

    def test_nothing_yet(self):
        tracker = self.tracker()
        found = tracker.get_summary(7)
        self.assertEqual((found["period_days"], found["total_calls"], found["avg_daily_cost"], found["model_breakdown"]), (7, 0, 0, {}))
        self.assertEqual(tracker.get_today(), {"tokens": 0, "cost": 0, "calls": 0})

    def test_periods(self):
        tracker = self.tracker()
        now = time.time()
        for days_ago in (0, 1, 6, 7, 40):
            tracker.log.record("p", "m", time=now - 86400 * days_ago, input_tokens=10, cost_usd=1)
        for days, calls, over in ((1, 1, 1), (7, 3, 7), (30, 4, 30), (100, 5, 41)):
            found = tracker.get_summary(days=days)
            self.assertEqual((found["total_calls"], found["total_cost_usd"]), (calls, float(calls)))
            self.assertAlmostEqual(found["avg_daily_cost"], calls / over)
            self.assertAlmostEqual(found["projected_monthly_cost"], 30 * calls / over)
            self.assertEqual(found["model_breakdown"]["m"]["calls"], 5, "breakdowns are of all days, as in the file")

    def test_other_processes_are_in_it(self):
        tracker = self.tracker()
        self.run_child("""
            import sys, usagelog
            usagelog.UsageTracker(sys.argv[1], compact_on_flush=False).record("gpt-4o", 1, 1, 0.5, 1.0)
            """, self.file)
        self.assertEqual(tracker.get_summary()["total_calls"], 1)


class Flush(TrackerTest):
    def test_file_is_current(self):
        tracker = self.tracker()
        for i in range(3):
            tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
            self.assertIs(tracker.flush(timeout=5.0), True)
            self.assertEqual(len(self.read_json("usage.json")["sessions"]), i + 1)
            self.assertEqual(tracker.log.stats()["durable"], i + 1)

    def test_without_compact(self):
        tracker = self.tracker(compact_on_flush=False)
        tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        self.assertIs(tracker.flush(), True)
        self.assertFalse(os.path.exists(self.file))
        self.assertEqual(tracker.log.stats()["durable"], 1)
        self.assertIsNone(tracker._writer._thread)

    def calls_in_file(self):
        try:
            return len(self.read_json("usage.json")["sessions"])
        except FileNotFoundError:
            return 0

    def test_size_trigger(self):
        tracker = self.tracker(flush_interval=3600, flush_threshold=5)
        for _ in range(4):
            tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        self.assertGreater(tracker._writer._wait(), 3000)
        tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        self.wait_until(lambda: self.calls_in_file() == 5)
        # At most once an interval.
        self.wait_until(lambda: tracker._writer._not_before > 0)
        for _ in range(20):
            tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        self.assertGreater(tracker._writer._wait(), 3000)
        self.assertEqual(tracker.get_writer_stats()["total_flushes"], 1)

    def test_time_trigger(self):
        tracker = self.tracker(flush_interval=0.05, flush_threshold=10**9)
        for i in range(3):
            tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
            self.wait_until(lambda i=i: self.calls_in_file() == i + 1)
        self.assertIsNone(tracker._writer._wait())

    def test_writer_keeps_the_file_fresh(self):
        writer = AsyncUsageWriter(self.file, flush_interval=0.05, flush_threshold=2)
        self.addCleanup(writer.shutdown)
        for i in range(3):
            writer.queue_write({"model": "gpt-4o", "input_tokens": 1, "output_tokens": 1, "cost_usd": 0.1})
            self.wait_until(lambda i=i: self.calls_in_file() == i + 1)

    def test_failure_is_tried_again(self):
        tracker = self.tracker(flush_interval=0.05, flush_threshold=1)
        with mock.patch.object(_program, "find", lambda: "/nonexistent"):
            tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
            self.wait_until(lambda: tracker.get_writer_stats()["error_count"] >= 2)
            self.assertIs(tracker.flush(0.1), False)
            self.assertIn("nonexistent", tracker.get_writer_stats()["last_error"])
        self.wait_until(lambda: self.calls_in_file() == 1)

    def test_one_process_at_a_time_and_once_an_interval(self):
        """What another one has just written is not written again before its time."""
        first, second = self.tracker(flush_interval=3600), self.tracker(flush_interval=0.01, flush_threshold=1)
        first.record("gpt-4o", 1, 1, 0.1, 1.0)
        self.assertTrue(first.flush())
        second._writer.flush_interval = 3600
        second.record("gpt-4o", 1, 1, 0.1, 1.0)
        self.wait_until(lambda: second._writer._not_before > 0)
        self.assertEqual(self.calls_in_file(), 1)
        self.assertGreater(second._writer._wait(), 3000)

    def test_shutdown_twice_and_calls_after_it(self):
        tracker = self.tracker(flush_interval=0.01)
        tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        self.assertIs(tracker.shutdown(), True)
        self.assertIs(tracker.shutdown(), True)
        tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        self.assertEqual(tracker.get_summary()["total_calls"], 2)
        self.assertTrue(tracker.flush())
        self.assertEqual(self.calls_in_file(), 2)

    def test_thread_ends_with_its_tracker(self):
        tracker = UsageTracker(self.file, flush_interval=3600)
        tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        thread = tracker._writer._thread
        self.assertTrue(thread.is_alive())
        del tracker
        gc.collect()
        thread.join(10)
        self.assertFalse(thread.is_alive())

    def test_stats(self):
        tracker = self.tracker()
        self.assertLessEqual(STATS | {"unpriced", "durable", "dropped", "backend"}, set(tracker.get_writer_stats()))
        tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        tracker.flush()
        stats = tracker.get_writer_stats()
        self.assertEqual((stats["total_flushes"], stats["total_records"], stats["buffer_size"], stats["queue_size"], stats["error_count"],
                          stats["lost_records"], stats["last_error"]), (1, 1, 0, 0, 0, 0, None))
        datetime.fromisoformat(stats["last_flush_time"])


class Synchronous(TrackerTest):
    def test_flag_and_environment(self):
        for i, (flag, variable, wanted) in enumerate(((True, "", True), (None, "1", True), (None, "true", True), (None, "0", False),
                                                      (None, "", False), (False, "1", False), (True, "0", True))):
            with mock.patch.dict(os.environ, USAGELOG_SYNCHRONOUS=variable):
                tracker = UsageTracker(self.path(f"{i}.json"), synchronous=flag, flush_interval=3600, flush_interval_ms=86400000)
            tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
            self.assertEqual(tracker.log.stats()["durable"], int(wanted), (flag, variable))
            tracker.shutdown()


class Writer(TrackerTest):
    def test_as_the_old_one(self):
        writer = AsyncUsageWriter(self.file, 5.0, 10, 3, 0.1)
        record = {"timestamp": "2026-01-10T22:32:06.413623", "model": "openai/gpt-4o", "provider": "azure", "input_tokens": 100,
                  "output_tokens": 50, "total_tokens": 150, "cost_usd": 0.0002, "latency_ms": 80.0, "operation": "chat",
                  "metadata": {"k": "v"}}
        self.assertIsNone(writer.queue_write(record))
        self.assertTrue(writer.flush())
        session, = self.read_json("usage.json")["sessions"]
        self.assertEqual({key: session[key] for key in record}, record)
        for odd in ({}, {"model": None, "input_tokens": "x", "cost_usd": "x", "latency_ms": "x", "timestamp": "x", "metadata": object()}):
            writer.queue_write(odd)
        self.assertTrue(writer.shutdown(5))
        self.assertTrue(writer.shutdown(5))
        self.assertEqual(len(self.read_json("usage.json")["sessions"]), 3)
        self.assertLessEqual(STATS, set(writer.get_stats()))

    def test_what_a_tracker_returns_can_be_written(self):
        tracker = self.tracker()
        record = tracker.record("gpt-4o", 1, 1, 0.1, 1.0)
        writer = AsyncUsageWriter(self.path("other.json"))
        writer.queue_write(json.loads(json.dumps(record)))
        self.assertTrue(writer.shutdown())
        writer.log.close()
        with Log(self.path("other.json.usagelog")) as log:
            row, = log
        mine, = tracker.log
        place = ("segment", "slot", "time")
        self.assertEqual({k: v for k, v in row.items() if k not in place}, {k: v for k, v in mine.items() if k not in place})


if __name__ == "__main__":
    support.main()
