#!/usr/bin/python3
"""Power is lost under a writer: the filesystem shuts down at once, and all that it had not written is gone. What flush() or the synchronous mode had called
durable is there afterwards, whatever was folded is in the segments, and the next writer goes on. A round is a power loss; in half of them the log was just
folded. Between two of them the boot id changes, as it does."""

import os
import shutil

from support import DURABLE, PROGRAM, Failed, Host, Member, call, totals, verify

LOSSES_A_LOG = 10


class PowerLoss(Member):
    def __init__(self):
        super().__init__("power_xfs", needs=("mkfs.xfs",))
        self.place = self.path("mnt")
        self.log, self.results = "", {}
        self.new_boot()
        self.disk = self.image("xfs", 320)
        self.mount(self.place, "-o", "loop", self.disk)

    def writer(self, number):
        pick = self.random
        options = ["--threads", str(pick.choice([1, 2, 4])), "--pause", str(pick.choice([0, 50, 300])),
                   "--segment", str(pick.choice([65536, 1 << 20])), "--interval", str(pick.choice([1, 5, 1000]))]
        options += pick.choice([["--synchronous"], ["--no-helper", "--flush", "20"], ["--flush", str(pick.choice([1, 7, 100]))], []])
        backend = pick.choice([[], [("USAGELOG_BACKEND", "syscall")]])
        return Host(self.log, number, *options, environment=backend)

    def lose_power(self, number):
        if number % LOSSES_A_LOG == 0:
            # Under a name of its own: power that is lost may undo that the old one was deleted.
            shutil.rmtree(self.log, ignore_errors=True)
            self.log, self.results = os.path.join(self.place, f"log-{number}"), {}
        host, folded = self.writer(number), 0
        host.wait_for(self.random.choice([0, 1, 30, 200, 1000, 4000]))
        if self.random.random() < 0.5 and os.path.exists(os.path.join(self.log, "log.conf")):
            # Beside a live writer: what its sync had not reached yet, the fold itself makes durable first.
            done = call(PROGRAM, "--log", self.log, "compact", "--quiet", check=False)
            if done.returncode:
                raise Failed(f"compact: status {done.returncode}: {done.stderr}")
            folded = totals(self.log)["calls"]
            self.note("just folded")
        self.shut_down(self.place)
        host.kill()
        self.new_boot()
        self.unmount(self.place)
        self.mount(self.place, "-o", "loop", self.disk)
        self.note("calls told durable", host.count_of(DURABLE))
        self.results.update(host.results())
        if not os.path.exists(os.path.join(self.log, "log.conf")):
            if any(kind == DURABLE for kind in self.results.values()) or folded:
                raise Failed("the log is gone")
            self.results = {}
            return 1
        state = verify(self.log)
        if state["folded"] < folded:
            raise Failed(f"{state['folded']} calls are folded, {folded} were before power was lost")
        found = self.check(self.log, self.results, must=(DURABLE,))
        self.check_folded(self.log, found)
        self.note("calls kept", len(found & host.results().keys()))
        # What was lost for good must not come back.
        self.results = {one: DURABLE for one in found}
        return 1


if __name__ == "__main__":
    member = PowerLoss()
    member.run(member.lose_power)
