#!/usr/bin/python3
"""usagelog import of what other programs write: the samples, made by hand after the public formats, and what can be wrong with them."""

import collections
import json
import os
import random
import shutil
import signal
import subprocess
import time

import support
from support import LogTest, TOKENS

SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples")
NAMES = ("time", "provider", "model", "operation") + TOKENS + ("cost_usd", "latency_ms", "ttft_ms", "error_type",
                                                               "service_tier", "session_id", "metadata")
SESSION = "5c1f0d3e-7a51-4b0e-9a55-0d6c1f6a2b11"
PROJECT = {"project": "/home/ada/tool"}
PARENT, CHILD = "019cab00-0000-7000-8000-000000000001", "019cab00-0000-7000-8000-000000000002"


def call(moment, provider, model, *tokens, operation="chat", **more):
    """What dump has of a call, as (name, value): numbers as they are written, nothing of what is not given."""
    found = {"time": moment, "provider": provider, "model": model, "operation": operation}
    found.update((name, str(count)) for name, count in zip(TOKENS, tokens))
    found.update(more)
    return found


# By file: its calls, and what the summary says of it.
EXPECTED = {
    "claude-code": ([
        call("2026-03-01T10:00:06.300000000Z", "anthropic", "claude-sonnet-4-5-20250929", 4, 12000, 500, 300, 210, 0,
             service_tier="standard", session_id=SESSION, metadata=PROJECT),
        call("2026-03-01T10:00:09.000000000Z", "anthropic", "claude-sonnet-4-5-20250929", 7, 12800, 90, 0, 55, 0,
             service_tier="standard", session_id=SESSION, metadata=PROJECT),
        call("2026-03-01T10:01:00.000000000Z", "anthropic", "claude-opus-4-1-20250805", 1, 2, 3, 4, 5, 0,
             service_tier="standard", session_id=SESSION, metadata=PROJECT),
        call("2026-03-01T10:02:03.000000000Z", "anthropic", "claude-haiku-4-5-20251001", 20, 0, 0, 1000, 40, 0,
             service_tier="standard", session_id=SESSION, metadata={**PROJECT, "sidechain": True}),
    ], "Claude Code's session logs: 2 files, 13 records, 3 of them repeated, 6 without a call"),
    "codex": ([
        call("2026-03-01T11:00:08.000000000Z", "openai", "gpt-5-codex", 8000, 2000, 0, 0, 300, 200,
             session_id=PARENT, metadata=PROJECT),
        call("2026-03-01T11:00:20.000000000Z", "openai", "gpt-5-codex", 1000, 10000, 0, 0, 150, 50,
             session_id=PARENT, metadata=PROJECT),
        call("2026-03-01T11:01:05.000000000Z", "openai", "gpt-5", 500, 0, 0, 0, 10, 0, session_id=PARENT,
             metadata=PROJECT),
        call("2026-03-01T11:05:30.000000000Z", "openai", "gpt-5-codex", 1000, 11000, 0, 0, 50, 10,
             session_id=CHILD, metadata=PROJECT),
    ], "Codex CLI's session logs: 2 files, 15 records, 1 of them repeated, 8 without a call"),
    "litellm.jsonl": ([
        call("2026-03-01T10:00:00.250000000Z", "openai", "gpt-4o", 60, 40, 0, 0, 50, 10, cost_usd="0.00123",
             latency_ms="1250", ttft_ms="250", metadata={"end_user": "ada", "tags": ["a", "b"]}),
        call("2026-03-01T10:00:10.000000000Z", "anthropic", "claude-sonnet-4-5", 100, 600, 100, 200, 60, 0,
             cost_usd="0.02", latency_ms="2000"),
        call("2026-03-01T10:00:20.000000000Z", "azure", "text-embedding-3-small", 0, 0, 0, 0, 0, 0,
             operation="embeddings", latency_ms="125", error_type="429"),
    ], "LiteLLM's standard logging payloads: 1 file, 3 records"),
    "responses.jsonl": ([
        call("2026-03-01T10:01:40.000000000Z", "openai", "gpt-4o-2024-08-06", 60, 40, 0, 0, 50, 10,
             service_tier="default"),
        call("2026-03-01T10:01:41.000000000Z", "openai", "gpt-5-2025-08-07", 136, 64, 0, 0, 80, 64,
             service_tier="flex"),
        call("2026-02-01T00:00:00.000000000Z", "anthropic", "claude-opus-4-1-20250805", 12, 900, 50, 20, 33, 0,
             service_tier="standard"),
        call("2026-03-01T10:01:43.000000000Z", "anthropic", "claude-haiku-4-5", 1, 0, 0, 0, 2, 0),
        call("2026-03-01T10:01:44.000000000Z", "openai", "gpt-4o-mini", 9, 0, 0, 0, 3, 0, service_tier="batch"),
    ], "response bodies of OpenAI and Anthropic: 1 file, 7 records, 2 without a call"),
    "otlp.jsonl": ([
        call("2026-03-01T10:03:20.123456789Z", "openai", "gpt-4o-2024-08-06", 50, 30, 20, 0, 20, 0,
             latency_ms="1000", session_id="conv-1"),
        call("2026-03-01T10:03:22.000000000Z", "anthropic", "claude-sonnet-4-5", 0, 0, 0, 0, 0, 0, latency_ms="1000",
             error_type="overloaded_error"),
    ], "OpenTelemetry's GenAI spans (OTLP JSON): 1 file, 4 records, 2 without a call"),
}
EXPECTED["otlp.json"] = EXPECTED["otlp.jsonl"]


