#!/usr/bin/python3
"""usagelog import: what is taken, what is refused, each call once, and nothing but what was mapped."""

import collections
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time

import support
from support import LogTest, TOKENS

GOOD = '{"time":"2026-01-01T00:00:00Z","provider":"p","model":"m","input_tokens":%s}\n'
HEADER = "time,provider,model,input_tokens,output_tokens\n"
ROW = "2026-01-01T00:00:00Z,p,m,%d,%d\n"


class ImportTest(LogTest):
    def load(self, text, *args, form="jsonl", status=0):
        """Import a text; stdout and stderr."""
        return self.run_program("import", "--format", form, *args, self.write("input", text), status=status)

    def counts(self, out):
        """(imported, already there, refused) as it says."""
        self.assertRegex(out, r"^imported [0-9,]+ calls? \([0-9,]+ already there, [0-9,]+ refused\) "
                              r"in [0-9,]+ ms; all durable\n$")
        words = out.replace(",", "").split()
        return int(words[1]), int(words[3].lstrip("(")), int(words[6])


class Fields(ImportTest):
    def test_csv(self):
        text = ("\ufeffwhen,\"who, exactly\",in,out,cost,meta,failed\r\n"
                "2026-01-10 22:32:06.5,\"gpt \"\"4\"\"\",100.0,5e1,2e-05,\"{\"\"b\"\":1, \"\"a\"\":\"\"x,y\"\"}\",True\r\n"
                "1768084326.25,m, 7 ,,,,0")
        out, err = self.load(text, "--provider", "p", "--map",
                             "time=when,model=who, exactly,input_tokens=in,output_tokens=out,cost_usd=cost,metadata=meta,is_error=failed",
                             form="csv", status=16)
        self.assertIn('" exactly"', err)
        text = text.replace("who, exactly", "who")
        out, err = self.load(text, "--provider", "p", "--operation", "chat", "--map",
                             "time=when,model=who,input_tokens=in,output_tokens=out,cost_usd=cost,metadata=meta,is_error=failed", form="csv")
        self.assertEqual(self.counts(out), (2, 0, 0))
        self.assertIn("input:3: the last line has no line end", err)
        one, two = self.dump()
        self.assertEqual((one["model"], one["input_tokens"], one["output_tokens"], one["cost_usd"], one["metadata"],
                          one["error_type"],
                          one["time"], one["operation"]),
                         ('gpt "4"', "100", "50", "0.00002", {"a": "x,y", "b": "1"}, "error",
                          "2026-01-10T22:32:06.500000000Z", "chat"))
        self.assertEqual((two["input_tokens"], two["output_tokens"], two["cost_usd"], two["error_type"], two["time"]),
                         ("7", "0", None, None, "2026-01-10T22:32:06.250000000Z"))

    def test_nested_and_flat(self):
        text = ('{"t":"2026-01-01T00:00:00Z","usage":{"input_tokens":5,"details":{"cached":2}},"usage.input_tokens":6}\n'
                '{"t":"2026-01-01T00:00:00Z","usage":{"input_tokens":5,"details":{"cached":2}}}\n'
                '{"t":"2026-01-01T00:00:00Z","usage":7}\n'
                '{"t":"2026-01-01T00:00:00Z","usa\\u0067e":{"input\\u005ftokens":8}}\n')
        self.load(text, "--provider", "p", "--model", "m", "--map",
                  "time=t,input_tokens=usage.input_tokens,cache_read_tokens=usage.details.cached")
        self.assertEqual([(row["input_tokens"], row["cache_read_tokens"]) for row in self.dump()],
                         [("6", "2"), ("5", "2"), ("0", "0"), ("8", "0")])

    def test_values(self):
        text = ('{"time":1776685494.855935,"provider":"p","model":"m","input_tokens":"12","latency_ms":14716.823816299438,'
                '"cost_usd":0.1,"ttft_ms":null,"session_id":"","is_error":false,"error_type":null}\n'
                '{"time":"2026-01-01T00:00:00Z","provider":"p","model":4,"is_error":1,"metadata":"{\\"k\\":12345678901234567890.10}"}\n'
                '{"time":"2026-01-01T00:00:00Z","provider":"p","model":"\\ud83d\\ude00","error_type":"429","is_error":true}\n')
        self.load(text)
        one, two, three = self.dump()
        self.assertEqual((one["time"], one["input_tokens"], one["latency_ms"], one["cost_usd"], one["error_type"],
                          one["session_id"]),
                         ("2026-04-20T11:44:54.855935000Z", "12", "14716.824", "0.1", None, None))
        self.assertEqual((two["model"], two["error_type"], two["metadata"]),
                         ("4", "error", {"k": "12345678901234567890.10"}))
        self.assertEqual((three["model"], three["error_type"]), ("😀", "429"))

    def test_input_includes_cache(self):
        text = (GOOD % '100,"cache_read_tokens":30,"cache_write_5m_tokens":20,"cache_write_1h_tokens":10' +
                GOOD % '59,"cache_read_tokens":30,"cache_write_5m_tokens":20,"cache_write_1h_tokens":10')
        out, err = self.load(text, "--input-includes-cache", status=1)
        self.assertEqual(self.counts(out), (1, 0, 1))
        self.assertIn("input:2: input_tokens: \"59\" is less than the cached tokens", err)
        (row,) = self.dump()
        self.assertEqual([row[name] for name in TOKENS], ["40", "30", "20", "10", "0", "0"])

    def test_scratch_is_bounded(self):
        """Many fields of one long member with escapes."""
        line = json.dumps({"time": "2026-01-01T00:00:00Z", "x": "\\" * 250000})
        names = "provider,model,operation,error_type,service_tier,session_id,metadata,call_id".split(",")
        self.load(line + "\n", "--map", "time," + ",".join(f"{name}=x" for name in names), status=1)

    def test_map_mistakes(self):
        for spec, text in (("time=t,input_token=x", "did you mean input_tokens?"), ("time=", "no column"),
                           ("time,time=x", "given twice"),
                           ("input_tokens", "time=COLUMN"), ("", "there is no field")):
            self.assertIn(text, self.load(GOOD % 1, "--map", spec, status=16)[1])
        for text, message in (("", "has no header line"), ("a,b\n", 'no column "time"'), ("time,time\n", "two columns"),
                              ("x" * (17 << 20), "longer than 16 MiB"), ('time,"x\n', "quote that is not closed")):
            err = self.load(text, form="csv", status=16 if text else 1)[1]
            self.assertIn(message, err)
        self.assertIn('no column "nope"',
                      self.load(HEADER, "--map", "time,input_tokens=nope", form="csv", status=16)[1])
        self.assertFalse(os.path.exists(self.log))

    def test_path_that_no_line_has(self):
        text = '{"t":"2026-01-01T00:00:00Z","usage":null}\n' + '{"t":"2026-01-01T00:00:00Z","usage":{"in":5}}\n'
        names = ("--provider", "p", "--model", "m", "--map")
        for spec, path in (("time=t,input_tokens=usage.im", "usage.im"), ("time=tt,input_tokens=usage.in", "tt"),
                           ("time=t,call_id=id", "id")):
            message = f'no line has "{path}", from which --map reads '
            self.assertIn(message, self.load(text, *names, spec, status=16)[1])
            self.assertIn(message, self.run_program("import", "--format", "jsonl", *names, spec, "-",
                                                    stdin=text.encode(), status=16)[1])
        self.assertFalse(os.path.exists(self.log))
        spec = "time=t,input_tokens=usage.in,is_error=failed"
        self.assertEqual(self.counts(self.load(text, *names, spec)[0]), (2, 0, 0))
        out, _ = self.run_program("import", "--format", "jsonl", *names, spec, "-", stdin=(text + text).encode())
        self.assertEqual(self.counts(out), (2, 2, 0))
        # Beyond the first 1,000 lines it is too late.
        late = text.splitlines(True)[0] * 1000 + text.splitlines(True)[1]
        self.load(late, *names, spec, status=16)
        self.load("", *names, spec)

    def test_files(self):
        self.assertIn("No such file", self.run_program("import", "--format", "csv", self.path("none"), status=8)[1])
        os.mkdir(self.path("empty"))
        self.assertIn("has no file whose name ends in",
                      self.run_program("import", "--format", "csv", self.path("empty"), status=8)[1])
        out, _ = self.run_program("import", "--format", "jsonl", "-", stdin=(GOOD % 1).encode())
        self.assertEqual(self.counts(out), (1, 0, 0))


