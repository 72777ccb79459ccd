"""What the end-to-end tests of the command line share: a log in a directory of its own, and the program run on it."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

BIN = os.environ.get("USAGELOG_BIN", "usagelog")
DATA = os.environ.get("USAGELOG_DATA", "")
ORACLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle", "usagelog_reader.py")
SKIPPED = 77
TIMEOUT_S = 120

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
          "reasoning_tokens")
AZURE = ("--format", "csv", "--map", "time=TIMESTAMP,input_tokens=ContextTokens,output_tokens=GeneratedTokens",
         "--provider", "azure", "--model", "gpt-4")


class LogTest(unittest.TestCase):
    """A test with a scratch directory; the log is `log` in it, and is not there at first."""

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="usagelog-test.")
        self.addCleanup(self.scratch.cleanup)
        self.log = self.path("log")
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith(("USAGELOG_", "XDG_"))}
        self.environment.update(USAGELOG_DIR=self.log, TZ="UTC", LC_ALL="C.UTF-8", HOME=self.path("home"))

    def path(self, name):
        return os.path.join(self.scratch.name, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return self.path(name)

    def run_program(self, *args, status=0, stdin=b"", environment=None):
        """Run a subcommand and check its exit status; (stdout, stderr) as text."""
        done = subprocess.run([BIN, *args], input=stdin, capture_output=True, timeout=TIMEOUT_S,
                              env={**self.environment, **(environment or {})}, check=False)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, status, f"{args}\n{out[-2000:]}\n{err[-2000:]}")
        return out, err

    def start(self, *args, **keywords):
        return subprocess.Popen([BIN, *args], env=self.environment, **keywords)

    def dump(self, log=None):
        """All calls, numbers as they are written."""
        out, err = self.run_program("dump", *(("--log", log) if log else ()))
        self.assertEqual(err, "")
        return [json.loads(line, parse_float=str, parse_int=str) for line in out.split("\n") if line]

    def oracle_dump(self):
        done = subprocess.run([sys.executable, ORACLE, "dump", self.log], capture_output=True, timeout=TIMEOUT_S,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return [json.loads(line) for line in done.stdout.splitlines()]


def bare(rows):
    """Calls without where they are, in an order of their own: what a copy of a log must have too."""
    return sorted(json.dumps({key: value for key, value in row.items() if key not in ("segment", "slot", "call_id")},
                             sort_keys=True)
                  for row in rows)


def main():
    """Run the tests of the calling module; a run in which all were skipped is a skipped one."""
    result = unittest.main(argv=sys.argv, exit=False, verbosity=1).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun and len(result.skipped) == result.testsRun else 0)
