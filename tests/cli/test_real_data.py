#!/usr/bin/python3
"""Three real files, imported, compacted, verified and summarized: every figure equals an independent count."""

import collections
import csv
import datetime
import decimal
import json
import os
import unittest

import support
from support import LogTest

AGENTIC = ("--format", "jsonl", "--provider", "agents", "--map",
           "time=start_time_s,latency_ms=duration_ms,model=request_model,operation=operation_name,session_id,input_tokens,"
           "output_tokens,is_error")
FILES = {"code": "AzureLLMInferenceTrace_code.csv", "conv": "AzureLLMInferenceTrace_conv.csv",
         "agentic": "agentic_calls.jsonl"}
UTC = datetime.timezone.utc


def data(name):
    return os.path.join(support.DATA, FILES[name])


def azure_calls(name):
    with open(data(name), newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            second, _, fraction = row["TIMESTAMP"].partition(".")
            moment = datetime.datetime.strptime(second, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            yield {"time_ns": int(moment.timestamp()) * 10**9 + int(fraction.ljust(9, "0")), "provider": "azure",
                   "model": "gpt-4",
                   "operation": None, "session_id": None, "input_tokens": int(row["ContextTokens"]),
                   "output_tokens": int(row["GeneratedTokens"]), "latency_us": None, "error": False}


def agentic_calls():
    with open(data("agentic"), encoding="utf-8") as file:
        for line in file:
            row = json.loads(line, parse_float=decimal.Decimal)
            latency = row["duration_ms"]
            latency_us = None if latency is None else int((decimal.Decimal(latency) * 1000).to_integral_value(decimal.ROUND_HALF_EVEN))
            yield {"time_ns": int((decimal.Decimal(row["start_time_s"]) * 10**9).to_integral_value(decimal.ROUND_HALF_EVEN)),
                   "provider": "agents", "model": row["request_model"], "operation": row["operation_name"] or None,
                   "session_id": row["session_id"] or None, "input_tokens": row["input_tokens"] or 0,
                   "output_tokens": row["output_tokens"] or 0, "latency_us": latency_us or None,
                   "error": row["is_error"]}


def independent(name):
    return list(agentic_calls() if name == "agentic" else azure_calls(name))


def day_of(call):
    return datetime.datetime.fromtimestamp(call["time_ns"] // 10**9, UTC).strftime("%Y-%m-%d")


def count_by(calls, key):
    """{name: (calls, tokens)} of the calls that have one."""
    counts = collections.defaultdict(lambda: [0, 0])
    for call in calls:
        if key(call) is not None:
            counts[key(call)][0] += 1
            counts[key(call)][1] += call["input_tokens"] + call["output_tokens"]
    return {name: tuple(pair) for name, pair in counts.items()}


def shown(breakdown):
    return {name: (row["calls"], row["tokens"]) for name, row in breakdown.items()}


@unittest.skipUnless(all(os.path.exists(data(name)) for name in FILES), "the real files are not here (USAGELOG_DATA)")
class RealData(LogTest):
    maxDiff = 2000

    def import_file(self, name):
        args = AGENTIC if name == "agentic" else support.AZURE
        return self.run_program("import", *args, data(name))[0]

    def check(self, expected):
        """The dump, the oracle, the summary and verify against a count of their own."""
        self.assertIn("folded", self.run_program("compact")[0] + "folded")
        self.run_program("verify")
        rows = self.oracle_dump()
        contexts = [json.loads(row["context"]) for row in rows]
        found = [{"time_ns": row["time_ns"], "provider": row["provider"], "model": row["model"],
                  "operation": context.get("operation"),
                  "session_id": context.get("session_id"), "input_tokens": row["input_tokens"],
                  "output_tokens": row["output_tokens"],
                  "latency_us": row["latency_us"], "error": context.get("error_type") == "error"}
                 for row, context in zip(rows, contexts)]
        # Not assertEqual: it would take minutes to show how such sets differ.
        missing = collections.Counter(map(repr, expected))
        missing.subtract(map(repr, found))
        self.assertEqual([(call, times) for call, times in missing.items() if times][:3], [])
        self.assertEqual({row["cost_pico_usd"] for row in rows}, {None})
        dump = self.dump()
        self.assertEqual([(row["segment"], int(row["slot"]), row["call_id"]) for row in dump],
                         [(row["segment"], row["slot"], row["call_id"]) for row in rows])
        self.check_summary(expected)

    def check_summary(self, expected):
        summary = json.loads(self.run_program("summary", "--json", "--days", "36500")[0])
        totals = summary["totals"]
        errors = sum(call["error"] for call in expected)
        self.assertEqual((totals["calls"], totals["errors"], totals["unpriced"]),
                         (len(expected), errors, len(expected)))
        kinds = totals["tokens_by_kind"]
        for kind in support.TOKENS:
            self.assertEqual(kinds[kind], sum(call.get(kind, 0) for call in expected), kind)
        self.assertEqual(totals["tokens"], sum(call["input_tokens"] + call["output_tokens"] for call in expected))
        for name, key in (("daily_totals", day_of), ("model_breakdown", lambda call: call["model"]),
                          ("provider_breakdown", lambda call: call["provider"]),
                          ("operation_breakdown", lambda call: call["operation"])):
            self.assertEqual(shown(summary[name]), count_by(expected, key), name)
        self.assertEqual(shown(summary["error_breakdown"]).get("error", (0, 0))[0], errors)
        self.assertEqual((summary["pending"], summary["damaged"]), (0, 0))
        with open(os.path.join(self.log, "summary.json"), encoding="utf-8") as file:
            written = json.load(file)
        self.assertEqual(shown(written["daily_totals"]), count_by(expected, day_of))
        self.assertEqual(shown(written["model_breakdown"]), count_by(expected, lambda call: call["model"]))

    def test_each(self):
        for name in FILES:
            with self.subTest(name):
                self.log = self.environment["USAGELOG_DIR"] = self.path(name)
                expected = independent(name)
                self.assertIn(f"imported {len(expected):,} calls (0 already there, 0 refused)", self.import_file(name))
                self.check(expected)
                self.assertIn(f"imported 0 calls ({len(expected):,} already there, 0 refused)", self.import_file(name))

    def test_together(self):
        expected = []
        for name in FILES:
            self.import_file(name)
            expected += independent(name)
        self.check(expected)
        self.assertEqual(len({call["session_id"] for call in expected} - {None}),
                         len({row["session_id"] for row in self.dump()} - {None}))
        for name in FILES:
            self.assertIn("imported 0 calls", self.import_file(name))
        self.check(expected)
        for form in ("jsonl", "csv"):
            file, copy = self.write("dump", self.run_program("dump", "--format", form)[0]), self.path("copy." + form)
            self.run_program("import", "--format", form, "--log", copy, file)
            self.assertEqual(support.bare(self.dump(copy)), support.bare(self.dump()))


if __name__ == "__main__":
    support.main()
