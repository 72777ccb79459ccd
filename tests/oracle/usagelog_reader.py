#!/usr/bin/python3
"""An independent reader of the usagelog format, version 1.

It exists so that the library and the compactor have something to be compared with, and is therefore written from
format/FORMAT.md alone: it must know nothing of the C code, share no table with it and copy no decision from it.
It favours the plain reading of the text over speed, and takes every byte from disk for hostile: what is not as
the text says ends in a verdict or in LogError, never in a traceback. It writes nothing and locks nothing.

    usagelog_reader.py dump DIR         every valid call, one JSON object a line
    usagelog_reader.py check DIR        the classes of all slots, by segment
    usagelog_reader.py totals DIR       totals recomputed from the slots
    usagelog_reader.py container FILE   a fact file, checkpoint, id set or price table, validated and resolved
    usagelog_reader.py facts DIR        whether checkpoint and fact files hold each folded slot exactly once

Exit: 0 as wished; 1 a difference, or not valid; 2 the question cannot be answered.
"Section n" in the comments is section n of FORMAT.md.
"""

import argparse
import bisect
import datetime
import errno
import functools
import heapq
import itertools
import json
import os
import re
import stat
import struct
import sys
import zoneinfo
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import xxhash

PAGE = 4096
SLOT = 64
SLOTS_A_PAGE = PAGE // SLOT
SLOT_MASK = (1 << 28) - 1
M64 = (1 << 64) - 1
GOLDEN_RATIO = 0x9E3779B97F4A7C15  # spreads the slot numbers over the seeds (3.4)
CONF_BYTES_MAX = 64 * 1024
TEXT_BYTES_MAX = 16384
NAME_BYTES_MAX = 1024
CHUNK_BYTES = 48
NESTING_MAX = 32
READ_BYTES = 256 * PAGE
CONTAINER_BYTES_MAX = 1 << 31  # ours, not the format's: larger ones are not read into memory
FAULTS_MAX = 1000  # slots named one by one in a report; the counts are always whole
LAST_CALLS = 1000
BUCKET_MAX = 3775  # that of 2^64 - 1
QUARTER_NS = 900_000_000_000
UNKNOWN_NAME = "(unknown)"

KIND_CALL, KIND_DEFINITION, KIND_CONTINUATION, KIND_ID, KIND_BALANCE, KIND_REVERSAL, KIND_PADDING = range(1, 8)
KIND_NAMES = {KIND_CALL: "call", KIND_REVERSAL: "reversal", KIND_BALANCE: "balance"}
FLAG_UNPRICED, FLAG_LATENCY_UNKNOWN, FLAG_LATENCY_MS, FLAG_RESERVED = 1, 2, 4, 8
CLASS_MODEL, CLASS_CONTEXT = 1, 2

# The classes of a slot, rising in how much they tell: of several files of one segment, the highest counts (3.6).
EMPTY, HOLE, UNFINISHED, DAMAGED, UNKNOWN, VALID = range(6)
CLASS_NAMES = ("empty", "hole", "unfinished", "damaged", "unknown", "valid")

ZERO_SLOT = bytes(SLOT)
ZERO_PAGE = bytes(PAGE)
ZERO_READ = bytes(READ_BYTES)

_CALL = struct.Struct("<qq8I")
_BALANCE = struct.Struct("<qqQQI12s")
_HEADER = struct.Struct("<8sQIIII16s16sQQI")
_STATE_BLOCK = struct.Struct("<QQ112s")
_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
           "reasoning_tokens")

SEGMENT_NAME = re.compile(r"([0-9a-f]{32})(?:\.([1-9][0-9]*))?\.seg", re.ASCII)
FACTS_NAME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([1-9][0-9]*)\.facts", re.ASCII)
IDS_NAME = re.compile(r"([1-9][0-9]*)\.ids", re.ASCII)
CHECKPOINT_NAMES = ("checkpoint", "checkpoint.previous")


class LogError(Exception):
    """What was asked for cannot be read; the text says why."""


class NewerError(LogError):
    """A newer program wrote it: refused."""


def xxh3(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed & M64)


# --------------------------------------------------------------------------------------------- files


def open_regular(path, dir_fd=None):
    """An open descriptor of a regular file; links are not followed (section 1)."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise LogError(f"{path}: a link, not followed") from None
        raise LogError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # a zero byte in the name
        raise LogError(f"{path!r}: {error}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise LogError(f"{path}: not a regular file")
    return fd


def read_exact(fd, offset, length):
    """length bytes at offset; what lies after the end of the file counts as zero."""
    parts = []
    while length > 0:
        part = os.pread(fd, length, offset)
        if not part:
            parts.append(bytes(length))
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_regular(path, bytes_max):
    """A whole regular file of at most bytes_max bytes."""
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        if size > bytes_max:
            raise LogError(f"{path}: {size} bytes, more than {bytes_max}")
        with os.fdopen(os.dup(fd), "rb") as file:
            data = file.read(bytes_max + 1)
        if len(data) > bytes_max:
            raise LogError(f"{path}: more than {bytes_max} bytes")
        return data
    except OSError as error:
        raise LogError(f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)


# ------------------------------------------------------------------------------------------ log.conf


@dataclass
class LogConf:
    log_id: bytes
    time_zone: str
    fallbacks: list
    summary: str
    retention_days: int
    group_by: list

    @property
    def settings(self):
        """The settings that facts depend on, as one number (section 8, meta)."""
        return xxh3(b"\0".join(text.encode() for text in [self.time_zone, *self.group_by]))


_CONF_KEYS = (  # key, may repeat or be absent, how often at most
    ("usagelog", False, 1), ("log_id", False, 1), ("time_zone", False, 1), ("fallback", True, 8),
    ("summary", False, 1), ("retention_days", False, 1), ("group_by", True, 16), ("checksum", False, 1))


def parse_conf(data):
    """log.conf (section 2); LogError if it is not valid, NewerError if a newer program made it."""
    first = re.match(rb"usagelog ([0-9]+)\n", data)
    if first and int(first[1][:20]) > 1:
        raise NewerError("log.conf: version " + first[1][:20].decode())
    if len(data) > CONF_BYTES_MAX:
        raise LogError("log.conf: larger than 64 KiB")
    if not data.endswith(b"\n"):
        raise LogError("log.conf: the last line is not ended")
    try:
        lines = data.decode("utf-8")[:-1].split("\n")
    except UnicodeDecodeError:
        raise LogError("log.conf: not UTF-8") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        key, space, value = line.partition(" ")
        raw = value.encode()
        if not space or not raw or raw[0] == 0x20:
            raise LogError(f"log.conf: line {number} is not `key value`")
        if len(raw) > 4096 or any(byte < 0x20 or byte == 0x7F for byte in raw):
            raise LogError(f"log.conf: the value of line {number} is not allowed")
        pairs.append((key, value))
    values, at = {}, 0
    for key, optional, most in _CONF_KEYS:
        values[key] = []
        while at < len(pairs) and pairs[at][0] == key and (len(values[key]) < most):
            values[key].append(pairs[at][1])
            at += 1
        if not values[key] and not optional:
            raise LogError(f"log.conf: no {key} where it should stand")
    if at != len(pairs):
        raise LogError(f"log.conf: line {at + 1} should not stand there")
    (version,), (log_id,), (checksum,) = values["usagelog"], values["log_id"], values["checksum"]
    (days,), (zone,), (summary,) = values["retention_days"], values["time_zone"], values["summary"]
    if version != "1":
        raise LogError(f"log.conf: version {version}")
    if not re.fullmatch(r"[0-9a-f]{32}", log_id) or not re.fullmatch(r"[0-9a-f]{16}", checksum):
        raise LogError("log.conf: not a number where one should stand")
    if not re.fullmatch(r"0|[1-9][0-9]{0,9}", days):
        raise LogError("log.conf: retention_days is not a number")
    if any(not path.startswith("/") for path in values["fallback"]):
        raise LogError("log.conf: a fallback is not an absolute path")
    if xxh3(data[:data.rindex(b"checksum ")]) != int(checksum, 16):
        raise LogError("log.conf: the checksum disagrees")
    return LogConf(bytes.fromhex(log_id), zone, values["fallback"], summary, int(days), values["group_by"])


# ------------------------------------------------------------------------------------------- section 5

_STRING = re.compile(r'"((?:[^"\\\x00-\x1f\x7f-\x9f]|\\(?:["\\]|u00(?:[01][0-9a-f]|7f|[89][0-9a-f])))*+)"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r'\\(?:u([0-9a-f]{4})|(.))')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ATTRIBUTES = ("error_type", "operation", "service_tier", "session_id")


class _NotCanonical(Exception):
    pass


def _unescape(text):
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)


def _json_value(text, at, depth):
    """The end of the canonical JSON value that begins at `at`."""
    first = text[at:at + 1]
    if first == '"':
        match = _STRING.match(text, at)
        if not match:
            raise _NotCanonical
        return match.end()
    if first == "{":
        return _json_object(text, at, depth + 1)[0]
    if first == "[":
        return _json_array(text, at, depth + 1)
    for word in ("true", "false", "null"):
        if text.startswith(word, at):
            return at + len(word)
    match = _NUMBER.match(text, at)
    if not match:
        raise _NotCanonical
    return match.end()


def _json_array(text, at, depth):
    if depth > NESTING_MAX:
        raise _NotCanonical
    if text.startswith("]", at + 1):
        return at + 2
    while True:
        at = _json_value(text, at + 1, depth)
        if text.startswith("]", at):
            return at + 1
        if not text.startswith(",", at):
            raise _NotCanonical


def _json_object(text, at, depth):
    """The end of the object that begins at `at`, and its members: (key, begin of the value, end of the value)."""
    if depth > NESTING_MAX or not text.startswith("{", at):
        raise _NotCanonical
    members = []
    if text.startswith("}", at + 1):
        return at + 2, members
    while True:
        match = _STRING.match(text, at + 1)
        if not match or not text.startswith(":", match.end()):
            raise _NotCanonical
        key = _unescape(match[1])
        # Code points rise as their UTF-8 bytes do, so that str compares as the text wants it.
        if members and key <= members[-1][0]:
            raise _NotCanonical
        begin = match.end() + 1
        at = _json_value(text, begin, depth)
        members.append((key, begin, at))
        if text.startswith("}", at):
            return at + 1, members
        if not text.startswith(",", at):
            raise _NotCanonical


def is_name(text):
    """Whether a str may be a provider, a model or an attribute's value."""
    return 1 <= len(text.encode()) <= NAME_BYTES_MAX and not _CONTROL.search(text)


