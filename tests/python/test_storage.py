"""The file of the drop-in: taken over from the old tracker, shared with it in turns, never overwritten unseen, and read by it again."""
import glob
import json
import logging
import os
import random
import shutil
import threading
from unittest import mock

import support
from old_tracker import OldTracker
from usagelog import UsageTracker, _storage

DAY = "2026-01-10"


class StorageTest(support.ScratchTest):
    def setUp(self):
        super().setUp()
        self.file = self.path("usage.json")
        logging.getLogger("usagelog").setLevel(logging.CRITICAL)
        self.trackers = []
        self.addCleanup(lambda: [tracker.shutdown() for tracker in self.trackers])

    def new(self, **options):
        tracker = UsageTracker(self.file, flush_interval=3600, flush_threshold=10**6, **options)
        self.trackers.append(tracker)
        return tracker

    def record(self, tracker, count=1, model="gpt-4o"):
        for _ in range(count):
            tracker.record(model, 100, 50, 0.00105, 812.5, metadata={"k": "v"})

    def check(self, calls, models=None, file=True):
        """The totals of the file and of the log are those of so many calls, each alike; and the log is sound."""
        reader = self.trackers[-1]
        found = reader.get_summary(days=36500)
        self.assertEqual((found["total_calls"], found["total_tokens"]), (calls, 150 * calls))
        self.assertAlmostEqual(found["total_cost_usd"], 0.00105 * calls, places=9)
        self.assertEqual(sum(row["calls"] for row in found["provider_breakdown"].values()), calls)
        if models:
            self.assertEqual({name: row["calls"] for name, row in found["model_breakdown"].items()}, models)
        if file:
            data = self.read_json("usage.json")
            for name in _storage.SECTIONS:
                self.assertEqual(sum(row["calls"] for row in data[name].values()), calls, name)
        self.program("verify", log=self.file + ".usagelog")

    def aside(self, word):
        return glob.glob(f"{self.file}.{word}.*")

    def old_file(self, count, **options):
        old = OldTracker(self.file, **options)
        self.record(old, count)
        old.flush()
        return old


