"""The program as cron and shells run it: no thread for one call, and a clock that is years off."""

import json
import os
import re
import shutil
import subprocess
import unittest

import support

# Sanitizers want to be the first library, and do not search for leaks under strace.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}
CALL = ("--provider", "openai", "--model", "gpt-4o", "--input-tokens", "7", "--cost-usd", "0.25")


class Threads(support.LogTest):
    def begun(self, *args):
        """The threads and processes that the program begins."""
        trace = self.path("trace")
        done = subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=clone,clone3,fork,vfork,execve", support.BIN, *args],
                              env={**self.environment, **ENVIRONMENT}, capture_output=True, timeout=support.TIMEOUT_S,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        with open(trace) as file:
            said = file.read()
        self.assertRegex(said, r"\bexecve\(", "strace has seen nothing")
        return re.findall(r"\b(?:clone3?|v?fork)\(", said)

    @unittest.skipUnless(shutil.which("strace"), "no strace")
    def test_record_starts_none(self):
        self.assertEqual(self.begun("record", *CALL), [])
        self.assertEqual(self.begun("record", *CALL, "--sync"), [])
        self.assertEqual(len(self.dump()), 2)


@unittest.skipUnless(shutil.which("faketime"), "no faketime")
class Clock(support.LogTest):
    """faketime shifts the monotonic clock along, as no kernel does: nothing may wait for either."""

    def under(self, shift, *args):
        done = subprocess.run(["faketime", "-f", shift, support.BIN, *args], env={**self.environment, **ENVIRONMENT},
                              capture_output=True, timeout=support.TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, 0, f"{shift} {args}\n{done.stdout.decode()}\n{done.stderr.decode()}")
        return done.stdout.decode()

    def test_years_off(self):
        shifts = ("+0", "+30y", "-30y", "+1h", "-1h", "+100d")
        for number, shift in enumerate(shifts):
            self.under(shift, "record", *CALL, *(("--sync",) if number % 2 else ()))
            self.under(shift, "compact", "--quiet")
            self.under(shift, "verify")
        self.assertEqual(len(self.dump()), len(shifts))
        years = {call["time"][:4] for call in self.dump()}
        self.assertGreaterEqual(len(years), 3, f"the clock was not shifted: {years}")
        # A pass with the right time changes nothing, and a pass with a wrong one counted nothing twice or not at all.
        self.run_program("compact", "--quiet")
        self.run_program("verify")
        with open(os.path.join(self.log, "summary.json")) as file:
            days = json.load(file)["daily_totals"]
        self.assertEqual(sum(day["calls"] for day in days.values()), len(shifts))
        self.assertEqual(sum(day["tokens"] for day in days.values()), 7 * len(shifts))


if __name__ == "__main__":
    support.main()
