#!/usr/bin/python3
"""Root folds, records, imports, rebuilds and sets things in the log of a user, who then goes on: reads, records in what is there, folds and verifies, and
owns every file. And a log on a FUSE filesystem, as on a network one: nobody records there unless told to, and the reason is said; told to, it works; and
who folds it is warned. A round is one such log; the second half of this needs bindfs and root."""

import os
import shutil
import signal
import subprocess

from support import COMMITTED, DROPPED, DURABLE, HOST, PROGRAM, Failed, Host, Member, call, wait_until

USER, GROUP = 54321, 54322
CSV = "time,provider,model,input_tokens,output_tokens,call_id\n"
REFUSED = "is on a filesystem of the kind fuse"


class OtherOwners(Member):
    def __init__(self):
        super().__init__("other_owners", needs=("setpriv",))
        os.chmod(self.directory, 0o755)
        self.calls = {}
        if not shutil.which("bindfs"):
            self.skipped["fuse"] = "bindfs is not here"

    def as_user(self, *command, allowed=(0,)):
        return self.run_one("setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", *command, allowed=allowed)

    @staticmethod
    def run_one(*command, allowed=(0,)):
        done = call(*command, check=False)
        if done.returncode not in allowed:
            raise Failed(f"{' '.join(command)}: status {done.returncode}: {done.stdout[-500:]}{done.stderr}")
        return done

    def rows(self, count):
        path = self.path("rows.csv")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CSV)
            for _ in range(count):
                number = len(self.calls) + 1
                self.calls[7, number] = DURABLE
                file.write(f"2026-01-05T10:00:00Z,p,m,7,{number},i-{number}\n")
        os.chmod(path, 0o644)
        return path

    def write(self, log, number, user):
        """A host of either, that ends or is killed."""
        words = ["--segment", "65536", *self.random.choice([[], ["--no-helper"], ["--synchronous"]])]
        backend = self.random.choice([{}, {"USAGELOG_BACKEND": "syscall"}])
        wrapper = self.path("as-user")
        with open(wrapper, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nexec {f'setpriv --reuid={USER} --regid={GROUP} --clear-groups ' if user else ''}{HOST} \"$@\"\n")
        os.chmod(wrapper, 0o755)
        import support
        support.HOST = wrapper
        try:
            host = Host(log, number, *words, environment=backend)
        finally:
            support.HOST = HOST
        host.wait_for(100)
        if self.random.random() < 0.5:
            host.kill()
        else:
            host.quit()
        self.calls.update({one: kind for one, kind in host.results().items() if kind != DROPPED})

    def root_works(self, log, number):
        what = self.random.choice(["compact", "record", "import", "rebuild", "config", "write", "verify"])
        if what == "record":
            self.calls[8, number] = COMMITTED
            self.run_one(PROGRAM, "--log", log, "record", "--provider", "p", "--model", "m", "--input-tokens", "8", "--output-tokens", str(number))
        elif what == "import":
            self.run_one(PROGRAM, "--log", log, "import", "--format", "csv", self.rows(5))
        elif what == "config":
            self.run_one(PROGRAM, "--log", log, "config", "group_by", "user")
        elif what == "write":
            self.write(log, number, False)
        else:
            self.run_one(PROGRAM, "--log", log, what, allowed=(0, 1))
        return what

    def check_owned(self, log, what):
        for name in os.listdir(log):
            found = os.lstat(os.path.join(log, name))
            if (found.st_uid, found.st_gid) != (USER, GROUP):
                raise Failed(f"after {what} by root {name} is {found.st_uid}'s")

    def a_log(self, number):
        self.calls = {}
        home = self.path(f"home-{number}")
        os.mkdir(home)
        os.chown(home, USER, GROUP)
        log, did = os.path.join(home, "log"), []
        self.write(log, 100 + number % 50 * 10, True)
        for turn in range(self.random.choice([1, 3, 5])):
            did.append(self.root_works(log, 101 + number % 50 * 10 + turn))
            self.check_owned(log, " ".join(did))
        try:
            self.as_user(PROGRAM, "--log", log, "verify")
            self.write(log, 109 + number % 50 * 10, True)
            self.as_user(PROGRAM, "--log", log, "import", "--format", "csv", self.rows(3))
            self.as_user(PROGRAM, "--log", log, "compact", "--quiet")
            self.as_user(PROGRAM, "--log", log, "summary")
            self.as_user(PROGRAM, "--log", log, "verify", "--strict", allowed=(0, 1))
        except Failed as failure:
            raise Failed(f"after {', '.join(did)} by root: {failure}") from failure
        self.check_folded(log, self.check(log, self.calls))
        self.note("turns of root's", len(did))
        if "fuse" not in self.skipped:
            self.on_fuse(log, number)
        shutil.rmtree(home)
        return 1

    def on_fuse(self, log, number):
        place = self.path("fuse")
        os.makedirs(place, exist_ok=True)
        self.run_one("bindfs", "--no-allow-other", log, place)
        self.mounts.append(place)
        try:
            before = sorted(name for name in os.listdir(log) if name.endswith(".seg"))
            for command in (("record", "--provider", "p", "--model", "m"), ("import", "--format", "csv", self.rows(0)), ("compact",), ("rebuild",)):
                done = self.run_one(PROGRAM, "--log", place, *command, allowed=(0, 1) if command[0] in ("compact", "rebuild") else (8,))
                if REFUSED not in done.stderr:
                    raise Failed(f"{command[0]} on FUSE: {done.stderr}")
            done = subprocess.run([HOST, place], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            if done.returncode != 1 or b"filesystem" not in done.stderr:
                raise Failed(f"a host on FUSE: status {done.returncode}: {done.stderr}")
            if sorted(name for name in os.listdir(log) if name.endswith(".seg")) != before:
                raise Failed("something was recorded on FUSE")
            for command in ("verify", "summary", "dump"):
                self.run_one(PROGRAM, "--log", place, command, allowed=(0, 1))
            host = Host(place, 900 + number % 50, "--any-filesystem", "--segment", "65536")
            host.wait_for(200)
            host.quit()
            self.calls.update({one: kind for one, kind in host.results().items() if kind != DROPPED})
            self.check(place, self.calls)
        finally:
            self.unmount(place)
        wait_until(lambda: not os.listdir(place), "FUSE is gone")
        self.check_folded(log, self.check(log, self.calls))
        self.note("logs on FUSE")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    member = OtherOwners()
    member.run(member.a_log)
