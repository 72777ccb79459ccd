"""Runs a benchmark with settings too small to measure anything, and sees that it ends well and that its JSON is whole. Times are never looked
at: machines differ, and a benchmark that fails for being slow is a benchmark that gets turned off.

check.py JSON_FILE PROGRAM ARGUMENT...      the JSON is left in JSON_FILE
"""
import json
import pathlib
import subprocess
import sys

MACHINE = "program version date cpu machine cores kernel filesystem clock"
LATENCY = "count p50_ns p99_ns p99_9_ns p99_99_ns max_ns over_100us_count distribution"
COUNTERS = "rotations inline_rotations inline_extensions syncs sync_errors"
RATES = ("records_per_second records_least_per_second records_most_per_second records_quartile_low_per_second "
         "records_quartile_high_per_second")
SPREAD = "median_ns least_ns most_ns"
RATE = "median_per_second least_per_second most_per_second"
KILLS = "kills returned lost lost_median lost_most"
# Program: the keys of each place in its JSON. A place is a path of keys; [] stands for every element of an array.
KEYS = {
    "bench_record": {"": " ".join(["runs records threads_2_speedup"] + [
        f"{figure}_ns {figure}_least_ns {figure}_most_ns {figure}_quartile_low_ns {figure}_quartile_high_ns"
        for figure in ("floor_caller", "floor_coarse", "record_caller", "record_interned", "record_strings",
                       "record_strings_fresh", "record_2_threads")])},
    "bench_fold": {"": " ".join(["runs entries fact_rows fact_bytes peak_1_thread_bytes peak_2_threads_bytes peer_entries awk_ns"] + [
        f"{figure}_ns {figure}_least_ns {figure}_most_ns {figure}_quartile_low_ns {figure}_quartile_high_ns"
        for figure in ("just_read", "scan", "fold", "fold_2_threads")])},
    "bench_tail": {"": "seconds_per_mode rounds pace_ns modes unpaced", "modes.[]": "name what latency skipped faults waits preemptions",
                   "modes.[].latency": LATENCY,
                   "unpaced": "records seconds records_per_second durable_records_per_second bytes_per_second "
                              "populate_bytes_per_second write_fdatasync_bytes_per_second " + COUNTERS},
    "bench_python": {"": "program version python cpu cores runs calls latency_ratio rate_ratio",
                     "latency": "extension_call extension_call_keywords queue_put native_record tracker_record write_behind_record",
                     "latency.native_record": SPREAD, "latency.tracker_record": SPREAD,
                     "paced.tracker": "mean_ns median_ns p99_ns most_ns", "paced.write_behind": "mean_ns median_ns p99_ns most_ns",
                     "rates.tracker": RATE, "rates.write_behind": RATE},
    "bench_commit": {"": "runs seconds peers missing", "peers.[]": "name what threads",
                     "peers.[].threads.[]": "threads " + RATES},
    "bench_peers": {"": "runs seconds pace_us slow_per_second nothing peers missing", "nothing.latency": LATENCY,
                    "peers.[]": "name what latency killed_at_speed killed_at_pace " + RATES, "peers.[].latency": LATENCY,
                    "peers.[].killed_at_speed": KILLS, "peers.[].killed_at_pace": KILLS},
}


def places(value, path):
    """What stands at the path, all of it."""
    if not path:
        yield value
    elif path[0] == "[]":
        assert value, "an array is empty"
        for element in value:
            yield from places(element, path[1:])
    else:
        yield from places(value[path[0]], path[1:])


def check(program, found):
    """Every key is there, and every number is one."""
    for place, keys in KEYS[program].items():
        wanted = set(keys.split()) | (set(MACHINE.split()) if not place and program != "bench_python" else set())
        for value in places(found, place.split(".") if place else []):
            missing = wanted - set(value)
            assert not missing, f"{program}: {place or 'the outermost object'} lacks {sorted(missing)}"
            empty = [key for key, member in value.items() if member is None]
            assert not empty, f"{program}: {place or 'the outermost object'}: no number: {empty}"
    if program == "bench_peers":
        for peer in found["peers"]:
            # What survives is no matter of time: this is what the log promises.
            if peer["name"].startswith("usagelog"):
                assert peer["killed_at_speed"]["lost"] == 0 == peer["killed_at_pace"]["lost"], peer
    if program == "bench_tail":
        modes = {mode["name"]: mode for mode in found["modes"]}
        assert len(modes) == 5, sorted(modes)
        for mode in modes.values():
            if mode["name"] != "bare":
                assert {"backend", *COUNTERS.split()} <= set(mode), mode["name"]
        assert modes["syncs_syscall"]["backend"] == "syscall", modes["syncs_syscall"]["backend"]


def main():
    out, program = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    done = subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{program.name} ended with status {done.returncode}")
    found = json.loads(done.stdout)
    check(found["program"], found)
    out.write_text(done.stdout)
    print(f"{program.name}: {len(done.stdout)} bytes of JSON")


if __name__ == "__main__":
    main()
