#!/usr/bin/python3
"""Exit statuses are those that the man pages list; and what is not the answer goes to standard error."""

import fcntl
import json
import os
import re
import struct
import subprocess

import support
from support import LogTest

PAGE = os.environ.get("USAGELOG_MAN", "")
CALL = ("record", "--provider", "openai", "--model", "gpt-4o")
# What needs a log that is there: how it is asked for one.
READERS = (("compact",), ("rebuild",), ("summary",), ("verify",), ("dump",), ("config",), ("doctor",), ("export", "--format", "jsonl"),
           ("export", "--format", "prometheus"))


def documented(command):
    """The statuses in a command's page."""
    own = PAGE.replace("usagelog.1", f"usagelog-{command}.1")
    with open(own if os.path.exists(own) else PAGE, encoding="utf-8") as file:
        section = re.search(r"^\.Sh EXIT STATUS$(.*?)^\.Sh", file.read(), re.M | re.S)
    return {int(number) for number in re.findall(r"^\.It ([0-9]+)$", section[1], re.M)}


class ExitCodes(LogTest):
    def run_documented(self, *arguments, status, **keywords):
        """Run a subcommand that must end with this status, which its page must list; (stdout, stderr)."""
        self.assertIn(status, documented(arguments[0]), arguments)
        return self.run_program(*arguments, status=status, **keywords)

    def commands(self):
        names = re.findall(r"^  ([a-z]+) ", self.run_program("--help")[0], re.M)
        self.assertLessEqual({arguments[0] for arguments in READERS} - {"summary"}, set(names))
        return names

    def readers(self):
        names = self.commands()
        return [arguments for arguments in READERS if arguments[0] in names]

    def lock(self, name):
        file = open(os.path.join(self.log, name), "r+b")
        self.addCleanup(file.close)
        fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))

    def damage(self):
        """Damage the last call."""
        row = self.dump()[-1]
        with open(os.path.join(self.log, row["segment"] + ".seg"), "r+b") as file:
            file.seek(int(row["slot"]) * 64 + 20)
            file.write(b"damage")

    def test_usage(self):
        for command in self.commands():
            out, err = self.run_documented(command, "--help", status=0)
            self.assertTrue(out and not err, command)
            options = re.findall(r"^  --([a-z0-9-]+)", out, re.M)
            for option in options:
                # A letter too many; what is near another one may be taken for that.
                out, err = self.run_documented(command, f"--{option}x", status=16)
                self.assertEqual(out, "")
                found = re.search(r"; did you mean ([a-z0-9-]+)\?; see usagelog (\S+) --help$", err.strip())
                self.assertTrue(found and found[1] in options and found[2] == command, err)
            out, err = self.run_documented(command, "--xyzzy-plugh", status=16)
            self.assertEqual((out, err), ("", f"usagelog: --xyzzy-plugh is not an option of {command}; see usagelog {command} --help\n"))
        self.assertFalse(os.path.exists(self.log))

    def test_no_log(self):
        for arguments in self.readers():
            out, err = self.run_documented(*arguments, status=8)
            if arguments[0] != "doctor":
                self.assertEqual(out, "", arguments)
                self.assertIn("no log", err, arguments)
        self.run_documented("merge", self.log, status=8)
        self.run_documented("import", "--format", "csv", self.path("none"), status=8)

    def test_done(self):
        for arguments in (CALL, ("completion", "bash"), ("merge", self.log), *self.readers()):
            if arguments[0] not in ("doctor", "record"):
                out, err = self.run_documented(*arguments, status=0)
                self.assertTrue(out and not err, arguments)
            elif arguments[0] == "record":
                self.assertEqual(self.run_documented(*arguments, status=0), ("", ""))
                self.run_program("compact", "--quiet")

    def test_done_in_part(self):
        self.run_program(*CALL, "--call-id", "a")
        self.run_documented(*CALL, "--call-id", "a", "--input-tokens", "1", "--time", "2026-01-01T00:00:00Z", status=1)
        self.write("bad.csv", "time,provider,model\nyesterday,p,m\n")
        self.run_documented("import", "--format", "csv", self.path("bad.csv"), status=1)
        self.run_program("compact", "--quiet")
        os.chmod(self.log, 0o777)
        self.run_documented("doctor", status=1)
        os.chmod(self.log, 0o700)
        self.run_program(*CALL)
        self.damage()
        for arguments in (("dump",), ("export", "--format", "csv"), ("compact",), ("rebuild",), ("summary",)):
            if arguments in self.readers() or arguments[0] in ("export", "rebuild"):
                out, err = self.run_documented(*arguments, status=1)
                self.assertTrue(out and err, arguments)

    def test_busy(self):
        self.run_program(*CALL, "--call-id", "a")
        self.run_program("compact", "--quiet")
        self.lock("lock")
        for command in ("compact", "rebuild"):
            out, err = self.run_documented(command, status=2)
            self.assertTrue(err and not out)
        self.lock("import.lock")
        self.write("calls.csv", "time,provider,model\n2026-01-01T00:00:00Z,p,m\n")
        self.run_documented("import", "--format", "csv", self.path("calls.csv"), status=2)
        self.run_documented(*CALL, "--call-id", "b", status=2)

    def test_verify_is_a_mask(self):
        self.run_program(*CALL)
        self.run_documented("verify", status=0)
        self.write("log/checkpoint.new", "cut off")
        self.run_documented("verify", status=0)
        self.run_documented("verify", "--strict", status=1)
        self.damage()
        self.run_documented("verify", status=4)
        self.run_program("verify", "--strict", status=5)

    def test_output_lost(self):
        self.run_program(*CALL)
        self.run_program("compact", "--quiet")
        for arguments in (("completion", "zsh"), ("merge", self.log), *self.readers()):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([support.BIN, *arguments], stdout=full, stderr=subprocess.PIPE, env=self.environment,
                                      check=False)
            self.assertEqual(done.returncode, 8, arguments)
            self.assertIn(b"standard output cannot be written", done.stderr)

    def test_only_the_answer(self):
        """Of a log with something to warn of, what scripts read is JSON or CSV as ever."""
        self.run_program(*CALL)
        self.run_program(*CALL)
        self.damage()
        answers = [("verify", "--json"), ("doctor", "--json"), ("dump",), ("export", "--format", "jsonl"),
                   ("export", "--format", "otlp-json")]
        if "summary" in self.commands():
            answers.append(("summary", "--json"))
        for arguments in answers:
            done = subprocess.run([support.BIN, *arguments], capture_output=True, env=self.environment, check=False)
            json.loads(done.stdout)
            self.assertIn(done.returncode, (1, 4), arguments)
            self.assertTrue(done.stderr.startswith(b"usagelog: ") or arguments[0] in ("verify", "doctor"), arguments)
        out, err = self.run_program("config", "group_by", "user")
        self.assertEqual(out, "")
        self.assertIn("folds all calls anew", err)

    def test_program(self):
        with open(PAGE, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(documented("usagelog"), {0, 1, 2, 3, 4, 8, 16})
        self.assertIn("is the sum of what holds", text)
        self.assertEqual(self.run_program(status=16)[0], "")
        self.assertEqual(self.run_program("xyzzy", status=16)[0], "")


if __name__ == "__main__":
    support.main()
