"""What the members of the campaign that harm a log's files share: a filesystem of their own, a host that tells what it was promised, and what must hold
of the files afterwards."""

import argparse
import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import uuid

HOST, PROGRAM = os.environ["HOST"], os.environ["USAGELOG_BIN"]
COMMITTED, DURABLE, HELD, DROPPED, REFUSED, NOT_FLUSHED, OWN_FAULT = range(7)
TOLD = struct.Struct("<QHHI")
THREADS_MAX = 64
GOING_DOWN, WITHOUT_LOG = 0x8004587D, 2  # XFS_IOC_GOINGDOWN, and the same of ext4
PATIENCE_S = 60


class Failed(Exception):
    """Something that must hold does not."""


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def call(*command, check=True, binary=None, **options):
    """Run a program to its end. `binary`: what it reads; then what it writes are bytes, too."""
    if binary is not None:
        return subprocess.run(command, input=binary, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE_S, check=False, **options)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, **options)
    if check and done.returncode:
        raise Failed(f"{' '.join(command)}: status {done.returncode}: {done.stderr or done.stdout}")
    return done


def wait_until(holds, what):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(f"in {PATIENCE_S} s not: {what}")
        time.sleep(0.0005)


class Host:
    """A running host, and what it told so far."""

    def __init__(self, log, number, *options, environment=(), piped=False):
        """`piped`: it tells through a pipe, so that it writes to no file but the log's."""
        self.number, self.events = number, None
        self.file = tempfile.TemporaryFile(dir="/dev/shm")
        self.cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=self.file) if piped else None
        self.process = subprocess.Popen([HOST, log, "--id", str(number), *options], stdin=subprocess.PIPE, stdout=self.cat.stdin if piped else self.file,
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, **dict(environment)})
        if piped:
            self.cat.stdin.close()

    def count(self):
        return len(self.events) if self.file.closed else os.fstat(self.file.fileno()).st_size // TOLD.size

    def wait_for(self, count, may_end=False):
        wait_until(lambda: self.count() >= count or self.process.poll() is not None, f"{count} calls")
        if not may_end and self.process.poll() is not None:
            raise Failed(f"the host ended: status {self.process.poll()}: {self.process.stderr.read()}")

    def wait_for_more(self, count):
        self.wait_for(self.count() + count)

    def command(self, letters):
        self.process.stdin.write(letters)
        self.process.stdin.flush()

    def stats(self, letters="s"):
        self.command(letters)
        line = self.process.stderr.readline()
        if not line.startswith("{"):
            raise Failed(f"no stats: {line!r}, the host's status is {self.process.poll()}")
        return json.loads(line)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        self.read()

    def quit(self):
        """Its last stats. It must have lived until now."""
        stats = self.stats("q")
        rest = self.process.communicate()[1]
        if self.process.returncode:
            raise Failed(f"the host ended with {self.process.returncode}: {rest}")
        self.read()
        return stats

    def read(self):
        if self.cat:
            self.cat.wait()
        self.file.seek(0)
        data = self.file.read()
        self.file.close()
        self.events = list(TOLD.iter_unpack(data[:len(data) // TOLD.size * TOLD.size]))

    def results(self, before_ns=1 << 63):
        """Of each call that was told of by then, (input tokens, output tokens): its kind."""
        durable, found = {}, {}
        for time_ns, kind, thread, number in self.events:
            if time_ns >= before_ns:
                continue
            thread += self.number * THREADS_MAX
            if kind == DURABLE:
                durable[thread] = number
            if kind in (COMMITTED, DURABLE, HELD, DROPPED):
                if (thread, number) not in found or kind != DURABLE:
                    found[thread, number] = kind
        for (thread, number), kind in found.items():
            if kind == COMMITTED and number <= durable.get(thread, 0):
                found[thread, number] = DURABLE
        return found

    def count_of(self, kind):
        return sum(event[1] == kind for event in self.events)


def read_log(log):
    """The calls that a log holds, each as often as it counts; and what dump complained of."""
    done = call(PROGRAM, "--log", log, "dump", "--format", "csv", check=False)
    if done.returncode not in (0, 1):
        raise Failed(f"dump: status {done.returncode}: {done.stderr}")
    lines = done.stdout.split("\n")
    names = lines[0].split(",")
    first, second = names.index("input_tokens"), names.index("output_tokens")
    fields = (line.split(",") for line in lines[1:] if line)
    return [(int(field[first]), int(field[second])) for field in fields]


def totals(log):
    with open(os.path.join(log, "summary.json"), encoding="utf-8") as file:
        return json.load(file)["totals"]


def compact(log):
    done = call(PROGRAM, "--log", log, "compact", "--quiet", check=False)
    if done.returncode:
        raise Failed(f"compact: status {done.returncode}: {done.stderr}")


def verify(log, allowed=0):
    done = call(PROGRAM, "--log", log, "verify", "--json", check=False)
    if done.returncode & ~allowed:
        raise Failed(f"verify: status {done.returncode}: {done.stdout[-3000:]} {done.stderr}")
    return json.loads(done.stdout)


class Member:
    def __init__(self, name, *, needs=(), namespace=True):
        parser = argparse.ArgumentParser(prog=name)
        parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
        parser.add_argument("--rounds", type=int, default=1)
        parser.add_argument("--directory", default=tempfile.gettempdir())
        self.options = parser.parse_args()
        if namespace and os.geteuid() != 0:
            skip("only root can mount")
        for program in needs:
            if not shutil.which(program) and not shutil.which(program, path="/usr/sbin:/sbin"):
                skip(f"{program} is not here")
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        if namespace and not os.environ.get("USAGELOG_NAMESPACE"):
            os.environ["USAGELOG_NAMESPACE"] = "1"
            if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
                skip("no mount namespace can be had")
            os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B", *sys.argv, "--seed", str(self.options.seed)])
        # Told to end, too, it unmounts what it mounted.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        self.name, self.begun = name, time.monotonic()
        self.random = random.Random(self.options.seed)
        self.directory = tempfile.mkdtemp(prefix=f"usagelog-{name}-", dir=self.options.directory)
        self.mounts = []
        self.figures = {"member": name, "points": 0, "lost": 0, "twice": 0, "false": 0, "failures": 0}
        self.notes = {}
        self.skipped = {}

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def note(self, what, count=1):
        self.notes[what] = self.notes.get(what, 0) + count

    # ---- filesystems

    def mount(self, place, *options):
        os.makedirs(place, exist_ok=True)
        done = call("mount", *options, place, check=False)
        if done.returncode:
            skip(f"cannot mount {' '.join(options)}: {done.stderr.strip()}")
        self.mounts.append(place)

    def unmount(self, place):
        deadline = time.monotonic() + PATIENCE_S
        while call("umount", place, check=False).returncode and time.monotonic() < deadline:
            time.sleep(0.002)
        self.mounts.remove(place)

    def image(self, kind, megabytes, name="image"):
        """A filesystem in a file, made but not mounted."""
        image = self.path(name)
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        call(f"mkfs.{kind}", "-q", image)
        return image

    def new_boot(self):
        """From here on this namespace's programs see another boot id, as after a power loss."""
        target = "/proc/sys/kernel/random/boot_id"
        if target in self.mounts:
            self.unmount(target)
        with open(self.path("boot_id"), "w", encoding="ascii") as file:
            file.write(f"{uuid.UUID(int=self.random.getrandbits(128))}\n")
        call("mount", "--bind", self.path("boot_id"), target)
        self.mounts.append(target)

    @staticmethod
    def shut_down(place):
        fd = os.open(place, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, GOING_DOWN, struct.pack("<I", WITHOUT_LOG))
        finally:
            os.close(fd)

    # ---- what must hold

    def check(self, log, results, *, must=(COMMITTED, DURABLE), in_progress=True):
        """`results` is what hosts of this log told. Returns the calls found."""
        calls = read_log(log)
        found = set(calls)
        lost = {one for one, kind in results.items() if kind in must} - found
        last = {}
        for thread, number in results:
            last[thread] = max(last.get(thread, 0), number)
        never = {one for one in found if results.get(one, DROPPED) == DROPPED}
        if in_progress:  # a call may be committed and not told of yet, one a thread
            never = {one for one in never if one in results or one[1] != last.get(one[0], 0) + 1}
        self.figures["lost"] += len(lost)
        self.figures["twice"] += len(calls) - len(found)
        self.figures["false"] += len(never)
        if lost or never or len(calls) != len(found):
            raise Failed(f"{len(lost)} lost {sorted(lost)[:5]}, {len(calls) - len(found)} twice, {len(never)} false {sorted(never)[:5]}")
        return found

    def check_folded(self, log, found):
        """Fold; then the totals are those of the calls that are there."""
        compact(log)
        sums = totals(log)
        tokens = sum(one[0] + one[1] for one in found)
        if (sums["calls"], sums["tokens"]) != (len(found), tokens):
            over = sums["calls"] - len(found)
            self.figures["twice"] += max(0, over)
            self.figures["lost"] += max(0, -over)
            raise Failed(f"the summary says {sums['calls']} calls and {sums['tokens']} tokens, the segments {len(found)} and {tokens}")
        found = verify(log)
        if found["pending"]:
            raise Failed(f"{found['pending']} calls pending after a fold")

    # ---- rounds

    def keep(self):
        """All files of a round that failed, those of mounted filesystems too, which go with this process: to $USAGELOG_KEEP, if that is set."""
        to = os.environ.get("USAGELOG_KEEP")
        if to:
            os.makedirs(to, exist_ok=True)
            call("cp", "-a", "--sparse=always", self.directory, to, check=False)
            print(f"kept: {os.path.join(to, os.path.basename(self.directory))}", file=sys.stderr)

    def run(self, round_of):
        """`round_of(number)` for each round; what it raises is a failure, and the seed and round are told."""
        try:
            for number in range(self.options.rounds):
                try:
                    self.figures["points"] += round_of(number) or 0
                except (Failed, OSError, subprocess.TimeoutExpired, ValueError) as failure:
                    self.figures["failures"] += 1
                    print(f"{self.name} --seed {self.options.seed}: round {number}: {failure}", file=sys.stderr)
                    self.keep()
                    break
        finally:
            self.clean_up()
        self.figures["seconds"] = round(time.monotonic() - self.begun, 1)
        if self.skipped:
            self.figures["skipped"] = self.skipped
        self.figures["notes"] = f"seed {self.options.seed}" + "".join(f", {count:,} {what}" for what, count in sorted(self.notes.items()))
        print(json.dumps(self.figures))
        sys.exit(1 if self.figures["failures"] else 0)

    def clean_up(self):
        for place in reversed(self.mounts[:]):
            self.unmount(place)
        shutil.rmtree(self.directory, ignore_errors=True)
