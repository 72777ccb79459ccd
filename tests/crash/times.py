#!/usr/bin/python3
"""What the clock and the system's numbering may do to a log: a day on which clocks are set, 2038, times before 1970; and process and thread ids that
come again.

times.py --seed S --rounds N [--directory DIR]

A round is a log of its own: calls at random moments around what is remarkable in a time zone, each of whose days must be the one that Python's zoneinfo
says; and writers with one and the same process id, one after the other, the first of which are killed."""

import argparse
import collections
import datetime
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zoneinfo

PROGRAM = os.environ["USAGELOG_BIN"]
WRITER = os.environ["PID_WRITER"]
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Africa/Casablanca",
         "America/St_Johns", "Pacific/Kiritimati", "Etc/UTC"]
# The last second of 32 bits, the epoch, the first days of years, what is far from now.
MOMENTS = [2**31 - 1, 2**31, 0, -1, -86400, 946684800, 4102444800, 2**32, 951782400, 1893456000]
UTC = datetime.timezone.utc


def changes(zone, years):
    """The moments at which the zone's clocks are set, found by halving."""
    found = []
    for year in years:
        for month in range(1, 13):
            low = int(datetime.datetime(year, month, 1, tzinfo=UTC).timestamp())
            high = low + 32 * 86400
            offset = offset_at(zone, low)
            if offset == offset_at(zone, high):
                continue
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(zone, middle) == offset else (low, middle)
            found.append(high)
    return found


def offset_at(zone, second):
    return datetime.datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()


def program(log, *args, **options):
    return subprocess.run([PROGRAM, "--log", log, *args], capture_output=True, text=True, timeout=120, check=False, **options)


class Times:
    def __init__(self, options):
        self.rng = random.Random(options.seed)
        self.seed, self.failures, self.points, self.round = options.seed, 0, 0, 0
        self.scratch = tempfile.mkdtemp(prefix="usagelog-times-", dir=options.directory)

    def fail(self, what):
        print(f"times: --seed {self.seed}, round {self.round}: {what}", file=sys.stderr)
        self.failures += 1

    def run(self, log, *args, **options):
        done = program(log, *args, **options)
        if done.returncode:
            self.fail(f"usagelog {' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def days(self):
        """Calls around what is remarkable fall in the days that the zone has."""
        name = self.rng.choice(ZONES)
        zone = zoneinfo.ZoneInfo(name)
        log = os.path.join(self.scratch, "log")
        moments = MOMENTS + changes(zone, self.rng.sample(range(1975, 2037), 3))
        if name == "Pacific/Apia":
            moments += changes(zone, [2011])
        seconds = []
        for moment in moments:
            seconds += [moment - 1, moment, moment + 1] + [moment + self.rng.randrange(-90000, 90000) for _ in range(12)]
        self.rng.shuffle(seconds)
        wanted = collections.Counter()
        lines = ["time,provider,model,input_tokens,output_tokens"]
        for second in seconds:
            # The very beginning of 1970 is refused: it stands for a time that is not known.
            fraction = self.rng.choice(["", ".000000001", ".5", ".999999999"] if second else [".5"])
            there = datetime.datetime.fromtimestamp(second, UTC)
            lines.append(f"{there:%Y-%m-%dT%H:%M:%S}{fraction}Z,p,m,1,0")
            wanted[there.astimezone(zone).date().isoformat()] += 1
        table = os.path.join(self.scratch, "calls.csv")
        with open(table, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        environment = {**os.environ, "TZ": name}
        self.run(log, "import", "--format", "csv", table, env=environment)
        self.run(log, "compact", "--quiet")
        self.run(log, "verify")
        with open(os.path.join(log, "summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
        found = {day: sums["calls"] for day, sums in summary["daily_totals"].items()}
        if summary["log"]["time_zone"] != name:
            self.fail(f"the log's zone is {summary['log']['time_zone']}, not {name}")
        if found != dict(wanted):
            wrong = {day: (found.get(day), wanted.get(day)) for day in set(found) | set(wanted) if found.get(day) != wanted.get(day)}
            self.fail(f"{name}: days that differ, as found and as wanted: {wrong}")
        self.points += len(seconds)
        shutil.rmtree(log)

    def ids(self):
        """Writers of one process id, in a namespace of their own."""
        log = os.path.join(self.scratch, "log")
        writers, calls = 8, 200
        done = subprocess.run(["unshare", "-pf", "--mount-proc", WRITER, log, str(writers), str(calls)], capture_output=True, text=True,
                              timeout=120, check=False)
        if done.returncode:
            self.fail(f"writers of one id: {done.returncode}: {done.stderr}")
            return
        self.run(log, "compact", "--quiet")
        self.run(log, "verify")
        with open(os.path.join(log, "summary.json"), encoding="utf-8") as file:
            totals = json.load(file)["totals"]
        # Each call has a number of its own as its tokens.
        wanted = (writers * calls, sum(range(1, writers * calls + 1)))
        if (totals["calls"], totals["tokens"]) != wanted:
            self.fail(f"{totals['calls']} calls of {totals['tokens']} tokens, where there should be {wanted}")
        self.points += writers
        shutil.rmtree(log)


def can_unshare():
    done = subprocess.run(["unshare", "-pf", "--mount-proc", "sh", "-c", "echo 50 >/proc/sys/kernel/ns_last_pid"], capture_output=True, check=False)
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--directory")
    options = parser.parse_args()
    begun = time.monotonic()
    times = Times(options)
    has_ids = can_unshare()
    try:
        for times.round in range(options.rounds):
            times.days()
            if has_ids:
                times.ids()
    finally:
        shutil.rmtree(times.scratch, ignore_errors=True)
    result = {"member": "times", "points": times.points, "lost": 0, "twice": 0, "false": 0, "failures": times.failures,
              "seconds": round(time.monotonic() - begun, 1),
              "notes": f"seed {options.seed}, {options.rounds} rounds of days in a zone and of writers of one process id"}
    if not has_ids:
        result["skipped"] = {"ids": "no namespace of processes can be had"}
    print(json.dumps(result))
    return times.failures != 0


if __name__ == "__main__":
    sys.exit(main())