@dataclass(frozen=True)
class Context:
    """A canonical context: each attribute's raw JSON and value, and metadata's raw members by key."""
    text: str
    raw: dict
    attributes: dict
    metadata: dict

    def reduced(self, attributes, metadata_keys):
        """The context without the other members, in canonical form."""
        parts = {name: self.raw[name] for name in attributes if name in self.raw}
        kept = [(key, raw) for key, raw in self.metadata.items() if key in metadata_keys]
        if kept:
            parts["metadata"] = "{" + ",".join(quoted + ":" + raw for key, (quoted, raw) in kept) + "}"
        return "{" + ",".join(f'"{name}":{parts[name]}' for name in sorted(parts)) + "}"


@functools.lru_cache(maxsize=1 << 14)
def parse_context(text):
    """A Context from a str, or None if the text is not a canonical context."""
    try:
        if len(text.encode()) > TEXT_BYTES_MAX:
            return None
        end, members = _json_object(text, 0, 1)
        if end != len(text):
            return None
        raw, attributes, metadata = {}, {}, {}
        for key, begin, end in members:
            if key in _ATTRIBUTES:
                if text[begin] != '"':
                    return None
                attributes[key] = _unescape(text[begin + 1:end - 1])
                if not is_name(attributes[key]):
                    return None
                raw[key] = text[begin:end]
            elif key == "metadata":
                inner_end, inner = _json_object(text, begin, 2)
                if inner_end != end or not inner:
                    return None
                at = begin + 1
                for name, value_begin, value_end in inner:
                    metadata[name] = (text[at:value_begin - 1], text[value_begin:value_end])
                    at = value_end + 1
            else:
                return None
    except (_NotCanonical, UnicodeEncodeError):
        return None
    return Context(text, raw, attributes, metadata)


EMPTY_CONTEXT = parse_context("{}")


@functools.lru_cache(maxsize=1 << 14)
def dimensions(text, group_by):
    """The dimensions of a context's text; group_by is a frozenset of keys."""
    return (parse_context(text) or EMPTY_CONTEXT).reduced(_ATTRIBUTES, group_by)


@functools.lru_cache(maxsize=1 << 14)
def reduced_dimensions(text):
    """Dimensions reduced to operation and error_type (section 8, totals)."""
    return (parse_context(text) or EMPTY_CONTEXT).reduced(("error_type", "operation"), frozenset())


def attribute_name(raw):
    """A key or value of metadata as it is summed up by (section 8): a string that is a name as itself, else its JSON."""
    if raw[0] == '"':
        text = _unescape(raw[1:-1])
        if is_name(text):
            return text
    return raw


@functools.lru_cache(maxsize=1 << 14)
def attributes_of(dims):
    """The (key, value) pairs that a call of these dimensions is summed up by."""
    context = parse_context(dims) or EMPTY_CONTEXT
    pairs = [("service_tier", context.attributes["service_tier"])] if "service_tier" in context.attributes else []
    return pairs + [(attribute_name(quoted), attribute_name(raw)) for quoted, raw in context.metadata.values()]


def parse_model(data):
    """(provider, model) of a model definition's text, or None."""
    try:
        provider, zero, model = data.decode("utf-8").partition("\0")
    except UnicodeDecodeError:
        return None
    return (provider, model) if zero and is_name(provider) and is_name(model) else None


# ------------------------------------------------------------------------------------------- section 3


