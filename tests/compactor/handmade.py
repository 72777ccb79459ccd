"""Logs written by hand, byte by byte as format/FORMAT.md says, for the tests of the compactor; and what they share."""

import fcntl
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    import jsonschema
    import xxhash
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
ORACLE = os.path.join(TOP, "tests", "oracle", "usagelog_reader.py")
PROGRAM = os.environ["USAGELOG_BIN"]
sys.path.insert(0, os.path.dirname(ORACLE))
import usagelog_reader  # noqa: E402: it stands elsewhere

PAGE, SLOT = 4096, 64
M64 = (1 << 64) - 1
LOG_ID = bytes(range(16))
UNPRICED, LATENCY_UNKNOWN, LATENCY_MS = 1 << 28, 1 << 29, 1 << 30


def sealed(value):
    return value or 1


def conf_text(zone="UTC", group_by=(), log_id=LOG_ID, fallbacks=()):
    lines = ["usagelog 1", f"log_id {log_id.hex()}", f"time_zone {zone}"]
    lines += [f"fallback {path}" for path in fallbacks]
    lines += ["summary summary.json", "retention_days 0"]
    lines += [f"group_by {key}" for key in group_by]
    text = "".join(line + "\n" for line in lines).encode()
    return text + b"checksum %016x\n" % xxhash.xxh3_64_intdigest(text)