# What a line is, and what is said of it.
BAD_LINES = (
    (GOOD % "-1", 'input_tokens: "-1" is negative'),
    (GOOD % "4294967296", 'input_tokens: "4294967296" is above 4,294,967,295'),
    (GOOD % "1e10", 'input_tokens: "1e10" is above 4,294,967,295'),
    (GOOD % "1.5", 'input_tokens: "1.5" is not a whole number'),
    (GOOD % '"many"', 'input_tokens: "many" is not a decimal number'),
    (GOOD % "true", 'input_tokens: "true" is not a decimal number'),
    (GOOD % "[1]", "input_tokens: is a JSON array"),
    (GOOD % "{}", "input_tokens: is a JSON object"),
    (GOOD % '1,"cost_usd":1e400', "cost_usd:"),
    (GOOD % '1,"cost_usd":"NaN"', "cost_usd:"),
    (GOOD % '1,"latency_ms":-1', "latency_ms:"),
    (GOOD % '1,"metadata":[1]', "metadata: is a JSON array"),
    (GOOD % '1,"metadata":"text"', "metadata: is not a JSON object"),
    (GOOD % '1,"metadata":{"a":1,"a":1}',
     "metadata: is not a JSON object, is nested deeper than 32 levels, or has a key twice"),
    (GOOD % ('1,"metadata":{"a":"' + "x" * 17000 + '"}'), "metadata: is longer than 16,384 bytes"),
    (GOOD % ('1,"metadata":{"a":"' + "x" * (17 << 20) + '"}'), "is longer than 16 MiB"),
    (GOOD % '1,"session_id":"a\\u0000b"', "session_id: "),
    (GOOD % '1,"operation":"\\u001b[2J"', "operation: "),
    (GOOD % ('1,"service_tier":"' + "x" * 1025 + '"'), "service_tier: "),
    (GOOD % '1,"is_error":"perhaps"', "is_error: "),
    (GOOD % '1,"kind":"reversal"', "kind: "),
    ('{"time":"2026-01-01T00:00:00Z","provider":"p"}\n', "model: is missing"),
    ('{"provider":"p","model":"m"}\n', "time: is missing"),
    ('{"time":"2026-01-01","provider":"p","model":"m"}\n', "time: "),
    ('{"time":0,"provider":"p","model":"m"}\n', "time: "),
    ('{"time":1776685494855,"provider":"p","model":"m"}\n', "time: "),
    ("[]\n", "is not a JSON object"),
    ('{"time":\n', "is not JSON: wrong at byte 9"),
    ('{"a":"\udcff"}\n', "is not JSON"),
    ("{" * 100 + "\n", "is not JSON"),
    ("\0\n", "is not JSON"),
)


