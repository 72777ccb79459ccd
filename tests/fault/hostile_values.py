#!/usr/bin/python3
"""Values that nobody means well with: the largest and least counts and costs, sums beyond 64 bits, names and contexts at and over their limits, terminal
escapes, spreadsheet formulas, text that is no UTF-8. They come by record, and by import as CSV and JSON Lines; each is in the log exactly or refused with a
message, and nothing else is; dump, both formats, imported into another log, gives the same calls; the sums are those of whole numbers of any size; and what
is printed for people has no control character. A round is a log of such calls."""

import csv
import decimal
import io
import json
import os
import shutil

from support import PROGRAM, Failed, Member, call

decimal.getcontext().prec = 80
# Value: whether it must be taken. What is refused is so whatever its neighbours are.
COUNTS = {b"0": True, b"1": True, b"4294967295": True, b"2147483648": True, b"4294967296": False, b"-1": False, b"18446744073709551616": False, b"9" * 400: False,
          b"1.5": False, b"0x10": False, b"1e3": True, b"NaN": False, b"\xef\xbc\x91": False, b"1 000": False, b"\x00": False}
COSTS = {b"": True, b"0": True, b"-0.000000000001": True, b"9223372.036854775807": True, b"-9223372.036854775807": True, b"9223372.036854775808": False,
         b"-9223372.036854775809": False, b"1e400": False, b"inf": False, b"-nan": False, b"0.0000000000001": True, b"0.9999999999996": True, b"--1": False, b"$1": False,
         b"0.1": True, b"-5": True, b"0" * 300 + b"1": None, b"1" + b"0" * 300: False}
NAMES = {b"m": True, b"m" * 1024: True, b"m" * 1025: False, b"\xc3\xa4" * 512: True, b"\xc3\xa4" * 512 + b"a": False, b"=1+1": True, b"+cmd|' /C calc'!A0": True,
         b"-2+3": True, b"@SUM(A1)": True, b"\t=1": False, b"a,b": True, b'"': True, b'a"b""': True, b"a\nb": False, b"a\rb": False, b"\x1b[31mred": False,
         b"\x1b]0;title\x07": False, b"\x9b31m": False, b"\xc2\x9b31m": False, b"\x7f": False, b"\x00": False, b"\xff\xfe": False, b"\xc0\xaf": False,
         b"\xed\xa0\x80": False, b"\xf4\x90\x80\x80": False, b"\xe2\x80\xae": True, b"\xf0\x9f\x92\xb8": True, b"(unknown)": None, b"../../etc/passwd": True,
         b"%s%n%x": True, b"$(reboot)": True, b"<script>alert(1)</script>": True, b"a" * 70000: False, b"{}": True, b"null": True}
TEXT = "time provider model operation input_tokens cache_read_tokens output_tokens cost_usd session_id metadata call_id".split()
KINDS_OF_TEXT = {"provider", "model", "operation", "session_id"}


def metadata(pick):
    """(text, whether it must be taken)"""
    deep = pick.choice([1, 8, 200, 5000])
    return pick.choice([("", True), ('{"user":"u"}', True), ('{"user":"=1+1"}', True), ("[1]", False), ('{"a":' * deep + "1" + "}" * deep, True if deep == 1 else None),
                        ('{"a":"' + "x" * 16000 + '"}', None), ('{"a":"' + "x" * 17000 + '"}', False), ('{"a":"\\u001b[2J"}', True), ('{"a":"\\ud800"}', None),
                        ('{"a":1,"a":2}', None), ('{"a":1e999}', None), ('{"a":' + "9" * 300 + "}", None), ("{", False), ('{"a":"\\u0000"}', None)])


def is_safe(data):
    """Is there nothing in it that a terminal would obey?"""
    text = data.decode("utf-8", errors="strict")
    return not any((ord(c) < 32 and c not in "\n\t") or 0x7f <= ord(c) < 0xa0 for c in text)


