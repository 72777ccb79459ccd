#!/usr/bin/python3
"""The man pages: their examples run as they stand, and they name every subcommand and option that there is."""

import glob
import os
import re
import subprocess

import support
from support import LogTest

PAGE = os.environ.get("USAGELOG_MAN", "")
OTHERS = sorted(glob.glob(PAGE.replace("usagelog.1", "usagelog-*.1")))


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
        for path in (PAGE, *OTHERS):
            # Each page begins without a log.
            folder = self.path(os.path.basename(path))
            os.mkdir(folder)
            environment["USAGELOG_DIR"] = self.log = os.path.join(folder, "log")
            lines = examples(path)
            for line in lines:
                done = subprocess.run(["/bin/sh", "-e", "-c", line], env=environment, cwd=folder, capture_output=True,
                                      timeout=support.TIMEOUT_S, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, b""), (path, line))
            self.assertGreaterEqual(len(lines), 10 if path == PAGE else 2, path)
            if path == PAGE:
                self.assertEqual(len(self.dump(self.log)), 4)
                self.assertEqual(len(self.dump(os.path.join(folder, "copy"))), 4)

    def test_all_options(self):
        commands = re.findall(r"^  ([a-z]+) ", self.run_program("--help")[0], re.M)
        self.assertGreaterEqual(len(commands), 10)
        for command in commands:
            self.assertRegex(page(), rf"\n\.Ss {command}[ \n]")
            own = PAGE.replace("usagelog.1", f"usagelog-{command}.1")
            text = page(own if own in OTHERS else PAGE).replace("\\-", "-")
            for option in re.findall(r"^  --([a-z0-9-]+)", self.run_program(command, "--help")[0], re.M):
                self.assertTrue(re.search(rf"(Fl|,) -{option}\b", text) or option == "help",
                                f"{command} --{option} is not in its man page")

    def test_lint(self):
        try:
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", PAGE, *OTHERS], capture_output=True, timeout=support.TIMEOUT_S,
                                  check=False)
        except FileNotFoundError:
            self.skipTest("mandoc is not here")
        self.assertEqual((done.returncode, done.stdout), (0, b""))


if __name__ == "__main__":
    support.main()