class Refusals(ImportTest):
    def test_each(self):
        text, expected = b"", []
        for i, (line, message) in enumerate(BAD_LINES):
            text += (GOOD % (1000 + i)).encode() + line.encode("utf-8", "surrogateescape")
            expected.append((2 * i + 2, message))
        text += (GOOD % 5000).encode()
        out, err = self.load(text, status=1)
        self.assertEqual(self.counts(out), (len(BAD_LINES) + 1, 0, len(BAD_LINES)))
        lines = err.splitlines()
        self.assertEqual(len(lines), 21)
        for line, (number, message) in zip(lines[:20], expected):
            self.assertTrue(line.startswith(f"usagelog: {self.path('input')}:{number}: {message}"), (line, message))
        self.assertIn(f"{len(BAD_LINES) - 20} more lines are refused", lines[20])
        self.assertEqual(sorted(row["input_tokens"] for row in self.dump()),
                         sorted([str(1000 + i) for i in range(len(BAD_LINES))] + ["5000"]))
        # And one by one, so that each is refused for itself.
        for line, message in BAD_LINES:
            self.assertIn(":1: " + message, self.load(line.encode("utf-8", "surrogateescape"), status=1)[1])

    def test_csv(self):
        text = HEADER + ROW % (1, 1) + "2026-01-01T00:00:00Z,p,m,1\n" + ROW % (2, 2) + '"x"y,p,m,1,1\n' + ROW % (3,
            3) + \
            '2026-01-01T00:00:00Z,"p\nq",m,1,1\n' + ROW % (4, 4) + '"2026-01-01T00:00:00Z,p,m,5,5\n' + ROW % (6, 6)
        out, err = self.load(text, form="csv", status=1)
        self.assertEqual(self.counts(out), (4, 0, 4))
        self.assertEqual([line.split("input:")[1].split(":", 1)[0] for line in err.splitlines()], ["3", "5", "7", "10"])
        self.assertIn("has 4 fields where the header has 5", err)
        self.assertIn("between a closing quote and the next comma", err)
        self.assertIn("opens a quote that is not closed", err)

    def test_names_before(self):
        """A name is checked whatever the lines before it had, of which the reader may remember some."""
        lines = [GOOD % f'1,"session_id":"{name}"' for name in ("abXcd", "ab", "ab\\u0000cd", "ab", "abXcd")]
        out, err = self.load("".join(lines), status=1)
        self.assertEqual(self.counts(out), (4, 0, 1))
        self.assertIn("input:3: session_id: ", err)
        self.assertEqual([row["session_id"] for row in self.dump()], ["abXcd", "ab", "ab", "abXcd"])

    def test_all_or_nothing(self):
        good = HEADER + "".join(ROW % (i, i) for i in range(500))
        for bad in (good + ROW % (-1, 0), HEADER + "x\n" + good[len(HEADER):]):
            for stdin in (False, True):
                if stdin:
                    err = self.run_program("import", "--format", "csv", "--all-or-nothing", "-", stdin=bad.encode(),
                                           status=1)[1]
                else:
                    err = self.load(bad, "--all-or-nothing", form="csv", status=1)[1]
                self.assertIn("nothing was recorded, because 1 of its lines is refused", err)
                self.assertEqual(self.dump(), [])
        out, _ = self.run_program("import", "--format", "csv", "--all-or-nothing", "-", stdin=good.encode())
        self.assertEqual(self.counts(out), (500, 0, 0))
        out, _ = self.load(good, "--all-or-nothing", form="csv")
        self.assertEqual(self.counts(out), (0, 500, 0))


