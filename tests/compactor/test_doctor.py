#!/usr/bin/python3
"""doctor: what is well is said to be, each thing that is not is a warning, and nothing is touched."""

import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

import xxhash
from handmade import M64, PAGE, PROGRAM, LogTest, Segment, fill, lock_file, run, snapshot

DAY = 86400


def write_counters(segment, attempted, dropped):
    """The counters of a segment's writer (FORMAT.md 3.2)."""
    block = 2
    payload = struct.pack("<QQ8Q", 1, attempted, *dropped).ljust(120, b"\0")
    checksum = xxhash.xxh3_64_intdigest(payload, (segment.seed + block) & M64) or 1
    segment.write(2 * PAGE + 128 * block, struct.pack("<Q", checksum) + payload)


class DoctorTest(LogTest):
    def setUp(self):
        super().setUp()
        # What a test's machine is like is not what is tested: a disk that is nearly full or a tmpfs is told by its own tests.
        self.machine = {"filesystem", "space"}

    def doctor(self, status=0, log=None, prefix=(), environment=None):
        """The checks by name, each a list of (state, text), and the figures."""
        done = subprocess.run([*prefix, PROGRAM, "doctor", "--json", "--log", log or self.log], capture_output=True, text=True,
                              timeout=120, check=False, env={**os.environ, **(environment or {})})
        found = json.loads(done.stdout)
        checks = {}
        for check in found["checks"]:
            self.assertEqual(set(check), {"name", "state", "text"})
            self.assertIn(check["state"], ("ok", "note", "warning"))
            checks.setdefault(check["name"], []).append((check["state"], check["text"]))
        warnings = [check for check in found["checks"] if check["state"] == "warning"]
        self.assertEqual(found["warnings"], len(warnings))
        if not any(check["name"] in self.machine for check in warnings):
            self.assertEqual((done.returncode, done.stderr), (status, ""), done.stdout)
        return checks, found["figures"]

    def expect(self, name, state, text, **keywords):
        checks, figures = self.doctor(1 if state == "warning" else 0, **keywords)
        self.assertTrue(any(one[0] == state and text in one[1] for one in checks[name]), checks[name])
        return figures


class Well(DoctorTest):
    def test_well(self):
        segment = Segment(self.log, 1)
        fill(segment, 100, start=int(time.time()) - 100 * 3600)
        segment.durable()
        self.compact()
        before = snapshot(self.log)
        checks, figures = self.doctor()
        self.assertEqual(snapshot(self.log), before)
        self.assertEqual(set(checks), {"backend", "limits", "permissions", "filesystem", "space", "fallback", "writers", "compact",
                                       "dropped", "damage", "sigkill", "power cut"})
        self.assertIn("every call is in the totals", checks["compact"][0][1])
        self.assertIn("would lose nothing", checks["power cut"][0][1])
        self.assertIn("mode 0700", checks["permissions"][0][1])
        self.assertEqual((figures["pending_calls"], figures["not_durable_calls"], figures["live_segments"],
                          figures["dropped_calls"], figures["damaged_slots"], figures["oldest_pending_s"]), (0, 0, 0, 0, 0, None))
        self.assertLess(figures["last_compact_age_s"], 600)
        self.assertGreater(figures["free_bytes"], 0)

    def test_for_people(self):
        done = run("doctor", "--log", self.log)
        lines = done.stdout.splitlines()
        self.assertEqual([line for line in lines if len(line) > 79 and " " in line[22:]], [])
        self.assertRegex(done.stdout, r"(?m)^(ok|note) +backend +\S")
        self.assertRegex(lines[-1], "all is well|[0-9]+ warnings?")

    def test_quiet(self):
        with_warning = os.path.join(self.top, "open")
        shutil.copytree(self.log, with_warning)
        os.chmod(with_warning, 0o777)
        quiet, loud = run("doctor", "--quiet", "--log", self.log), run("doctor", "--quiet", "--log", with_warning)
        self.assertEqual(loud.returncode, 1)
        self.assertIn("warning  permissions  ", loud.stdout)
        self.assertNotRegex(loud.stdout, r"(?m)^(ok|note) |all is well")
        if quiet.returncode == 0:
            self.assertEqual(quiet.stdout, "")

    def test_recorded_by_the_program(self):
        log = os.path.join(self.top, "other")
        call = ("record", "--log", log, "--provider", "p", "--model", "m")
        run(*call, "--sync")
        self.expect("power cut", "ok", "would lose nothing", log=log)
        run(*call)
        figures = self.expect("power cut", "note", "might lose 1 call,", log=log)
        self.assertEqual((figures["pending_calls"], figures["not_durable_calls"]), (2, 1))
        self.assertAlmostEqual(figures["oldest_pending_s"], time.time(), delta=600)
        run("compact", "--log", log)
        self.expect("power cut", "ok", "would lose nothing", log=log)