class TakeOver(StorageTest):
    def test_old_file(self):
        for count in (1, 999, 1000, 1001, 2500):
            with self.subTest(count):
                self.setUp()
                self.old_file(count)
                tracker = self.new()
                self.check(count, {"gpt-4o": count}, file=False)
                self.record(tracker, 2, "claude-3")
                self.assertTrue(tracker.flush(30))
                self.check(count + 2, {"gpt-4o": count, "claude-3": 2})
                session = self.read_json("usage.json")["sessions"][0]
                self.assertEqual((session["latency_ms"], session["operation"], session["metadata"]), (812.5, "chat", {"k": "v"}))
                # And once only, by whoever comes.
                self.new()
                self.check(count + 2)
                shutil.copy(self.file, self.file + ".copy")
                os.unlink(self.file)
                self.assertTrue(tracker.flush(30))
                self.check(count + 2)
                self.assertEqual(self.aside("*"), [])

    def test_days_stay(self):
        old = OldTracker(self.file)
        for day in range(1, 29):
            for _ in range(day * 5):
                old.record("gpt-4o", 100, 50, 0.00105, 1.0, timestamp=f"2026-02-{day:02}T12:00:00.123456")
        old.flush()
        days = {day: row["calls"] for day, row in old.data["daily_totals"].items()}
        tracker = self.new()
        self.assertTrue(tracker.flush(30))
        self.assertEqual({day: row["calls"] for day, row in self.read_json("usage.json")["daily_totals"].items()}, days)
        self.check(sum(days.values()))

    def test_totals_without_calls(self):
        row = {"tokens": 300, "cost": 0.0021, "calls": 2}
        for data in ({"daily_totals": {DAY: row}, "model_breakdown": {"gpt-4o": row}, "provider_breakdown": {"openai": row}},
                     {"sessions": [], "daily_totals": {DAY: row}, "model_breakdown": {"gpt-4o": row}}):
            self.setUp()
            self.write("usage.json", json.dumps(data))
            tracker = self.new()
            self.assertTrue(tracker.flush(30))
            self.check(2, {"gpt-4o": 2})

    def test_totals_that_do_not_hold_their_calls(self):
        old = self.old_file(5)
        old.data["daily_totals"][next(iter(old.data["daily_totals"]))]["calls"] = 3
        old.flush()
        tracker = self.new()
        found = tracker.get_summary(36500)
        self.assertEqual((found["total_calls"], found["model_breakdown"]["gpt-4o"]["calls"]), (3, 5))

    def test_nothing_in_it(self):
        for text in ("{}", '{"sessions": [], "daily_totals": {}, "model_breakdown": {}, "provider_breakdown": {}}'):
            self.setUp()
            self.write("usage.json", text)
            tracker = self.new()
            self.record(tracker)
            self.assertTrue(tracker.flush(30))
            self.check(1)
            self.assertEqual(self.aside("*"), [])

    def test_corrupt(self):
        whole = json.dumps(self.old_file(3).data)
        texts = ["", "{", whole[:len(whole) // 2], "[]", "null", "\0" * 100, "[" * 100000, '{"sessions": 3}', '{"sessions": [1]}',
                 '{"daily_totals": {"soon": {"calls": 1}}}', '{"daily_totals": {"2026-13-01": {}}}', '{"daily_totals": {"2026-01-10": 3}}',
                 '{"model_breakdown": {"m": {"calls": -1}}}', '{"model_breakdown": {"m": {"tokens": 1.5}}}',
                 '{"model_breakdown": {"m": {"cost": NaN}}}', '{"model_breakdown": {"m": {"cost": 1e400}}}',
                 '{"model_breakdown": {"m": {"calls": "3"}}}', '{"model_breakdown": {"m": {"calls": true}}}', "\ud800"]
        for text in texts:
            with self.subTest(text[:40]):
                self.setUp()
                data = text.encode("utf-8", "surrogatepass")
                with open(self.file, "wb") as file:
                    file.write(data)
                with self.assertLogs("usagelog", "WARNING") as logs:
                    tracker = self.new()
                self.assertIn("set aside", logs.output[0])
                self.record(tracker)
                self.assertTrue(tracker.flush(30), tracker.get_writer_stats())
                self.check(1)
                aside, = self.aside("corrupted")
                with open(aside, "rb") as file:
                    self.assertEqual(file.read(), data)
                self.assertEqual(tracker.get_writer_stats()["corruption_recoveries"], 1)

    def test_calls_that_the_log_cannot_have(self):
        old = self.old_file(3)
        self.record(old, 1, "x" * 2000)
        old.flush()
        tracker = self.new()
        self.record(tracker)
        self.assertTrue(tracker.flush(30))
        # Nothing half done: the file is there to look at, under another name.
        self.assertEqual(tracker.get_summary(36500)["total_calls"], 1)
        self.assertEqual(len(self.aside("foreign")), 1)

    def test_no_file_at_all(self):
        """What is there instead is set aside, whatever it is."""
        os.mkdir(self.file)
        tracker = self.new()
        self.record(tracker)
        self.assertTrue(tracker.flush(30), tracker.get_writer_stats())
        self.check(1)
        self.assertTrue(os.path.isdir(self.aside("corrupted")[0]))

    def test_permissions_and_links(self):
        self.old_file(2)
        os.chmod(self.file, 0o640)
        os.symlink("usage.json", self.path("link.json"))
        tracker = UsageTracker(self.path("link.json"))
        self.trackers.append(tracker)
        self.assertTrue(tracker.flush(30))
        self.assertTrue(os.path.islink(self.path("link.json")))
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o640)
        self.check(2)

    def test_dies_while_it_takes_over(self):
        """At each step: of the calls and totals, none is lost and none is there twice."""
        points = ("_save", "_record_balances", "_resume", "_known")
        for point in points:
            for number in range(6):
                with self.subTest(point=point, number=number):
                    self.setUp()
                    self.old_file(1300)
                    died = self.run_dying(point, number)
                    tracker = self.new()
                    self.record(tracker)
                    self.assertTrue(tracker.flush(30))
                    self.check(1301)
                    self.assertEqual(self.aside("*"), [])
                    if not died:
                        self.assertTrue(number)
                        break

    def run_dying(self, point, number):
        code = f"""
            import os, sys, usagelog._storage as storage
            from usagelog import UsageTracker, _native, log
            left = [{number}]
            def dying(function):
                def call(*args, **keywords):
                    if left[0] == 0:
                        os._exit(9)
                    left[0] -= 1
                    return function(*args, **keywords)
                return call
            storage.Storage.{point} = dying(storage.Storage.{point})
            if "{point}" == "_record_balances":
                left[0] = 0
                balances = [{number}]
                def record(self, **fields):
                    if balances[0] == 0:
                        os._exit(9)
                    balances[0] -= 1
                    _native.Log._record_balance(self, **fields)
                log.Log._record_balance = record
                storage.Storage._record_balances = storage.Storage._record_balances.__closure__[0].cell_contents
            tracker = UsageTracker(sys.argv[1])
            tracker.flush(30)
            os._exit(0)
            """
        child = self.start(code, self.file)
        _, err = child.communicate(timeout=support.TIMEOUT_S)
        self.assertIn(child.returncode, (0, 9), err)
        return child.returncode == 9

    def test_two_at_once(self):
        """Processes that begin at the same time: one takes over."""
        self.old_file(1200)
        code = """
            import sys
            from usagelog import UsageTracker
            tracker = UsageTracker(sys.argv[1])
            tracker.record("gpt-4o", 100, 50, 0.00105, 1.0)
            assert tracker.flush(60), tracker.get_writer_stats()
            """
        children = [self.start(code, self.file) for _ in range(4)]
        for child in children:
            _, err = child.communicate(timeout=support.TIMEOUT_S)
            self.assertEqual(child.returncode, 0, err)
        self.new()
        self.check(1204)


