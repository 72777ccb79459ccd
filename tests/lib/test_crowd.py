"""Ten thousand segments in one log, as a crowd of short-lived writers might leave: an open works, and tries a few of them, not all."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

CROWD = os.environ["CROWD"]
BIN = os.environ["USAGELOG_BIN"]
SEGMENTS = int(os.environ.get("USAGELOG_SEGMENTS", "10000"))
BATCH = 200
# lib/segment.c tries the 16 newest; each twice, once to lock and once to read.
TRIES_MAX = 16
SKIPPED = 77
# Sanitizers' own traces and leak search do not go together with strace.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}


class Crowd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="usagelog-test.")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.log = os.path.join(cls.scratch.name, "log")
        # Each open reads the directory: made in parts, with the log's settings in each, and moved together, which keeps the inodes.
        subprocess.run([CROWD, "make", cls.log, str(BATCH)], check=True)
        for _ in range(SEGMENTS // BATCH - 1):
            part = tempfile.mkdtemp(dir=cls.scratch.name)
            shutil.copy(os.path.join(cls.log, "log.conf"), part)
            subprocess.run([CROWD, "make", part, str(BATCH)], check=True)
            for name in os.listdir(part):
                if name.endswith(".seg"):
                    os.rename(os.path.join(part, name), os.path.join(cls.log, name))

    def segments(self):
        return [name for name in os.listdir(self.log) if name.endswith(".seg")]

    def opened(self, *command):
        """The segments that a command opens, in order, with those it makes."""
        trace = os.path.join(self.scratch.name, "trace")
        subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=open,openat,openat2", *command], check=True,
                       env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        with open(trace) as file:
            return re.findall(r'"[^"]*?([0-9a-f]{32}\.(?:seg|tmp))"', file.read())

    def test_1_all_are_there(self):
        self.assertEqual(len(self.segments()), SEGMENTS)

    def test_2_a_few_are_tried(self):
        # No segment has the default's size: all tries fail, and one is made.
        opened = self.opened(BIN, "--log", self.log, "record", "--provider", "p", "--model", "m", "--input-tokens", "3")
        tried = {name for name in opened if name.endswith(".seg")}
        self.assertEqual(len(tried), TRIES_MAX)
        self.assertLessEqual(len(opened), 2 * TRIES_MAX + 1)
        self.assertEqual(sorted(self.segments())[-1 - TRIES_MAX:-1], sorted(tried), "they are not the newest")
        self.assertEqual(len(self.segments()), SEGMENTS + 1)

    def test_3_one_of_the_newest_is_adopted(self):
        before = self.segments()
        # The newest but for the default's of the test before: all of the last ticks of the clock are within reach.
        opened = self.opened(CROWD, "open", self.log, str(BATCH - 1))
        self.assertEqual(self.segments(), before)
        self.assertLessEqual(len(opened), 2 * TRIES_MAX)

    def test_4_the_time_of_an_open(self):
        for kind, what in (BATCH - 1, "adopts"), (BATCH, "makes one"):
            said = subprocess.run([CROWD, "open", self.log, str(kind)], check=True, capture_output=True, text=True).stdout
            print(f"an open among {SEGMENTS} segments, which {what}: {said.strip()}")

    def test_5_the_log_is_sound(self):
        done = subprocess.run([BIN, "--log", self.log, "compact", "--quiet"], check=False)
        self.assertEqual(done.returncode, 0)
        done = subprocess.run([BIN, "--log", self.log, "verify"], check=False, stdout=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0)
        dumped = subprocess.run([BIN, "--log", self.log, "dump", "--format", "jsonl"], check=True, capture_output=True)
        # And one of each of the tests before, of which the last opened twice.
        self.assertEqual(dumped.stdout.count(b"\n"), SEGMENTS + 4)


if __name__ == "__main__":
    if not shutil.which("strace"):
        print("skipped: no strace")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
