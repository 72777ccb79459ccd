"""The JSON file of the drop-in: a copy of the log's summary where the old tracker had its file, and what to do where that file is not ours.

Three files in the log's directory belong to it: `storage.json`, what is known of the file; `storage.lock`, held by whoever writes either; and the
log's own `summary.json`, which is what is copied. The log's summary_path does not lead to the file itself, since `usagelog compact`
would then write over what somebody else has put there.

The file is replaced by an exchange of names, and what was there is looked at afterwards: so nothing that another program wrote is ever overwritten unseen,
whenever it did. What is there and was not written here is from the old tracker: before this one, beside it while hosts are upgraded, or after
going back. It is the totals of some file that is known (a *base*), and calls on top of them. If it can be told which base, and which calls, they are
recorded, each once; else the file is set aside as `.foreign.<time>`, and that is reported. It can be told where the totals differ by
exactly the file's last calls, which the log does not have, and those before them are the base's last ones.

A thread of its own comes here while others fork: so nothing is used whose module has a lock for itself, such as strptime() and tempfile, which a
child would find taken for ever.
"""
from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import stat
import time
from datetime import datetime
from decimal import Decimal
from typing import Any, Dict, Iterator, List, Optional, Tuple
from zoneinfo import ZoneInfo

from usagelog import _native, _program
from usagelog.log import Log
from usagelog.providers import provider_of

LOGGER = logging.getLogger("usagelog")
BASES_MAX = 16
TAIL = 8
TRIES_MAX = 8
LOCK_POLL_S = 0.01
FILE_BYTES_MAX = 256 << 20
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
SECTIONS = ("daily_totals", "model_breakdown", "provider_breakdown")
_SAME_COST = Decimal("1e-6")  # a call: sums of floats in the old tracker's totals

Totals = Dict[str, Dict[str, Tuple[int, int, Decimal]]]  # by section and name: calls, tokens, cost
EMPTY: Dict[str, Any] = {"totals": {}, "tail": [], "sessions": 0, "generation": None}

# Descriptors of held locks: a child made by fork() must not keep its parent's.
_held: List[int] = []


def _forget_locks() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_forget_locks)


class Unreadable(ValueError):
    """The file is not what the old tracker or this one writes."""


# ---- what a file says ---------------------------------------------------------------------------------------------


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Unreadable(f"{value!r} is not a number")
    found = Decimal(value)
    if not found.is_finite() or abs(found) >= 1 << 53:
        raise Unreadable(f"{value!r} is out of range")
    return found


def _whole(value: Any) -> int:
    found = _number(value)
    if found < 0 or found != found.to_integral_value():
        raise Unreadable(f"{value!r} is not a count")
    return int(found)


def _section(data: Dict[str, Any], name: str) -> Dict[str, Tuple[int, int, Decimal]]:
    section = data.get(name, {})
    if not isinstance(section, dict):
        raise Unreadable(f"{name} is not an object")
    found = {}
    for key, row in section.items():
        if not isinstance(row, dict):
            raise Unreadable(f"{name}: {key!r} is not an object")
        if name == "daily_totals":
            _parse_day(key)
        # What is exact is beside the number, but is not brought up by an old tracker that goes on from our file.
        found[key] = (_whole(row.get("calls", 0)), _whole(row.get("tokens", 0)), _number(row.get("cost", 0)))
    return found


def _parse_day(text: str) -> datetime:
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise Unreadable(f"{text!r} is not a day")


class Content:
    """A file's totals and last calls."""

    def __init__(self, data: bytes) -> None:
        try:
            self.data = json.loads(data, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"it is not JSON: {error}") from None
        if not isinstance(self.data, dict):
            raise Unreadable("it is not a JSON object")
        self.totals: Totals = {name: _section(self.data, name) for name in SECTIONS}
        self.sessions: List[Dict[str, Any]] = self.data.get("sessions", [])
        if not isinstance(self.sessions, list) or not all(isinstance(call, dict) for call in self.sessions):
            raise Unreadable("sessions is not a list of objects")
        self.keys = [_key(call) for call in self.sessions]

    def origin(self) -> Tuple[Any, Any]:
        """The log that wrote it, and when: kept by an old tracker that keeps what it does not know."""
        log = self.data.get("log")
        return (log.get("log_id"), log.get("generation")) if isinstance(log, dict) else (None, None)

    def base(self) -> Dict[str, Any]:
        """What is kept of it in storage.json."""
        return {"totals": {name: {key: [calls, tokens, str(cost)] for key, (calls, tokens, cost) in rows.items()}
                           for name, rows in self.totals.items()},
                "tail": self.keys[-TAIL:], "sessions": len(self.keys), "generation": self.origin()[1]}


