#!/usr/bin/python3
"""The files of a live writer of several threads are taken from under its mapping: cut short, punched, their filesystem shut down. The host lives, with
and without a handler for SIGBUS of its own; its handler gets the host's own faults, and no other. Calls in files that were left alone are kept, all that is
told committed once the harm was noticed is kept, and what is left of the harmed file reads without a fault. Of a filesystem that was shut down all is kept:
memory still has what the disk does not."""

import ctypes
import os
import shutil

from support import COMMITTED, DURABLE, OWN_FAULT, PROGRAM, THREADS_MAX, Failed, Host, Member, call, read_log, totals, verify

PUNCH = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE
ENTRIES_AT = 4 * 4096  # of a segment of up to 16 MiB
libc = ctypes.CDLL(None, use_errno=True)


def segments(path):
    return sorted(os.path.join(path, name) for name in os.listdir(path) if name.endswith(".seg"))


class Sigbus(Member):
    def __init__(self):
        super().__init__("sigbus", needs=("mkfs.xfs", "mkfs.ext4"))
        self.place, self.disks = self.path("mnt"), {kind: self.image(kind, size, kind) for kind, size in (("ext4", 64), ("xfs", 320))}
        self.kind = None

    def use(self, kind):
        """A fresh mount: a filesystem that was shut down stays so."""
        if self.place in self.mounts:
            self.unmount(self.place)
        self.mount(self.place, "-o", "loop", self.disks[kind])
        self.kind = kind

    def cut_short(self, log):
        for name in segments(log):
            size = os.stat(name).st_size
            at = self.random.choice([0, ENTRIES_AT, self.random.randrange(size + 1), self.random.randrange(size + 1) // 4096 * 4096])
            os.truncate(name, at)

    def punch(self, log):
        """Its entries, not its header: with that the file itself is gone."""
        for name in segments(log):
            fd = os.open(name, os.O_RDWR)
            try:
                at = self.random.choice([ENTRIES_AT, ENTRIES_AT + self.random.randrange(100) * 4096])
                if libc.fallocate(fd, PUNCH, ctypes.c_long(at), ctypes.c_long(1 << 30)):
                    raise OSError(ctypes.get_errno(), "fallocate")
            finally:
                os.close(fd)

    def shut(self, log):
        del log
        self.shut_down(self.place)

    def harm(self, number):
        pick = self.random
        kind, harm = pick.choice(["ext4", "xfs"]), pick.choice([self.cut_short, self.punch, self.shut])
        if kind != self.kind or harm == self.shut:
            self.use(kind)
        log, fallback = os.path.join(self.place, f"log-{number}"), self.path(f"fallback-{number}")
        options = ["--threads", str(pick.choice([2, 4, 8])), "--fallback", fallback, "--pause", str(pick.choice([0, 100])),
                   "--segment", str(pick.choice([262144, 1 << 20])), "--interval", str(pick.choice([1, 5, 1000]))]
        options += pick.choice([["--own-faults"], ["--handler"], []])
        options += pick.choice([["--no-helper"], ["--synchronous"], ["--flush", "50"], [], []])
        host = Host(log, number, *options, environment=pick.choice([[], [("USAGELOG_BACKEND", "syscall")]]))
        host.wait_for(pick.choice([200, 1000, 5000]))
        before = set(os.listdir(log))
        harm(log)
        # Until the harm was met, and calls go elsewhere: to a file that was not there.
        known = lambda: set(os.listdir(fallback)) | (set(os.listdir(log)) - before if harm != self.shut else set())
        tries = 0
        while not any(name.endswith(".seg") for name in known()) and tries < 200:
            host.wait_for_more(50)
            tries += 1
        # A thread in a page of which the file has a part meets no fault: a sync finds the file too short, and has it leave.
        host.wait_for_more(500)
        host.stats("fs")
        host.wait_for_more(100)
        noticed = host.count()
        host.wait_for_more(500)
        host.quit()
        self.note(f"{harm.__name__} on {kind}")
        self.note("faults of the host's own", host.count_of(OWN_FAULT))
        if "--own-faults" in options and not host.count_of(OWN_FAULT):
            raise Failed("the host's handler had none of its own faults")
        if harm == self.shut:
            self.use(kind)
        try:
            self.check_after(log, host, 0 if harm == self.shut else noticed)
        except Failed as failure:
            raise Failed(f"{harm.__name__} on {kind}, {' '.join(options)}: {failure}") from failure
        shutil.rmtree(log)
        shutil.rmtree(fallback)
        return 1

    def check_after(self, log, host, noticed):
        verify(log, allowed=1 | 4 | 8)  # files are damaged: it says so, and ends
        calls, results = read_log(log), host.results()
        must, begun = set(), set()
        for _, kind, thread, call_number in host.events[noticed:]:
            # The first that a thread tells may have been on its way since before.
            if kind in (COMMITTED, DURABLE) and (thread in begun or not noticed):
                must.add((thread + host.number * THREADS_MAX, call_number))
            if kind != OWN_FAULT:
                begun.add(thread)
        found = set(calls)
        lost, never = must - found, found - results.keys()
        self.note("calls kept", len(found))
        self.note("calls gone with the files", len(results) - len(found))
        self.figures["lost"] += len(lost)
        self.figures["twice"] += len(calls) - len(found)
        self.figures["false"] += len(never)
        if lost or never or len(calls) != len(found):
            raise Failed(f"{len(lost)} of {len(must)} lost {sorted(lost)[:5]}, {len(calls) - len(found)} twice, {len(never)} false")
        done = call(PROGRAM, "--log", log, "compact", "--quiet", check=False)
        if done.returncode not in (0, 1, 4):
            raise Failed(f"compact: status {done.returncode}: {done.stderr}")
        if totals(log)["calls"] != len(found):
            raise Failed(f"the summary says {totals(log)['calls']} calls, the segments {len(found)}")


if __name__ == "__main__":
    member = Sigbus()
    member.run(member.harm)
