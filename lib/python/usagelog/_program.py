"""The program `usagelog`, which reads and folds logs for this package.

It is run, not linked: a fold sets the time zone of its process (TZ) to the log's, which a host with threads must not suffer; it maps whole
segments and may take memory as large as a log's totals are; and whatever is wrong with a file that it reads, or with itself, ends a child and not the
host. What it costs is a few milliseconds, on no call's way. Its command line and exit statuses are documented and tested, and every other user of a log has
the same.

Of SIGCHLD the host may make what it likes: where it is ignored the status of a child is lost, and taken for 0; what counts is what the
child wrote.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from typing import Any, Iterator, List, NoReturn, Optional, Sequence, Tuple

from usagelog._native import Error

DONE, PART, BUSY = 0, 1, 2


def find() -> str:
    """$USAGELOG_BIN, else the one that was installed with the package, else the one in $PATH."""
    given = os.environ.get("USAGELOG_BIN")
    if given:
        return given
    ours = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "usagelog")
    if os.access(ours, os.X_OK):
        return ours
    found = shutil.which("usagelog")
    if found:
        return found
    raise Error("the program usagelog is not there: it is neither in the package nor in PATH; install the package again, "
                "or set USAGELOG_BIN to it")


def _command(log: str, args: Sequence[str]) -> List[str]:
    return [find(), "--log", log, *args]


def _fail(command: Sequence[str], status: int, said: str) -> NoReturn:
    raise Error(f"usagelog {command[3]} ended with status {status}: {said.strip() or 'it said nothing'}")


def run(log: str, *args: str, stdin: str = "", timeout: Optional[float] = None,
        allowed: Tuple[int, ...] = (DONE,)) -> Tuple[int, str, str]:
    """Run a subcommand on a log: (status, stdout, stderr). Error for a status that is not allowed; TimeoutError."""
    command = _command(log, args)
    try:
        done = subprocess.run(command, input=stdin.encode("utf-8", "surrogatepass"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"usagelog {args[0]} took more than {timeout:.1f} s") from None
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode not in allowed:
        _fail(command, done.returncode, said)
    return done.returncode, done.stdout.decode("utf-8", "replace"), said


def dump(log: str) -> Iterator[dict[str, Any]]:
    """Every call and balance of a log, costs and times as Decimal. One line is in memory at a time."""
    command = _command(log, ["dump", "--format", "jsonl"])
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout and child.stderr
        try:
            for line in child.stdout:
                yield json.loads(line, parse_float=Decimal)
            said = child.stderr.read().decode("utf-8", "replace")
        except GeneratorExit:
            child.kill()
            raise
    if child.returncode not in (DONE, PART):
        _fail(command, child.returncode, said)


def main() -> None:
    """The command `usagelog` where the package is installed."""
    program = find()
    os.execv(program, [program, *sys.argv[1:]])