def _refuse_constant(text: str) -> None:
    raise Unreadable(f"{text} is no number")


def _key(call: Dict[str, Any]) -> str:
    """What a call is known by: not its cost and latency, which stand in our file rounded as the log has them."""
    try:
        moment = datetime.fromisoformat(str(call.get("timestamp")))
        if moment.tzinfo:
            moment = moment.astimezone().replace(tzinfo=None)
        when = moment.isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        when = str(call.get("timestamp"))
    text = json.dumps([when, str(call.get("model")), str(call.get("input_tokens")), str(call.get("output_tokens"))])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _subtract(totals: Totals, base: Dict[str, Any]) -> Totals:
    """What the totals have more than the base, without what is nothing. ValueError if they have less of anything."""
    more: Totals = {}
    for name, rows in totals.items():
        known = base["totals"].get(name, {})
        if set(known) - set(rows):
            raise ValueError("a name is gone")
        more[name] = {}
        for key, row in rows.items():
            old = known.get(key, (0, 0, 0))
            calls, tokens, cost = row[0] - old[0], row[1] - old[1], row[2] - Decimal(old[2])
            if calls < 0 or tokens < 0:
                raise ValueError("a total is smaller")
            if calls or tokens or abs(cost) > _SAME_COST:
                more[name][key] = (calls, tokens, cost)
    return more


def _sum(calls: List[Dict[str, Any]]) -> Totals:
    sums: Totals = {name: {} for name in SECTIONS}
    for call in calls:
        tokens = _whole(call.get("total_tokens", _whole(call.get("input_tokens", 0)) + _whole(call.get("output_tokens", 0))))
        cost = _number(call.get("cost_usd") or 0)
        model = str(call.get("model"))
        for name, key in zip(SECTIONS, (str(call.get("timestamp"))[:10], model, str(call.get("provider") or provider_of(model)))):
            old = sums[name].get(key, (0, 0, Decimal(0)))
            sums[name][key] = (old[0] + 1, old[1] + tokens, old[2] + cost)
    return sums


def _calls(section: Dict[str, Tuple[int, int, Decimal]]) -> int:
    return sum(row[0] for row in section.values())


def _rest(more: Totals, sums: Totals) -> Optional[Totals]:
    """What is left of `more` without these calls; None if they are not all in it."""
    base = {"totals": {name: rows for name, rows in sums.items() if more[name]}}
    try:
        return _subtract(more, base)
    except ValueError:
        return None


def _is_nothing(rest: Totals, calls: int) -> bool:
    return all(not row[0] and not row[1] and abs(row[2]) <= _SAME_COST * (calls + 1) for rows in rest.values() for row in rows.values())


class Plan:
    """What to record of a file: calls, and what is left of its totals."""

    def __init__(self, calls: List[Dict[str, Any]], rest: Optional[Totals] = None) -> None:
        self.calls = calls
        self.rest: Totals = rest or {}


def _plan_on(content: Content, base: Dict[str, Any], known: "set[str]") -> Optional[Plan]:
    """If the file is this base and its own last calls."""
    try:
        more = _subtract(content.totals, base)
    except ValueError:
        return None
    count = _calls(more["daily_totals"])
    if count > len(content.sessions) or known.intersection(content.keys[len(content.keys) - count:]):
        return None
    before, tail = content.keys[:len(content.keys) - count], base["tail"]
    length = min(len(before), len(tail))
    # Where the old tracker cut its list, some of the base's calls must be left to know it by.
    if before[len(before) - length:] != tail[len(tail) - length:] or (base["sessions"] and not length) or \
            (before and not base["sessions"]):
        return None
    calls = content.sessions[len(content.sessions) - count:]
    rest = _rest(more, _sum(calls))
    return Plan(calls) if rest is not None and _is_nothing(rest, count) else None


def _plan_whole(content: Content, more: Totals) -> Optional[Plan]:
    """All of the file's calls are new, and its totals have others besides, of which nothing else is known."""
    rest = _rest(more, _sum(content.sessions))
    if rest is not None:
        return Plan(content.sessions, {} if _is_nothing(rest, len(content.sessions)) else rest)
    return None