def key(row):
    return json.dumps(row, sort_keys=True)


class FormatTest(LogTest):
    def setUp(self):
        super().setUp()
        self.samples = self.path("samples")
        shutil.copytree(SAMPLES, self.samples)
        moment = 1769904000  # 2026-02-01
        for directory, _, names in os.walk(self.samples):
            for name in names:
                os.utime(os.path.join(directory, name), (moment, moment))

    def sample(self, *names):
        return os.path.join(self.samples, *names)

    def load(self, *args, status=0, stdin=b""):
        return self.run_program("import", *args, status=status, stdin=stdin)

    def counts(self, out):
        """(imported, already there, refused) as the last line says."""
        line = out.splitlines()[-1]
        self.assertRegex(line, r"^imported [0-9,]+ calls? \([0-9,]+ already there, [0-9,]+ refused\) in [0-9,]+ ms; all durable$")
        words = line.replace(",", "").split()
        return int(words[1]), int(words[3].lstrip("(")), int(words[6])

    def calls(self):
        return [{name: row[name] for name in NAMES if row[name] not in (None, {})}
                for row in self.dump() if row.get("kind") != "balance"]

    def expect(self, expected):
        found = self.calls()
        for row in found:
            if row.get("metadata") == {}:
                del row["metadata"]
        self.assertEqual(sorted(map(key, found)), sorted(map(key, expected)))


