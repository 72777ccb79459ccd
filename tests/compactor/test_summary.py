#!/usr/bin/python3
"""What summary.json says beyond the totals, against the calls themselves: by hour and model, by attribute, quantiles, and the log."""

import collections
import datetime
import json
import math
import os
import struct
import unittest
import zoneinfo
from fractions import Fraction

import xxhash

from handmade import PAGE, LogTest, Segment, fill, run


def quantile(values, percent):
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


class Views(LogTest):
    zone, group_by = "Europe/Berlin", ("user",)

    def calls(self):
        done = run("dump", "--log", self.log)
        self.assertEqual(done.returncode, 0)
        return [json.loads(line, parse_float=Fraction) for line in done.stdout.splitlines()]

    def local(self, call):
        second = datetime.datetime.strptime(call["time"][:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
        return second.astimezone(zoneinfo.ZoneInfo(self.zone))

    def expect_sums(self, shown, groups, what):
        """`groups`: calls by name. All numbers of each total, exactly."""
        self.assertEqual(set(shown), set(groups), what)
        for name, calls in groups.items():
            tokens = sum(call[kind] for call in calls for kind in
                         ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens"))
            cost = sum(Fraction(call["cost_usd"] or 0) for call in calls)
            self.assertEqual(shown[name]["calls"], len(calls), (what, name))
            self.assertEqual((shown[name]["tokens"], shown[name]["tokens_exact"]), (tokens, str(tokens)), (what, name))
            self.assertEqual(Fraction(shown[name]["cost_exact"]), cost, (what, name))
            self.assertEqual(shown[name]["cost"], float(cost), (what, name))
            self.assertEqual(shown[name]["errors"], sum(call["error_type"] is not None for call in calls), (what, name))
            self.assertEqual(shown[name]["unpriced"], sum(call["cost_usd"] is None for call in calls), (what, name))

    def grouped(self, calls, key):
        groups = collections.defaultdict(list)
        for call in calls:
            if key(call) is not None:
                groups[key(call)].append(call)
        return groups

    def test_all_views(self):
        # 700 hours from 2023-10-20 on, over the end of summer time.
        fill(Segment(self.log, 1), 700, start=1697760000)
        self.compact()
        calls, summary = self.calls(), self.summary()
        day, hour = (lambda call: self.local(call).strftime("%Y-%m-%d")), (lambda call: self.local(call).strftime("%Y-%m-%dT%H:00"))
        days = sorted(self.grouped(calls, day))
        self.assertEqual(len(days), 30)
        by_hour = self.grouped(calls, lambda call: hour(call) + self.local(call).strftime("%z")[:3] + ":" + self.local(call).strftime("%z")[3:])
        self.assertIn("2023-10-29T02:00+02:00", by_hour)
        self.assertIn("2023-10-29T02:00+01:00", by_hour)
        self.expect_sums(summary["hourly_totals"], by_hour, "hour")
        self.assertEqual(set(summary["daily_model_totals"]), set(days))
        for one in days:
            of_day = [call for call in calls if day(call) == one]
            self.expect_sums(summary["daily_model_totals"][one], self.grouped(of_day, lambda call: call["model"]), one)
        self.expect_sums(summary["operation_breakdown"], self.grouped(calls, lambda call: call["operation"]), "operation")
        self.expect_sums(summary["error_breakdown"], self.grouped(calls, lambda call: call["error_type"]), "error")
        self.assertEqual(set(summary["attributes"]), {"user"})
        users = self.grouped(calls, lambda call: (call["metadata"] or {}).get("user"))
        self.expect_sums(summary["attributes"]["user"], users, "user")
        kinds = summary["totals"]["tokens_by_kind"]
        for kind in ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens"):
            self.assertEqual(kinds[kind], sum(call[kind] for call in calls))
        self.expect_latencies(summary["latency_ms"], calls, "latency_ms")
        self.expect_latencies(summary["ttft_ms"], calls, "ttft_ms")
        self.assertEqual(summary["log"]["durable_through"][:19], max(map(self.local, calls)).strftime("%Y-%m-%dT%H:%M:%S"))
        self.assertEqual(summary["log"]["unpriced"], summary["totals"]["unpriced"])
        self.assertEqual(summary["suspect_days"], [])

    def expect_latencies(self, shown, calls, name):
        models = {model: of_model for model, of_model in self.grouped(calls, lambda call: call["model"]).items()}
        self.assertEqual(set(shown["by_model"]), set(models))
        for what, of_model in [(shown["all"], calls)] + [(shown["by_model"][model], models[model]) for model in models]:
            values = [Fraction(call[name]) for call in of_model if call[name] is not None]
            self.assertEqual(what["calls"], len(values))
            self.assertLessEqual(abs(Fraction(what["mean"]) - sum(values) / len(values)), Fraction(1, 1000))
            for percent in (50, 90, 95, 99):
                wanted = quantile(values, percent)
                self.assertLessEqual(abs(Fraction(what[f"p{percent}"]) - wanted), wanted / 100, (name, percent))

    def test_nothing_is_known(self):
        Segment(self.log, 1).call()
        self.compact()
        summary = self.summary()
        self.assertEqual(summary["latency_ms"], {"all": None, "by_model": {}})
        self.assertEqual(summary["attributes"], {})
        os.unlink(self.path("summary.json"))

    def test_latencies_that_were_taken_back(self):
        segment = Segment(self.log, 1)
        one = {"latency": 5000, "call_id": b"one-and-the-same"}
        segment.call(1700000000, **one)
        segment.call(1700000001, latency=70)
        self.compact()
        segment.call(1700000000, reversal=True, **one)
        self.compact()
        known = self.summary()["latency_ms"]["all"]
        self.assertEqual(known, {"calls": 1, "mean": 0.07, "p50": 0.07, "p90": 0.07, "p95": 0.07, "p99": 0.07})

    def test_attributes_are_capped_when_shown(self):
        segment = Segment(self.log, 1)
        for number in range(150):
            segment.call(1700000000 + number, cost=number * 10**6, metadata={"user": f"u{number:03}"})
        for cost in (10**12, 3):
            segment.call(1700001000, cost=cost, metadata={"user": "(other)"})
        segment.call(1700001000, cost=1, service_tier="flex")
        self.compact()
        shown = self.summary()["attributes"]
        self.assertEqual(set(shown["user"]), {f"u{number:03}" for number in range(50, 150)} | {"(other)"})
        self.assertEqual(shown["user"]["(other)"]["calls"], 52)
        self.assertEqual(sum(Fraction(one["cost_exact"]) for one in shown["user"].values()),
                         Fraction(sum(range(150)) * 10**6 + 10**12 + 3, 10**12))
        self.assertEqual(list(shown["service_tier"]), ["flex"])
        # All of them are in the checkpoint, whatever is shown.
        self.verify(0)

    def test_days_far_off_are_flagged(self):
        segment = Segment(self.log, 1)
        segment.call(1700000000)
        self.compact()
        self.assertNotIn("a clock was wrong", run("summary", "--log", self.log).stdout)
        segment.call(4000000000)
        segment.call(10)
        self.compact()
        self.assertEqual(self.summary()["suspect_days"], ["1970-01-01", "2096-10-02"])
        self.assertIn("2 days lie before 2020 or more than two days from now, the first on 1970-01-01: a clock was wrong.",
                      run("summary", "--log", self.log).stdout)
        self.verify(0)

    def test_dropped_calls_by_cause(self):
        segment = Segment(self.log, 1)
        segment.call()
        body = struct.pack("<QQ8Q", 1, 100, 3, 0, 4, 0, 0, 5, 0, 0).ljust(120, b"\0")
        segment.write(2 * PAGE + 2 * 128, struct.pack("<Q", xxhash.xxh3_64_intdigest(body, (segment.seed + 2) & (1 << 64) - 1)) + body)
        self.compact()
        log = self.summary()["log"]
        self.assertEqual(log["dropped_at_least"], 12)
        self.assertEqual(log["dropped_by_cause"], {"space": 3, "limit": 0, "io": 4, "permission": 0, "gone": 0, "reentered": 5})
        self.verify(0)

    def test_numbers_are_exact(self):
        segment = Segment(self.log, 1)
        segment.balance(1700000000, 2**53 - 1, 2**53 - 1, 2**63 - 1, 3)
        segment.balance(1700000000, 2**53 - 1, 2**53 - 1, 2**63 - 1, 3)
        self.compact()
        self.summary()
        with open(self.path("summary.json"), encoding="utf-8") as file:
            text = json.load(file, parse_float=str, parse_int=str)
        total = text["totals"]
        self.assertEqual((total["calls"], total["tokens"], total["tokens_exact"]), (str(2**54 - 2),) * 3)
        self.assertEqual((total["cost"], total["cost_exact"]), ("18446744.073709551614",) * 2)


class Verified(LogTest):
    def test_of_numbers_that_no_double_holds(self):
        """What a context holds beyond what JSON's parsers can is in the summary as it is, and no damage."""
        segment = Segment(self.log, 1)
        for number in ("1e999", "9" * 300):
            context = segment.define(2, ('{"metadata":{"a":%s}}' % number).encode())
            body = struct.pack("<qq8I", 1700000000 * 10**9, 1, *[1] * 8)
            segment.put(1 << 28 | segment.model("p", "m"), context, body)
        self.compact()
        with open(self.path("summary.json"), encoding="utf-8") as file:
            self.assertIn("1e999", file.read())
        self.verify()


if __name__ == "__main__":
    unittest.main(verbosity=1)
