"""Calls are in the log whatever the process does: fork, multiprocessing, prefork servers, threads at the exit, SIGKILL."""
import os
import signal
import textwrap
import traceback
import unittest

import support
from usagelog import Log, UsageTracker

# Children report what they recorded; the parent counts what the log has.
RECORD = """
    import sys, usagelog
    log = usagelog.Log(sys.argv[1])
    for i in range(100):
        log.record("p", "m", input_tokens=i)
"""


class ProcessTest(support.ScratchTest):
    def calls(self):
        with Log(self.log_path) as log:
            found = sum(1 for _ in log)
            self.assertEqual(log.summary()["totals"]["calls"], found)
        self.program("verify")
        return found


# The address sanitizer's allocator has locks of its own, which a child finds taken if another thread was in it.
needs_fork = unittest.skipIf(support.SANITIZED, "a fork with threads is more than the sanitizer's allocator bears")


@needs_fork
class Fork(ProcessTest):
    def in_child(self, function, *args):
        """Run it in a child made by fork(); the child's exit status is 0 if it did not raise."""
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            function(*args)
            status = 0
        except BaseException:  # pylint: disable=broad-except  # told, and then this process ends here
            traceback.print_exc()
        finally:
            os._exit(status)

    def wait(self, children):
        for child in children:
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_parent_and_children_record_through_one_object(self):
        with Log(self.log_path) as log:
            log.record("p", "m", operation="before")

            def work():
                for i in range(500):
                    log.record("p", "m", operation="child", input_tokens=i)
                assert log.stats()["committed"] == 500

            children = [self.in_child(work) for _ in range(4)]
            for _ in range(500):
                log.record("p", "m", operation="parent")
            self.wait(children)
            self.assertEqual(log.stats()["committed"], 501)
        self.assertEqual(self.calls(), 1 + 5 * 500)

    def test_children_of_children_close_and_flush(self):
        with Log(self.log_path) as log:
            def work(depth):
                log.record("p", "m")
                if depth:
                    self.wait([self.in_child(work, depth - 1) for _ in range(2)])
                assert log.flush(10)
                assert log.close()

            work(2)
        self.assertEqual(self.calls(), 1 + 2 + 4)

    def test_synchronous(self):
        with Log(self.log_path, synchronous=True) as log:
            log.record("p", "m")

            def work():
                for i in range(10):
                    log.record("p", "m")
                    assert log.stats()["durable"] == i + 1

            self.wait([self.in_child(work) for _ in range(3)])
        self.assertEqual(self.calls(), 31)

    def test_while_threads_record(self):
        """Each of many children finds the log usable, whatever other threads were in the midst of."""
        out, _ = self.run_child("""
            import os, sys, threading, usagelog
            log = usagelog.Log(sys.argv[1], synchronous=True)
            stop, counts = threading.Event(), []
            def work():
                count = 0
                while not stop.is_set():
                    log.record("p", "m", session_id=f"s{count % 5000}")
                    count += 1
                counts.append(count)
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for _ in range(40):
                child = os.fork()
                if not child:
                    log.record("p", "m")
                    log.flush(10)
                    os._exit(0 if log.close() else 1)
                assert os.waitpid(child, 0)[1] == 0
            stop.set()
            for thread in threads:
                thread.join()
            print(sum(counts) + 40)
            """, self.log_path)
        self.assertEqual(self.calls(), int(out))

    def test_locks_of_modules_that_a_thread_had_at_the_fork(self):
        """As if the parent's thread had been in the midst of strptime() or of making a temporary file."""
        self.run_child("""
            import _strptime, os, sys, tempfile
            import usagelog
            tracker = usagelog.UsageTracker(sys.argv[1], flush_interval=3600)
            tracker.record("gpt-4o", 1, 1, 0.0, 1.0)
            with _strptime._cache_lock, tempfile._once_lock:
                child = os.fork()
                if not child:
                    os._exit(0 if tracker.flush(30) and tracker.get_summary()["total_calls"] == 1 else 1)
                assert os.waitpid(child, 0)[1] == 0
            """, self.path("usage.json"))

    def test_tracker_in_children(self):
        """Children bring the file up by themselves: each has a thread of its own, which the fork did not bring along."""
        tracker = UsageTracker(self.path("usage.json"), flush_interval=0.05, flush_threshold=1)
        tracker.record("gpt-4o", 1, 1, 0.0, 1.0)
        self.wait_until(lambda: os.path.exists(self.path("usage.json")))

        def total():
            return sum(day["calls"] for day in self.read_json("usage.json")["daily_totals"].values())

        def work(rounds):
            for _ in range(rounds):
                before = total()
                tracker.record("gpt-4o", 1, 1, 0.0, 1.0)
                self.wait_until(lambda before=before: total() > before)

        self.wait([self.in_child(work, 2)])
        self.assertEqual(total(), 3)
        tracker.shutdown()


