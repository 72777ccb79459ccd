#!/usr/bin/python3
"""The oracle's own test: logs built by hand, byte by byte as format/FORMAT.md says, and the verdicts expected.

The builders below know the text only, and share no code with the reader, so that a slip in one shows against the other.
Exit 77: python3-xxhash is not installed.
"""

import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout

try:
    import xxhash
except ImportError:
    sys.exit(77)

import usagelog_reader as reader

LOG_ID = bytes(range(16))
SEGMENT_ID = bytes.fromhex("0190f3a1b2c3d4e5f60718293a4b5c6d")
SIZE = 65536
FIRST = 4 * 64  # the first slot of entries: 3 pages, one of page table, then entries
NOON_NS = 1_750_000_000_000_000_000
MASK = (1 << 64) - 1


def xxh3(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed)


def seed_of(segment_id):
    return xxh3(segment_id)


def slot_bytes(number, tag, at12, body, segment_id=SEGMENT_ID):
    rest = struct.pack("<II", tag, at12) + body
    assert len(rest) == 56
    seed = (seed_of(segment_id) + number * 0x9E3779B97F4A7C15) & MASK
    return struct.pack("<Q", xxh3(rest, seed) or 1) + rest


def call_body(time=NOON_NS, cost=1_500_000, tokens=(100, 20, 3, 4, 50, 7), latency=1234, ttft=55):
    return struct.pack("<qq8I", time, cost, *tokens, latency, ttft)


def header_page(inode, segment_id=SEGMENT_ID, log_id=LOG_ID, size=SIZE, generation=0, version=1, flags=(0, 0, 0), tail=b""):
    rest = struct.pack("<IIII16s16sQQI", version, *flags, segment_id, log_id, inode, size, generation)
    rest = (rest + tail).ljust(4080, b"\0")
    return b"\x89ULSEG\r\n" + struct.pack("<Q", xxh3(rest)) + rest


def state_block(block, sequence, payload, segment_id=SEGMENT_ID):
    rest = struct.pack("<Q", sequence) + payload.ljust(112, b"\0")
    return struct.pack("<Q", xxh3(rest, (seed_of(segment_id) + block) & MASK) or 1) + rest


class SegmentBuilder:
    """A segment in memory; slots are put where the test wants them."""

    def __init__(self, segment_id=SEGMENT_ID):
        self.id = segment_id
        self.data = bytearray(SIZE)
        self.headers = {}

    def put(self, number, kind, refers=0, at12=0, body=bytes(48)):
        self.data[64 * number:64 * number + 64] = slot_bytes(number, kind << 28 | refers, at12, body, self.id)

    def model(self, number, provider="openai", model="gpt-x"):
        text = provider.encode() + b"\0" + model.encode()
        self.put(number, 2, 0, 1 << 28 | len(text), text.ljust(48, b"\0"))

    def text(self, slots, klass, text):
        """A text in the given slots, the first of which holds the definition."""
        chunks = [text[at:at + 48] for at in range(0, len(text), 48)]
        assert len(chunks) == len(slots)
        for k, (number, chunk) in enumerate(zip(slots, chunks)):
            follows = slots[k + 1] if k + 1 < len(slots) else 0
            at12 = klass << 28 | len(text) if k == 0 else 48 * k
            self.put(number, 2 if k == 0 else 3, follows, at12, chunk.ljust(48, b"\0"))

    def durable(self, page, count):
        self.data[12288 + page] = count

    def state(self, block, sequence, payload):
        at = 8192 + 128 * block
        self.data[at:at + 128] = state_block(block, sequence, payload, self.id)

    def write(self, path, length=SIZE, **header):
        with open(path, "wb") as file:
            header.setdefault("inode", os.fstat(file.fileno()).st_ino)
            page = header_page(segment_id=self.id, **header)
            self.data[0:4096] = page
            self.data[4096:8192] = page
            file.write(self.data[:length])


def conf_bytes(fallbacks=(), group_by=("user",), zone="Europe/Berlin", log_id=LOG_ID):
    lines = ["usagelog 1", "log_id " + log_id.hex(), "time_zone " + zone, *("fallback " + path for path in fallbacks),
             "summary summary.json", "retention_days 0", *("group_by " + key for key in group_by)]
    text = "".join(line + "\n" for line in lines).encode()
    return text + b"checksum %016x\n" % xxh3(text)


