#!/usr/bin/python3
"""The command line: help, mistakes, record, dump and config."""

import json
import os
import re
import subprocess

import support
from support import LogTest

COMMANDS = ("record", "import", "compact", "rebuild", "merge", "verify", "dump", "config", "completion")
CALL = ("record", "--provider", "openai", "--model", "gpt-4o")


class Help(LogTest):
    def test_help_and_version(self):
        out, err = self.run_program("--help")
        self.assertEqual(err, "")
        for command in COMMANDS:
            self.assertIn(f"  {command} ", out)
            text, err = self.run_program(command, "--help")
            self.assertEqual(err, "")
            self.assertIn("--log DIR", text)
            self.assertIn(f"usagelog {command}", text)
        self.assertRegex(self.run_program("--version")[0], r"^usagelog [0-9]+\.[0-9]+\.[0-9]+\n$")
        self.assertFalse(os.path.exists(self.log))

    def test_help_fits_a_screen(self):
        shown = self.run_program("--help")[0]
        commands = re.findall(r"^  ([a-z]+) ", shown, re.M)
        self.assertLessEqual(set(COMMANDS), set(commands))
        for command, text in (("", shown), *((command, self.run_program(command, "--help")[0]) for command in commands)):
            lines = text.splitlines()
            self.assertLessEqual(len(lines), 24, command)
            self.assertEqual([line for line in lines if len(line) > 79], [], command)

    def test_mistakes(self):
        cases = (
            (("--log", "", "dump"), "--log is empty"),
            (("dump", "--log="), "--log is empty"),
            ((), "Usage:"),
            (("recrd",), "did you mean record?"),
            (("xyzzy",), "there is no subcommand xyzzy; see"),
            (("--lag", "x", "dump"), "--lag is not an option here; did you mean log?"),
            (("--verson",), "did you mean version?"),
            (("--help=x",), "--help=x is not an option here"),
            (("--quiet", "compact"), "--quiet is not an option here; options of a subcommand stand after it"),
            (("--log",), "--log wants a directory"),
            (("-x",), "-x is not an option"),
            (("record", "--modle", "m"), "did you mean model?"),
            (("record", "--model"), "--model wants a value"),
            (("record", "--sync=1"), "--sync=1: this option takes no value"),
            (("record", "-xy"), "-x is not an option of record"),
            (("record", "--cache", "1"), "did you mean cache-read-tokens?"),
            ((*CALL, "extra"), '"extra"'),
            (("dump", "--format", "xml"), '"xml" is not known'),
            (("dump", "--format", "jsnl"), "did you mean jsonl?"),
            (("dump", "--format", ""), '"" is not known'),
            (("dump", "-o", "x"), "-o is not an option of dump"),
            (("merge", "-o"), "--output wants a value"),
            (("dump", "extra"), '"extra"'),
            (("config", "a", "b", "c"), "not more"),
            (("config", "timezone"), "did you mean time_zone?"),
            (("import", "--format", "csv"), "import takes files"),
            (("import", "--format", "codx", "x"), "did you mean codex?"),
            (("import", "--format", "xml", "x"), '"xml" is not known'),
        )
        for args, text in cases:
            err = self.run_program(*args, status=16)[1]
            self.assertIn(text, err, args)
        self.assertFalse(os.path.exists(self.log))

    def test_messages_are_harmless(self):
        err = self.run_program("dump", "--format", "\x1b[2J\x07", status=16)[1]
        self.assertIn("\\x1b[2J\\x07", err)
        self.assertNotIn("\x1b", err)

    def test_output_that_is_lost(self):
        self.run_program(*CALL)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([support.BIN, "dump"], stdout=full, stderr=subprocess.PIPE, env=self.environment,
                                  check=False)
        self.assertEqual(done.returncode, 8)
        self.assertIn(b"cannot be written", done.stderr)


