#!/usr/bin/python3
"""The man page: its examples run as they stand, and it names every subcommand and option that there is."""

import os
import re
import subprocess

import support
from support import LogTest

PAGE = os.environ.get("USAGELOG_MAN", "")


def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def examples():
    """The command lines of each marked example, as they are shown."""
    for block in re.findall(r'^\.\\" run$(.*?)^\.\\" end$', page(), re.S | re.M):
        yield [line[2:].replace("\\e", "\\") for line in block.splitlines() if line.startswith("$ ")]


class ManPage(LogTest):
    def test_examples(self):
        tools = self.path("bin")
        os.mkdir(tools)
        os.symlink(support.BIN, os.path.join(tools, "usagelog"))
        environment = {**self.environment, "PATH": tools + ":" + self.environment["PATH"]}
        count = 0
        for lines in examples():
            for line in lines:
                done = subprocess.run(["/bin/sh", "-e", "-c", line], env=environment, cwd=self.scratch.name,
                                      capture_output=True,
                                      timeout=support.TIMEOUT_S, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, b""), line)
                count += 1
        self.assertGreaterEqual(count, 10)
        self.assertEqual(len(self.dump()), 4)
        self.assertEqual(len(self.dump(self.path("copy"))), 4)

    def test_all_options(self):
        text = page().replace("\\-", "-")
        for command in ("record", "import", "compact", "summary", "verify", "dump", "config"):
            self.assertIn(f".Ss {command}\n", text)
            for option in re.findall(r"^  --([a-z0-9-]+)", self.run_program(command, "--help")[0], re.M):
                self.assertTrue(re.search(rf"(Fl|,) -{option}\b", text), f"{command} --{option} is not in the man page")

    def test_lint(self):
        try:
            done = subprocess.run(["mandoc", "-T", "lint", PAGE], capture_output=True, timeout=support.TIMEOUT_S,
                                  check=False)
        except FileNotFoundError:
            self.skipTest("mandoc is not here")
        self.assertEqual((done.returncode, done.stdout), (0, b""))


if __name__ == "__main__":
    support.main()