class Header(NamedTuple):
    version: int
    compatible: int
    read_compatible: int
    incompatible: int
    segment_id: bytes
    log_id: bytes
    inode: int
    size: int
    generation: int

    @property
    def first_entry_page(self):
        pages = self.size // PAGE
        return 3 + -(-pages // PAGE)


def parse_header_page(page):
    """("valid", Header), ("newer", None) or ("damaged", None)."""
    magic, checksum, *rest = _HEADER.unpack_from(page)
    header = Header(*rest)
    if magic != b"\x89ULSEG\r\n" or checksum != xxh3(page[16:]):
        return "damaged", None
    if header.version > 1 or header.incompatible:
        return "newer", None
    size_good = header.size % PAGE == 0 and 65536 <= header.size <= 1 << 34
    if header.version != 1 or not size_good or any(page[84:]):
        return "damaged", None
    return "valid", header


def parse_header(pages):
    """The header of a file's first two pages, and the state of the pair in words."""
    (state0, header0), (state1, header1) = (parse_header_page(pages[at:at + PAGE]) for at in (0, PAGE))
    if "newer" in (state0, state1):
        return None, "newer"
    if header0 and header1:
        return header0, "good" if header0 == header1 else "pages differ"
    if header0:
        return header0, "page 1 damaged"
    return (header1, "page 0 damaged") if header1 else (None, "damaged")


def parse_state_page(page, seed):
    """The writer's state (3.2) as a dict for reports."""
    blocks = []
    for b in range(32):
        block = page[128 * b:128 * (b + 1)]
        checksum, sequence, payload = _STATE_BLOCK.unpack(block)
        valid = checksum != 0 and checksum == (xxh3(block[8:], seed + b) or 1)
        used = 16 if b < 2 else 72 if b < 4 else 16 if b < 12 else 8 if b == 12 else 0
        if any(payload[used:]) or b > 12:
            valid = False
        blocks.append((valid, any(block), sequence, payload))

    def pair(first):
        good = [block for block in blocks[first:first + 2] if block[0]]
        return max(good, key=lambda block: block[2])[3] if good else None

    boot, counters = pair(0), pair(2)
    syncs = []
    for b, (valid, some, _, payload) in enumerate(blocks[4:12], 4):
        first, count = struct.unpack_from("<QQ", payload)
        if valid and count:
            syncs.append({"block": b, "state": "set", "first_page": first, "page_count": count})
        elif some and not valid:
            syncs.append({"block": b, "state": "torn"})
    return {
        "boot_id": boot[:16].hex() if boot else None,
        "attempted": struct.unpack_from("<Q", counters)[0] if counters else None,
        "dropped": list(struct.unpack_from("<8Q", counters, 8)) if counters else None,
        "syncs": syncs,
        "damaged_blocks": [b for b, (valid, some, _, _) in enumerate(blocks) if some and not valid],
    }


def _slot_fields_allowed(raw, tag, at12):
    """Whether a slot whose checksum agrees holds only what section 3.4 allows."""
    kind = tag >> 28
    if kind in (KIND_CALL, KIND_REVERSAL):
        flags = at12 >> 28
        _, cost, *_, latency, _ = _CALL.unpack_from(raw, 16)
        # Reasoning tokens above the output tokens are odd, yet allowed: golden/all-kinds.seg holds such a call.
        return not (flags & FLAG_RESERVED or (flags & FLAG_UNPRICED and cost)
                    or (flags & FLAG_LATENCY_UNKNOWN and (latency or flags & FLAG_LATENCY_MS)))
    if kind == KIND_DEFINITION:
        length, follows = at12 & SLOT_MASK, tag & SLOT_MASK
        if at12 >> 28 not in (CLASS_MODEL, CLASS_CONTEXT) or not 1 <= length <= TEXT_BYTES_MAX:
            return False
        if length > CHUNK_BYTES:
            return follows != 0
        return follows == 0 and not any(raw[16 + length:])
    if kind == KIND_CONTINUATION:
        return at12 >> 28 == 0 and at12 % CHUNK_BYTES == 0 and 0 < at12 < TEXT_BYTES_MAX
    if kind == KIND_ID:
        return tag & SLOT_MASK == 0 and at12 == 0 and not any(raw[32:])
    if kind == KIND_BALANCE:
        _, _, calls, tokens, scope, zero = _BALANCE.unpack_from(raw, 16)
        return not (at12 >> 28 & ~FLAG_UNPRICED or calls >> 53 or tokens >> 53 or scope not in (1, 2, 3) or any(zero))
    if kind == KIND_PADDING:
        return tag & SLOT_MASK == 0 and at12 == 0 and not any(raw[16:])
    return False


def classify(raw, slot, seed):
    """The class of 64 bytes alone; the page table and the neighbours come later."""
    checksum = int.from_bytes(raw[:8], "little")
    if checksum == 0:
        return EMPTY if raw == ZERO_SLOT else UNFINISHED
    if checksum != (xxhash.xxh3_64_intdigest(raw[8:], (seed + slot * GOLDEN_RATIO) & M64) or 1):
        return DAMAGED
    tag, at12 = struct.unpack_from("<II", raw, 8)
    return VALID if _slot_fields_allowed(raw, tag, at12) else UNKNOWN


class Call(NamedTuple):
    """A valid call, reversal or balance, its definitions resolved."""
    segment: str
    slot: int
    kind: str
    time_ns: int
    provider: str
    model: str
    context: str
    flags: int
    cost_pico_usd: int  # as stored
    tokens: tuple  # six counts, in the order of _TOKENS; zeros for a balance
    latency_us: Optional[int]
    ttft_us: Optional[int]
    calls: int  # 1, or what a balance says
    unknown_tokens: int
    scope: int  # 0, or a balance's
    call_id: Optional[bytes]
    body: bytes  # bytes 16 .. 63 of the slot

    @property
    def unpriced(self):
        return bool(self.flags & FLAG_UNPRICED)

    def as_json(self):
        row = {"segment": self.segment, "slot": self.slot, "time_ns": self.time_ns, "provider": self.provider,
               "model": self.model, "context": self.context}
        if self.kind == "balance":
            row.update(calls=self.calls, tokens=self.unknown_tokens, scope=self.scope)
        else:
            row.update(zip(_TOKENS, self.tokens))
        row.update(cost_pico_usd=None if self.unpriced else self.cost_pico_usd, latency_us=self.latency_us,
                   ttft_us=self.ttft_us, kind=self.kind, call_id=self.call_id.hex() if self.call_id else None)
        return row


@dataclass
class SegmentFile:
    """One open file of a segment."""
    path: str
    directory: int  # its place in the order of the log's directories
    name: str
    fd: int
    header: Header
    header_state: str
    inode: int
    bytes: int

    @property
    def is_copy(self):
        return self.inode != self.header.inode

    @property
    def rank(self):
        """Lowest first: whose content counts in a conflict (3.6)."""
        return self.header.generation, self.is_copy, self.name, self.directory

    def page_table(self):
        """The counts by page, and how many bytes of the table are damaged (3.3)."""
        pages = self.header.size // PAGE
        table = bytearray(read_exact(self.fd, 3 * PAGE, pages))
        first, damaged = self.header.first_entry_page, 0
        for page in itertools.chain(_nonzero_bytes(table, 0, first), _bytes_above(table, SLOTS_A_PAGE, first)):
            table[page] = 0
            damaged += 1
        return table, damaged

    def pages(self):
        """(page number, bytes) of every page of entries that is not wholly zero, rising."""
        at = self.header.first_entry_page * PAGE
        end = min(self.bytes, self.header.size)  # what lies beyond the size is no part of the segment
        while at < end:
            at = self._next_data(at, end)
            if at >= end:
                return
            length = min(READ_BYTES, end - at)
            length += -length % PAGE
            data = read_exact(self.fd, at, length)
            if data != ZERO_READ[:length]:
                for begin in range(0, length, PAGE):
                    page = data[begin:begin + PAGE]
                    if page != ZERO_PAGE:
                        yield (at + begin) // PAGE, page
            at += length

    def _next_data(self, at, end):
        """The page at or after `at` where the file system knows of data."""
        try:
            found = os.lseek(self.fd, at, os.SEEK_DATA)
        except OSError as error:
            return end if error.errno == errno.ENXIO else at
        return max(at, found - found % PAGE)


def _nonzero_bytes(table, begin, end):
    return [at for at in range(begin, min(end, len(table))) if table[at]]


def _bytes_above(table, most, begin):
    pattern = re.compile(b"[" + re.escape(bytes([most + 1])) + b"-\xff]")
    return [match.start() for match in pattern.finditer(table, begin)]


class Segment:
    """All files of one segment, read as one, slot by slot."""

    def __init__(self, segment_id, files):
        self.id = segment_id.hex()
        self.seed = xxh3(segment_id)
        self.files = sorted(files, key=lambda file: file.rank)
        self.counts = dict.fromkeys(range(HOLE, VALID + 1), 0)
        self.kinds = dict.fromkeys(range(16), 0)
        self.faults = []  # (slot, class), of the first FAULTS_MAX that are not valid
        self.conflicts = []  # slots
        self.valid_slots = array("I")
        self.table_damage = 0
        self.durable = 0
        self.calls = []
        self._texts = {}  # valid definitions and continuations by slot
        self._pending = []  # (slot, bytes, id) of the calls, until all texts are known
        self._resolved = {}
        self.state = parse_state_page(read_exact(self.files[0].fd, 2 * PAGE, PAGE), self.seed)
        self._read()
        self.calls = [self._resolve(*entry) for entry in self._pending]
        self._pending = []

    @property
    def header(self):
        return self.files[0].header

    def _read(self):
        tables = []
        for file in self.files:
            table, damaged = file.page_table()
            tables.append(table)
            self.table_damage += damaged
        durable = tables[0]
        for table in tables[1:]:
            longest = max(len(durable), len(table))
            durable = bytearray(map(max, durable.ljust(longest, b"\0"), table.ljust(longest, b"\0")))
        self.durable = sum(durable)
        lost = self.durable  # durable slots on pages that hold nothing at all
        streams = [_tagged(index, file.pages()) for index, file in enumerate(self.files)]
        for page, group in itertools.groupby(heapq.merge(*streams, key=lambda entry: entry[:2]), lambda e: e[0]):
            count = durable[page] if page < len(durable) else 0
            lost -= count
            self._read_page(page, [(self.files[index], data) for _, index, data in group], count)
        self.counts[DAMAGED] += lost

    def _read_page(self, page, copies, durable):
        base, seed = page * SLOTS_A_PAGE, self.seed
        slots = []
        for i in range(SLOTS_A_PAGE):
            best, chosen = EMPTY, ZERO_SLOT
            for file, data in copies:
                raw = data[SLOT * i:SLOT * (i + 1)]
                if raw == ZERO_SLOT:
                    continue
                verdict = classify(raw, base + i, seed)
                if verdict == DAMAGED:  # it may have been read while it was stored (section 4)
                    again = read_exact(file.fd, SLOT * (base + i), SLOT)
                    if again != raw:
                        raw, verdict = again, classify(again, base + i, seed)
                if verdict == VALID and best == VALID and raw != chosen:
                    if not self.conflicts or self.conflicts[-1] != base + i:
                        self.conflicts.append(base + i)
                if verdict > best:
                    best, chosen = verdict, raw
            slots.append((best, chosen))
        last = max((i for i, (verdict, _) in enumerate(slots) if verdict != EMPTY), default=-1)
        call_id = None
        for i, (verdict, raw) in enumerate(slots):
            if verdict == VALID:
                call_id = self._take(base + i, raw, call_id)
                continue
            call_id = None
            if verdict in (EMPTY, UNFINISHED) and i < durable:
                verdict = DAMAGED
            elif verdict == EMPTY:
                if i > last:
                    continue
                verdict = HOLE
            self.counts[verdict] += 1
            if len(self.faults) < FAULTS_MAX:
                self.faults.append((base + i, verdict))

    def _take(self, slot, raw, call_id):
        """Keeps a valid slot; returns the id that holds for the next slot."""
        kind = raw[11] >> 4
        self.counts[VALID] += 1
        self.kinds[kind] += 1
        self.valid_slots.append(slot)
        if kind in (KIND_DEFINITION, KIND_CONTINUATION):
            self._texts[slot] = raw
        elif kind in KIND_NAMES:
            self._pending.append((slot, raw, call_id))
        elif kind == KIND_ID:
            return raw[16:32]
        return None

    def text(self, slot, klass):
        """The text of the definition in that slot, or None if it has none of this class."""
        raw = self._texts.get(slot)
        if raw is None or raw[11] >> 4 != KIND_DEFINITION:
            return None
        tag, at12 = struct.unpack_from("<II", raw, 8)
        if at12 >> 28 != klass:
            return None
        length, parts = at12 & SLOT_MASK, [raw[16:]]
        for offset in range(CHUNK_BYTES, length, CHUNK_BYTES):
            raw = self._texts.get(tag & SLOT_MASK)
            if raw is None:
                return None
            tag, at12 = struct.unpack_from("<II", raw, 8)
            if tag >> 28 != KIND_CONTINUATION or at12 != offset:
                return None
            parts.append(raw[16:])
        data = b"".join(parts)
        if tag & SLOT_MASK or any(data[length:]):
            return None
        return data[:length]

    def model(self, slot):
        key = CLASS_MODEL, slot
        if key not in self._resolved:
            text = self.text(slot, CLASS_MODEL)
            self._resolved[key] = (parse_model(text) if text else None) or (UNKNOWN_NAME, UNKNOWN_NAME)
        return self._resolved[key]

    def context(self, slot):
        key = CLASS_CONTEXT, slot
        if key not in self._resolved:
            data = self.text(slot, CLASS_CONTEXT)
            try:
                context = parse_context(data.decode("utf-8")) if data else None
            except UnicodeDecodeError:
                context = None
            self._resolved[key] = context.text if context else "{}"
        return self._resolved[key]

    def _resolve(self, slot, raw, call_id):
        tag, at12 = struct.unpack_from("<II", raw, 8)
        kind, flags = tag >> 28, at12 >> 28
        provider, model = self.model(tag & SLOT_MASK)
        context = self.context(at12 & SLOT_MASK) if at12 & SLOT_MASK else "{}"
        common = (self.id, slot, KIND_NAMES[kind])
        if kind == KIND_BALANCE:
            time_ns, cost, calls, tokens, scope, _ = _BALANCE.unpack_from(raw, 16)
            return Call(*common, time_ns, provider, model, context, flags, cost, (0,) * 6, None, None, calls, tokens,
                        scope, call_id, raw[16:])
        time_ns, cost, *tokens, latency, ttft = _CALL.unpack_from(raw, 16)
        if flags & FLAG_LATENCY_UNKNOWN:
            latency = None
        elif flags & FLAG_LATENCY_MS:
            latency *= 1000
        return Call(*common, time_ns, provider, model, context, flags, cost, tuple(tokens), latency, ttft or None, 1, 0,
                    0, call_id, raw[16:])

    def report(self):
        files = [{"name": file.name, "directory": file.directory, "generation": file.header.generation,
                  "header": file.header_state, "copy": file.is_copy, "bytes": file.bytes,
                  "longer_than_size": file.bytes > file.header.size,
                  "read_only": bool(file.header.read_compatible)} for file in self.files]
        return {
            "valid": self.counts[VALID], "unfinished": self.counts[UNFINISHED], "unknown": self.counts[UNKNOWN],
            "damaged": self.counts[DAMAGED], "holes": self.counts[HOLE], "durable": self.durable,
            "calls": self.kinds[KIND_CALL], "reversals": self.kinds[KIND_REVERSAL],
            "balances": self.kinds[KIND_BALANCE], "definitions": self.kinds[KIND_DEFINITION],
            "continuations": self.kinds[KIND_CONTINUATION], "ids": self.kinds[KIND_ID],
            "padding": self.kinds[KIND_PADDING], "files": len(files), "conflicts": len(self.conflicts),
            "header": self.files[0].header_state, "size": self.header.size, "table_damage": self.table_damage,
            "sizes_agree": len({file.header.size for file in self.files}) == 1, "state": self.state,
            "conflict_slots": self.conflicts[:FAULTS_MAX],
            "faults": [[slot, CLASS_NAMES[verdict]] for slot, verdict in self.faults], "file_list": files,
        }


def _tagged(index, pages):
    for page, data in pages:
        yield page, index, data


def open_segment_file(path, directory=0):
    """A SegmentFile, NewerError, or LogError if neither header page is valid."""
    fd = open_regular(path)
    try:
        status = os.fstat(fd)
        header, state = parse_header(read_exact(fd, 0, 2 * PAGE))
        if state == "newer":
            raise NewerError(f"{path}: a newer program wrote it")
        if header is None:
            raise LogError(f"{path}: both header pages damaged")
        return SegmentFile(path, directory, os.path.basename(path), fd, header, state, status.st_ino, status.st_size)
    except OSError as error:
        os.close(fd)
        raise LogError(f"{path}: {error.strerror}") from None
    except LogError:
        os.close(fd)
        raise


def read_segment(*paths):
    """One segment from its files, without a log around it."""
    files = []
    try:
        for path in paths:
            files.append(open_segment_file(path))
        if len({file.header.segment_id for file in files}) != 1:
            raise LogError("not files of one segment")
        return Segment(files[0].header.segment_id, files)
    except OSError as error:
        raise LogError(f"{paths[0]}: {error.strerror}") from None
    finally:
        for file in files:
            os.close(file.fd)


# ----------------------------------------------------------------------------------------------- log


class Zone:
    """Cuts times into days of an IANA zone."""

    def __init__(self, name):
        try:
            self._zone = zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise LogError(f"{name}: not a time zone known here") from None
        self._offsets = {}

    def _offset_s(self, second):
        moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=second)
        return int(moment.astimezone(self._zone).utcoffset().total_seconds())

    def day(self, time_ns):
        second = time_ns // 1_000_000_000
        quarter = second // 900
        offset = self._offsets.get(quarter)
        if offset is None:
            offset = self._offset_s(quarter * 900)
            # A quarter in which the offset changes is not cached: each of its times is looked up.
            if offset == self._offset_s(quarter * 900 + 899):
                self._offsets[quarter] = offset
            else:
                offset = self._offset_s(second)
        return (second + offset) // 86400

    def _local_hour(self, quarter):
        offset = self._offset_s(quarter * 900)
        return offset, (quarter * 900 + offset) // 3600

    @functools.lru_cache(maxsize=1 << 14)
    def hour(self, quarter):
        """The first quarter of those that begin in the same local hour, under the same offset (section 8)."""
        here, first = self._local_hour(quarter), quarter
        while self._local_hour(first - 1) == here:
            first -= 1
        return first


