#!/usr/bin/python3
"""A host's limits are taken away under it: the size of files, descriptors, address space, locked memory; from its start or while it records; and given back.
No signal ends it, each call is committed, held or dropped, and it is told which; no descriptor or mapping is left over; and with its limits back the host
stores what it held and goes on. A round is one limit, one height of it, one kind of host."""

import itertools
import os
import resource
import shutil

from support import COMMITTED, DROPPED, DURABLE, HELD, HOST, Failed, Host, Member, wait_until
import support

NONE = resource.RLIM_INFINITY
# By how much each is lowered: to a figure, or to what is in use and so much more.
LIMITS = {"FSIZE": (0, 1, 4096, 65535, 65536, 100000), "NOFILE": (0, 1, 2, 4), "AS": (0, 1 << 16, 1 << 20, 1 << 23), "MEMLOCK": (0, 4096)}
HOSTS = ([], ["--no-helper"], ["--synchronous"])
BACKENDS = ([], [("USAGELOG_BACKEND", "syscall")])


class Limits(Member):
    def __init__(self):
        super().__init__("rlimits", namespace=False)
        self.cases = [(name, height, *rest) for rest in itertools.product(HOSTS, BACKENDS, (True, False)) for name, heights in LIMITS.items() for height in heights]
        self.random.shuffle(self.cases)

    @staticmethod
    def in_use(process, name):
        if name == "NOFILE":
            return max(int(fd) for fd in os.listdir(f"/proc/{process.pid}/fd")) + 1
        if name == "AS":
            with open(f"/proc/{process.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[0]) * resource.getpagesize()
        return 0

    def one_limit(self, number):
        name, height, options, backend, live = self.cases[number % len(self.cases)]
        log, what = self.path(f"log-{number}"), f"{name} {height}, {' '.join(options)} {dict(backend)}, {'live' if live else 'from the start'}"
        kind = getattr(resource, f"RLIMIT_{name}")
        words = [*options, "--threads", "2", "--segment", "65536", "--pause", "300"]
        try:
            if live:
                self.while_it_records(Host(log, number % 1000, *words, environment=backend, piped=True), log, kind, name, height)
            else:
                self.from_the_start(log, number % 1000, words, backend, name, height)
        except Failed as failure:
            raise Failed(f"{what}: {failure}") from failure
        shutil.rmtree(log, ignore_errors=True)
        self.note(name)
        return 1

    def while_it_records(self, host, log, kind, name, height):
        try:
            host.wait_for(200)
            process = host.process
            before = resource.prlimit(process.pid, kind)
            resource.prlimit(process.pid, kind, (self.in_use(process, name) + height, before[1]))
            host.wait_for_more(3000)
            host.stats("fs")
            resource.prlimit(process.pid, kind, before)

            def is_back():
                host.wait_for_more(20)
                return host.stats()["held"] == 0
            wait_until(is_back, "nothing held")
            fds = len(os.listdir(f"/proc/{process.pid}/fd"))
            maps = self.segments_mapped(process)
            host.wait_for_more(6000)
            host.stats("fs")
            # Some segments more went by, and none stays.
            if len(os.listdir(f"/proc/{process.pid}/fd")) > fds + 4 or self.segments_mapped(process) > maps + 4:
                raise Failed(f"descriptors: {fds}, then {len(os.listdir(f'/proc/{process.pid}/fd'))}; segments mapped: {maps}, then {self.segments_mapped(process)}")
            end = host.quit()
        except (Failed, OSError) as failure:
            if host.process.poll() is None:
                host.kill()
            raise Failed(str(failure)) from failure
        self.check_end(host, log, end)

    @staticmethod
    def segments_mapped(process):
        with open(f"/proc/{process.pid}/maps", encoding="utf-8") as file:
            return sum(".seg" in line for line in file)

    def from_the_start(self, log, number, words, backend, name, height):
        least = {"FSIZE": 0, "NOFILE": 4, "AS": 1 << 23, "MEMLOCK": 0}[name]
        wrapper = self.path("limited")
        with open(wrapper, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nexec prlimit --{name.lower()}={least + height}:{'unlimited' if name != 'NOFILE' else ''} {HOST} \"$@\"\n")
        os.chmod(wrapper, 0o755)
        support.HOST = wrapper
        try:
            host = Host(log, number, *words, environment=backend, piped=True)
        finally:
            support.HOST = HOST
        host.wait_for(500, may_end=True)
        if host.process.poll() is None:
            host.command("q")
        rest = host.process.communicate(timeout=60)[1]
        host.read()
        # It may be that nothing can be opened or loaded at all: that is said. 2: the host has no thread of its own.
        if host.process.returncode not in (0, 1, 2, 127) or not (rest.strip() or host.process.returncode == 2):
            raise Failed(f"status {host.process.returncode}: {rest}")
        if host.process.returncode == 0 and os.path.exists(os.path.join(log, "log.conf")):
            self.check(log, {one: kind for one, kind in host.results().items() if kind in (COMMITTED, DURABLE, DROPPED, HELD)})

    def check_end(self, host, log, end):
        results = host.results()
        dropped = sum(kind == DROPPED for kind in results.values())
        if end["attempted"] != end["committed"] + end["held"] + end["dropped"] or end["dropped"] != dropped or end["flushed"] or end["held"]:
            raise Failed(f"{dropped} were told to be dropped, the stats say {end}")
        self.note("calls dropped, counted", dropped)
        found = self.check(log, results, must=(COMMITTED, DURABLE, HELD), in_progress=False)
        self.check_folded(log, found)


if __name__ == "__main__":
    member = Limits()
    member.run(member.one_limit)
