#!/usr/bin/python3
"""The real price map and the real traces: each price, and what each model cost on each day, equals what fractions give straight from the map."""

import collections
import csv
import datetime
import json
import os
import re
import subprocess
import sys
import unittest
from fractions import Fraction

import support
from support import LogTest

MAP = os.path.join(support.DATA, "model_prices.json")
TRACE = os.path.join(support.DATA, "AzureLLMInferenceTrace_conv.csv")
AGENTIC = os.path.join(support.DATA, "agentic_calls.jsonl")
LIMITS = (128_000, 200_000, 256_000, 272_000, 512_000)
SERVICES = {"standard": "", "batch": "_batches", "flex": "_flex", "priority": "_priority"}
TIERS = ("", *(f"_above_{limit // 1000}k_tokens" for limit in LIMITS))
INPUT, OUTPUT, REASONING = "input_cost_per_token", "output_cost_per_token", "output_cost_per_reasoning_token"
READ, WRITE_5M = "cache_read_input_token_cost", "cache_creation_input_token_cost"
WRITE_1H = "cache_creation_input_token_cost_above_1hr"
PICO = 10**12

# What calls are made of, out of the trace: who asks whom, under which name the map has that, and how the prompt is split.
KINDS = (
    # provider, model, tier, name in the map, service, share of the prompt read, written for 5 min, for 1 h
    ("openai", "gpt-4o", None, "gpt-4o", "standard", (50, 0, 0)),
    ("openai", "gpt-4o", "batch", "gpt-4o", "batch", (0, 0, 0)),
    ("openai", "gpt-5", "flex", "gpt-5", "flex", (70, 0, 0)),
    ("openai", "gpt-5", "PRIORITY", "gpt-5", "priority", (20, 0, 0)),
    ("azure.ai.openai", "gpt-4o", "default", "azure/gpt-4o", "standard", (10, 0, 0)),
    ("anthropic", "claude-sonnet-4-5", None, "claude-sonnet-4-5", "standard", (60, 10, 15)),
    ("anthropic", "anthropic/claude-opus-4-1", "standard", "claude-opus-4-1", "standard", (0, 40, 40)),
    ("google", "gemini-2.5-pro", None, "gemini/gemini-2.5-pro", "standard", (30, 0, 0)),
    ("gcp.gemini", "gemini-2.5-flash", None, "gemini/gemini-2.5-flash", "standard", (30, 0, 0)),
    ("anthropic", "claude-4-opus-20250514", None, "claude-4-opus-20250514", "standard", (0, 0, 50)),
    ("some gateway", "gpt-4o-mini", None, "gpt-4o-mini", "standard", (0, 0, 0)),
    # Near misses: parts of names that are there.
    ("openai", "gpt-4o-", None, None, "standard", (0, 0, 0)),
    ("openai", "pt-4o", None, None, "standard", (0, 0, 0)),
    ("openai", "gpt-4o", "scale", None, "standard", (0, 0, 0)),
    ("anthropic", "claude-sonnet-4-5", "flex", None, "flex", (0, 0, 0)),
)


def pico(value):
    """Whole pico-USD a token, halves to the even one."""
    return round(Fraction(value) * PICO)


def load_map():
    with open(MAP, encoding="utf-8") as file:
        models = json.load(file, parse_float=Fraction, parse_int=Fraction)
    del models["sample_spec"]
    return models


def prices_of(entry, service, band):
    """Six prices by the rules of usagelog-prices(1): input, cache read, written for 5 min, for 1 h, output, reasoning. None: there are none."""
    suffix = SERVICES[service]
    tier = max(t for t in range(band + 1)
               if t == 0 or any(f"{base}{TIERS[t]}{s}" in entry for base in (INPUT, OUTPUT) for s in SERVICES.values()))

    def get(*keys):
        for key in keys:
            if key in entry:
                return pico(entry[key])
        return None

    def at_tier(base):
        return f"{base}{TIERS[tier]}{suffix}", f"{base}{TIERS[tier]}"

    prompt, output = get(f"{INPUT}{TIERS[tier]}{suffix}"), get(f"{OUTPUT}{TIERS[tier]}{suffix}")
    if output is None and entry.get("mode") in ("embedding", "rerank"):
        output = 0
    if prompt is None or output is None:
        return None
    read = get(*at_tier(READ), READ)
    own_5m = get(*at_tier(WRITE_5M))
    write_5m = own_5m if own_5m is not None else get(WRITE_5M)
    write_1h = get(*at_tier(WRITE_1H)) if own_5m is not None else get(*at_tier(WRITE_1H), WRITE_1H)
    if write_1h is None:
        write_1h = round(Fraction(write_5m) * Fraction(8, 5)) if write_5m is not None else prompt
    reasoning = get(f"{REASONING}{TIERS[tier]}{suffix}")
    return (prompt, prompt if read is None else read, prompt if write_5m is None else write_5m, write_1h, output,
            output if reasoning is None else reasoning)