def day_text(day):
    """A day as YYYY-MM-DD, or as its number where the calendar ends."""
    try:
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
    except OverflowError:
        return str(day)


@dataclass
class Log:
    path: str
    conf: LogConf
    segments: dict = field(default_factory=dict)  # by hexadecimal id
    foreign: list = field(default_factory=list)
    newer: list = field(default_factory=list)
    bad: dict = field(default_factory=dict)  # path: why
    misnamed: list = field(default_factory=list)
    _zone: Optional[Zone] = None

    @property
    def calls(self):
        """Every valid call, reversal and balance, by segment id and slot."""
        return [call for key in sorted(self.segments) for call in self.segments[key].calls]

    @property
    def zone(self):
        if self._zone is None:
            self._zone = Zone(self.conf.time_zone)
        return self._zone


def _segment_names(directory):
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(".seg") and name != ".seg")
    except OSError as error:
        raise LogError(f"{directory}: {error.strerror}") from None


def read_conf(path):
    """The valid log.conf of a log's directory."""
    try:
        return parse_conf(read_regular(os.path.join(path, "log.conf"), CONF_BYTES_MAX))
    except NewerError:
        raise
    except LogError as error:
        raise LogError(f"{path}: log.conf is missing or damaged, nothing is read ({error})") from None


def read_log(path):
    """A Log with all that can be read; LogError if log.conf is missing, damaged or newer (section 4)."""
    path = os.fspath(path)
    log = Log(path, read_conf(path))
    groups, seen_directories, seen_files = defaultdict(list), set(), set()
    try:
        for number, directory in enumerate([path, *log.conf.fallbacks]):
            try:
                status = os.stat(directory)
                names = _segment_names(directory)
            except (OSError, LogError) as error:
                log.bad[directory] = str(getattr(error, "strerror", None) or error)
                continue
            if (status.st_dev, status.st_ino) in seen_directories:
                continue
            seen_directories.add((status.st_dev, status.st_ino))
            for name in names:
                _add_file(log, groups, seen_files, os.path.join(directory, name), number)
        for segment_id in sorted(groups):
            try:
                log.segments[segment_id.hex()] = Segment(segment_id, groups[segment_id])
            except OSError as error:
                log.bad[groups[segment_id][0].path] = f"cannot be read: {error.strerror}"
    finally:
        for file in itertools.chain.from_iterable(groups.values()):
            os.close(file.fd)
    return log


def _add_file(log, groups, seen, path, directory):
    try:
        file = open_segment_file(path, directory)
    except NewerError:
        log.newer.append(path)
        return
    except LogError as error:
        log.bad[path] = str(error)
        return
    status = os.fstat(file.fd)
    if file.header.log_id != log.conf.log_id or (status.st_dev, status.st_ino) in seen:
        if file.header.log_id != log.conf.log_id:
            log.foreign.append(path)
        os.close(file.fd)
        return
    seen.add((status.st_dev, status.st_ino))
    named = SEGMENT_NAME.fullmatch(file.name)
    if not named or named[1] != file.header.segment_id.hex() or int((named[2] or "0")[:20]) != file.header.generation:
        log.misnamed.append(path)
    groups[file.header.segment_id].append(file)


def check_log(path):
    """What `check` prints."""
    log = read_log(path)
    for name in sorted(os.listdir(log.path)):
        if name in CHECKPOINT_NAMES or FACTS_NAME.fullmatch(name) or IDS_NAME.fullmatch(name):
            try:
                read_container(os.path.join(log.path, name))
            except NewerError:
                log.newer.append(os.path.join(log.path, name))
            except LogError as error:
                log.bad[os.path.join(log.path, name)] = str(error)
    return {
        "log_id": log.conf.log_id.hex(),
        "segments": {key: segment.report() for key, segment in sorted(log.segments.items())},
        "foreign_files": log.foreign, "newer_files": log.newer, "misnamed_files": log.misnamed,
        "bad_files": log.bad,
    }


# -------------------------------------------------------------------------------------------- totals


def _new_totals():
    return dict.fromkeys(("calls", "errors", *_TOKENS, "unknown_tokens", "total_tokens", "cost_pico_usd",
                          "unpriced_calls"), 0)


def _add_call(totals, call, error):
    sign = -1 if call.kind == "reversal" else 1
    calls = sign * call.calls
    totals["calls"] += calls
    totals["errors"] += calls if error else 0
    for name, count in zip(_TOKENS, call.tokens):
        totals[name] += sign * count
    totals["unknown_tokens"] += sign * call.unknown_tokens
    totals["total_tokens"] += sign * (sum(call.tokens[:5]) + call.unknown_tokens)
    totals["cost_pico_usd"] += sign * call.cost_pico_usd
    totals["unpriced_calls"] += calls if call.unpriced else 0


def totals_of(log):
    """What `totals` prints. Balances count where their scope says: bit 0 totals and days, bit 1 names."""
    whole = _new_totals()
    by = {name: defaultdict(_new_totals) for name in ("day", "provider", "operation", "error_type", "session")}
    by_model = defaultdict(lambda: defaultdict(_new_totals))
    balances = defaultdict(_new_totals)
    for call in log.calls:
        attributes = (parse_context(call.context) or EMPTY_CONTEXT).attributes
        error = "error_type" in attributes
        places = []
        if call.scope in (0, 1, 3):
            places += [whole, by["day"][day_text(log.zone.day(call.time_ns))]]
        if call.scope in (0, 2, 3):
            places += [by["provider"][call.provider], by_model[call.provider][call.model]]
            for name, attribute in (("operation", "operation"), ("error_type", "error_type"),
                                    ("session", "session_id")):
                if attribute in attributes:
                    places.append(by[name][attributes[attribute]])
        if call.scope:
            places.append(balances[str(call.scope)])
        for totals in places:
            _add_call(totals, call, error)
    result = dict(whole)
    result.update({"by_" + name: dict(sorted(table.items())) for name, table in by.items()})
    result["by_model"] = {provider: dict(sorted(models.items())) for provider, models in sorted(by_model.items())}
    result["balances_by_scope"] = dict(sorted(balances.items()))
    return result


# -------------------------------------------------------------------------------------- sections 6 to 9

_FRAME = struct.Struct("<8sQIIII16sQII")
_SECTION = struct.Struct("<IIQQQ")
_ROW = struct.Struct("<IIIBBH12qQq")
_SUM = struct.Struct("<iIII10qQq")
_HISTOGRAM = struct.Struct("<6I")
_BUCKET = struct.Struct("<IIq")
_SEGMENT = struct.Struct("<16sQqIIIIQQ16s")
_RUN = struct.Struct("<II")
_DAY = struct.Struct("<iIQQQq")
_LAST = struct.Struct("<16sIIII48sIIq16s")
_FILE = struct.Struct("<IIQQiI")
_PRICE = struct.Struct("<IIBBB5s6q")
_ID = struct.Struct("<16sQq")