def container_bytes(magic, sections, log_id=LOG_ID, version=1, incompatible=0):
    """sections: type -> (bytes of a record, records' bytes)."""
    at, table, data = 64 + 32 * len(sections), b"", b""
    for kind, (record, payload) in sorted(sections.items()):
        table += struct.pack("<IIQQQ", kind, record, at + len(data), len(payload) // record, 0)
        data += payload + bytes(-len(payload) % 8)
    rest = struct.pack("<IIII16sQII", version, 0, 0, incompatible, log_id, at + len(data), len(sections), 0) + table + data
    return magic + struct.pack("<Q", xxh3(rest)) + rest


def strings_sections(texts):
    raws, at, table = sorted({text.encode() for text in texts}), 0, b""
    for raw in raws:
        table += struct.pack("<II", at, len(raw))
        at += len(raw)
    return {raw.decode(): number for number, raw in enumerate(raws)}, {2: (8, table), 3: (1, b"".join(raws))}


class Case(unittest.TestCase):
    def setUp(self):
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)
        self.path = os.path.join(self._directory.name, "log")
        os.mkdir(self.path)
        self.put_file("log.conf", conf_bytes())
        self.segment = SegmentBuilder()

    def put_file(self, name, data):
        with open(os.path.join(self.path, name), "wb") as file:
            file.write(data)

    def name(self, suffix=".seg", segment_id=SEGMENT_ID):
        return os.path.join(self.path, segment_id.hex() + suffix)

    def read(self, **header):
        self.segment.write(self.name(), **header)
        return reader.read_log(self.path)

    def only(self, log):
        self.assertEqual(list(log.segments), [SEGMENT_ID.hex()])
        return log.segments[SEGMENT_ID.hex()]

    def report(self, **header):
        return self.only(self.read(**header)).report()


