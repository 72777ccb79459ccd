"""The old tracker, as those have it who come from it: the file is read once, kept in memory, and rewritten whole.

Written by hand after what it is known to do; `keep` and `in_place` are ways in which trackers of this kind differ.
"""
import json
import os
from datetime import datetime

KEPT = 1000


class OldTracker:
    """`keep`: members that it does not know are kept when it rewrites the file; `in_place`: it writes over the file instead of renaming."""

    def __init__(self, path, keep=True, in_place=False):
        self.path = path
        self.in_place = in_place
        self.data = {"sessions": [], "daily_totals": {}, "model_breakdown": {}, "provider_breakdown": {}}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            self.data = found if keep else {name: found.get(name, default) for name, default in self.data.items()}

    def record(self, model, input_tokens, output_tokens, cost_usd, latency_ms, operation="chat", metadata=None, timestamp=None):
        call = {"timestamp": timestamp or datetime.now().isoformat(), "model": model,
                "provider": "openai" if model.startswith("gpt") else "anthropic", "input_tokens": input_tokens,
                "output_tokens": output_tokens, "total_tokens": input_tokens + output_tokens, "cost_usd": cost_usd,
                "latency_ms": latency_ms, "operation": operation, "metadata": metadata or {}}
        self.data["sessions"] = (self.data["sessions"] + [call])[-KEPT:]
        for name, key in (("daily_totals", call["timestamp"][:10]), ("model_breakdown", model), ("provider_breakdown", call["provider"])):
            total = self.data[name].setdefault(key, {"tokens": 0, "cost": 0.0, "calls": 0})
            total["tokens"] += call["total_tokens"]
            total["cost"] += cost_usd
            total["calls"] += 1
        return call

    def flush(self):
        self.data["last_updated"] = datetime.now().isoformat()
        if self.in_place:
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(self.data, file, indent=2)
            return
        temporary = self.path + ".tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=2)
        os.replace(temporary, self.path)

    def get_summary(self):
        return {"total_calls": sum(day["calls"] for day in self.data["daily_totals"].values()),
                "total_tokens": sum(day["tokens"] for day in self.data["daily_totals"].values()),
                "total_cost_usd": sum(day["cost"] for day in self.data["daily_totals"].values()),
                "model_breakdown": self.data["model_breakdown"]}
