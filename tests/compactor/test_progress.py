#!/usr/bin/python3
"""How far a long run is: told on a terminal, and nowhere else."""

import os
import pty
import shutil
import subprocess
import time
import unittest

from handmade import LogTest, PROGRAM, Segment

SEGMENTS = 80
# Each file takes so long to open that all of them take over a second: without that the run would be too short to draw.
SLOW = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=openat", "-e", "inject=openat:delay_enter=5000")
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}
BAR = r"\r%s( \[[# ]{30}\] +\d+ %%)?  .*\d.* [KMGTPE]?i?B/s\x1b\[K"
TIMEOUT_S = 120


class Terminal:
    """A terminal that is the standard error of a program."""

    def __init__(self, *command, **options):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, text=True, **options)
        os.close(slave)
        os.set_blocking(self.master, False)
        self.said = ""

    def read(self):
        try:
            while data := os.read(self.master, 65536):
                self.said += data.decode()
        except (BlockingIOError, OSError):
            pass
        return self.said

    def end(self):
        """All that was said, once the program ended."""
        # The terminal's room is small: it is emptied meanwhile.
        while self.process.poll() is None:
            self.read()
            time.sleep(0.002)
        out = self.process.stdout.read()
        self.process.stdout.close()
        self.read()
        os.close(self.master)
        return out, self.said


class Progress(LogTest):
    def expect_bar(self, said, what):
        self.assertRegex(said, BAR % what)
        # Erased: whatever was drawn is followed by an empty line.
        self.assertRegex(said, r"\r\x1b\[K$")

    @unittest.skipUnless(shutil.which("strace"), "no strace")
    def test_fold_and_check(self):
        for number in range(SEGMENTS):
            Segment(self.log, number + 1).call()
        for command, what in (("compact", "folding"), ("verify", "checking")):
            out, said = Terminal(*SLOW, PROGRAM, "--log", self.log, command, env={**os.environ, **ENVIRONMENT}).end()
            self.assertRegex(out, f"^folded {SEGMENTS} calls|\nSOUND\n$")
            self.expect_bar(said, what)
            self.assertEqual(out.count("\x1b"), 0)
            # Ten times a second at most: each file would be drawn else.
            self.assertLess(said.count(what), SEGMENTS // 2)

    @unittest.skipUnless(shutil.which("strace"), "no strace")
    def test_not_asked_for(self):
        for number in range(SEGMENTS):
            Segment(self.log, number + 1).call()
        environment = {**os.environ, **ENVIRONMENT}
        # Quiet, and then no terminal.
        self.assertEqual(Terminal(*SLOW, PROGRAM, "--log", self.log, "compact", "--quiet", env=environment).end(), ("", ""))
        done = subprocess.run([*SLOW, PROGRAM, "--log", self.log, "verify"], capture_output=True, text=True, env=environment,
                              timeout=TIMEOUT_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        # And a short run has none.
        self.assertEqual(Terminal(PROGRAM, "--log", self.log, "verify").end()[1], "")

    def test_import(self):
        rows = "2026-01-01T00:00:00Z,p,m,%d,1\n"
        terminal = Terminal(PROGRAM, "--log", self.log, "import", "--format", "csv", "-", stdin=subprocess.PIPE)
        feed = terminal.process.stdin
        feed.write("time,provider,model,input_tokens,output_tokens\n")
        count, end = 0, time.monotonic() + TIMEOUT_S
        while "importing" not in terminal.read():
            self.assertLess(time.monotonic(), end, "no bar was drawn")
            for _ in range(500):
                feed.write(rows % count)
                count += 1
            feed.flush()
        # A message stands on a line of its own.
        feed.write(rows % -1)
        feed.close()
        out, said = terminal.end()
        self.assertIn(f"imported {count:,} calls (0 already there, 1 refused)", out)
        self.assertRegex(said, BAR % "importing")
        self.assertIn("\r\x1b[Kusagelog: (standard input):", said)


if __name__ == "__main__":
    unittest.main()
