#!/usr/bin/python3
"""The compactor killed at each of its system calls, and run again: the totals of an uninterrupted run, byte for byte; killed as it prices history
again: all of it or nothing."""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

from handmade import PROGRAM, LogTest, Segment, fill, run, totals

# strace counts by call and not over all of them, so every call is named by (name, how manieth).
# Those that end the process anyway, or that no state hangs on.
LEFT_OUT = {"exit_group", "execve"}
# Each so manieth is tried: a slower program is tried at fewer.
STEP = int(os.environ.get("USAGELOG_KILL_STEP", "1"))


# The leak checker traces its own process, which cannot be traced twice.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"


def strace_works():
    if not shutil.which("strace"):
        return False
    done = subprocess.run(["strace", "-o", os.devnull, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def calls_of(log, trace, command=("compact",)):
    """The system calls of one run, in order, each as (name, how manieth of that name)."""
    subprocess.run(["strace", "-f", "-o", trace, PROGRAM, *command, "--log", log], check=True, stdout=subprocess.DEVNULL, timeout=120)
    seen, calls = collections.Counter(), []
    with open(trace, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = re.match(r"^\d+\s+(\w+)\(", line)
            if not match:
                continue
            seen[match.group(1)] += 1
            if match.group(1) not in LEFT_OUT:
                calls.append((match.group(1), seen[match.group(1)]))
    return calls


def kill(log, name, number, command=("compact",)):
    """Run the compactor, and kill it as it enters this call. Was it there?"""
    done = subprocess.run(["strace", "-f", "-o", os.devnull, "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}",
                           PROGRAM, *command, "--log", log], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    return done.returncode != 0


def segments(log):
    return sorted(name for name in os.listdir(log) if name.endswith(".seg"))


# What the runs that are killed have to do: each puts a log into an empty directory that has its settings.

def first_run(log):
    fill(Segment(log, 1), 60, step=20000)


def later_run(log):
    segment = Segment(log, 1)
    fill(segment, 40, step=20000)
    run("compact", "--log", log)
    fill(segment, 30, start=1700400000, step=20000, seed=2)
    run("compact", "--log", log)
    fill(segment, 30, start=1700600000, step=20000, seed=3)


def run_that_recovers(log):
    segment = Segment(log, 1)
    fill(segment, 20, step=20000)
    run("compact", "--log", log)
    fill(segment, 20, start=1700400000, step=20000, seed=2)
    run("compact", "--log", log)
    with open(os.path.join(log, "checkpoint"), "r+b") as file:
        file.write(b"damaged")
    os.unlink(os.path.join(log, min(name for name in os.listdir(log) if name.endswith(".facts"))))


def run_that_deletes(log):
    """A segment is deleted only once the base and the checkpoint say so, and then it is."""
    old = Segment(log, 1)
    fill(old, 20, start=1600000000, step=20000)
    fill(Segment(log, 2), 20, step=20000, seed=2)
    os.utime(old.path, (1600400000, 1600400000))
    run("config", "--log", log, "retention_days", "365")


def repricing(log):
    """A log with prices, and the command that changes them."""
    segment = Segment(log, 1)
    fill(segment, 30, step=20000)
    for name, price in (("old", 1e-6), ("new", 3e-6)):
        with open(os.path.join(os.path.dirname(log), name), "w", encoding="utf-8") as file:
            json.dump({"gpt-4o": {"input_cost_per_token": price, "output_cost_per_token": 2 * price}}, file)
    old, new = (os.path.join(os.path.dirname(log), name) for name in ("old", "new"))
    run("prices", "import", "--since", "2023-01-01", "--log", log, old)
    fill(segment, 10, start=1700400000, step=20000, seed=2)
    return "reprice", "--since", "2023-11-16", "--prices", new


class Killed(LogTest):
    def killed_everywhere(self, prepare):
        """Kill a run on a copy of the prepared log at every call, each on a fresh copy; run again; compare."""
        prepare(self.log)
        pristine = os.path.join(self.top, "pristine")
        shutil.copytree(self.log, pristine)
        whole = os.path.join(self.top, "whole")
        shutil.copytree(pristine, whole)
        calls = calls_of(whole, os.path.join(self.top, "trace"))[::STEP]
        wanted = totals(whole)
        killed = 0
        for name, number in calls:
            shutil.rmtree(self.log)
            shutil.copytree(pristine, self.log)
            killed += kill(self.log, name, number)
            where = f"killed at {name} number {number}"
            again = run("compact", "--log", self.log)
            self.assertEqual(again.returncode, 0, where + ": " + again.stderr)
            self.assertEqual(totals(self.log), wanted, where)
            self.assertEqual(run("verify", "--log", self.log).returncode, 0, where)
            self.assertEqual(segments(self.log), segments(whole), where)
        # Every call was reached, but for the few that a run makes depending on the moment.
        self.assertGreater(killed, len(calls) * 9 // 10)
        print(f"killed at {killed} of {len(calls)} system calls")

    def test_reprice(self):
        command = repricing(self.log)
        pristine, whole, before = (os.path.join(self.top, name) for name in ("pristine", "whole", "before"))
        for copy in (pristine, whole, before):
            shutil.copytree(self.log, copy)
        calls = calls_of(whole, os.path.join(self.top, "trace"), command)[::STEP]
        run("compact", "--log", before)
        outcomes = [totals(before), totals(whole)]
        self.assertNotEqual(outcomes[0]["summary"]["totals"], outcomes[1]["summary"]["totals"])
        seen, killed = collections.Counter(), 0
        for name, number in calls:
            shutil.rmtree(self.log)
            shutil.copytree(pristine, self.log)
            killed += kill(self.log, name, number, command)
            where = f"killed at {name} number {number}"
            again = run("compact", "--log", self.log)
            self.assertEqual(again.returncode, 0, where + ": " + again.stderr)
            self.assertEqual(run("verify", "--log", self.log).returncode, 0, where)
            found = totals(self.log)
            self.assertIn(found["facts"], [outcome["facts"] for outcome in outcomes], where)
            seen[found == outcomes[1]] += 1
            self.assertEqual(run(*command, "--log", self.log).returncode, 0, where)
            self.assertEqual(totals(self.log)["summary"], outcomes[1]["summary"], where)
        self.assertGreater(killed, len(calls) * 9 // 10)
        self.assertEqual(len(seen), 2)
        print(f"killed at {killed} of {len(calls)} system calls")

    def test_first_run(self):
        self.killed_everywhere(first_run)

    def test_later_run(self):
        self.killed_everywhere(later_run)

    def test_run_that_recovers(self):
        self.killed_everywhere(run_that_recovers)

    def test_run_that_deletes(self):
        self.killed_everywhere(run_that_deletes)
        self.assertEqual(len(segments(self.log)), 1)


if __name__ == "__main__":
    if not strace_works():
        print("skipped: no strace, or it may not trace here")
        sys.exit(77)
    unittest.main(verbosity=1)
