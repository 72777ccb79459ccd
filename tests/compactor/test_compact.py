#!/usr/bin/python3
"""compact, summary and verify on logs written by hand: the totals are the oracle's, whatever is wrong with the files."""

import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import time
import unittest

import xxhash

from handmade import LOG_ID, PAGE, LogTest, Segment, container, fill, lock_file, make_another, oracle, run, snapshot, totals


class Sound(LogTest):
    zone, group_by = "Europe/Berlin", ("user",)

    def test_totals_are_the_oracles(self):
        for number in range(3):
            segment = Segment(self.log, number + 1)
            fill(segment, 300, seed=number + 1)
            if number:
                segment.durable()
        done = self.compact()
        self.assertRegex(done.stdout, r"^folded 900 calls from 3 segments in [\d,]+ ms; 0 damaged; summary.json written\n$")
        self.expect_oracle_agrees()
        wanted = json.loads(oracle("totals", self.log).stdout)
        summary = self.summary()
        self.assertEqual(summary["totals"]["calls"], wanted["calls"])
        self.assertEqual(summary["totals"]["errors"], wanted["errors"])
        self.assertEqual(summary["totals"]["tokens"], wanted["total_tokens"])
        self.assertEqual(summary["totals"]["unpriced"], wanted["unpriced_calls"])
        self.assertEqual(int(round(float(summary["totals"]["cost_exact"]) * 10**12)), wanted["cost_pico_usd"])
        self.assertEqual({day: one["calls"] for day, one in summary["daily_totals"].items()},
                         {day: one["calls"] for day, one in wanted["by_day"].items()})
        self.assertEqual(len(summary["sessions"]), 900)
        self.assertEqual(sorted(one["timestamp"] for one in summary["sessions"]), [one["timestamp"] for one in summary["sessions"]])
        self.verify(0, "--strict")

    def test_what_is_new_is_added(self):
        segment = Segment(self.log, 1)
        for part in range(5):
            fill(segment, 50, start=1700000000 + part * 40000, seed=part)
            self.compact()
            self.expect_oracle_agrees()
        whole = totals(self.log)
        for name in os.listdir(self.log):
            if not name.endswith(".seg") and name != "log.conf":
                os.unlink(self.path(name))
        self.compact()
        self.assertEqual(totals(self.log), whole)
        before = snapshot(self.log)
        self.assertIn("nothing new in ", self.compact().stdout)
        after = snapshot(self.log)
        del before[self.path("summary.json")], after[self.path("summary.json")]
        self.assertEqual(before, after)

    def test_only_new_days_are_written(self):
        segment = Segment(self.log, 1)
        segment.call(1700000000)
        segment.call(1700100000)
        self.compact()
        segment.call(1700200000)
        self.compact()
        self.assertEqual(self.facts_names(), ["2023-11-14.1.facts", "2023-11-16.1.facts", "2023-11-17.2.facts"])

    def test_more_than_a_thousand_calls(self):
        segment = Segment(self.log, 1)
        fill(segment, 2500, step=-60)
        self.compact()
        self.expect_oracle_agrees()
        self.assertEqual(len(self.summary()["sessions"]), 1000)

    def test_metadata_stay_as_given(self):
        segment = Segment(self.log, 1)
        context = b'{"metadata":{"big":12345678901234567890123,"small":1.2300,"user":"\xc3\xa9"},"operation":"chat"}'
        segment.put(1 << 28 | segment.model("p", "m"), segment.define(2, context) | 1 << 28 | 1 << 29,
                    struct.pack("<qq8I", 10**18, 0, 1, 2, 3, 4, 5, 6, 0, 0))
        self.compact()
        self.summary()
        with open(self.path("summary.json"), encoding="utf-8") as file:
            self.assertIn('{"big":12345678901234567890123,"small":1.2300,"user":"é"}', file.read())

    def test_attributes_are_summed_up_by_value(self):
        segment = Segment(self.log, 1)
        values = ["ann", "", "a\u0085b", "\u007f", "x" * 2000, 7, 7.5, True, None, [1, "a"], {"k": 1}]
        for number, value in enumerate(values):
            text = json.dumps({"metadata": {"user": value}, "service_tier": "flex"}, sort_keys=True, separators=(",", ":"))
            slot = segment.define(2, text.encode().replace(b'"7.5"', b"7.5"))
            segment.put(1 << 28 | segment.model("p", "m"), slot | 1 << 28 | 1 << 29,
                        struct.pack("<qq8I", 10**18 + number, 0, 1, 2, 3, 4, 5, 6, 0, 0))
        # Of a balance that counts in days alone there is no attribute; of one in breakdowns alone no day.
        segment.balance(1700000000, 7, 70, 5, 1, metadata={"user": "ann"})
        segment.balance(1700000000, 9, 90, 6, 2, metadata={"user": "ann"})
        self.compact()
        self.expect_oracle_agrees()
        found = {(one["attribute"], one["value"]): one["calls"] for one in container(self.path("checkpoint"))["attributes"]}
        named = ["ann", '""', '"a\\u0085b"', '"\\u007f"', '"' + "x" * 2000 + '"', "7", "7.5", "true", "null", '[1,"a"]', '{"k":1}']
        self.assertEqual(found, {("service_tier", "flex"): 11} | {("user", name): 10 if name == "ann" else 1 for name in named})
        self.verify(0, "--strict")

    def test_recent_days_move_on(self):
        segment = Segment(self.log, 1)
        # Two calls a day over 50 days, folded in three parts and in no order, with a day that is far off.
        for start in (1700000000 + 20 * 86400, 1700000000 + 40 * 86400, 1700000000):
            fill(segment, 40, start=start, step=43200)
            self.compact()
        segment.call(4000000000)
        self.compact()
        self.expect_oracle_agrees()
        checkpoint = container(self.path("checkpoint"))
        self.assertEqual(len({one["day"] for one in checkpoint["recent"]}), 31)
        self.assertIn("2096-10-02", {one["day"] for one in checkpoint["recent"]})
        self.assertEqual(len(checkpoint["days"]), len(checkpoint["day_sums"]))
        self.verify(0)

    def test_balances_and_reversals(self):
        segment = Segment(self.log, 1)
        segment.balance(1700000000, 1000, 5000000, 10**15, 3)
        segment.balance(1700000000, 7, 70, 5, 1)
        segment.balance(1700000000, 9, 90, 6, 2)
        one = {"cost": 5 * 10**12, "latency": 1000, "call_id": b"one-and-the-same", "operation": "chat"}
        segment.call(1700000090, call_id=b"quite-another-id")
        segment.call(1700000100, **one)
        self.compact()
        self.expect_oracle_agrees()
        self.assertEqual(len(self.summary()["sessions"]), 2)
        segment.call(1700000100, reversal=True, **one)
        segment.call(1700000100, **(one | {"cost": 6 * 10**12}))
        self.compact()
        self.expect_oracle_agrees()
        summary = self.summary()
        self.assertEqual(summary["totals"]["calls"], 1000 + 7 + 2)
        self.assertEqual(summary["model_breakdown"]["gpt-3"]["calls"], 1009)
        self.assertEqual([one["cost_usd_exact"] for one in summary["sessions"]], ["0", "6"])
        self.verify(0, "--strict")
        segment.call(1700000100, reversal=True, **(one | {"cost": 6 * 10**12}))
        self.compact()
        self.expect_oracle_agrees()
        self.assertEqual(len(self.summary()["sessions"]), 1)

    def test_other_settings_fold_anew(self):
        segment = Segment(self.log, 1)
        fill(segment, 200)
        self.compact()
        self.write_conf("America/New_York", ())
        self.verify(0)
        self.compact()
        self.expect_oracle_agrees()
        self.verify(0)
        os.unlink(segment.path)
        self.write_conf("UTC", ())
        before = snapshot(self.log)
        self.assertIn("put the setting back", self.compact(8).stderr)
        self.assertEqual(snapshot(self.log), before)


