#!/usr/bin/python3
"""A log's files and directories are disturbed under a live writer: deleted, replaced, their modes taken away, made unchangeable, something else put in
their way; and mended again. The host sees no error but what record() is to say; each call is committed, held or dropped, and it is told which; and once all is
mended, the log's own directory is used again, all that is held is stored, and all that stands in files that have names is counted once. A round is one
disturbance of one kind of host: the rounds go through all of them."""

import itertools
import os
import shutil
import stat

from support import COMMITTED, DROPPED, DURABLE, HELD, Failed, Host, Member, call, read_log, wait_until

HOSTS = ([], ["--no-helper"], ["--synchronous"])
BACKENDS = ([], [("USAGELOG_BACKEND", "syscall")])
FALLBACKS = (0, 1)


class Disturbed(Member):
    """Each disturbance is a method that does it and returns how it is mended, as a list of calls to be made."""

    def __init__(self):
        super().__init__("files_disturbed", needs=("chattr", "mkfs.ext4"))
        self.place = self.path("mnt")
        self.mount(self.place, "-o", "loop", self.image("ext4", 64))
        self.log = self.fallback = ""
        self.harms = (self.delete_segments, self.delete_all, self.delete_directory, self.move_directory, self.empty_name_taken, self.directory_for_segments,
                      self.link_for_segments, self.fifo_for_segments, self.device_for_segments, self.link_for_directory, self.file_for_directory,
                      self.chmod_directory, self.chmod_files, self.immutable_directory, self.immutable_files, self.append_only,
                      self.conf_deleted, self.fallback_is_file)
        self.cases = list(itertools.product(HOSTS, BACKENDS, FALLBACKS, range(len(self.harms))))
        self.random.shuffle(self.cases)
        # Each disturbance once before any a second time.
        self.cases = [one for _, one in sorted(enumerate(self.cases), key=lambda pair: sum(other[3] == pair[1][3] for other in self.cases[:pair[0]]))]

    def files(self):
        return [os.path.join(self.log, name) for name in os.listdir(self.log)]

    def segments(self):
        return [name for name in self.files() if name.endswith(".seg")]

    # ---- what is done

    def delete_segments(self):
        for name in self.segments():
            os.unlink(name)
        return []

    def delete_all(self):
        """Its settings too: they are put back."""
        kept = self.path("kept.conf")
        shutil.copyfile(os.path.join(self.log, "log.conf"), kept)
        for name in self.files():
            os.unlink(name)
        return [lambda: shutil.copyfile(kept, os.path.join(self.log, "log.conf"))]

    def conf_deleted(self):
        os.rename(os.path.join(self.log, "log.conf"), self.path("mnt", "conf.kept"))
        return [lambda: os.rename(self.path("mnt", "conf.kept"), os.path.join(self.log, "log.conf"))]

    def delete_directory(self):
        kept = self.path("kept.conf")
        shutil.copyfile(os.path.join(self.log, "log.conf"), kept)
        shutil.rmtree(self.log)

        def mend():
            os.makedirs(self.log, exist_ok=True)
            shutil.copyfile(kept, os.path.join(self.log, "log.conf"))
        return [mend]

    def move_directory(self):
        os.rename(self.log, self.log + ".moved")
        return [lambda: os.rename(self.log + ".moved", self.log)]

    def in_place_of(self, make):
        """Segments are moved away, and something else stands where they were."""
        aside, names = self.log + ".aside", self.segments()
        os.mkdir(aside)
        for name in names:
            os.rename(name, os.path.join(aside, os.path.basename(name)))
            make(name)

        def mend():
            for name in names:
                if os.path.isdir(name) and not os.path.islink(name):
                    os.rmdir(name)
                else:
                    os.unlink(name)
                os.rename(os.path.join(aside, os.path.basename(name)), name)
            os.rmdir(aside)
        return [mend]

    def directory_for_segments(self):
        return self.in_place_of(os.mkdir)

    def link_for_segments(self):
        return self.in_place_of(lambda name: os.symlink("/etc/passwd", name))

    def fifo_for_segments(self):
        return self.in_place_of(os.mkfifo)

    def device_for_segments(self):
        return self.in_place_of(lambda name: os.mknod(name, 0o600 | stat.S_IFCHR, os.makedev(1, 5)))

    def empty_name_taken(self):
        """What a checkpoint, a summary and the locks are called is something else."""
        for name in ("lock", "checkpoint", "summary.json"):
            os.mkdir(os.path.join(self.log, name))
        return [lambda: [os.rmdir(os.path.join(self.log, name)) for name in ("lock", "checkpoint", "summary.json")]]

    def link_for_directory(self):
        os.rename(self.log, self.log + ".moved")
        os.symlink("loop", os.path.join(self.place, "loop"))
        os.symlink("loop", self.log)

        def mend():
            os.unlink(self.log)
            os.unlink(os.path.join(self.place, "loop"))
            os.rename(self.log + ".moved", self.log)
        return [mend]

    def file_for_directory(self):
        os.rename(self.log, self.log + ".moved")
        open(self.log, "wb").close()

        def mend():
            os.unlink(self.log)
            os.rename(self.log + ".moved", self.log)
        return [mend]

    def chmod_directory(self):
        os.chmod(self.log, 0)
        return [lambda: os.chmod(self.log, 0o700)]

    def chmod_files(self):
        for name in self.files():
            os.chmod(name, 0)
        names = self.files()
        return [lambda: [os.chmod(name, 0o600) for name in names]]

    def immutable(self, flag, names):
        call("chattr", f"+{flag}", *names)
        return [lambda: call("chattr", f"-{flag}", *names)]

    def immutable_directory(self):
        return self.immutable("i", [self.log])

    def immutable_files(self):
        return self.immutable("i", self.files())

    def append_only(self):
        return self.immutable("a", [self.log])

    def fallback_is_file(self):
        """And the log's own directory takes nothing either: calls are held, then dropped."""
        if self.fallback:
            shutil.rmtree(self.fallback, ignore_errors=True)
            open(self.fallback, "wb").close()
        return [lambda: os.unlink(self.fallback) if self.fallback and os.path.isfile(self.fallback) else None] + self.immutable_directory()

    # ---- a round

    def disturb(self, number):
        options, backend, with_fallback, which = self.cases[number % len(self.cases)]
        harm = self.harms[which]
        self.log = os.path.join(self.place, f"log-{number}")
        self.fallback = self.path(f"fallback-{number}") if with_fallback else ""
        os.mkdir(self.log, 0o700)
        words = [*options, "--threads", "2", "--segment", "65536", "--pause", "300"] + (["--fallback", self.fallback] if self.fallback else [])
        what = f"{harm.__name__}, {' '.join(words)} {dict(backend)}"
        host = Host(self.log, number % 1000, *words, environment=backend)
        try:
            self.watch(host, harm)
        except (Failed, OSError) as failure:
            if host.process.poll() is None:
                host.kill()
            raise Failed(f"{what}: {failure}") from failure
        for one in (self.log, self.fallback):
            shutil.rmtree(one, ignore_errors=True)
        self.note(harm.__name__)
        return 1

    def watch(self, host, harm):
        host.wait_for(200)
        mends = harm()
        host.wait_for_more(1500)
        host.stats("fs")
        for mend in mends:
            mend()

        def is_back():
            host.wait_for_more(20)
            stats = host.stats()
            return stats["fallback"] == 0 and stats["held"] == 0
        wait_until(is_back, "the log's own directory in use, nothing held")
        mended = host.count()
        host.wait_for_more(1500)
        end = host.quit()
        results = host.results()
        told = {kind: sum(one == kind for one in results.values()) for kind in (COMMITTED, DURABLE, HELD, DROPPED)}
        if end["attempted"] != end["committed"] + end["held"] + end["dropped"] or end["dropped"] != told[DROPPED] or len(results) != end["attempted"]:
            raise Failed(f"told were {told}, the stats say {end}")
        if end["flushed"] or end["held"] or end["durable"] != end["committed"]:
            raise Failed(f"at the end not all is durable: {end}")
        self.note("calls dropped, counted", told[DROPPED])
        self.check_after(host, harm, mended, results)

    def check_after(self, host, harm, mended, results):
        """Where files were deleted, what was in them is gone, unless it was copied; all else is there once."""
        calls = read_log(self.log)
        found = set(calls)
        deleted = harm in (self.delete_segments, self.delete_all, self.delete_directory)
        late = {(event[2] + host.number * 64, event[3]) for event in host.events[mended:] if event[1] in (COMMITTED, DURABLE)}
        kept = {one for one, kind in results.items() if kind != DROPPED}
        must = late if deleted else kept
        lost, never = must - found, found - kept
        self.figures["lost"] += len(lost)
        self.figures["twice"] += len(calls) - len(found)
        self.figures["false"] += len(never)
        if lost or never or len(calls) != len(found):
            raise Failed(f"{len(lost)} of {len(must)} lost {sorted(lost)[:5]}, {len(calls) - len(found)} twice, {len(never)} false {sorted(never)[:5]}")
        self.note("calls kept", len(found))
        self.note("calls gone with deleted files", len(kept - found))
        self.check_folded(self.log, found)


if __name__ == "__main__":
    member = Disturbed()
    member.run(member.disturb)
