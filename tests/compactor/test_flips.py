#!/usr/bin/python3
"""verify finds flipped bits wherever they are: in each file of a log that a real program wrote and a compactor folded. Every USAGELOG_STRIDE-th
byte, each with another bit: 1 takes them all, by default some 250 a log. What is not found must be listed here, with the chapter of FORMAT.md that says that it means nothing."""

import os
import signal
import struct
import subprocess
import tempfile
import unittest

from handmade import LogTest, Segment, fill, run

WRITER = os.environ["WRITER"]
STRIDE = int(os.environ.get("USAGELOG_STRIDE", "0"))
TRIED_WANTED = 250
LOCKS = ("lock", "import.lock")


class Flips(LogTest):
    def flip_everywhere(self, log):
        """Status, by file and offset, of verify after each flip; 0 is one that was not found."""
        self.assertEqual(run("verify", "--strict", "--log", log).returncode, 0)
        tried, missed = 0, []
        stride = STRIDE or sum(os.path.getsize(os.path.join(log, name)) for name in os.listdir(log)) // TRIED_WANTED | 1
        for name in sorted(os.listdir(log)):
            if name in LOCKS:
                continue
            path = os.path.join(log, name)
            with open(path, "r+b") as file:
                data = file.read()
                for offset in range(sum(name.encode()) % stride, len(data), stride):
                    file.seek(offset)
                    file.write(bytes([data[offset] ^ (1 << (offset // stride + offset) % 8)]))
                    file.flush()
                    tried += 1
                    if run("verify", "--strict", "--log", log).returncode == 0:
                        missed.append((name, offset))
                    file.seek(offset)
                    file.write(data[offset:offset + 1])
                    file.flush()
        self.assertEqual(run("verify", "--strict", "--log", log).returncode, 0)
        print(f"{tried} bits flipped, each found" if not missed else f"{tried} bits flipped, {len(missed)} not found")
        return missed

    def expect_harmless(self, log, missed):
        """Counts of durable slots may lag behind (3.3), and what a summary says of the moment is checked against nothing."""
        for name, offset in missed:
            if name.endswith(".seg"):
                with open(os.path.join(log, name), "rb") as file:
                    pages = struct.unpack("<Q", file.read(80)[72:])[0] // 4096
                self.assertTrue(12288 < offset < 12288 + pages, (name, offset))
                continue
            self.assertEqual(name, "summary.json")
            with open(os.path.join(log, name), encoding="utf-8") as file:
                text = file.read()
            line = text[text.rfind("\n", 0, offset) + 1:].split("\n")[0]
            self.assertRegex(line, '^\t+"(segments|pending|damaged|dropped_at_least|dropped_by_cause|suspect_days|last_updated)"')

    def test_in_a_log_by_hand(self):
        """All kinds of slots, two segments, an id set, both checkpoints, all of it durable."""
        for number in (1, 2):
            segment = Segment(self.log, number, size=65536)
            fill(segment, 60, seed=number)
            segment.durable()
            self.compact()
        self.expect_harmless(self.log, self.flip_everywhere(self.log))

    def test_in_a_log_of_a_real_writer(self):
        with tempfile.TemporaryDirectory() as log:
            writer = subprocess.Popen([WRITER, "tell", log, "1"], stdout=subprocess.PIPE)
            os.read(writer.stdout.fileno(), 4096)
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
            self.assertEqual(run("compact", "--log", log).returncode, 0)
            if run("verify", "--strict", "--log", log).returncode:
                self.skipTest("the writer was killed in the middle of a slot")
            self.expect_harmless(log, self.flip_everywhere(log))


if __name__ == "__main__":
    unittest.main(verbosity=1)