class Machine(DoctorTest):
    def test_backend_by_wish(self):
        self.expect("backend", "note", "USAGELOG_BACKEND", environment={"USAGELOG_BACKEND": "syscall"})

    def test_backend_refused(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not here")
        for error, why in (("EPERM", ""), ("ENOSYS", ""), ("EINVAL", "Linux 6.1"), ("ENOMEM", "ulimit -l")):
            strace = ("strace", "-f", "-o", os.path.join(self.top, "trace"), "-e", f"inject=io_uring_setup:error={error}")
            # A leak sanitizer cannot look while another program traces.
            self.expect("backend", "note", why or "io_uring is refused", prefix=strace, environment={"ASAN_OPTIONS": "detect_leaks=0"})

    def test_limits(self):
        self.expect("limits", "warning", "file size: 1000.0 KiB (ulimit -f)", prefix=("bash", "-c", 'ulimit -f 1000; exec "$@"', "-"))
        self.expect("limits", "warning", "open files: 20 (ulimit -n)", prefix=("bash", "-c", 'ulimit -n 20; exec "$@"', "-"))

    def test_memory_filesystem(self):
        if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat("/").st_dev:
            self.skipTest("there is no tmpfs at /dev/shm")
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            log = os.path.join(folder, "log")
            shutil.copytree(self.log, log)
            checks, _ = self.doctor(1, log=log)
            self.assertEqual(checks["filesystem"][0][0], "warning")
            self.assertIn("tmpfs, where what is in it is gone when the machine restarts", checks["filesystem"][0][1])

    def test_network_filesystem(self):
        """What statfs() says of a network filesystem, by a library that says so."""
        source, shim = os.path.join(self.top, "shim.c"), os.path.join(self.top, "shim.so")
        with open(source, "w", encoding="utf-8") as file:
            file.write("#include <sys/vfs.h>\n#include <string.h>\n"
                       "int fstatfs(int fd, struct statfs *out) { (void)fd; memset(out, 0, sizeof(*out)); out->f_type = 0x6969; return 0; }\n")
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        with open(PROGRAM, "rb") as file:
            if not compiler or b"__asan_init" in file.read():
                self.skipTest("no compiler, or a program that takes no library before its own")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source], check=True)
        checks, _ = self.doctor(1, environment={"LD_PRELOAD": shim})
        self.assertEqual(checks["filesystem"][0][0], "warning")
        self.assertIn("nfs, a network or FUSE filesystem", checks["filesystem"][0][1])

    def test_little_space(self):
        with tempfile.TemporaryDirectory(dir=self.top) as folder:
            script = 'mount -t tmpfs -o size=1m,nr_inodes=100 none "$0" && cp -r "$1" "$0/log" && exec "$2" doctor --json --log "$0/log"'
            done = subprocess.run(["unshare", "-m", "bash", "-c", script, folder, self.log, PROGRAM], capture_output=True, text=True,
                                  check=False)
            if not done.stdout:
                self.skipTest("nothing can be mounted here")
            self.assertEqual(done.returncode, 1)
            (space,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "space"]
            self.assertEqual(space["state"], "warning")
            self.assertIn("free; a segment takes 64 MiB", space["text"])

    def test_permissions(self):
        os.chmod(self.log, 0o770)
        self.expect("permissions", "warning", "mode 0770: others may write to it")
        os.chmod(self.log, 0o755)
        self.expect("permissions", "note", "mode 0755")
        if os.geteuid() == 0 and shutil.which("setpriv"):
            other = ("setpriv", "--reuid=65534", "--clear-groups")
            os.chmod(self.top, 0o755)
            for name in os.listdir(self.log):
                os.chmod(self.path(name), 0o644)
            done = subprocess.run([*other, PROGRAM, "--version"], capture_output=True, check=False)
            if done.returncode == 0:
                self.expect("permissions", "warning", "belongs to user 0, and this is user 65534", prefix=other)

    def test_fallbacks(self):
        self.expect("fallback", "note", "none:")
        place, none = os.path.join(self.top, "backup"), os.path.join(self.top, "none")
        os.mkdir(place, 0o700)
        self.write_conf("UTC", fallbacks=(place, none))
        checks, _ = self.doctor()
        self.assertEqual([state for state, _ in checks["fallback"]], ["note", "note"])
        self.assertIn("same filesystem", checks["fallback"][0][1])
        self.assertIn("made when it is needed", checks["fallback"][1][1])
        self.assertIn(place, checks["permissions"][1][1])
        os.rmdir(place)
        self.write_conf("UTC", fallbacks=(os.path.join(self.log, "log.conf"),))
        self.expect("fallback", "warning", "cannot be looked at")