_KINDS = {b"ULFACTS\n": "facts", b"ULCHECK\n": "checkpoint", b"ULIDSET\n": "ids", b"ULPRICE\n": "prices"}
_COMMON_SECTIONS = {1: 64, 2: 8, 3: 1}
_SECTIONS = {
    "facts": {**_COMMON_SECTIONS, 4: 128, 5: 112, 6: 24, 7: 16},
    "checkpoint": {**_COMMON_SECTIONS, 4: 128, 6: 24, 7: 16, 16: 80, 17: 8, 18: 40, 19: 112, 20: 112, 21: 32, 22: 112, 23: 112,
                   24: 112},
    "ids": {**_COMMON_SECTIONS, 32: 32},
    "prices": {**_COMMON_SECTIONS, 40: 64},
}
RECENT_DAYS, HOUR_DAYS = 31, 30
_OPTIONAL = {"ids": (2, 3)}  # may be missing, both together
_ROW_NAMES = ("calls", *_TOKENS, "unknown_tokens", "latency_calls", "latency_sum_us", "ttft_calls", "ttft_sum_us",
              "cost_pico_usd")
_SUM_NAMES = ("calls", "errors", *_TOKENS, "unknown_tokens", "unpriced_calls", "cost_pico_usd")


def i128(low, high):
    return (high << 64) + low


def _need(holds, why):
    if not holds:
        raise LogError(why)


def _rising(keys, what):
    for number, (before, after) in enumerate(itertools.pairwise(keys), 1):
        _need(before < after, f"{what}: record {number} does not rise")


class Row(NamedTuple):
    provider: str
    model: str
    dimensions: str
    price: int
    band: int
    scope: int
    sums: tuple  # in the order of _ROW_NAMES


