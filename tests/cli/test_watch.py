#!/usr/bin/python3
"""usagelog compact --watch: it folds when there is something, says so, and ends when it is told to or has no log any more."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time

import support
from support import LogTest

CALL = ("record", "--provider", "openai", "--model", "gpt-4o", "--input-tokens", "7", "--cost-usd", "0.25")
ROW = "2026-01-0%dT00:00:00Z,p,m,1,1\n"
NEVER = "86400"


class Watch(LogTest):
    def watch(self, *args):
        watcher = self.start("compact", "--watch", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.kill, watcher)
        return watcher

    @staticmethod
    def kill(watcher):
        if watcher.poll() is None:
            watcher.kill()
        watcher.communicate()

    def until(self, condition, what):
        """Look until it holds, for as long as a test may take."""
        end = time.monotonic() + support.TIMEOUT_S
        while not condition():
            self.assertLess(time.monotonic(), end, f"never came: {what}")
            time.sleep(0.002)

    def rested(self, watcher):
        """It sleeps, and has events of the log's directory."""
        def sleeps():
            with open(f"/proc/{watcher.pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "S"
        self.until(lambda: self.watched(watcher) and sleeps(), "the watch rests")

    @staticmethod
    def watched(watcher):
        """How many directories it has events of."""
        count = 0
        for fd in os.listdir(f"/proc/{watcher.pid}/fd"):
            try:
                with open(f"/proc/{watcher.pid}/fdinfo/{fd}") as file:
                    count += sum(line.startswith("inotify wd:") for line in file)
            except FileNotFoundError:
                pass
        return count

    def summary_calls(self):
        try:
            with open(os.path.join(self.log, "summary.json")) as file:
                return sum(day["calls"] for day in json.load(file)["daily_totals"].values())
        except FileNotFoundError:
            return 0

    def end(self, watcher, number=signal.SIGTERM, status=0):
        watcher.send_signal(number)
        out, err = watcher.communicate(timeout=support.TIMEOUT_S)
        self.assertEqual(watcher.returncode, status, out + err)
        return out, err

    def make_empty(self):
        self.run_program("import", "--format", "jsonl", "-")

    def test_by_event(self):
        """A segment that is made or closed is folded at once, however long the interval."""
        self.make_empty()
        watcher = self.watch("--interval", NEVER)
        self.until(lambda: os.path.exists(os.path.join(self.log, "summary.json")), "the first look")
        self.run_program(*CALL)
        self.assertRegex(watcher.stdout.readline(), r"^folded 1 call from 1 segment in [\d,]+ ms; 0 damaged; summary.json written$")
        self.assertEqual(self.summary_calls(), 1)
        self.assertEqual(self.end(watcher), ("", ""))
        self.run_program("verify")

    def test_one_an_interval(self):
        """What comes after a fold waits until the interval is over."""
        self.run_program(*CALL)
        watcher = self.watch("--interval", NEVER)
        self.assertIn("folded 1 call", watcher.stdout.readline())
        for _ in range(3):
            self.run_program(*CALL)
        self.rested(watcher)
        self.assertEqual(self.summary_calls(), 1)
        self.assertEqual(self.end(watcher), ("", ""))
        # And is found by the next one.
        watcher = self.watch("--quiet", "--interval", "1")
        self.until(lambda: self.summary_calls() == 4, "the first fold")
        self.run_program(*CALL)
        self.until(lambda: self.summary_calls() == 5, "the next fold")
        self.assertEqual(self.end(watcher, signal.SIGINT), ("", ""))

    def test_without_events(self):
        """Calls that a program stores in its mapped segment raise no event."""
        writer = self.start("import", "--format", "csv", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.kill, writer)
        writer.stdin.write(b"time,provider,model,input_tokens,output_tokens\n" + (ROW % 1).encode())
        writer.stdin.flush()
        self.until(lambda: os.path.isdir(self.log) and any(name.endswith(".seg") for name in os.listdir(self.log)), "a segment")
        watcher = self.watch("--interval", "1")
        self.assertIn("folded 1 call", watcher.stdout.readline())
        for day in range(2, 5):
            writer.stdin.write((ROW % day).encode())
            writer.stdin.flush()
            self.assertIn("folded 1 call", watcher.stdout.readline())
            self.assertEqual(self.summary_calls(), day)
        self.end(watcher)
        writer.communicate(timeout=support.TIMEOUT_S)
        self.assertEqual(writer.returncode, 0)

    def test_fallback(self):
        """A fallback directory is watched, too, from when it is there."""
        self.make_empty()
        backup = self.path("backup")
        self.run_program("config", "fallback_directories", backup)
        os.mkdir(backup)
        watcher = self.watch("--interval", NEVER)
        self.until(lambda: self.watched(watcher) == 2, "both directories are watched")
        self.rested(watcher)
        other = self.path("other")
        self.run_program("--log", other, *CALL)
        name = next(name for name in os.listdir(other) if name.endswith(".seg"))
        # Of another log: said, once, and not folded.
        shutil.copy(os.path.join(other, name), os.path.join(backup, name))
        self.assertIn(name, watcher.stderr.readline())
        self.end(watcher)
        self.assertEqual(self.summary_calls(), 0)

    def test_beside_a_compactor(self):
        """The lock is held while it folds, and somebody else's is no error."""
        self.run_program(*CALL)
        with open(os.path.join(self.log, "lock"), "w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            watcher = self.watch("--interval", "1")
            self.until(lambda: self.watched(watcher) == 1, "the watch began")
            self.rested(watcher)
            self.assertEqual(self.summary_calls(), 0)
        self.assertIn("folded 1 call", watcher.stdout.readline())
        # Idle, it holds none.
        self.rested(watcher)
        self.run_program(*CALL)
        self.until(lambda: "nothing new" in self.run_program("compact")[0], "folded by one of the two")
        self.assertEqual(self.summary_calls(), 2)
        out, err = self.end(watcher)
        self.assertEqual(err, "")

    def test_gone(self):
        for replace in (False, True):
            self.run_program(*CALL)
            watcher = self.watch("--interval", NEVER)
            self.assertIn("folded", watcher.stdout.readline())
            self.rested(watcher)
            os.rename(self.log, self.path(f"moved{replace}"))
            if replace:
                shutil.copytree(self.path(f"moved{replace}"), self.log)
            out, err = watcher.communicate(timeout=support.TIMEOUT_S)
            self.assertEqual((watcher.returncode, out), (8, ""))
            self.assertIn("is not there any more, or is another directory than before", err)
            shutil.rmtree(self.log, ignore_errors=True)

    def test_no_log(self):
        _, err = self.run_program("compact", "--watch", status=8)
        self.assertIn("so no log", err)

    def test_usage(self):
        self.make_empty()
        self.assertIn("--watch is not given", self.run_program("compact", "--interval", "5", status=16)[1])
        for text in ("0", "-1", "86401", "1.5", "soon", ""):
            self.assertIn("--interval: ", self.run_program("compact", "--watch", "--interval", text, status=16)[1])

    def test_second_signal(self):
        """The fold at work is finished; who cannot wait says so twice."""
        self.run_program(*CALL)
        watcher = self.start("compact", "--watch", "--interval", NEVER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.kill, watcher)
        self.assertIn("folded 1 call", watcher.stdout.readline())
        self.rested(watcher)
        with open(f"/proc/{watcher.pid}/status") as file:
            caught = int(next(line.split()[1] for line in file if line.startswith("SigCgt")), 16)
        self.assertTrue(caught >> signal.SIGTERM - 1 & caught >> signal.SIGINT - 1 & 1)
        # Stopped, it takes both at once when it goes on: the second one, whichever it is, is not caught any more.
        watcher.send_signal(signal.SIGSTOP)
        watcher.send_signal(signal.SIGTERM)
        watcher.send_signal(signal.SIGINT)
        watcher.send_signal(signal.SIGCONT)
        watcher.communicate(timeout=support.TIMEOUT_S)
        self.assertIn(watcher.returncode, (0, -signal.SIGTERM, -signal.SIGINT))


if __name__ == "__main__":
    support.main()