class Log(DoctorTest):
    def test_none(self):
        for log, text in ((os.path.join(self.top, "none"), "no such directory"), (self.top, "log.conf")):
            checks, figures = self.doctor(8, log=log)
            self.assertIn(text, checks["log"][0][1])
            self.assertIn("backend", checks)
            self.assertIsNone(figures["pending_calls"])

    def test_conf_damaged(self):
        with open(self.path("log.conf"), "ab") as file:
            file.write(b"x")
        checks, _ = self.doctor(8)
        self.assertIn("log.conf", checks["log"][0][1])

    def test_compact_does_not_run(self):
        segment = Segment(self.log, 1)
        segment.call(time.time() - 60)
        self.expect("compact", "note", "has not run yet; 1 call waits for it")
        segment.call(time.time() - 5.5 * 3600)
        figures = self.expect("compact", "warning", "never ran, and 2 calls wait, the oldest for 5 hours; is cron running it?")
        self.assertIsNone(figures["last_compact_age_s"])
        self.compact()
        self.expect("compact", "ok", "every call is in the totals")
        segment.call(time.time() - 5.5 * 3600)
        self.expect("compact", "ok", "1 call came since")
        for name in ("checkpoint", "summary.json"):
            os.utime(self.path(name), (time.time() - 3 * DAY - 300,) * 2)
        figures = self.expect("compact", "warning", "last ran 3 days ago, and 1 call")
        self.assertAlmostEqual(figures["last_compact_age_s"], 3 * DAY + 300, delta=600)
        # A run that had nothing to fold is one, too: it wrote the summary.
        os.utime(self.path("summary.json"))
        self.expect("compact", "ok", "1 call came since")

    def test_compactor_at_work(self):
        self.compact()
        with lock_file(self.path("lock")):
            self.expect("compact", "ok", "one is at work now")

    def test_writers(self):
        segment = Segment(self.log, 1)
        segment.call(time.time())
        self.expect("writers", "ok", "no program")
        with lock_file(segment.path):
            self.expect("writers", "ok", "1 segment is open in a running program")
            figures = self.expect("sigkill", "ok", "holds in memory")
            self.assertEqual(figures["live_segments"], 1)

    def test_power_cut(self):
        segment = Segment(self.log, 1)
        for _ in range(100):
            segment.call(time.time() - 120)
        segment.durable()
        self.expect("power cut", "ok", "would lose nothing")
        for _ in range(70):
            segment.call(time.time() - 250)
        figures = self.expect("power cut", "note", "might lose 70 calls, of which no sync is known; the oldest was made 4 minutes ago")
        self.assertEqual((figures["pending_calls"], figures["not_durable_calls"]), (170, 70))

    def test_dropped(self):
        segment = Segment(self.log, 1)
        segment.call(time.time())
        write_counters(segment, 10, (3, 0, 1, 0, 0, 0, 0, 0))
        figures = self.expect("dropped", "warning", "3 calls could not be stored and are lost: no space")
        self.assertEqual(figures["dropped_calls"], 4)
        self.expect("dropped", "warning", "1 call could not be stored and is lost: the disk failed")

    def test_damage(self):
        segment = Segment(self.log, 1)
        slot = segment.call(time.time())
        segment.call(time.time())
        self.expect("damage", "ok", "none is known")
        segment.damage(slot)
        figures = self.expect("damage", "warning", "1 slot is damaged")
        self.assertEqual(figures["damaged_slots"], 1)

    def test_set_aside(self):
        Segment(self.log, 1).call(time.time())
        self.compact()
        with open(self.path("checkpoint"), "r+b") as file:
            file.write(b"junk")
        self.compact()
        self.expect("damage", "note", "1 file was found corrupt and set aside, such as checkpoint.corrupted.")

    def test_checkpoint_damaged(self):
        Segment(self.log, 1).call(time.time())
        self.compact()
        with open(self.path("checkpoint"), "r+b") as file:
            file.write(b"junk")
        self.expect("damage", "warning", "checkpoint")

    def test_strange_names(self):
        strange = os.path.join(self.top.encode(), b"a\xff\x1b[2Jb").decode(errors="surrogateescape")
        os.rename(self.log, strange)
        done = subprocess.run([PROGRAM, "doctor", "--json", "--log", strange], capture_output=True, check=False)
        self.assertIn("a\\xff\\x1b[2Jb", json.loads(done.stdout.decode())["checks"][2]["text"])


if __name__ == "__main__":
    unittest.main()