class Container:
    """A valid fact file, checkpoint, id set or price table. `remarks` are rules broken that its validity does not hang on."""

    def __init__(self, data):
        self.remarks = []
        self._data = data
        self._frame(data)
        self._read_strings()
        getattr(self, "_read_" + self.kind)()

    def _frame(self, data):
        _need(len(data) >= _FRAME.size, "shorter than its frame")
        magic, checksum, version, self.compatible, self.read_compatible, incompatible, self.log_id, size, count, zero = \
            _FRAME.unpack_from(data)
        self.kind, self.checksum = _KINDS.get(magic), checksum
        _need(self.kind, "no magic")
        _need(checksum == xxh3(memoryview(data)[16:]), "the checksum disagrees")
        if version > 1 or incompatible:
            raise NewerError("a newer program wrote it")
        _need(version == 1, f"version {version}")
        _need(size == len(data), "the size disagrees")
        _need(zero == 0, "a reserved field is not zero")
        _need(count <= 64, "more than 64 sections")
        self._read_table(data, count)

    def _read_table(self, data, count):
        at = _FRAME.size + _SECTION.size * count
        _need(at <= len(data), "shorter than its section table")
        self._sections, newer, before = {}, [], -1
        for number in range(count):
            kind, record, offset, records, zero = _SECTION.unpack_from(data, _FRAME.size + _SECTION.size * number)
            _need(kind > before, "the section types do not rise")
            _need(zero == 0, f"section {kind}: a reserved field is not zero")
            _need(record, f"section {kind}: records of no bytes")
            at = self._skip_zeros(data, at)
            end = offset + record * records
            _need(offset == at and end <= len(data), f"section {kind}: not where it should be")
            expected = _SECTIONS[self.kind].get(kind)
            if expected is None and kind >= 1000:
                newer.append(kind)
            _need(expected in (None, record), f"section {kind}: records of {record} bytes")
            self._sections[kind] = (offset, end, records)
            before, at = kind, end
        _need(self._skip_zeros(data, at) == len(data), "bytes after the last section")
        if newer:
            raise NewerError(f"section type {newer[0]}: a newer program wrote it")
        for kind in _SECTIONS[self.kind]:
            _need(kind in self._sections or kind in _OPTIONAL.get(self.kind, ()), f"section {kind} is missing")
        _need((2 in self._sections) == (3 in self._sections), "section 2 without 3, or 3 without 2")
        _need(self._sections[1][2] == 1, "not one meta record")
        self.unknown_sections = [kind for kind in self._sections if kind not in _SECTIONS[self.kind]]

    @staticmethod
    def _skip_zeros(data, at):
        end = at + -at % 8
        _need(end <= len(data) and not any(data[at:end]), "no zeros between sections")
        return end

    def _bytes(self, kind):
        begin, end, _ = self._sections.get(kind, (0, 0, 0))
        return self._data[begin:end]

    def _records(self, kind, layout):
        return list(layout.iter_unpack(self._bytes(kind)))

    def _read_strings(self):
        text, at, self.raw_strings = self._bytes(3), 0, []
        for offset, length in struct.iter_unpack("<II", self._bytes(2)):
            _need(offset == at, "the strings do not follow each other")
            at += length
            _need(at <= len(text), "a string leaves its section")
            self.raw_strings.append(text[offset:at])
        _need(at == len(text), "bytes after the last string")
        _rising(self.raw_strings, "strings")
        self.strings = [raw.decode("utf-8", "backslashreplace") for raw in self.raw_strings]
        self._not_utf8 = set()
        for number, raw in enumerate(self.raw_strings):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                self._not_utf8.add(number)
                self._remark(f"string {number} is not UTF-8")

    def _remark(self, text):
        if len(self.remarks) < FAULTS_MAX:
            self.remarks.append(text)

    def _string(self, index, what):
        _need(index < len(self.strings), f"{what}: no string {index}")
        return self.strings[index]

    def _canonical(self, index, what):
        text = self._string(index, what)
        _need(index not in self._not_utf8 and parse_context(text), f"{what}: string {index} is no canonical context")
        return text

    def _name(self, index, what, or_empty=False):
        text = self._string(index, what)
        good = index not in self._not_utf8 and is_name(text)
        _need(good or (or_empty and not text), f"{what}: string {index} is no name")
        return text

    def _attribute(self, index, what):
        text = self._string(index, what)
        good = index not in self._not_utf8 and 0 < len(text.encode()) <= TEXT_BYTES_MAX and not _CONTROL.search(text)
        _need(good, f"{what}: string {index} is no attribute")
        return text

    def _row(self, record, what, reduced=False):
        provider, model, dims, price, band, scope, *sums, low, high = record
        _need(price <= 2, f"{what}: price class {price}")
        _need(band <= 5, f"{what}: prompt band {band}")
        _need(scope <= 3, f"{what}: scope {scope}")
        row = Row(self._name(provider, what), self._name(model, what), self._canonical(dims, what), price, band, scope,
                  (*sums, i128(low, high)))
        if reduced and reduced_dimensions(row.dimensions) != row.dimensions:
            self._remark(f"{what}: string {dims} is not reduced")
        _need(not (reduced and band), f"{what}: prompt band {band} where it is 0")
        if not any(row.sums):
            self._remark(f"{what}: a row of zeros")
        if scope and band:
            self._remark(f"{what}: prompt band {band} where it is 0")
        if scope and (any(row.sums[1:7]) or any(row.sums[8:12])):
            self._remark(f"{what}: counts of calls in a row of balances")
        if not scope and row.sums[7]:
            self._remark(f"{what}: tokens of unknown kind in a row of calls")
        if price == 2 and row.sums[12]:
            self._remark(f"{what}: a cost in an unpriced row")
        return row

    def _read_facts(self):
        self.day, self.prices, self.generation, self.settings, zeros = struct.unpack("<iIQQ40s", self._bytes(1))
        _need(not any(zeros), "meta: a reserved field is not zero")
        records = self._records(4, _ROW)
        _rising([record[:6] for record in records], "rows")
        self.rows = [self._row(record, f"row {number}") for number, record in enumerate(records)]
        self.quarters = self._read_quarters()
        self._read_histograms()

    def _read_quarters(self):
        """Quarters by (quarter, provider, model, band of the price key + 1, service tier of it)."""
        keys = [record[3] for record in self._records(5, _SUM)]
        sums = self._read_sums(5, "quarter", self._name, with_price_key=True)
        quarters = {}
        for number, ((quarter, provider, model, key), values) in enumerate(sums.items()):
            here = f"quarter {number}"
            _need(key >> 28 <= 6 and (key == 0 or key >> 28), f"{here}: price key {key:#x}")
            tier = self._name(keys[number] & SLOT_MASK, here, or_empty=True) if key else ""
            quarters[quarter, provider, model, key >> 28, tier] = values
        return quarters

    def _read_sums(self, kind, what, name, with_price_key=False):
        """The sums of a section by (number, first, second), in a quarter (.., price key); `name` reads an index."""
        sums = {}
        records = self._records(kind, _SUM)
        _rising([record[:4] for record in records], what)
        for record, (number, first, second, price_key, *values, low, high) in enumerate(records):
            here = f"{what} {record}"
            _need(with_price_key or price_key == 0, f"{here}: a reserved field is not zero")
            values = (*values, i128(low, high))
            if not any(values):
                self._remark(f"{here}: all is zero")
            sums[(number, name(first, here), name(second, here), *([price_key] if with_price_key else []))] = values
        return sums

    def _empty(self, index, what):
        _need(not self._string(index, what), f"{what}: string {index} is not empty")
        return ""

    def _read_histograms(self):
        self.buckets = {}
        records, buckets = self._records(6, _HISTOGRAM), self._records(7, _BUCKET)
        _rising([record[:4] for record in records], "histograms")
        at = 0
        for number, (provider, model, operation, measure, first, count) in enumerate(records):
            what = f"histogram {number}"
            _need(measure in (1, 2), f"{what}: measure {measure}")
            _need(first == at and first + count <= len(buckets), f"{what}: its buckets are not where they should be")
            at += count
            key = self._name(provider, what), self._name(model, what), self._name(operation, what, or_empty=True), measure
            mine = buckets[first:at]
            _rising([bucket for bucket, _, _ in mine], f"{what}: buckets")
            if not mine:
                self._remark(f"{what}: no bucket")
            for bucket, zero, value in mine:
                _need(zero == 0, f"{what}: a reserved field is not zero")
                _need(bucket <= BUCKET_MAX, f"{what}: bucket {bucket}")
                if not value:
                    self._remark(f"{what}: bucket {bucket} is zero")
                self.buckets[(*key, bucket)] = value
        _need(at == len(buckets), "buckets that no histogram names")

    def _read_checkpoint(self):
        self.generation, self.settings, self.base_generation, self.newest_ns, zeros = \
            struct.unpack("<QQQq32s", self._bytes(1))
        _need(not any(zeros), "meta: a reserved field is not zero")
        self._read_segments()
        self.days = {}
        records = self._records(18, _DAY)
        _rising([record[0] for record in records], "days")
        for day, prices, generation, size, checksum, calls in records:
            self.days[day] = {"generation": generation, "bytes": size, "checksum": checksum, "calls": calls, "prices": prices}
        records = self._records(4, _ROW)
        _rising([record[:6] for record in records], "rows")
        self.rows = [self._row(record, f"row {number}", reduced=True) for number, record in enumerate(records)]
        self._read_histograms()
        self.day_sums = self._read_sums(19, "day's sum", self._empty)
        self.recent = self._read_sums(22, "model's sum", self._name)
        self.hours = self._read_sums(23, "hour", self._empty)
        self.attributes = self._read_sums(24, "attribute", self._attribute)
        _need(not any(key[0] for key in self.attributes), "an attribute with a number")
        self._read_last_calls()
        self.files = []
        records = self._records(21, _FILE)
        _rising([record[:2] for record in records], "files")
        for number, (kind, name, size, checksum, since, zero) in enumerate(records):
            _need(zero == 0 and (kind == 2 or since == 0), f"file {number}: a reserved field is not zero")
            _need(kind in (1, 2), f"file {number}: kind {kind}")
            self.files.append({"kind": kind, "name": self._string(name, f"file {number}"), "bytes": size,
                               "checksum": checksum, "since": since})

    def _read_segments(self):
        self.segments, at = {}, 0
        records, runs = self._records(16, _SEGMENT), self._records(17, _RUN)
        _rising([record[0] for record in records], "segments")
        for segment_id, size, calls, first, count, state, zero, attempted, dropped, zeros in records:
            what = f"segment {segment_id.hex()}"
            _need(not zero and not any(zeros), f"{what}: a reserved field is not zero")
            _need(state <= 1, f"{what}: state {state}")
            _need(first == at and first + count <= len(runs), f"{what}: its runs are not where they should be")
            at += count
            mine = runs[first:at]
            for begin, length in mine:
                _need(begin and length, f"{what}: a run of no slots")
                _need(begin + length <= 1 << 28, f"{what}: a run beyond 2^28")
                if begin + length > size // SLOT:
                    self._remark(f"{what}: a run leaves the segment")
            for (begin, length), (following, _) in itertools.pairwise(mine):
                _need(begin + length < following, f"{what}: its runs touch or do not rise")
            self.segments[segment_id.hex()] = {"size": size, "calls": calls, "pruned": bool(state & 1),
                                               "attempted": attempted, "dropped": dropped, "runs": mine}
        _need(at == len(runs), "runs that no segment names")

    def _read_last_calls(self):
        self.last_calls, keys = [], []
        records = self._records(20, _LAST)
        _need(len(records) <= LAST_CALLS, "more than 1,000 last calls")
        for number, (segment, slot, provider, model, context, body, flags, priced, cost, call_id) in enumerate(records):
            what = f"last call {number}"
            _need(priced <= 1 and (priced or not cost), f"{what}: a reserved field is not zero")
            _need(not priced or flags & FLAG_UNPRICED, f"{what}: priced, though its cost was given")
            _need(flags <= 15, f"{what}: flags {flags}")
            text = self._canonical(context, what)
            if flags & FLAG_RESERVED:
                self._remark(f"{what}: flags {flags}")
            keys.append((_CALL.unpack(body)[0], segment, slot))
            self.last_calls.append((segment.hex(), slot, self._name(provider, what), self._name(model, what), text, body,
                                    flags, call_id if any(call_id) else None, cost if priced else None))
        _rising(keys, "last calls")

    def _read_prices(self):
        """`prices`: by name, its provider and its prices by (service, band)."""
        self.generation, self.since, self.replaces, self.source, zeros = struct.unpack("<QiIQ40s", self._bytes(1))
        _need(not any(zeros) and self.replaces <= 1, "meta: a reserved field is not zero")
        records, self.prices, before = self._records(40, _PRICE), {}, (-1,)
        for number, (name, provider, service, first, last, zeros, *prices) in enumerate(records):
            what = f"price {number}"
            _need(service <= 3 and first <= last <= 5, f"{what}: service {service}, bands {first} to {last}")
            _need(not any(zeros), f"{what}: a reserved field is not zero")
            _need(all(0 <= price <= 1 << 53 for price in prices), f"{what}: prices {prices}")
            _need((name, service, first) > before, f"{what}: does not rise")
            before = name, service, last
            whose, of_name = self.prices.setdefault(self._name(name, what), (self._name(provider, what, or_empty=True), {}))
            _need(whose == self.strings[provider], f"{what}: a model of two providers")
            for band in range(first, last + 1):
                of_name[service, band] = tuple(prices)

    def find_price(self, provider, model, tier, band):
        """The six prices of a call (section 14), or None."""
        service = _SERVICES.get(tier.lower() if tier.isascii() else tier)
        family = family_of(provider)
        before, slash, rest = model.partition("/")
        names = [model] if self._is_of(model, family) else []
        names += [f"{name}/{model}" for name in (provider, family, *_FAMILIES.get(family, ()))]
        if slash and family_of(before) == family and self._is_of(rest, family):
            names.append(rest)
        for name in (*names, model):
            if name in self.prices:
                return None if service is None else self.prices[name][1].get((service, band))
        return None

    def _is_of(self, name, family):
        return name in self.prices and family_of(self.prices[name][0]) == family

    def _read_ids(self):
        self.generation, zeros = struct.unpack("<Q56s", self._bytes(1))
        _need(not any(zeros), "meta: a reserved field is not zero")
        records = self._records(32, _ID)
        _rising([record[0] for record in records], "ids")
        for call_id, _, stands in records:
            _need(stands in (0, 1), f"id {call_id.hex()}: stands {stands}")
        self.ids = {call_id: (content, stands) for call_id, content, stands in records}

    def as_json(self):
        result = {"status": "valid", "kind": self.kind, "log_id": self.log_id.hex(), "checksum": f"{self.checksum:016x}",
                  "generation": self.generation, "unknown_sections": self.unknown_sections, "remarks": self.remarks}
        result.update(getattr(self, "_json_" + self.kind)())
        return result

    def _json_prices(self):
        return {"since": day_text(self.since), "replaces": bool(self.replaces), "source": f"{self.source:016x}",
                "prices": [{"name": name, "provider": provider, "service": service, "band": band, "pico_usd": prices}
                           for name, (provider, of_name) in self.prices.items() for (service, band), prices in of_name.items()]}

    @staticmethod
    def _json_row(row):
        return {**dict(zip(("provider", "model", "dimensions", "price_class", "prompt_band", "scope"), row)),
                **dict(zip(_ROW_NAMES, row.sums))}

    def _json_facts(self):
        return {
            "day": day_text(self.day), "settings": f"{self.settings:016x}", "prices": self.prices,
            "rows": [self._json_row(row) for row in self.rows],
            "quarters": self._json_sums(self.quarters, ("quarter", "provider", "model", "price_band", "service_tier")),
            "buckets": self._json_buckets(),
        }

    @staticmethod
    def _json_sums(sums, names):
        return [{**{name: value for name, value in zip(names, key) if name}, **dict(zip(_SUM_NAMES, values))}
                for key, values in sums.items()]

    def _json_buckets(self):
        return [dict(zip(("provider", "model", "operation", "measure", "bucket", "count"), (*key, value)))
                for key, value in self.buckets.items()]

    def _json_checkpoint(self):
        return {
            "settings": f"{self.settings:016x}", "base_generation": self.base_generation, "newest_ns": self.newest_ns,
            "segments": self.segments,
            "days": {day_text(day): {**entry, "checksum": f"{entry['checksum']:016x}"}
                     for day, entry in self.days.items()},
            "rows": [self._json_row(row) for row in self.rows],
            "buckets": self._json_buckets(),
            "day_sums": self._json_sums({(day_text(key[0]), *key[1:]): sums for key, sums in self.day_sums.items()},
                                        ("day", None, None)),
            "recent": self._json_sums({(day_text(key[0]), *key[1:]): sums for key, sums in self.recent.items()},
                                      ("day", "provider", "model")),
            "hours": self._json_sums(self.hours, ("quarter", None, None)),
            "attributes": self._json_sums(self.attributes, (None, "attribute", "value")),
            "last_calls": [dict(zip(("segment", "slot", "provider", "model", "context", "body", "flags", "call_id", "priced"),
                                    (*call[:5], call[5].hex(), call[6], call[7].hex() if call[7] else None, call[8])))
                           for call in self.last_calls],
            "files": [{**file, "checksum": f"{file['checksum']:016x}"} for file in self.files],
        }

    def _json_ids(self):
        return {"ids": [{"id": key.hex(), "content": f"{content:016x}", "stands": stands}
                        for key, (content, stands) in self.ids.items()]}


def parse_container(data):
    """A Container; LogError if it is not valid, NewerError if it is to be refused."""
    return Container(bytes(data))