class Samples(FormatTest):
    def test_each(self):
        for name, (expected, said) in EXPECTED.items():
            self.log = self.environment["USAGELOG_DIR"] = self.path("log-" + name)
            out, err = self.load(self.sample(name))
            self.assertEqual(out.splitlines()[0], said)
            added, there, refused = self.counts(out)
            self.assertEqual((added, refused), (len(expected), 0))
            self.expect(expected)
            if name == "responses.jsonl":
                self.assertIn("1 call says no time: counted when the file was last changed", err)
            else:
                self.assertEqual(err, "")
            for _ in range(2):  # not folded, and folded
                self.assertEqual(self.counts(self.load(self.sample(name))[0]), (0, added + there, 0))
                self.run_program("compact")
            self.run_program("verify")

    def test_all_at_once(self):
        """A directory, a file of it twice, and the standard input."""
        expected = sum((EXPECTED[name][0] for name in EXPECTED if name != "otlp.json"), [])
        out, err = self.load(self.samples, self.sample("litellm.jsonl"))
        self.assertEqual(self.counts(out)[0], len(expected) + 4)
        self.assertIn("1 file below the directories given is of no format", err)  # calls.csv needs a map
        found = self.calls()
        self.assertEqual(len(found), len(expected) + 4)
        before = len(self.dump())
        for name in ("otlp.json", "responses.jsonl", "tracker.json"):
            with open(self.sample(name), "rb") as file:
                added = self.counts(self.load("-", "--time", "2026-02-01T00:00:00Z", stdin=file.read())[0])[0]
            self.assertEqual(added, 0, name)
        self.assertEqual(len(self.dump()), before)

    def test_one_that_cannot_be_read(self):
        """Below a directory the others are taken, and the status says that this was not all."""
        os.chmod(self.sample("litellm.jsonl"), 0)
        # A root that has to ask like all others.
        humble = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
        done = subprocess.run([*humble, support.BIN, "import", self.samples], env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("litellm.jsonl: cannot be opened: Permission denied", done.stderr)
        self.assertIn("1 file below the directories given could not be read; import them again", done.stderr)
        expected = sum((EXPECTED[name][0] for name in EXPECTED if name not in ("otlp.json", "litellm.jsonl")), [])
        self.assertEqual(self.counts(done.stdout)[0], len(expected) + 4)

    def test_csv(self):
        spec = ("--map", "time=When,model=Engine,input_tokens=Prompt tokens,cache_read_tokens=Of these cached,"
                         "output_tokens=Answer tokens,cost_usd=USD", "--input-includes-cache", "--provider", "openai")
        self.load(self.sample("calls.csv"), status=16)
        self.assertFalse(os.path.exists(self.log))
        for added in (2, 0):
            self.assertEqual(self.counts(self.load(self.sample("calls.csv"), *spec)[0]), (added, 2 - added, 0))
        self.assertEqual([row["input_tokens"] for row in self.dump()], ["60", "200"])

    def test_nothing_private(self):
        self.load(self.samples)
        self.run_program("compact")
        for directory, _, names in os.walk(self.log):
            for name in names:
                with open(os.path.join(directory, name), "rb") as file:
                    self.assertNotIn(b"PRIVATE", file.read(), name)

    def test_an_array_of_them(self):
        for name in ("litellm.jsonl", "responses.jsonl"):
            with open(self.sample(name), encoding="utf-8") as file:
                rows = [json.loads(line) for line in file]
            path = self.write("array.json", json.dumps(rows, indent=1))
            os.utime(path, (1769904000, 1769904000))
            self.assertEqual(self.counts(self.load(path)[0])[0], len(EXPECTED[name][0]))
            self.assertEqual(self.counts(self.load(self.sample(name))[0])[:2], (0, len(EXPECTED[name][0])))

    def test_order_of_files_and_rows(self):
        """Rows of one message count once wherever they lie: in a file the last one, between files the latest."""
        rows, rng = [], random.Random(3)
        with open(self.sample("claude-code", "-home-ada-tool", "5c1f0d3e.jsonl"), encoding="utf-8") as file:
            pattern = [json.loads(line) for line in file if "msg_01A" in line][0]
        for i in range(300):
            for k in range(rng.randint(1, 4)):
                row = json.loads(json.dumps(pattern))
                row["message"].update(id=f"m{i}")
                row["message"]["usage"]["output_tokens"] = k + 1
                row["timestamp"] = f"2026-03-01T10:{i % 60:02}:{k:02}.000Z"
                rows.append((i, k, row))
        last = {i: k + 1 for i, k, _ in rows}
        os.mkdir(self.path("p"))
        halves = [[], []]
        for i, k, row in rows:
            halves[rng.randint(0, 1)].append(json.dumps(row))
        for n, half in enumerate(halves):
            self.write(f"p/{n}.jsonl", "\n".join(half) + "\n")
        self.assertEqual(self.counts(self.load(self.path("p"))[0]), (300, 0, 0))
        found = collections.Counter(int(row["output_tokens"]) for row in self.dump())
        self.assertEqual(found, collections.Counter(last.values()))

    def test_a_fork_that_names_its_parent_only(self):
        name = [os.path.join(directory, name) for directory, _, names in os.walk(self.sample("codex")) for name in names
                if CHILD in name][0]
        with open(name, encoding="utf-8") as file:
            lines = file.readlines()
        self.assertIn(PARENT, lines.pop(1))
        with open(name, "w", encoding="utf-8") as file:
            file.writelines(lines)
        self.assertEqual(self.counts(self.load(self.sample("codex"))[0]), (4, 2, 0))
        self.expect(EXPECTED["codex"][0])

    def test_links_are_not_followed(self):
        os.mkdir(self.path("d"))
        os.symlink(self.sample("litellm.jsonl"), self.path("d/link.jsonl"))
        os.symlink(self.samples, self.path("d/samples"))
        os.mkfifo(self.path("d/fifo.jsonl"))
        shutil.copy(self.sample("litellm.jsonl"), self.path("d/.hidden.jsonl"))
        self.assertIn("has no file whose name ends in", self.load(self.path("d"), status=8)[1])
        shutil.copy(self.sample("otlp.jsonl"), self.path("d/a.jsonl"))
        self.assertEqual(self.counts(self.load(self.path("d"))[0])[0], 2)
        # What the user names is the user's to say.
        self.assertEqual(self.counts(self.load(self.path("d/link.jsonl"))[0])[0], 3)

    def test_named_format(self):
        self.assertIn("did you mean codex?", self.load("--format", "codx", self.sample("codex"), status=16)[1])
        self.load("--format", "codex", "--map", "time", self.sample("codex"), status=16)
        self.assertEqual(self.counts(self.load("--format", "codex", self.sample("codex"))[0])[0], 4)
        self.assertEqual(self.counts(self.load("--format", "tracker", self.sample("tracker.json"))[0])[0], 4)
        out, _ = self.load("--format", "litellm", self.sample("codex"))
        self.assertEqual(self.counts(out), (0, 0, 0))

    def test_unknown(self):
        for text in ("", "hello\nworld\n", "[]", "{}", '{"a":1}\n', "\0" * 100, "{" * 1000, '["a"]', "a,b\n1,2\n"):
            self.assertIn("is of no format that import recognizes",
                          self.load(self.write("file", text), status=16)[1], text)
        self.assertFalse(os.path.exists(self.log))


class Tracker(FormatTest):
    def summary(self):
        self.run_program("compact")
        self.run_program("verify")
        with open(os.path.join(self.log, "summary.json"), encoding="utf-8") as file:
            return json.load(file)

    def expect_totals(self, data):
        found = self.summary()
        for section in ("daily_totals", "model_breakdown", "provider_breakdown"):
            for name, row in data[section].items():
                self.assertEqual({part: found[section][name][part] for part in ("calls", "tokens")},
                                 {part: row[part] for part in ("calls", "tokens")}, (section, name))
                self.assertAlmostEqual(found[section][name]["cost"], row["cost"], 9)

    def data(self):
        with open(self.sample("tracker.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_totals_are_kept(self):
        out, err = self.load(self.sample("tracker.json"))
        self.assertEqual((self.counts(out), err), ((4, 0, 0), ""))
        self.assertIn("the old tracker's totals: 4 taken over", out)
        for _ in range(3):
            self.expect_totals(self.data())
            out, err = self.load(self.sample("tracker.json"))
            self.assertEqual((self.counts(out), err), ((0, 4, 0), ""))
            self.assertNotIn("taken over", out)

    def test_a_refused_call_stays_in_the_totals(self):
        data = self.data()
        data["sessions"][0]["input_tokens"] = -1
        out, err = self.load(self.write("t.json", json.dumps(data, indent=2)), status=1)
        self.assertEqual(self.counts(out), (3, 0, 1))
        self.assertRegex(err, r"t\.json:3: input_tokens: \"-1\" is negative")
        self.expect_totals(self.data())

    def test_it_grows(self):
        """The tracker goes on: new calls are taken, none twice, though old ones have left its file."""
        data = self.data()
        self.load(self.write("t.json", json.dumps(data)))
        for i in range(4, 7):
            new = dict(data["sessions"][i % 4], timestamp=f"2026-03-02T11:00:{i:02}", input_tokens=1000 + i,
                       total_tokens=1050 + i)
            data["sessions"] = data["sessions"][1:] + [new]
            for section, name in (("daily_totals", "2026-03-02"), ("model_breakdown", new["model"]),
                                  ("provider_breakdown", new["provider"])):
                row = data[section][name]
                row.update(calls=row["calls"] + 1, tokens=row["tokens"] + 1050 + i, cost=row["cost"] + 0.001)
            out, err = self.load(self.write("t.json", json.dumps(data)))
            self.assertEqual((self.counts(out), err), ((1, 3, 0), ""))
            self.expect_totals(data)
        data["sessions"] = [dict(data["sessions"][0], timestamp="2026-03-02T12:00:00")]
        self.assertIn("may be lost", self.load(self.write("t.json", json.dumps(data)))[1])

    def test_its_second_day(self):
        """What a file is known by changes with its second day; its calls are known all the same."""
        data = self.data()
        second, calls = "2026-03-03", data["sessions"]
        del data["daily_totals"]["2026-03-01"]
        data["model_breakdown"] = data["provider_breakdown"] = {}
        for step in range(3):
            out, err = self.load(self.write("t.json", json.dumps(data)))
            self.assertEqual(err, "")
            self.expect_totals(data)
            calls.append(dict(calls[-1], timestamp=f"{second}T00:00:0{step}"))
            row = data["daily_totals"].setdefault(second, {"calls": 0, "tokens": 0, "cost": 0})
            row.update(calls=row["calls"] + 1, tokens=row["tokens"] + 153, cost=row["cost"] + 0.001)
        data["sessions"] = [dict(calls[0], timestamp=f"{second}T12:00:00")]
        out, err = self.load(self.write("t.json", json.dumps(data)))
        self.assertIn("may be lost", err)
        self.assertNotIn("taken over", out)

    def test_killed(self):
        """SIGKILL at random moments, again and again: in the end all totals are there once."""
        data, rng = self.data(), random.Random(int(os.environ.get("USAGELOG_SEED", "5")))
        data["model_breakdown"] = data["provider_breakdown"] = {}
        for i in range(20000):
            moment = time.strftime("%Y-%m-%d", time.gmtime(i * 86400 - 86400 * 10000))
            data["daily_totals"][moment] = {"calls": 1 + i % 7, "tokens": i, "cost": i / 1000}
        path = self.write("t.json", json.dumps(data))
        begin = time.monotonic()
        self.run_program("import", "--log", self.path("whole"), path)
        whole_s = time.monotonic() - begin
        killed = 0
        for _ in range(12):
            child = self.start("import", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.random() * whole_s)
            child.kill()
            killed += child.wait() == -signal.SIGKILL
        self.assertGreater(killed, 0)
        self.load(path)
        rows = [row for row in self.dump() if row.get("kind") == "balance" and row["calls"] != "0"]
        self.assertEqual((len(rows), len({row["time"] for row in rows})), (len(data["daily_totals"]),) * 2)
        self.assertEqual(len(self.calls()), 4)

    def test_two_trackers(self):
        """Of two hosts, with the same days and models."""
        data = self.data()
        self.load(self.sample("tracker.json"))
        data["daily_totals"]["2026-03-01"]["calls"] += 1
        for row in data["sessions"]:
            row["timestamp"] = row["timestamp"].replace("T10", "T09")
        out, _ = self.load(self.write("t.json", json.dumps(data)))
        self.assertEqual(self.counts(out), (4, 0, 0))
        self.assertEqual(self.summary()["daily_totals"]["2026-03-01"]["calls"], 2401)

    def test_contradictions(self):
        data = self.data()
        data["daily_totals"]["2026-03-02"]["calls"] = 1
        data["daily_totals"]["no day"] = {"calls": 1, "tokens": 1, "cost": 1}
        data["model_breakdown"]["x"] = {"calls": -1, "tokens": 1, "cost": 1}
        out, err = self.load(self.write("t.json", json.dumps(data)), status=1)
        self.assertEqual(self.counts(out), (4, 0, 1))
        self.assertIn("2 of the old tracker's totals are less than its calls come to", err)
        self.assertIn("has a total that is no count", err)


CLAUDE = ('{"sessionId":"s","uuid":"u%d","timestamp":"2026-03-01T10:00:00Z","message":{"id":"m%d","model":"claude-x",'
          '"usage":{"input_tokens":%s,"output_tokens":1}}%s}\n')
CODEX = ('{"timestamp":"2026-03-01T10:00:00Z","type":"event_msg","payload":{"type":"token_count","info":'
         '{"total_token_usage":{"input_tokens":%s,"cached_input_tokens":%s,"output_tokens":%s}}}}\n')


class Hostile(FormatTest):
    def test_lines(self):
        """Each is refused with its number and the reason, the others are taken."""
        good = [CLAUDE % (i, i, 5, "") for i in range(30)]
        bad = (
            (CLAUDE % (90, 90, -1, ""), 'input_tokens: "-1" is negative'),
            (CLAUDE % (91, 91, "1e99", ""), "input_tokens: "),
            (CLAUDE % (92, 92, "{}", ""), "input_tokens: is a JSON object"),
            (CLAUDE % (93, 93, 1, ',"sessionId":"\\u0007"'), "session_id: "),
            (CLAUDE % (94, 94, 1, ',"a":"\udcff"'), "is not JSON"),
            (CLAUDE % (95, 95, 1, ',"a":"\udcc0\udc80"'), "is not JSON"),
            (CLAUDE % (96, 96, 1, ',"a":' + "[" * 40 + "]" * 40), "is not JSON"),
            ((CLAUDE % (97, 97, 1, ""))[:60] + "\n", "is not JSON"),
            (CLAUDE % (98, 98, 1, ',"a":"' + "x" * (17 << 20) + '"'), "is longer than 16 MiB"),
            (CLAUDE % (99, 99, 1, ',"timestamp":"yesterday"'), "time: "),
            (CLAUDE % (89, 89, 1, ',"message":{"model":"\\ud800"}'), "is not JSON"),
            ("[1,2]\n", "is not a JSON object"),
            ("\0\n", "is not JSON"),
        )
        text, numbers = good[0], {}
        for i, (line, reason) in enumerate(bad):
            text += line + good[i + 1]
            numbers[2 * i + 2] = reason
        out, err = self.load(self.write("c.jsonl", text.encode("utf-8", "surrogateescape")), status=1)
        self.assertEqual(self.counts(out), (len(bad) + 1, 0, len(bad)))
        found = {int(line.split("c.jsonl:")[1].split(":")[0]): line for line in err.splitlines()}
        self.assertEqual(sorted(found), sorted(numbers))
        for number, reason in numbers.items():
            self.assertIn(reason, found[number])

    def test_codex(self):
        meta = '{"timestamp":"2026-03-01T10:00:00Z","type":"session_meta","payload":{"id":"s"}}\n'
        context = '{"timestamp":"2026-03-01T10:00:00Z","type":"turn_context","payload":{"model":"gpt-5"}}\n'
        lines = (CODEX % (10, 5, 1), CODEX % (12, 9, 2), CODEX % ("-1", 0, 0), CODEX % (5000000000, 9, 2),
                 CODEX % (7, 7, 7), CODEX % (18446744073709551615, 0, 0), CODEX % (8, 7, 8))
        out, err = self.load(self.write("c.jsonl", CODEX % (1, 0, 1) + meta + context + "".join(lines)), status=1)
        self.assertEqual(self.counts(out)[2], 4, err)
        self.assertIn("c.jsonl:1: model: is missing", err)
        self.assertIn("c.jsonl:6: has a count in total_token_usage", err)
        self.assertIn("c.jsonl:7: ", err)
        self.assertIn("c.jsonl:9: has a count in total_token_usage", err)
        # Totals that went down begin anew; cached tokens that are more than the input were not counted in it.
        self.assertEqual([(row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) for row in self.dump()],
                         [("4", "5", "0"), ("2", "4", "1"), ("0", "7", "7"), ("1", "0", "1")])

    def test_otlp(self):
        with open(self.sample("otlp.jsonl"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        span = json.loads(lines[0])
        spans = span["resourceSpans"][0]["scopeSpans"][0]["spans"]
        for change in ({"startTimeUnixNano": "x"}, {"startTimeUnixNano": "99999999999999999999999"}, {"traceId": ""},
                       {"startTimeUnixNano": None}, {"attributes": [{"key": 7}, 3, None, {"value": {"intValue": 5}}]}):
            spans.append({**spans[0], "spanId": "x", **change})
        out, err = self.load(self.write("o.json", json.dumps(span, indent=1)), status=1)
        self.assertEqual(self.counts(out), (1, 0, 4), err)
        # A line that is cut gives nothing of what stands before the cut.
        out, err = self.load(self.write("o.jsonl", lines[0] + "\n" + lines[1][:-2] + "\n"), status=1)
        self.assertEqual(self.counts(out), (0, 1, 1), err)

    def test_all_or_nothing(self):
        text = CLAUDE % (1, 1, 5, "") + CLAUDE % (2, 2, -5, "")
        err = self.load("--all-or-nothing", self.write("c.jsonl", text), self.sample("otlp.json"), status=1)[1]
        self.assertIn("nothing was recorded, because 1 of its lines is refused", err)
        self.assertEqual(self.dump(), [])
        out, _ = self.load("--all-or-nothing", self.write("c.jsonl", text.splitlines(True)[0]), self.sample("otlp.json"))
        self.assertEqual(self.counts(out), (3, 0, 0))

    def test_many_lines_alike(self):
        """As many as there are, and in no more time than as many others."""
        line = '{"time":"2026-01-01T00:00:00Z","provider":"p","model":"m"}\n'
        begin = time.monotonic()
        self.assertEqual(self.counts(self.load(self.write("a.jsonl", line * 100000))[0]), (100000, 0, 0))
        self.assertEqual(self.counts(self.load(self.write("a.jsonl", line * 100001))[0]), (1, 100000, 0))
        self.assertLess(time.monotonic() - begin, 30)


if __name__ == "__main__":
    support.main()
