"""usagelog.Log: what record() stores is what the log has; what cannot be stored is refused; threads, flush, stats, close."""
import gc
import os
import pathlib
import random
import resource
import sys
import threading
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal

import support
import usagelog
from usagelog import Log, pico_usd

FIELDS = {"input_tokens": 1, "cache_read_tokens": 2, "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 4, "output_tokens": 6,
          "reasoning_tokens": 5, "cost_usd": Decimal("0.000000000007"), "latency_ms": Decimal("1234.567"), "ttft_ms": Decimal("8.9"),
          "operation": "chat", "error_type": "429", "service_tier": "batch", "session_id": "s\u00e9", "metadata": {"a": [1, {"b": None}]}}


class Record(support.ScratchTest):
    def test_every_field_comes_back(self):
        with Log(self.log_path) as log:
            self.assertIs(log.record(provider="p", model="m", call_id="x", time=1768084326.413623, **FIELDS), True)
            row, = log
        self.assertEqual({name: row[name] for name in FIELDS}, FIELDS)
        self.assertEqual((row["provider"], row["model"], row["time"]), ("p", "m", "2026-01-10T22:32:06.413623000Z"))
        self.assertEqual(len(row["call_id"]), 32)
        self.assertTrue(log.closed)
        self.program("verify")

    def test_what_is_not_given(self):
        with Log(self.log_path) as log:
            log.record("p", "m")
            log.record("p", "m", **{name: None for name in FIELDS}, call_id=None, time=None)
            for row in log:
                self.assertEqual({row[name] for name in FIELDS if not name.endswith("_tokens")}, {None})
                self.assertEqual({row[name] for name in FIELDS if name.endswith("_tokens")}, {0})
                self.assertLess(abs(datetime.fromisoformat(row["time"][:26] + "+00:00") - datetime.now(timezone.utc)),
                                timedelta(seconds=60))

    def test_refusals(self):
        wrong = [({}, TypeError), ({"provider": "p"}, TypeError), ({"colour": 1}, TypeError), ({"input_tokens": -1}, ValueError),
                 ({"input_tokens": 1 << 32}, ValueError), ({"input_tokens": 1 << 80}, ValueError), ({"input_tokens": 1.5}, TypeError),
                 ({"input_tokens": "1"}, TypeError), ({"cost_usd": "many"}, ValueError), ({"cost_usd": float("nan")}, ValueError),
                 ({"cost_usd": float("inf")}, ValueError), ({"cost_usd": 1e30}, ValueError), ({"cost_usd": 10**30}, ValueError),
                 ({"cost_usd": [1]}, TypeError), ({"cost_usd": Decimal("NaN")}, ValueError), ({"latency_ms": -1}, ValueError),
                 ({"latency_ms": float("nan")}, ValueError), ({"latency_ms": "1"}, TypeError), ({"ttft_ms": 5e6}, ValueError),
                 ({"operation": 3}, TypeError), ({"operation": ""}, ValueError), ({"operation": "a\0b"}, ValueError),
                 ({"operation": "\ud800"}, ValueError), ({"model": ""}, ValueError), ({"model": "x" * 1025}, ValueError),
                 ({"model": b"m"}, TypeError), ({"metadata": "[1]"}, ValueError), ({"metadata": {"a": {1}}}, TypeError),
                 ({"metadata": {"a": float("nan")}}, ValueError), ({"metadata": {"a": "x" * 17000}}, ValueError),
                 ({"call_id": 5}, TypeError), ({"time": "soon"}, ValueError), ({"time": object()}, TypeError)]
        with Log(self.log_path) as log:
            for fields, exception in wrong:
                given = {"provider": "p", "model": "m", **fields} if fields and "provider" not in fields else fields
                for _ in range(2):
                    with self.assertRaises(exception, msg=fields):
                        log.record(**given)
            for args in (("p", "m", 1), (1, "m"), ("p", None)):
                with self.assertRaises(TypeError):
                    log.record(*args)
            with self.assertRaises(TypeError):
                log.record("p", provider="q", model="m")
            self.assertEqual(log.stats()["attempted"], 0)

    def test_subclasses_of_str_and_int(self):
        class Text(str):
            pass

        class Index:
            def __index__(self):
                return 7

        with Log(self.log_path) as log:
            log.record(Text("p"), Text("m"), operation=Text("o"), metadata=Text('{"a":1}'), input_tokens=Index(), output_tokens=True,
                       cost_usd=Index())
            row, = log
        self.assertEqual((row["provider"], row["model"], row["operation"], row["metadata"], row["input_tokens"], row["output_tokens"],
                          row["cost_usd"]), ("p", "m", "o", {"a": 1}, 7, 1, 7))

    def test_names_that_are_many_and_new_each_time(self):
        """More than the caches hold, and strings that are equal but no two the same object."""
        rng = random.Random(5)
        wanted = []
        with Log(self.log_path, names_max=100) as log:
            for i in range(3000):
                number = rng.randrange(700)
                fields = dict([("oper" + "ation", f"o{number % 11}"), ("session_id", f"s{number}"), ("input_tokens", i)])
                log.record(provider=f"p{number % 3}", model=f"m{number}", **fields)
                wanted.append((i, f"p{number % 3}", f"m{number}", f"o{number % 11}", f"s{number}"))
            names = ("input_tokens", "provider", "model", "operation", "session_id")
            self.assertEqual(sorted(tuple(row[name] for name in names) for row in log), wanted)

    def test_contexts_that_differ_in_one_part(self):
        parts = ("operation", "error_type", "service_tier", "session_id")
        wanted = []
        with Log(self.log_path) as log:
            for _ in range(3):
                for i in range(1 << len(parts)):
                    given = {part: "x" for j, part in enumerate(parts) if i >> j & 1}
                    log.record("p", "m", **given)
                    wanted.append(tuple(given.get(part) for part in parts))
            self.assertEqual([tuple(row[part] for part in parts) for row in log], wanted)

    def test_empty_metadata_is_none(self):
        with Log(self.log_path) as log:
            for _ in range(2):
                log.record("p", "m", metadata={})
                log.record("p", "m", metadata="{}")
            self.assertEqual([row["metadata"] for row in log], [None] * 4)

    def test_times(self):
        zone = timezone(timedelta(hours=2))
        times = [(0.000001, "1970-01-01T00:00:00.000001000Z"), (1768084326, "2026-01-10T22:32:06.000000000Z"),
                 ("1768084326.413623001", "2026-01-10T22:32:06.413623001Z"), (Decimal("-1.5"), "1969-12-31T23:59:58.500000000Z"),
                 (datetime(2026, 1, 11, 0, 32, 6, 413623, zone), "2026-01-10T22:32:06.413623000Z"),
                 (datetime(1969, 12, 31, 23, 59, 59, 1, timezone.utc), "1969-12-31T23:59:59.000001000Z")]
        with Log(self.log_path) as log:
            for time, _ in times:
                log.record("p", "m", time=time)
            with self.assertRaises(ValueError):
                log.record("p", "m", time=datetime(9999, 1, 1, tzinfo=timezone.utc))
            self.assertEqual([row["time"] for row in log], [text for _, text in times])

    def test_no_reference_is_lost_or_kept(self):
        provider, model, metadata = "p" + str(id(self)), "m" + str(id(self)), {"a": "b" + str(id(self))}
        with Log(self.log_path) as log:
            for wrong in (False, True):
                log.record(provider, model, metadata=metadata)
                before = [sys.getrefcount(value) for value in (provider, model, metadata, None, log)]
                for _ in range(1000):
                    if wrong:
                        with self.assertRaises(ValueError):
                            log.record(provider, model, metadata=metadata, input_tokens=-1)
                    else:
                        log.record(provider, model, metadata=metadata)
                after = [sys.getrefcount(value) for value in (provider, model, metadata, None, log)]
                for old, new in zip(before, after):
                    self.assertLess(abs(new - old), 50)
        self.assertLessEqual(sys.getrefcount(provider), 3)


