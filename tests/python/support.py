"""What the tests of the Python package share: a scratch directory, and children that run a piece of Python."""
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

SKIPPED = 77
TIMEOUT_S = 120
SANITIZED = bool(os.environ.get("USAGELOG_SANITIZED"))


class ScratchTest(unittest.TestCase):
    """A test with a directory of its own, where the log is `log`."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="usagelog-test.")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.log_path = self.path("log")
        for name in [name for name in os.environ if name.startswith("XDG_") or name in ("USAGELOG_DIR", "USAGELOG_SYNCHRONOUS")]:
            self.addCleanup(os.environ.__setitem__, name, os.environ.pop(name))
        os.environ["HOME"] = self.path("home")

    def path(self, *names):
        return os.path.join(self.scratch, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def read_json(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)

    def program(self, *args, log=None, allowed=(0,)):
        """Run the program on the log: its stdout."""
        done = subprocess.run([os.environ["USAGELOG_BIN"], "--log", log or self.log_path, *args], capture_output=True, text=True,
                              timeout=TIMEOUT_S, check=False)
        self.assertIn(done.returncode, allowed, done.stdout + done.stderr)
        return done.stdout

    def start(self, code, *args, **environment):
        """A child that runs this code; sys.argv[1:] are the arguments."""
        return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env={**os.environ, **environment})

    def run_child(self, code, *args, status=0, **environment):
        child = self.start(code, *args, **environment)
        out, err = child.communicate(timeout=TIMEOUT_S)
        self.assertEqual(child.returncode, status, f"{out}\n{err}")
        return out, err

    def wait_until(self, condition, seconds=30):
        """Poll until it holds."""
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it does not come to hold")
            time.sleep(0.005)


def main():
    """Run the tests of the calling module; a run in which all were skipped is a skipped one."""
    result = unittest.main(argv=sys.argv, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun and len(result.skipped) == result.testsRun else 0)
