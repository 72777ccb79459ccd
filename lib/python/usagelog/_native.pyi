import os
from datetime import datetime
from decimal import Decimal
from typing import Any, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union

_Self = TypeVar("_Self", bound="Log")
Money = Union[float, int, str, Decimal]
_Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

class Error(Exception):
    code: int

class Dropped(Error): ...

class Log:
    def __init__(
        self,
        directory: Optional[_Path] = ...,
        *,
        synchronous: bool = ...,
        helper: bool = ...,
        any_filesystem: bool = ...,
        must_exist: bool = ...,
        uring: bool = ...,
        flush_interval_ms: int = ...,
        flush_size_bytes: int = ...,
        segment_size_bytes: int = ...,
        retry_count_max: int = ...,
        retry_delay_ms: int = ...,
        held_count_max: int = ...,
        names_max: int = ...,
        time_zone: Optional[str] = ...,
        fallback_directories: Optional[Sequence[str]] = ...,
        summary_path: Optional[str] = ...,
        group_by: Optional[Sequence[str]] = ...,
    ) -> None: ...
    def record(
        self,
        provider: str,
        model: str,
        *,
        input_tokens: Optional[int] = ...,
        cache_read_tokens: Optional[int] = ...,
        cache_write_5m_tokens: Optional[int] = ...,
        cache_write_1h_tokens: Optional[int] = ...,
        output_tokens: Optional[int] = ...,
        reasoning_tokens: Optional[int] = ...,
        cost_usd: Optional[Money] = ...,
        latency_ms: Optional[float] = ...,
        ttft_ms: Optional[float] = ...,
        operation: Optional[str] = ...,
        error_type: Optional[str] = ...,
        service_tier: Optional[str] = ...,
        session_id: Optional[str] = ...,
        metadata: Union[str, Mapping[str, Any], None] = ...,
        call_id: Optional[str] = ...,
        time: Union[float, int, str, Decimal, datetime, None] = ...,
    ) -> bool: ...
    def _record_balance(
        self,
        *,
        provider: str,
        model: str,
        time: Union[float, datetime],
        calls: int,
        tokens: int,
        cost_usd: Money,
        scope: int,
        metadata: str,
    ) -> None: ...
    def flush(self, timeout: Optional[float] = ...) -> bool: ...
    def stats(self) -> dict[str, Any]: ...
    def take_warnings(self) -> List[Tuple[int, str]]: ...
    def close(self, timeout: Optional[float] = ...) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self: _Self) -> _Self: ...
    def __exit__(self, *args: object) -> None: ...

class Tracker:
    _pending: int
    def __init__(self, log: Log, threshold: int) -> None: ...
    def record(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int,
        cost_usd: Optional[Money],
        latency_ms: float,
        operation: str = ...,
        metadata: Optional[Mapping[str, Any]] = ...,
    ) -> dict[str, Any]: ...
    def _record_strictly(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int,
        cost_usd: Optional[Money],
        latency_ms: float,
        operation: str = ...,
        metadata: Union[str, Mapping[str, Any], None] = ...,
    ) -> dict[str, Any]: ...

def version() -> str: ...
def default_directory() -> str: ...
def pico_usd(amount: Money, /) -> int: ...
def exchange(left: _Path, right: _Path, /) -> None: ...
def nothing(*args: object, **keywords: object) -> None: ...
