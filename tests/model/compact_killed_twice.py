#!/usr/bin/python3
"""The compactor killed at one of its system calls, run again, killed again at each of its calls, and run again:
compact_killed_twice.py --seed S --rounds N. What is left each time comes to the totals of a run that nothing disturbs, and verify finds it sound.

Only calls that change files or names are taken: between two of them nothing changes that a kill could leave behind (test_compact_killed.py takes
all calls, once). A round is one such call of the first run, of one of four kinds of run, and all of the second; a
point is one pair. Chunk after chunk goes through all first calls, in an order that mixes the kinds, and then begins anew."""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "compactor"))
import handmade  # noqa: E402: it stands elsewhere
import test_compact_killed as once  # noqa: E402: likewise

KINDS = (once.first_run, once.later_run, once.run_that_recovers, once.run_that_deletes)


CHANGING = {"write", "pwrite64", "fallocate", "ftruncate", "renameat", "linkat", "unlinkat", "mkdirat"}


def changing_calls(log, trace):
    return [call for call in once.calls_of(log, trace) if call[0] in CHANGING]


def calls_in(summary):
    return sum(day["calls"] for day in summary["daily_totals"].values())


class Kind:
    """A log that was prepared, and what a run without a fault makes of it."""

    def __init__(self, prepare, top):
        self.name = prepare.__name__
        self.pristine, whole = os.path.join(top, self.name), os.path.join(top, self.name + "-whole")
        os.mkdir(self.pristine)
        with open(os.path.join(self.pristine, "log.conf"), "wb") as file:
            file.write(handmade.conf_text())
        prepare(self.pristine)
        shutil.copytree(self.pristine, whole)
        self.calls = changing_calls(whole, os.path.join(top, "trace"))
        self.totals, self.segments = handmade.totals(whole), once.segments(whole)


class Campaign:
    def __init__(self, top, seed):
        self.top, self.seed = top, seed
        self.points = self.lost = self.twice = self.failures = 0

    def copy(self, source, name):
        target = os.path.join(self.top, name)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        return target

    def check(self, kind, log, where):
        """Run once more, and see that all is as if nothing had happened."""
        done = handmade.run("compact", "--log", log)
        wrong = f"compact: status {done.returncode}: {done.stderr}" if done.returncode else ""
        totals = None if wrong else handmade.totals(log)
        if totals and totals != kind.totals:
            difference = calls_in(totals["summary"]) - calls_in(kind.totals["summary"])
            self.lost += max(-difference, 0)
            self.twice += max(difference, 0)
            wrong = f"the totals differ, by {difference} calls"
        if not wrong and once.segments(log) != kind.segments:
            wrong = f"the segments are {once.segments(log)}"
        if not wrong:
            verified = handmade.run("verify", "--log", log)
            wrong = f"verify: {verified.stdout}" if verified.returncode else ""
        if wrong:
            self.failures += 1
            print(f"seed {self.seed}: {kind.name}: {where}: {wrong}", file=sys.stderr)

    def round(self, kind, first):
        name, number = first
        state = self.copy(kind.pristine, "state")
        once.kill(state, name, number)
        again = self.copy(state, "again")
        second = changing_calls(again, os.path.join(self.top, "trace"))
        self.check(kind, again, f"killed at {name} number {number}")
        self.points += 1
        for second_name, second_number in second:
            log = self.copy(state, "log")
            self.points += once.kill(log, second_name, second_number)
            self.check(kind, log, f"killed at {name} number {number}, and then at {second_name} number {second_number}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--directory")
    options = parser.parse_args()
    if not once.strace_works():
        print("skipped: no strace, or it may not trace here")
        return 77
    begun = time.monotonic()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="usagelog-", dir=memory) as top:
        campaign = Campaign(top, options.seed)
        kinds = [Kind(prepare, top) for prepare in KINDS]
        firsts = [(kind, call) for kind in kinds for call in kind.calls]
        random.Random(1).shuffle(firsts)
        at = (options.seed - 1) * options.rounds
        for number in range(at, at + options.rounds):
            campaign.round(*firsts[number % len(firsts)])
    print(json.dumps({"member": "compact_killed_twice", "points": campaign.points, "lost": campaign.lost, "twice": campaign.twice, "false": 0,
                      "failures": campaign.failures, "seconds": round(time.monotonic() - begun, 1),
                      "notes": f"first calls {at % len(firsts) + 1} and on of {len(firsts)}"}))
    return 1 if campaign.failures else 0


if __name__ == "__main__":
    sys.exit(main())
