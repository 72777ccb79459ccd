"""What each call of an LLM API used and cost: recorded in well under a microsecond, and not lost when the process dies.

    import usagelog

    with usagelog.Log() as log:  # $USAGELOG_DIR, made if it is not there
        log.record(provider="openai", model="gpt-4o", input_tokens=100, output_tokens=50, cost_usd=0.00075, latency_ms=812)

For programs that have the old tracker: ``from usagelog import UsageTracker, AsyncUsageWriter``. For litellm: ``usagelog.litellm``.
"""
from usagelog._native import Dropped, Error, default_directory, pico_usd, version
from usagelog.log import Log
from usagelog.tracker import AsyncUsageWriter, UsageTracker
from usagelog.usage import anthropic_counts, openai_counts, record_anthropic, record_openai

__version__ = version()
__all__ = ["AsyncUsageWriter", "Dropped", "Error", "Log", "UsageTracker", "anthropic_counts", "default_directory", "openai_counts",
           "pico_usd", "record_anthropic", "record_openai", "version"]
