#!/usr/bin/python3
"""A run costs the same on a long history as on a short one: what it asks of the system is counted, since times are not repeatable."""

import collections
import os
import re
import shutil
import subprocess
import sys
import unittest

from handmade import PAGE, PROGRAM, LogTest, Segment

DAY = 86400
TODAY = 20000  # 2024-10-04
GAP_DAYS = 40
# The leak checker traces its own process, which cannot be traced twice.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"


def strace_works():
    if not shutil.which("strace"):
        return False
    done = subprocess.run(["strace", "-o", os.devnull, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


class History(LogTest):
    def trace(self):
        """The system calls of a run, each as (name, its line)."""
        trace = os.path.join(self.top, "trace")
        subprocess.run(["strace", "-f", "-o", trace, PROGRAM, "compact", "--log", self.log], check=True, stdout=subprocess.DEVNULL, timeout=120)
        with open(trace, encoding="utf-8", errors="replace") as file:
            return [(match[1], line) for line in file if (match := re.match(r"^\d+\s+(\w+)\(", line))]

    def one_more(self, days):
        """What a run does with a call of today more, on a history of so many days."""
        history, segment = Segment(self.log, 1, size=1 << 20), Segment(self.log, 2)
        for ago in range(days - 1, -1, -1):
            # A page that its writer left before it was full, far from the one before.
            for _ in range(0 if ago % GAP_DAYS else 1024):
                history.put(7 << 28, 0, bytes(48))
            history.next += 0 if ago % GAP_DAYS else 5
            history.call((TODAY - ago) * DAY + 7, latency=1000 + ago, operation="chat")
        # The last calls are of today, so that their list is as long in each history.
        for number in range(1000):
            segment.call(TODAY * DAY + 50 + number)
        # Twice, so that the run that counts has left-overs to delete, as any later one has.
        for number in range(2):
            self.compact()
            segment.call(TODAY * DAY + 5000 + number)
        calls = self.trace()
        self.expect_oracle_agrees()
        for name in os.listdir(self.log):
            if name != "log.conf":
                os.unlink(self.path(name))
        return calls

    def test_history_is_not_read(self):
        counts, read = {}, {}
        for days in (40, 400):
            calls = self.one_more(days)
            opened = {match[1] for _, line in calls if (match := re.search(r'openat\(\d+, "([^"]*\.facts[^"]*)"', line))}
            self.assertEqual(len(opened), 2, opened)
            self.assertTrue(all(name.startswith("2024-10-04.") for name in opened), opened)
            counts[days] = collections.Counter(name for name, _ in calls)
            read[days] = sum(int(line.rsplit("=", 1)[1].split()[0]) for name, line in calls if name in ("pread64", "read"))
            self.assertLessEqual(counts[days]["newfstatat"], days + 60)
        # A gap may begin in one page and end in another.
        pages = 2 * 360 // GAP_DAYS
        self.assertLessEqual(counts[400]["pread64"] - counts[40]["pread64"], pages)
        for name in ("openat", "pwrite64", "fsync", "fdatasync", "renameat", "unlinkat", "fstat", "linkat"):
            self.assertEqual(counts[40][name], counts[400][name], name)
        # A day is a file's name and a sum in each checkpoint; both are read twice. Of segments, the pages of gaps, and the last.
        self.assertLessEqual(read[400] - read[40], 360 * 4 * (40 + 112) + (pages + 1) * PAGE)


if __name__ == "__main__":
    if not strace_works():
        print("skipped: strace cannot trace here")
        sys.exit(77)
    unittest.main(verbosity=1)