def read_container(path):
    data = read_regular(path, CONTAINER_BYTES_MAX)
    try:
        return parse_container(data)
    except NewerError as error:
        raise NewerError(f"{path}: {error}") from None
    except LogError as error:
        raise LogError(f"{path}: {error}") from None


# --------------------------------------------------------------------------------------------- facts

_BAND_LIMITS = (128_000, 200_000, 256_000, 272_000, 512_000)


# Names of one provider (section 14).
_FAMILIES = {
    "anthropic": ("anthropic_text",),
    "azure": ("azure.ai.openai", "azure_openai", "azure_text"),
    "azure_ai": ("azure.ai.inference",),
    "bedrock": ("aws.bedrock", "amazon_bedrock", "bedrock_converse"),
    "cohere": ("cohere_chat",),
    "fireworks_ai": ("fireworks",),
    "gemini": ("gcp.gemini", "gcp.gen_ai", "google", "google_ai_studio"),
    "mistral": ("mistral_ai",),
    "moonshot": ("moonshot_ai",),
    "openai": ("text-completion-openai",),
    "together_ai": ("together",),
    "vertex_ai": ("gcp.vertex_ai", "vertex_ai_beta"),
    "watsonx": ("ibm.watsonx.ai", "watsonx_text"),
    "xai": ("x_ai",),
}
_FAMILY_OF = {alias: family for family, aliases in _FAMILIES.items() for alias in aliases}
_SERVICES = {"": 0, "standard": 0, "default": 0, "auto": 0, "on_demand": 0, "batch": 1, "batches": 1, "flex": 2, "priority": 3}


def family_of(provider):
    if provider.startswith("vertex_ai-"):
        return "vertex_ai"
    return _FAMILY_OF.get(provider, provider)


def cost_at(prices, tokens):
    """What tokens cost in pico-USD: input, cache read, writes of 5 min and 1 h, output without reasoning, reasoning."""
    counts = (*tokens[:4], tokens[4] - tokens[5], tokens[5])
    return sum(count * price for count, price in zip(counts, prices))


def prompt_band(tokens):
    """The band of a prompt, by its input and cache tokens (section 7)."""
    return bisect.bisect_left(_BAND_LIMITS, sum(tokens[:4]))


def bucket_of(value_us):
    """The histogram's bucket of a value (section 7)."""
    if value_us < 128:
        return value_us
    s = value_us.bit_length() - 1 - 6
    return 64 * s + (value_us >> s)


