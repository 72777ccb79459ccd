#!/usr/bin/python3
"""The man pages: their examples run as they stand, and usagelog.1 names every subcommand and option that there is."""

import os
import re
import subprocess

import support
from support import LogTest

PAGE = os.environ.get("USAGELOG_MAN", "")
OTHERS = [PAGE.replace("usagelog.1", f"usagelog-{name}.1") for name in ("compact", "verify")]


def page(path=PAGE):
    with open(path, encoding="utf-8") as file:
        return file.read()


def examples(path):
    """The command lines of all marked examples, as they are shown."""
    return [line[2:].replace("\\e", "\\")
            for block in re.findall(r'^\.\\" run$(.*?)^\.\\" end$', page(path), re.S | re.M)
            for line in block.splitlines() if line.startswith("$ ")]


class ManPage(LogTest):
    def test_examples(self):
        tools = self.path("bin")
        os.mkdir(tools)
        os.symlink(support.BIN, os.path.join(tools, "usagelog"))
        environment = {**self.environment, "PATH": tools + ":" + self.environment["PATH"]}
        count = {}
        for path in (PAGE, *OTHERS):
            count[path] = 0
            for line in examples(path):
                done = subprocess.run(["/bin/sh", "-e", "-c", line], env=environment, cwd=self.scratch.name,
                                      capture_output=True,
                                      timeout=support.TIMEOUT_S, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, b""), line)
                count[path] += 1
            if path == PAGE:
                self.assertEqual(len(self.dump()), 4)
                self.assertEqual(len(self.dump(self.path("copy"))), 4)
        self.assertGreaterEqual(count[PAGE], 10)
        self.assertEqual([count[path] for path in OTHERS], [4, 4])

    def test_all_options(self):
        text = page().replace("\\-", "-")
        for command in ("record", "import", "compact", "rebuild", "merge", "summary", "verify", "dump", "config"):
            self.assertRegex(text, rf"\n\.Ss {command}[ \n]")
            for option in re.findall(r"^  --([a-z0-9-]+)", self.run_program(command, "--help")[0], re.M):
                self.assertTrue(re.search(rf"(Fl|,) -{option}\b", text), f"{command} --{option} is not in the man page")

    def test_lint(self):
        try:
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", PAGE, *OTHERS], capture_output=True, timeout=support.TIMEOUT_S,
                                  check=False)
        except FileNotFoundError:
            self.skipTest("mandoc is not here")
        self.assertEqual((done.returncode, done.stdout), (0, b""))


if __name__ == "__main__":
    support.main()