class Slots(Case):
    def test_valid_call(self):
        self.segment.model(FIRST)
        self.segment.text([FIRST + 1], 2, b'{"operation":"chat"}')
        self.segment.put(FIRST + 2, 1, FIRST, FIRST + 1, call_body())
        call, = self.read().calls
        self.assertEqual(call.as_json(), {
            "segment": SEGMENT_ID.hex(), "slot": FIRST + 2, "time_ns": NOON_NS, "provider": "openai", "model": "gpt-x",
            "context": '{"operation":"chat"}', "input_tokens": 100, "cache_read_tokens": 20,
            "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 4, "output_tokens": 50, "reasoning_tokens": 7,
            "cost_pico_usd": 1_500_000, "latency_us": 1234, "ttft_us": 55, "kind": "call", "call_id": None})

    def test_flags_of_a_call(self):
        self.segment.put(FIRST, 1, 0, 1 << 28, call_body(cost=0))
        self.segment.put(FIRST + 1, 1, 0, 1 << 29, call_body(latency=0, ttft=0))
        self.segment.put(FIRST + 2, 1, 0, 1 << 30, call_body(latency=5))
        unpriced, unknown, ms = [call.as_json() for call in self.read().calls]
        self.assertIsNone(unpriced["cost_pico_usd"])
        self.assertEqual((unknown["latency_us"], unknown["ttft_us"]), (None, None))
        self.assertEqual(ms["latency_us"], 5000)
        self.assertEqual((ms["provider"], ms["context"]), ("(unknown)", "{}"))

    def test_fields_that_are_not_allowed_are_unknown(self):
        cases = [(1, 0, 1 << 31, call_body()), (1, 0, 1 << 28, call_body(cost=1)), (1, 0, 1 << 29, call_body(latency=1)),
                 (1, 0, 3 << 29, call_body(latency=0)), (2, 0, 3 << 28 | 5, b"a\0b".ljust(48, b"\0")),
                 (2, 0, 1 << 28, bytes(48)), (2, 0, 1 << 28 | 16385, bytes(48)), (3, 0, 47, bytes(48)),
                 (3, 0, 1 << 28 | 48, bytes(48)), (4, 1, 0, bytes(48)), (4, 0, 0, b"\1" * 48),
                 (5, 0, 0, struct.pack("<qqQQI12x", 0, 0, 1 << 53, 0, 1)), (5, 0, 0, struct.pack("<qqQQI12x", 0, 0, 1, 0, 4)),
                 (5, 0, 0, struct.pack("<qqQQI12x", 0, 0, 1, 0, 0)), (5, 0, 1 << 29, struct.pack("<qqQQI12x", 0, 0, 1, 0, 1)),
                 (7, 1, 0, bytes(48)), (7, 0, 0, b"\1" + bytes(47)), (0, 0, 0, bytes(48)), (0, 1, 0, bytes(48)),
                 (8, 0, 0, bytes(48)), (15, 0, 0, bytes(48))]
        for number, case in enumerate(cases):
            self.segment.put(FIRST + number, *case)
        report = self.report()
        self.assertEqual(report["unknown"], len(cases), report["faults"])
        self.assertEqual(report["valid"], 0)

    def test_text_in_several_slots_anywhere(self):
        context = ('{"metadata":{"note":"%s"},"operation":"chat"}' % ("x" * 110)).encode()
        self.segment.text([FIRST + 70, FIRST + 3, FIRST + 200, FIRST + 1], 2, context)
        self.segment.model(FIRST + 300)
        self.segment.put(FIRST + 2, 1, FIRST + 300, FIRST + 70, call_body())
        call, = self.read().calls
        self.assertEqual((call.model, call.context.encode()), ("gpt-x", context))

    def test_text_that_is_broken(self):
        context = ('{"operation":"%s"}' % ("y" * 100)).encode()
        for breakage in ("missing", "looped", "class", "not canonical", "led on"):
            with self.subTest(breakage):
                self.segment = SegmentBuilder()
                slots = [FIRST, FIRST + 1, FIRST + 2]
                if breakage == "not canonical":
                    self.segment.text(slots, 2, context.replace(b'":', b'" :').replace(b"yy", b"y", 1))
                else:
                    self.segment.text(slots, 1 if breakage == "class" else 2, context)
                if breakage == "missing":
                    self.segment.data[64 * slots[1]:64 * slots[1] + 64] = bytes(64)
                elif breakage == "looped":
                    self.segment.put(slots[1], 3, slots[1], 48, context[48:96])
                elif breakage == "led on":
                    self.segment.put(slots[2], 3, slots[1], 96, context[96:].ljust(48, b"\0"))
                self.segment.put(FIRST + 5, 1, 0, FIRST, call_body())
                call, = self.read().calls
                self.assertEqual(call.context, "{}")

    def test_unfinished_damaged_and_hole(self):
        for number in range(4):
            self.segment.put(FIRST + number, 1, 0, 0, call_body())
        self.segment.data[64 * FIRST:64 * FIRST + 8] = bytes(8)
        self.segment.data[64 * (FIRST + 1) + 20] ^= 1
        self.segment.data[64 * (FIRST + 2):64 * (FIRST + 3)] = bytes(64)
        report = self.report()
        self.assertEqual([report[name] for name in ("valid", "unfinished", "damaged", "holes", "unknown")], [1, 1, 1, 1, 0])
        self.assertEqual(report["faults"], [[FIRST, "unfinished"], [FIRST + 1, "damaged"], [FIRST + 2, "hole"]])

    def test_every_bit_counts(self):
        self.segment.put(FIRST, 1, 0, 0, call_body())
        good = bytes(self.segment.data[64 * FIRST:64 * FIRST + 64])
        seed = seed_of(SEGMENT_ID)
        for bit in range(512):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            self.assertEqual(reader.classify(bytes(bad), FIRST, seed), reader.DAMAGED)
        self.assertEqual(reader.classify(good, FIRST, seed), reader.VALID)
        self.assertEqual(reader.classify(good, FIRST + 1, seed), reader.DAMAGED)

    def test_lost_below_the_durable_count(self):
        self.segment.put(FIRST, 1, 0, 0, call_body())
        self.segment.put(FIRST + 1, 1, 0, 0, call_body())
        self.segment.data[64 * (FIRST + 1):64 * (FIRST + 1) + 8] = bytes(8)
        self.segment.durable(4, 3)
        self.segment.durable(9, 5)
        report = self.report()
        self.assertEqual([report[name] for name in ("valid", "unfinished", "damaged", "holes", "durable")], [1, 0, 7, 0, 8])

    def test_page_table_damage(self):
        self.segment.durable(2, 1)
        self.segment.durable(4, 65)
        self.segment.durable(5, 255)
        report = self.report()
        self.assertEqual((report["table_damage"], report["durable"], report["damaged"]), (3, 0, 0))

    def test_call_id_pairs(self):
        def with_id(number, kind):
            self.segment.put(number, 4, 0, 0, bytes(range(number % 64, number % 64 + 16)).ljust(48, b"\0"))
            self.segment.put(number + 1, kind, 0, 0, call_body())

        with_id(FIRST, 1)
        with_id(FIRST + 2, 6)
        self.segment.put(FIRST + 4, 1, 0, 0, call_body())
        with_id(FIRST + 5, 7)  # a padding of calls' bytes: unknown, so that the id names nothing
        self.segment.put(FIRST + 7, 1, 0, 0, call_body())
        with_id(FIRST + 63, 1)  # not in one page
        calls = {call.slot - FIRST: call for call in self.read().calls}
        self.assertEqual(calls[1].call_id, bytes(range(16)))
        self.assertEqual((calls[3].call_id, calls[3].kind), (bytes(range(2, 18)), "reversal"))
        self.assertEqual([calls[at].call_id for at in (4, 7, 64)], [None] * 3)

    def test_balance(self):
        self.segment.put(FIRST, 5, 0, 0, struct.pack("<qqQQI12x", NOON_NS, 77, 1000, 5_000_000, 3))
        self.segment.put(FIRST + 1, 5, 0, 0, struct.pack("<qqQQI12x", NOON_NS, 5, 10, 50, 2))
        log = self.read()
        row = log.calls[0].as_json()
        self.assertEqual((row["calls"], row["tokens"], row["scope"], row["cost_pico_usd"], row["kind"]),
                         (1000, 5_000_000, 3, 77, "balance"))
        totals = reader.totals_of(log)
        self.assertEqual((totals["calls"], totals["by_provider"]["(unknown)"]["calls"]), (1000, 1010))
        self.assertEqual(totals["by_day"]["2025-06-15"]["total_tokens"], 5_000_000)

    def test_a_file_that_is_shorter_and_one_that_is_sparse(self):
        self.segment.put(FIRST, 1, 0, 0, call_body())
        self.segment.durable(4, 1)
        self.segment.durable(6, 64)
        report = self.report(length=64 * FIRST + 64)
        self.assertEqual((report["valid"], report["damaged"]), (1, 64))
        os.truncate(self.name(), 64 * FIRST + 60)  # cuts the time to first token off
        report = self.only(reader.read_log(self.path)).report()
        self.assertEqual((report["valid"], report["damaged"]), (0, 65))
        os.truncate(self.name(), 1 << 33)
        report = self.only(reader.read_log(self.path)).report()
        self.assertTrue(report["file_list"][0]["longer_than_size"])