class Money(support.ScratchTest):
    def exact(self, text):
        return int((Decimal(text) * 10**12).to_integral_value(ROUND_HALF_EVEN))

    def test_floats_are_their_shortest_text(self):
        rng = random.Random(1)
        values = [0.0, -0.0, 0.1 + 0.2, 1e-12, 5e-13, 1.5e-12, 2.5e-12, 4.5e-13, 17.592186044416, 17.592186044415999, 1e6 + 1e-6, 9e6, 5e-324,
                  0.00105, 3.624999999999945]
        for _ in range(20000):
            values += [rng.random() * 10**rng.randrange(-13, 3), rng.randrange(10**6) / 10**rng.randrange(13),
                       (rng.randrange(10**7) + 0.5) * 1e-12, rng.randrange(5000) * 3e-6 + rng.randrange(5000) * 1.5e-5]
        for value in values:
            for amount in (value, -value):
                self.assertEqual(pico_usd(amount), self.exact(repr(amount)), repr(amount))

    def test_others(self):
        for value in (0, 1, -7, 9_000_000, "0.000001", "1e-12", Decimal("0.1"), Decimal("1E-7"), Decimal("0.0000000000025")):
            self.assertEqual(pico_usd(value), self.exact(str(value)), value)
        for value in (10_000_000, "x", "", None, object(), 1j, b"1", Decimal("Infinity")):
            with self.assertRaises((TypeError, ValueError)):
                pico_usd(value)


