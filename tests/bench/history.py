#!/usr/bin/python3
"""What one more `usagelog compact` costs on a long history: README.md.

history.py USAGELOG [--directory DIR] [--days 90,1095] [--rows 300,10000] [--runs 9] [--new 1000] [--json]

Makes a log for each length and width: that many days, each with that many fact rows (50 models, 200 sets of attributes, a call each).
Then, --runs times, imports --new calls of the last day and compacts. Prints the times of these runs (median, least, most, and the processor's),
the median of runs with nothing new, their peak memory, and what the log's files come to.
"""

import argparse
import datetime
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MODELS, OPERATIONS, USERS = 50, ("chat", "embeddings", "responses", "rerank"), 50
LAST_DAY = datetime.datetime(2025, 12, 31, tzinfo=datetime.timezone.utc)
COLUMNS = "time,provider,model,operation,metadata,input_tokens,output_tokens,cost_usd,latency_ms,ttft_ms\n"


def combinations():
    """The end of a line for each fact row, up to the latency."""
    made = []
    for number in range(MODELS * len(OPERATIONS) * USERS):
        model, rest = number % MODELS, number // MODELS
        operation, user = OPERATIONS[rest % 4], rest // 4
        made.append(f'provider-{model % 7},model-{model},{operation},"{{""user"":""user-{user}""}}",{1000 + number},{50 + rest},'
                    f"{number % 97 / 1e6:.6f}")
    # Any 300 of them are of many models and attributes.
    random.Random(1).shuffle(made)
    return made


class Writer:
    """Lines for `usagelog import`. Latencies of each row spread over three decades."""

    def __init__(self):
        self.rows, self.random = combinations(), random.Random(2)
        self.latencies = [f"{10 ** self.random.uniform(1.7, 4.7):.1f},{10 ** self.random.uniform(1, 3.5):.1f}\n" for _ in range(4096)]

    def day(self, ago, count):
        start = (LAST_DAY - datetime.timedelta(days=ago)).timestamp()
        latencies = self.random.choices(self.latencies, k=count)
        first = ago * count
        return "".join([f"{start + number * 86400 / count:.3f},{self.rows[(first + number) % len(self.rows)]},{latencies[number]}"
                        for number in range(count)])


def bring_in(program, log, parts):
    """Import calls; the log need not know them again."""
    command = [program, "import", "--log", log, "--format", "csv", "--again", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        process.stdin.write(COLUMNS)
        for part in parts:
            process.stdin.write(part)
    if process.returncode:
        sys.exit(f"history.py: {' '.join(command)} failed")


def make(program, log, writer, days, rows):
    os.environ["TZ"] = "UTC"
    bring_in(program, log, [writer.day(days - 1, 1)])
    subprocess.run([program, "--log", log, "config", "group_by", "user"], check=True, stdout=subprocess.DEVNULL)
    bring_in(program, log, (writer.day(ago, rows) for ago in range(days - 1, -1, -1)))
    compact(program, log)


def compact(program, log):
    """How long a run takes, and how much of it the processor is at work for it, in ms."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([program, "--log", log, "compact", "--quiet"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (time.perf_counter() - begin) * 1000, used * 1000


def peak_kib(program, log):
    """The most memory that a run has resident; a run that is not timed."""
    done = subprocess.run(["/usr/bin/time", "-f", "%M", program, "--log", log, "compact", "--quiet"], check=True,
                          stderr=subprocess.PIPE, text=True)
    return int(done.stderr.split()[-1])


def file_bytes(log, pattern):
    return sum(entry.stat().st_size for entry in os.scandir(log) if re.fullmatch(pattern, entry.name))


def measure(program, log, writer, options, days, rows):
    make(program, log, writer, days, rows)
    times, peaks = [], []
    for number in range(2 * options.runs):
        bring_in(program, log, [writer.day(0, options.new)])
        if number % 2:
            peaks.append(peak_kib(program, log))
        else:
            times.append(compact(program, log))
    idle = statistics.median(compact(program, log)[0] for _ in range(options.runs))
    walls, used = zip(*times)
    return {"days": days, "rows": rows, "ms": statistics.median(walls), "ms_least": min(walls), "ms_most": max(walls),
            "processor_ms": statistics.median(used), "idle_ms": idle,
            "peak_mib": max(peaks) / 1024, "checkpoint_bytes": file_bytes(log, "checkpoint"),
            "facts_bytes": file_bytes(log, r".*\.facts"), "segment_bytes": file_bytes(log, r".*\.seg"),
            "summary_bytes": file_bytes(log, r"summary\.json")}


def show(figures):
    print(f"{'days':>6} {'rows a day':>10} {'ms':>7} {'least':>7} {'most':>7} {'processor':>9} {'idle ms':>7} {'MiB':>6} "
          f"{'checkpoint':>11} {'facts':>13} {'summary':>9}")
    for one in figures:
        print(f"{one['days']:6} {one['rows']:10,} {one['ms']:7.1f} {one['ms_least']:7.1f} {one['ms_most']:7.1f} "
              f"{one['processor_ms']:9.1f} {one['idle_ms']:7.1f} {one['peak_mib']:6.1f} "
              f"{one['checkpoint_bytes']:11,} {one['facts_bytes']:13,} {one['summary_bytes']:9,}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--directory", default=".")
    parser.add_argument("--days", default="90,1095")
    parser.add_argument("--rows", default="300,10000")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--new", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the logs there")
    options = parser.parse_args()
    figures, writer = [], Writer()
    for rows in map(int, options.rows.split(",")):
        for days in map(int, options.days.split(",")):
            top = tempfile.mkdtemp(prefix=f"bench-history-{days}-{rows}-", dir=options.directory)
            try:
                figures.append(measure(os.path.abspath(options.program), os.path.join(top, "log"), writer, options, days, rows))
            finally:
                if not options.keep:
                    shutil.rmtree(top)
    if options.json:
        print(json.dumps({"runs": options.runs, "new": options.new, "logs": figures}))
    else:
        show(figures)


if __name__ == "__main__":
    main()