class InTurns(StorageTest):
    """A rolling upgrade, and going back: the old way and the new in turns."""

    def test_old_goes_on_from_what_it_has_in_memory(self):
        for keep in (False, True):
            for in_place in (False, True):
                self.setUp()
                old = self.old_file(20, keep=keep, in_place=in_place)
                new = self.new()
                total = 20
                for i in range(6):
                    self.record(new, 3)
                    self.assertTrue(new.flush(30))
                    self.record(old, 2 + i)
                    old.flush()  # without the new one's calls
                    total += 3 + 2 + i
                self.assertTrue(new.flush(30))
                self.check(total)
                self.assertEqual(self.aside("*"), [])

    def test_old_ones_restart_from_our_file(self):
        for keep in (False, True):
            self.setUp()
            new, total = self.new(), 0
            for i in range(5):
                self.record(new, 3)
                self.assertTrue(new.flush(30))
                old = OldTracker(self.file, keep=keep)
                for _ in range(3):
                    self.record(old, 2)
                    old.flush()
                    self.record(new, 1)
                    self.assertTrue(new.flush(30))
                total += 3 + 6 + 3
            self.check(total)
            self.assertEqual(self.aside("*"), [])

    def test_calls_alike_do_not_hide_each_other(self):
        """The old one has as many calls as the new one wrote, with the same figures, and more: they are its own."""
        old = self.old_file(10)
        new = self.new()
        self.record(new, 4)
        self.assertTrue(new.flush(30))
        self.record(old, 7)
        old.flush()
        self.assertTrue(new.flush(30))
        self.check(21)

    def test_two_old_ones(self):
        first = self.old_file(5)
        second = OldTracker(self.file)
        new = self.new()
        self.record(first, 2)
        first.flush()
        self.assertTrue(new.flush(30))
        self.record(second, 3)
        second.flush()
        self.assertTrue(new.flush(30))
        self.record(first, 1)
        first.flush()
        self.assertTrue(new.flush(30))
        self.check(11)
        self.assertEqual(self.aside("*"), [])

    def test_going_back_and_forth_again(self):
        """Days of the old tracker alone, with more calls than the file keeps."""
        new = self.new()
        self.record(new, 30)
        self.assertTrue(new.shutdown())
        old = OldTracker(self.file)
        self.assertEqual(old.get_summary()["total_calls"], 30, "the old tracker reads the file as it is")
        self.assertEqual(set(old.get_summary()["model_breakdown"]), {"gpt-4o"})
        self.record(old, 2500)
        old.flush()
        new = self.new()
        self.assertTrue(new.flush(30))
        self.check(2530)
        self.assertEqual(self.aside("*"), [])

    def test_what_cannot_be_told_is_set_aside(self):
        new = self.new()
        self.record(new, 5)
        self.assertTrue(new.flush(30))
        changes = [lambda data: data["daily_totals"].clear(),
                   lambda data: next(iter(data["daily_totals"].values())).update(calls=7),
                   lambda data: data["model_breakdown"].update(other={"calls": 1, "tokens": 1, "cost": 0}),
                   lambda data: data["sessions"].clear() or next(iter(data["daily_totals"].values())).update(calls=8)]
        for i, change in enumerate(changes):
            data = self.read_json("usage.json")
            change(data)
            changed = json.dumps(data)
            self.write("usage.json", changed)
            with self.assertLogs("usagelog", "WARNING"):
                self.assertTrue(new.flush(30))
            self.check(5)
            self.assertEqual(len(self.aside("foreign")), i + 1)
            with open(sorted(self.aside("foreign"))[-1], encoding="utf-8") as file:
                self.assertEqual(file.read(), changed)
        self.assertEqual(new.get_writer_stats()["foreign_files"], len(changes))

    def test_a_copy_put_back(self):
        """An earlier file of ours has nothing that is not known."""
        new = self.new()
        self.record(new, 5)
        self.assertTrue(new.flush(30))
        shutil.copy(self.file, self.path("copy"))
        self.record(new, 5)
        self.assertTrue(new.flush(30))
        shutil.copy(self.path("copy"), self.file)
        with open(self.file, "a", encoding="utf-8") as file:
            file.write("\n")
        self.assertTrue(new.flush(30))
        self.check(10)
        self.assertEqual(self.aside("*"), [])

    def test_written_in_the_very_moment(self):
        """Between the look and the exchange, by rename and in place: what was written is seen."""
        for in_place in (False, True):
            self.setUp()
            old = self.old_file(5, in_place=in_place)
            new = self.new()
            exchange = _storage._native.exchange
            times = []

            def late(left, right, old=old, times=times, exchange=exchange):
                if len(times) < 3:
                    times.append(1)
                    self.record(old, 1)
                    old.flush()
                exchange(left, right)

            with mock.patch.object(_storage._native, "exchange", late):
                self.record(new, 1)
                self.assertTrue(new.flush(30), new.get_writer_stats())
            self.check(5 + 3 + 1)
            self.assertEqual(self.aside("*"), [])

    def test_many_in_turns_at_random(self):
        """Old and new processes' ways in any order; old ones overwrite each other, as they always did, but nothing of the new is lost."""
        for seed in range(6):
            self.setUp()
            rng = random.Random(seed)
            old, new, total = OldTracker(self.file), self.new(), 0
            for _ in range(25):
                what = rng.randrange(4)
                count = rng.randrange(1, 4)
                if what == 0:
                    self.record(new, count)
                    total += count
                elif what == 1:
                    self.assertTrue(new.flush(30))
                elif what == 2:
                    self.record(old, count)
                    old.flush()
                    total += count
                    # By one process at a time: a restart of the old one comes after the new one has looked.
                    self.assertTrue(new.flush(30))
                else:
                    old = OldTracker(self.file, keep=rng.random() < 0.5)
            self.assertTrue(new.flush(30))
            self.check(total)
            self.assertEqual(self.aside("*"), [], seed)