class Handle(support.ScratchTest):
    def test_closed(self):
        log = Log(self.log_path)
        log.record("p", "m")
        self.assertIs(log.close(), True)
        self.assertIs(log.close(), True)
        for call in (lambda: log.record("p", "m"), log.flush, log.stats, log.__enter__):
            with self.assertRaises(usagelog.Error) as caught:
                call()
            self.assertLess(caught.exception.code, -10000)
        self.assertEqual(log.take_warnings(), [])
        self.assertEqual(len(list(log)), 1)

    def test_open_errors(self):
        with self.assertRaises(usagelog.Error):
            Log(self.log_path, must_exist=True)
        with self.assertRaises(OSError):
            Log(self.write("file", ""))
        Log(self.log_path, group_by=["user"], time_zone="Europe/Berlin").close()
        with self.assertRaisesRegex(usagelog.Error, "Europe/Berlin"):
            Log(self.log_path, time_zone="UTC")
        for options in ({"group_by": "user"}, {"group_by": [1]}, {"flush_interval_ms": "x"}, {"colour": 1}):
            with self.assertRaises(TypeError):
                Log(self.path("other"), **options)
        for options in ({"group_by": ["a"] * 17}, {"fallback_directories": ["/a"] * 9}):
            with self.assertRaises(ValueError):
                Log(self.path("other"), **options)
        self.assertFalse(os.path.exists(self.path("other")))

    def test_paths(self):
        for i, path in enumerate((pathlib.Path(self.path("a")), self.path("b").encode(), None)):
            os.environ["USAGELOG_DIR"] = self.path("c")
            with Log(path) as log:
                log.record("p", "m")
            self.assertEqual(log.directory, self.path("abc"[i]))
            self.assertTrue(os.path.exists(self.path("abc"[i], "log.conf")))
        del os.environ["USAGELOG_DIR"]

    def test_flush_and_stats(self):
        with Log(self.log_path, flush_interval_ms=86400000) as log:
            log.record("p", "m")
            self.assertEqual(log.stats()["durable"], 0)
            self.assertIs(log.flush(10), True)
            self.assertIs(log.flush(), True)
            stats = log.stats()
            self.assertEqual((stats["attempted"], stats["committed"], stats["durable"], stats["held"]), (1, 1, 1, 0))
            self.assertEqual(sum(stats["dropped"].values()), 0)
            self.assertIsNone(stats["last_error"])
            for timeout in ("x", float("nan")):
                with self.assertRaises((TypeError, ValueError)):
                    log.flush(timeout)

    def test_synchronous(self):
        with Log(self.log_path, synchronous=True) as log:
            for i in range(20):
                self.assertIs(log.record("p", "m", input_tokens=i), True)
                self.assertEqual(log.stats()["durable"], i + 1)
            log.record("p", "m", metadata={"fresh": 1})
            self.assertEqual(log.stats()["durable"], 21)

    def test_held_dropped_and_warned(self):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        log = Log(self.log_path, held_count_max=2, segment_size_bytes=65536, retry_delay_ms=86400000, helper=False)
        log.record("p", "m")
        # What does not fit into the segment at hand is held, then dropped.
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
        results = []
        for _ in range(3000):
            try:
                results.append(log.record("p", "m"))
            except usagelog.Dropped as error:
                self.assertIsInstance(error, usagelog.Error)
                results.append(None)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        stats = log.stats()
        self.assertEqual(results.count(False), 2)
        self.assertEqual(results.count(None), stats["dropped"]["limit"])
        self.assertGreater(results.count(True), 100)
        warnings = log.take_warnings()
        self.assertTrue(warnings and all(error < 0 and message for error, message in warnings), warnings)
        self.assertEqual(log.take_warnings(), [])
        with self.assertRaisesRegex(usagelog.Error, "held"):
            log.close(0)

    def test_given_up_without_close(self):
        for _ in range(5):
            log = Log(self.log_path)
            log.record("p", "m")
            del log
        gc.collect()
        with Log(self.log_path) as log:
            self.assertEqual(len(list(log)), 5)
        self.assertEqual(len(list(pathlib.Path(self.log_path).glob("*.seg"))), 1, "each was closed, and adopted by the next")

    def test_threads(self):
        count, threads = 5000, 4
        for synchronous in (False, True):
            path = self.path(f"log{synchronous}")
            calls = count if not synchronous else 50
            with Log(path, synchronous=synchronous) as log:
                def work(log=log, calls=calls):
                    for i in range(calls):
                        log.record("p", "m", input_tokens=i, session_id=f"s{i % 300}")
                crowd = [threading.Thread(target=work) for _ in range(threads)]
                for thread in crowd:
                    thread.start()
                for thread in crowd:
                    thread.join()
                self.assertEqual(log.stats()["committed"], calls * threads)
            self.assertIn(f"{calls * threads:,}".replace(",", ""), self.program("verify", "--json", log=path))

    def test_close_while_others_record(self):
        total = 0
        for synchronous in (False, True):
            for _ in range(5):
                log, stored, failed = Log(self.log_path, synchronous=synchronous), [0] * 3, []

                def work(i, log=log, stored=stored, failed=failed):
                    try:
                        while True:
                            log.record("p", "m", input_tokens=1)
                            stored[i] += 1
                    except usagelog.Error as error:
                        failed.append(error.code)
                    except OSError:  # it was committed, but closed before the sync
                        stored[i] += 1

                crowd = [threading.Thread(target=work, args=(i,)) for i in range(3)]
                for thread in crowd:
                    thread.start()
                self.wait_until(lambda log=log: log.closed or log.stats()["committed"] > 20)
                log.close()
                for thread in crowd:
                    thread.join()
                total += sum(stored)
                with Log(self.log_path) as again:
                    self.assertEqual(again.summary()["totals"]["calls"], total)

    def test_summary(self):
        with Log(self.log_path) as log:
            for compacted in (False, True):
                log.record("openai", "gpt-4o", input_tokens=100, output_tokens=50, cost_usd=0.00105)
                calls = 2 if compacted else 1
                found = log.summary()
                self.assertEqual((found["period"]["calls"], found["today"]["tokens"]), (calls, 150 * calls))
                self.assertEqual(found["period"]["cost_exact"], f"{Decimal('0.00105') * calls:f}".rstrip("0"))
                self.assertIs(log.compact(), True)
            self.assertIn("gpt-4o", log.summary(days=7)["model_breakdown"])
            for days in (0, "7", True, 1.5, 10**6):
                with self.assertRaises(ValueError):
                    log.summary(days)

    def test_iteration_is_of_calls_only_and_may_end_early(self):
        with Log(self.log_path) as log:
            for i in range(2000):
                log.record("p", "m", input_tokens=i)
            log._record_balance(provider="p", model="m", time=0, calls=5, tokens=6, cost_usd="0.5", scope=3, metadata='{"a":1}')
            self.assertEqual(sum(1 for _ in log), 2000)
            for row in log:
                self.assertEqual(row["input_tokens"], 0)
                break
            self.assertEqual(log.summary(36500)["totals"]["calls"], 2005)


if __name__ == "__main__":
    support.main()
