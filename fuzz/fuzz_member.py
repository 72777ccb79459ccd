#!/usr/bin/python3
"""A fuzz target as a member of the campaign: fuzz_member.py TARGET BYTES CORPUS --seed S --rounds N [--directory DIR]; a round is 10,000
executions of inputs of so many bytes at most, a point one. What is found new is kept in the directory, and gone on from."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

ROUND_RUNS = 10000
# What the sanitizer does for each allocation, where the input says all that is to be known of it: with its defaults it takes half of the time.
CHEAP = "malloc_context_size=0:quarantine_size_mb=1:thread_local_quarantine_size_kb=256:allocator_release_to_os_interval_ms=-1"

parser = argparse.ArgumentParser()
parser.add_argument("target")
parser.add_argument("bytes_max", type=int)
parser.add_argument("corpus")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--rounds", type=int, default=1)
parser.add_argument("--directory")
options = parser.parse_args()

with tempfile.TemporaryDirectory() as own:
    directory = options.directory or own
    found = os.path.join(directory, "found")
    os.makedirs(found, exist_ok=True)
    begun = time.monotonic()
    done = subprocess.run([options.target, f"-seed={options.seed}", f"-runs={options.rounds * ROUND_RUNS}", f"-max_len={options.bytes_max}", "-verbosity=0",
                           "-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1", f"-artifact_prefix={directory}/", found, options.corpus],
                          env={**os.environ, "ASAN_OPTIONS": CHEAP}, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    seconds = time.monotonic() - begun
    ran = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    points = int(ran.group(1)) if ran else 0
    if done.returncode:
        sys.stderr.write(done.stderr)
    print(json.dumps({"member": os.path.basename(options.target), "points": points, "lost": 0, "twice": 0, "false": 0,
                      "failures": int(done.returncode != 0), "seconds": round(seconds, 1),
                      "notes": f"{points / max(seconds, 0.001):.0f} executions a second"}))
    sys.exit(1 if done.returncode else 0)
