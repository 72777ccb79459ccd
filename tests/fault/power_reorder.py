#!/usr/bin/python3
"""Power is lost, and the disk had written what it had been given in an order of its own: of all since its last flush any part, some of it torn by sectors. A
writer and a compactor work on a filesystem on a disk that remembers each write; then states of that disk at many moments are mounted, which replays the
filesystem's journal, and the log is looked at. A round is a state."""

import os
import shutil
import subprocess
import time

from support import DROPPED, DURABLE, HELD, PROGRAM, Failed, Host, Member, call, skip, totals, verify

SIZES = {"ext4": 64 << 20, "xfs": 320 << 20}
STATES_A_SESSION, FRACTIONS = 200, 1000000


class Disk:
    def __init__(self, place, size):
        os.makedirs(place, exist_ok=True)
        self.place = place
        self.process = subprocess.Popen([os.environ["DISK"], place, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            skip("no FUSE filesystem can be mounted here")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Reorder(Member):
    def __init__(self):
        super().__init__("power_reorder", needs=("mkfs.xfs", "mkfs.ext4"))
        self.place, self.disk, self.moments = self.path("mnt"), None, []
        self.log = os.path.join(self.place, "log")
        self.hosts, self.folds, self.kind, self.number = [], [], None, 0

    def work(self):
        """A writer after another, with folds between, on a fresh disk."""
        pick = self.random
        if self.disk:
            self.disk.close()
        self.number += 1
        self.kind = pick.choice(list(SIZES))
        self.disk = Disk(self.path(f"disk-{self.number}"), SIZES[self.kind])
        live = os.path.join(self.disk.place, "live")
        call(f"mkfs.{self.kind}", "-q", live)
        self.new_boot()
        self.mount(self.place, "-o", "loop", live)
        call("sync", "-f", self.place)
        self.disk.ask("begin")
        self.hosts, self.folds = [], []
        for number in range(pick.choice([1, 2, 3])):
            options = ["--threads", str(pick.choice([1, 2, 4])), "--pause", str(pick.choice([200, 1000])),
                       "--segment", str(pick.choice([65536, 1 << 20])), "--interval", str(pick.choice([1, 5, 1000]))]
            options += pick.choice([["--synchronous"], ["--no-helper", "--flush", "20"], ["--flush", str(pick.choice([1, 7, 50]))]])
            host = Host(self.log, number, *options, environment=pick.choice([[], [("USAGELOG_BACKEND", "syscall")]]))
            for _ in range(pick.choice([0, 1, 2])):
                host.wait_for_more(pick.choice([1, 50, 300]))
                if call(PROGRAM, "--log", self.log, "compact", "--quiet", check=False).returncode == 0:
                    self.folds.append((time.clock_gettime_ns(time.CLOCK_MONOTONIC), totals(self.log)["calls"]))
            host.wait_for_more(pick.choice([100, 400]))
            host.kill()
            self.hosts.append(host)
        self.unmount(self.place)
        # The loop device lets go of the disk a moment later; the disk waits for that.
        self.disk.ask("end")
        self.new_boot()
        self.note("sessions")
        self.moments = sorted((pick.randrange(FRACTIONS) for _ in range(STATES_A_SESSION)), reverse=True)

    def results(self, before_ns):
        found = {}
        for host in self.hosts:
            early = host.results(before_ns)
            found.update((one, DURABLE if early.get(one) == DURABLE else DROPPED if kind == DROPPED else HELD) for one, kind in host.results().items())
        return found

    def lose_power(self, number):
        if not self.moments:
            self.work()
        seed = self.random.randrange(1 << 30) * FRACTIONS + self.moments.pop()
        image = self.path(f"state-{number}")
        told = self.disk.ask(f"lose {seed} {image}")
        before_ns = int(told.split()[0])
        done = call("mount", "-o", "loop", image, self.place, check=False)
        if done.returncode:
            os.unlink(image)
            self.note(f"states that {self.kind} refused")
            return 0
        self.mounts.append(self.place)
        try:
            self.look(number, before_ns)
        except Failed as failure:
            raise Failed(f"session {self.number}, {self.kind}, {told}: {failure}") from failure
        self.unmount(self.place)
        os.unlink(image)
        self.note(self.kind)
        return 1

    def look(self, number, before_ns):
        results = self.results(before_ns)
        folded = max((calls for time_ns, calls in self.folds if time_ns < before_ns), default=0)
        durable = sum(kind == DURABLE for kind in results.values())
        if not os.path.exists(os.path.join(self.log, "log.conf")):
            if durable or folded:
                raise Failed(f"the log is gone, with {durable} durable calls and {folded} folded ones")
            return
        state = verify(self.log)
        if state["folded"] < folded:
            raise Failed(f"{state['folded']} calls are folded, {folded} were before power was lost")
        found = self.check(self.log, results, must=(DURABLE,))
        self.note("calls told durable, kept", durable)
        if number % 4 == 0:
            # The next writer goes on, in what may hold holes; and all is folded.
            next_one = Host(self.log, 50, "--segment", "65536", "--flush", "5")
            next_one.wait_for(100)
            next_one.quit()
            found |= self.check(self.log, {**{one: DURABLE for one in found}, **next_one.results()}, in_progress=False)
            self.check_folded(self.log, found)
        elif number % 4 == 2:
            self.check_folded(self.log, found)

    def clean_up(self):
        super().clean_up()
        if self.disk:
            self.disk.close()
        shutil.rmtree(self.directory, ignore_errors=True)


if __name__ == "__main__":
    member = Reorder()
    member.run(member.lose_power)