class MultiProcessing(ProcessTest):
    CODE = """
        import multiprocessing, sys
        import usagelog
        log = None
        def begin(path):
            global log
            log = usagelog.Log(path)
        def work(i):
            log.record("p", "m", input_tokens=i)
            return i
        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[2])
            with context.Pool(3, begin, (sys.argv[1],)) as pool:
                assert sorted(pool.map(work, range(200))) == list(range(200))
        """

    def test_pools(self):
        for i, method in enumerate(("fork", "spawn", "forkserver")):
            self.write("pool.py", textwrap.dedent(self.CODE))
            self.run_child("import os, sys; os.execv(sys.executable, [sys.executable] + sys.argv[1:])", self.path("pool.py"),
                           self.log_path, method)
            self.assertEqual(self.calls(), 200 * (i + 1))


@needs_fork
class Prefork(ProcessTest):
    def test_gunicorn_style(self):
        """A master loads the application, with its tracker, and forks workers, which are replaced, told to end, or killed."""
        out, _ = self.run_child("""
            import os, signal, sys, threading, time
            import usagelog
            tracker = usagelog.UsageTracker(sys.argv[1], flush_interval=0.05)
            tracker.record("gpt-4o", 1, 1, 0.1, 5.0, "master")
            def worker(ready):
                signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
                def requests():
                    for _ in range(50):
                        tracker.record("gpt-4o", 1, 1, 0.1, 5.0, "worker")
                threads = [threading.Thread(target=requests) for _ in range(2)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                os.write(ready, b"x")
                while True:
                    signal.pause()
            def start():
                read, write = os.pipe()
                child = os.fork()
                if not child:
                    worker(write)
                assert os.read(read, 1) == b"x"
                os.close(read), os.close(write)
                return child
            for how in (signal.SIGTERM, signal.SIGKILL):
                children = [start() for _ in range(3)]
                for child in children:
                    os.kill(child, how)
                for child in children:
                    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                    assert status == (0 if how == signal.SIGTERM else -how), status
            assert tracker.flush(10), tracker.get_writer_stats()
            print(tracker.get_summary()["total_calls"])
            """, self.path("usage.json"))
        self.assertEqual(int(out), 1 + 6 * 100)
        self.assertEqual(self.read_json("usage.json")["model_breakdown"]["gpt-4o"]["calls"], 601)
        self.log_path = self.path("usage.json.usagelog")
        self.assertEqual(self.calls(), 601)

    def test_a_child_does_not_keep_its_parents_lock(self):
        """A worker that was forked while the file was written: it must not keep others from writing it, nor the segment from being adopted."""
        self.run_child("""
            import os, sys
            import usagelog, usagelog._storage as storage
            tracker = usagelog.UsageTracker(sys.argv[1], flush_interval=3600)
            tracker.record("gpt-4o", 1, 1, 0.1, 5.0)
            read, write = os.pipe()
            with tracker._writer._storage._locked(float("inf")):
                child = os.fork()
                if not child:
                    os.close(write)
                    os.read(read, 1)  # until the parent ends
                    os._exit(0)
            os.close(read)
            assert tracker.flush(10), tracker.get_writer_stats()
            """, self.path("usage.json"))