class Files(Case):
    def test_headers(self):
        self.segment.put(FIRST, 1, 0, 0, call_body())
        self.assertEqual(self.report()["header"], "good")
        for page, state in ((0, "page 0 damaged"), (1, "page 1 damaged")):
            self.segment.write(self.name())
            self.segment.data[4096 * page + 50] ^= 4
            self.put_file(os.path.basename(self.name()), self.segment.data)
            report = self.only(reader.read_log(self.path)).report()
            self.assertEqual((report["header"], report["calls"]), (state, 1))
        self.segment.data[50] ^= 4
        self.put_file(os.path.basename(self.name()), self.segment.data)
        log = reader.read_log(self.path)
        self.assertEqual((list(log.segments), list(log.bad)), ([], [self.name()]))

    def test_header_pages_that_differ_or_are_newer_or_not_allowed(self):
        self.segment.write(self.name())
        inode = os.stat(self.name()).st_ino
        for page, state in ((header_page(inode, generation=3), "pages differ"), (header_page(inode, version=2), None),
                            (header_page(inode, flags=(0, 0, 1)), None),
                            (header_page(inode, flags=(9, 9, 0)), "pages differ"),
                            (header_page(inode, tail=b"\1"), "page 1 damaged"), (header_page(inode, version=0), "page 1 damaged"),
                            (header_page(inode, size=SIZE + 1), "page 1 damaged"),
                            (header_page(inode, size=4096), "page 1 damaged")):
            self.segment.data[4096:8192] = page
            self.put_file(os.path.basename(self.name()), self.segment.data)
            log = reader.read_log(self.path)
            if state is None:
                self.assertEqual((log.newer, log.segments), ([self.name()], {}))
            else:
                self.assertEqual(self.only(log).report()["header"], state)

    def test_rescue_file_and_conflict(self):
        self.segment.put(FIRST, 1, 0, 0, call_body())
        self.segment.put(FIRST + 1, 1, 0, 0, call_body(cost=1))
        self.segment.put(FIRST + 3, 1, 0, 0, call_body(cost=3))
        self.segment.write(self.name())
        rescue = SegmentBuilder()
        rescue.put(FIRST, 1, 0, 0, call_body())
        rescue.put(FIRST + 1, 1, 0, 0, call_body(cost=2))
        rescue.put(FIRST + 2, 1, 0, 0, call_body(cost=4))
        rescue.put(FIRST + 300, 1, 0, 0, call_body(cost=5))
        rescue.durable(4, 4)
        rescue.write(self.name(".1.seg"), generation=1)
        segment = self.only(reader.read_log(self.path))
        self.assertEqual([call.cost_pico_usd for call in segment.calls], [1_500_000, 1, 4, 3, 5])
        self.assertEqual((segment.conflicts, segment.report()["files"], segment.durable), ([FIRST + 1], 2, 4))

    def test_rescue_wins_over_damage_and_a_copy_over_nothing(self):
        self.segment.put(FIRST, 1, 0, 0, call_body())
        rescue = SegmentBuilder()
        rescue.data[:] = self.segment.data
        self.segment.data[64 * FIRST + 30] ^= 1
        self.segment.write(self.name())
        rescue.write(self.name(".2.seg"), generation=0, inode=1)
        segment = self.only(reader.read_log(self.path))
        self.assertEqual((segment.counts[reader.VALID], segment.counts[reader.DAMAGED]), (1, 0))
        self.assertEqual([file.is_copy for file in segment.files], [False, True])

    def test_fallbacks_foreign_and_links(self):
        fallback = os.path.join(self._directory.name, "fallback")
        os.mkdir(fallback)
        self.put_file("log.conf", conf_bytes([fallback, fallback, "/nonexistent-fallback"]))
        self.segment.put(FIRST, 1, 0, 0, call_body())
        self.segment.write(os.path.join(fallback, SEGMENT_ID.hex() + ".seg"))
        other = SegmentBuilder(bytes(16))
        other.write(self.name(segment_id=bytes(16)), log_id=bytes(16))
        os.symlink(os.path.join(fallback, SEGMENT_ID.hex() + ".seg"), self.name(".7.seg"))
        os.mkfifo(self.name(".8.seg"))
        self.put_file(SEGMENT_ID.hex() + ".tmp", b"x")
        self.put_file(SEGMENT_ID.hex() + ".01.seg", b"x")
        log = reader.read_log(self.path)
        self.assertEqual(self.only(log).report()["files"], 1)
        self.assertEqual(log.foreign, [self.name(segment_id=bytes(16))])
        self.assertEqual(sorted(log.bad), sorted(["/nonexistent-fallback", self.name(".01.seg"), self.name(".7.seg"),
                                                  self.name(".8.seg")]))

    def test_state_page(self):
        self.segment.state(0, 1, b"A" * 16)
        self.segment.state(1, 2, b"B" * 16)
        self.segment.state(2, 9, struct.pack("<9Q", 10, 1, 2, 3, 4, 5, 6, 7, 8))
        self.segment.state(3, 8, struct.pack("<9Q", *[99] * 9))
        self.segment.state(5, 1, struct.pack("<QQ", 4, 2))
        self.segment.state(6, 1, struct.pack("<QQ", 4, 0))
        self.segment.data[8192 + 128 * 7 + 9] = 1
        state = self.report()["state"]
        self.assertEqual(state, {"boot_id": (b"B" * 16).hex(), "attempted": 10, "dropped": [1, 2, 3, 4, 5, 6, 7, 8],
                                 "syncs": [{"block": 5, "state": "set", "first_page": 4, "page_count": 2},
                                           {"block": 7, "state": "torn"}], "damaged_blocks": [7]})


