#!/usr/bin/python3
"""usagelog report against the calls themselves, as the oracle reads them: every grouping, filter and zone, figure by figure."""

import collections
import csv
import datetime
import fcntl
import fnmatch
import io
import json
import math
import os
import pty
import random
import select
import signal
import struct
import subprocess
import termios
import time
import unittest
import zoneinfo
from fractions import Fraction

from handmade import PROGRAM, LogTest, Segment, oracle, run

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens")
PERCENTS = (50, 90, 95, 99)
SAME = {"google": "gemini", "gcp.gemini": "gemini", "azure.ai.openai": "azure", "vertex_ai-anthropic_models": "vertex_ai"}
TIMES = ("day", "week", "month", "hour", "block")
VIEWS = {"daily": "day", "weekly": "week", "monthly": "month", "hourly": "hour", "models": "model", "providers": "provider",
         "operations": "operation", "sessions": "session_id", "errors": "error_type", "blocks": "block"}
QUARTER = 900 * 10**9
UTC = datetime.timezone.utc


def middle(us):
    """Of the bucket that a time falls in (FORMAT.md 7)."""
    if us < 128:
        return us
    shift = us.bit_length() - 7
    least = us >> shift << shift
    return least + ((1 << shift) - 1) // 2


def local(zone, ns):
    return datetime.datetime.fromtimestamp(ns // 10**9, UTC).astimezone(zoneinfo.ZoneInfo(zone))


def offset(moment):
    text = moment.strftime("%z")
    return f"{text[:3]}:{text[3:]}"


def hour_start(zone, ns):
    """The first quarter of the local hour: offsets are whole quarters in all zones here."""
    quarter = ns // QUARTER * QUARTER
    here = local(zone, quarter)
    while True:
        before = local(zone, quarter - QUARTER)
        if before.strftime("%Y%m%d%H%z") != here.strftime("%Y%m%d%H%z"):
            return quarter
        quarter -= QUARTER


def hour_text(zone, ns):
    moment = local(zone, ns)
    return moment.strftime("%Y-%m-%dT%H:00") + offset(moment)


class Truth:
    """The calls of a log, and what they come to."""

    def __init__(self, log, zone, group_by):
        self.zone, self.group_by = zone, group_by
        done = oracle("dump", log)
        assert done.returncode == 0, done.stderr
        self.calls = [json.loads(line) for line in done.stdout.splitlines()]
        for call in self.calls:
            call["attributes"] = json.loads(call["context"])
            call["sign"] = -1 if call["kind"] == "reversal" else call.get("calls", 1)
            call["scope"] = call.get("scope", 0)

    def blocks(self, zone):
        """By call's quarter: the block's first one. Calls that were taken back made a quarter, too, unless nothing is left in it."""
        quarters = collections.Counter()
        for call in self.calls:
            if call["scope"] in (0, 1, 3):
                quarters[call["time_ns"] // QUARTER * QUARTER] += call["sign"]
        begin, found = None, {}
        for quarter in sorted(quarter for quarter, count in quarters.items() if count > 0):
            if begin is None or quarter - begin >= 5 * 3600 * 10**9:
                begin = hour_start(zone, quarter)
            found[quarter] = begin
        return found

    def value(self, call, key, zone, blocks, raw):
        # A block is of the day that it begins in.
        moment = local(zone, blocks[call["time_ns"] // QUARTER * QUARTER] if blocks else call["time_ns"])
        if key == "day":
            return moment.strftime("%Y-%m-%d")
        if key == "week":
            return (moment.date() - datetime.timedelta(days=moment.weekday())).isoformat()
        if key == "month":
            return moment.strftime("%Y-%m")
        if key == "hour":
            return hour_text(zone, hour_start(zone, call["time_ns"]))
        if key == "block":
            return hour_text(zone, blocks[call["time_ns"] // QUARTER * QUARTER])
        if key == "provider":
            return call["provider"] if raw else SAME.get(call["provider"], call["provider"])
        if key == "model":
            return call["model"]
        if key in ("operation", "error_type", "service_tier", "session_id"):
            return call["attributes"].get(key)
        value = call["attributes"].get("metadata", {}).get(key.replace("metadata.", ""))
        return value if value is None or isinstance(value, str) else json.dumps(value)

    def wanted(self, call, filters, zone, blocks, raw):
        by_key = collections.defaultdict(list)
        for key, pattern in filters:
            by_key[key].append(pattern)
        for key, patterns in by_key.items():
            values = [self.value(call, key, zone, blocks, raw) or ""]
            if key == "provider":
                values.append(call["provider"])
            if not any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns):
                return False
        return True

    def groups(self, keys, filters=(), zone=None, since=None, until=None, raw=False, errors=False):
        zone = zone or self.zone
        blocks = self.blocks(zone) if "block" in keys else None
        by_time = not keys or any(key in TIMES for key in keys)
        found = collections.defaultdict(list)
        for call in self.calls:
            if call["scope"] and not call["scope"] & (1 if by_time else 2):
                continue
            if blocks is not None and call["time_ns"] // QUARTER * QUARTER not in blocks:
                continue
            start = blocks[call["time_ns"] // QUARTER * QUARTER] if blocks is not None else call["time_ns"]
            day = local(zone, start).strftime("%Y-%m-%d")
            if (since and day < since) or (until and day > until) or not self.wanted(call, filters, zone, blocks, raw):
                continue
            if errors and not call["attributes"].get("error_type"):
                continue
            found[tuple(self.value(call, key, zone, blocks, raw) for key in keys)].append(call)
        return {key: figures for key, calls in found.items() if (figures := self.figures(calls))}

    def figures(self, calls):
        """What a line says; None if nothing is left of it."""
        total = collections.Counter()
        times = {"latency_ms": collections.Counter(), "ttft_ms": collections.Counter()}
        for call in calls:
            sign = -1 if call["kind"] == "reversal" else 1
            total["calls"] += call["sign"]
            total["errors"] += call["sign"] if call["attributes"].get("error_type") else 0
            total["unpriced"] += call["sign"] if call["cost_pico_usd"] is None else 0
            total["cost"] += sign * (call["cost_pico_usd"] or 0)
            total["unknown_kind_tokens"] += call["tokens"] if call["kind"] == "balance" else 0
            for kind in TOKENS:
                total[kind] += sign * call.get(kind, 0)
            for name, member in (("latency_ms", "latency_us"), ("ttft_ms", "ttft_us")):
                if call[member] is not None and call["kind"] != "balance":
                    times[name][call[member]] += sign
        result = dict(total)
        for name, counts in times.items():
            values = sorted(+counts)
            ordered = [value for value in values for _ in range(counts[value])]
            result[name] = None
            if ordered:
                result[name] = {"calls": len(ordered), "mean": Fraction(sum(ordered), len(ordered))}
                for percent in PERCENTS:
                    result[name][f"p{percent}"] = middle(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)])
        return result if any(value for value in result.values()) else None


class ReportTest(LogTest):
    zone, group_by = "Europe/Berlin", ("team", "user")

    def report(self, *arguments, status=0, environment=None, **options):
        done = run("report", "--log", self.log, *arguments, env={**os.environ, **(environment or {})}, **options)
        self.assertEqual(done.returncode, status, (arguments, done.stdout[-2000:], done.stderr))
        return done

    def json(self, *arguments, status=0):
        return json.loads(self.report(*arguments, "--json", status=status).stdout, parse_float=Fraction)

    def expect_figures(self, row, truth, what):
        tokens = sum(truth.get(kind, 0) for kind in TOKENS[:5]) + truth.get("unknown_kind_tokens", 0)
        self.assertEqual((row["calls"], row["errors"], row["unpriced"]), (truth["calls"], truth["errors"], truth["unpriced"]), what)
        self.assertEqual((row["tokens"], row["tokens_exact"]), (tokens, str(tokens)), what)
        self.assertEqual(Fraction(row["cost_exact"]), Fraction(truth["cost"], 10**12), what)
        for kind in (*TOKENS, "unknown_kind_tokens"):
            self.assertEqual(row["tokens_by_kind"][kind], truth[kind], (what, kind))
        for name in ("latency_ms", "ttft_ms"):
            shown, expected = row[name], truth[name]
            self.assertEqual(shown is None, expected is None, (what, name))
            if expected is None:
                continue
            self.assertEqual(shown["calls"], expected["calls"], (what, name))
            self.assertLessEqual(abs(shown["mean"] * 1000 - expected["mean"]), Fraction(1, 2), (what, name))
            for percent in PERCENTS:
                self.assertEqual(shown[f"p{percent}"] * 1000, expected[f"p{percent}"], (what, name, percent))

    def expect_groups(self, shown, keys, groups, what):
        rows = {tuple(row[key.replace("metadata.", "")] for key in keys): row for row in shown["rows"]}
        self.assertEqual(len(rows), len(shown["rows"]), what)
        self.assertEqual(set(rows), set(groups), what)
        for key, truth in groups.items():
            self.expect_figures(rows[key], truth, (what, key))
        all_cost = sum(truth["cost"] for truth in groups.values())
        for key, truth in groups.items():
            if all_cost > 0:
                self.assertLessEqual(abs(rows[key]["share_percent"] - Fraction(truth["cost"] * 100, all_cost)), Fraction(1, 1000), (what, key))
        self.assertEqual(Fraction(shown["totals"]["cost_exact"]), Fraction(all_cost, 10**12), what)
        self.assertEqual(shown["totals"]["calls"], sum(truth["calls"] for truth in groups.values()), what)


def make_call(pick, segment, moment, number):
    attributes = {}
    if pick.random() < .8:
        attributes["operation"] = pick.choice(("chat", "embeddings", "=chat"))
    if pick.random() < .15:
        attributes["error_type"] = pick.choice(("429", "timeout"))
    if pick.random() < .3:
        attributes["service_tier"] = "batch"
    if pick.random() < .7:
        attributes["session_id"] = f"s{pick.randrange(12)}"
    metadata = {key: value for key, value in (("user", f"u{pick.randrange(5)}"), ("team", pick.choice((1, True, "a b"))),
                                              ("n", pick.randrange(4)), ("request", f"r{number}")) if pick.random() < .7}
    if metadata:
        attributes["metadata"] = metadata
    provider, model = pick.choice((("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("azure.ai.openai", "gpt-4o"), ("azure", "gpt-4o"),
                                   ("gemini", "gemini-pro"), ("gcp.gemini", "gemini-pro"), ("google", "\u200bflash"), ("vertex_ai-anthropic_models", "claude"), ("own", "=1+2")))
    segment.call(moment, provider=provider, model=model, cost=pick.choice((None, 0, pick.randrange(10**11))),
                 tokens=tuple(pick.randrange(10**pick.randrange(1, 6)) for _ in range(6)),
                 latency=pick.choice((None, pick.randrange(1, 200), pick.randrange(1, 4 * 10**7))),
                 ttft=pick.choice((0, pick.randrange(1, 10**6))), call_id=struct.pack("<QQ", 7, number) if number % 9 == 0 else None,
                 **attributes)


class Groupings(ReportTest):
    def setUp(self):
        super().setUp()
        pick = random.Random(20260101)
        # Ten days over the end of summer time; busy ones, and pauses of hours.
        start = datetime.datetime(2025, 10, 20, tzinfo=UTC).timestamp()
        moments = sorted(start + pick.random() * 10 * 86400 for _ in range(150))
        moments += [start + 3 * 86400 + pick.random() * 20000 for _ in range(60)]
        moments += [start + day * 86400 for day in range(1, 9)]
        pick.shuffle(moments)
        first, second = Segment(self.log, 1), Segment(self.log, 2)
        for number, moment in enumerate(moments[:150]):
            make_call(pick, first, moment, number)
        # A call and what takes it back; sums of older days.
        # A call alone in its quarter is taken back after it was folded: no block begins with it any more.
        alone = {"cost": 10**12, "call_id": b"alone"}
        first.call(start - 400000, **alone)
        taken = {"provider": "openai", "model": "gpt-4o", "cost": 5 * 10**12, "tokens": (9, 9, 9, 9, 9, 9), "latency": 77, "call_id": b"back"}
        first.call(start + 5000, **taken)
        first.call(start + 5000, reversal=True, **taken)
        for scope in (1, 2, 3):
            first.balance(start + 90000 * scope, 10 * scope, 1000 * scope, 10**12 * scope, scope)
        self.compact()
        second.call(start - 400000, reversal=True, **alone)
        for number, moment in enumerate(moments[150:]):
            make_call(pick, second, moment, 1000 + number)
        self.truth = Truth(self.log, self.zone, self.group_by)

    def test_summary_agrees(self):
        """The same figures as summary.json, once all is folded; and folding changes none."""
        before = {view: self.json(view, "--days", "all") for view in VIEWS}
        self.compact()
        summary = self.summary()
        for view, shown in before.items():
            after = self.json(view, "--days", "all")
            self.assertEqual((shown["rows"], shown["totals"]), (after["rows"], after["totals"]), view)
        for view, member, key in (("daily", "daily_totals", "day"), ("models", "model_breakdown", "model"), ("hourly", "hourly_totals", "hour"),
                                  ("operations", "operation_breakdown", "operation"), ("errors", "error_breakdown", "error_type"),
                                  ("providers", "provider_breakdown", "provider")):
            shown = {row[key]: row for row in self.json(view, "--days", "all", "--raw-names")["rows"] if row[key] is not None}
            self.assertEqual(set(shown), set(summary[member]), view)
            for name, total in summary[member].items():
                for figure in ("tokens_exact", "cost_exact", "calls", "errors", "unpriced"):
                    self.assertEqual(shown[name][figure], total[figure], (view, name, figure))
        models = {row["model"]: row for row in self.json("models", "--days", "all")["rows"]}
        for name, latency in summary["latency_ms"]["by_model"].items():
            self.assertEqual({key: float(value) for key, value in models[name]["latency_ms"].items()}, latency, name)
        days = {row["day"] for row in self.json("daily", "--days", "all")["rows"]}
        self.assertEqual(days, set(summary["daily_totals"]))

    def test_views(self):
        for view, key in VIEWS.items():
            groups = self.truth.groups([key], errors=view == "errors")
            self.expect_groups(self.json(view, "--days", "all"), [key], groups, view)

    def test_any_question(self):
        pick = random.Random(3)
        keys = (*TIMES, "provider", "model", "operation", "error_type", "service_tier", "session_id", "user", "team", "n", "metadata.user")
        filters = (("model", "gpt-4o"), ("model", "gpt*"), ("provider", "google"), ("provider", "gemini"), ("operation", "chat"),
                   ("operation", ""), ("session_id", "s1*"), ("user", "u1"), ("user", "u2"), ("team", "1"), ("n", "3"), ("error_type", "*29"))
        for number in range(70):
            by = list(dict.fromkeys(pick.choices(keys, k=pick.randrange(1, 4))))
            if {"user", "metadata.user"} <= set(by):
                by.remove("user")
            chosen = pick.sample(filters, k=pick.choice((0, 0, 1, 2, 3)))
            zone = pick.choice((None, None, "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"))
            since, until = pick.choice(((None, None), ("2025-10-22", "2025-10-26"), ("2025-10-25", None), (None, "2025-10-23")))
            raw = pick.random() < .3
            arguments = ["--by", ",".join(by), *(["--raw-names"] if raw else []), *(["--timezone", zone] if zone else []),
                         *(["--since", since] if since else []), *(["--until", until.replace("-", "")] if until else [])]
            if not since and not until:
                arguments += ["--days", "all"]
            for key, pattern in chosen:
                arguments += ["--" + key, pattern] if key in ("model", "provider", "operation") else ["--where", f"{key}={pattern}"]
            groups = self.truth.groups(by, chosen, zone, since, until, raw)
            with self.subTest(number=number, arguments=arguments):
                self.expect_groups(self.json(*arguments), by, groups, arguments)

    def test_lines(self):
        """Order, --top, --breakdown and CSV."""
        rows = self.json("sessions", "--days", "all")["rows"]
        self.assertEqual([row["cost"] for row in rows], sorted((row["cost"] for row in rows), reverse=True))
        rows = self.json("sessions", "--days", "all", "--sort", "-calls")["rows"]
        self.assertEqual([row["calls"] for row in rows], sorted(row["calls"] for row in rows))
        rows = self.json("daily", "--days", "all", "--sort", "-key")["rows"]
        self.assertEqual([row["day"] for row in rows], sorted((row["day"] for row in rows), reverse=True))
        rows = self.json("--by", "request", "--days", "all", "--sort", "p95")["rows"]
        known = [row["latency_ms"]["p95"] for row in rows if row["latency_ms"]]
        self.assertEqual(known, sorted(known, reverse=True))
        self.assertTrue(all(row["latency_ms"] is None for row in rows[len(known):]))
        whole, cut = self.json("sessions", "--days", "all"), self.json("sessions", "--days", "all", "--top", "3")
        self.assertEqual(cut["rows"][:3], whole["rows"][:3])
        most = len(whole["rows"]) - 1
        self.assertEqual(self.json("sessions", "--days", "all", "--top", str(most))["rows"][most]["others"], 1)
        self.assertEqual((cut["rows"][3]["session_id"], cut["rows"][3]["others"]), (None, len(whole["rows"]) - 3))
        self.assertEqual(sum(row["tokens"] for row in cut["rows"]), cut["totals"]["tokens"])
        self.assertEqual(cut["totals"], whole["totals"])
        daily = self.json("daily", "--days", "all", "--breakdown")
        parts = self.truth.groups(["day", "model"])
        self.assertEqual(sum(len(row["breakdown"]) for row in daily["rows"]), len(parts))
        for row in daily["rows"]:
            costs = [part["cost"] for part in row["breakdown"]]
            self.assertEqual(costs, sorted(costs, reverse=True))
            for part in row["breakdown"]:
                self.expect_figures(part, parts[row["day"], part["model"]], (row["day"], part["model"]))
        for arguments in (("daily", "--days", "all", "--breakdown"), ("models", "--days", "all", "--by", "operation")):
            shown = self.json(*arguments)
            keys = ("day", "model") if "--breakdown" in arguments else ("model", "operation")
            lines = list(csv.DictReader(io.StringIO(self.report(*arguments, "--csv").stdout, newline="")))
            groups = self.truth.groups(keys)
            self.assertEqual(len(lines), len(groups))
            for line in lines:
                name = tuple((line[key][1:] if line[key].startswith("'=") else line[key]) or None for key in keys)
                truth = groups[name]
                self.assertFalse(any(line[key][:1] in "=+-@" and line[key] for key in keys), line)
                self.assertEqual([int(line[kind]) for kind in ("calls", "errors", "unpriced", *TOKENS)],
                                 [truth[kind] for kind in ("calls", "errors", "unpriced", *TOKENS)])
                self.assertEqual(Fraction(line["cost_usd"]), Fraction(truth["cost"], 10**12))
                latency = truth["latency_ms"]
                self.assertEqual(line["latency_p95_ms"], f"{latency['p95'] / 1000:.3f}" if latency else "")
            self.assertEqual(sum(int(line["total_tokens"]) for line in lines), shown["totals"]["tokens"])
        self.assertIn("'=1+2", self.report("models", "--days", "all", "--csv").stdout)

    def test_calls_that_are_gone(self):
        """Without its segment a folded call is in totals and their quantiles; what only it could tell is left out, or not known."""
        daily, sessions = self.json("daily", "--days", "all"), self.json("sessions", "--days", "all")
        os.unlink(self.path(sorted(name for name in os.listdir(self.log) if name.endswith(".seg"))[0]))
        without = self.json("daily", "--days", "all", status=0)
        self.assertEqual(without["rows"], daily["rows"])
        less = self.json("sessions", "--days", "all")
        self.assertEqual([row["cost_exact"] for row in less["rows"]], [row["cost_exact"] for row in sessions["rows"]])
        self.assertTrue(all(row["latency_ms"]["p50"] is None for row in less["rows"] if row["latency_ms"]))
        self.assertTrue(all(row["latency_ms"]["mean"] for row in less["rows"] if row["latency_ms"]))
        done = self.report("--by", "n", "--days", "all", "--json", status=1)
        self.assertIn("group_by", done.stderr)
        self.assertLess(json.loads(done.stdout)["totals"]["calls"], daily["totals"]["calls"])

    def test_files_that_are_too_old(self):
        """A file that was last changed before the period is passed over where figures are known; if it has calls of it after all, that is
        noticed. Where only calls tell the figures, it is read."""
        sessions, users = self.json("sessions", "--days", "all"), self.json("--by", "n", "--days", "all")
        for name in os.listdir(self.log):
            if name.endswith(".seg"):
                os.utime(self.path(name), (10**9, 10**9))
        passed = self.json("sessions", "--days", "all")
        self.assertEqual([row["cost_exact"] for row in passed["rows"]], [row["cost_exact"] for row in sessions["rows"]])
        self.assertTrue(all(row["latency_ms"]["p50"] is None for row in passed["rows"] if row["latency_ms"]))
        # Only the first file's calls are missed: an hour that has calls in both files has no quantiles, though it has seen some.
        os.utime(self.path(sorted(name for name in os.listdir(self.log) if name.endswith(".seg"))[1]))
        hours = {row["hour"]: row for row in self.json("hourly", "--days", "all")["rows"]}
        for (hour,), truth in self.truth.groups(["hour"]).items():
            shown = hours[hour]["latency_ms"]
            if shown and shown["p50"] is not None:
                self.assertEqual(shown["calls"], truth["latency_ms"]["calls"], hour)
        self.assertEqual(self.json("--by", "n", "--days", "all"), users)

    def test_settings_changed(self):
        """Another zone and other keys in log.conf, before a compaction has made them those of the totals."""
        self.write_conf("Asia/Tokyo", ("n",))
        truth = Truth(self.log, "Asia/Tokyo", ("n",))
        for keys in (["day", "n"], ["hour"], ["user"], ["session_id"]):
            self.expect_groups(self.json("--by", ",".join(keys), "--days", "all"), keys, truth.groups(keys), keys)

    def test_terminal(self):
        """Tables fit, whatever the width; names do no harm; colours only on a terminal."""
        Segment(self.log, 3).call(1761000000, model="a\u202eb\U0001f600" + "m" * 200, provider="p" * 100, cost=10**10)
        for view in ("models", "daily", "--by=provider,model,user"):
            for columns in (40, 60, 80, 100, 200):
                text = self.report(view, "--days", "all", "--breakdown", environment={"COLUMNS": str(columns), "LC_ALL": "C.UTF-8"}).stdout
                self.assertNotIn("\x1b", text)
                self.assertNotIn("\u202e", text)
                table = text.replace("\u200b", "").split("\n\n")[1].split("\n")
                # Three keys of 16 columns each, calls and costs are the least that there is.
                self.assertLessEqual(max(map(len, table)), max(columns, 56 if view.startswith("--by") else 0), (view, columns, text))
                self.assertTrue(any(line.startswith("total") for line in table), text)
        narrow = self.report("models", "--days", "all", "--narrow").stdout
        self.assertEqual(narrow.split("\n\n")[1].split("\n")[0].split(), ["model", "calls", "tokens", "USD", "share"])
        for variable, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            shown = self.on_terminal(["report", "--log", self.log, "models", "--days", "all"], variable)
            self.assertEqual("\x1b[1m" in shown, coloured, variable)

    def on_terminal(self, arguments, variables):
        main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
        environment = {**{key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")},
                       "TERM": "xterm", "LC_ALL": "C.UTF-8", **variables}
        with subprocess.Popen([PROGRAM, *arguments], stdout=other, stderr=subprocess.DEVNULL, env=environment) as process:
            os.close(other)
            shown = b""
            while select.select([main], [], [], 60)[0]:
                try:
                    piece = os.read(main, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
        os.close(main)
        self.assertEqual(process.returncode, 0)
        return shown.decode()

    def test_locale(self):
        compiled = os.path.join(self.top, "locales")
        os.mkdir(compiled)
        try:
            made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", os.path.join(compiled, "de_DE.UTF-8")],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        except FileNotFoundError:
            made = 1
        if made:
            self.skipTest("no locale can be made here")
        # libc keeps what it has read of LOCPATH.
        environment = {"LOCPATH": compiled, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        text = self.report("daily", "--days", "all", "--locale", "de-DE", environment=environment).stdout
        self.assertIn("20.10.2025", text)
        total = next(line for line in text.split("\n") if line.startswith("total"))
        self.assertRegex(total, r"\d\.\d{3}")
        self.assertIn("100,0%", total)
        self.assertEqual(self.report("daily", "--days", "all", "--json", "--locale", "de_DE", environment=environment).stdout,
                         self.report("daily", "--days", "all", "--json").stdout)


class Priced(ReportTest):
    """Calls without a cost, priced when folded: those that are counted one by one cost the same."""

    def test_prices(self):
        prices = {"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-6, "output_cost_per_token": 1e-5,
                             "input_cost_per_token_batches": 1.25e-6, "output_cost_per_token_batches": 5e-6}}
        with open(os.path.join(self.top, "map.json"), "w", encoding="utf-8") as file:
            json.dump(prices, file)
        pick, segment = random.Random(5), Segment(self.log, 1)
        start = datetime.datetime(2025, 10, 24, tzinfo=UTC).timestamp()
        for number in range(120):
            make_call(pick, segment, start + number * 3000, number)
            if number == 80:
                done = run("prices", "import", "--since", "2025-10-25", "--log", self.log, os.path.join(self.top, "map.json"))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.compact()
        for zone in (self.zone, "Asia/Kathmandu", "America/New_York"):
            with self.subTest(zone=zone):
                daily = self.json("daily", "--days", "all", "--timezone", zone)
                counted = self.json("daily", "--by", "request", "--days", "all", "--timezone", zone)
                self.assertGreater(daily["totals"]["unpriced"], 0)
                for figure in ("cost_exact", "unpriced", "tokens", "calls"):
                    self.assertEqual(daily["totals"][figure], counted["totals"][figure], figure)
                costs = collections.Counter()
                for row in counted["rows"]:
                    costs[row["day"]] += Fraction(row["cost_exact"])
                self.assertEqual({row["day"]: Fraction(row["cost_exact"]) for row in daily["rows"]}, dict(costs))
        priced = sum(Fraction(call["cost_pico_usd"] or 0, 10**12) for call in Truth(self.log, self.zone, ()).calls)
        self.assertGreater(Fraction(daily["totals"]["cost_exact"]), priced)


class Blocks(ReportTest):
    zone, group_by = "UTC", ()

    def test_chain_without_a_pause(self):
        """A log without a pause: where a block begins depends on its first call, months before."""
        segment = Segment(self.log, 1)
        for number in range(400):
            segment.call(1700000000 + number * 3 * 3600 + number % 7 * 60, cost=10**9)
        self.compact()
        truth = Truth(self.log, self.zone, ())
        last = max(call["time_ns"] for call in truth.calls)
        since = local("UTC", last - 3 * 86400 * 10**9).strftime("%Y-%m-%d")
        self.expect_groups(self.json("blocks", "--since", since), ["block"], truth.groups(["block"], since=since), since)


class Today(ReportTest):
    """What is of now."""
    zone, group_by = "UTC", ()

    def test_statusline_and_budget(self):
        now = time.time()
        segment = Segment(self.log, 1)
        segment.call(now, cost=2 * 10**12, tokens=(1000, 0, 0, 0, 500, 0), model="gpt-4o")
        segment.call(now, cost=10**12, model="mini", error_type="429")
        self.compact()
        line = self.report("statusline").stdout
        self.assertRegex(line, r"^\$3\.0000 today, 2 calls, 1\.65k tokens, 1 error \| \$3\.0000 block, [45]h\d\dm left \| \$3\.0000 month\n$")
        shown = self.json("statusline", "--model", "mini")
        self.assertEqual([shown[member]["cost_exact"] for member in ("today", "month_so_far", "block")], ["1", "1", "1"])
        done = self.report("--budget", "2.99/day", status=3)
        self.assertEqual(done.stderr, "usagelog: the budget is exceeded: 3 of 2.99 USD today\n")
        self.assertEqual(self.report("statusline", "--budget", "3/day").stderr, "")
        for period in ("week", "month"):
            self.report("daily", "--budget", f"2.5/{period}", status=3)
        self.report("daily", "--budget", "1/day", "--model", "mini")
        shown = self.json("daily", "--budget", "1/month", status=3)
        self.assertEqual((shown["budget"]["cost_exact"], shown["budget"]["exceeded"]), ("3", True))
        self.assertEqual(self.json("daily")["totals"]["calls"], 2)
        self.assertEqual(self.json("daily", "--until", "yesterday")["totals"]["calls"], 0)

    def test_default_is_the_summary(self):
        Segment(self.log, 1).call(time.time(), cost=10**12, provider="google")
        for arguments in ((), ("--json",), ("--days", "3"), ("--json", "--raw-names")):
            self.assertEqual(self.report(*arguments).stdout, run("summary", "--log", self.log, *arguments).stdout)
        self.assertEqual(set(self.json()["provider_breakdown"]), {"gemini"})
        self.assertEqual(set(self.json("--raw-names")["provider_breakdown"]), {"google"})
        self.assertEqual(self.json("--model", "gpt-4o")["view"], "daily")

    def test_live(self):
        """A call that is stored while it runs is seen within a second, without a compaction."""
        segment = Segment(self.log, 1)
        segment.call(time.time(), cost=10**12)
        main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        with subprocess.Popen([PROGRAM, "report", "models", "--live", "--log", self.log], stdout=other, env=environment) as process:
            os.close(other)
            self.wait_for(main, "gpt-4o")
            segment.call(time.time(), model="new-one", cost=10**12)
            begin = time.monotonic()
            self.wait_for(main, "new-one")
            # Half a second is the rule; a machine that is busy may take its time.
            self.assertLess(time.monotonic() - begin, 10)
            process.send_signal(signal.SIGINT)
            # The screen and the cursor are as they were.
            self.wait_for(main, "\x1b[?25h\x1b[?1049l")
            self.assertEqual(process.wait(60), 0)
        os.close(main)
        done = self.report("models", "--live", status=16)
        self.assertIn("no terminal", done.stderr)

    def test_live_ends_with_its_log(self):
        """On a terminal that does not know its size, too."""
        Segment(self.log, 1).call(time.time())
        main, other = pty.openpty()
        with subprocess.Popen([PROGRAM, "report", "models", "--live", "--log", self.log], stdout=other, stderr=subprocess.PIPE, text=True) as process:
            os.close(other)
            self.wait_for(main, "gpt-4o")
            os.rename(os.path.join(self.log, "log.conf"), os.path.join(self.log, "aside"))
            self.wait_for(main, "\x1b[?25h\x1b[?1049l")
            self.assertEqual(process.wait(60), 8)
            self.assertIn("--live ends: no further frame could be made", process.stderr.read())
        os.close(main)

    def wait_for(self, main, text):
        shown, until = "", time.monotonic() + 60
        while text not in shown:
            self.assertLess(time.monotonic(), until, (text, shown))
            self.assertTrue(select.select([main], [], [], 60)[0], (text, shown))
            shown += os.read(main, 65536).decode()

    def test_mistakes(self):
        Segment(self.log, 1).call(time.time())
        for arguments, said in ((("dayly",), "did you mean daily?"), (("daily", "weekly"), "one view"), (("--sort", "costs"), "did you mean cost?"),
                                (("--days", "0"), "1 to 36500"), (("--days", "3", "--since", "today"), "--days goes back"),
                                (("--since", "2026-02-30"), "not a day"), (("--since", "2026-03-02", "--until", "2026-03-01"), "is after"),
                                (("--where", "user"), "KEY=VALUE"), (("--where", "day=1"), "--since"), (("--by", "a,b,c,d"), "one key too many"),
                                (("--by", "model,"), "missing"), (("--top", "x"), "--top"), (("--json", "--csv"), "one of them"),
                                (("--timezone", "Mars"), "time zone"), (("--locale", "xx_YY"), "locale"), (("--budget", "5"), "50/day"),
                                (("--budget", "5/year"), "50/day"), (("--budget", "-5/day"), "50/day"), (("statusline", "--top", "3"), "one line"),
                                (("--live", "--json"), "--live"), (("--model",), "wants a value"), (("--model", "a") * 17, "16 times")):
            done = self.report(*arguments, status=16)
            self.assertIn(said, done.stderr, arguments)
            self.assertEqual(done.stdout, "", arguments)
        self.assertIn("no such calls", self.report("daily", "--model", "none").stdout)


if __name__ == "__main__":
    unittest.main()
