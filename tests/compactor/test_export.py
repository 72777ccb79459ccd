#!/usr/bin/python3
"""export: each call once, in each format as its readers want it, and nothing lost on the way back."""

import collections
import csv
import io
import json
import math
import os
import re
import stat
import struct
import subprocess
import unittest
from decimal import Decimal

from handmade import PROGRAM, LogTest, Segment, fill, run

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

NAMES = ("time", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.operation.name", "gen_ai.usage.input_tokens",
         "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens", "cache_write_5m_tokens",
         "cache_write_1h_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.reasoning.output_tokens", "cost_usd",
         "latency_ms", "ttft_ms", "error.type", "service_tier", "gen_ai.conversation.id", "metadata", "segment", "slot",
         "call_id")
BALANCE = ("kind", "calls", "tokens", "scope")
OLD = 1600000000


class Sample(collections.namedtuple("Sample", "name labels value")):
    pass


def parse_prometheus(text):
    """The text format, strictly: {metric: (type, [samples])}."""
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    metrics, helps, current = {}, set(), None
    number = r"(?:[+-]?[0-9]+(?:\.[0-9]+)?|\+Inf)"
    label = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, words = line[7:].split(" ", 1)
            if name in helps or not words.strip():
                raise ValueError(f"help: {line}")
            helps.add(name)
            continue
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            if name in metrics or name not in helps or kind not in ("counter", "gauge", "histogram"):
                raise ValueError(f"type: {line}")
            if kind == "counter" and not name.endswith("_total"):
                raise ValueError(f"a counter's name: {name}")
            current = name
            metrics[name] = (kind, [])
            continue
        found = re.fullmatch(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{(.*)\}})? ({number})", line)
        if not found:
            raise ValueError(f"sample: {line}")
        name, inside, value = found.groups()
        kind = metrics[current][0]
        endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        if name not in [current + ending for ending in endings]:
            raise ValueError(f"{name} does not belong to {current}")
        labels, at = {}, 0
        while inside and at < len(inside):
            one = label.match(inside, at)
            if not one or one[1] in labels:
                raise ValueError(f"labels: {line}")
            labels[one[1]] = re.sub(r"\\(.)", lambda escaped: {"n": "\n"}.get(escaped[1], escaped[1]), one[2])
            at = one.end()
        metrics[current][1].append(Sample(name, labels, Decimal("Infinity") if value == "+Inf" else Decimal(value)))
    for name, (kind, samples) in metrics.items():
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
        if len(set(keys)) != len(keys):
            raise ValueError(f"{name} has a series twice")
    return metrics


