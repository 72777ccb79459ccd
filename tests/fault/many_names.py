#!/usr/bin/python3
"""A log's directory holds very many segments, and things that are none under segments' names: a FIFO, a device, a loop of links, a directory, a file of a
terabyte with nothing in it, empty files. Every command ends, in a time and memory that grow with the number of names and no faster, and what is sound is
folded, once. A round is a thousand names, of which a tenth are segments with a call."""

import os
import resource
import stat
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compactor"))
from support import HOST, PROGRAM, Failed, Member
import handmade

CPU_US_A_NAME, BYTES_A_NAME, BYTES_AT_LEAST = 400, 3000, 64 << 20
SECONDS_MAX = 3000


class ManyNames(Member):
    def __init__(self):
        super().__init__("many_names", namespace=False)
        self.log = self.path("log")
        self.segments = self.names = 0

    def make(self, thousands):
        os.mkdir(self.log)
        with open(os.path.join(self.log, "log.conf"), "wb") as file:
            file.write(handmade.conf_text())
        self.segments, self.names = thousands * 100, thousands * 1000
        for number in range(self.segments):
            segment = handmade.Segment(self.log, number + 1, size=65536)
            segment.call(1700000000 + number % 100000)
        empty = os.path.join(self.log, "empty.seg")
        open(empty, "wb").close()
        links = 0
        for _ in range(self.names - self.segments - 6):
            name = os.path.join(self.log, uuid.UUID(int=self.random.getrandbits(128)).hex + ".seg")
            links += 1
            if links % 60000 == 0:  # a file has no more names than that
                empty = os.path.join(self.log, f"empty-{links}.seg")
                open(empty, "wb").close()
            os.link(empty, name)
        os.mkfifo(os.path.join(self.log, "0f.seg"))
        os.symlink("loop.seg", os.path.join(self.log, "loop.seg"))
        os.symlink("/etc/passwd", os.path.join(self.log, "link.seg"))
        os.mkdir(os.path.join(self.log, "directory.seg"))
        if os.geteuid() == 0:
            os.mknod(os.path.join(self.log, "zero.seg"), 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        # Sparse, and a terabyte: a segment's header and nothing else.
        huge = handmade.Segment(self.log, self.segments + 1, size=65536)
        os.truncate(huge.path, 1 << 40)

    def measure(self, name, *command, allowed, data=None):
        begun = time.monotonic()
        out = self.path("out")
        with open(out, "wb") as file, open(os.devnull, "rb") as none:
            process = subprocess.Popen(command, stdin=subprocess.PIPE if data else none, stdout=file, stderr=subprocess.DEVNULL,
                                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_MAX, SECONDS_MAX)))
            if data:
                process.stdin.write(data)
                process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
        what = f"{name}: {time.monotonic() - begun:.2f} s, {cpu:.2f} s of processor, {memory / (1 << 20):.0f} MiB"
        print(f"{self.names:,} names: {what}")
        if process.returncode not in allowed:
            raise Failed(f"{what}: status {process.returncode}")
        if cpu > 1 + self.names * CPU_US_A_NAME / 1e6:
            raise Failed(f"{what}: too long for {self.names} names")
        if memory > BYTES_AT_LEAST + self.names * BYTES_A_NAME:
            raise Failed(f"{what}: too much memory for {self.names} names")
        self.notes[f"names: {what}"] = self.names
        return out

    def look(self, number):
        if number:
            return 0
        self.make(self.options.rounds)
        program = [PROGRAM, "--log", self.log]
        self.measure("summary", *program, "summary", "--json", allowed=(0, 1))
        self.measure("compact", *program, "compact", "--quiet", allowed=(0, 1))
        self.measure("compact again", *program, "compact", "--quiet", allowed=(0, 1))
        out = self.measure("verify", *program, "verify", allowed=(4, 12))
        with open(out, "rb") as file:
            text = file.read()
        if f"{self.segments} valid calls = {self.segments} folded".encode() not in text.replace(b",", b""):
            raise Failed(f"not all is folded: {text[-300:]!r}")
        out = self.measure("dump", *program, "dump", "--format", "csv", allowed=(0, 1))
        with open(out, "rb") as file:
            lines = sum(1 for _ in file) - 1
        if lines != self.segments:
            raise Failed(f"dump shows {lines} calls of {self.segments}")
        self.measure("open and record", HOST, self.log, "--segment", "65536", allowed=(0,), data=b"sq")
        return self.names


if __name__ == "__main__":
    member = ManyNames()
    member.run(member.look)