class Record(LogTest):
    def test_all_fields(self):
        out, err = self.run_program(
            *CALL, "--input-tokens", "100", "--output-tokens", "50", "--cache-read-tokens", "7",
            "--cache-write-5m-tokens", "8",
            "--cache-write-1h-tokens", "9", "--reasoning-tokens", "10", "--cost-usd", "0.000200000001", "--latency-ms",
            "80.5",
            "--ttft-ms", "12.0004", "--operation", "chat", "--error-type", "timeout", "--service-tier", "batch",
            "--session-id", "s1",
            "--call-id", "c1", "--metadata", '{"z":1.50,"a":"é"}', "--time", "2026-01-10T22:32:06Z", "--sync")
        self.assertEqual((out, err), ("", ""))
        (row,) = self.dump()
        expected = {"time": "2026-01-10T22:32:06.000000000Z", "provider": "openai", "model": "gpt-4o",
                    "operation": "chat",
                    "input_tokens": "100", "cache_read_tokens": "7", "cache_write_5m_tokens": "8",
                    "cache_write_1h_tokens": "9",
                    "output_tokens": "50", "reasoning_tokens": "10", "cost_usd": "0.000200000001", "latency_ms": "80.5",
                    "ttft_ms": "12", "error_type": "timeout", "service_tier": "batch", "session_id": "s1",
                    "metadata": {"a": "é", "z": "1.50"}}
        self.assertEqual({key: row[key] for key in expected}, expected)
        self.assertNotIn("kind", row)
        self.assertRegex(row["call_id"], "^[0-9a-f]{32}$")

    def test_least(self):
        self.run_program(*CALL)
        (row,) = self.dump()
        self.assertEqual([row[name] for name in ("cost_usd", "latency_ms", "ttft_ms", "operation", "metadata",
                                                 "call_id")], [None] * 6)
        self.assertEqual({row[name] for name in support.TOKENS}, {"0"})

    def test_log_before_and_after(self):
        one, two = self.path("one"), self.path("two")
        self.run_program("--log", one, *CALL)
        self.run_program(*CALL, "--log", two)
        self.run_program("--log", self.path("none"), *CALL, "--log", two)
        self.assertEqual((len(self.dump(one)), len(self.dump(two))), (1, 2))
        self.assertFalse(os.path.exists(self.log) or os.path.exists(self.path("none")))

    def test_call_id_once(self):
        for _ in range(3):
            self.run_program(*CALL, "--call-id", "response-1")
        self.run_program(*CALL, "--call-id", "response-2")
        self.assertEqual(len(self.dump()), 2)
        # The set comes from the checkpoint and from what came since alike.
        self.run_program("compact")
        self.run_program(*CALL, "--call-id", "response-3")
        for name in ("response-1", "response-2", "response-3"):
            self.run_program(*CALL, "--call-id", name)
        self.assertEqual(len(self.dump()), 3)

    def test_refused(self):
        cases = (
            (("--input-tokens", "-1"), "--input-tokens: \"-1\" is negative"),
            (("--input-tokens", "4294967296"), "--input-tokens: \"4294967296\" is above 4,294,967,295"),
            (("--input-tokens", "1.5"), "--input-tokens: \"1.5\" is not a whole number"),
            (("--output-tokens", "x"), "--output-tokens: \"x\" is not a decimal number"),
            (("--input-tokens", ""), "--input-tokens: the value is empty"),
            (("--cost-usd", "1e99"), "--cost-usd"),
            (("--cost-usd", "0x1"), "--cost-usd"),
            (("--latency-ms", "-5"), "--latency-ms"),
            (("--latency-ms", "4294967296"), "--latency-ms"),
            (("--ttft-ms", "4294968"), "--ttft-ms"),
            (("--time", "yesterday"), "--time"),
            (("--time", "2026-02-30T00:00:00Z"), "--time"),
            (("--time", "1970-01-01T00:00:00Z"), "--time"),
            (("--operation", "a\nb"), "--operation"),
            (("--session-id", "s" * 1025), "--session-id"),
            (("--metadata", "[]"), "--metadata"),
            (("--metadata", '{"a":1,"a":2}'), "--metadata"),
            (("--metadata", '{"a":'), "--metadata"),
            (("--metadata", json.dumps({"a": "x" * 17000})), "--metadata: is longer than 16,384 bytes"),
            (("--reasoning-tokens", "1"), "--reasoning-tokens"),
        )
        for args, text in cases:
            err = self.run_program(*CALL, *args, status=16)[1]
            self.assertIn(text, err)
        self.assertIn("--model: is missing", self.run_program("record", "--provider", "p", status=16)[1])
        self.assertFalse(os.path.exists(self.log))

    def test_zone_of_the_log(self):
        self.run_program(*CALL, "--time", "2026-07-01 12:00:00", environment={"TZ": "Europe/Berlin"})
        # The log's zone, not this process's.
        self.run_program(*CALL, "--time", "2026-01-01 12:00:00", environment={"TZ": "Asia/Tokyo"})
        self.assertEqual([row["time"][:19] for row in self.dump()], ["2026-07-01T10:00:00", "2026-01-01T11:00:00"])


