#!/usr/bin/python3
"""What a call costs that is imported, in instructions: they are the same in each run, where times are not."""

import re
import subprocess

import support
from support import AZURE, LogTest

CALLS = 4000
# 3,370 when this was written, 5,330 before it was looked at.
INSTRUCTIONS_A_CALL_MAX = 4000
ROW = "2026-01-10 %02d:%02d:%02d.1234567,%d,%d\r\n"


class Cost(LogTest):
    def instructions(self, calls):
        """Of a whole run that imports so many calls."""
        rows = (ROW % (i // 3600 % 24, i // 60 % 60, i % 60, i * 37 % 5000, i % 800) for i in range(calls))
        path = self.write("input", "TIMESTAMP,ContextTokens,GeneratedTokens\r\n" + "".join(rows))
        try:
            done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", support.BIN, "--log",
                                   self.path(f"log{calls}"), "import", *AZURE, path],
                                  capture_output=True, text=True, env=self.environment, timeout=support.TIMEOUT_S,
                                  check=False)
        except FileNotFoundError:
            self.skipTest("valgrind is not here")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"imported {calls:,} calls", done.stdout)
        return int(re.search(r"refs:\s+([0-9,]+)", done.stderr)[1].replace(",", ""))

    def test_instructions(self):
        cost = (self.instructions(CALLS + 100) - self.instructions(100)) / CALLS
        print(f"{cost:.0f} instructions a call")
        self.assertLess(cost, INSTRUCTIONS_A_CALL_MAX)


if __name__ == "__main__":
    support.main()
