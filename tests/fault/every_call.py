#!/usr/bin/python3
"""Every allocation and system call of the library and the program fails: at each place in the source that calls the seam (lib/os.h), once, and from then
on. Nothing crashes, hangs or leaks (the address sanitizer's build looks for leaks); what ends with the undisturbed run's status has said what that says;
and afterwards the log holds each call once and is sound. A round is one call that was made to fail, in one scenario. The notes say how many of the places
that there are were met; USAGELOG_SITES=FILE has the others named there, and those that were met and never made to fail."""

import collections
import csv
import io
import json
import os
import pty
import re
import shutil
import stat
import subprocess
import sys
import time

import xxhash

from support import COMMITTED, DROPPED, DURABLE, HELD, PROGRAM, Failed, Host, Member, call
import support

FAULTS, HOST_FAULTS, WRITER_FAULTS = os.environ["USAGELOG_FAULTS"], os.environ["HOST_FAULTS"], os.environ["WRITER_FAULTS"]
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ERRORS = (5, 12, 28)  # EIO, ENOMEM, ENOSPC
SYNC_BLOCK = 2 * 4096 + 4 * 128  # in a segment
SECONDS_MAX = 30
LEAK = 66
CSV = "time,provider,model,operation,input_tokens,output_tokens,cost_usd,latency_ms,call_id,session_id,metadata\n"

# `world` is what fails anyhow; `harm` is done to a host; of `only` these source files' places are made to fail.
Scenario = collections.namedtuple("Scenario", "program template arguments given world harm only known", defaults=(None, (), "", "", None))


def kinds():
    """The numbers of enum os_call."""
    with open(os.path.join(TOP, "lib", "os.h"), encoding="utf-8") as file:
        names = re.findall(r"\b(OS_[A-Z_]+)\b", re.search(r"enum os_call \{(.*?)\}", file.read(), re.DOTALL)[1])
    return {name: number for number, name in enumerate(names)}


