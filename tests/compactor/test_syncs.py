#!/usr/bin/python3
"""The order of what is written, synced and named, as the kernel is told of it: what a power loss may leave behind hangs on that order, and nothing
else shows it. Each program runs under strace, and these rules are held against what it did:

  1. A file gets the name that it is found by only after all that was written to it was synced.
  2. A checkpoint gets its name only when the names that it relies on are durable: those of its directory, and those of the segments.
  3. Nothing is deleted while the checkpoint that says so may still be lost.
  4. At the end every name is durable.
  5. What is folded was synced: through a mapping of a file that was opened to write, or as a whole file."""

import os
import re
import shutil
import subprocess
import sys
import unittest

from handmade import PROGRAM, LogTest, Segment, fill, run

WRITER = os.environ["WRITER"]
CALLS = "openat,pwrite64,write,fallocate,fsync,fdatasync,msync,mmap,renameat,linkat,unlinkat"
# The leak checker traces its own process, which cannot be traced twice.
ENVIRONMENT = {**os.environ, "USAGELOG_BACKEND": "syscall", "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def strace_works():
    return shutil.which("strace") and subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def whole_lines(text):
    """The calls of a trace, those in two parts put together where they ended."""
    begun = {}
    for line in text.splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[pid] = call[:-len("<unfinished ...>")]
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", call)
        yield begun.pop(pid, "") + resumed.group(1) if resumed else call


class Order:
    """What a program did to the files of a directory, and what of it a power loss could undo."""

    def __init__(self, top):
        self.top, self.broken = top, []
        self.unsynced = set()       # files written to since their last sync
        self.pending = {}           # by directory: names given since its last sync
        self.maps = []              # (address, bytes, path, is it shared?, offset)
        self.written_to = set()     # files opened to write
        self.ranges = []            # (path, offset) synced through a mapping
        self.files_synced, self.renames = [], []

    def follow(self, trace):
        with open(trace, encoding="utf-8", errors="replace") as file:
            for line in whole_lines(file.read()):
                call = re.match(r"(\w+)\((.*)\)\s+= (-?\w+)(.*)", line)
                if call and not call.group(3).startswith("-") and (self.top in line or call.group(1) == "msync"):
                    self.look(call.group(1), call.group(2), call.group(3) + call.group(4))
        for directory, names in self.pending.items():
            if names:
                self.broken.append(f"at the end {sorted(names)} in {directory} are not durable")
        return self

    def look(self, name, arguments, result):
        paths = [re.sub(r" \(deleted\)$", "", path) for path in re.findall(r"\d+<([^>]*)>", arguments)]
        quoted = re.findall(r'"([^"]*)"', arguments)
        if name == "openat":
            opened = re.search(r"<([^>]*)>", result)
            if opened and re.search(r"O_RDWR|O_WRONLY", arguments):
                self.written_to.add(opened.group(1))
        elif name in ("pwrite64", "write", "fallocate") and paths:
            self.unsynced.add(paths[0])
        elif name in ("fsync", "fdatasync"):
            self.unsynced.discard(paths[0])
            self.pending.pop(paths[0], None)
            self.files_synced.append(paths[0])
        elif name == "mmap" and paths:
            fields = arguments.split(", ")
            self.maps.append((int(result.split()[0], 16), int(fields[1]), paths[0], "MAP_SHARED" in arguments, int(fields[5], 16)))
        elif name == "msync":
            self.msync(arguments)
        elif name in ("renameat", "linkat"):
            self.named(paths[0], quoted[0], paths[1], quoted[1])
        elif name == "unlinkat" and paths:
            self.deleted(paths[0], quoted[0])

    def msync(self, arguments):
        address, _, flags = arguments.split(", ")
        for start, size, path, shared, offset in reversed(self.maps):
            if start <= int(address, 16) < start + size:
                if flags == "MS_SYNC" and shared and path in self.written_to:
                    self.ranges.append((path, offset + int(address, 16) - start))
                return

    def named(self, from_directory, old, directory, new):
        source, target = f"{from_directory}/{old}", f"{directory}/{new}"
        if source in self.unsynced:
            self.broken.append(f"{target} gets its name before it is synced")
            self.unsynced.discard(source)
        if new in ("checkpoint", "checkpoint.base"):
            for where, names in self.pending.items():
                relied = {name for name in names if not name.startswith("checkpoint.previous")}
                if relied:
                    self.broken.append(f"{new} gets its name while {sorted(relied)} in {where} are not durable")
        self.maps = [(start, size, target if path == source else path, shared, offset) for start, size, path, shared, offset in self.maps]
        if source in self.written_to:
            self.written_to.add(target)
        self.pending.setdefault(directory, set()).discard(old)
        self.pending[directory].add(new)
        self.renames.append(target)

    def deleted(self, directory, name):
        self.pending.get(directory, set()).discard(name)
        lost = {"checkpoint", "checkpoint.base"} & self.pending.get(directory, set())
        if lost and re.search(r"\.(seg|facts|ids)$", name):
            self.broken.append(f"{name} is deleted while {sorted(lost)} may be lost")


class Syncs(LogTest):
    def order_of(self, *command, directory=None, status=0, data=None):
        trace = os.path.join(self.top, "trace")
        done = subprocess.run(["strace", "-f", "-y", "-o", trace, "-e", "trace=" + CALLS, *command], input=data, capture_output=True, timeout=120,
                              env=ENVIRONMENT, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        order = Order(os.path.realpath(directory or self.top)).follow(trace)
        self.assertEqual(order.broken, [])
        return order

    def compact(self, *options):
        return self.order_of(PROGRAM, "compact", "--log", self.log, *options)

    def renamed(self, order, name):
        self.assertIn(name, [os.path.basename(path) for path in order.renames])

    def test_new_log(self):
        """log.conf, segments, one after the other, and the sync of the calls in them."""
        log = os.path.join(self.top, "new")
        rows = "".join(f"{1700000000000000000 + i} {i} {i}\n" for i in range(30000)).encode()
        order = self.order_of(WRITER, "trace", log, "64", "0", "1", data=rows)
        self.renamed(order, "log.conf")
        segments = {path for path in order.renames if path.endswith(".seg")}
        self.assertGreaterEqual(len(segments), 3)
        # The last one may have been made ahead, and not been used.
        self.assertLessEqual(len(segments - {path for path, _ in order.ranges}), 1)

    def test_adopted(self):
        """A segment that its maker did not live to make durable."""
        segment = Segment(self.log, 1)
        segment.boot()
        fill(segment, 3)
        order = self.order_of(WRITER, "trace", self.log, "1", "0", "1", data=b"1700000000000000000 1 1\n")
        self.assertEqual([path for path in order.renames if path.endswith(".seg")], [], "it was not adopted")
        self.assertIn(os.path.realpath(self.log), order.files_synced)

    def test_fold(self):
        """Two runs: the first checkpoint, and one that follows it. What is folded was synced, and no more than that."""
        segment = Segment(self.log, 1)
        for round_number in range(2):
            first = segment.next
            fill(segment, 200, start=1700000000 + 400000 * round_number, step=2000, seed=round_number)
            order = self.compact()
            self.renamed(order, "checkpoint")
            self.renamed(order, "summary.json")
            offsets = [offset for path, offset in order.ranges if path == os.path.realpath(segment.path)]
            self.assertTrue(offsets)
            self.assertLessEqual(min(offsets), first * 64)
            self.assertIn(os.path.realpath(self.log), order.files_synced)

    def test_durable_is_not_synced_again(self):
        segment = Segment(self.log, 1)
        fill(segment, 200)
        segment.durable()
        self.assertEqual(self.compact().ranges, [])

    def test_fallback_directory(self):
        """A segment elsewhere: the name is durable there before it is folded."""
        other = os.path.join(self.top, "other")
        os.mkdir(other)
        self.write_conf(self.zone, fallbacks=[other])
        fill(Segment(other, 1), 20)
        self.assertIn(os.path.realpath(other), self.compact().files_synced)

    def test_id_set(self):
        segment = Segment(self.log, 1)
        segment.call(call_id=b"0123456789abcdef")
        self.assertTrue([path for path in self.compact().renames if path.endswith(".ids")])

    def test_retention(self):
        old = Segment(self.log, 1)
        fill(old, 20, start=1600000000, step=20000)
        fill(Segment(self.log, 2), 20, step=20000, seed=2)
        os.utime(old.path, (1600400000, 1600400000))
        run("config", "--log", self.log, "retention_days", "365")
        self.renamed(self.compact(), "checkpoint.base")
        self.assertFalse(os.path.exists(old.path))

    def test_setting(self):
        fill(Segment(self.log, 1), 2)
        order = self.order_of(PROGRAM, "config", "--log", self.log, "retention_days", "365")
        self.renamed(order, "log.conf")

    def test_merge(self):
        fill(Segment(self.log, 1), 20)
        self.compact()
        output = os.path.join(self.top, "merged")
        order = self.order_of(PROGRAM, "merge", "--output", output, self.log)
        self.renamed(order, "merged")

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "not root")
    def test_read_only_segment(self):
        """Of a segment that may only be read the whole file is synced."""
        segment = Segment(self.log, 1)
        fill(segment, 20)
        os.chmod(segment.path, 0o444)
        for path in (self.top, self.log, os.path.join(self.log, "log.conf")):
            os.chown(path, 12345, 12345)
        other_user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", PROGRAM]
        if subprocess.run([*other_user, "--version"], capture_output=True, check=False).returncode:
            self.skipTest("another user may not run the program where it is built")
        order = self.order_of(*other_user, "compact", "--log", self.log)
        self.assertIn(os.path.realpath(segment.path), order.files_synced)


if __name__ == "__main__":
    if not strace_works():
        print("skipped: no strace, or it may not trace here")
        sys.exit(77)
    unittest.main(verbosity=1)