def make_plan(content: Content, bases: List[Dict[str, Any]], known: "set[str]", log_id: str) -> Optional[Plan]:
    """What to record so that all is there once; None: it cannot be told."""
    for base in sorted(bases, key=lambda base: -_calls_of(base)):
        plan = _plan_on(content, base, known)
        if plan:
            return plan
    plan = _plan_on(content, EMPTY, known)
    if plan or known.intersection(content.keys):
        return plan
    if not bases:
        # The first time. Where the totals do not hold the calls that stand beside them, it is they that the bill was made of.
        return _plan_whole(content, content.totals) or Plan([], content.totals)
    # More calls than the file keeps: only its origin tells what it went on from, if that was one file only.
    origin, generation = content.origin()
    same = [base for base in bases if origin == log_id and base["generation"] == generation]
    if len(same) != 1:
        return None
    try:
        return _plan_whole(content, _subtract(content.totals, same[0]))
    except ValueError:
        return None


def _calls_of(base: Dict[str, Any]) -> int:
    return sum(row[0] for row in base["totals"].get("daily_totals", {}).values())


# ---- what is recorded of it ---------------------------------------------------------------------------------------


def _import_line(call: Dict[str, Any], number: int) -> str:
    """A call as `usagelog import` takes it, with an id of its own: what is taken over twice is added once."""
    model = str(call.get("model"))
    line = {"time": str(call.get("timestamp")), "provider": str(call.get("provider") or provider_of(model)), "model": model,
            "input_tokens": call.get("input_tokens", 0), "output_tokens": call.get("output_tokens", 0),
            "cost_usd": call.get("cost_usd"), "latency_ms": call.get("latency_ms"), "operation": call.get("operation") or None,
            "call_id": f"taken over {_key(call)} {number}"}
    if call.get("metadata"):
        line["metadata"] = call["metadata"]
    return json.dumps({key: value for key, value in line.items() if value is not None}, default=str)


def _import_lines(calls: List[Dict[str, Any]]) -> List[str]:
    numbers: Dict[str, int] = {}
    lines = []
    for call in calls:
        key = _key(call)
        numbers[key] = numbers.get(key, -1) + 1
        lines.append(_import_line(call, numbers[key]))
    return lines


def _balances(rest: Totals, sessions: List[Dict[str, Any]], source: str) -> List[Dict[str, Any]]:
    """Opening balances: by day, which count in days and totals; by model, which count in the breakdowns."""
    providers = {str(call.get("model")): str(call["provider"]) for call in sessions if call.get("provider")}
    days, models = rest.get("daily_totals", {}), rest.get("model_breakdown", {})
    last = max(days, default=datetime.now().strftime("%Y-%m-%d"))
    rows = [("(unknown)", "(unknown)", day, row, 1) for day, row in days.items()]
    rows += [(providers.get(model, provider_of(model)), model, last, row, 2) for model, row in models.items()]
    return [{"provider": provider, "model": model or "(unknown)", "day": day, "calls": row[0], "tokens": row[1], "cost_usd": str(row[2]),
             "scope": scope, "id": f"{source[:32]} {number}"} for number, (provider, model, day, row, scope) in enumerate(rows)]


# ---- the file -----------------------------------------------------------------------------------------------------


