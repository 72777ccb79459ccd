"""A litellm callback: `litellm.callbacks = [UsageLogger()]` records each call, success or failure, once.

It reads the public `standard_logging_object` of litellm's payload. Prompts and answers are not looked at. litellm is imported only if
it is there, to be derived from its CustomLogger.
"""
from __future__ import annotations

import collections
import json
import logging
import math
import os
import threading
import weakref
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from usagelog.log import Log
from usagelog.providers import provider_of
from usagelog.usage import _get, openai_counts

try:
    from litellm.integrations.custom_logger import CustomLogger as _Base
except Exception:  # pylint: disable=broad-except  # not there, or not in order: nothing of it is needed
    _Base = object  # type: ignore[assignment,misc]

LOGGER = logging.getLogger("usagelog")
SEEN_MAX = 8192
TEXT_MAX = 1000
METADATA_MAX = 64
_OPERATIONS = {"completion": "chat", "acompletion": "chat", "text_completion": "text_completion", "atext_completion": "text_completion",
               "embedding": "embeddings", "aembedding": "embeddings", "responses": "chat", "aresponses": "chat"}


# Another thread may hold a lock while this one forks.
_loggers: "weakref.WeakSet[UsageLogger]" = weakref.WeakSet()


def _begin_in_child() -> None:
    for logger in list(_loggers):
        logger._lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_in_child)


def _seconds(value: Any) -> Optional[float]:
    if hasattr(value, "timestamp"):
        value = value.timestamp()
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _ms(begin: Optional[float], end: Optional[float]) -> Optional[float]:
    return (end - begin) * 1000 if begin and end and end > begin else None


def _text(value: Any) -> Optional[str]:
    """What can stand as a name; None if nothing is left."""
    if value is None or isinstance(value, (dict, list)):
        return None
    text = "".join(char for char in str(value) if char.isprintable())[:TEXT_MAX]
    return text.encode("utf-8", "replace")[:1024].decode("utf-8", "ignore") or None


def _short(value: Any) -> str:
    return str(value)[:TEXT_MAX].encode("utf-8", "replace").decode("utf-8")


def _metadata(payload: Mapping[str, Any]) -> Optional[str]:
    """Tags, end user, and what the caller gave as metadata: numbers and short texts only."""
    found: Dict[str, Any] = {}
    own = payload.get("metadata") or {}
    for source in (own, own.get("requester_metadata") or {}):
        for key, value in source.items():
            if len(found) == METADATA_MAX:
                break
            if isinstance(value, str) and value:
                found[_short(key)] = _short(value)
            elif isinstance(value, (int, float)) and math.isfinite(value):
                found[_short(key)] = value
    tags = payload.get("request_tags")
    if isinstance(tags, list) and tags:
        found["tags"] = [_short(tag) for tag in tags[:METADATA_MAX]]
    if payload.get("end_user"):
        found["end_user"] = _short(payload["end_user"])
    if payload.get("cache_hit"):
        found["cache_hit"] = True
    if not found:
        return None
    text = json.dumps(found, ensure_ascii=True, allow_nan=False)
    return text if len(text) <= 16000 else None