class Once(ImportTest):
    def id_set(self):
        """The one of the highest generation."""
        names = [name for name in os.listdir(self.log) if name.endswith(".ids")]
        return os.path.join(self.log, max(names, key=lambda name: int(name.split(".")[0])))

    def test_older_id_set(self):
        """In the place of the one that the checkpoint names it says nothing: the segments do."""
        self.load(GOOD % 1)
        self.run_program("compact")
        older = self.id_set()
        shutil.copy(older, self.path("older"))
        self.load(GOOD % 2)
        self.run_program("compact")
        self.assertNotEqual(self.id_set(), older)
        shutil.copy(self.path("older"), self.id_set())
        self.assertEqual(self.counts(self.load(GOOD % 2)[0]), (0, 1, 0))

    def test_repeated(self):
        text = "".join(GOOD % (i % 3) for i in range(100))  # lines alike are calls of their own
        self.assertEqual(self.counts(self.load(text)[0]), (100, 0, 0))
        self.assertEqual(self.counts(self.load(text)[0]), (0, 100, 0))
        self.assertEqual(self.counts(self.load(text + "\n\n" + GOOD % 7)[0]), (1, 100, 0))
        self.run_program("compact")
        self.assertEqual(self.counts(self.load(text + "\n\n" + GOOD % 7 + GOOD % 7)[0]), (1, 101, 0))
        self.assertEqual(self.counts(self.load(text)[0]), (0, 100, 0))
        # Line ends are no part of a line.
        self.assertEqual(self.counts(self.load(text.replace("\n", "\r\n"))[0]), (0, 100, 0))
        self.assertEqual(self.counts(self.load(text, "--again")[0]), (100, 0, 0))
        self.assertEqual(self.counts(self.load(text)[0]), (0, 100, 0))
        # Nor is what stands before them: a file that lost its beginning has the same calls.
        self.assertEqual(self.counts(self.load("\n" + text[len(GOOD % 0) * 10:])[0]), (0, 90, 0))
        self.assertEqual(self.counts(self.load(GOOD % 8 + text)[0]), (1, 100, 0))
        self.assertEqual(len(self.dump()), 203)

    def test_checkpoint_lost(self):
        text = "".join(GOOD % i for i in range(10))
        self.load(text)
        self.run_program("compact")
        self.load(text + GOOD % 10)
        self.run_program("compact")
        for names in (("checkpoint",), ("checkpoint", "checkpoint.previous")):
            for name in names:
                self.write(os.path.join("log", name), b"damaged")
            self.assertEqual(self.counts(self.load(text + GOOD % 10)[0]), (0, 11, 0))

    def test_call_id(self):
        spec = ("--map", "time,provider,model,input_tokens,call_id=id")
        lines = [GOOD % f'{i % 7},"id":"response-{i % 7}"' for i in range(20)]
        self.assertEqual(self.counts(self.load("".join(lines), *spec)[0]), (7, 13, 0))
        random.Random(1).shuffle(lines)
        self.assertEqual(self.counts(self.load("".join(lines), *spec)[0]), (0, 20, 0))
        # The same id by another way.
        self.run_program("record", "--provider", "p", "--model", "m", "--call-id", "response-3")
        self.assertEqual(len(self.dump()), 7)

    def test_changed(self):
        text = GOOD % '1,"call_id":"a","operation":"chat","latency_ms":5000000' + GOOD % '2,"call_id":"b"'
        other = "1 already there with other content, which was not changed, "
        self.load(text)
        for _ in range(2):  # not folded, and folded
            self.assertEqual(self.counts(self.load(text)[0]), (0, 2, 0))
            out, _ = self.load(text.replace(":2,", ":3,"), status=1)
            self.assertEqual(self.counts(out.replace(other, "")), (0, 1, 0))
            self.assertIn(other, out)
            self.assertIn(other, self.load(text.replace("chat", "embeddings"), status=1)[0])
            args = ("record", "--provider", "p", "--model", "m", "--call-id", "b", "--time", "2026-01-01T00:00:00Z",
                    "--input-tokens")
            self.assertEqual(self.run_program(*args, "2"), ("", ""))
            self.assertIn('"b" is there with other content', self.run_program(*args, "3", status=1)[1])
            self.run_program("compact")
        self.assertEqual(sorted(row["input_tokens"] for row in self.dump()), ["1", "2"])

    def test_own_dump(self):
        self.load("".join(GOOD % f'{i},"call_id":"{i}","metadata":{{"k":"{i}"}},"cost_usd":0.{i}' for i in range(9)))
        for form in ("jsonl", "csv"):
            dump = self.run_program("dump", "--format", form)[0]
            self.assertEqual(self.counts(self.load(dump, form=form)[0]), (0, 9, 0))
        # Elsewhere, segment and slot are nobody's business.
        self.load(GOOD % '1,"segment":{"a":1},"slot":[],"call_id":"0123456789abcdef0123456789abcdef"')
        self.assertNotIn("0123456789abcdef0123456789abcdef", [row["call_id"] for row in self.dump()])

    def test_cut_line(self):
        text = HEADER + ROW % (1, 1) + ROW % (2, 25)
        out, err = self.load(text[:-2], form="csv")
        self.assertEqual(self.counts(out), (2, 0, 0))
        self.assertIn("input:3: the last line has no line end; if the file is still being written, this call may be "
                      "cut, and is added again when the line is whole", err)
        out, err = self.load(text, form="csv")
        self.assertEqual((self.counts(out), err), ((1, 1, 0), ""))

    def test_two_at_once(self):
        self.load(GOOD % 1)
        with open(os.path.join(self.log, "import.lock"), "r+b") as lock:
            fcntl.fcntl(lock, fcntl.F_OFD_SETLK, flock_whole())
            begin = time.monotonic()
            err = self.load(GOOD % 2, status=2)[1]
            self.assertLess(time.monotonic() - begin, 2)
        self.assertIn("another import is running", err)
        self.assertEqual(self.counts(self.load(GOOD % 2)[0]), (1, 0, 0))

    def test_killed(self):
        """SIGKILL at random moments, again and again: in the end each call is there once."""
        count, rng = 20000, random.Random(int(os.environ.get("USAGELOG_SEED", "7")))
        text = "time,provider,model,input_tokens,output_tokens\n" + "".join(
            f"2026-01-01T00:00:{i % 60:02}Z,p,m{i % 5},{i},{i % 11}\n" for i in range(count))
        file = self.write("input", text)
        command = ("import", "--format", "csv", file)
        begin = time.monotonic()
        self.run_program(*command, "--log", self.path("whole"))
        whole_s = time.monotonic() - begin
        killed = 0
        for i in range(25):
            child = self.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.random() * whole_s)
            child.send_signal(signal.SIGKILL)
            killed += child.wait() == -signal.SIGKILL
            if i % 5 == 4:
                self.run_program("compact")
        self.assertGreater(killed, 5)
        self.assertEqual(sum(self.counts(self.run_program(*command)[0])[:2]), count)
        # Not assertEqual: it would take minutes to show how such lists differ.
        found = collections.Counter(int(row["input_tokens"]) for row in self.dump())
        wrong = {number: times for number, times in found.items() if times != 1}
        self.assertEqual((len(found), len(wrong)), (count, 0))