def _read(path: str) -> Optional[bytes]:
    """None: it is not there. Unreadable: it is no file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_BYTES_MAX:
            raise Unreadable("it is no regular file, or too large to be one of a tracker's")
        with open(fd, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(fd)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_beside(path: str, data: bytes, mode: int) -> str:
    """Write a file that is to have this name, durably; the name that it has for now."""
    temporary = f"{path}.{os.urandom(8).hex()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _default_mode() -> int:
    # There is no way to read the mask but to set it, which other threads would see; that of this process is here.
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Umask:"):
                return 0o666 & ~int(line.split()[1], 8)
    return 0o600


class Storage:
    """The file at `path`, of this log. Any thread and any process may call; one at a time writes."""

    def __init__(self, path: str, log: Log) -> None:
        self.path = path
        self.log = log
        self.published = 0
        self.corrupted = 0
        self.foreign = 0
        self._state_path = os.path.join(log.directory, "storage.json")
        self._zone: Optional[ZoneInfo] = None

    # ---- lock and state

    @contextlib.contextmanager
    def _locked(self, deadline: float) -> Iterator[None]:
        fd = os.open(os.path.join(self.log.directory, "storage.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        _held.append(fd)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise TimeoutError(f"{self.path}: another process or thread is writing it") from None
                    time.sleep(LOCK_POLL_S)
            yield
        finally:
            # Unlocked, not only closed: a child that was forked a moment ago may have the descriptor still.
            fcntl.flock(fd, fcntl.LOCK_UN)
            _held.remove(fd)
            os.close(fd)

    def _load(self) -> Dict[str, Any]:
        state: Any = None
        try:
            data = _read(self._state_path)
            state = json.loads(data) if data is not None else None
            if state is not None and (state["version"] != 1 or not isinstance(state["ours"], list)):
                raise ValueError("another version")
        except (ValueError, KeyError, TypeError) as error:
            LOGGER.warning("%s: cannot be read (%s) and is begun anew; a file that is at %s is looked at as another program's",
                           self._state_path, error, self.path)
            state = None
        return state or {"version": 1, "ours": [], "bases": [], "pending": None}

    def _save(self, state: Dict[str, Any]) -> None:
        temporary = _write_beside(self._state_path, json.dumps(state).encode(), 0o600)
        os.replace(temporary, self._state_path)
        _sync_directory(self.log.directory)

    # ---- what others wrote

    def adopt(self, timeout: float) -> None:
        """Take over the file that is there, if there is one that was not written here."""
        with self._locked(time.monotonic() + timeout):
            state = self._load()
            self._resume(state)
            data = self._look(state)
            if data is not None:
                self._take(state, data, self.path)

    def _look(self, state: Dict[str, Any]) -> Optional[bytes]:
        """The file's bytes if they are not ours; None: there is none, or it is ours."""
        try:
            data = _read(self.path)
        except Unreadable as error:
            self._set_aside(self.path, "corrupted", str(error))
            return None
        return None if data is None or _digest(data) in state["ours"] else data

    def _set_aside(self, place: str, word: str, reason: str) -> None:
        renamed = f"{self.path}.{word}.{datetime.now().strftime('%Y-%m-%dT%H:%M:%S.%f')}"
        os.rename(place, renamed)
        _sync_directory(os.path.dirname(self.path))
        if word == "corrupted":
            self.corrupted += 1
        else:
            self.foreign += 1
        LOGGER.warning("%s: set aside as %s, because %s; what it holds is not in the totals", self.path, renamed, reason)

    def _take(self, state: Dict[str, Any], data: bytes, place: str) -> None:
        """Record what a file has that the log has not, or set it aside; `place` is where it is."""
        try:
            content = Content(data)
            known = self._known()
            plan = make_plan(content, state["bases"], known, self._log_id())
            if plan is None:
                raise LookupError("another program changed it and it cannot be told which of its calls are new")
            balances = _balances(plan.rest, content.sessions, _digest(data))
            lines = _import_lines(plan.calls)
        except Unreadable as error:
            self._set_aside(place, "corrupted", str(error))
            return
        except LookupError as error:
            self._set_aside(place, "foreign", str(error))
            return
        if plan.rest and not plan.calls and content.sessions:
            LOGGER.warning("%s: its totals do not hold the calls that stand beside them; the totals are taken over, those calls are not",
                           self.path)
        state["pending"] = {"digest": _digest(data), "lines": lines, "balances": balances, "base": content.base(), "begun": False}
        self._save(state)
        try:
            self._resume(state)
        except Refused as error:
            self._set_aside(place, "foreign", str(error))
            return
        if lines or balances:
            LOGGER.info("%s: %d calls and %d totals of another program are taken over", self.path, len(lines), len(balances))

    def _resume(self, state: Dict[str, Any]) -> None:
        """Carry out what was begun, by this process or one that died: whatever is there already is not added again."""
        pending = state["pending"]
        if not pending:
            return
        if pending["lines"]:
            status, _, said = _program.run(self.log.directory, "import", "--format", "jsonl", "--all-or-nothing", "-",
                                           stdin="\n".join(pending["lines"]) + "\n",
                                           allowed=(_program.DONE, _program.PART, _program.BUSY))
            if status == _program.BUSY:
                raise TimeoutError(f"{self.log.directory}: another import is running")
            if "nothing was recorded" in said:
                state["pending"] = None
                self._save(state)
                raise Refused(f"of its calls not all are of this world: {said.strip()}")
        self._record_balances(state, pending)
        if not self.log.flush(10.0):
            raise TimeoutError(f"{self.log.directory}: what was taken over is not known durable")
        state["pending"] = None
        state["ours"] = (state["ours"] + [pending["digest"]])[-4:]
        state["bases"] = (state["bases"] + [pending["base"]])[-BASES_MAX:]
        self._save(state)

    def _record_balances(self, state: Dict[str, Any], pending: Dict[str, Any]) -> None:
        if not pending["balances"]:
            return
        there = set()
        if pending["begun"]:
            there = {row["metadata"].get("balance") for row in _program.dump(self.log.directory)
                     if row.get("kind") == "balance" and isinstance(row.get("metadata"), dict)}
        pending["begun"] = True
        self._save(state)
        for balance in pending["balances"]:
            if balance["id"] not in there:
                noon = _parse_day(balance["day"]).replace(hour=12, tzinfo=self._time_zone())
                self.log._record_balance(provider=balance["provider"], model=balance["model"], time=noon, calls=balance["calls"],
                                         tokens=balance["tokens"], cost_usd=balance["cost_usd"], scope=balance["scope"],
                                         metadata=json.dumps({"balance": balance["id"]}))

    def _config(self, key: str) -> str:
        return _program.run(self.log.directory, "config", key)[1].strip()

    def _time_zone(self) -> Optional[ZoneInfo]:
        if not self._zone:
            self._zone = ZoneInfo(self._config("time_zone"))
        return self._zone

    def _log_id(self) -> str:
        return self._config("log_id")

    def _summary(self) -> bytes:
        return _read(os.path.join(self.log.directory, "summary.json")) or b"{}"

    def _known(self) -> "set[str]":
        """The last calls that the log has. Folded now, so that they are all there."""
        self.log.compact()
        return set(Content(self._summary()).keys)

    # ---- what we write

    def age(self) -> float:
        """Seconds since the file was last written by anybody here; infinity: never."""
        try:
            return max(time.time() - os.stat(self._state_path).st_mtime, 0.0)
        except FileNotFoundError:
            return float("inf")

    def publish(self, timeout: float, lock_timeout: float) -> None:
        """Fold what is new, and have the file say it. TimeoutError, Error, OSError: it is as it was."""
        deadline = time.monotonic() + timeout
        with self._locked(time.monotonic() + lock_timeout):
            state = self._load()
            self._resume(state)
            for _ in range(TRIES_MAX):
                data = self._look(state)
                if data is not None:
                    self._take(state, data, self.path)
                while not self.log.compact(max(deadline - time.monotonic(), 0.1)):
                    if time.monotonic() >= deadline:
                        raise TimeoutError(f"{self.log.directory}: another compactor is running")
                    time.sleep(LOCK_POLL_S)
                if self._replace(state):
                    self.published += 1
                    return
        raise OSError(errno.EBUSY, "another program writes it again and again", self.path)

    def _replace(self, state: Dict[str, Any]) -> bool:
        """False: something else was there than was looked at; it is seen to, and another try is due."""
        data = self._summary()
        try:
            mode = stat.S_IMODE(os.stat(self.path).st_mode)
            there = True
        except FileNotFoundError:
            mode, there = _default_mode(), False
        # Said before it is done: a file that is found after a crash in between is known as ours.
        state["ours"] = (state["ours"] + [_digest(data)])[-4:]
        state["bases"] = (state["bases"] + [Content(data).base()])[-BASES_MAX:]
        self._save(state)
        temporary = _write_beside(self.path, data, mode)
        try:
            if not there:
                return self._put(temporary)
            return self._exchange(state, temporary)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _put(self, temporary: str) -> bool:
        try:
            os.link(temporary, self.path)
        except FileExistsError:
            return False
        _sync_directory(os.path.dirname(self.path))
        return True

    def _exchange(self, state: Dict[str, Any], temporary: str) -> bool:
        try:
            _native.exchange(temporary, self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            # A filesystem that cannot: what is written in this moment is lost.
            os.replace(temporary, self.path)
            return True
        _sync_directory(os.path.dirname(self.path))
        was = _read(temporary)
        if was is None or _digest(was) in state["ours"]:
            return True
        self._take(state, was, temporary)
        return False


class Refused(Exception):
    """The import would not have the calls."""