class ExportTest(LogTest):
    def export(self, kind, *arguments, status=0, err=""):
        done = run("export", "--log", self.log, "--format", kind, *arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        if err:
            self.assertRegex(done.stderr, err)
        else:
            self.assertEqual(done.stderr, "")
        return done.stdout

    def jsonl(self, *arguments, **keywords):
        return [json.loads(line, parse_float=Decimal) for line in self.export("jsonl", *arguments, **keywords).splitlines()]

    def fill(self):
        for number in (1, 2):
            fill(Segment(self.log, number), 300, seed=number)

    def import_back(self, text, copy="copy"):
        """Into another log, by import; its path."""
        path = os.path.join(self.top, copy)
        name = os.path.join(self.top, copy + ".jsonl")
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
        done = run("import", "--log", path, name)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        run("config", "--log", path, "time_zone", "UTC")
        return path


class Lines(ExportTest):
    def test_names_and_figures(self):
        segment = Segment(self.log, 1)
        slot = segment.call(1700000000.5, tokens=(100, 20, 30, 40, 50, 5), cost=123456789, latency=812345, ttft=12500,
                            operation="chat", error_type="429", service_tier="batch", session_id="s", metadata={"a": [1, "x"]})
        segment.call(call_id=b"A" * 16)
        first, second = self.jsonl()
        self.assertEqual(tuple(first), NAMES)
        identity = first.pop("call_id")
        self.assertRegex(identity, "^[0-9a-f]{32}$")
        self.assertEqual(list(first.values()),
                         ["2023-11-14T22:13:20.500000000Z", "openai", "gpt-4o", "chat", 190, 20, 70, 30, 40, 50, 5,
                          Decimal("0.000123456789"), Decimal("812.345"), Decimal("12.5"), "429", "batch", "s", {"a": [1, "x"]},
                          segment.id.hex(), slot])
        self.assertEqual(second["call_id"], (b"A" * 16).hex())
        self.assertEqual([second[name] for name in ("cost_usd", "latency_ms", "ttft_ms", "error.type", "metadata")], [None] * 5)
        # The id of a call without one is always the same, and its own.
        self.assertEqual(self.jsonl()[0]["call_id"], identity)
        self.assertNotEqual(identity, second["call_id"])

    def test_sums_are_the_summary(self):
        self.fill()
        self.compact()
        totals = self.summary()["totals"]
        rows = self.jsonl()
        self.assertEqual(len(rows), totals["calls"])
        self.assertEqual(sum(row["gen_ai.usage.input_tokens"] + row["gen_ai.usage.output_tokens"] for row in rows), totals["tokens"])
        self.assertEqual(sum(row["cost_usd"] or 0 for row in rows), Decimal(totals["cost_exact"]))
        self.assertEqual(sum(row["error.type"] is not None for row in rows), totals["errors"])
        self.assertEqual(len({row["call_id"] for row in rows}), len(rows))

    def test_ids_known_twice(self):
        first, second = Segment(self.log, 1), Segment(self.log, 2)
        keep = first.call(tokens=(1, 0, 0, 0, 0, 0), call_id=b"twice")
        first.call(tokens=(2, 0, 0, 0, 0, 0), call_id=b"changed")
        first.call(tokens=(2, 0, 0, 0, 0, 0), call_id=b"changed", reversal=True)
        first.call(tokens=(4, 0, 0, 0, 0, 0), call_id=b"back")
        second.call(tokens=(3, 0, 0, 0, 0, 0), call_id=b"changed")
        second.call(tokens=(1, 0, 0, 0, 0, 0), call_id=b"twice")
        second.call(tokens=(9, 0, 0, 0, 0, 0), call_id=b"twice")
        second.call(tokens=(4, 0, 0, 0, 0, 0), call_id=b"back", reversal=True)
        rows = self.jsonl(status=1, err="2 calls have the id of another one, and each id is exported once")
        self.assertEqual([(row["gen_ai.usage.input_tokens"], row["slot"]) for row in rows], [(1, keep), (3, rows[1]["slot"])])
        # What is taken back counts nowhere, in any format.
        self.assertEqual(len(self.export("csv", status=1, err="each id").splitlines()), 3)

    def test_taken_back_once(self):
        segment = Segment(self.log, 1)
        segment.call(call_id=b"a")
        last = segment.call(call_id=b"a")
        segment.call(call_id=b"a", reversal=True)
        self.assertEqual([row["slot"] for row in self.jsonl()], [last])

    def test_reversal_of_nothing(self):
        segment = Segment(self.log, 1)
        segment.call(call_id=b"gone", reversal=True)
        segment.call()
        self.assertEqual(len(self.jsonl(status=1, err="1 reversal takes back a call that is not there")), 1)

    def test_balances(self):
        segment = Segment(self.log, 1)
        segment.balance(OLD, 7, 4200, 5 * 10**11, 3)
        segment.call()
        balance, call = self.jsonl()
        self.assertEqual(tuple(balance), NAMES + BALANCE)
        self.assertEqual([balance[name] for name in BALANCE + ("cost_usd", "gen_ai.usage.input_tokens")],
                         ["balance", 7, 4200, 3, Decimal("0.5"), None])
        self.assertEqual(tuple(call), NAMES)
        spans = json.loads(self.export("otlp-json", status=1, err="1 opening balance is no call"))
        self.assertEqual(len(spans["resourceSpans"][0]["scopeSpans"][0]["spans"]), 1)

    def test_period(self):
        segment = Segment(self.log, 1)
        for hour in range(72):
            segment.call(1700006400 + hour * 3600, tokens=(hour, 0, 0, 0, 0, 0))  # from 2023-11-15T00:00:00Z on

        def hours(*arguments):
            return [row["gen_ai.usage.input_tokens"] for row in self.jsonl(*arguments)]

        self.assertEqual(hours("--since", "2023-11-16"), list(range(24, 72)))
        self.assertEqual(hours("--until", "2023-11-16"), list(range(48)))
        self.assertEqual(hours("--since", "2023-11-16", "--until", "2023-11-16"), list(range(24, 48)))
        self.assertEqual(hours("--since", "2023-11-15T05:00:00Z", "--until", "2023-11-15T07:00:00Z"), [5, 6])
        self.assertEqual(hours("--since", "2030-01-01"), [])
        # Days are the log's.
        self.write_conf("Asia/Tokyo")
        self.assertEqual(hours("--since", "2023-11-16", "--until", "2023-11-16"), list(range(15, 39)))

    def test_what_is_gone(self):
        old, new = Segment(self.log, 1), Segment(self.log, 2)
        fill(old, 20, start=OLD)
        os.utime(old.path, (OLD, OLD))
        fill(new, 10)
        run("config", "--log", self.log, "retention_days", "30")
        self.compact()
        self.assertFalse(os.path.exists(old.path))
        self.assertEqual(len(self.jsonl(err="20 calls were in 1 segment that retention deleted")), 10)
        # What is lost otherwise is not well.
        os.unlink(new.path)
        self.assertEqual(self.jsonl(status=1, err=new.id.hex() + "(.|\n)*retention"), [])

    def test_cut_short(self):
        segment = Segment(self.log, 1)
        fill(segment, 100)
        self.compact()
        with open(segment.path, "r+b") as file:
            file.truncate(segment.next * 64 - 4096)
        self.assertLess(len(self.jsonl(status=1, err="it was cut short")), 100)
        dumped = run("dump", "--log", self.log)
        self.assertEqual(dumped.returncode, 1)
        self.assertIn("it was cut short", dumped.stderr)

    def test_names_of_others(self):
        """What only a dump has may be anything in a file that is none."""
        line = {"time": "2026-01-10T22:32:06Z", "gen_ai.provider.name": "p", "gen_ai.request.model": "m", "kind": {"a": 1},
                "calls": [1], "tokens": {"in": 1}, "scope": {}, "segment": [], "slot": {}}
        path = self.import_back(json.dumps(line) + "\n")
        self.assertEqual(len(run("dump", "--log", path).stdout.splitlines()), 1)

    def test_dump_comes_back(self):
        segment = Segment(self.log, 1)
        segment.balance(OLD, 7, 4200, 5 * 10**11, 3, operation="chat")
        segment.call(call_id=b"a")
        segment.call(call_id=b"a", reversal=True)
        with open(os.path.join(self.top, "dump.jsonl"), "w", encoding="utf-8") as file:
            file.write(run("dump", "--log", self.log).stdout)
        done = run("import", "--log", os.path.join(self.top, "copy"), os.path.join(self.top, "dump.jsonl"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("imported 2 calls", done.stdout)
        self.assertIn('kind: "reversal" takes a call back', done.stderr)
        self.log = os.path.join(self.top, "copy")
        self.assertEqual([row.get("kind") for row in self.jsonl()], ["balance", None])

    def test_damage(self):
        segment = Segment(self.log, 1)
        segment.damage(segment.call())
        segment.call()
        self.assertEqual(len(self.jsonl(status=1, err="1 are damaged")), 1)

    def test_back_by_import(self):
        self.fill()
        segment = Segment(self.log, 3)
        # What import refuses of other files a log may have.
        segment.call(tokens=(2**32 - 1,) * 4 + (1, 2**32 - 1), cost=-(2**63), latency=2**32 - 1, ttft=2**32 - 1)
        segment.call(1e9, provider="p\\", model='m"\u2028é😀', operation="a", cost=0, session_id="=1+1", metadata={"n": 1e300, "deep": {"a": [None]}})
        segment.balance(OLD, 7, 4200, 5 * 10**11, 3, operation="chat")
        segment.balance(OLD, 2, 0, -1, 1, provider="p")
        self.compact()
        text = self.export("jsonl")
        copy = self.import_back(text)
        before = self.summary()
        again = run("import", "--log", copy, "--format", "jsonl", os.path.join(self.top, "copy.jsonl"))
        self.assertIn("imported 0 calls (604 already there", again.stdout)
        self.log = copy
        self.compact()
        after = self.summary()
        for one in (before, after):
            del one["log"], one["last_updated"]
            # Calls get an id, and those of the same moment may stand in another order.
            one["sessions"] = sorted(json.dumps({**call, "call_id": None}) for call in one["sessions"])
        self.assertEqual(len(before["sessions"]), 602)
        self.assertEqual(after, before)
        self.verify()
        # And out again: the same calls, each with the id that it had.
        # A name may hold what Python takes for the end of a line.
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        back = [json.loads(line) for line in self.export("jsonl").split("\n")[:-1]]
        for row in rows + back:
            del row["segment"], row["slot"]
        self.assertEqual(sorted(map(json.dumps, back)), sorted(map(json.dumps, rows)))


    def test_back_by_csv(self):
        self.fill()
        Segment(self.log, 3).balance(OLD, 7, 4200, 5 * 10**11, 3, operation="chat")
        self.compact()
        before = self.summary()
        self.log = self.import_back(self.export("csv"))
        self.compact()
        after = self.summary()
        for name in ("totals", "daily_totals", "model_breakdown", "operation_breakdown", "error_breakdown", "latency_ms", "ttft_ms"):
            self.assertEqual(after[name], before[name])


class Csv(ExportTest):
    def test_same_as_json(self):
        self.fill()
        Segment(self.log, 3).balance(OLD, 7, 4200, 5 * 10**11, 3)
        text = self.export("csv")
        rows = list(csv.DictReader(io.StringIO(text)))
        self.assertEqual(tuple(rows[0]), NAMES + BALANCE)
        wanted = [json.loads(line, parse_float=str, parse_int=str) for line in self.export("jsonl").splitlines()]
        self.assertEqual(len(rows), len(wanted))
        for row, other in zip(rows, wanted):
            for name in NAMES + BALANCE:
                value = other.get(name)
                if name == "metadata" and value:
                    self.assertEqual(json.loads(row[name], parse_int=str), value)
                else:
                    self.assertEqual(row[name], value or "")

    def test_formulas(self):
        segment = Segment(self.log, 1)
        evil = ("=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", '=HYPERLINK("http://x","y")', "plain", "'=1")
        for text in evil:
            segment.call(provider=text, model=text, operation=text, error_type=text, service_tier=text, session_id=text, cost=-5)
        rows = list(csv.reader(io.StringIO(self.export("csv"))))[1:]
        self.assertEqual(len(rows), len(evil))
        for row, text in zip(rows, evil):
            for cell in row:
                self.assertFalse(cell[:1] in "=+-@\t\r" and cell and not re.fullmatch(r"-?[0-9.]+", cell), cell)
            self.assertEqual(row[1], ("'" if text[0] in "=+-@" else "") + text)


class Prometheus(ExportTest):
    def metrics(self, text):
        metrics = parse_prometheus(text)
        if text_string_to_metric_families:
            theirs = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
                      for family in text_string_to_metric_families(text) for sample in family.samples}
            ours = {(sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
                    for _, samples in metrics.values() for sample in samples}
            self.assertEqual(theirs, ours)
        return metrics

    def test_counters(self):
        self.fill()
        rows = self.jsonl()
        pending = self.metrics(self.export("prometheus"))
        self.compact()
        metrics = self.metrics(self.export("prometheus"))
        wanted = collections.defaultdict(Decimal)
        for row in rows:
            key = (row["gen_ai.provider.name"], row["gen_ai.request.model"], row["gen_ai.operation.name"] or "",
                   row["error.type"] or "")
            wanted["gen_ai_client_operation_total", key, ""] += 1
            wanted["usagelog_cost_usd_total", key, ""] += row["cost_usd"] or 0
            wanted["usagelog_unpriced_calls_total", key, ""] += row["cost_usd"] is None
            for kind in ("input", "output"):
                wanted["gen_ai_client_token_usage_total", key, kind] += row[f"gen_ai.usage.{kind}_tokens"]
            for part, name in (("cache_read", "gen_ai.usage.cache_read.input_tokens"), ("cache_write_5m", "cache_write_5m_tokens"),
                               ("cache_write_1h", "cache_write_1h_tokens"), ("reasoning", "gen_ai.usage.reasoning.output_tokens")):
                wanted["usagelog_token_parts_total", key, part] += row[name]
        for found in (pending, metrics):
            got = {}
            for name, (kind, samples) in found.items():
                for sample in samples if kind == "counter" and name != "usagelog_dropped_calls_total" else ():
                    labels = sample.labels
                    got[name, tuple(labels[label] for label in ("gen_ai_provider_name", "gen_ai_request_model",
                                                                "gen_ai_operation_name", "error_type")),
                        labels.get("gen_ai_token_type", labels.get("part", ""))] = sample.value
            self.assertEqual(got, wanted)
        self.assertEqual(pending["usagelog_pending_calls"][1][0].value, 600)
        self.assertEqual(metrics["usagelog_pending_calls"][1][0].value, 0)
        newest = metrics["usagelog_newest_call_timestamp_seconds"][1][0].value
        self.assertEqual(newest, Decimal(1700000000 + 299 * 3600) + Decimal("0.25"))

    def test_histograms_are_exact(self):
        self.fill()
        # At a bound, and beside it.
        extra = Segment(self.log, 3)
        for us in (8190, 8191, 8192, 134217727, 134217728, 2**32 - 1):
            extra.call(provider="openai", model="gpt-4o", latency=us)
        rows = self.jsonl()
        metrics = self.metrics(self.export("prometheus"))
        for name, column in (("gen_ai_client_operation_duration_seconds", "latency_ms"),
                             ("gen_ai_client_operation_time_to_first_chunk_seconds", "ttft_ms")):
            values = collections.defaultdict(list)
            for row in rows:
                if row[column] is not None:
                    values[row["gen_ai.provider.name"], row["gen_ai.request.model"], row["gen_ai.operation.name"] or ""].append(
                        row[column] / Decimal(1000))
            kind, samples = metrics[name]
            self.assertEqual(kind, "histogram")
            seen = set()
            for sample in samples:
                key = tuple(sample.labels[label] for label in ("gen_ai_provider_name", "gen_ai_request_model",
                                                               "gen_ai_operation_name"))
                seen.add(key)
                if sample.name.endswith("_bucket"):
                    bound = sample.labels["le"]
                    bound = math.inf if bound == "+Inf" else Decimal(bound)
                    self.assertEqual(sample.value, sum(value <= bound for value in values[key]), sample)
                elif sample.name.endswith("_sum"):
                    self.assertEqual(sample.value, sum(values[key]), sample)
                else:
                    self.assertEqual(sample.value, len(values[key]), sample)
            self.assertEqual(seen, set(values))
            self.assertEqual(len(samples), len(values) * 18)

    def test_labels(self):
        name = 'a "quoted" \\ back, {slash} \\n'
        Segment(self.log, 1).call(provider=name, model=name, operation=name, error_type=name)
        metrics = self.metrics(self.export("prometheus"))
        labels = metrics["gen_ai_client_operation_total"][1][0].labels
        self.assertEqual(set(labels.values()), {name})

    def test_balances_and_nothing(self):
        self.metrics(self.export("prometheus"))
        segment = Segment(self.log, 1)
        segment.balance(OLD, 7, 4200, 5 * 10**11, 2)
        segment.balance(OLD, 7, 4200, 5 * 10**11, 1)
        metrics = self.metrics(self.export("prometheus"))
        self.assertEqual([sample.value for sample in metrics["gen_ai_client_operation_total"][1]], [7])
        unknown = [sample.value for sample in metrics["gen_ai_client_token_usage_total"][1]
                   if sample.labels["gen_ai_token_type"] == "unknown"]
        self.assertEqual(unknown, [4200])

    def test_no_period(self):
        done = run("export", "--log", self.log, "--format", "prometheus", "--since", "2023-01-01")
        self.assertEqual((done.returncode, done.stdout), (16, ""))
        self.assertIn("of all time", done.stderr)


class Otlp(ExportTest):
    def spans(self, text):
        for line in text.splitlines():
            (resource,) = json.loads(line)["resourceSpans"]
            attributes = {one["key"]: one["value"] for one in resource["resource"]["attributes"]}
            self.assertEqual(attributes["service.name"], {"stringValue": "usagelog"})
            (scope,) = resource["scopeSpans"]
            self.assertEqual(scope["scope"]["name"], "usagelog")
            self.assertLessEqual(len(scope["spans"]), 1000)
            yield from scope["spans"]

    def test_spans(self):
        for number in (1, 2, 3):
            fill(Segment(self.log, number), 700, seed=number)
        Segment(self.log, 4).call(1700000000.5, operation="chat", model='m"\\', error_type="429", tokens=(100, 20, 30, 40, 50, 5),
                                  cost=2 * 10**8, latency=812345, ttft=12500, session_id="s", service_tier="flex", metadata={"a": 1})
        text = self.export("otlp-json")
        self.assertEqual(text, self.export("otlp-json"))
        self.assertEqual(len(text.splitlines()), 3)
        spans, rows = list(self.spans(text)), self.jsonl()
        self.assertEqual(len(spans), len(rows))
        self.assertEqual(len({span["spanId"] for span in spans}), len(rows))
        for span, row in zip(spans, rows):
            self.assertEqual(span["traceId"], row["call_id"])
            self.assertRegex(span["spanId"], "^(?!0{16})[0-9a-f]{16}$")
            self.assertEqual(span["kind"], 3)
            values = {one["key"]: next(iter(one["value"].items())) for one in span["attributes"]}
            self.assertEqual(len(values), len(span["attributes"]))
            for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
                self.assertEqual(values[name], ("intValue", str(row[name])))
            for name in ("gen_ai.provider.name", "gen_ai.request.model", "gen_ai.operation.name", "error.type",
                         "gen_ai.conversation.id"):
                self.assertEqual(values.get(name, ("", None))[1], row[name])
            for name in ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
                         "gen_ai.usage.reasoning.output_tokens"):
                self.assertEqual(int(values.get(name, ("", "0"))[1]), row[name])
            took = int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
            self.assertEqual(took, int((row["latency_ms"] or 0) * 1000000))
            self.assertEqual(span["status"], {"code": 2} if row["error.type"] else {})
            name = " ".join(text for text in (row["gen_ai.operation.name"], row["gen_ai.request.model"]) if text)
            self.assertEqual(span["name"], name)
        values = {one["key"]: next(iter(one["value"].values())) for one in spans[-1]["attributes"]}
        self.assertEqual((values["usagelog.cost_usd"], values["gen_ai.response.time_to_first_chunk"]), (0.0002, 0.0125))
        self.assertEqual((values["usagelog.service_tier"], values["usagelog.metadata"]), ("flex", '{"a":1}'))
        self.assertEqual(spans[-1]["startTimeUnixNano"], "1700000000500000000")

    def test_nothing(self):
        self.assertEqual(self.export("otlp-json"), "")

    def test_full_requests(self):
        segment = Segment(self.log, 1)
        for number in range(1000):
            segment.call(call_id=struct.pack("<QQ", 0, number))
        self.assertEqual(len(self.export("otlp-json").splitlines()), 1)


class Output(ExportTest):
    def setUp(self):
        super().setUp()
        Segment(self.log, 1).call()
        self.folder = os.path.join(self.top, "out")
        os.mkdir(self.folder)
        self.target = os.path.join(self.folder, "usage.prom")

    def write(self, text):
        with open(self.target, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self):
        with open(self.target, encoding="utf-8") as file:
            return file.read()

    def test_replaced_as_a_whole(self):
        for kind in ("prometheus", "jsonl", "csv", "otlp-json"):
            self.write("before")
            os.chmod(self.target, 0o640)
            with open(self.target, encoding="utf-8") as reader:
                self.assertEqual(self.export(kind, "-o", self.target), "")
                self.assertEqual(reader.read(), "before")
            self.assertEqual(self.read(), self.export(kind))
            self.assertEqual(stat.S_IMODE(os.stat(self.target).st_mode), 0o640)
            self.assertEqual(os.listdir(self.folder), ["usage.prom"])

    def test_new_file(self):
        done = subprocess.run(f"umask 027; cd '{self.folder}' && '{PROGRAM}' export --log '{self.log}' --format csv --output usage.prom",
                              shell=True, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(stat.S_IMODE(os.stat(self.target).st_mode), 0o640)
        self.assertEqual(self.read(), self.export("csv"))

    def test_over_a_link(self):
        os.symlink("usage.prom", os.path.join(self.folder, "link"))
        self.write("before")
        self.export("csv", "-o", os.path.join(self.folder, "link"))
        self.assertTrue(os.path.islink(os.path.join(self.folder, "link")))
        self.assertEqual(self.read(), self.export("csv"))

    def test_as_it_was(self):
        self.write("before")
        none = os.path.join(self.top, "none")
        for kind in ("jsonl", "prometheus"):
            done = run("export", "--log", none, "--format", kind, "-o", self.target)
            self.assertEqual(done.returncode, 8, done.stderr)
            # A file that may grow no more, as on a full disk.
            done = subprocess.run(["bash", "-c", 'ulimit -f 0; exec "$@"', "-", PROGRAM, "export", "--log", self.log,
                                   "--format", kind, "-o", self.target], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 8, done.stderr)
            self.assertRegex(done.stderr, r"usage\.prom: cannot be written: .*; it is as it was")
            self.assertEqual((self.read(), os.listdir(self.folder)), ("before", ["usage.prom"]))

    def test_places_that_are_none(self):
        for place, why in ((self.folder, "directory"), (os.path.join(self.folder, "none", "x"), "No such file"), ("", "is empty")):
            done = run("export", "--log", self.log, "--format", "csv", "-o", place)
            self.assertEqual((done.returncode, done.stdout), (16 if not place else 8, ""))
            self.assertIn(why, done.stderr)
        self.export("csv", "-o", "/dev/null")
        done = run("export", "--log", self.log, "--format", "csv", "-o", "/dev/full")
        self.assertEqual(done.returncode, 8)

    def test_mistakes(self):
        for arguments, text in ((("--format", "jsnl"), "did you mean jsonl?"), ((), "--format is required"),
                                (("--format", "csv", "x"), "stands behind --output"),
                                (("--format", "csv", "--since", "yesterday"), "--since"),
                                (("--format", "csv", "--since", "2026-02-30"), "--since"),
                                (("--format", "csv", "--since", "2026-02-02", "--until", "2026-02-01"), "nothing in between")):
            done = run("export", "--log", self.log, *arguments)
            self.assertEqual((done.returncode, done.stdout), (16, ""), arguments)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
