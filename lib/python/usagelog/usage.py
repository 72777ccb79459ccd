"""The `usage` of a response, as OpenAI and Anthropic have it, to this log's counts, which are disjoint.

OpenAI's input counts cached tokens too, so these are subtracted; Anthropic's does not.
"""
from __future__ import annotations

from typing import Any, Mapping

from usagelog import _native
from usagelog.providers import provider_of


def _get(value: Any, *path: str) -> Any:
    """A member of a member of a mapping or object; None if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if value is None:
            return None
    return value


def _count(value: Any, *path: str) -> int:
    found = _get(value, *path)
    return 0 if found is None or isinstance(found, str) else max(int(found), 0)


def _usage(response_or_usage: Any) -> Any:
    usage = _get(response_or_usage, "usage")
    return response_or_usage if usage is None else usage


def openai_counts(usage: Any) -> dict[str, int]:
    """Of a chat completion's usage (prompt_tokens ...) or a response's (input_tokens ...), an object or a dict; or of what has it as `usage`.

    Cached tokens are subtracted from the input, those that other providers' adapters say were written to a cache as well. A source
    that says more of them than of input did not count them in it.
    """
    usage = _usage(usage)
    chat = _get(usage, "prompt_tokens") is not None
    inputs, outputs = ("prompt_tokens", "completion_tokens") if chat else ("input_tokens", "output_tokens")
    details, of_output = inputs + "_details", outputs + "_details"
    read = _count(usage, details, "cached_tokens") or _count(usage, "cache_read_input_tokens")
    write_1h = _count(usage, details, "cache_creation_token_details", "ephemeral_1h_input_tokens")
    write = _count(usage, details, "cache_creation_tokens") or _count(usage, "cache_creation_input_tokens")
    whole = _count(usage, inputs)
    cached = read + write
    return {
        "input_tokens": whole - cached if cached <= whole else whole,
        "cache_read_tokens": read,
        "cache_write_5m_tokens": max(write - write_1h, 0),
        "cache_write_1h_tokens": min(write_1h, write) if write else write_1h,
        "output_tokens": _count(usage, outputs),
        "reasoning_tokens": _count(usage, of_output, "reasoning_tokens"),
    }


def anthropic_counts(usage: Any) -> dict[str, int]:
    """Of a message's usage, an object or a dict; or of what has it as `usage`. Its input is without any cached tokens."""
    usage = _usage(usage)
    write = _count(usage, "cache_creation_input_tokens")
    write_1h = _count(usage, "cache_creation", "ephemeral_1h_input_tokens")
    write_5m = _count(usage, "cache_creation", "ephemeral_5m_input_tokens")
    return {
        "input_tokens": _count(usage, "input_tokens"),
        "cache_read_tokens": _count(usage, "cache_read_input_tokens"),
        # What is said of neither time was kept for the shorter one.
        "cache_write_5m_tokens": max(write - write_1h, write_5m),
        "cache_write_1h_tokens": write_1h,
        "output_tokens": _count(usage, "output_tokens"),
        "reasoning_tokens": 0,
    }


def record_openai(log: _native.Log, usage: Any, model: str, *, provider: str = "openai", **fields: Any) -> bool:
    """Record a call by the usage that an OpenAI API, or one like it, gave; other fields as in Log.record()."""
    return log.record(provider=provider, model=model, **openai_counts(usage), **fields)


def record_anthropic(log: _native.Log, usage: Any, model: str, *, provider: str = "", **fields: Any) -> bool:
    """Record a call by the usage that Anthropic's API gave; other fields as in Log.record()."""
    if not provider:
        provider = provider_of(model)
        provider = "anthropic" if provider == "unknown" else provider
    return log.record(provider=provider, model=model, **anthropic_counts(usage), **fields)