class Publish(StorageTest):
    def test_state_lost(self):
        """Without storage.json our own file is not known; it is not counted twice."""
        new = self.new()
        self.record(new, 5)
        self.assertTrue(new.flush(30))
        for damage in (os.unlink, lambda path: self.write("usage.json.usagelog/storage.json", "{")):
            damage(self.file + ".usagelog/storage.json")
            self.record(new, 1)
            self.assertTrue(new.flush(30))
        self.check(7)

    def test_dies_before_and_after_the_exchange(self):
        for point in ("exchange", "after"):
            self.setUp()
            new = self.new()
            self.record(new, 3)
            self.assertTrue(new.flush(30))
            child = self.start(f"""
                import os, sys, usagelog._storage as storage
                from usagelog import UsageTracker
                exchange = storage._native.exchange
                class Native:
                    Log = storage._native.Log
                    @staticmethod
                    def exchange(*names):
                        if "{point}" == "after":
                            exchange(*names)
                        os._exit(9)
                storage._native = Native
                tracker = UsageTracker(sys.argv[1])
                tracker.record("gpt-4o", 100, 50, 0.00105, 1.0)
                tracker.flush(30)
                """, self.file)
            child.communicate(timeout=support.TIMEOUT_S)
            self.assertEqual(child.returncode, 9)
            self.record(new, 1)
            self.assertTrue(new.flush(30))
            self.check(5)
            self.assertEqual(self.aside("foreign"), [])

    def test_one_at_a_time(self):
        """Threads and processes flush at once: each comes to its turn, and a reader always finds a whole file."""
        new = self.new()
        self.record(new, 1)
        self.assertTrue(new.flush(30))
        stop, seen = threading.Event(), []

        def read():
            while not stop.is_set():
                seen.append(len(self.read_json("usage.json")["sessions"]))

        reader = threading.Thread(target=read)
        reader.start()
        code = """
            import sys, threading
            from usagelog import UsageTracker
            tracker = UsageTracker(sys.argv[1], flush_interval=3600)
            def work():
                for _ in range(5):
                    tracker.record("gpt-4o", 100, 50, 0.00105, 1.0)
                    assert tracker.flush(60), tracker.get_writer_stats()
            threads = [threading.Thread(target=work) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert tracker.get_writer_stats()["error_count"] == 0
            """
        children = [self.start(code, self.file) for _ in range(2)]
        for child in children:
            _, err = child.communicate(timeout=support.TIMEOUT_S)
            self.assertEqual((child.returncode, err), (0, ""))
        stop.set()
        reader.join()
        self.assertTrue(new.flush(30))
        self.check(21)
        self.assertEqual(seen, sorted(seen), "it never goes back")

    def test_a_compactor_of_cron_beside(self):
        new = self.new()
        self.record(new, 3)
        self.program("compact", log=self.file + ".usagelog")
        self.assertFalse(os.path.exists(self.file), "cron's compactor does not know of the file")
        self.record(new, 1)
        self.assertTrue(new.flush(30))
        self.check(4)

    def test_busy_too_long(self):
        new = self.new()
        self.record(new, 1)
        with new._writer._storage._locked(float("inf")):
            self.assertFalse(new.flush(0.2))
        self.assertIn("another", new.get_writer_stats()["last_error"])
        self.assertTrue(new.flush(30))
        self.check(1)


if __name__ == "__main__":
    support.main()