class UsageLogger(_Base):  # type: ignore[misc,valid-type]
    """Records litellm's calls to a log: a Log, a directory, or None for the default one, which is opened with the first call.

    Nothing that goes wrong here reaches the caller of litellm: it is logged, and counted in `errors`.
    """

    def __init__(self, log: Union[Log, str, "os.PathLike[str]", None] = None, **options: Any) -> None:
        super().__init__()
        self._log = log if isinstance(log, Log) else None
        self._directory = None if isinstance(log, Log) else log
        self._options = options
        self._lock = threading.Lock()
        self._seen: "collections.OrderedDict[Tuple[str, bool], None]" = collections.OrderedDict()
        self.errors = 0
        _loggers.add(self)

    @property
    def log(self) -> Log:
        """The log, opened now if it was not yet."""
        with self._lock:
            if self._log is None:
                self._log = Log(self._directory, **self._options)
            return self._log

    # ---- what litellm calls

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """litellm: a call succeeded; of a stream, when it is whole."""
        self._event(kwargs, response_obj, start_time, end_time, failed=False)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """litellm: a call failed."""
        self._event(kwargs, response_obj, start_time, end_time, failed=True)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """litellm: the same, of an async call."""
        self._event(kwargs, response_obj, start_time, end_time, failed=False)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """litellm: the same, of an async call."""
        self._event(kwargs, response_obj, start_time, end_time, failed=True)

    # ---- what is recorded

    def _event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any, failed: bool) -> None:
        try:
            payload = kwargs.get("standard_logging_object")
            if not isinstance(payload, Mapping):
                # A chunk of a stream has none; the whole stream has.
                if kwargs.get("stream") and not failed:
                    return
                payload = {}
            if self._is_new(payload, kwargs, failed):
                self.log.record(**self._fields(payload, kwargs, response_obj, start_time, end_time, failed))
        except Exception as error:  # pylint: disable=broad-except  # never the caller's
            self.errors += 1
            if self.errors == 1:
                LOGGER.warning("a call of litellm was not recorded: %s: %s; more such are only counted", type(error).__name__, error)

    def _is_new(self, payload: Mapping[str, Any], kwargs: Mapping[str, Any], failed: bool) -> bool:
        """litellm may tell of a call twice: by its sync and its async way, or of a stream's end."""
        name = kwargs.get("litellm_call_id") or payload.get("id")
        if not name:
            return True
        key = (str(name), failed)
        with self._lock:
            if key in self._seen:
                return False
            self._seen[key] = None
            if len(self._seen) > SEEN_MAX:
                self._seen.popitem(last=False)
        return True

    def _fields(self, payload: Mapping[str, Any], kwargs: Mapping[str, Any], response: Any, start_time: Any, end_time: Any,
                failed: bool) -> Dict[str, Any]:
        model = _text(payload.get("model") or kwargs.get("model")) or "(unknown)"
        begin = _seconds(payload.get("startTime")) or _seconds(start_time)
        end = _seconds(payload.get("endTime")) or _seconds(end_time)
        first = _seconds(payload.get("completionStartTime")) or _seconds(kwargs.get("completion_start_time"))
        streamed = bool(payload.get("stream") if payload.get("stream") is not None else kwargs.get("stream"))
        call_type = str(payload.get("call_type") or kwargs.get("call_type") or "completion")
        cost = payload.get("response_cost", kwargs.get("response_cost"))
        metadata = payload.get("metadata") or {}
        return {
            "provider": _text(payload.get("custom_llm_provider") or kwargs.get("custom_llm_provider")) or provider_of(model),
            "model": model,
            **self._counts(payload, response),
            # A call that failed costs nothing that litellm knows of, which is not the same as nothing.
            "cost_usd": cost if isinstance(cost, (int, float)) and not (failed and not cost) else None,
            "latency_ms": _ms(begin, end),
            "ttft_ms": _ms(begin, first) if streamed else None,
            "operation": _OPERATIONS.get(call_type, _text(call_type)),
            "error_type": self._error_type(payload, kwargs) if failed else None,
            "service_tier": _text(_get(response, "service_tier")),
            "session_id": _text(metadata.get("session_id") or payload.get("session_id")),
            "metadata": _metadata(payload),
            "call_id": _text(payload.get("id")),
            "time": begin,
        }

    @staticmethod
    def _counts(payload: Mapping[str, Any], response: Any) -> Dict[str, int]:
        """litellm has every provider's usage in OpenAI's way: its input counts what came from and went to a cache."""
        for usage in (_get(response, "usage"), _get(payload, "metadata", "usage_object"), payload):
            if usage is not None and (_get(usage, "prompt_tokens") is not None or _get(usage, "input_tokens") is not None):
                return openai_counts(usage)
        return {}

    @staticmethod
    def _error_type(payload: Mapping[str, Any], kwargs: Mapping[str, Any]) -> str:
        information = payload.get("error_information") or {}
        exception = kwargs.get("exception")
        return (_text(information.get("error_code")) or _text(information.get("error_class")) or
                (type(exception).__name__ if exception is not None else "error"))