class Conf(unittest.TestCase):
    def test_valid(self):
        conf = reader.parse_conf(conf_bytes(["/a b", "/c"], ["user", "team"]))
        self.assertEqual((conf.log_id, conf.fallbacks, conf.group_by), (LOG_ID, ["/a b", "/c"], ["user", "team"]))
        self.assertEqual(conf.settings, xxh3(b"Europe/Berlin\0user\0team"))

    def test_not_valid(self):
        def sealed(text):
            return text + b"checksum %016x\n" % xxh3(text)

        good = conf_bytes()
        body = good[:good.rindex(b"checksum")]
        for bad in (b"", good[:-1], good + b"\n", good + b"x y\n", good.replace(b"Berlin", b"Paris"), body,
                    sealed(body.replace(b"summary.json", b"")), sealed(body.replace(b"summary.json", b"\x7f")),
                    sealed(body.replace(b"summary.json", b"x" * 4097)), sealed(body.replace(b"summary.json", b"\xff")),
                    sealed(body.replace(b"usagelog 1", b"usagelog 0")), sealed(body.replace(b"usagelog 1\n", b"")),
                    conf_bytes(["relative"]), conf_bytes(["/x"] * 9), conf_bytes(group_by=["x"] * 17),
                    sealed(body.replace(b"retention_days 0", b"retention_days -1")),
                    sealed(body.replace(b"log_id 00", b"log_id AA"))):
            with self.assertRaises(reader.LogError, msg=bad):
                reader.parse_conf(bad)
        with self.assertRaises(reader.NewerError):
            reader.parse_conf(b"usagelog 2\nanything")