class Exit(ProcessTest):
    def test_nothing_is_closed(self):
        self.run_child(RECORD, self.log_path)
        self.assertEqual(self.calls(), 100)

    def test_ends_in_all_ways(self):
        ends = (("sys.exit(3)", 3), ("raise RuntimeError", 1), ("import os; os._exit(4)", 4), ("import os; os.abort()", -signal.SIGABRT),
                ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL))
        for i, (code, status) in enumerate(ends):
            self.run_child(RECORD + "\n    " + code, self.log_path, status=status)
            self.assertEqual(self.calls(), 100 * (i + 1))

    def test_exit_makes_durable_and_writes_the_file(self):
        _, err = self.run_child("""
            import atexit, sys, usagelog
            def later():
                # After our own handlers: still committed.
                tracker.record("gpt-4o", 7, 1, 0.0, 1.0)
            atexit.register(later)
            tracker = usagelog.UsageTracker(sys.argv[1], flush_interval=3600)
            atexit.register(tracker.record, "gpt-4o", 5, 1, 0.0, 1.0)
            tracker.record("gpt-4o", 1, 1, 0.0, 1.0)
            """, self.path("usage.json"))
        self.assertEqual(err, "")
        self.log_path = self.path("usage.json.usagelog")
        self.assertEqual(self.calls(), 3)
        self.assertGreaterEqual(len(self.read_json("usage.json")["sessions"]), 2)

    def test_threads_that_never_end(self):
        """Daemon threads record and flush while the interpreter goes: nothing crashes, and what was told is there."""
        for _ in range(3):
            out, err = self.run_child("""
                import sys, threading, usagelog
                log = usagelog.Log(sys.argv[1], synchronous=True)
                tracker = usagelog.UsageTracker(sys.argv[1] + ".json", flush_interval=0.01, flush_threshold=1)
                def work():
                    while True:
                        log.record("p", "m")
                        tracker.record("gpt-4o", 1, 1, 0.0, 1.0)
                        log.flush(0.001)
                for _ in range(4):
                    threading.Thread(target=work, daemon=True).start()
                while log.stats()["committed"] < 50:
                    pass
                print(log.stats()["committed"])
                """, self.log_path)
            self.assertEqual(err, "")
            self.assertGreaterEqual(self.calls(), int(out))

    def test_objects_that_outlive_the_module(self):
        """In reference cycles, as globals of modules, recorded to from __del__, while a thread is at work that the end of the interpreter stops."""
        for _ in range(10):
            self.outlive()

    def outlive(self):
        _, err = self.run_child("""
            import sys, usagelog
            class Keeper:
                def __init__(self):
                    self.me = self
                    self.log = usagelog.Log(sys.argv[1])
                    self.record = self.log.record
                def __del__(self):
                    self.record("p", "late")
            keeper = Keeper()
            keeper.record("p", "m")
            sys.keeper = Keeper()
            log = keeper.log
            class LateTracker(usagelog.UsageTracker):
                def __del__(self):
                    self.record("gpt-4o", 1, 1, 0.0, 1.0)
                    self.flush()
                    self.shutdown()
            sys.tracker = tracker = LateTracker(sys.argv[1] + ".json", flush_interval=0.001, flush_threshold=1)
            tracker.me = tracker
            tracker.record("gpt-4o", 1, 1, 0.0, 1.0)
            """, self.log_path)
        self.assertEqual(err, "")
        self.assertGreaterEqual(self.calls(), 1)

    def test_killed_while_it_records(self):
        """What it said that it recorded is there."""
        for delay in range(3):
            child = self.start("""
                import sys, usagelog
                log = usagelog.Log(sys.argv[1])
                count = 0
                while True:
                    for _ in range(1000):
                        log.record("p", "m", session_id=f"s{count % 100}")
                        count += 1
                    sys.stdout.write(f"{count}\\n")
                    sys.stdout.flush()
                """, self.log_path + str(delay))
            told = 0
            for _ in range(20 + 13 * delay):
                told = int(child.stdout.readline())
            child.kill()
            rest, _ = child.communicate()
            told = max([told] + [int(line) for line in rest.split("\n")[:-1]])
            self.assertEqual(child.returncode, -signal.SIGKILL)
            with Log(self.log_path + str(delay)) as log:
                self.assertGreaterEqual(log.summary()["totals"]["calls"], told)

    def test_several_interpreters_in_turn(self):
        code = """
            import sys
            try:
                import _xxsubinterpreters as interpreters
            except ImportError:
                sys.exit(77)
            for _ in range(3):
                sub = interpreters.create()
                interpreters.run_string(sub, "import usagelog._native as native\\n"
                                             f"log = native.Log({sys.argv[1]!r})\\n"
                                             "log.record('p', 'm', cost_usd='0.5', metadata={'a': 1})")
                interpreters.destroy(sub)
            """
        child = self.start(code, self.log_path)
        out, err = child.communicate(timeout=support.TIMEOUT_S)
        if child.returncode == 77:
            self.skipTest("this Python has no interpreters to be had so")
        self.assertEqual((child.returncode, out), (0, ""), err)
        self.assertEqual(self.calls(), 3)


if __name__ == "__main__":
    support.main()