class Hostile(Member):
    def __init__(self):
        super().__init__("hostile_values", namespace=False)

    # ---- calls

    def some_call(self, number, likely):
        """A call's fields as bytes, and whether it must be taken: True, False or None. Most of its values are harmless, or all are refused."""
        pick, must, fields = self.random, True, {}

        def choose(values):
            nonlocal must
            wanted = [one for one, good in values.items() if good] if pick.random() < likely else list(values)
            value = pick.choice(wanted)
            good = values[value]
            must = False if good is False or must is False else None if good is None or must is None else True
            return value
        fields["time"] = b"2026-01-0%dT00:00:%02dZ" % (number % 9 + 1, number % 60)
        for name in ("provider", "model"):
            fields[name] = choose(NAMES)
        for name in ("operation", "session_id"):
            fields[name] = choose(NAMES) if pick.random() < 0.3 else b""
        for name in ("input_tokens", "cache_read_tokens", "output_tokens"):
            fields[name] = choose(COUNTS)
        fields["cost_usd"] = choose(COSTS)
        text, good = metadata(pick)
        fields["metadata"] = text.encode()
        must = False if good is False or must is False else None if good is None or must is None else True
        fields["call_id"] = b"id-%d-%d" % (self.options.seed, number)
        return fields, must

    @staticmethod
    def csv_line(fields):
        return b",".join(b'"' + fields[name].replace(b'"', b'""') + b'"' for name in TEXT) + b"\n"

    @staticmethod
    def json_line(fields):
        """Values as they are, escaped as far as JSON needs it: what is no UTF-8 stays so."""
        def text(value):
            return b'"' + b"".join(b"\\u%04x" % c if c < 32 else b"\\" + bytes([c]) if c in b'"\\' else bytes([c]) for c in value) + b'"'
        members = [b'"' + name.encode() + b'":' + (fields[name] if name == "metadata" or name.endswith("_tokens") or name == "cost_usd" else text(fields[name]))
                   for name in TEXT if fields[name]]
        return b"{" + b",".join(members) + b"}\n"

    # ---- a round

    def run_program(self, *arguments, data=None, allowed=(0, 1)):
        done = call(PROGRAM, *arguments, check=False, binary=data if data is not None else b"")
        if done.returncode < 0 or done.returncode not in allowed:
            raise Failed(f"{' '.join(str(one)[:60] for one in arguments)}: status {done.returncode}: {done.stderr[-500:]}")
        if not is_safe(done.stderr) or (arguments[2] not in ("dump",) and not is_safe(done.stdout)):
            raise Failed(f"{arguments[2]} printed a control character, or what is no UTF-8")
        return done

    def dumped(self, log):
        rows = csv.DictReader(io.StringIO(self.run_program("--log", log, "dump", "--format", "csv").stdout.decode("utf-8"), newline=""))
        return [{name: value for name, value in row.items() if name not in ("segment", "slot")} for row in rows]

    def a_log(self, number):
        pick = self.random
        log, again = self.path("log"), self.path("again")
        shutil.rmtree(log, ignore_errors=True)
        shutil.rmtree(again, ignore_errors=True)
        calls = [self.some_call(i, pick.choice([1, 0.97, 0.8])) for i in range(60)]
        way = number % 3
        if way == 0:
            self.run_program("--log", log, "import", "--format", "csv", "-", data=",".join(TEXT).encode() + b"\n" + b"".join(self.csv_line(one) for one, _ in calls))
        elif way == 1:
            self.run_program("--log", log, "import", "--format", "jsonl", "-", data=b"".join(self.json_line(one) for one, _ in calls))
        else:
            self.by_record(log, calls)
        found = self.dumped(log) if os.path.exists(log) else []
        self.compare(calls, found, exact=way != 1)
        self.check_sums(log, found)
        for fmt in ("csv", "jsonl"):
            shutil.rmtree(again, ignore_errors=True)
            out = self.run_program("--log", log, "dump", "--format", fmt).stdout
            if not is_safe(out) and fmt == "jsonl":
                raise Failed("dump as JSON Lines has control characters")
            if self.run_program("--log", again, "import", "--format", fmt, "-", data=out).returncode and found:
                raise Failed(f"what dump wrote as {fmt} is not all imported")
            back = self.dumped(again) if found else []
            if sorted(map(repr, back)) != sorted(map(repr, found)):
                odd = next((pair for pair in zip(sorted(map(repr, found)), sorted(map(repr, back))) if pair[0] != pair[1]), "")
                raise Failed(f"dump as {fmt} and back gives other calls: {str(odd)[:1500]}")
        self.note("calls kept", len(found))
        self.note("calls refused", len(calls) - len(found))
        return len(calls)

    def by_record(self, log, calls):
        for fields, must in calls[:25]:
            if any(b"\0" in value for value in fields.values()) or any(len(value) > 100000 for value in fields.values()):
                continue
            words = [b"--" + name.replace("_", "-").encode() + b"=" + value for name, value in fields.items() if value]
            done = self.run_program("--log", log, "record", *words, allowed=(0, 16))
            if done.returncode == 0 and must is False or done.returncode and must:
                raise Failed(f"record: status {done.returncode} for {words}: {done.stderr[-300:]}")
            if done.returncode and not done.stderr:
                raise Failed("record refused a call and did not say why")
        del calls[25:]
        calls[:] = [one for one in calls if not any(b"\0" in value for value in one[0].values())]

    def compare(self, calls, found, exact):
        def key(row):
            return row["time"][:19], row["provider"], row["model"], row["operation"], row["session_id"]
        rows = {}
        for row in found:
            rows.setdefault(key(row), []).append(row)
        for fields, must in calls:
            # JSON's own escapes let control characters through to where they are refused, and numbers be written in other ways.
            text = {name: fields[name].decode("utf-8", errors="replace") for name in TEXT}
            candidates = [row for row in rows.get((text["time"][:19], text["provider"], text["model"], text["operation"], text["session_id"]), [])
                          if all(self.same_count(row[name], text[name])
                                 for name in ("input_tokens", "cache_read_tokens", "output_tokens")) and self.same_cost(row["cost_usd"], text["cost_usd"])]
            if must and not candidates:
                raise Failed(f"a call is missing, or another one: {str(fields)[:800]}")
            if must is False and exact and candidates and not any(good and key_of(one) == key_of(fields) for one, good in calls):
                raise Failed(f"a call that must be refused was taken: {str(fields)[:800]}")
        must, may = sum(good is True for _, good in calls), sum(good is not False for _, good in calls)
        if not must <= len(found) <= may:
            raise Failed(f"{len(found)} calls are there, between {must} and {may} should be")

    @staticmethod
    def same_count(shown, given):
        try:
            return int(shown) == decimal.Decimal(given or "0")
        except decimal.InvalidOperation:
            return False

    @staticmethod
    def same_cost(shown, given):
        try:
            return decimal.Decimal(shown) == round(decimal.Decimal(given), 12) if given else not shown
        except decimal.InvalidOperation:
            return False

    def check_sums(self, log, found):
        if not found:
            return
        self.run_program("--log", log, "compact", "--quiet")
        self.run_program("--log", log, "summary", "--days", "36500")
        self.run_program("--log", log, "summary", "--json")
        self.run_program("--log", log, "verify")
        with open(os.path.join(log, "summary.json"), "rb") as file:
            data = file.read()
        if not is_safe(data):
            raise Failed("summary.json has control characters")
        sums = json.loads(data)["totals"]
        tokens = sum(int(row[name]) for row in found for name in ("input_tokens", "cache_read_tokens", "output_tokens"))
        cost = sum((decimal.Decimal(row["cost_usd"]) for row in found if row["cost_usd"]), decimal.Decimal(0))
        if (sums["calls"], int(sums["tokens_exact"]), decimal.Decimal(sums["cost_exact"])) != (len(found), tokens, cost):
            raise Failed(f"the sums are {sums['calls']}, {sums['tokens_exact']}, {sums['cost_exact']}, and should be {len(found)}, {tokens}, {cost}")


def key_of(fields):
    return tuple(fields[name] for name in TEXT if name not in ("call_id", "metadata"))


if __name__ == "__main__":
    member = Hostile()
    member.run(member.a_log)
