#!/usr/bin/python3
"""A disk is full, or a quota used up, under a live writer, at every fill level. The host lives; each call is committed, held or dropped, and it is told
which; with fallback directories, the backup's is used, then the emergency one; and with space again, what was held is stored and the log's own
directory is used again. A round is one fill level of one kind of filesystem: tmpfs, ext4, xfs, btrfs under a quota, xfs with a reflinked segment."""

import os
import shutil

from support import COMMITTED, DROPPED, DURABLE, HELD, Failed, Host, Member, call, wait_until

KINDS = ("tmpfs", "ext4", "xfs", "btrfs", "reflink")
SIZES = {"ext4": 24, "xfs": 320, "btrfs": 256, "reflink": 320}


class DiskFull(Member):
    def __init__(self):
        super().__init__("disk_full", needs=("mkfs.xfs", "mkfs.ext4", "mkfs.btrfs", "cp"))
        self.places, self.group = {}, None
        for kind in KINDS:
            self.places[kind] = self.make(kind, kind)
        self.backup = self.make("tmpfs", "backup")

    def make(self, kind, name):
        place = self.path("mnt", name)
        if kind == "tmpfs":
            self.mount(place, "-t", "tmpfs", "-o", "size=3m", "none")
            return place
        self.mount(place, "-o", "loop", self.image("xfs" if kind == "reflink" else kind, SIZES[kind], name))
        if kind == "btrfs":
            # A quota below the disk's size: EDQUOT comes before ENOSPC.
            call("btrfs", "quota", "enable", place)
            call("btrfs", "subvolume", "create", os.path.join(place, "volume"))
            place = os.path.join(place, "volume")
            self.group = "0/" + call("btrfs", "inspect-internal", "rootid", place).stdout.strip()
        return place

    def fill(self, place, name, leave_pages):
        """Use up all but so many pages."""
        filler = os.path.join(place, name)
        fd = os.open(filler, os.O_RDWR | os.O_CREAT, 0o600)
        size, step = 0, 1 << 24
        try:
            while step >= 4096:
                try:
                    os.posix_fallocate(fd, size, step)
                    os.pwrite(fd, bytes(step), size)
                    size += step
                except OSError:
                    step //= 4
            os.fsync(fd)
            os.ftruncate(fd, max(0, size - leave_pages * 4096))
        except OSError:
            pass
        finally:
            os.close(fd)
        return filler

    def limit(self, place, to):
        # By the quota group's name: by the volume's, its own quota stands in the way.
        call("btrfs", "qgroup", "limit", to, self.group, os.path.dirname(place))

    def use_up(self, kind, place, leave_pages):
        if kind == "btrfs":
            call("sync", "-f", place)
            used = next(line.split() for line in call("btrfs", "qgroup", "show", "--raw", place).stdout.splitlines() if line.startswith(self.group))
            self.limit(place, str(int(used[1]) + leave_pages * 4096))
            return
        self.fill(place, "filler", leave_pages)

    def give_back(self, kind, place):
        if kind == "btrfs":
            self.limit(place, "none")
        else:
            os.unlink(os.path.join(place, "filler"))

    def at_level(self, number):
        pick = self.random
        kind, leave = KINDS[number % len(KINDS)], pick.choice([0, 0, 1, 2, 5, 17, 33, 64, 100, 200])
        place, name = self.places[kind], f"log-{number}"
        log, backup, emergency = os.path.join(place, name), os.path.join(self.backup, name), self.path(f"emergency-{number}")
        directories = pick.choice([[], [backup], [backup, emergency]])
        options = [word for one in directories for word in ("--fallback", one)]
        options += ["--threads", str(pick.choice([1, 4])), "--segment", "65536", "--pause", "200"] + pick.choice([["--no-helper"], ["--synchronous"], [], []])
        both = emergency in directories and pick.random() < 0.7
        try:
            self.run_host(number, kind, place, log, options, leave, directories, both)
        except Failed as failure:
            raise Failed(f"{kind}, {leave} pages left, {' '.join(options)}, backup {'full' if both else 'has room'}: {failure}") from failure
        for one in (log, backup, emergency):
            shutil.rmtree(one, ignore_errors=True)
        self.note(kind)
        return 1

    def run_host(self, number, kind, place, log, options, leave, directories, both):
        host = Host(log, number, *options, environment=self.random.choice([[], [("USAGELOG_BACKEND", "syscall")]]))
        host.wait_for(200)
        if kind == "reflink":
            # Each block is shared now: a store to it must find a new one.
            for one in os.listdir(log):
                if one.endswith(".seg"):
                    call("cp", "--reflink=always", os.path.join(log, one), os.path.join(place, f"copy-{number}-{one}"))
        if both:
            self.fill(self.backup, "filler", self.random.choice([0, 3, 20]))
        self.use_up(kind, place, leave)
        # Until nothing more goes to the log's own directory: where it went, or that it went nowhere, is told.
        wanted = 0 if not directories else 2 if both else 1
        stats = {}

        def is_met():
            host.wait_for_more(20)
            stats.update(host.stats())
            return stats["fallback"] == wanted if directories else stats["dropped"] > 0
        wait_until(is_met, f"calls that go elsewhere: {stats}")
        host.wait_for_more(200)
        self.check_sums(host.stats("ps"), host)
        host.command("g")
        self.give_back(kind, place)
        if both:
            os.unlink(os.path.join(self.backup, "filler"))

        def is_back():
            host.wait_for_more(20)
            stats.update(host.stats())
            return stats["fallback"] == 0 and stats["held"] == 0
        wait_until(is_back, f"the log's own directory in use: {stats}")
        host.wait_for_more(200)
        end = host.quit()
        if end["flushed"] or end["held"] or end["durable"] != end["committed"]:
            raise Failed(f"at the end not all is durable: {end}")
        self.check_end(log, host, end)
        for one in os.listdir(place):
            if one.startswith("copy-"):
                os.unlink(os.path.join(place, one))

    @staticmethod
    def check_sums(stats, host):
        if stats["attempted"] != stats["committed"] + stats["held"] + stats["dropped"] or stats["dropped"] != stats["dropped_space"]:
            raise Failed(f"the figures do not add up, or name another cause: {stats}")
        if stats["attempted"] > host.count():
            raise Failed(f"{stats['attempted']} attempted, of {host.count()} calls")

    def check_end(self, log, host, end):
        self.check_sums(end, host)
        results = host.results()
        told = {kind: sum(one == kind for one in results.values()) for kind in (COMMITTED, DURABLE, HELD, DROPPED)}
        if end["dropped"] != told[DROPPED] or end["committed"] != len(results) - told[DROPPED]:
            raise Failed(f"told were {told}, the stats say {end}")
        found = self.check(log, results, must=(COMMITTED, DURABLE, HELD), in_progress=False)
        self.check_folded(log, found)
        self.note("calls dropped, counted", told[DROPPED])
        self.note("calls kept", len(found))


if __name__ == "__main__":
    member = DiskFull()
    member.run(member.at_level)
