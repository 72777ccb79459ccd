#!/usr/bin/python3
"""Syncs fail with EIO: the filesystem lies in a sparse image on a tmpfs that fills up under it. What was told durable is there after the machine has
forgotten all else; what was not, was not told so; the pages whose sync failed are copied to the fallback directory, and each call counts once, wherever it
lies now. A round is a filesystem that fails under a writer."""

import os
import re
import shutil

from support import COMMITTED, DURABLE, NOT_FLUSHED, Failed, Host, Member, call, verify

KINDS = {"ext4": ("mkfs.ext4", "-q", "-b", "4096"), "xfs": ("mkfs.xfs", "-q")}
IMAGE_MEGABYTES = 320
RESCUED = re.compile(r"[0-9a-f]{32}\.[0-9]+\.seg")


class SyncErrors(Member):
    def __init__(self):
        super().__init__("sync_errors", needs=("mkfs.xfs", "mkfs.ext4"))
        self.memory, self.place = self.path("memory"), self.path("mnt")
        self.mount(self.memory, "-t", "tmpfs", "-o", "size=128m", "none")
        self.image_path, self.filler = os.path.join(self.memory, "image"), os.path.join(self.memory, "filler")

    def begin(self, kind):
        with open(self.image_path, "wb") as file:
            file.truncate(IMAGE_MEGABYTES << 20)
        call(*KINDS[kind], self.image_path)
        self.mount(self.place, "-o", "loop", self.image_path)
        # The loop driver takes a write that ends half way, as one does when the tmpfs is full, for a whole one. A page of the tmpfs is written or not.
        device = os.path.basename(call("findmnt", "-n", "-o", "SOURCE", self.place).stdout.strip())
        with open(f"/sys/block/{device}/queue/max_sectors_kb", "w", encoding="ascii") as file:
            file.write("4")

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def forget(self):
        """What is on the disk is all there is from now on; and it has space again."""
        self.unmount(self.place)
        os.unlink(self.filler)
        self.mount(self.place, "-o", "loop", self.image_path)

    def fail(self, number):
        pick = self.random
        kind = pick.choice(list(KINDS))
        log, fallback = os.path.join(self.place, "log"), self.path(f"fallback-{number}")
        options = ["--threads", str(pick.choice([1, 2, 4])), "--pause", "100", "--segment", str(pick.choice([65536, 1 << 20])),
                   "--interval", str(pick.choice([1, 5, 1000]))]
        options += pick.choice([["--no-helper", "--flush", "20"], ["--synchronous"], ["--flush", "10"], ["--flush", "50"]])
        has_fallback = pick.random() < 0.7
        options += ["--fallback", fallback] if has_fallback else []
        backend = pick.choice(["syscall", "uring"])
        try:
            self.begin(kind)
            host = Host(log, number, *options, environment=[("USAGELOG_BACKEND", backend)])
            self.harm(host, log, fallback, has_fallback)
        except Failed as failure:
            raise Failed(f"{kind}, {backend}, {' '.join(options)}: {failure}") from failure
        self.note(f"{kind}, {backend}")
        self.unmount(self.place)
        shutil.rmtree(fallback, ignore_errors=True)
        return 1

    def harm(self, host, log, fallback, has_fallback):
        host.wait_for(self.random.choice([50, 200, 1000]))
        if self.random.random() < 0.5:
            # The log is whole on the disk, and known so: only new blocks will be missing.
            call("sync", "-f", self.place)
        self.fill()
        host.wait_for_more(self.random.choice([100, 500, 2000]))
        stats = host.stats("pfs")
        before = host.stats("fs")
        if stats["flushed"] and before["durable"] > stats["durable"] and before["flushed"]:
            raise Failed(f"no sync succeeded, yet {before['durable']} are durable after {stats['durable']}")
        host.kill()
        self.note("failed syncs", before["sync_errors"])
        self.note("flushes that said so", host.count_of(NOT_FLUSHED))
        self.forget()
        rescued = [name for name in (os.listdir(fallback) if os.path.isdir(fallback) else []) if RESCUED.fullmatch(name)]
        self.note("copies in the fallback", len(rescued))
        if len(rescued) > before["sync_errors"]:
            raise Failed(f"{len(rescued)} copies of {before['sync_errors']} ranges")
        if not os.path.exists(os.path.join(log, "log.conf")):
            if host.count_of(DURABLE):
                raise Failed("the log is gone, of which calls were told durable")
            return
        must = (DURABLE,)
        if not before["flushed"] and not before["held"]:
            must = (COMMITTED, DURABLE)  # the last flush covered every one
            self.note("flushed in spite of it")
        verify(log)
        found = self.check(log, host.results(), must=must)
        self.note("calls kept", len(found))
        self.check_folded(log, found)


if __name__ == "__main__":
    member = SyncErrors()
    member.run(member.fail)
