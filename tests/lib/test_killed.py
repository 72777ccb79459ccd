"""Writers are killed by SIGKILL at random moments: nothing that record() had returned 0 for is missing, nothing is
there twice, and nothing that was not recorded. What the log holds is read by the oracle, not by the library."""

import csv
import datetime
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
try:
    import usagelog_reader
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

WRITER = os.environ["WRITER"]
DATA = os.environ.get("USAGELOG_DATA", "")
ROUNDS = int(os.environ.get("USAGELOG_ROUNDS", "40"))
SEED = int(os.environ.get("USAGELOG_SEED", "0")) or random.randrange(1, 1 << 30)


def calls_of(path):
    return [call for call in usagelog_reader.read_log(path).calls if call.kind == "call"]


class Killed(unittest.TestCase):
    def test_nothing_told_is_missing(self):
        rng = random.Random(SEED)
        print(f"seed {SEED}, {ROUNDS} rounds")
        total = unfinished = 0
        for number in range(ROUNDS):
            threads = rng.choice([1, 2, 4, 16])
            with tempfile.TemporaryDirectory() as path:
                with tempfile.TemporaryFile() as told_file:
                    writer = subprocess.Popen([WRITER, "tell", path, str(threads)], stdout=told_file)
                    # From before the log is there to well into its third segment.
                    time.sleep(rng.random() * rng.choice([0.01, 0.1]))
                    writer.send_signal(signal.SIGKILL)
                    writer.wait()
                    told_file.seek(0)
                    data = told_file.read()
                told = set(struct.iter_unpack("<II", data[: len(data) // 8 * 8]))
                if not os.path.exists(os.path.join(path, "log.conf")):
                    self.assertEqual(told, set())
                    continue
                found = [(call.tokens[0], call.tokens[4]) for call in calls_of(path)]
                self.assertEqual(len(found), len(set(found)), "a call is there twice")
                self.assertEqual(told - set(found), set(), "a call that was told of is missing")
                extra = set(found) - told
                self.assertLessEqual(len(extra), threads, "calls that nobody was in the middle of")
                for call in calls_of(path)[:50]:
                    self.assertTrue(call.model.startswith(f"model-{call.tokens[0]}-"), call.model)
                total += len(told)
                unfinished += len(extra)
        print(f"{total} calls told of, {unfinished} more committed at the moment of death")
        self.assertGreater(total, 1000)

    def test_eight_processes_of_four_threads(self):
        source = os.path.join(DATA, "AzureLLMInferenceTrace_code.csv")
        if not os.path.exists(source):
            self.skipTest(f"{source} is not there")
        rng = random.Random(SEED)
        rows = []
        with open(source, newline="") as file:
            for row in csv.DictReader(file):
                moment, fraction = row["TIMESTAMP"].split(".")
                moment = datetime.datetime.fromisoformat(moment + "+00:00")
                time_ns = int(moment.timestamp()) * 10**9 + int(fraction.ljust(9, "0"))
                rows.append((time_ns, int(row["ContextTokens"]), int(row["GeneratedTokens"])))
        text = "".join("%d %d %d\n" % row for row in rows).encode()
        kills = 0
        with tempfile.TemporaryDirectory() as path, tempfile.NamedTemporaryFile() as file:
            file.write(text)
            file.flush()

            def start(part):
                with open(file.name) as rows_file:
                    return subprocess.Popen([WRITER, "trace", path, "4", str(part), "8"], stdin=rows_file)

            running = {part: start(part) for part in range(8)}
            while running:
                time.sleep(0.01)
                for part, writer in list(running.items()):
                    if writer.poll() == 0:
                        del running[part]
                    elif writer.poll() is not None:
                        self.assertEqual(writer.poll(), -signal.SIGKILL)
                        running[part] = start(part)
                    elif kills < 60 and rng.random() < 0.1:
                        writer.send_signal(signal.SIGKILL)
                        kills += 1
            calls = calls_of(path)
            self.assertEqual(sorted((c.time_ns, c.tokens[0], c.tokens[4]) for c in calls), sorted(rows))
            print(f"{len(calls)} calls by 8 x 4 threads, {kills} kills")
            self.assertGreater(kills, 10)
            self.check_summary(path, rows)

    def check_summary(self, path, rows):
        import json

        program = os.environ["USAGELOG_BIN"]
        subprocess.run([program, "--log", path, "compact", "--quiet"], check=True)
        self.assertEqual(subprocess.run([program, "--log", path, "verify"], stdout=subprocess.DEVNULL).returncode, 0)
        with open(os.path.join(path, "summary.json")) as file:
            summary = json.load(file)
        days = summary["daily_totals"]
        self.assertEqual(sum(day["calls"] for day in days.values()), len(rows))
        self.assertEqual(sum(day["tokens"] for day in days.values()), sum(row[1] + row[2] for row in rows))


if __name__ == "__main__":
    unittest.main(verbosity=2)