class Contexts(unittest.TestCase):
    def test_canonical(self):
        for text in ('{}', '{"operation":"chat"}', '{"metadata":{"":[1,-0.5e+3,null,{"a":{}}],"a":"\\u0000\\"\\\\"}}',
                     '{"error_type":"é"}', '{"metadata":{"x":%s}}' % ("[" * 30 + "]" * 30)):
            self.assertIsNotNone(reader.parse_context(text), text)

    def test_not_canonical(self):
        for text in ('', '[]', '{ }', '{"operation":1}', '{"operation":""}', '{"other":"x"}', '{"metadata":{}}',
                     '{"operation":"a","error_type":"b"}', '{"metadata":{"a":1,"a":2}}', '{"metadata":{"a":01}}',
                     '{"metadata":{"a":"\\u0041"}}', '{"metadata":{"a":"\\n"}}', '{"metadata":{"a":"\\u001F"}}',
                     '{"operation":"a"}x', '{"operation":"\\u0001"}', '{"metadata":{"a":+1}}', '{"metadata":{"a":1.}}',
                     '{"metadata":{"a":"\t"}}', '{"metadata":{"x":%s}}' % ("[" * 31 + "]" * 31),
                     '{"operation":"%s"}' % ("x" * 1025), '{"metadata":{"a":"%s"}}' % ("x" * 16384), '{"metadata":{"a":1,}}'):
            self.assertIsNone(reader.parse_context(text), text)

    def test_dimensions(self):
        text = '{"error_type":"e","metadata":{"other":1,"team":{"a":[1]},"user":"u"},"session_id":"s"}'
        self.assertEqual(reader.dimensions(text, frozenset(["user", "team"])),
                         '{"error_type":"e","metadata":{"team":{"a":[1]},"user":"u"},"session_id":"s"}')
        self.assertEqual(reader.dimensions(text, frozenset()), '{"error_type":"e","session_id":"s"}')
        self.assertEqual(reader.reduced_dimensions(text), '{"error_type":"e"}')

    def test_buckets_and_bands(self):
        self.assertEqual([reader.bucket_of(v) for v in (0, 127, 128, 129, 130, 255, 256, 1 << 32)],
                         [0, 127, 128, 128, 129, 191, 192, 64 * 26 + 64])
        self.assertEqual([reader.prompt_band((v, 0, 0, 0, 9, 9)) for v in (128000, 128001, 200000, 256001, 512000, 512001)],
                         [0, 1, 1, 3, 4, 5])