class Fold:
    """What the fact files and the checkpoint should say, summed from calls."""

    def __init__(self, zone, group_by, tables=None):
        self.zone = zone
        self.tables = tables or {}  # a price table by day
        self.group_by = frozenset(group_by)
        self.rows = defaultdict(lambda: [0] * len(_ROW_NAMES))
        self.totals = defaultdict(lambda: [0] * len(_ROW_NAMES))
        self.quarters = defaultdict(lambda: [0] * len(_SUM_NAMES))
        self.attributes = defaultdict(lambda: [0] * len(_SUM_NAMES))
        self.days = set()
        self.buckets = defaultdict(int)
        self.day_calls = defaultdict(int)
        self.segment_calls = defaultdict(int)
        self.newest_ns = None
        self.calls = []

    def add(self, call):
        sign = -1 if call.kind == "reversal" else 1
        day = self.zone.day(call.time_ns)
        self.days.add(day)
        dims = dimensions(call.context, self.group_by)
        attributes = parse_context(dims).attributes
        price, cost = self.price(day, call)
        calls, cost = sign * call.calls, sign * cost
        tokens = [sign * count for count in call.tokens]
        unknown = sign * call.unknown_tokens
        known, streamed = call.latency_us is not None, call.ttft_us is not None
        sums = (calls, *tokens, unknown, sign if known else 0, sign * call.latency_us if known else 0,
                sign if streamed else 0, sign * call.ttft_us if streamed else 0, cost)
        _accumulate(self.rows[day, call.provider, call.model, dims, price,
                              0 if call.scope else prompt_band(call.tokens), call.scope], sums)
        _accumulate(self.totals[call.provider, call.model, reduced_dimensions(dims), price, 0, call.scope], sums)
        sums = (calls, calls if "error_type" in attributes else 0, *tokens, unknown, calls if price == 2 else 0, cost)
        if call.scope != 2:
            key = (prompt_band(call.tokens) + 1, attributes.get("service_tier", "")) if call.unpriced and not call.scope else (0, "")
            self.day_calls[day] += calls
            _accumulate(self.quarters[(day, call.time_ns // QUARTER_NS, call.provider, call.model, *key)], sums)
        if call.scope != 1:
            for pair in attributes_of(dims):
                _accumulate(self.attributes[(0, *pair)], sums)
        if call.scope:
            return
        for measure, value in ((1, call.latency_us), (2, call.ttft_us)):
            if value is not None:
                self.buckets[day, call.provider, call.model, attributes.get("operation", ""), measure,
                             bucket_of(value)] += sign
        self.segment_calls[call.segment] += 1
        self.newest_ns = call.time_ns if self.newest_ns is None else max(self.newest_ns, call.time_ns)
        self.calls.append(call)


    def price(self, day, call):
        """Price class and cost of a call (section 14)."""
        if not call.unpriced:
            return 0, call.cost_pico_usd
        table = self.tables.get(day)
        if call.scope or table is None:
            return 2, 0
        tier = parse_context(call.context).attributes.get("service_tier", "")
        prices = table.find_price(call.provider, call.model, tier, prompt_band(call.tokens))
        return (1, cost_at(prices, call.tokens)) if prices else (2, 0)

    def newest_from(self, count):
        """The day from which on the newest `count` days are."""
        return sorted(self.days)[-count:][0] if self.days else 0

    def sums(self):
        """The sections 19, 22 and 23 of the checkpoint, in this order: all of them are summed from quarters."""
        tables = [defaultdict(lambda: [0] * len(_SUM_NAMES)) for _ in range(3)]
        recent_from, hours_from = self.newest_from(RECENT_DAYS), self.newest_from(HOUR_DAYS)
        for (day, quarter, provider, model, _, _), values in self.quarters.items():
            hour = self.zone.hour(quarter)
            _accumulate(tables[0][day, "", ""], values)
            if day >= recent_from:
                _accumulate(tables[1][day, provider, model], values)
            if self.zone.day(hour * QUARTER_NS) >= hours_from:
                _accumulate(tables[2][hour, "", ""], values)
        return tables


def _accumulate(into, values):
    for at, value in enumerate(values):
        into[at] += value


def call_content(call):
    """The content of a call as an id set names it (section 9)."""
    return xxh3(b"\0".join((call.provider.encode(), call.model.encode(), call.context.encode(), call.body)))


class FactsCheck:
    """Compares a log's checkpoint and fact files with the slots that the checkpoint names."""

    def __init__(self, path):
        self.differences = []
        self.notes = []
        # Before the slots: what a checkpoint names was committed before it, so that a fold meanwhile does no harm.
        self.checkpoint = read_container(os.path.join(path, "checkpoint"))
        self.log = read_log(path)
        if self.checkpoint.kind != "checkpoint":
            raise LogError("checkpoint: a container of another kind")
        self.fold = Fold(self.log.zone, self.log.conf.group_by, self._price_tables(path))
        self.rows, self.quarters, self.buckets = {}, {}, {}
        self.day_rows = defaultdict(int)
        self._run()

    def _price_tables(self, path):
        """The price table of each day that names one."""
        tables = {}
        for file in self.checkpoint.files:
            if file["kind"] != 2:
                continue
            try:
                table = read_container(os.path.join(path, file["name"]))
            except (LogError, OSError) as error:
                self._differs(f"{file['name']}: {error}")
                continue
            if table.kind != "prices" or file["name"] != f"{table.generation}.prices" or table.log_id != self.checkpoint.log_id:
                self._differs(f"{file['name']}: not this price table of this log")
                continue
            self._equal(f"{file['name']}: bytes", file["bytes"], os.path.getsize(os.path.join(path, file["name"])))
            self._equal(f"{file['name']}: checksum", file["checksum"], table.checksum)
            self._equal(f"{file['name']}: since", file["since"], table.since)
            tables[table.generation] = table
        for day, entry in self.checkpoint.days.items():
            if entry["prices"] and entry["prices"] not in tables:
                self._differs(f"day {day_text(day)}: names price table {entry['prices']}, which is not there")
        return {day: tables.get(entry["prices"]) for day, entry in self.checkpoint.days.items()}

    def _differs(self, text):
        self.differences.append(text)

    def _equal(self, what, stored, expected):
        if stored != expected:
            self._differs(f"{what}: stored {stored}, from the slots {expected}")

    def _run(self):
        if self.checkpoint.log_id != self.log.conf.log_id:
            self._differs("checkpoint: another log's")
        if self.checkpoint.settings != self.log.conf.settings:
            self._differs("checkpoint: its settings are not those of log.conf")
        self.differences += [f"checkpoint: {remark}" for remark in self.checkpoint.remarks]
        for key, entry in self.checkpoint.segments.items():
            self._take_segment(key, entry)
        for key in sorted(set(self.log.segments) - set(self.checkpoint.segments)):
            self.notes.append(f"segment {key}: nothing of it is folded")
        for day, entry in self.checkpoint.days.items():
            self._take_day(day, entry)
        self._compare()
        self._compare_last_calls()
        self._compare_files()

    def _take_segment(self, key, entry):
        segment = self.log.segments.get(key)
        if segment is None:
            state = "pruned" if entry["pruned"] else "missing"
            self._differs(f"segment {key}: {state}, its {entry['calls']} calls cannot be folded anew")
            return
        self._equal(f"segment {key}: size", entry["size"], segment.header.size)
        slots = [call.slot for call in segment.calls]
        folded = 0
        for begin, count in entry["runs"]:
            valid = bisect.bisect_left(segment.valid_slots, begin + count) - bisect.bisect_left(segment.valid_slots, begin)
            folded += valid
            if valid != count:
                self._differs(f"segment {key}: {count - valid} slots of the run {begin}+{count} are not valid")
            for call in segment.calls[bisect.bisect_left(slots, begin):bisect.bisect_left(slots, begin + count)]:
                self.fold.add(call)
        self._equal(f"segment {key}: calls folded", entry["calls"], self.fold.segment_calls[key])
        if folded != len(segment.valid_slots):
            self.notes.append(f"segment {key}: {len(segment.valid_slots) - folded} valid slots are not folded yet")
        for name, now in (("attempted", segment.state["attempted"]), ("dropped", sum(segment.state["dropped"] or ()))):
            if now is not None and entry[name] > now:
                self._differs(f"segment {key}: {name} {entry[name]}, more than the segment says ({now})")

    def _take_day(self, day, entry):
        name = f"{day_text(day)}.{entry['generation']}.facts"
        try:
            facts = read_container(os.path.join(self.log.path, name))
            size = os.path.getsize(os.path.join(self.log.path, name))
        except (LogError, OSError) as error:
            self._differs(f"{name}: {error}")
            return
        if facts.kind != "facts":
            self._differs(f"{name}: a container of another kind")
            return
        for what, stored, expected in (
                ("bytes", size, entry["bytes"]), ("checksum", facts.checksum, entry["checksum"]),
                ("day", facts.day, day), ("prices", facts.prices, entry["prices"]), ("generation", facts.generation, entry["generation"]),
                ("settings", facts.settings, self.checkpoint.settings), ("log id", facts.log_id, self.log.conf.log_id)):
            if stored != expected:
                self._differs(f"{name}: {what} {stored}, the checkpoint says {expected}")
        self.differences += [f"{name}: {remark}" for remark in facts.remarks]
        for row in facts.rows:
            self.rows[(day, *row[:6])] = row.sums
            if row.scope != 2:
                self.day_rows[day] += row.sums[0]
        for key, values in facts.quarters.items():
            self.quarters[(day, *key)] = values
        for key, value in facts.buckets.items():
            self.buckets[(day, *key)] = value

    def _compare(self):
        expected = self.fold
        self._compare_tables("row", self.rows, expected.rows, _ROW_NAMES)
        totals = {row[:6]: row.sums for row in self.checkpoint.rows}
        self._compare_tables("total", totals, expected.totals, _ROW_NAMES)
        reduced = defaultdict(lambda: [0] * len(_ROW_NAMES))
        for (_, provider, model, dims, price, _, scope), sums in self.rows.items():
            _accumulate(reduced[provider, model, reduced_dimensions(dims), price, 0, scope], sums)
        self._compare_tables("total against the fact files", totals, reduced, _ROW_NAMES)
        buckets = defaultdict(int)
        for key, value in expected.buckets.items():
            buckets[key[1:]] += value
        self._compare_tables("total bucket", {key: (value,) for key, value in self.checkpoint.buckets.items()},
                             {key: (value,) for key, value in buckets.items()}, ("count",))
        tables = [("quarter", self.quarters, expected.quarters),
                  ("attribute", self.checkpoint.attributes, expected.attributes),
                  *zip(("day's sum", "model's sum", "hour"),
                       (self.checkpoint.day_sums, self.checkpoint.recent, self.checkpoint.hours), expected.sums())]
        for what, stored, wanted in tables:
            self._compare_tables(what, stored, wanted, _SUM_NAMES)
        self._compare_tables("bucket", {key: (value,) for key, value in self.buckets.items()},
                             {key: (value,) for key, value in expected.buckets.items()}, ("count",))
        for day in sorted(set(self.checkpoint.days) | set(expected.day_calls)):
            stored = self.checkpoint.days.get(day, {"calls": 0})["calls"]
            self._equal(f"day {day_text(day)}: calls", stored, expected.day_calls.get(day, 0))
            if day in self.day_rows and self.day_rows[day] != stored:
                self._differs(f"day {day_text(day)}: calls {stored}, its fact file's rows {self.day_rows[day]}")
        self._equal("newest call", self.checkpoint.newest_ns, expected.newest_ns or 0)

    def _compare_tables(self, what, stored, expected, names):
        zeros = (0,) * len(names)
        for key in sorted(set(stored) | set(expected)):
            have, want = tuple(stored.get(key, zeros)), tuple(expected.get(key, zeros))
            if have != want:
                fields = ", ".join(f"{name} {a} for {b}" for name, a, b in zip(names, have, want) if a != b)
                self._differs(f"{what} {json.dumps(key, ensure_ascii=False)}: {fields}")

    def _compare_last_calls(self):
        """The list depends on the order of folding once a reversal has made room in it, so that what is asked of it is
        what holds in any order: no strangers, none that was surely taken back, and none of the newest missing."""
        reversals, reversed_count = defaultdict(list), 0
        for call in self.fold.calls:
            if call.kind == "reversal":
                reversed_count += 1
                if call.call_id:
                    reversals[call.call_id].append(call)
        standing, perhaps = {}, {}
        for call in self.fold.calls:
            if call.kind != "call":
                continue
            key = call.time_ns, call.segment, call.slot
            taken_back = reversals.get(call.call_id, ()) if call.call_id else ()
            if not taken_back:
                standing[key] = call
            elif not any(back.segment == call.segment and back.slot > call.slot for back in taken_back):
                perhaps[key] = call
        stored = set()
        for segment, slot, provider, model, context, body, flags, call_id, priced in self.checkpoint.last_calls:
            key = _CALL.unpack(body)[0], segment, slot
            stored.add(key)
            call = standing.get(key) or perhaps.get(key)
            if call is None:
                self._differs(f"last call {segment} slot {slot}: not a folded call that stands")
            elif (provider, model, context, body, flags, call_id) != \
                    (call.provider, call.model, call.context, call.body, call.flags, call.call_id):
                self._differs(f"last call {segment} slot {slot}: not as in its slot")
            elif priced != self._priced(call):
                self._differs(f"last call {segment} slot {slot}: priced {priced}, by its day's table {self._priced(call)}")
        certain = max(0, LAST_CALLS - reversed_count)
        newest = sorted({**standing, **perhaps}, reverse=True)[:certain]
        for key in newest:
            if key in standing and key not in stored:
                self._differs(f"last call {key[1]} slot {key[2]}: missing from the list")

    def _priced(self, call):
        """What the list says of a call's price: None if its cost was given, or it has none, or one beyond the field."""
        price, cost = self.fold.price(self.log.zone.day(call.time_ns), call)
        return cost if price == 1 and -1 << 63 <= cost < 1 << 63 else None

    def _compare_files(self):
        ids, named = {}, False
        for file in sorted((f for f in self.checkpoint.files), key=lambda f: (f["kind"], _generation(f["name"]))):
            path = os.path.join(self.log.path, file["name"])
            if os.path.basename(file["name"]) != file["name"]:
                self._differs(f"{file['name']}: not a name in the log's directory")
                continue
            if file["kind"] != 1:
                continue
            named = True
            try:
                container = read_container(path)
            except LogError as error:
                self._differs(f"{file['name']}: {error}")
                continue
            if container.kind != "ids" or container.log_id != self.log.conf.log_id:
                self._differs(f"{file['name']}: not an id set of this log")
                continue
            self._equal(f"{file['name']}: bytes", file["bytes"], os.path.getsize(path))
            self._equal(f"{file['name']}: checksum", file["checksum"], container.checksum)
            ids.update(container.ids)
        self._compare_ids(ids, named)

    def _compare_ids(self, ids, named):
        counts, contents = defaultdict(int), defaultdict(set)
        for call in self.fold.calls:
            if call.call_id:
                counts[call.call_id] += -1 if call.kind == "reversal" else 1
                contents[call.call_id].add(call_content(call))
        if counts and not named:
            self._differs(f"{len(counts)} folded call ids, and no id set")
            return
        for call_id in sorted(counts):
            if call_id not in ids:
                self._differs(f"id {call_id.hex()}: folded, and not in the id set")
                continue
            content, stands = ids[call_id]
            if content not in contents[call_id]:
                self._differs(f"id {call_id.hex()}: its content is not that of its call")
            if stands != (1 if counts[call_id] > 0 else 0):
                self._differs(f"id {call_id.hex()}: stands {stands}, {counts[call_id]} from the slots")
        strangers = len(set(ids) - set(counts))
        if strangers:
            self._differs(f"{strangers} ids in the id set that no folded slot holds")


def _generation(name):
    match = IDS_NAME.fullmatch(name)
    return int(match[1][:20]) if match else 0


# ----------------------------------------------------------------------------------------------- CLI


def _print_json(value):
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def command_dump(path):
    for call in read_log(path).calls:
        _print_json(call.as_json())
    return 0


def command_check(path):
    _print_json(check_log(path))
    return 0


def command_totals(path):
    _print_json(totals_of(read_log(path)))
    return 0


def command_container(path):
    data = read_regular(path, CONTAINER_BYTES_MAX)
    try:
        result = parse_container(data).as_json()
    except LogError as error:
        result = {"status": "newer" if isinstance(error, NewerError) else "damaged", "error": str(error)}
    _print_json(result)
    return 0 if result["status"] == "valid" and not result["remarks"] else 1


def command_facts(path):
    check = FactsCheck(path)
    for note in check.notes:
        print("note: " + note, file=sys.stderr)
    for difference in check.differences:
        print(difference)
    if not check.differences:
        print("equal")
    return 1 if check.differences else 0


def main(arguments):
    commands = {"dump": command_dump, "check": command_check, "totals": command_totals,
                "container": command_container, "facts": command_facts}
    parser = argparse.ArgumentParser(description="An independent reader of usagelog's files.")
    parser.add_argument("command", choices=sorted(commands))
    parser.add_argument("path")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        return commands[options.command](options.path)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 2
    except (LogError, OSError) as error:
        print(f"usagelog_reader: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
