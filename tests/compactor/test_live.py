#!/usr/bin/python3
"""compact and verify beside real writers and readers, and on a real disk that is full."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

from handmade import Segment, conf_text, fill, run, snapshot, usagelog_reader

WRITER = os.environ["WRITER"]
FOLDS, CALLS_MIN = 12, 20000


class Poller(threading.Thread):
    """Reads summary.json as fast as it can, as a script would that knows nothing of compactors. Between two reads it takes a little of what
    the writer tells, which waits when its pipe is full: so the log grows all the time, and no faster than it can be looked at."""

    def __init__(self, path, pipe):
        super().__init__()
        self.path, self.pipe, self.told = path, pipe, b""
        self.polls, self.calls, self.wrong, self.over = 0, 0, None, False

    def run(self):
        while not self.over and not self.wrong:
            self.told += os.read(self.pipe, 2048)
            try:
                with open(self.path, encoding="utf-8") as file:
                    calls = json.load(file)["totals"]["calls"]
            except FileNotFoundError:
                continue
            except (ValueError, KeyError) as error:
                self.wrong = repr(error)
                return
            if calls < self.calls:
                self.wrong = f"{calls} calls after {self.calls}"
            self.calls = calls
            self.polls += 1


class BesideWriters(unittest.TestCase):
    def test_each_call_once_while_segments_grow(self):
        with tempfile.TemporaryDirectory() as log:
            writer = subprocess.Popen([WRITER, "tell", log, "4"], stdout=subprocess.PIPE)
            poller = Poller(os.path.join(log, "summary.json"), writer.stdout.fileno())
            poller.start()
            folds, folded = 0, 0
            while not os.path.exists(os.path.join(log, "log.conf")):
                self.assertIsNone(writer.poll(), "the writer ended")
            try:
                while folds < FOLDS or folded < CALLS_MIN:
                    self.assertIsNone(writer.poll(), "the writer ended")
                    done = run("compact", "--log", log)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    checked = run("verify", "--log", log)
                    self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
                    with open(os.path.join(log, "summary.json"), encoding="utf-8") as file:
                        now = json.load(file)["totals"]["calls"]
                    folds += now > folded
                    folded = now
            finally:
                poller.over = True
                poller.join()
                writer.send_signal(signal.SIGKILL)
                poller.told += writer.communicate()[0]
            self.assertIsNone(poller.wrong)
            self.assertGreater(poller.polls, folds)
            data = poller.told
            told = set(struct.iter_unpack("<II", data[: len(data) // 8 * 8]))
            self.assertEqual(run("compact", "--log", log).returncode, 0)
            found = [(call.tokens[0], call.tokens[4]) for call in usagelog_reader.read_log(log).calls if call.kind == "call"]
            self.assertEqual(told - set(found), set())
            with open(os.path.join(log, "summary.json"), encoding="utf-8") as file:
                totals = json.load(file)["totals"]
            self.assertEqual(totals["calls"], len(found))
            self.assertEqual(totals["tokens"], sum(sum(one) for one in found))
            again = run("rebuild", "--log", log)
            self.assertEqual((again.returncode, again.stderr), (0, ""))
            print(f"{folds} folds of {len(found)} calls as they came, {poller.polls} reads of the summary")


class FullDisk(unittest.TestCase):
    def setUp(self):
        self.disk = tempfile.mkdtemp(prefix="usagelog-full-")
        self.addCleanup(shutil.rmtree, self.disk, ignore_errors=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", self.disk], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        if done.returncode:
            self.skipTest("no filesystem may be mounted here")
        self.addCleanup(subprocess.run, ["umount", self.disk])
        self.log = os.path.join(self.disk, "log")
        os.mkdir(self.log, 0o700)
        with open(os.path.join(self.log, "log.conf"), "wb") as file:
            file.write(conf_text())

    def leave(self, pages):
        """Fill the disk but for so many pages."""
        filler = os.path.join(self.disk, "filler")
        if os.path.exists(filler):
            os.unlink(filler)
        free = os.statvfs(self.disk)
        with open(filler, "wb") as file:
            file.write(bytes((free.f_bavail - pages) * free.f_bsize))

    def test_at_every_fill_level(self):
        """A run either commits all or changes nothing that counts; with room again, each call is there once."""
        segment = Segment(self.log, 1)
        fill(segment, 40, step=20000)
        self.assertEqual(run("compact", "--log", self.log).returncode, 0)
        calls, failed, pages = 40, 0, 0
        while True:
            fill(segment, 10, start=1700300000, step=20000, seed=pages + 2)
            calls += 10
            before = snapshot(self.log)[os.path.join(self.log, "checkpoint")]
            self.leave(pages)
            done = run("compact", "--log", self.log)
            checked = run("verify", "--log", self.log)
            self.assertEqual(checked.returncode, 0, checked.stdout)
            if done.returncode == 8:
                failed += 1
                self.assertIn("No space left", done.stderr)
                if "summary" not in done.stderr:
                    self.assertEqual(snapshot(self.log)[os.path.join(self.log, "checkpoint")], before)
            os.unlink(os.path.join(self.disk, "filler"))
            self.assertEqual(run("compact", "--log", self.log).returncode, 0)
            checked = run("verify", "--strict", "--log", self.log)
            self.assertEqual(checked.returncode, 0, checked.stdout)
            with open(os.path.join(self.log, "summary.json"), encoding="utf-8") as file:
                self.assertEqual(json.load(file)["totals"]["calls"], calls)
            if done.returncode == 0:
                break
            pages += 3
        self.assertGreater(failed, 5)
        print(f"{failed} fill levels at which a run failed")


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    sys.exit(not result.wasSuccessful())
