"""The old tracker's names over the log: UsageTracker and AsyncUsageWriter, so that those who call them change nothing.

A call is in the log, and survives the process, when record() or queue_write() returns. What is kept from the old ones is the JSON file: a thread of
this process has it brought up, at the triggers that the old ones had, if anything was recorded.
"""
from __future__ import annotations

import atexit
import json
import logging
import math
import os
import sys
import threading
import time
import weakref
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Dict, Mapping, Optional, Union

from usagelog import _native
from usagelog._storage import Storage
from usagelog.log import Log
from usagelog.providers import provider_of, without_prefix

LOGGER = logging.getLogger("usagelog")
COUNT_MAX = 2**32 - 1
NAME_BYTES_MAX = 1024
ADOPT_TIMEOUT_S = 60.0
SHUTDOWN_TIMEOUT_S = 5.0
PUBLISH_TIMEOUT_S = 60.0
PRICE_TIMEOUT_S = 5.0
RETRY_S = 0.1
ALL_DAYS = 36500
MONTH_DAYS = 30
LEFT_OUT = '{"usagelog":"metadata left out"}'

_writers: "weakref.WeakSet[AsyncUsageWriter]" = weakref.WeakSet()


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in ("", "0", "no", "off", "false")


class AsyncUsageWriter:
    """Writes records to the log beside `storage_path`, and keeps the JSON there current.

    `synchronous`: every record is durable when queue_write() returns; None: if the environment's USAGELOG_SYNCHRONOUS says so.
    `compact_on_flush` False: the JSON is left to others, such as `usagelog compact` by cron. Other options are those of Log().
    """

    def __init__(self, storage_path: Union[str, "os.PathLike[str]"], flush_interval: float = 5.0, flush_threshold: int = 10,
                 max_retries: int = 3, retry_base_delay: float = 0.1, *, synchronous: Optional[bool] = None,
                 compact_on_flush: bool = True, log_directory: Union[str, "os.PathLike[str]", None] = None, **log_options: Any) -> None:
        # Links are followed now, as the old tracker did when it opened the file: what is replaced is the file, not the link.
        path = os.path.realpath(os.fspath(storage_path))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if synchronous is None:
            synchronous = _is_set("USAGELOG_SYNCHRONOUS")
        self.storage_path = path
        self.flush_interval = max(float(flush_interval), 0.0)
        self.flush_threshold = max(int(flush_threshold), 1)
        self.compact_on_flush = compact_on_flush
        self.log = Log(path + ".usagelog" if log_directory is None else log_directory, synchronous=synchronous,
                       retry_count_max=max(int(max_retries), 1), retry_delay_ms=max(int(retry_base_delay * 1000), 1), **log_options)
        self._storage = Storage(path, self.log)
        self._counter: Any = self  # whose _pending counts the records since the last look
        self._pending = 0
        self._errors = 0
        self._last_error: Optional[str] = None
        self._last_flush: Optional[str] = None
        self._begin()
        if compact_on_flush:
            self._try(self._storage.adopt, ADOPT_TIMEOUT_S)
        _writers.add(self)

    # ---- the thread

    def _begin(self) -> None:
        """As a process begins: with no thread, which is started with the first record."""
        self._changed = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._stopping = False
        self._dirty_since: Optional[float] = None
        self._full = False
        self._not_before = -math.inf
        self._counter._pending = 0

    def _due(self) -> None:
        """The first record since the last look, or the one that reaches the threshold: the only ones that come here."""
        # An interpreter that ends has stopped its other threads where they were: a lock that one of them held is never free again.
        if not self.compact_on_flush or sys.is_finalizing():
            return
        with self._changed:
            if self._dirty_since is None:
                self._dirty_since = time.monotonic()
            self._full = self._counter._pending >= self.flush_threshold
            if not self._thread and not self._stopping:
                self._thread = threading.Thread(target=_work, args=(self._reference(), self._changed), name="usagelog", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no more threads: the interpreter ends, and flushes
                    self._thread = None
            self._changed.notify()

    def _reference(self) -> "weakref.ref[AsyncUsageWriter]":
        """What the thread has of this, so that it does not keep it; it is woken when this ends."""
        changed = self._changed

        def ended(_: Any, is_finalizing: Any = sys.is_finalizing) -> None:
            if not is_finalizing():
                with changed:
                    changed.notify_all()

        return weakref.ref(self, ended)

    def _wait(self) -> Optional[float]:
        """Under the condition: seconds until the file is to be brought up; None: not before something is recorded."""
        if self._dirty_since is None:
            return None
        due = self._dirty_since + (0.0 if self._full else self.flush_interval)
        return max(due, self._not_before) - time.monotonic()

    def _look(self) -> None:
        """The thread's: bring the file up, if no other process just has. What it did not have is due again."""
        wait = max(self.flush_interval, RETRY_S)
        try:
            left = self.flush_interval - self._storage.age()
            if left > 0:
                wait = left
            else:
                self._publish(PUBLISH_TIMEOUT_S, 0.0)
        except TimeoutError:
            pass  # another one is at it, and may have begun before our last record: once more, later
        except Exception as error:  # pylint: disable=broad-except  # this thread has nobody to raise to
            self._note(error)
        self._report()
        with self._changed:
            self._not_before = time.monotonic() + wait

    def _publish(self, timeout: float, lock_timeout: float) -> None:
        with self._changed:
            pending, since, full = self._counter._pending, self._dirty_since, self._full
            # Before the fold: what is recorded from here on is due again.
            self._counter._pending, self._dirty_since, self._full = 0, None, False
        try:
            self._storage.publish(timeout, lock_timeout)
        except BaseException:
            with self._changed:
                self._counter._pending += pending
                self._dirty_since = since if since is not None else time.monotonic()
                self._full = self._full or full
            raise
        with self._changed:
            self._not_before = time.monotonic() + self.flush_interval
        self._last_flush = datetime.now().isoformat()

    # ---- what goes wrong

    def _note(self, error: BaseException) -> None:
        self._errors += 1
        text = f"{type(error).__name__}: {error}"
        if text != self._last_error:
            LOGGER.warning("%s: %s", self.storage_path, text)
        self._last_error = text

    def _report(self) -> None:
        for _, message in self.log.take_warnings():
            LOGGER.warning("%s", message)

    def _try(self, function: Any, *args: Any) -> bool:
        try:
            function(*args)
            return True
        except Exception as error:  # pylint: disable=broad-except  # the calls are in the log whatever becomes of the file
            self._note(error)
            return False

    # ---- what is called

    def queue_write(self, record: Mapping[str, Any]) -> None:
        """Record one call: a dict with what UsageTracker.record() returns. On return it survives the process."""
        counts, model = {}, _clean_name(record.get("model"))
        for name in ("input_tokens", "output_tokens"):
            counts[name] = _clean_count(record.get(name))
        fields = {"cost_usd": _clean_cost(record.get("cost_usd")), "latency_ms": _clean_ms(record.get("latency_ms")),
                  "operation": _clean_name(record.get("operation") or "chat"), "time": _clean_time(record.get("timestamp"))}
        provider = _clean_name(record.get("provider") or provider_of(model))
        try:
            try:
                self.log.record(provider, model, metadata=_clean_metadata(record.get("metadata")), **counts, **fields)
            except ValueError:
                # Deeper than the log takes.
                self.log.record(provider, model, metadata=LEFT_OUT, **counts, **fields)
        except _native.Dropped as error:
            self._note(error)
        self._pending += 1
        if self._pending in (1, self.flush_threshold):
            self._due()

    def flush(self, timeout: float = 5.0) -> bool:
        """Have all records so far durable, and the JSON current. False: not within so many seconds."""
        deadline = time.monotonic() + timeout
        done = False
        try:
            done = self.log.flush(timeout)
            if self.compact_on_flush and not sys.is_finalizing():
                left = max(deadline - time.monotonic(), 0.0)
                self._publish(left, left)
            else:
                self._last_flush = datetime.now().isoformat()
        except Exception as error:  # pylint: disable=broad-except  # as the old one's: told by the result, the stats and the log
            self._note(error)
            done = False
        self._report()
        return done

    def shutdown(self, timeout: float = SHUTDOWN_TIMEOUT_S) -> bool:
        """Flush, and stop the thread. What is recorded afterwards is in the log, but in the JSON only after another flush."""
        done = self.flush(timeout)
        if sys.is_finalizing():
            return done
        with self._changed:
            self._stopping = True
            thread, self._thread = self._thread, None
            self._changed.notify()
        if thread and thread is not threading.current_thread():
            thread.join(timeout)
        return done

    def get_stats(self) -> Dict[str, Any]:
        """The old writer's figures, and the log's (see Log.stats()): those are of this process."""
        ours = self.log.stats()
        lost = sum(ours["dropped"].values())
        return {
            **ours,
            "total_flushes": self._storage.published,
            "total_records": ours["attempted"],
            "last_flush_time": self._last_flush,
            "error_count": self._errors + ours["sync_errors"],
            "fallback_writes": ours["fallbacks"],
            "lost_records": lost,
            "retry_count": ours["retries"],
            "corruption_recoveries": self._storage.corrupted,
            "buffer_size": ours["committed"] - ours["durable"],
            "queue_size": ours["held"],
            "last_error": self._last_error or ours["last_error"],
            "foreign_files": self._storage.foreign,
        }


def _work(reference: "weakref.ref[AsyncUsageWriter]", changed: threading.Condition) -> None:
    """The thread. It does not keep its writer alive."""
    while True:
        with changed:
            writer = reference()
            if not writer or writer._stopping:
                return
            wait = writer._wait()
            if wait is None or wait > 0:
                writer = None
                changed.wait(wait)
        if writer:
            writer._look()
        writer = None


def _begin_in_child() -> None:
    for writer in list(_writers):
        writer._begin()


def _flush_at_exit() -> None:
    for writer in list(_writers):
        if writer._counter._pending:
            writer.flush(SHUTDOWN_TIMEOUT_S)


os.register_at_fork(after_in_child=_begin_in_child)
atexit.register(_flush_at_exit)


# ---- what the old ones took --------------------------------------------------------------------------------------


def _clean_name(value: Any) -> str:
    """A name that the log takes, of whatever was given."""
    text = "".join(char if char.isprintable() or char == " " else " " for char in str(value)).strip()
    data = text.encode("utf-8", "replace")[:NAME_BYTES_MAX]
    return data.decode("utf-8", "ignore") or "(unknown)"


def _clean_count(value: Any) -> int:
    try:
        return min(max(int(value or 0), 0), COUNT_MAX)
    except (TypeError, ValueError, OverflowError):
        return 0


def _clean_ms(value: Any) -> Optional[float]:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if 0 < found < COUNT_MAX else None


def _clean_cost(value: Any) -> Any:
    """An amount that the log takes; None, which is unpriced: there is none."""
    if value is None:
        return None
    try:
        found = value if isinstance(value, (int, Decimal)) else float(value)
        _native.pico_usd(found)
        return found
    except (TypeError, ValueError, OverflowError):
        return None


def _clean_time(value: Any) -> Optional[datetime]:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _clean_metadata(value: Any) -> Optional[str]:
    """JSON that the log takes, of whatever was given."""
    if not value:
        return None
    try:
        text = json.dumps(value if isinstance(value, Mapping) else {"value": value}, default=str, ensure_ascii=False, skipkeys=True)
        text = json.dumps(json.loads(text, parse_constant=str), ensure_ascii=False)
        if len(text.encode("utf-8")) <= 16000:
            return text
        why = "longer than 16 KiB"
    except (TypeError, ValueError, RecursionError) as error:
        why = f"no JSON: {error}"
    LOGGER.warning("the metadata of a call are left out: %s", why)
    return LEFT_OUT


class UsageTracker(_native.Tracker):
    """What the old UsageTracker was, over a log: record() returns when the call survives the process.

    `pricing`: {"model": {"input": USD per 1,000 tokens, "output": ...}}. Other options are those of AsyncUsageWriter.
    """

    def __init__(self, storage_path: Union[str, "os.PathLike[str]"], pricing: Optional[Mapping[str, Mapping[str, Any]]] = None,
                 flush_interval: float = 5.0, flush_threshold: int = 10, **options: Any) -> None:
        self._writer = AsyncUsageWriter(storage_path, flush_interval, flush_threshold, **options)
        super().__init__(self._writer.log, self._writer.flush_threshold)
        self._writer._counter = self
        self.pricing: Mapping[str, Mapping[str, Any]] = pricing or {}
        self._unpriced = 0
        self._warned: "set[str]" = set()
        self._log_prices: "Dict[str, Optional[Dict[str, Any]]]" = {}  # by model, as they were when it was first asked for

    @property
    def log(self) -> Log:
        """The log that the calls are in."""
        return self._writer.log

    @property
    def storage_path(self) -> str:
        """Where the JSON is."""
        return self._writer.storage_path

    # ---- what the type in C asks for

    def _provider(self, model: str) -> str:
        return provider_of(model)

    def _due(self) -> None:
        self._writer._due()

    def _dropped(self) -> None:
        self._writer._note(_native.Dropped("a call was dropped: no file can be had, and the memory for held calls is full"))

    def _warn_once(self, what: str, message: str, *args: Any) -> None:
        if what not in self._warned:
            self._warned.add(what)
            LOGGER.warning(message, *args)

    def _record_odd(self, model: Any, input_tokens: Any, output_tokens: Any, cost_usd: Any, latency_ms: Any, operation: Any,
                    metadata: Any) -> Dict[str, Any]:
        """What the strict way refuses is recorded as near to what was given as the log can have it; the caller gets back what it gave."""
        clean = (_clean_name(model), _clean_count(input_tokens), _clean_count(output_tokens), _clean_cost(cost_usd),
                 _clean_ms(latency_ms) or 0.0, _clean_name(operation or "chat"))
        try:
            record = self._record_strictly(*clean, _clean_metadata(metadata))
        except ValueError:
            # Deeper than the log takes.
            record = self._record_strictly(*clean, LEFT_OUT)
        self._warn_once("odd", "a call was recorded as %s, as near as can be to what was given; more such calls are not told of", clean)
        record.update(model=model, input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost_usd, latency_ms=latency_ms,
                      operation=operation, metadata=metadata or {})
        return record

    # ---- what is called

    def calculate_cost(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """US dollars by `pricing`: the model by its exact name, then without its provider's prefix; else by the log's price table, as it was when the
        model was first asked for. Without a price: 0.0."""
        price = self.pricing.get(model) or self.pricing.get(without_prefix(model))
        try:
            if price:
                per_thousand = (input_tokens * Decimal(str(price.get("input", 0))) + output_tokens * Decimal(str(price.get("output", 0))))
                return float(per_thousand / 1000)
            band = self._price_of_log(model, input_tokens)
            if band:
                return float(input_tokens * Decimal(band["input"]) + output_tokens * Decimal(band["output"]))
        except (InvalidOperation, TypeError, AttributeError):
            pass
        self._unpriced += 1
        self._warn_once(f"price {model}", "there is no price for the model %r: its calls are counted as costing nothing", model)
        return 0.0

    def _price_of_log(self, model: str, prompt_tokens: int) -> Optional[Dict[str, Any]]:
        """The standard price of the log's table for a prompt of this size. The program is asked once for each model."""
        if model not in self._log_prices:
            try:
                self._log_prices[model] = self.log.prices(model, provider_of(model), PRICE_TIMEOUT_S)
            except (_native.Error, OSError, TimeoutError, ValueError) as error:
                self._log_prices[model] = None
                self._warn_once("prices", "the log's prices cannot be read: %s", error)
        for band in (self._log_prices[model] or {}).get("usd_per_token", ()):
            most = band["prompt_up_to"]
            if band["service"] == "standard" and band["prompt_above"] < max(prompt_tokens, 1) and (most is None or prompt_tokens <= most):
                return dict(band)
        return None

    def get_summary(self, days: int = 30) -> Dict[str, Any]:
        """The last so many days, today included, and their averages; and all days by model and provider. Every call so far is in it.

        An average is over these days, or those since the first call if they are fewer; a month has 30.
        """
        whole = self.log.summary(ALL_DAYS)
        today = date.fromisoformat(whole["today_is"])
        first = today - timedelta(days=max(int(days), 1) - 1)
        by_day = {date.fromisoformat(day): row for day, row in whole["daily_totals"].items()}
        rows = [row for day, row in by_day.items() if first <= day <= today]
        since = max(first, min(by_day, default=first))
        day_count = max((today - since).days + 1, 1)
        tokens = sum(row["tokens"] for row in rows)
        cost = sum((Decimal(row["cost_exact"]) for row in rows), Decimal(0))
        return {
            "period_days": days,
            "total_tokens": tokens,
            "total_cost_usd": float(cost),
            "total_calls": sum(row["calls"] for row in rows),
            "avg_daily_tokens": tokens / day_count,
            "avg_daily_cost": float(cost / day_count),
            "projected_monthly_cost": float(cost / day_count * MONTH_DAYS),
            "model_breakdown": _old_rows(whole["model_breakdown"]),
            "provider_breakdown": _old_rows(whole["provider_breakdown"]),
        }

    def get_today(self) -> Dict[str, Any]:
        """Today's tokens, cost and calls."""
        today = self.log.summary(1)["today"]
        return {"tokens": today["tokens"], "cost": today["cost"], "calls": today["calls"]}

    def flush(self, timeout: float = 5.0) -> bool:
        """Have all calls so far durable, and the JSON current. False: not within so many seconds."""
        return self._writer.flush(timeout)

    def get_writer_stats(self) -> Dict[str, Any]:
        """The old writer's figures and the log's, of this process; "unpriced": how often there was no price."""
        return {**self._writer.get_stats(), "unpriced": self._unpriced}

    def shutdown(self, timeout: float = SHUTDOWN_TIMEOUT_S) -> bool:
        """Flush, and stop what runs in the background. Safe to call twice."""
        return self._writer.shutdown(timeout)


def _old_rows(rows: Mapping[str, Mapping[str, Any]]) -> Dict[str, Dict[str, Any]]:
    return {name: {"tokens": row["tokens"], "cost": row["cost"], "calls": row["calls"]} for name, row in rows.items()}
