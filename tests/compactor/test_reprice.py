#!/usr/bin/python3
"""Prices of hand-made logs: what was priced stays, what is priced again is a whole generation, what is lost is said; the oracle agrees."""

import json
import os
import shutil
import unittest
from decimal import Decimal

from handmade import LogTest, Segment, container, fill, run, totals

MODELS = {"gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "litellm_provider": "openai",
                     "input_cost_per_token_above_200k_tokens": 5e-06, "output_cost_per_token_above_200k_tokens": 2e-05},
          "claude": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "litellm_provider": "anthropic",
                     "cache_read_input_token_cost": 3e-07, "cache_creation_input_token_cost": 3.75e-06,
                     "cache_creation_input_token_cost_above_1hr": 6e-06, "output_cost_per_reasoning_token": 2e-05}}
DAY = 86400
START = 1700006400  # 2023-11-15


def price_map(factor=1, **more):
    """The two models, at so many times the price."""
    models = {name: {key: float(Decimal(str(value)) * factor) if isinstance(value, float) else value for key, value in entry.items()}
              for name, entry in MODELS.items()}
    return json.dumps({**models, **more})


class PricesTest(LogTest):
    def put_map(self, name="map.json", text=None):
        path = os.path.join(self.top, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(price_map() if text is None else text)
        return path

    def usagelog(self, *arguments, status=0):
        done = run(arguments[0], "--log", self.log, *arguments[1:])
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def import_map(self, since="2023-01-01", text=None, status=0):
        return self.usagelog("prices", "import", "--since", since, self.put_map(text=text), status=status)

    def reprice(self, since, text, status=0):
        return self.usagelog("reprice", "--since", since, "--prices", self.put_map("again.json", text), status=status)

    def check(self):
        self.expect_oracle_agrees()
        self.assertIn("SOUND", self.verify())

    def costs(self):
        """Cost and calls without one, by day."""
        return {day: (row["cost_exact"], row["unpriced"]) for day, row in self.summary()["daily_totals"].items()}

    def day_tables(self):
        return {day: entry["prices"] for day, entry in container(self.path("checkpoint"))["days"].items()}

    def tables(self):
        return sorted(name for name in os.listdir(self.log) if name.endswith(".prices"))


class Priced(PricesTest):
    def test_cost_that_was_given_stays(self):
        segment = Segment(self.log, 1)
        segment.call(START, cost=7, tokens=(1000, 0, 0, 0, 100, 0))
        segment.call(START, tokens=(1000, 0, 0, 0, 100, 0))
        segment.balance(START, 5, 100, 11, 3, provider="openai", model="gpt-4o")
        self.import_map()
        self.assertEqual(self.costs(), {"2023-11-15": ("0.003500000018", 0)})
        calls = {call["cost_usd_exact"]: call["priced"] for call in self.summary()["sessions"]}
        self.assertEqual(calls, {"0.000000000007": True, "0.0035": True})
        self.reprice("2023-01-01", price_map(2))
        self.assertEqual(self.costs(), {"2023-11-15": ("0.007000000018", 0)})
        self.check()

    def test_a_change_of_price_does_not_rewrite_the_past(self):
        segment = Segment(self.log, 1)
        for day in range(3):
            segment.call(START + day * DAY, tokens=(1000, 0, 0, 0, 100, 0))
        self.import_map()
        self.assertEqual(self.costs(), {f"2023-11-{day}": ("0.0035", 0) for day in (15, 16, 17)})
        before = self.facts_names()
        self.import_map(since="2023-11-17", text=price_map(2))
        # A late call of a day, and the first one of another.
        segment.call(START + 2 * DAY + 60, tokens=(1000, 0, 0, 0, 100, 0))
        segment.call(START + 3 * DAY, tokens=(1000, 0, 0, 0, 100, 0))
        self.compact()
        self.assertEqual(self.costs(), {"2023-11-15": ("0.0035", 0), "2023-11-16": ("0.0035", 0), "2023-11-17": ("0.007", 0),
                                        "2023-11-18": ("0.007", 0)})
        self.assertTrue(set(before[:2]) <= set(self.facts_names()))
        self.assertEqual(self.day_tables(), {"2023-11-15": 1, "2023-11-16": 1, "2023-11-17": 1, "2023-11-18": 2})
        self.check()
        wanted = totals(self.log)
        self.assertIn("folded 5 calls", self.usagelog("rebuild").stdout)
        self.assertEqual(totals(self.log), wanted)

    def test_a_day_without_a_table_takes_one_with_its_next_call(self):
        segment = Segment(self.log, 1)
        segment.call(START, tokens=(1000, 0, 0, 0, 100, 0))
        segment.call(START + DAY, tokens=(1000, 0, 0, 0, 100, 0))
        self.compact()
        done = self.import_map()
        self.assertIn("2 days from then on have calls without a price; usagelog reprice --since 2023-01-01", done.stdout)
        self.assertEqual(self.costs(), {"2023-11-15": ("0", 1), "2023-11-16": ("0", 1)})
        wanted = totals(self.log)
        self.usagelog("rebuild")
        self.assertEqual(totals(self.log), wanted)
        segment.call(START + 60, tokens=(10, 0, 0, 0, 1, 0))
        shown = json.loads(self.usagelog("summary", "--days", "36500", "--json").stdout)
        self.compact()
        self.assertEqual(self.costs(), {"2023-11-15": ("0.003535", 0), "2023-11-16": ("0", 1)})
        # What is shown before the fold is what the fold comes to.
        self.assertEqual({day: (row["cost_exact"], row["unpriced"]) for day, row in shown["daily_totals"].items()}, self.costs())
        self.check()

    def test_a_table_is_for_its_days_alone(self):
        segment = Segment(self.log, 1)
        for day in range(4):
            segment.call(START + day * DAY, tokens=(1000, 0, 0, 0, 100, 0))
        # In whatever order they are imported; of two that begin on one day the later one counts.
        for since, factor in (("2023-11-18", 8), ("2023-11-17", 3), ("2023-11-17", 4), ("2023-11-16", 2)):
            if since != "2023-11-16":
                # Nothing to fold meanwhile.
                os.rename(segment.path, segment.path + ".away")
            self.import_map(since=since, text=price_map(factor))
            if since != "2023-11-16":
                os.rename(segment.path + ".away", segment.path)
        self.assertEqual(self.costs(), {"2023-11-15": ("0", 1), "2023-11-16": ("0.007", 0), "2023-11-17": ("0.014", 0),
                                        "2023-11-18": ("0.028", 0)})
        self.check()

    def test_tiers_services_reversals_and_bands(self):
        segment = Segment(self.log, 1)
        segment.call(START, tokens=(200000, 0, 0, 0, 10, 0))
        segment.call(START, tokens=(100000, 100001, 0, 0, 10, 0))
        segment.call(START, tokens=(1, 0, 0, 0, 0, 0), service_tier="batch")
        segment.call(START, provider="anthropic", model="claude", tokens=(1, 10, 100, 1000, 10000, 9000), service_tier="Standard")
        slot = segment.call(START, tokens=(77, 0, 0, 0, 7, 0), call_id=b"back", operation="chat")
        self.assertTrue(slot)
        self.import_map()
        segment.call(START, tokens=(77, 0, 0, 0, 7, 0), call_id=b"back", reversal=True, operation="chat")
        self.compact()
        pico = (200000 * 2500000 + 10 * 10000000, (100000 + 100001) * 5000000 + 10 * 20000000,
                3000000 + 10 * 300000 + 100 * 3750000 + 1000 * 6000000 + 1000 * 15000000 + 9000 * 20000000)
        self.assertEqual(self.costs(), {"2023-11-15": (str(Decimal(sum(pico)).scaleb(-12).normalize()), 1)})
        missing = json.loads(self.usagelog("prices", "missing", "--json").stdout)
        self.assertEqual([(row["model"], row["calls"]) for row in missing], [("gpt-4o", 1)])
        self.check()

    def test_missing_is_listed(self):
        segment = Segment(self.log, 1)
        segment.call(START, model="gpt-4", tokens=(5, 0, 0, 0, 1, 0))
        segment.call(START, model="gpt-4o-mini", tokens=(5, 0, 0, 0, 1, 0))
        self.assertIn("there is no price table", self.usagelog("prices", "missing").stdout)
        self.import_map()
        out = self.usagelog("prices", "missing").stdout
        self.assertIn("openai gpt-4: not in the price table", out)
        self.assertIn("openai gpt-4o-mini: not in the price table", out)
        self.reprice("2023-01-01", price_map(1, **{"gpt-4": {"same_as": "gpt-4o"}, "gpt-4o-mini": {"same_as": "gpt-4o"}}))
        self.assertEqual(self.usagelog("prices", "missing").stdout, "every call has a price\n")
        self.check()

    def test_the_same_map_again_is_nothing_new(self):
        Segment(self.log, 1).call(START)
        self.import_map()
        done = self.import_map()
        self.assertIn("is the same; nothing was imported", done.stdout)
        self.assertEqual(len(self.tables()), 1)
        listed = json.loads(self.usagelog("prices", "list", "--json").stdout)
        self.assertEqual([(table["table"], table["since"], table["models"], table["days"], table["stands"]) for table in listed],
                         [(1, "2023-01-01", 2, 1, True)])


    def test_reports_of_single_calls(self):
        """What is read call by call, folded or pending, is priced as the days' rows are."""
        segment = Segment(self.log, 1)
        segment.call(START, tokens=(1000, 0, 0, 0, 100, 0), metadata={"n": 1})
        segment.call(START + 1, tokens=(300000, 0, 0, 0, 1, 0), metadata={"n": 2})
        self.import_map()
        segment.call(START + DAY, tokens=(1000, 0, 0, 0, 100, 0), metadata={"n": 2}, service_tier="standard")
        segment.call(START + DAY, tokens=(1000, 0, 0, 0, 100, 0), metadata={"n": 3}, service_tier="flex")
        segment.call(START + DAY, tokens=(1000, 0, 0, 0, 100, 0), metadata={"n": 3}, cost=5)
        found = [json.loads(self.usagelog("report", "--since", "2023-11-01", "--by", key, "--json").stdout) for key in ("n", "model", "hour")]
        self.assertEqual([report["totals"]["cost_exact"] for report in found], ["1.507020000005"] * 3)
        self.assertEqual([report["totals"]["unpriced"] for report in found], [1] * 3)
        self.assertEqual({row["n"]: row["cost_exact"] for row in found[0]["rows"]},
                         {"1": "0.0035", "2": "1.50352", "3": "0.000000000005"})


class Repriced(PricesTest):
    def test_difference_and_agreement(self):
        segment = Segment(self.log, 1)
        fill(segment, 300, step=7200)
        self.import_map()
        old, given = self.costs(), totals(self.log)
        self.import_map(since="2023-12-01", text=price_map(3))
        done = self.reprice("2023-11-20", price_map(2, **{"a model with a rather long name, longer than one slot":
                                                           {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}}))
        self.assertIn("from 2023-11-20 on priced again, with price table 3; costs that were given stay", done.stdout)
        self.check()
        new = self.costs()
        for day in old:
            if day < "2023-11-20":
                self.assertEqual(new[day], old[day])
            else:
                self.assertEqual(new[day][1], 0)
        # The sum of what is said by model is the difference of the totals.
        said = Decimal(done.stdout.splitlines()[-1].split()[4].lstrip("+"))
        self.assertEqual(said, sum(Decimal(cost) for cost, _ in new.values()) - sum(Decimal(cost) for cost, _ in old.values()))
        # The table that began later has no place any more.
        self.assertEqual([row["since"] for row in json.loads(self.usagelog("prices", "list", "--json").stdout)],
                         ["2023-01-01", "2023-11-20"])
        wanted = totals(self.log)
        self.usagelog("rebuild")
        self.assertEqual(totals(self.log), wanted)
        self.reprice("2023-01-01", price_map())
        self.assertEqual(self.costs(), {day: cost for day, cost in old.items()})
        self.assertEqual(totals(self.log)["summary"]["totals"], given["summary"]["totals"])

    def test_in_one_fold_or_in_many(self):
        segment = Segment(self.log, 1)
        self.import_map()
        for number in range(6):
            fill(segment, 40, start=1700000000 + number * 90000, step=7200, seed=number + 1)
            self.compact()
        little = totals(self.log)
        other = os.path.join(self.top, "other")
        os.mkdir(other)
        for name in ("log.conf", *(name for name in os.listdir(self.log) if name.endswith(".seg"))):
            shutil.copy(self.path(name), other)
        self.log = other
        self.reprice("2023-01-01", price_map())
        once = totals(self.log)
        for one in (little, once):
            for day in [*one["facts"].values(), *one["checkpoint"]["days"].values()]:
                day.pop("prices", None)
                day.pop("bytes", None)
            one["checkpoint"].pop("files")
        # The list of last calls and all sums; ids know nothing of prices.
        self.assertEqual(once, little)

    def test_after_retention(self):
        """What is deleted is priced again from its rows, also when it is gone back to the base."""
        old = Segment(self.log, 1)
        fill(old, 60, start=1600000000, step=20000)
        self.import_map(since="2020-01-01")
        fill(Segment(self.log, 2), 20, step=20000, seed=2)
        os.utime(old.path, (1600400000, 1600400000))
        self.assertEqual(run("config", "--log", self.log, "retention_days", "365").returncode, 0)
        self.compact()
        self.assertFalse(os.path.exists(old.path))
        self.reprice("2020-01-01", price_map(2))
        self.assertIn("SOUND", self.verify())
        wanted, costs = totals(self.log), self.costs()
        self.usagelog("rebuild")
        self.assertEqual(self.costs(), costs)
        self.assertEqual(totals(self.log)["facts"], wanted["facts"])
        self.assertIn("SOUND", self.verify())


class Lost(PricesTest):
    def prepared(self):
        segment = Segment(self.log, 1)
        fill(segment, 100, step=7200)
        self.import_map()
        return segment

    def test_verify_finds_a_changed_table(self):
        self.prepared()
        name = self.tables()[0]
        with open(self.path(name), "r+b") as file:
            file.seek(-60, os.SEEK_END)
            byte = file.read(1)
            file.seek(-60, os.SEEK_END)
            file.write(bytes([byte[0] ^ 1]))
        self.assertRegex(self.verify(4), rf"FAIL +{name} .*is damaged")

    def test_verify_finds_another_table_in_its_place(self):
        self.prepared()
        name = self.tables()[0]
        other = os.path.join(self.top, "other")
        shutil.copytree(self.log, other)
        for file in os.listdir(other):
            if file.startswith("checkpoint") or file.endswith((".prices", ".facts", ".ids")):
                os.unlink(os.path.join(other, file))
        done = run("prices", "--log", other, "import", "--since", "2023-01-01", self.put_map("other.json", price_map(2)))
        self.assertEqual(done.returncode, 0, done.stderr)
        shutil.copy(os.path.join(other, name), self.path(name))
        self.assertRegex(self.verify(4), rf"FAIL +{name} ")

    def test_a_lost_table(self):
        """What it priced stays, new calls of its days wait, and pricing again cures it."""
        segment = self.prepared()
        costs = self.costs()
        os.unlink(self.path(self.tables()[0]))
        segment.call(START, tokens=(1000, 0, 0, 0, 100, 0))
        done = self.compact(1)
        self.assertIn("1.prices: is missing; it cannot be made anew", done.stderr)
        self.assertIn("usagelog reprice --since 2023-11-15 --prices FILE", done.stderr)
        now = self.costs()
        self.assertEqual({day: cost for day, (cost, _) in now.items()}, {day: cost for day, (cost, _) in costs.items()})
        self.assertEqual(now["2023-11-15"][1], costs["2023-11-15"][1] + 1)
        self.reprice("2023-01-01", price_map())
        self.assertEqual(Decimal(self.costs()["2023-11-15"][0]), Decimal(costs["2023-11-15"][0]) + Decimal("0.0035"))
        self.compact()
        self.check()

    def test_a_table_that_was_damaged_without_a_trace(self):
        segment = self.prepared()
        name = self.path(self.tables()[0])
        fill(segment, 1, start=1700900000, seed=9)
        self.compact()
        clock = os.stat(self.path("checkpoint"))
        with open(name, "r+b") as file:
            file.seek(-60, os.SEEK_END)
            file.write(b"\xff")
        # As if it were older than the checkpoint: its time of change is.
        while os.stat(self.path("checkpoint")).st_ctime_ns <= os.stat(name).st_ctime_ns:
            os.rename(self.path("checkpoint"), self.path("checkpoint.away"))
            os.rename(self.path("checkpoint.away"), self.path("checkpoint"))
        self.assertGreater(os.stat(self.path("checkpoint")).st_ctime_ns, clock.st_ctime_ns)
        segment.call(START, tokens=(1000, 0, 0, 0, 100, 0))
        self.assertIn("1.prices: is damaged; it cannot be made anew", self.compact(1).stderr)
        self.reprice("2023-01-01", price_map())
        self.check()

    def test_a_lost_table_that_no_day_needs(self):
        self.prepared()
        self.import_map(since="2030-01-01", text=price_map(2))
        os.unlink(self.path("2.prices"))
        self.assertIn("2.prices: no day was priced with it; run usagelog prices import once more", self.compact(1).stderr)
        self.assertEqual(self.compact().stderr, "")
        self.check()

    def test_both_checkpoints_lost(self):
        """The price tables and the facts say what was priced with what."""
        segment = self.prepared()
        self.reprice("2023-11-17", price_map(2))
        fill(segment, 20, start=1700700000, step=7200, seed=5)
        self.compact()
        wanted = totals(self.log)
        for name in ("checkpoint", "checkpoint.previous"):
            with open(self.path(name), "wb") as file:
                file.write(b"damaged")
        self.compact()
        self.assertEqual(totals(self.log), wanted)
        self.check()

    def test_checkpoint_lost(self):
        """The one before knows nothing of what was priced again since: that is said, and done again."""
        self.prepared()
        before = self.costs()
        self.reprice("2023-11-17", price_map(2))
        wanted = self.costs()
        with open(self.path("checkpoint"), "wb") as file:
            file.write(b"damaged")
        self.assertIn("2.prices: was made after checkpoint.previous, and is not used", self.compact(1).stderr)
        self.assertEqual(self.costs(), before)
        self.reprice("2023-11-17", price_map(2))
        self.assertEqual(self.costs(), wanted)
        self.check()

    def test_a_day_made_anew_takes_no_table(self):
        segment = Segment(self.log, 1)
        segment.call(START, tokens=(1000, 0, 0, 0, 100, 0))
        self.compact()
        self.import_map()
        os.unlink(self.path(self.facts_names()[0]))
        segment.call(START + 1, cost=1)
        self.compact()
        self.assertEqual(self.costs(), {"2023-11-15": ("0.000000000001", 1)})
        self.assertEqual(self.day_tables(), {"2023-11-15": 0})
        self.check()

    def test_lost_facts(self):
        self.prepared()
        self.reprice("2023-11-17", price_map(2))
        wanted = totals(self.log)
        for name in self.facts_names()[:3]:
            os.unlink(self.path(name))
        self.compact()
        self.assertEqual(totals(self.log), wanted)
        self.check()


class Refused(PricesTest):
    def test_usage(self):
        Segment(self.log, 1).call(START)
        for arguments in (("prices",), ("prices", "lisst"), ("prices", "import"), ("prices", "show"), ("prices", "list", "more"),
                          ("prices", "import", "--since", "yesterday", self.put_map()), ("prices", "list", "--since", "2026-01-01"),
                          ("reprice",), ("reprice", "--since", "2026-01-01"), ("reprice", "--since", "1", "--prices", self.put_map())):
            done = self.usagelog(*arguments, status=16)
            self.assertEqual(done.stdout, "", arguments)
            self.assertTrue(done.stderr.startswith("usagelog: "), arguments)
        self.assertIn("did you mean list?", self.usagelog("prices", "lisst", status=16).stderr)
        self.usagelog("prices", "import", os.path.join(self.top, "nowhere.json"), status=8)
        self.usagelog("prices", "import", self.put_map(text="{"), status=8)
        self.usagelog("prices", "import", self.put_map(text="[]"), status=8)
        for text in ("{}", '{"error": "rate limit"}', '{"m": {"input_cost_per_token": 1e-6}}'):
            self.assertIn("no model has prices in it", self.usagelog("prices", "import", self.put_map(text=text), status=8).stderr)
        self.assertEqual(self.tables(), [])

    def test_odd_models(self):
        text = json.dumps({
            "a": {"input_cost_per_token": -1e-6, "output_cost_per_token": 1e-6},
            "b": {"input_cost_per_token": "1e-6", "output_cost_per_token": 1e-6},
            "c": {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, "input_cost_per_token_above_100k_tokens": 2e-6},
            "d": {"input_cost_per_token": 1.25e-13, "output_cost_per_token": 1e-6},
            "e": {"input_cost_per_token": 0.002, "output_cost_per_token": 1e-6},
            "f": {"same_as": "g"}, "g": {"same_as": "h"}, "h": 1, "i": {}, "": {}, "j": {"input_cost_per_token": 1e300},
            "k": {"input_cost_per_token": 3.0000000000000004e-6, "output_cost_per_token": None}})
        out = self.usagelog("prices", "check", self.put_map(text=text), status=1).stdout
        self.assertIn("2 models with prices", out)
        for line in ('a: "input_cost_per_token" is negative', 'b: "input_cost_per_token" is not a number',
                     'c: "input_cost_per_token_above_100k_tokens" is a tier that this program does not know', "1.25e-13 is finer than",
                     "0.002 is more than 0.001 US dollars", "f: is to be the same as g", 'h: "h" is not an object',
                     '"": cannot be the name', 'j: "input_cost_per_token" is beyond'):
            self.assertIn(line, out)
        self.assertNotIn("k: ", out)


if __name__ == "__main__":
    unittest.main(verbosity=1)
