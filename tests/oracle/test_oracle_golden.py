#!/usr/bin/python3
"""The oracle's verdicts against those of format/golden/verdicts.json, file by file.

The golden files are a part of the format, so that a difference is a fault of the oracle, of the file or of the text; which
one, the text decides. Exit 77: python3-xxhash is not installed, or there are no golden files.
"""

import json
import os
import sys
import unittest

try:
    import xxhash  # noqa: F401  (the reader's only need)
except ImportError:
    sys.exit(77)

import usagelog_reader as reader

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "format", "golden")
BYTES_MAX = 1 << 20
RUN_CLASSES = {"unknown": reader.UNKNOWN, "unfinished": reader.UNFINISHED, "damaged": reader.DAMAGED,
               "holes": reader.HOLE}


def golden(name):
    return os.path.join(GOLDEN, name)


def runs_of(segment, verdict):
    """The slots of a class as [first, count] runs; a run ends with its page."""
    runs = []
    for slot, found in segment.faults:
        if found != verdict:
            continue
        if runs and sum(runs[-1]) == slot:
            runs[-1][1] += 1
        else:
            runs.append([slot, 1])
    return runs


def call_as_golden(call):
    row = {"slot": call.slot, "kind": call.kind, "provider": call.provider, "model": call.model, "context": call.context,
           "time_ns": str(call.time_ns), "cost_pico_usd": str(call.cost_pico_usd), "unpriced": call.unpriced}
    if call.kind == "balance":
        row.update(calls=str(call.calls), balance_tokens=str(call.unknown_tokens), scope=call.scope)
        return row
    unit, latency = "us", call.latency_us
    if latency is None:
        unit, latency = "unknown", 0
    elif call.flags & reader.FLAG_LATENCY_MS:
        unit, latency = "ms", latency // 1000
    row.update(tokens=list(call.tokens), latency=latency, latency_unit=unit, ttft_us=call.ttft_us or 0,
               call_id=call.call_id.hex() if call.call_id else None)
    return row


class Golden(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.verdicts = json.loads(reader.read_regular(golden("verdicts.json"), BYTES_MAX))

    def test_format_version(self):
        self.assertEqual(self.verdicts["format_version"], 1)

    def test_every_file_has_a_verdict(self):
        names = set(os.listdir(GOLDEN)) - {"verdicts.json"}
        # A text beside the files, a README or the program that made them, needs no verdict.
        names = {name for name in names if name.endswith((".seg", ".conf", ".facts", ".checkpoint", ".ids", ".prices"))}
        self.assertEqual(names, set(self.verdicts["files"]))

    def test_files(self):
        for name, expected in self.verdicts["files"].items():
            with self.subTest(name):
                if expected["type"] == "segment":
                    self.check_segment(name, expected)
                else:
                    self.check_container(name, expected)

    def check_container(self, name, expected):
        data = reader.read_regular(golden(name), BYTES_MAX)
        remarks = []
        try:
            if expected["type"] == "conf":
                reader.parse_conf(data)
            else:
                container = reader.parse_container(data)
                self.assertEqual(container.kind, expected["type"])
                remarks = container.remarks
            verdict = "valid"
        except reader.NewerError:
            verdict = "newer"
        except reader.LogError:
            verdict = "damaged"
        self.assertEqual(verdict, expected["verdict"], expected["why"])
        self.assertEqual(remarks, [])

    def check_segment(self, name, expected):
        data = reader.read_regular(golden(name), BYTES_MAX)[:2 * reader.PAGE].ljust(2 * reader.PAGE, b"\0")
        pages = [reader.parse_header_page(data[at:at + reader.PAGE])[0] for at in (0, reader.PAGE)]
        self.assertEqual(pages, expected["header_pages"])
        try:
            segment = reader.read_segment(golden(name))
            header = "valid"
        except reader.NewerError:
            header = "newer"
        except reader.LogError:
            header = "damaged"
        self.assertEqual(header, expected["header"])
        if header != "valid":
            return
        head = segment.header
        found = {"segment_id": segment.id, "log_id": head.log_id.hex(), "size": head.size, "generation": head.generation,
                 "may_write": head.read_compatible == 0, "boot_id": segment.state["boot_id"],
                 "syncs": segment.state["syncs"], "table_damaged": segment.table_damage,
                 "valid": segment.counts[reader.VALID], "calls": [call_as_golden(call) for call in segment.calls]}
        if segment.state["attempted"] is None:
            found["counters"] = None
        else:
            found["counters"] = {"attempted": str(segment.state["attempted"]), "dropped": segment.state["dropped"]}
        found.update({key: runs_of(segment, verdict) for key, verdict in RUN_CLASSES.items()})
        for key, value in found.items():
            self.assertEqual(value, expected[key], key)

    def test_groups(self):
        for group in self.verdicts.get("groups", []):
            with self.subTest(group["files"]):
                segment = reader.read_segment(*(golden(name) for name in group["files"]))
                self.assertEqual(segment.counts[reader.VALID], group["valid"])
                self.assertEqual(segment.conflicts, group["conflicts"])
                self.assertEqual([call_as_golden(call) for call in segment.calls], group["calls"])


if __name__ == "__main__":
    if not os.path.exists(golden("verdicts.json")):
        sys.exit(77)
    unittest.main()