def band_of(prompt_tokens):
    return sum(prompt_tokens > limit for limit in LIMITS)


@unittest.skipUnless(os.path.exists(MAP), "no real data here")
class Prices(LogTest):
    def container(self, name):
        done = subprocess.run([sys.executable, support.ORACLE, "container", os.path.join(self.log, name)], capture_output=True,
                              timeout=support.TIMEOUT_S, check=True)
        return json.loads(done.stdout)

    def oracle_agrees(self):
        done = subprocess.run([sys.executable, support.ORACLE, "facts", self.log], capture_output=True, timeout=support.TIMEOUT_S,
                              check=False)
        self.assertEqual(done.stdout.decode(), "equal\n")

    def calls(self):
        """Calls out of the trace, prompts made larger so that every tier is reached, and what each costs."""
        models = load_map()
        with open(TRACE, newline="", encoding="utf-8") as file:
            for number, row in enumerate(list(csv.DictReader(file))[::3]):
                provider, model, tier, name, service, shares = KINDS[number % len(KINDS)]
                prompt = int(row["ContextTokens"]) * (1 + number % 7 * 40)
                kept = [prompt * share // 100 for share in shares]
                output = int(row["GeneratedTokens"])
                tokens = [prompt - sum(kept), *kept, output, output * (number % 3) // 4]
                given = number % 5 == 0
                prices = prices_of(models[name], service, band_of(prompt)) if name else None
                cost = (sum(count * price for count, price in zip((*tokens[:4], tokens[4] - tokens[5], tokens[5]), prices))
                        if prices else None)
                day = 1 + number // 2500
                yield {"time": f"2026-03-{day:02}T{number % 24:02}:{number // 24 % 60:02}:00Z", "provider": provider, "model": model,
                       "service_tier": tier, "cost_usd": "0.5" if given else None,
                       **dict(zip(support.TOKENS, tokens))}, PICO // 2 if given else cost

    def import_calls(self):
        """Record the calls; what they cost by day and model, and how many have no price."""
        costs, unpriced, lines = collections.Counter(), collections.Counter(), []
        for call, cost in self.calls():
            key = call["time"][:10], call["provider"], call["model"]
            costs[key] += cost or 0
            unpriced[key] += cost is None
            lines.append(json.dumps({name: value for name, value in call.items() if value is not None}))
        path = self.write("calls.jsonl", "\n".join(lines) + "\n")
        self.run_program("import", "--format", "jsonl", path)
        return costs, unpriced

    def rows_by_model(self):
        """The same out of the fact files; hours out of their quarters."""
        costs, unpriced = collections.Counter(), collections.Counter()
        checkpoint = self.container("checkpoint")
        for day, entry in checkpoint["days"].items():
            facts = self.container(f"{day}.{entry['generation']}.facts")
            quarters = collections.Counter()
            for row in facts["rows"]:
                key = day, row["provider"], row["model"]
                costs[key] += row["cost_pico_usd"]
                unpriced[key] += row["calls"] if row["price_class"] == 2 else 0
            for quarter in facts["quarters"]:
                key = day, quarter["provider"], quarter["model"]
                quarters[key] += quarter["cost_pico_usd"]
            self.assertEqual({key: cost for key, cost in costs.items() if key[0] == day and cost},
                             {key: cost for key, cost in quarters.items() if cost})
        return costs, unpriced, checkpoint

    def test_each_price_of_the_map(self):
        self.run_program("record", "--provider", "p", "--model", "m")
        self.run_program("prices", "import", MAP)
        name = next(name for name in os.listdir(self.log) if name.endswith(".prices"))
        found = {(row["name"], row["service"], row["band"]): tuple(row["pico_usd"]) for row in self.container(name)["prices"]}
        wanted = {}
        for model, entry in load_map().items():
            for number, service in enumerate(SERVICES):
                for band in range(6):
                    prices = prices_of(entry, service, band)
                    if prices:
                        wanted[model, number, band] = prices
        self.assertGreater(len(wanted), 15000)
        self.assertEqual(found, wanted)

    def test_what_calls_cost(self):
        wanted, unpriced = self.import_calls()
        self.run_program("prices", "import", "--since", "2026-01-01", MAP)
        costs, without, checkpoint = self.rows_by_model()
        self.assertEqual(+costs, +wanted)
        self.assertEqual(+without, +unpriced)
        self.assertGreater(sum(1 for key in wanted if wanted[key]), 20)
        # The same by day, and in all, and in the summary.
        by_day = collections.Counter()
        for (day, _, _), cost in wanted.items():
            by_day[day] += cost
        self.assertEqual({row["day"]: row["cost_pico_usd"] for row in checkpoint["day_sums"]}, dict(by_day))
        with open(os.path.join(self.log, "summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
        exact = sum(Fraction(row["cost_exact"]) for row in summary["daily_totals"].values())
        self.assertEqual(exact, Fraction(sum(wanted.values()), PICO))
        self.oracle_agrees()
        out, _ = self.run_program("verify")
        self.assertIn("SOUND", out)

    def test_in_any_order(self):
        """Folded at once, or little by little with the table there before, after, or priced again: the same bytes of sums."""
        wanted, _ = self.import_calls()
        self.run_program("compact")
        costs, _, _ = self.rows_by_model()
        self.assertEqual(sum(costs.values()), PICO // 2 * len([1 for call, _ in self.calls() if call["cost_usd"]]))
        out, _ = self.run_program("reprice", "--since", "2026-03-01", "--prices", MAP)
        self.assertIn("3 days from 2026-03-01 on priced again", out)
        costs, _, checkpoint = self.rows_by_model()
        self.assertEqual(+costs, +wanted)
        self.assertEqual(checkpoint["days"].keys(), {"2026-03-01", "2026-03-02", "2026-03-03"})
        self.oracle_agrees()
        self.run_program("rebuild")
        self.assertEqual(self.rows_by_model()[0], costs)

    def test_real_traces(self):
        """Models that the map does not have, but for parts of their names, stay without a price, and are named."""
        azure = ("--format", "csv", "--map", "time=TIMESTAMP,input_tokens=ContextTokens,output_tokens=GeneratedTokens")
        self.run_program("import", *azure, "--provider", "azure", "--model", "gpt-4", TRACE)
        self.run_program("import", "--format", "jsonl", "--provider", "agents", "--map",
                         "time=start_time_s,model=request_model,input_tokens,output_tokens", AGENTIC)
        self.run_program("prices", "import", "--since", "2023-01-01", MAP)
        prices = prices_of(load_map()["azure/gpt-4"], "standard", 0)
        with open(TRACE, newline="", encoding="utf-8") as file:
            cost = sum(int(row["ContextTokens"]) * prices[0] + int(row["GeneratedTokens"]) * prices[4] for row in csv.DictReader(file))
        costs, without, _ = self.rows_by_model()
        self.assertEqual({key[1:]: value for key, value in costs.items() if value}, {("azure", "gpt-4"): cost})
        out, _ = self.run_program("prices", "missing", "--json")
        self.assertEqual({row["model"]: (row["calls"], row["why"]) for row in json.loads(out)},
                         {"azure/Kimi-K2.5": (1495, "not in the price table"), "azure/DeepSeek-V3.2": (799, "not in the price table")})
        self.assertEqual(sum(without.values()), 1495 + 799)

    def test_what_is_odd(self):
        out, err = self.run_program("prices", "check", MAP, status=1)
        self.assertEqual(err, "")
        named = set(re.findall(r"^(\S+): \"(\S+)\" (\S+) is more than 0.001", out, re.MULTILINE))
        suspect = {(model, key, value) for model, entry in load_map().items() for key, value in entry.items()
                   if key in (INPUT, OUTPUT) and value > Fraction(1, 1000)}
        self.assertEqual({(model, key) for model, key, _ in named}, {(model, key) for model, key, _ in suspect})
        self.assertIn("wandb/openai/gpt-oss-120b", out)
        self.assertRegex(out, r"^2501 models with prices, 484 without any a token\n")


if __name__ == "__main__":
    support.main()