class Edges(LogTest):
    def test_empty_log(self):
        self.assertRegex(self.compact().stdout, r"^nothing new in [\d,]+ ms; 0 damaged; summary.json written\n$")
        self.assertEqual(self.summary()["sessions"], [])
        self.verify(0, "--strict")
        self.assertEqual(run("summary", "--log", self.log).returncode, 0)

    def test_no_log(self):
        for command in ("compact", "verify", "summary"):
            done = run(command, "--log", self.path("none"))
            self.assertEqual(done.returncode, 8)
            self.assertIn("there is no such directory", done.stderr)

    def test_second_compactor_leaves(self):
        open(self.path("lock"), "wb").close()
        with lock_file(self.path("lock")):
            self.assertIn("another compactor is at work", self.compact(2).stderr)
        self.compact()

    def test_much_is_kept(self):
        """What the calls take on disk is said where it is much: here by room that a file has behind its end."""
        fill(Segment(self.log, 1), 10)
        name = next(name for name in os.listdir(self.log) if name.endswith(".seg"))
        done = subprocess.run(["fallocate", "--keep-size", "--offset", "1MiB", "--length", "300MiB", self.path(name)],
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            self.skipTest(done.stderr)
        self.assertRegex(self.compact().stdout, r"^folded 10 calls .* summary.json written; 300\.\d MiB of calls kept\n$")

    def test_quiet(self):
        self.assertEqual(self.compact(0, "--quiet").stdout, "")

    def test_usage(self):
        for command in ("compact", "verify", "summary"):
            self.assertEqual(run(command, "--log", self.log, "extra").returncode, 16)
            self.assertEqual(run(command, "--log", self.log, "--nonsense").returncode, 16)
        for days in ("0", "-1", "x", "1x", "99999999999999999999"):
            self.assertEqual(run("summary", "--log", self.log, "--days", days).returncode, 16)

    def test_names_cannot_reach_the_terminal(self):
        segment = Segment(self.log, 1)
        # Not a name: the definition is not valid, so the call is of (unknown).
        segment.call(model="\x1b[2Jevil")
        self.compact()
        self.assertIn("(unknown)", self.summary()["model_breakdown"])
        self.assertNotIn("\x1b", run("summary", "--log", self.log).stdout)
        self.expect_oracle_agrees()

    def test_summary_counts_what_is_pending(self):
        segment = Segment(self.log, 1)
        fill(segment, 100)
        self.compact()
        folded = json.loads(run("summary", "--log", self.log, "--json").stdout)
        fill(segment, 50, seed=9)
        before = snapshot(self.log)
        pending = json.loads(run("summary", "--log", self.log, "--json").stdout)
        self.assertEqual(snapshot(self.log), before)
        self.assertEqual((folded["pending"], pending["pending"]), (0, 50))
        self.assertEqual(pending["totals"]["calls"], 150)
        self.assertIn("50 of them are not in summary.json yet", run("summary", "--log", self.log).stdout)
        self.compact()
        again = json.loads(run("summary", "--log", self.log, "--json").stdout)
        self.assertEqual(again["totals"], pending["totals"])

    def test_fallback_directory(self):
        backup = os.path.join(self.top, "backup")
        self.write_conf("UTC", fallbacks=[backup])
        fill(Segment(self.log, 1), 40)
        self.compact()
        os.mkdir(backup)
        fill(Segment(backup, 2), 60)
        self.compact()
        self.assertEqual(self.summary()["totals"]["calls"], 100)
        self.expect_oracle_agrees()


class Damage(LogTest):
    """Each kind of damage that FORMAT.md 10 names."""

    def setUp(self):
        super().setUp()
        self.segment = Segment(self.log, 1)
        fill(self.segment, 200)
        self.compact()
        fill(self.segment, 100, start=1701000000, seed=2)
        self.compact()
        self.whole = totals(self.log)

    def corrupt(self, name):
        with open(self.path(name), "r+b") as file:
            file.seek(70)
            file.write(b"\xff\xff\xff")

    def expect_healed(self, status=0):
        done = self.compact(status)
        self.expect_oracle_agrees()
        self.assertEqual(totals(self.log), self.whole)
        self.summary()
        self.verify(0)
        return done

    def set_aside(self, name):
        return [one for one in os.listdir(self.log) if one.startswith(name + ".corrupted.")]

    def test_checkpoint_corrupt(self):
        self.corrupt("checkpoint")
        self.assertIn("damaged", self.verify(4))
        self.assertIn("checkpoint.previous is gone on from", self.expect_healed().stderr)
        self.assertEqual(len(self.set_aside("checkpoint")), 1)

    def test_checkpoint_gone(self):
        os.unlink(self.path("checkpoint"))
        self.expect_healed()

    def test_both_checkpoints_corrupt(self):
        self.corrupt("checkpoint")
        self.corrupt("checkpoint.previous")
        self.expect_healed()
        self.assertEqual(len(self.set_aside("checkpoint") + self.set_aside("checkpoint.previous")), 2)

    def test_both_checkpoints_gone(self):
        os.unlink(self.path("checkpoint"))
        os.unlink(self.path("checkpoint.previous"))
        self.assertIn("is missing", self.verify(4))
        self.expect_healed()

    def test_first_fold_cut_off_before_its_commit(self):
        for name in os.listdir(self.log):
            if not name.endswith(".seg") and name != "log.conf":
                os.unlink(self.path(name))
        self.compact()
        os.unlink(self.path("checkpoint"))
        self.assertIn("the first fold was cut off", self.verify(0))
        self.verify(1, "--strict")
        self.expect_healed()

    def test_calls_that_cannot_be_had_again_are_named(self):
        other = Segment(self.log, 7)
        fill(other, 30)
        self.compact()
        for name in ("checkpoint", "checkpoint.previous"):
            os.unlink(self.path(name))
        os.unlink(other.path)
        done = self.compact(1)
        self.assertIn("cannot be had again", done.stderr)
        self.assertTrue(self.set_aside("2023-11-15.3.facts"))

    def test_previous_corrupt(self):
        self.corrupt("checkpoint.previous")
        self.expect_healed()

    def test_newer_checkpoint_is_refused(self):
        with open(self.path("checkpoint"), "r+b") as file:
            data = bytearray(file.read())
            data[16] = 2
            data[8:16] = struct.pack("<Q", xxhash.xxh3_64_intdigest(bytes(data[16:])))
            file.seek(0)
            file.write(data)
        before = snapshot(self.log)
        self.assertIn("newer usagelog", self.compact(8).stderr)
        self.assertEqual(snapshot(self.log), before)
        self.assertEqual(run("verify", "--log", self.log).returncode & 8, 8)

    def test_fact_file_corrupt(self):
        name = self.facts_names()[0]
        self.corrupt(name)
        self.assertIn(name, self.verify(4))
        self.assertIn("folded anew", self.expect_healed().stderr)
        self.assertEqual(len(self.set_aside(name)), 1)

    def test_a_file_that_is_not_the_one_named(self):
        for name in (self.facts_names()[0], "2.ids"):
            make_another(self.path(name))
            self.assertRegex(self.verify(4), rf"(?m)^FAIL  {name}  .*is damaged")
            self.assertIn(f"{name}: is damaged", self.expect_healed().stderr)
            self.assertEqual(len(self.set_aside(name)), 1)

    def test_fact_files_gone(self):
        for name in self.facts_names():
            os.unlink(self.path(name))
        self.verify(4)
        self.expect_healed()

    def test_fact_file_and_segment_gone(self):
        name = self.facts_names()[0]
        os.unlink(self.path(name))
        os.unlink(self.segment.path)
        done = self.compact(1)
        self.assertIn("not all slots of this day", done.stderr)
        self.assertIn("its file is missing", done.stderr)
        self.assertEqual(self.summary()["totals"]["calls"], 300)
        self.assertIn("are not", self.verify(4))
        self.compact(0)

    def test_days_that_are_lost_stand_from_the_totals(self):
        # The day of 2023-11-15 is long before the newest 31 days, that of 2023-12-30 is one of them.
        fill(self.segment, 24 * 40, start=1702000000, seed=3)
        self.compact()
        before, whole = self.summary(), container(self.path("checkpoint"))
        old, recent = "2023-11-15", "2023-12-30"
        names = [name for name in self.facts_names() if name.startswith((old, recent))]
        models = {row["model"] for row in container(self.path(names[1]))["rows"]}
        for name in names:
            os.unlink(self.path(name))
        os.unlink(self.segment.path)
        said = self.compact(1).stderr
        self.assertIn(f"{old}: not all slots of this day are there any more: its totals stay, but its models, operations", said)
        self.assertIn(f"{recent}: not all slots of this day are there any more: its totals stay, by model too", said)
        after, now = self.summary(), container(self.path("checkpoint"))
        self.assertEqual((before["totals"], before["daily_totals"], before["model_breakdown"]),
                         (after["totals"], after["daily_totals"], after["model_breakdown"]))
        for part in ("rows", "buckets", "day_sums", "recent", "hours", "attributes"):
            self.assertEqual(whole[part], now[part])
        rows = {}
        for name in self.facts_names():
            rows[name[:10]] = container(self.path(name))["rows"]
        self.assertEqual({row["model"] for row in rows[old]}, {"(unknown)"})
        self.assertEqual({row["model"] for row in rows[recent]}, models)
        for day in (old, recent):
            for name, key in (("calls", "calls"), ("cost_exact", "cost_pico_usd")):
                total = sum(row[key] for row in rows[day])
                self.assertEqual(total, round(float(after["daily_totals"][day][name]) * (10**12 if name == "cost_exact" else 1)))
            self.assertEqual(sum(row["calls"] for row in rows[day] if "error_type" in row["dimensions"]), after["daily_totals"][day]["errors"])
            self.assertEqual(sum(row["calls"] for row in rows[day] if row["price_class"] == 2), after["daily_totals"][day]["unpriced"])
        # What stands in comes to the checkpoint's sums; only the segments are missing.
        for line in self.verify(4).splitlines():
            if old in line or recent in line:
                self.assertNotIn("its sums are not the checkpoint's", line)

    def test_summary_of_days_whose_file_is_lost(self):
        fill(self.segment, 10, start=int(time.time()) - 3600, step=1, seed=4)
        self.compact()
        whole = json.loads(run("summary", "--log", self.log, "--json").stdout)
        self.assertEqual(whole["period"]["calls"], 10)
        for name in self.facts_names():
            os.unlink(self.path(name))
        done = run("summary", "--log", self.log, "--json")
        self.assertEqual(done.returncode, 1)
        self.assertIn("its day is shown as far as the checkpoint has it", done.stderr)
        shown = json.loads(done.stdout)
        for part in ("totals", "period", "model_breakdown", "daily_totals"):
            self.assertEqual(shown[part], whole[part], part)

    def test_wrong_sums_in_the_checkpoint(self):
        wrong = {4: "its days do not come to its totals", 19: "its days do not come to its totals",
                 22: "its sums by model do not come to those of their days", 23: "its hours do not come to their days",
                 24: "its totals are not what the segments give", 7: "its totals are not what the segments give"}
        self.segment.call(1701000000, service_tier="flex")
        self.compact()
        with open(self.path("checkpoint"), "rb") as file:
            sound = file.read()
        for section, said in wrong.items():
            data = bytearray(sound)
            for at in range(64, 64 + 32 * struct.unpack_from("<I", data, 56)[0], 32):
                kind, _, offset, count = struct.unpack_from("<IIQQ", data, at)
                if kind == section:
                    self.assertTrue(count)
                    # The number of calls of the first record: of a bucket, its count.
                    data[offset + (8 if section == 7 else 16)] ^= 1
            data[8:16] = struct.pack("<Q", xxhash.xxh3_64_intdigest(bytes(data[16:])))
            with open(self.path("checkpoint"), "wb") as file:
                file.write(data)
            line = next(line for line in self.verify(4).splitlines() if line.split()[1] == "checkpoint")
            self.assertTrue(line.startswith("FAIL"), line)
            self.assertIn(said, line)
        with open(self.path("checkpoint"), "wb") as file:
            file.write(sound)
        self.verify(0)

    def test_id_set_gone_or_corrupt(self):
        name = next(one for one in os.listdir(self.log) if one.endswith(".ids"))
        os.unlink(self.path(name))
        self.expect_healed()
        name = next(one for one in os.listdir(self.log) if one.endswith(".ids"))
        self.corrupt(name)
        self.expect_healed()

    def test_summary_corrupt_missing_or_a_directory(self):
        with open(self.path("summary.json"), "w", encoding="utf-8") as file:
            file.write("{")
        self.verify(4)
        self.expect_healed()
        os.unlink(self.path("summary.json"))
        self.verify(1, "--strict")
        self.expect_healed()
        os.unlink(self.path("summary.json"))
        os.mkdir(self.path("summary.json"))
        self.expect_healed()
        self.assertEqual(len(self.set_aside("summary.json")), 1)

    def test_summary_that_says_something_else(self):
        with open(self.path("summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
        summary["totals"]["calls"] += 1
        with open(self.path("summary.json"), "w", encoding="utf-8") as file:
            json.dump(summary, file)
        self.assertIn("is not what the checkpoint says", self.verify(4))
        self.expect_healed()

    def test_leftovers_go(self):
        for name in ("checkpoint.new", "checkpoint.previous.new", "2023-11-15.9.facts.new", "2023-11-15.1234.facts", "99.ids"):
            with open(self.path(name), "wb") as file:
                file.write(b"left over")
        with open(self.path("mine.new"), "wb") as file:
            file.write(b"not the compactor's")
        self.verify(1, "--strict")
        self.expect_healed()
        self.assertFalse([one for one in os.listdir(self.log) if "1234" in one or one == "99.ids" or one.startswith("checkpoint.new")])
        self.assertTrue(os.path.exists(self.path("mine.new")))

    def test_foreign_segment(self):
        fill(Segment(self.log, 3, log_id=bytes(16)), 10)
        self.assertIn("belongs to another log", self.compact().stderr)
        self.assertEqual(totals(self.log), self.whole)
        self.assertIn("belongs to another log", self.verify(1, "--strict"))

    def test_copied_segment_counts_once(self):
        shutil.copy(self.segment.path, self.path("copy.seg"))
        self.expect_healed()

    def test_conflict(self):
        other = Segment(self.log, 1, generation=3)
        slot = self.segment.first + 100
        other.call(1, provider="x", model="y", slot=slot)
        self.segment.call(1702000000)
        # Only slots that are not folded are compared by compact; verify compares all.
        self.compact()
        self.assertIn("different valid calls", self.verify(4))
        self.expect_oracle_agrees()

    def test_rescue_file_fills_what_was_lost(self):
        slot = self.segment.call(1702000000)
        self.segment.durable()
        with open(self.segment.path, "rb") as file:
            file.seek(slot * 64)
            data = file.read(64)
        self.segment.write(slot * 64, bytes(64))
        self.assertIn("1 damaged", self.compact(1).stdout)
        rescue = Segment(self.log, 1, generation=1)
        rescue.write(slot * 64, data)
        self.assertIn("folded 1 call from 1 segment", self.compact().stdout)
        self.expect_oracle_agrees()

    def test_truncated_segment(self):
        with open(self.segment.path, "r+b") as file:
            file.truncate(self.segment.first * 64 + 100 * 64)
        self.assertIn("cut short", self.compact().stderr)
        self.assertEqual(totals(self.log)["facts"], self.whole["facts"])
        self.verify(4)

    def test_one_header_page_damaged(self):
        for page in (0, 1):
            self.segment.write(page * PAGE + 40, b"\xee")
            done = self.compact(1 if page else 0)
            self.assertIn("both header pages" if page else "header page 0 is damaged", done.stderr)
            self.assertEqual(totals(self.log)["facts"], self.whole["facts"])
            self.assertEqual(run("verify", "--log", self.log).returncode & 4, 4)

    def test_bad_file_does_not_stop_the_rest(self):
        with open(self.path("0" * 32 + ".seg"), "wb"):
            pass
        os.mkdir(self.path("1" * 32 + ".seg"))
        os.symlink("/etc/passwd", self.path("2" * 32 + ".seg"))
        os.mkfifo(self.path("3" * 32 + ".seg"))
        self.segment.call(1702000000)
        self.assertIn("folded 1 call", self.compact(1).stdout)

    def test_damaged_slots(self):
        slots = [self.segment.call(1702000000 + i) for i in range(10)]
        self.segment.durable()
        self.segment.damage(slots[3])
        self.segment.write(slots[5] * 64, bytes(64))
        self.segment.write(slots[7] * 64, bytes(8))
        self.assertIn("folded 7 calls from 1 segment", self.compact(1).stdout)
        self.expect_oracle_agrees()
        text = self.verify(4)
        self.assertIn(f"{slots[3]} at byte {slots[3] * 64}", text)
        self.assertIn("at most 3 calls lost of 310; the rest is sound", text)

    def test_holes_and_unfinished_slots_are_residue(self):
        slots = [self.segment.call(1702000000 + i) for i in range(5)]
        self.segment.write(slots[1] * 64, bytes(64))
        self.segment.write(slots[2] * 64, bytes(8))
        self.assertIn("folded 3 calls", self.compact().stdout)
        self.assertIn("1 holes, 1 unfinished, 0 damaged", self.verify(0))
        self.verify(1, "--strict")
        self.assertIn("TAIL", self.verify(0))
        # The writer comes to it later.
        self.segment.call(1702000001, slot=slots[1])
        self.assertIn("folded 1 call from", self.compact().stdout)
        self.expect_oracle_agrees()

    def test_damaged_definition(self):
        self.segment.damage(self.segment.model("new", "never seen"))
        for number in range(38):
            self.segment.call(1702000000 + number, provider="new", model="never seen")
        self.compact(1)
        text = self.verify(4)
        self.assertIn("38 calls stand under (unknown)", text)
        self.assertIn("at most 1 call lost of 339", text)
        self.assertEqual(self.summary()["model_breakdown"]["(unknown)"]["calls"], 38)
        self.expect_oracle_agrees()

    def test_unknown_kinds_stay_unfolded(self):
        self.segment.put(9 << 28, 0, bytes(48))
        self.assertIn("nothing new in ", self.compact(1).stdout)
        self.assertEqual(run("verify", "--log", self.log).returncode, 8)
        self.expect_oracle_agrees()

    def test_damage_is_said_on_each_run(self):
        self.segment.damage(self.segment.call(1702000000))
        name = os.path.basename(self.segment.path)
        for _ in range(2):
            done = self.compact(1, "--quiet")
            self.assertEqual(done.stdout, "")
            self.assertIn(f"{name}: 1 slot is damaged or written by a newer program and is not counted", done.stderr)
        self.segment.damage(self.segment.call(1702000001))
        self.assertIn(f"{name}: 2 slots are damaged", self.compact(1, "--quiet").stderr)
        self.assertEqual(run("summary", "--log", self.log).returncode, 1)

    def test_segments_gone_and_settings_changed(self):
        os.unlink(self.segment.path)
        self.write_conf("UTC", ("user",))
        self.assertIn("0 valid calls are not 300 folded + 0 pending", self.verify(4))
        done = run("summary", "--log", self.log)
        self.assertEqual(done.returncode, 1)
        self.assertIn("put the setting back", done.stderr)
        self.assertIn("put the setting back", self.compact(8).stderr)

    def test_settings_changed_and_calls_pending(self):
        self.segment.call(1702000000)
        self.write_conf("UTC", ("user",))
        self.assertIn("301 valid calls = 300 folded + 1 pending", self.verify(0))
        self.assertEqual(run("summary", "--log", self.log).stderr, "")

    def test_missing_segment_is_named(self):
        name = os.path.basename(self.segment.path)
        self.assertEqual(run("dump", "--log", self.log).returncode, 0)
        os.unlink(self.segment.path)
        self.assertIn(f"FAIL  {name}  is missing; its 300 folded calls stay in the totals; restore it from a backup", self.verify(4))
        done = run("summary", "--log", self.log)
        self.assertEqual(done.returncode, 0)
        self.assertIn("its file is missing", done.stderr)
        done = run("dump", "--log", self.log)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("its file is missing; its 300 folded calls stay in the totals", done.stderr)

    def test_unreadable_segment_is_not_said_to_be_missing(self):
        self.segment.write(0, bytes(2 * PAGE))
        text = self.verify(4)
        self.assertIn("its 300 folded calls stay in the totals", text)
        self.assertNotIn("is missing", text)

    def test_cut_segment_is_named(self):
        end = self.segment.first * 64 + 100 * 64
        with open(self.segment.path, "r+b") as file:
            file.truncate(end)
        line = next(one for one in self.verify(4).splitlines() if os.path.basename(self.segment.path) in one)
        self.assertTrue(line.startswith("FAIL"), line)
        said = f"ends at byte {end}, and calls up to byte {self.segment.next * 64} were folded before; it was cut short"
        self.assertIn(said, line)
        done = run("dump", "--log", self.log)
        self.assertEqual(done.returncode, 1)
        self.assertIn(said, done.stderr)

    def test_files_that_only_the_previous_checkpoint_needs(self):
        self.segment.call(1701000000, call_id=b"quite-another-id")
        self.compact()
        self.verify(0, "--strict")
        for name in ("2023-11-26.2.facts", "2.ids"):
            with open(self.path(name), "rb") as file:
                sound = file.read()
            self.corrupt(name)
            self.assertIn(f"TAIL  {name}  is damaged; only the previous checkpoint needs it", self.verify(1, "--strict"))
            with open(self.path(name), "wb") as file:
                file.write(sound)
            make_another(self.path(name))
            self.assertIn(f"TAIL  {name}  is damaged; only the previous checkpoint needs it", self.verify(1, "--strict"))
            with open(self.path(name), "wb") as file:
                file.write(sound)
        self.verify(0, "--strict")

    def test_summary_with_more_after_it(self):
        for more in (b"garbage", b"\0garbage", b"{}"):
            with open(self.path("summary.json"), "ab") as file:
                file.write(more)
            self.assertIn("is damaged", self.verify(4))
            self.compact()
        with open(self.path("summary.json"), "ab") as file:
            file.write(b"\n")
        self.verify(0, "--strict")

    def test_summary_that_says_something_else_of_the_log(self):
        with open(self.path("summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
        summary["log"]["folded"] += 1
        with open(self.path("summary.json"), "w", encoding="utf-8") as file:
            json.dump(summary, file)
        self.assertIn("is not what the checkpoint says", self.verify(4))

    def test_advice(self):
        name = self.facts_names()[0]
        self.corrupt(name)
        self.assertNotIn("delete", self.verify(4))
        self.expect_healed()
        with open(self.path("log.conf"), "ab") as file:
            file.write(b"x")
        for log in (self.log, self.path("none")):
            done = run("verify", "--log", log, "--json")
            said = json.loads(done.stdout)
            self.assertEqual((done.returncode, said["files"], said["status"]), (8, [], 8))
            self.assertIn(said["error"], done.stderr)

    def test_advice_where_the_summary_cannot_be_written(self):
        path = os.path.join(self.log, "log.conf")
        with open(path, "rb") as file:
            text = file.read()
        text = text[:text.rindex(b"checksum")].replace(b"summary summary.json", b"summary /nowhere/at/all.json")
        with open(path, "wb") as file:
            file.write(text + b"checksum %016x\n" % xxhash.xxh3_64_intdigest(text))
        self.assertIn("(usagelog config summary_path)", self.compact(8).stderr)

    def test_a_device_is_no_place_for_the_summary(self):
        device = os.path.join(self.top, "null")
        try:
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            self.skipTest("this user makes no devices")
        self.assertEqual(run("config", "--log", self.log, "summary_path", device).returncode, 0)
        self.assertIn("null: is a device and is not replaced", self.compact(8).stderr)
        self.assertTrue(stat.S_ISCHR(os.stat(device).st_mode))


class Help(unittest.TestCase):
    def test_help_fits_the_terminal(self):
        for command in ("compact", "summary", "verify", "dump"):
            text = run(command, "--help").stdout
            self.assertEqual([line for line in text.splitlines() if len(line) > 79], [], command)
            self.assertFalse(text.endswith("\n\n"), command)


if __name__ == "__main__":
    unittest.main(verbosity=1)
