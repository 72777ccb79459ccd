#!/usr/bin/python3
"""Completions, in the shells that they are for: every subcommand, option and value that the help shows is offered."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import support
from support import LogTest

SHELLS = ("bash", "zsh", "fish")


class Zsh:
    """An interactive zsh on a terminal of its own: lists what it would complete a line with."""

    def __init__(self, file, environment, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**environment, "TERM": "dumb", "COLUMNS": "200", "LINES": "500"})
        self.number, self.seen = 0, ""
        # The prompt says that the line editor reads keys, and not the terminal, which has a meaning of its own for some.
        self.send("PS1='<%%ready>'; PROMPT_EOL_MARK=; stty cols 200 rows 500; autoload -U compinit; compinit -D -u; LISTMAX=1000; "
                  f"unsetopt zle_bracketed_paste; bindkey '^T' list-choices; bindkey '^U' kill-whole-line; source {file}; print READ''Y\n")
        self.read_until("READY")
        self.read_until("<%ready>")

    def send(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, marker):
        """What came up to the marker; what came behind it is left for the next time."""
        end = time.monotonic() + 30
        while marker not in self.seen:
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"zsh does not answer: {self.seen[-2000:]}")
            self.seen += os.read(self.fd, 65536).decode(errors="replace")
        text, self.seen = self.seen.split(marker, 1)
        return text

    def complete(self, line):
        self.number += 1
        self.send(line + "\x14\x15print DON''E%d\n" % self.number)
        text = self.read_until("DONE%d" % self.number)
        self.read_until("<%ready>")
        return set(re.findall(r"[^\s]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", text).replace("\r", "\n")))

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


class Completion(LogTest):
    def setUp(self):
        super().setUp()
        self.tools = self.path("bin")
        os.mkdir(self.tools)
        os.symlink(support.BIN, os.path.join(self.tools, "usagelog"))
        self.environment["PATH"] = self.tools + ":" + self.environment["PATH"]
        os.mkdir(self.path("home"))
        os.mkdir(self.path("here"))
        os.mkdir(self.path("here/a folder"))
        self.write("here/a file.csv", "")
        self.files = {}
        for shell in SHELLS:
            self.files[shell] = self.write("usagelog." + shell, self.run_program("completion", shell)[0])

    def commands(self):
        """Each subcommand with its options, and the words of those that have words, as the help shows them."""
        names = re.findall(r"^  ([a-z]+) ", self.run_program("--help")[0], re.M)
        self.assertGreaterEqual(len(names), 10)
        shown = {}
        for name in names:
            text = self.run_program(name, "--help")[0]
            shown[name] = dict(re.findall(r"^  --([a-z0-9-]+)(?: (\S+))?", text, re.M))
            self.assertIn("help", shown[name])
        return shown

    def in_bash(self, line):
        words = line.split(" ")
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _usagelog; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, "-", self.files["bash"], *words], capture_output=True, text=True,
                              cwd=self.path("here"), env=self.environment, check=False, timeout=support.TIMEOUT_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""), line)
        return {word for word in done.stdout.splitlines() if word}

    def in_fish(self, *lines):
        """Several lines at once, since fish is slow to start."""
        script = "source $argv[1]; for line in $argv[2..]; complete -C $line; echo ===; end"
        done = subprocess.run(["fish", "--no-config", "-c", script, self.files["fish"], *lines], capture_output=True, text=True,
                              cwd=self.path("here"), env=self.environment, check=False, timeout=support.TIMEOUT_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""), lines)
        return [{line.split("\t")[0] for line in part.splitlines()} for part in done.stdout.split("===\n")[:-1]]

    def check(self, complete):
        """`complete` gives the sets of words offered for lines."""
        shown = self.commands()
        lines, wanted = ["usagelog "], [set(shown)]
        for name, options in shown.items():
            lines.append(f"usagelog {name} --")
            wanted.append({"--" + option for option in options})
            for option, value in options.items():
                if value and re.fullmatch("[a-z0-9|_-]+", value) and "|" in value:
                    lines.append(f"usagelog {name} --{option} ")
                    wanted.append(set(value.split("|")))
        lines += ["usagelog config ", "usagelog completion ", "usagelog --log x completion ", "usagelog --log x du"]
        wanted += [{"time_zone", "group_by", "log_id"}, set(SHELLS), set(SHELLS), {"dump"}]
        self.assertGreater(len(lines), 15)
        for line, offered, words in zip(lines, complete(*lines), wanted):
            # zsh shows --output=FILE as --output.
            self.assertLessEqual(words, {word.rstrip("=") for word in offered} | offered, line)

    def test_bash(self):
        self.check(lambda *lines: [self.in_bash(line) for line in lines])
        # Nothing but what there is, and options only where one is begun.
        self.assertEqual(self.in_bash("usagelog completion "), set(SHELLS))
        self.assertEqual(self.in_bash("usagelog completion bash "), set())
        self.assertEqual(self.in_bash("usagelog dump --format = j"), {"jsonl"})
        self.assertEqual(self.in_bash("usagelog record --model "), set())
        self.assertEqual(self.in_bash("usagelog merge -o a"), {"a file.csv", "a folder"})
        self.assertEqual(self.in_bash("usagelog import a"), {"a file.csv", "a folder"})
        self.assertEqual(self.in_bash("usagelog verify --log a"), {"a folder"})
        self.assertEqual(self.in_bash("usagelog --log = a"), {"a folder"})
        self.assertEqual(self.in_bash("usagelog --log = a verify --str"), {"--strict"})

    def test_fish(self):
        if not shutil.which("fish"):
            self.skipTest("fish is not here")
        self.check(self.in_fish)
        model, output, log, second = self.in_fish("usagelog record --model ", "usagelog merge -o a", "usagelog verify --log a",
                                                  "usagelog completion bash ")
        self.assertEqual(model, set())
        self.assertEqual(output, {"a file.csv", "a folder/"})
        self.assertEqual(log, {"a folder/"})
        self.assertEqual(second, set())

    def test_zsh(self):
        if not shutil.which("zsh"):
            self.skipTest("zsh is not here")
        zsh = Zsh(self.files["zsh"], self.environment, self.path("here"))
        self.addCleanup(zsh.close)
        self.check(lambda *lines: [zsh.complete(line) for line in lines])

    def test_syntax(self):
        for shell in SHELLS:
            if shutil.which(shell):
                done = subprocess.run([shell, "-n", self.files[shell]], capture_output=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, b""), shell)

    def test_mistakes(self):
        self.assertIn("one shell", self.run_program("completion", status=16)[1])
        self.assertIn("did you mean fish?", self.run_program("completion", "fihs", status=16)[1])


if __name__ == "__main__":
    support.main()