class Privacy(ImportTest):
    def test_no_text_reaches_the_log(self):
        """Prompts and answers, as members, columns, nested or in lines that are refused, are in no file of the log."""
        secret = "SECRET-PROMPT-%d-" + "x" * 40
        lines = []
        for i in range(200):
            line = {"time": "2026-01-01T00:00:00Z", "provider": "p", "model": "m", "input_tokens": i,
                    "session_id": f"session-{i}",
                    "prompt": secret % i, "messages": [{"role": "user", "content": secret % i}], "answer": secret % i,
                    "metadata": {"user": f"u{i}"}, "usage": {"text": secret % i}}
            if i % 10 == 0:
                line["input_tokens"] = -1
            lines.append(json.dumps(line))
        lines.append('{"prompt":"' + secret % 999)
        self.load("\n".join(lines), status=1)
        rows = "".join(f'2026-01-01T00:00:00Z,p,m,{i},0,"{secret % i}\n2026-01-01T00:00:00Z,p,{secret % i},1,1,x"\n'
                       for i in range(200))
        self.load("time,provider,model,input_tokens,output_tokens,prompt\n" + rows, form="csv")
        self.run_program("import", "--format", "csv", "--all-or-nothing", "-",
                         stdin=("time,provider,model,prompt\n" + "".join(
            f"2026-01-01T00:00:00Z,p,m,{secret % i}\n" for i in range(100))).encode())
        self.run_program("compact")
        found = {}
        for directory, _, names in os.walk(self.log):
            for name in names:
                with open(os.path.join(directory, name), "rb") as file:
                    found[name] = file.read()
        self.assertTrue(any(b"session-7" in data for data in found.values()), "the search finds what is there")
        for name, data in found.items():
            self.assertNotIn(b"SECRET", data, name)
        self.assertEqual(len(self.dump()), 180 + 200 + 100)


def flock_whole():
    """struct flock of a write lock on a whole file."""
    import struct
    return struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


if __name__ == "__main__":
    support.main()