class Segment:
    """One segment file. Slots are put where the caller says, in order from the first by default."""

    def __init__(self, directory, number, size=1 << 20, generation=0, log_id=LOG_ID, name=None, inode=None):
        self.id = number.to_bytes(6, "big") + hashlib.md5(bytes([number]) if number < 256 else number.to_bytes(6, "big")).digest()[:10]
        self.seed = xxhash.xxh3_64_intdigest(self.id)
        self.size = size
        suffix = f".{generation}.seg" if generation else ".seg"
        self.path = os.path.join(directory, name or self.id.hex() + suffix)
        pages = size // PAGE
        self.first = (3 + (pages + PAGE - 1) // PAGE) * 64
        self.next = self.first
        self.known = {}
        with open(self.path, "wb") as file:
            file.truncate(self.first * SLOT)
            inode = os.fstat(file.fileno()).st_ino if inode is None else inode
            page = struct.pack("<IIII16s16sQQI", 1, 0, 0, 0, self.id, log_id, inode, size, generation)
            page = page.ljust(PAGE - 16, b"\0")
            page = b"\x89ULSEG\r\n" + struct.pack("<Q", xxhash.xxh3_64_intdigest(page)) + page
            file.write(page + page)

    def boot(self):
        """Its writer was of this boot of the host."""
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            block = struct.pack("<Q16s", 1, bytes.fromhex(file.read().strip().replace("-", ""))).ljust(120, b"\0")
        self.write(2 * PAGE, struct.pack("<Q", sealed(xxhash.xxh3_64_intdigest(block, self.seed))) + block)

    def write(self, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def put(self, tag, word, body, slot=None):
        slot = self.next if slot is None else slot
        data = struct.pack("<II", tag, word) + body
        assert len(data) == 56
        seed = (self.seed + slot * 0x9E3779B97F4A7C15) & M64
        self.write(slot * SLOT, struct.pack("<Q", sealed(xxhash.xxh3_64_intdigest(data, seed))) + data)
        self.next = max(self.next, slot + 1)
        return slot

    def define(self, text_class, text):
        if (text_class, text) in self.known:
            return self.known[text_class, text]
        chunks = [text[at:at + 48] for at in range(0, len(text), 48)]
        following = 0
        for number in range(len(chunks) - 1, 0, -1):
            following = self.put(3 << 28 | following, 48 * number, chunks[number].ljust(48, b"\0"))
        slot = self.put(2 << 28 | following, text_class << 28 | len(text), chunks[0].ljust(48, b"\0"))
        self.known[text_class, text] = slot
        return slot

    def model(self, provider, model):
        return self.define(1, provider.encode() + b"\0" + model.encode())

    def context(self, **attributes):
        if not attributes:
            return 0
        return self.define(2, json.dumps(attributes, sort_keys=True, separators=(",", ":")).encode())

    def call(self, time_s=1700000000.5, provider="openai", model="gpt-4o", cost=None, tokens=(100, 0, 0, 0, 50, 0), latency=None,
             ttft=0, call_id=None, reversal=False, slot=None, **attributes):
        model_slot = self.model(provider, model)
        context = self.context(**attributes)
        word = context | (UNPRICED if cost is None else 0) | (LATENCY_UNKNOWN if latency is None else 0)
        if call_id is not None:
            if self.next % 64 == 63:
                self.put(7 << 28, 0, bytes(48))
            self.put(4 << 28, 0, call_id.ljust(48, b"\0"))
        body = struct.pack("<qq8I", int(time_s * 1000) * 1000000, cost or 0, *tokens, latency or 0, ttft)
        return self.put((6 if reversal else 1) << 28 | model_slot, word, body, slot)

    def balance(self, time_s, calls, tokens, cost, scope, provider="old", model="gpt-3", **attributes):
        body = struct.pack("<qqQQI12x", int(time_s) * 10**9, cost, calls, tokens, scope)
        return self.put(5 << 28 | self.model(provider, model), self.context(**(attributes or {"operation": "chat"})), body)

    def durable(self):
        """Say in the page table that all slots so far are durable."""
        for page in range(self.first // 64, (self.next - 1) // 64 + 1):
            self.write(3 * PAGE + page, bytes([min(64, self.next - page * 64)]))

    def damage(self, slot, byte=20):
        with open(self.path, "r+b") as file:
            file.seek(slot * SLOT + byte)
            old = file.read(1)
            file.seek(slot * SLOT + byte)
            file.write(bytes([old[0] ^ 0x5A]))


def fill(segment, count, start=1700000000, step=3600, seed=1):
    """Calls of many kinds, over days, the same each time."""
    state = seed
    for number in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & M64
        pick = state >> 33
        attributes = {}
        if pick % 3:
            attributes["operation"] = ("chat", "embeddings")[pick % 2]
        if pick % 11 == 0:
            attributes["error_type"] = "429"
        if pick % 4 == 0:
            attributes["metadata"] = {"user": f"u{pick % 5}", "n": number}
        segment.call(start + number * step + 0.25, model=("gpt-4o", "claude", "a model with a rather long name, longer than one slot")[pick % 3],
                     provider=("openai", "anthropic")[pick % 2], cost=None if pick % 7 == 0 else pick,
                     tokens=(pick % 300000, pick % 13, pick % 17, pick % 19, pick % 5000, pick % 3),
                     latency=None if pick % 5 == 0 else pick % 10000000, ttft=pick % 100000 if pick % 2 else 0,
                     call_id=struct.pack("<QQ", seed, number) if pick % 6 == 0 else None, **attributes)


def run(*arguments, **options):
    return subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, **options)


def oracle(*arguments):
    return subprocess.run([sys.executable, ORACLE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def container(path):
    """A valid container, as the oracle reads it: in this process, since the tests read thousands."""
    return json.loads(json.dumps(usagelog_reader.read_container(path).as_json()))


def oracle_facts(directory):
    """What the oracle finds different between the slots and the checkpoint with its fact files."""
    return usagelog_reader.FactsCheck(directory).differences


def make_another(path):
    """Of a fact file or an id set, one that is as good but for its generation: valid, of the same size and sums, and not the one that was named."""
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        meta, = struct.unpack_from("<Q", data, 64 + 8)
        data[meta + (8 if path.endswith((".facts", ".facts.base")) else 0)] += 1
        struct.pack_into("<Q", data, 8, xxhash.xxh3_64_intdigest(bytes(data[16:])))
        file.seek(0)
        file.write(data)


def normalized(value):
    """A container without what may differ between two runs: generations, and checksums and names that come from them."""
    if isinstance(value, dict):
        return {key: normalized(one) for key, one in value.items() if key not in ("generation", "checksum", "name", "file", "names")}
    if isinstance(value, list):
        return [normalized(one) for one in value]
    return value


def totals(directory):
    """All that a log's files come to: checkpoint, the facts that it names, and the summary without its time."""
    checkpoint = container(os.path.join(directory, "checkpoint"))
    facts = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".facts"):
            day, generation = name.split(".")[:2]
            if checkpoint["days"].get(day, {}).get("generation") == int(generation):
                facts[day] = normalized(container(os.path.join(directory, name)))
    with open(os.path.join(directory, "summary.json"), encoding="utf-8") as file:
        summary = json.load(file)
    del summary["last_updated"]
    del summary["log"]["generation"]
    return {"checkpoint": normalized(checkpoint), "facts": facts, "summary": summary}


def snapshot(directory):
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.join(folder, name)] = file.read()
    return found


def lock_file(path):
    """Hold the lock of FORMAT.md 3.6 on a file; closing what is returned lets go."""
    file = open(path, "r+b")
    f_ofd_setlk = 37
    fcntl.fcntl(file, f_ofd_setlk, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return file


class LogTest(unittest.TestCase):
    """A test with a log of its own."""

    zone, group_by = "UTC", ()

    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="usagelog-")
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.log = os.path.join(self.top, "log")
        os.mkdir(self.log, 0o700)
        self.write_conf(self.zone, self.group_by)

    def write_conf(self, zone, group_by=(), fallbacks=()):
        with open(os.path.join(self.log, "log.conf"), "wb") as file:
            file.write(conf_text(zone, group_by, fallbacks=fallbacks))

    def path(self, name):
        return os.path.join(self.log, name)

    def compact(self, status=0, *arguments):
        done = run("compact", "--log", self.log, *arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def verify(self, status=0, *arguments):
        done = run("verify", "--log", self.log, *arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def expect_oracle_agrees(self):
        self.assertEqual(oracle_facts(self.log), [])

    def summary(self):
        with open(self.path("summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
        with open(os.path.join(TOP, "format", "summary.schema.json"), encoding="utf-8") as file:
            jsonschema.validate(summary, json.load(file))
        return summary

    def facts_names(self):
        return sorted(name for name in os.listdir(self.log) if name.endswith(".facts"))
