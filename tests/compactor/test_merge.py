#!/usr/bin/python3
"""merge: the logs of several hosts as one summary. In whatever order, however often: the same bytes, each call once."""

import json
import os
import random
import shutil
import stat
import unittest

import jsonschema

from handmade import TOP, LogTest, Segment, conf_text, fill, run

SEED = int(os.environ.get("USAGELOG_SEED", "1"))


class Merge(LogTest):
    def setUp(self):
        super().setUp()
        self.number = 0

    def make_log(self, number, zone="UTC"):
        """A log with an id of its own, by whose number segments and calls differ."""
        path = os.path.join(self.top, f"host{number}")
        os.mkdir(path, 0o700)
        log_id = bytes([number]) * 16
        with open(os.path.join(path, "log.conf"), "wb") as file:
            file.write(conf_text(zone, ("user",), log_id=log_id))
        return path, Segment(path, number, log_id=log_id)

    def add(self, path, segment, count, start=1700000000):
        """More calls, folded."""
        self.number += 1
        fill(segment, count, start=start, step=7200, seed=self.number)
        done = run("compact", "--log", path)
        self.assertEqual(done.returncode, 0, done.stderr)

    def keep(self, path):
        """The log as it is now, elsewhere."""
        self.number += 1
        copy = os.path.join(self.top, f"copy{self.number}")
        shutil.copytree(path, copy)
        return copy

    def merge(self, *operands, status=0, output=None):
        arguments = ["merge", *(("--output", output) if output else ()), *operands]
        done = run(*arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def file(self, *operands):
        self.number += 1
        path = os.path.join(self.top, f"merged{self.number}")
        self.merge(*operands, output=path)
        return path

    def summary_of(self, *operands):
        summary = json.loads(self.merge(*operands).stdout)
        with open(os.path.join(TOP, "format", "summary.schema.json"), encoding="utf-8") as file:
            jsonschema.validate(summary, json.load(file))
        del summary["last_updated"]
        return summary

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def test_two_hosts_add_up(self):
        for number in (1, 2):
            path, segment = self.make_log(number)
            self.add(path, segment, 100 * number)
        summary = self.summary_of(os.path.join(self.top, "host1"), os.path.join(self.top, "host2"))
        parts = []
        for number in (1, 2):
            with open(os.path.join(self.top, f"host{number}", "summary.json"), encoding="utf-8") as file:
                parts.append(json.load(file))
        for key in ("calls", "errors", "tokens", "unpriced"):
            self.assertEqual(summary["totals"][key], sum(part["totals"][key] for part in parts), key)
        for day in parts[0]["daily_totals"].keys() | parts[1]["daily_totals"].keys():
            self.assertEqual(summary["daily_totals"][day]["calls"],
                             sum(part["daily_totals"].get(day, {"calls": 0})["calls"] for part in parts), day)
        self.assertEqual(sorted(one["timestamp"] for one in summary["sessions"]),
                         sorted(one["timestamp"] for part in parts for one in part["sessions"])[-1000:])

    def test_any_order_any_grouping_any_repetition(self):
        """Random logs in random states of growth, added in random orders and groups: commutative, associative, idempotent."""
        states, wholes = [], []
        for number in range(1, 5):
            path, segment = self.make_log(number)
            for step in range(3):
                self.add(path, segment, 10 + number, start=1700000000 + step * 500000)
                states.append(self.keep(path))
            wholes.append(states[-1])
        wanted = self.read(self.file(*wholes))
        wanted_summary = self.summary_of(*wholes)
        chance = random.Random(SEED)
        for _ in range(12):
            pool = wholes + chance.sample(states, chance.randrange(len(states)))
            chance.shuffle(pool)
            while len(pool) > 1:
                count = min(chance.randrange(2, 5), len(pool))
                pool = pool[count:] + [self.file(*pool[:count])]
                chance.shuffle(pool)
            self.assertEqual(self.read(pool[0]), wanted, f"USAGELOG_SEED={SEED}")
            self.assertEqual(self.summary_of(pool[0]), wanted_summary)
            self.assertEqual(self.read(self.file(pool[0], pool[0])), wanted)

    def test_more_than_a_thousand_last_calls(self):
        for number in (1, 2):
            path, segment = self.make_log(number)
            self.add(path, segment, 700, start=1700000000 + number)
        summary = self.summary_of(os.path.join(self.top, "host2"), os.path.join(self.top, "host1"))
        self.assertEqual(len(summary["sessions"]), 1000)
        times = [one["timestamp"] for one in summary["sessions"]]
        self.assertEqual(times, sorted(times))

    def test_copies_that_were_both_written_to_are_refused(self):
        path, segment = self.make_log(1)
        self.add(path, segment, 20)
        copy = self.keep(path)
        self.add(path, segment, 5)
        other = Segment(copy, 9, log_id=bytes([1]) * 16)
        self.add(copy, other, 5)
        done = self.merge(path, copy, status=8)
        self.assertIn("each holds calls that the other does not", done.stderr)
        self.assertIn("01" * 16, done.stderr)

    def test_days_of_two_zones_are_refused(self):
        for number, zone in ((1, "UTC"), (2, "Europe/Berlin")):
            path, segment = self.make_log(number, zone)
            self.add(path, segment, 5)
        done = self.merge(os.path.join(self.top, "host1"), os.path.join(self.top, "host2"), status=8)
        self.assertIn("Europe/Berlin", done.stderr)
        self.assertIn("UTC", done.stderr)

    def test_what_cannot_be_merged(self):
        path, segment = self.make_log(1)
        self.assertIn("run usagelog compact", self.merge(path, status=8).stderr)
        self.add(path, segment, 5)
        merged = self.file(path)
        self.assertIn("there is no such log or file", self.merge(path, os.path.join(self.top, "none"), status=8).stderr)
        whole = self.read(merged)
        for position in range(0, len(whole), 41):
            with open(merged, "wb") as file:
                file.write(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1:])
            self.assertIn(merged, self.merge(merged, status=8).stderr)
        with open(merged, "wb") as file:
            file.write(whole[:-8])
        self.merge(merged, status=8)
        self.merge(status=16)
        self.assertEqual(run("merge", "--output", os.path.join(self.top, "no", "where"), path).returncode, 8)

    def test_output_is_replaced_whole(self):
        path, segment = self.make_log(1)
        self.add(path, segment, 5)
        output = os.path.join(self.top, "all.merged")
        self.merge(path, output=output)
        self.add(path, segment, 5)
        done = self.merge(output, path, output=output)
        self.assertEqual(done.stdout, "")
        self.assertEqual(self.summary_of(output)["totals"]["calls"], 10)
        self.assertEqual(os.stat(output).st_mode & 0o777, 0o600)

    def test_output_that_is_no_file_of_its_own(self):
        path, segment = self.make_log(1)
        self.add(path, segment, 5)
        pipe, checkpoint = os.path.join(self.top, "pipe"), os.path.join(path, "checkpoint")
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDWR)
        self.addCleanup(os.close, reader)
        self.merge(path, output=pipe)
        self.assertTrue(stat.S_ISFIFO(os.stat(pipe).st_mode))
        with open(self.file(path), "rb") as file:
            self.assertEqual(os.read(reader, 1 << 16), file.read())
        before = self.read(checkpoint)
        for arguments in (("merge", "--output", checkpoint, path), ("export", "--log", path, "--format", "csv", "--output", checkpoint),
                          ("report", "--log", path, "--html", checkpoint)):
            done = run(*arguments)
            self.assertEqual(done.returncode, 8, done.stderr)
            self.assertIn("checkpoint: is a file of a log itself and is not overwritten", done.stderr)
            self.assertEqual(self.read(checkpoint), before)


if __name__ == "__main__":
    unittest.main()