def seam():
    """The functions that can be made to fail."""
    with open(os.path.join(TOP, "lib", "os.c"), encoding="utf-8") as file:
        text = file.read()
    found = set()
    for match in re.finditer(r"^\w[\w *]*?\b(os_\w+|lock_command)\([^;{]*?\)\n\{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        if re.search(r"\bfault\(", match[2]):
            found.add(match[1])
    return found


def sites(program):
    """Every call of the seam in a program: the address it returns to, and its place in the source."""
    functions, found, pending, inside = seam(), [], None, ""
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in listing.splitlines():
        head = re.match(r"[0-9a-f]+ <([^>]+)>:", line)
        if head:
            inside, pending = head[1], None
            continue
        code = re.match(r"\s*([0-9a-f]+):\s*(.*)", line)
        if not code:
            continue
        if pending:
            found.append((int(code[1], 16), pending))
        called = re.match(r"call\s+[0-9a-f]+ <(\w+)(?:@plt)?>", code[2])
        pending = called[1] if called and called[1] in functions and inside not in ("os_lock", "os_is_locked") else None
    told = subprocess.run(["addr2line", "-e", program], input="\n".join(hex(address - 1) for address, _ in found), check=True, stdout=subprocess.PIPE, text=True)
    # A compiler may have made two calls of one.
    lines = (os.path.relpath(line.split(" ")[0], TOP) for line in told.stdout.splitlines())
    return {address: f"{line}:{function}" for (address, function), line in zip(found, lines)}


class EveryCall(Member):
    def __init__(self):
        super().__init__("every_call", needs=("objdump", "addr2line"), namespace=False)
        self.sites = {program: sites(program) for program in (FAULTS, HOST_FAULTS, WRITER_FAULTS)}
        self.met, self.failed = set(), set()
        self.kinds = kinds()
        self.work, self.log = self.path("work"), self.path("work", "log")
        self.fallback = self.path("work", "fallback")
        self.trace = self.path("trace")
        self.scenarios = self.make_scenarios()
        self.targets, self.written, self.pipe = [], [], -1

    # ---- logs to begin with

    def rows(self, name, days, count=12):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(CSV)
            for day in days:
                for i in range(count):
                    metadata = '"{""user"":""u%d""}"' % (i % 3)
                    file.write(f"2026-{day}T10:00:{i:02}Z,p,model-{i % 4},chat,{i},{i * 2},0.000001,{(i + 1) * 300},{name}-{day}-{i},s-{i % 2},{metadata}\n")
        return self.path(name)

    def usagelog(self, *arguments, allowed=(0,)):
        done = call(PROGRAM, "--log", self.log, *arguments, check=False)
        if done.returncode not in allowed:
            raise Failed(f"{' '.join(arguments)}: status {done.returncode}: {done.stderr}")
        return done.stdout

    def dead_host(self, number, *options, calls=300):
        host = Host(self.log, number, "--segment", "65536", "--interval", "3600000", "--pause", "100", *options)
        host.wait_for(calls)
        host.kill()

    def keep_template(self, name):
        shutil.copytree(self.work, self.path("templates", name))

    def make_templates(self):
        os.mkdir(self.work)
        self.usagelog("import", "--format", "csv", self.rows("first.csv", ("01-05", "01-06")))
        self.usagelog("config", "group_by", "user")
        self.usagelog("config", "fallback_directories", self.fallback)
        self.usagelog("compact")
        # A second log of its own, to be merged with.
        shutil.copytree(self.log, self.path("other-log"))
        shutil.rmtree(self.work)
        os.mkdir(self.work)
        self.usagelog("import", "--format", "csv", self.rows("other.csv", ("01-07",)))
        self.usagelog("compact")
        self.keep_template("other")
        shutil.rmtree(self.log)
        shutil.move(self.path("other-log"), self.log)
        self.keep_template("folded")
        self.dead_host(1, "--fallback", self.fallback)
        self.usagelog("import", "--format", "csv", self.rows("second.csv", ("01-06", "01-09")))
        self.keep_template("new")
        # Old enough to be deleted.
        shutil.rmtree(self.work)
        shutil.copytree(self.path("templates", "new"), self.work)
        self.usagelog("compact")
        self.usagelog("config", "retention_days", "30")
        for name in os.listdir(self.log):
            if name.endswith(".seg"):
                os.utime(os.path.join(self.log, name), (1, 1))
        self.usagelog("import", "--format", "csv", self.rows("third.csv", ("01-10",)))
        self.keep_template("old")
        self.usagelog("compact")
        self.keep_template("pruned")
        # What was written last is damaged: the checkpoint, a fact file, a segment's page.
        shutil.rmtree(self.work)
        shutil.copytree(self.path("templates", "new"), self.work)
        self.usagelog("compact")
        self.spoil("checkpoint", 100)
        self.keep_template("no_checkpoint")
        shutil.rmtree(self.work)
        shutil.copytree(self.path("templates", "new"), self.work)
        self.usagelog("compact")
        self.spoil(next(name for name in sorted(os.listdir(self.log)) if name.endswith(".facts")), 100)
        open(os.path.join(self.log, "checkpoint.new"), "wb").close()
        open(os.path.join(self.log, "0" * 32 + ".tmp"), "wb").close()
        self.keep_template("no_facts")
        shutil.rmtree(self.work)
        shutil.copytree(self.path("templates", "new"), self.work)
        os.unlink(os.path.join(self.log, "log.conf"))
        self.keep_template("no_conf")
        shutil.rmtree(self.work)
        # So many calls that threads share the fold.
        os.mkdir(self.work)
        host = Host(self.log, 5, "--segment", str(16 << 20), "--interval", "1000")
        host.wait_for(150000)
        host.kill()
        self.keep_template("big")
        shutil.rmtree(self.work)

    def spoil(self, name, at):
        with open(os.path.join(self.log, name), "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def use(self, template):
        shutil.rmtree(self.work, ignore_errors=True)
        if template == "dead":
            os.mkdir(self.work)
            self.dead_host(4)
            self.written = self.calls()
        elif template:
            shutil.copytree(self.path("templates", "new" if template == "torn" else template), self.work)
            if template == "torn":
                # A segment of this very file, and not a copy, whose writer died in the midst of a sync; the next writer may go on in the other.
                self.usagelog("import", "--format", "csv", self.rows("fourth.csv", ("01-11",)))
                self.usagelog("import", "--format", "csv", self.rows("fifth.csv", ("01-12",)))
                self.spoil(max(name for name in os.listdir(self.log) if name.endswith(".seg")), SYNC_BLOCK + 8)
            # As if changed after the checkpoint: whether compact reads them again hangs on that.
            for name in os.listdir(self.log) if template == "no_facts" else []:
                if name.endswith(".facts"):
                    os.chmod(os.path.join(self.log, name), 0o600)
        else:
            os.mkdir(self.work)

    def make_outputs(self):
        """A pipe and a link, to which an answer may be written, and which have to stay that."""
        if self.pipe >= 0:
            os.close(self.pipe)
        os.mkfifo(self.path("work", "pipe"))
        self.pipe = os.open(self.path("work", "pipe"), os.O_RDWR)
        open(self.path("work", "linked.csv"), "wb").close()
        os.symlink("linked.csv", self.path("work", "link"))

    # ---- scenarios

    def make_scenarios(self):
        self.make_templates()
        more, lines = self.rows("more.csv", ("01-06", "02-01")), self.path("more.jsonl")
        with open(lines, "w", encoding="utf-8") as file:
            for i in range(20):
                file.write(json.dumps({"t": f"2026-03-01T10:00:{i:02}Z", "provider": "p", "model": "m", "usage": {"in": i, "out": 1}, "id": f"line-{i}"}) + "\n")
        mapped = ["import", "--format", "jsonl", "--map", "time=t,provider,model,input_tokens=usage.in,output_tokens=usage.out,call_id=id"]
        record = ["record", "--time", "2026-03-02T00:00:00Z", "--provider", "p", "--model", "m", "--input-tokens", "7", "--output-tokens", "7", "--call-id", "record-1", "--metadata", '{"a":1}']
        merged, long = self.path("work", "merged"), self.path("long.csv")
        with open(self.rows("long.csv", ("01-06",)), "a", encoding="utf-8") as file:
            file.write(f"2026-01-06T11:00:00Z,p,m,chat,1,1,0,1,{'x' * 200000},s,\n")
        many = self.path("many.csv")
        with open(many, "w", encoding="utf-8") as file:
            file.write("time,provider,model,input_tokens,call_id\n")
            file.writelines(f"2026-03-01T10:00:00Z,p,many-{i},1,many-{i}\n" for i in range(800))
        os.mkdir(self.work)
        call(PROGRAM, "--log", self.path("templates", "other", "log"), "merge", "--output", self.path("merged.1"), self.path("templates", "folded", "log"),
             self.path("templates", "other", "log"))
        shutil.rmtree(self.work)
        scenarios = [
            ("new", ["compact"]), ("torn", ["compact"]), ("old", ["compact"]), ("no_checkpoint", ["compact"]), ("no_facts", ["compact"]),
            ("new", ["rebuild"]), ("pruned", ["rebuild"]), ("new", ["verify"]), ("pruned", ["verify"]), ("torn", ["verify", "--json"]),
            ("no_checkpoint", ["verify"]), ("no_facts", ["verify", "--json"]),
            ("new", ["dump"]), ("pruned", ["dump", "--format", "csv"]), ("new", ["summary", "--json"]), ("pruned", ["summary"]),
            ("other", ["merge", self.path("templates", "folded", "log"), self.path("templates", "pruned", "log")]),
            ("other", ["merge", "--output", merged, self.path("templates", "folded", "log"), self.log]),
            ("other", ["merge", self.path("merged.1"), self.path("templates", "pruned", "log")]), ("other", ["merge", "--output", "merged.2", self.log]),
            ("no_conf", ["verify"]), ("no_conf", ["compact"]),
            (None, ["import", "--format", "csv", many]), ("new", ["config"]), ("new", ["config", "fallback_directories", f"{self.fallback}:{self.path('work')}"]), ("new", ["config", "time_zone", "Europe/Berlin"]),
            ("new", ["import", "--format", "csv", more]), (None, ["import", "--format", "csv", more]), (None, ["import", "--format", "csv", long]), ("new", [*mapped, lines]), ("new", [*mapped, "-"]),
            ("new", ["import", "--format", "csv", "--all-or-nothing", "-"]),
            ("new", record), ("torn", [*record, "--sync"]), (None, record),
            ("new", ["compact", "--watch", "--interval", "1"]), ("dead", ["compact"]),
        ]
        inputs = {"-": {"csv": more, "jsonl": lines}}
        found = []
        # What is read for people, and what they import.
        prices, page = self.path("prices.json"), self.path("work", "page.html")
        with open(prices, "w", encoding="utf-8") as file:
            json.dump({f"many-{i}": {"litellm_provider": "p", "input_cost_per_token": (i + 1) * 1e-8, "output_cost_per_token": 1e-7} for i in range(0, 800, 7)}, file)
        # Each format that is known; but for the old tracker's, whose totals are of calls that no segment has.
        samples = self.path("samples")
        shutil.copytree(os.path.join(TOP, "tests", "cli", "samples"), samples, ignore=shutil.ignore_patterns("tracker.json"))
        self.use(None)
        self.usagelog("import", "--format", "csv", many)
        self.usagelog("prices", "import", "--since", "2026-01-01", prices, allowed=(0, 1))
        self.usagelog("compact")
        self.keep_template("priced")
        shutil.rmtree(self.work)
        scenarios += [
            ("new", ["report", "daily", "--days", "all"]), ("new", ["report", "models", "--json", "--days", "all"]), ("pruned", ["report", "sessions", "--days", "all"]),
            ("new", ["report", "hourly", "--days", "all", "--where", "user=u1", "--csv"]), ("new", ["report", "monthly", "--days", "all", "--by", "user", "--breakdown"]),
            ("new", ["report", "blocks", "--days", "all"]), ("new", ["report", "--days", "all", "--html", page]), ("pruned", ["report", "--days", "all", "--html", "-"]),
            ("new", ["report", "errors", "--days", "all"]), ("new", ["report", "statusline"]), ("new", ["doctor"]), ("torn", ["doctor", "--json"]),
            ("new", ["report", "--live"]), ("new", ["report", "--days", "all", "--html", self.path("work", "checkpoint")]),
            ("new", ["export", "--format", "jsonl", "--output", self.path("work", "calls.jsonl")]), ("new", ["export", "--format", "csv", "--output", "calls.csv"]),
            ("new", ["export", "--format", "csv", "--output", self.path("work", "pipe")]), ("new", ["export", "--format", "csv", "--output", self.path("work", "link")]), ("pruned", ["export", "--format", "csv"]),
            ("new", ["export", "--format", "prometheus", "--output", self.path("work", "calls.prom")]), ("new", ["export", "--format", "otlp-json"]),
            ("many", ["prices", "import", "--since", "2026-01-01", prices]), ("many", ["reprice", "--since", "2026-01-01", "--prices", prices]),
            ("priced", ["prices", "list"]), ("priced", ["prices", "missing"]), ("priced", ["prices", "show", "many-7"]), ("priced", ["prices", "check", prices]),
            ("priced", ["reprice", "--since", "2026-01-01", "--prices", prices]), ("priced", ["verify"]), ("priced", ["report", "models", "--days", "all"]), (None, ["import", samples]),
        ]
        for template, arguments in scenarios:
            given = inputs["-"][arguments[arguments.index("--format") + 1]] if arguments[0] == "import" and arguments[-1] == "-" else None
            found.append(Scenario(FAULTS, template, arguments, given))
        self.use(None)
        self.usagelog("import", "--format", "csv", many)
        self.keep_template("many")
        # By hand, as the program refuses it: a name of the log's own files.
        self.usagelog("config", "summary_path", self.path("work", "kcol"))
        with open(os.path.join(self.log, "log.conf"), "r+b") as file:
            text = file.read()
            text = text[:text.rindex(b"checksum")].replace(b"kcol", b"lock")
            file.seek(0)
            file.write(text + b"checksum %016x\n" % xxhash.xxh3_64_intdigest(text))
        self.keep_template("aside")
        found += [Scenario(FAULTS, "many", ["compact"]), Scenario(FAULTS, "aside", ["compact"]), Scenario(FAULTS, "big", ["compact"], only="compactor/pass.c")]
        write, rename, synced = (self.kinds[name] for name in ("OS_WRITE", "OS_RENAME", "OS_SYNC"))
        for world in ((f"k{write}:1:1:28",), (f"k{rename}:1:1:5",), (f"k{synced}:1:1:5",), ("compactor/merge.c os_open(:1:9:13",)):
            found.append(Scenario(FAULTS, "new", ["compact"], world=world))
        for what in ("stream = error ?", "error = os_sync(fileno("):
            found.append(Scenario(FAULTS, "new", ["export", "--format", "csv", "--output", "calls.csv"], world=(f"compactor/output.c {what}:1:1:5",)))
        rows = self.path("rows")
        with open(rows, "w", encoding="utf-8") as file:
            file.writelines(f"{1770000000000000000 + i} {i} {i}\n" for i in range(200))
        found += [Scenario(WRITER_FAULTS, template, ["2", "0", "1"], rows) for template in (None, "new")]
        sync, extend, uring, thread = (self.kinds[name] for name in ("OS_SYNC_RANGE", "OS_EXTEND", "OS_URING", "OS_THREAD"))
        found.append(Scenario(HOST_FAULTS, "dead", ["--segment", "65536"]))
        for template in (None, "new", "torn"):
            for options in (["--interval", "1"], ["--no-helper", "--flush", "20"], ["--synchronous"], ["--no-helper", "--synchronous"]):
                for world in ((), (f"k{sync}:2:1:5",), (f"k{extend}:2:40:28",), (f"k{uring}:1:4000000000:1",), (f"k{thread}:1:2:11",), (f"k{extend}:1:2:95",),
                              (f"k{sync}:2:1:5", f"k{write}:3:2:28"), (f"k{extend}:3:1000:28",)):
                    arguments = [*options, "--threads", "2", "--segment", "65536", "--pause", "100", "--fallback", self.fallback]
                    found.append(Scenario(HOST_FAULTS, template, arguments, world=world))
                    if not template and not world:
                        found += [Scenario(HOST_FAULTS, None, arguments, harm=harm) for harm in ("truncated", "replaced")]
        return found

    # ---- one run

    def plan_of(self, program, text):
        """A place may be named by its source file and what stands there."""
        place, _, rest = text.partition(":")
        if " " not in place:
            return text
        name, what = place.split(" ", 1)
        with open(os.path.join(TOP, name), encoding="utf-8") as file:
            number = next((number for number, line in enumerate(file, 1) if what in line), None)
        if number is None:
            raise Failed(f"{name} has no line with {what!r}: a scenario is to be mended")
        return f"{next(site for site, found in self.sites[program].items() if found.startswith(f'{name}:{number}:')):x}:{rest}"

    def environment(self, program, plans):
        if os.path.exists(self.trace):
            os.unlink(self.trace)
        asan = os.environ.get("ASAN_OPTIONS", "")
        return {**os.environ, "USAGELOG_FAULT": ",".join(self.plan_of(program, one) for one in plans), "USAGELOG_FAULT_TRACE": self.trace,
                "ASAN_OPTIONS": f"{asan}:exitcode={LEAK}:detect_leaks=1:allocator_may_return_null=1", "TMPDIR": self.directory}

    def traced(self, program):
        """The places met, and whether the call that was to fail did."""
        try:
            with open(self.trace, encoding="ascii") as file:
                lines = file.read().split()
        except FileNotFoundError:
            lines = []
        met = {int(line, 16) for line in lines if line != "failed"}
        self.met |= {self.sites[program].get(one, f"?{one:x}") for one in met}
        return met & self.sites[program].keys(), "failed" in lines

    def run_program(self, scenario, plans):
        program, arguments = scenario.program, scenario.arguments
        if program == HOST_FAULTS:
            return self.run_host(scenario, plans)
        self.use(scenario.template)
        self.make_outputs()
        given = b""
        if scenario.given:
            with open(scenario.given, "rb") as file:
                given = file.read()
        if "--live" in arguments:
            return self.run_live(scenario, plans)
        command = [program, "trace", self.log, *arguments] if program == WRITER_FAULTS else [program, "--log", self.log, *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment(program, [*scenario.world, *plans]), cwd=self.work)
        try:
            if "--watch" in arguments:
                try:
                    process.wait(0.3)
                except subprocess.TimeoutExpired:
                    process.terminate()
            out, told = process.communicate(given, timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed("hangs") from None
        # What differs between two runs: times, and the names of segments that are made for each.
        out = re.sub(r' in [0-9.,]+ m?s\b|"(last_updated|made)": ?"[^"]*"|(\d+h)?\d+m left' + (r"|\b[0-9a-f]{32}\b" if scenario.template == "torn" else ""), "some time", out.decode(errors="replace"))
        return process.returncode, out, told.decode(errors="replace")

    def run_live(self, scenario, plans):
        """On a terminal, until it has shown a second frame. What it shows is the report's, which has scenarios of its own."""
        terminal, its_end = pty.openpty()
        process = subprocess.Popen([scenario.program, "--log", self.log, *scenario.arguments], stdin=subprocess.DEVNULL, stdout=its_end, stderr=subprocess.PIPE,
                                   env=self.environment(scenario.program, [*scenario.world, *plans]), cwd=self.work)
        os.close(its_end)
        shown, told = b"", False
        try:
            while chunk := os.read(terminal, 65536):
                shown += chunk
                if not told and shown.count(b"\033[H") > 1:
                    process.terminate()
                    told = True
        except OSError:
            pass  # it has ended
        os.close(terminal)
        return process.wait(SECONDS_MAX), "", process.communicate()[1].decode(errors="replace")

    def run_host(self, scenario, plans):
        self.use(scenario.template)
        backend = {"USAGELOG_BACKEND": "syscall"} if self.random.random() < 0.5 else {}
        support.HOST = HOST_FAULTS
        try:
            host = Host(self.log, 3, *scenario.arguments, environment={**self.environment(HOST_FAULTS, [*scenario.world, *plans]), **backend})
        finally:
            support.HOST = os.environ["HOST"]
        host.wait_for(400, may_end=True)
        # Where files are refused for long, until a fallback is used; as far as what else fails allows that.
        if any(":1000:" in one for one in scenario.world):
            self.wait_for_fallback(host, True, "s", 0.002, 100)
        if host.process.poll() is None:
            for name in os.listdir(self.log) if scenario.harm == "truncated" else []:
                if name.endswith(".seg"):
                    os.truncate(os.path.join(self.log, name), 5 * 4096)
            if scenario.harm == "replaced":
                self.replace_log(host)
            host.stats("fs")
            host.wait_for(host.count() + 100, may_end=True)
            host.command("q")
        rest = host.process.communicate(timeout=SECONDS_MAX)[1]
        host.read()
        if host.process.returncode == 0:
            stats = json.loads(next(line for line in rest.splitlines() if line.startswith("{")))
            if stats["attempted"] != stats["committed"] + stats["held"] + stats["dropped"]:
                raise Failed(f"the figures do not add up: {stats}")
            told = host.count_of(DROPPED)
            if stats["dropped"] != told:
                raise Failed(f"{told} calls were told to be dropped, the stats say {stats}")
        self.results = host.results()
        return host.process.returncode, "", rest

    @staticmethod
    def wait_for_fallback(host, used, letters, pause, tries):
        """Until a fallback is used, or none: it may be in vain, as what else fails may not allow that."""
        while tries and host.process.poll() is None and bool(host.stats(letters)["fallback"]) != used:
            tries -= 1
            time.sleep(pause)

    def replace_log(self, host):
        """The log's directory is deleted, and comes back out of a copy, until the host writes there again."""
        copy = self.path("work", "copy")
        # A draft may be gone by then.
        call("cp", "-a", self.log, copy, check=False)
        while os.path.exists(self.log):
            shutil.rmtree(self.log, ignore_errors=True)
        self.wait_for_fallback(host, True, "fs", 0.01, 200)
        os.rename(copy, self.log)
        self.wait_for_fallback(host, False, "fs", 0.01, 200)

    # ---- what must hold

    def calls(self):
        done = call(PROGRAM, "--log", self.log, "dump", "--format", "csv", check=False)
        if done.returncode not in (0, 1):
            return None
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        return sorted(tuple(value for name, value in row.items() if name not in ("segment", "slot")) for row in rows)

    def look(self, scenario):
        """The calls in the log, after a fold; which must be sound."""
        if scenario.template == "no_conf" or not os.path.exists(os.path.join(self.log, "log.conf")):
            return sorted(os.listdir(self.log)) if os.path.exists(self.log) else []
        done = call(PROGRAM, "--log", self.log, "compact", "--quiet", check=False)
        if done.returncode not in (0, 1) and scenario.template != "no_conf":
            raise Failed(f"afterwards compact: status {done.returncode}: {done.stderr}")
        with open(os.path.join(self.work, "lock") if scenario.template == "aside" else os.path.join(self.log, "summary.json"), encoding="utf-8") as file:
            total = json.load(file)["totals"]["calls"]
        done = call(PROGRAM, "--log", self.log, "verify", check=False)
        if done.returncode & ~(4 | 8 if scenario.harm else 0):
            raise Failed(f"afterwards verify: status {done.returncode}: {done.stdout[-2000:]}{done.stderr}")
        found = self.calls()
        if scenario.template not in ("old", "pruned") and total != len(found):
            raise Failed(f"afterwards the summary says {total} calls, the segments {len(found)}")
        return [total, *found]

    def check_host(self, harm):
        found = {(int(row[4]), int(row[8])) for row in self.calls() or []}
        own = {one for one in found if one[0] // support.THREADS_MAX == 3}
        lost = set() if harm else {one for one, kind in self.results.items() if kind in (COMMITTED, DURABLE)} - own
        never = {one for one in own if self.results.get(one, DROPPED) == DROPPED}
        self.figures["lost"] += len(lost)
        self.figures["false"] += len(never)
        if lost or never:
            raise Failed(f"{len(lost)} lost {sorted(lost)[:3]}, {len(never)} false {sorted(never)[:3]}")

    def undisturbed(self, scenario):
        status, out, told = self.run_program(scenario, ())
        if status < 0 or status in (16, LEAK, 98, 99):
            raise Failed(f"undisturbed: status {status}: {told}")
        met, _ = self.traced(scenario.program)
        return scenario._replace(known=(status, out, self.look(scenario))), met

    def disturb(self, scenario, site, first, count, error):
        program, arguments, (status_before, out_before, calls_before) = scenario.program, scenario.arguments, scenario.known
        status, out, told = self.run_program(scenario, (f"{site:x}:{first}:{count}:{error}",))
        failed = self.traced(program)[1]
        if status < 0 or status == LEAK or "AddressSanitizer" in told or "LeakSanitizer" in told or "runtime error" in told:
            raise Failed(f"status {status}: {told[-3000:]}")
        if program == FAULTS and status == status_before and out != out_before and arguments[0] not in ("compact", "rebuild", "doctor"):
            raise Failed(f"status {status} as if nothing were, but it said:\n{out[-1500:]}\ninstead of:\n{out_before[-1500:]}\n{told}")
        # A way round what fails anyhow may have been found: then all is well, and there is nothing to be said.
        if program == FAULTS and status not in (0, status_before) and not told.strip() and not (arguments[0] in ("verify", "doctor") and out.strip()):
            raise Failed(f"status {status}, and nothing said")
        found = self.look(scenario)
        if program == HOST_FAULTS:
            self.check_host(scenario.harm)
        elif arguments[0] in ("record", "import") or program == WRITER_FAULTS:
            new, old = set(found[1:]), set(calls_before[1:])
            if len(new) != len(found[1:]):
                self.figures["twice"] += 1
                raise Failed("calls are there twice")
            if status == 0 and new != old or not new <= old:
                raise Failed(f"status {status}, but {len(old - new)} calls are missing and {len(new - old)} are new")
        elif found != ([len(self.written), *self.written] if scenario.template == "dead" else calls_before):
            raise Failed(f"the log's calls are others than before: {found[:1]} {calls_before[:1]}")
        if program == FAULTS and not (stat.S_ISFIFO(os.lstat(self.path("work", "pipe")).st_mode) and os.path.islink(self.path("work", "link"))):
            raise Failed("a pipe or a link was replaced by a file")
        if failed:
            self.failed.add(self.sites[program][site])
        return failed

    # ---- rounds

    def plan(self):
        # For a moment's run a few.
        hosts = [one for one in self.scenarios if one.program == HOST_FAULTS]
        others = [one for one in self.scenarios if one.program != HOST_FAULTS]
        few = self.random.sample(hosts, 12) + self.random.sample(others, 30) if self.options.rounds < 100 else self.scenarios
        for scenario in few:
            try:
                known, met = self.undisturbed(scenario)
            except Failed as failure:
                raise Failed(f"{self.name_of(scenario)}: {failure}") from failure
            for site in sorted(one for one in met if self.sites[scenario.program][one].startswith(scenario.only)):
                for first, count in ((1, 1), (1, 1 << 30), (2, 1), (3, 1 << 30), (7, 1)):
                    self.targets.append((known, site, first, count))
        self.random.shuffle(self.targets)
        self.targets.sort(key=lambda target: target[2] > 1)
        # Each place first, however often it is met; then all others.
        seen, early, late = set(), [], []
        for target in self.targets:
            key = (self.sites[target[0].program][target[1]], target[3])
            (late if key in seen else early).append(target)
            seen.add(key)
        self.targets = early + late

    def fail_one(self, number):
        if not number:
            self.plan()
        if number >= len(self.targets):
            return 0
        scenario, site, first, count = self.targets[number]
        error = self.random.choice(ERRORS)
        place = self.sites[scenario.program][site]
        try:
            return int(self.disturb(scenario, site, first, count, error))
        except Failed as failure:
            # The others are tried all the same: each failure is one of its own.
            self.figures["failures"] += 1
            print(f"{self.name} --seed {self.options.seed}: {place}, from the {first}. on {'once' if count == 1 else 'for good'}, errno {error}, in "
                         f"{self.name_of(scenario)}: {failure}", file=sys.stderr)
            return 1

    @staticmethod
    def name_of(scenario):
        return f"{os.path.basename(scenario.program)} {scenario.template} {' '.join(scenario.arguments)} {' '.join(scenario.world)} {scenario.harm}"

    def tell(self):
        places = {place for found in self.sites.values() for place in found.values()}
        self.note("places that call the seam", len(places))
        self.note("of them met", len(self.met & places))
        self.note("of them made to fail", len(self.failed))
        if os.environ.get("USAGELOG_SITES"):
            with open(os.environ["USAGELOG_SITES"], "w", encoding="utf-8") as file:
                file.writelines(f"{place}: not met\n" for place in sorted(places - self.met))
                file.writelines(f"{place}: met, and not made to fail\n" for place in sorted((places & self.met) - self.failed))

    def clean_up(self):
        self.tell()
        super().clean_up()


if __name__ == "__main__":
    member = EveryCall()
    member.run(member.fail_one)
