"""A log to record to, and to look at."""
from __future__ import annotations

import atexit
import json
import os
import weakref
from decimal import Decimal
from typing import Any, Iterator, Optional, Union

from usagelog import _native, _program

_open_logs: "weakref.WeakSet[Log]" = weakref.WeakSet()
EXIT_FLUSH_S = 5.0


class Log(_native.Log):
    """A log, open to record calls of LLM APIs to; see `usagelog._native.Log` for record() and the options.

    `with Log(...) as log` closes it. `for call in log` goes through all calls that the log has, those of other processes included.
    """

    def __init__(self, directory: Union[str, "os.PathLike[str]", None] = None, **options: Any) -> None:
        # Absolute, so that it stays what it is if the process changes its directory.
        path = os.fspath(directory) if directory is not None else _native.default_directory()
        self.directory: str = os.path.abspath(os.fsdecode(path))
        super().__init__(self.directory, **options)
        _open_logs.add(self)

    def __repr__(self) -> str:
        return f"<usagelog.Log {self.directory!r}{' (closed)' if self.closed else ''}>"

    def summary(self, days: int = 30, timeout: Optional[float] = None) -> dict[str, Any]:
        """Totals, averages and breakdowns of the last so many days, as `usagelog summary --json` has them: every call so far is in
        them, folded or not. Exact costs are decimal text ("cost_exact") beside the plain number."""
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 36500:
            raise ValueError(f"days: {days!r} is not a number from 1 to 36500")
        _, out, _ = _program.run(self.directory, "summary", "--json", "--raw-names", "--days", str(days), timeout=timeout,
                                 allowed=(_program.DONE, _program.PART))
        return json.loads(out)

    def compact(self, timeout: Optional[float] = None) -> bool:
        """Fold what is new into the totals, and write the log's summary.json. False: somebody else is at it."""
        status, _, _ = _program.run(self.directory, "compact", "--quiet", timeout=timeout,
                                    allowed=(_program.DONE, _program.PART, _program.BUSY))
        return status != _program.BUSY

    def import_prices(self, *paths: Union[str, "os.PathLike[str]"], since: Optional[str] = None, timeout: Optional[float] = None) -> bool:
        """Make a price table of maps in LiteLLM's form, for days from `since` on ("YYYY-MM-DD", today if it is not given), as `usagelog prices import`
        does: calls without a cost are priced with it when they are folded. False: somebody else folds."""
        options = ["--since", since] if since is not None else []
        status, _, _ = _program.run(self.directory, "prices", "import", *options, *(os.path.abspath(os.fsdecode(path)) for path in paths),
                                    timeout=timeout, allowed=(_program.DONE, _program.PART, _program.BUSY))
        return status != _program.BUSY

    def prices(self, model: str, provider: str = "", timeout: Optional[float] = None) -> Optional[dict[str, Any]]:
        """A model's prices in the table that stands today, as `usagelog prices show --json` has them: US dollars a token, as decimal text. None: it has
        none."""
        options = ["--provider", provider] if provider else []
        status, out, _ = _program.run(self.directory, "prices", "show", "--json", *options, "--", model, timeout=timeout,
                                      allowed=(_program.DONE, _program.PART))
        return json.loads(out) if status == _program.DONE else None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Every call, by segment and slot, as `usagelog dump` has it: None is what it does not have; cost_usd is a Decimal."""
        for row in _program.dump(self.directory):
            if "kind" in row:
                continue
            for name in ("cost_usd", "latency_ms", "ttft_ms"):
                if isinstance(row[name], int):
                    row[name] = Decimal(row[name])
            yield row


def _flush_at_exit() -> None:
    # Not closed: what other handlers of the exit record after this one is committed, too.
    for log in list(_open_logs):
        try:
            if not log.closed:
                log.flush(EXIT_FLUSH_S)
        except Exception:  # pylint: disable=broad-except  # nobody is left to tell
            pass


atexit.register(_flush_at_exit)