class Dump(LogTest):
    def test_missing_and_empty(self):
        for command in ("dump", "config"):
            err = self.run_program(command, status=8)[1]
            self.assertIn("record or import", err)
        self.write("empty.jsonl", "")
        self.run_program("import", "--format", "jsonl", self.path("empty.jsonl"))
        self.assertEqual(self.run_program("dump"), ("", ""))
        out, _ = self.run_program("dump", "--format", "csv")
        self.assertEqual(len(out.splitlines()), 1)
        self.assertTrue(out.startswith("time,provider,model,"))

    def test_as_the_oracle(self):
        for i in range(150):
            self.run_program(*CALL, "--input-tokens", str(i), "--operation", f"op{i % 3}", "--latency-ms",
                             str(i * 40000),
                             *(("--cost-usd", f"-{i}.{i:03}") if i % 2 else ()),
                             *(("--call-id", str(i)) if i % 5 == 0 else ()))
        ours, theirs = self.dump(), self.oracle_dump()
        self.assertEqual(len(ours), 150)
        self.assertEqual([(row["segment"], row["slot"]) for row in ours],
                         [(row["segment"], str(row["slot"])) for row in theirs])
        for row, other in zip(ours, theirs):
            self.assertEqual(row["call_id"], other["call_id"])
            self.assertEqual((row["provider"], row["model"]), (other["provider"], other["model"]))
            self.assertEqual([row[name] for name in support.TOKENS], [str(other[name]) for name in support.TOKENS])
            self.assertEqual(scaled(row["cost_usd"], 12), other["cost_pico_usd"])
            self.assertEqual(scaled(row["latency_ms"], 3), other["latency_us"])
            context = {key: row[key] for key in ("operation", "error_type", "service_tier", "session_id", "metadata")
                       if row[key]}
            self.assertEqual(context, json.loads(other["context"]))

    def test_round_trip(self):
        strange = '{"text":"comma, \\"quote\\" and =1+1","n":1.10,"deep":{"a":[null,true]}}'
        self.run_program(*CALL, "--metadata", strange, "--operation", "=cmd|' /C calc'!A0", "--session-id", 'a,"b"',
                         "--cost-usd", "-0.5")
        self.run_program(*CALL, "--latency-ms", "4294967295", "--ttft-ms", "0.001", "--time",
                         "1969-12-31T23:59:59.999999999Z")
        self.run_program("record", "--provider", "p\\", "--model", "m\u2028é😀", "--error-type", "429", "--cost-usd",
                         "0")
        rows = self.dump()
        self.assertEqual(len(rows), 3)
        for form in ("jsonl", "csv"):
            file, copy = self.write("dump", self.run_program("dump", "--format", form)[0]), self.path("copy." + form)
            out, _ = self.run_program("import", "--format", form, "--log", copy, file)
            self.assertTrue(out.startswith("imported 3 calls (0 already there, 0 refused)"), out)
            self.assertEqual(support.bare(self.dump(copy)), support.bare(rows))


class Config(LogTest):
    def setUp(self):
        super().setUp()
        self.run_program(*CALL)

    def get(self, key):
        return self.run_program("config", key)[0].rstrip("\n")

    def test_show(self):
        out, _ = self.run_program("config")
        keys = [line.split()[0] for line in out.splitlines()]
        self.assertEqual(keys, ["time_zone", "fallback_directories", "summary_path", "retention_days", "group_by",
                                "log_id"])
        self.assertRegex(self.get("log_id"), "^[0-9a-f]{32}$")
        self.assertEqual((self.get("retention_days"), self.get("summary_path"), self.get("group_by")),
                         ("0", "summary.json", ""))

    def test_set(self):
        for key, value in (("time_zone", "Europe/Berlin"), ("group_by", "user,team"),
                           ("fallback_directories", "/a b:/c"),
                           ("fallback_directories", ""), ("summary_path", "/tmp/x y.json"), ("retention_days", "400"),
                           ("group_by", "")):
            out, err = self.run_program("config", key, value)
            self.assertEqual((out, self.get(key)), ("", value))
            self.assertEqual("folds all calls anew" in err, key in ("time_zone", "group_by"))
        out, _ = self.run_program("config", "time_zone", "Europe/Berlin")
        self.assertEqual(out, "")
        self.assertEqual(len(self.dump()), 1)

    def test_refused(self):
        before = self.run_program("config")[0]
        for key, value, text in (("time_zone", "Mars/Base", "Mars/Base"),
                                 ("time_zone", "../../etc/passwd", "not a time zone"),
                                 ("retention_days", "30 days", "not a decimal number"), 
                                 ("fallback_directories", "/a:relative", '"relative" is not an absolute path'),
                                 ("fallback_directories", ":".join("/f%d" % i for i in range(9)), "at most 8"),
                                 ("group_by", "a,,b", "empty"), ("group_by", "a\nb", "control"),
                                 ("group_by", "a,b,a", '"a" is given twice'),
                                 ("fallback_directories", "/a:/b:/a", '"/a" is given twice'),
                                 ("fallback_directories", self.log, "is the log's own directory"),
                                 ("fallback_directories", self.log + "/../log/.", "is the log's own directory"),
                                 ("fallback_directories", "/tmp:/tmp/", "are one directory"),
                                 *(("summary_path", name, "is the name of a file that a log is made of")
                                   for name in ("log.conf", "lock", self.log + "/import.lock", "./checkpoint.previous",
                                                "x.seg", "x.tmp", "x.facts", "x.ids", "x.base", "x.new")),
                                 ("summary_path", "", "empty"), ("log_id", "0" * 32, "cannot be changed")):
            err = self.run_program("config", key, value, status=16)[1]
            self.assertIn(text, err)
        self.assertEqual(self.run_program("config")[0], before)


def scaled(text, digits):
    """A decimal text as a whole number of 10^-digits, exactly."""
    if text is None:
        return None
    sign = -1 if text.startswith("-") else 1
    whole, _, fraction = text.lstrip("-").partition(".")
    assert len(fraction) <= digits
    return sign * int(whole + fraction.ljust(digits, "0"))


if __name__ == "__main__":
    support.main()