class Facts(Case):
    """One call and one balance, folded by hand."""

    def setUp(self):
        super().setUp()
        self.segment.model(FIRST)
        self.context = '{"metadata":{"note":"n","user":"u"},"operation":"chat"}'
        self.segment.text([FIRST + 1, FIRST + 2], 2, self.context.encode())
        self.segment.put(FIRST + 3, 4, 0, 0, b"\5" * 16 + bytes(32))
        self.segment.put(FIRST + 4, 1, FIRST, FIRST + 1, call_body())
        self.segment.put(FIRST + 5, 5, FIRST, 1 << 28, struct.pack("<qqQQI12x", NOON_NS, 0, 10, 500, 1))
        self.segment.put(FIRST + 6, 1, FIRST, 0, call_body())
        self.segment.write(self.name())
        self.day = 20254  # 2025-06-15
        self.write_all()

    def facts(self, calls=1):
        dims = '{"metadata":{"user":"u"},"operation":"chat"}'
        index, sections = strings_sections(["openai", "gpt-x", dims, "chat", "{}"])
        who = index["openai"], index["gpt-x"]
        rows = [(index[dims], struct.pack("<IIIBBH12qQq", *who, index[dims], 0, 0, 0, calls, 100, 20, 3, 4, 50, 7, 0, 1,
                                          1234, 1, 55, 1_500_000, 0)),
                (index["{}"], struct.pack("<IIIBBH12qQq", *who, index["{}"], 2, 0, 1, 10, 0, 0, 0, 0, 0, 0, 500, 0, 0, 0,
                                          0, 0, 0))]
        quarter = struct.pack("<iIII10qQq", NOON_NS // 900_000_000_000, *who, 0, 11, 0, 100, 20, 3, 4, 50, 7, 500, 10,
                              1_500_000, 0)
        histograms = struct.pack("<12I", *who, index["chat"], 1, 0, 1, *who, index["chat"], 2, 1, 1)
        # 1234 = 0x4d2: s = 10 - 6, 64 * 4 + (1234 >> 4)
        buckets = struct.pack("<IIqIIq", 64 * 4 + 77, 0, 1, 55, 0, 1)
        sections.update({1: (64, struct.pack("<iIQQ40x", self.day, 0, 1, xxh3(b"Europe/Berlin\0user"))),
                         4: (128, b"".join(row for _, row in sorted(rows))), 5: (112, quarter), 6: (24, histograms),
                         7: (16, buckets)})
        return container_bytes(b"ULFACTS\n", sections)

    def ids(self, content=0):
        content = content or xxh3(b"openai\0gpt-x\0" + self.context.encode() + b"\0" + call_body())
        return container_bytes(b"ULIDSET\n", {1: (64, struct.pack("<Q56x", 3)), 2: (8, b""), 3: (1, b""),
                                              32: (32, struct.pack("<16sQq", b"\5" * 16, content, 1))})

    def checkpoint(self, facts, ids, count=6):
        small = '{"operation":"chat"}'
        index, sections = strings_sections(["", "openai", "gpt-x", small, "{}", self.context, "3.ids", "chat", "user", "u"])
        who = index["openai"], index["gpt-x"]
        rows = [(index[small], struct.pack("<IIIBBH12qQq", *who, index[small], 0, 0, 0, 1, 100, 20, 3, 4, 50, 7, 0, 1, 1234,
                                           1, 55, 1_500_000, 0)),
                (index["{}"], struct.pack("<IIIBBH12qQq", *who, index["{}"], 2, 0, 1, 10, 0, 0, 0, 0, 0, 0, 500, 0, 0, 0,
                                          0, 0, 0))]
        day_sum = struct.pack("<10qQq", 11, 0, 100, 20, 3, 4, 50, 7, 500, 10, 1_500_000, 0)
        attribute_sum = struct.pack("<10qQq", 1, 0, 100, 20, 3, 4, 50, 7, 0, 0, 1_500_000, 0)
        hour = NOON_NS // 3_600_000_000_000 * 4
        sections.update({
            1: (64, struct.pack("<QQQq32x", 2, xxh3(b"Europe/Berlin\0user"), 1, NOON_NS)),
            16: (80, struct.pack("<16sQqIIIIQQ16x", SEGMENT_ID, SIZE, 1, 0, 1, 0, 0, 0, 0)),
            17: (8, struct.pack("<II", FIRST, count)),
            18: (40, struct.pack("<iIQQQq", self.day, 0, 1, len(facts), struct.unpack_from("<Q", facts, 8)[0], 11)),
            4: (128, b"".join(row for _, row in sorted(rows))),
            6: (24, struct.pack("<12I", *who, index["chat"], 1, 0, 1, *who, index["chat"], 2, 1, 1)),
            7: (16, struct.pack("<IIqIIq", 64 * 4 + 77, 0, 1, 55, 0, 1)),
            19: (112, struct.pack("<iIII", self.day, 0, 0, 0) + day_sum),
            22: (112, struct.pack("<iIII", self.day, *who, 0) + day_sum),
            23: (112, struct.pack("<iIII", hour, 0, 0, 0) + day_sum),
            24: (112, struct.pack("<iIII", 0, index["user"], index["u"], 0) + attribute_sum),
            20: (112, struct.pack("<16sIIII48sI12x16s", SEGMENT_ID, FIRST + 4, *who, index[self.context], call_body(), 0,
                                  b"\5" * 16)),
            21: (32, struct.pack("<IIQQQ", 1, index["3.ids"], len(ids), struct.unpack_from("<Q", ids, 8)[0], 0)),
        })
        return container_bytes(b"ULCHECK\n", sections)

    def write_all(self, facts=None, ids=None, **options):
        facts, ids = facts or self.facts(), ids or self.ids()
        self.put_file("2025-06-15.1.facts", facts)
        self.put_file("3.ids", ids)
        self.put_file("checkpoint", self.checkpoint(facts, ids, **options))

    def facts_output(self):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = reader.command_facts(self.path)
        return code, out.getvalue(), err.getvalue()

    def test_equal(self):
        code, out, err = self.facts_output()
        self.assertEqual((code, out), (0, "equal\n"))
        self.assertIn("1 valid slots are not folded yet", err)

    def test_differences(self):
        self.write_all(facts=self.facts(calls=2))
        code, out, _ = self.facts_output()
        self.assertEqual(code, 1)
        self.assertIn("calls 2 for 1", out)
        self.write_all(count=7)
        self.assertEqual(self.facts_output()[0], 1)
        self.write_all(ids=self.ids(content=5))
        self.assertIn("its content is not that of its call", self.facts_output()[1])
        self.write_all()
        os.unlink(self.name())
        self.assertIn("missing, its 1 calls", self.facts_output()[1])

    def test_containers(self):
        for name in ("2025-06-15.1.facts", "3.ids", "checkpoint"):
            container = reader.read_container(os.path.join(self.path, name))
            self.assertEqual(container.remarks, [])
            json.dumps(container.as_json())
        facts = self.facts()
        for bit in range(0, 8 * len(facts), 7):
            bad = bytearray(facts)
            bad[bit // 8] ^= 1 << bit % 8
            with self.assertRaises(reader.LogError):
                reader.parse_container(bad)

    def test_newer_containers(self):
        meta = {1: (64, struct.pack("<Q56x", 3)), 2: (8, b""), 3: (1, b""), 32: (32, b"")}
        for bad in (container_bytes(b"ULIDSET\n", meta, version=2), container_bytes(b"ULIDSET\n", meta, incompatible=4),
                    container_bytes(b"ULIDSET\n", {**meta, 1000: (8, b"")})):
            with self.assertRaises(reader.NewerError):
                reader.parse_container(bad)
        container = reader.parse_container(container_bytes(b"ULIDSET\n", {**meta, 999: (8, b"12345678")}))
        self.assertEqual(container.unknown_sections, [999])
        for section in (1, 32):
            with self.assertRaises(reader.LogError):
                reader.parse_container(container_bytes(b"ULIDSET\n", {k: v for k, v in meta.items() if k != section}))

    def test_commands(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "usagelog_reader.py")

        def run(*arguments):
            done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)
            self.assertNotIn("Traceback", done.stderr)
            return done.returncode, done.stdout

        code, out = run("dump", self.path)
        self.assertEqual((code, [json.loads(line)["kind"] for line in out.splitlines()]), (0, ["call", "balance", "call"]))
        self.assertEqual(list(json.loads(out.splitlines()[0]))[:3], ["segment", "slot", "time_ns"])
        code, out = run("check", self.path)
        self.assertEqual(json.loads(out)["segments"][SEGMENT_ID.hex()]["valid"], 7)
        self.assertEqual(json.loads(run("totals", self.path)[1])["calls"], 12)
        self.assertEqual(run("container", os.path.join(self.path, "checkpoint"))[0], 0)
        self.assertEqual(run("container", os.path.join(self.path, "log.conf"))[0], 1)
        self.assertEqual(run("dump", os.path.join(self.path, "nothing"))[0], 2)

    def test_hostile_bytes_never_crash(self):
        """Damage of every file, its checksums made right again, ends in a verdict or in LogError."""
        chance = random.Random(1)
        files = {name: reader.read_regular(os.path.join(self.path, name), SIZE)
                 for name in (os.path.basename(self.name()), "checkpoint", "2025-06-15.1.facts", "3.ids")}
        for turn in range(400):
            name = chance.choice(list(files))
            bad = bytearray(files[name])
            for _ in range(chance.randrange(1, 6)):
                limit = len(bad) if turn % 2 else min(len(bad), 400)
                bad[chance.randrange(16, limit)] = chance.choice((0, 1, 255, chance.randrange(256)))
            pages = (0, 4096) if name.endswith(".seg") else ()
            for at in pages:
                bad[at + 8:at + 16] = struct.pack("<Q", xxh3(bytes(bad[at + 16:at + 4096])))
            if pages:
                for slot in range(FIRST, FIRST + 8):
                    tag, at12 = struct.unpack_from("<II", bad, 64 * slot + 8)
                    bad[64 * slot:64 * slot + 64] = slot_bytes(slot, tag, at12, bytes(bad[64 * slot + 16:64 * slot + 64]))
            else:
                bad[8:16] = struct.pack("<Q", xxh3(bytes(bad[16:])))
            self.put_file(name, bad)
            for command in (reader.command_dump, reader.command_check, reader.command_totals, reader.command_facts):
                with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                    try:
                        command(self.path)
                    except reader.LogError:
                        pass
            self.put_file(name, files[name])


if __name__ == "__main__":
    unittest.main()
