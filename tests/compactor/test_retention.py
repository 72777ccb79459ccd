#!/usr/bin/python3
"""retention_days, the base and rebuild, on logs written by hand: what is deleted stays in the totals, whatever is lost afterwards."""

import os
import re
import shutil
import unittest

from handmade import LogTest, Segment, fill, lock_file, make_another, run, snapshot, totals

OLD, NEW = 1600000000, 1700000000  # 2020-09-13, 2023-11-14
DAY = 86400


def age(segment, time_s=OLD + 20 * DAY):
    """As if the file had been written when its calls were made."""
    os.utime(segment.path, (time_s, time_s))


class RetentionTest(LogTest):
    """A log with an old segment and a new one; nothing is folded yet."""

    group_by = ("user",)

    def setUp(self):
        super().setUp()
        self.old = Segment(self.log, 1)
        fill(self.old, 200, start=OLD, seed=1)
        age(self.old)
        self.new = Segment(self.log, 2)
        fill(self.new, 100, start=NEW, seed=2)

    def config(self, days):
        done = run("config", "--log", self.log, "retention_days", str(days))
        self.assertEqual(done.returncode, 0, done.stderr)

    def unpruned(self, times=1):
        """The totals of such a log that nothing was deleted from; the last calls of `times` more fills included."""
        other = tuple(self.path(name) for name in os.listdir(self.log))
        self.assertTrue(other)
        copy = os.path.join(self.top, "copy")
        shutil.copytree(self.log, copy)
        self.assertEqual(run("compact", "--log", copy).returncode, 0)
        found = totals(copy)
        shutil.rmtree(copy)
        return found

    def names(self, ending):
        return sorted(name for name in os.listdir(self.log) if name.endswith(ending))

    def same(self, found, wanted):
        """The same totals; that a segment is marked as deleted is another matter."""
        found, wanted = dict(found), dict(wanted)
        for one in (found, wanted):
            one["checkpoint"] = {key: value for key, value in one["checkpoint"].items() if key != "segments"}
            one["summary"] = {key: value for key, value in one["summary"].items() if key != "log"}
        self.assertEqual(found, wanted)


class Deletion(RetentionTest):
    def test_old_calls_go_and_stay_in_the_totals(self):
        wanted = self.unpruned()
        self.config(365)
        done = self.compact()
        self.assertRegex(done.stdout, r"^folded 300 calls from 2 segments .*; 1 segment older than 365 days deleted\n$")
        self.assertFalse(os.path.exists(self.old.path))
        self.assertTrue(os.path.exists(self.new.path))
        self.same(totals(self.log), wanted)
        self.assertEqual([name + ".base" for name in self.names(".facts") + self.names(".ids")],
                         self.names(".facts.base") + self.names(".ids.base"))
        self.assertIn("100 valid calls + 200 deleted by retention = 300 folded + 0 pending", self.verify(0, "--strict"))
        before = snapshot(self.log)
        self.assertNotIn("deleted", self.compact().stdout)
        after = snapshot(self.log)
        for one in (before, after):
            del one[self.path("summary.json")]
        self.assertEqual(before, after)

    def test_nothing_goes_without_a_retention(self):
        self.compact()
        self.assertTrue(os.path.exists(self.old.path))
        self.assertEqual(self.names(".base"), [])

    def test_age_is_that_of_the_newest_call_at_most(self):
        """A log that nobody wrote to for years loses nothing: its newest call is not old beside itself."""
        os.unlink(self.new.path)
        self.config(365)
        self.compact()
        self.assertTrue(os.path.exists(self.old.path))

    def test_a_clock_that_is_ahead_deletes_nothing(self):
        self.config(365 * 5)
        done = run("compact", "--log", self.log)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.exists(self.old.path))

    def test_one_young_call_keeps_a_segment(self):
        self.old.call(NEW)
        age(self.old)
        self.config(365)
        self.compact()
        self.assertTrue(os.path.exists(self.old.path))

    def test_a_file_written_lately_is_kept(self):
        os.utime(self.old.path)
        self.config(365)
        self.compact()
        self.assertTrue(os.path.exists(self.old.path))

    def test_a_segment_with_a_writer_is_kept(self):
        self.config(365)
        with lock_file(self.old.path):
            self.compact()
            self.assertTrue(os.path.exists(self.old.path))
        self.compact()
        self.assertFalse(os.path.exists(self.old.path))

    def test_damage_keeps_a_segment(self):
        self.old.damage(self.old.next - 1)
        age(self.old)
        self.config(365)
        self.assertIn("not all that it holds could be folded", self.compact(1).stderr)
        self.assertTrue(os.path.exists(self.old.path))

    def test_a_name_that_leads_elsewhere_is_kept(self):
        aside = os.path.join(self.top, "aside.seg")
        os.rename(self.old.path, aside)
        os.symlink(aside, self.old.path)
        self.config(365)
        run("compact", "--log", self.log)
        self.assertTrue(os.path.exists(aside))
        self.assertTrue(os.path.islink(self.old.path))

    def test_deleted_and_put_back(self):
        kept = os.path.join(self.top, "kept")
        shutil.copy2(self.old.path, kept)
        wanted = self.unpruned()
        self.config(365)
        self.compact()
        shutil.copy2(kept, self.old.path)
        self.assertIn("300 valid calls = 300 folded", self.verify(0))
        self.assertIn("nothing new", self.compact().stdout)
        self.assertFalse(os.path.exists(self.old.path))
        self.same(totals(self.log), wanted)

    def test_written_to_between_its_mark_and_its_end(self):
        """As if the compactor had been killed before it deleted, and a writer had adopted the segment since."""
        kept = os.path.join(self.top, "kept")
        shutil.copy2(self.old.path, kept)
        self.config(365)
        self.compact()
        shutil.copy2(kept, self.old.path)
        self.old.call(NEW + 5, cost=7)
        wanted = self.unpruned()
        self.assertIn("folded 1 call from 1 segment", self.compact().stdout)
        self.assertTrue(os.path.exists(self.old.path))
        self.same(totals(self.log), wanted)
        self.verify(0)

    def test_later_deletions_move_the_base(self):
        self.config(365)
        self.compact()
        third = Segment(self.log, 3)
        fill(third, 50, start=NEW + 1000 * DAY, seed=3)
        age(self.new, NEW + 20 * DAY)
        wanted = self.unpruned()
        self.assertIn("1 segment older", self.compact().stdout)
        self.assertFalse(os.path.exists(self.new.path))
        self.same(totals(self.log), wanted)
        self.assertEqual([name + ".base" for name in self.names(".facts")], self.names(".facts.base"))
        self.verify(0, "--strict")


class Base(RetentionTest):
    """What retention deleted is had from the base."""

    def setUp(self):
        super().setUp()
        self.wanted_at_first = self.unpruned()
        self.config(365)
        self.compact()

    def more(self):
        """Calls since the deletion, on days that the base has and on others, some with ids."""
        fill(self.new, 60, start=NEW + 5 * DAY, seed=9)
        fill(self.new, 60, start=OLD + 2 * DAY, seed=10)

    def corrupt(self, name):
        with open(self.path(name), "r+b") as file:
            file.seek(100)
            byte = file.read(1)
            file.seek(100)
            file.write(bytes([byte[0] ^ 1]))

    def lose_and_heal(self, *names, status=0):
        self.more()
        self.compact()
        wanted = totals(self.log)
        for name in names:
            if callable(name):
                name = name()
            self.corrupt(name)
        self.verify(4)
        done = self.compact(status)
        self.same(totals(self.log), wanted)
        self.verify(0)
        return done.stderr

    def test_both_checkpoints_lost(self):
        self.lose_and_heal("checkpoint", "checkpoint.previous")

    def test_checkpoint_lost(self):
        self.lose_and_heal("checkpoint")

    def test_fact_file_of_the_base_lost(self):
        self.assertIn("the base's copy was put back", self.lose_and_heal(
            lambda: next(name for name in self.names(".facts") if name + ".base" in self.names(".base"))))

    def test_fact_file_changed_since_lost(self):
        self.assertIn("gone back to the base", self.lose_and_heal(
            lambda: next(name for name in self.names(".facts")
                         if name.startswith("2020-09-15") and name + ".base" not in self.names(".base"))))

    def test_id_set_changed_since_lost(self):
        self.assertIn("gone back to the base", self.lose_and_heal(lambda: self.names(".ids")[-1]))

    def test_all_lost_but_the_base(self):
        self.more()
        self.compact()
        wanted = totals(self.log)
        for name in os.listdir(self.log):
            if re.search(r"\.facts$|\.ids$|^checkpoint$|^checkpoint\.previous$|^summary", name):
                os.unlink(self.path(name))
        self.compact()
        self.same(totals(self.log), wanted)
        self.verify(0)

    def test_base_damaged(self):
        self.corrupt("checkpoint.base")
        self.assertIn("FAIL  checkpoint.base", self.verify(4))
        self.assertIn("the base is made anew", self.compact().stderr)
        self.verify(0)
        name = self.names(".facts.base")[0]
        self.corrupt(name)
        self.assertIn(f"FAIL  {name}", self.verify(4))
        os.unlink(self.path(name))
        self.verify(4)
        self.compact()
        self.verify(0, "--strict")

    def test_a_file_of_the_base_that_is_not_the_one_named(self):
        for name in (self.names(".facts.base")[0], self.names(".ids.base")[0]):
            make_another(self.path(name))
            self.assertIn(f"FAIL  {name}  is damaged", self.verify(4))
            os.unlink(self.path(name))
            self.compact()
            self.verify(0, "--strict")

    def test_base_gone(self):
        for name in self.names(".base"):
            os.unlink(self.path(name))
        self.assertIn("FAIL  checkpoint.base", self.verify(4))
        self.compact()
        self.verify(0, "--strict")

    def test_base_and_checkpoints_lost_is_said(self):
        for name in ("checkpoint", "checkpoint.previous", "checkpoint.base"):
            self.corrupt(name)
        done = self.compact(1)
        self.assertIn("cannot be had", done.stderr)


class Rebuild(RetentionTest):
    def rebuild(self, status=0, *arguments):
        done = run("rebuild", "--log", self.log, *arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def test_gives_the_same(self):
        self.compact()
        wanted = totals(self.log)
        done = self.rebuild()
        self.assertEqual(done.stderr, "")
        self.assertIn("folded 300 calls from 2 segments", done.stdout)
        self.same(totals(self.log), wanted)
        self.verify(0, "--strict")

    def test_on_the_base(self):
        self.config(365)
        self.compact()
        fill(self.new, 60, start=OLD + 2 * DAY, seed=10)
        self.compact()
        wanted = totals(self.log)
        self.assertEqual(self.rebuild().stderr, "")
        self.same(totals(self.log), wanted)
        self.verify(0, "--strict")

    def test_says_what_differs(self):
        self.compact()
        known = totals(self.log)
        # A checkpoint that holds less than the segments do: its runs say that a slot is folded whose call is in no total.
        other = Segment(self.log, 4)
        other.call(NEW)
        shutil.copytree(self.log, os.path.join(self.top, "aside"))
        self.compact()
        for name in os.listdir(self.log):
            if re.search(r"\.facts$|\.ids$|^checkpoint", name):
                os.unlink(self.path(name))
        for name in os.listdir(os.path.join(self.top, "aside")):
            if re.search(r"\.facts$|\.ids$|^checkpoint", name):
                shutil.copy2(os.path.join(self.top, "aside", name), self.path(name))
        done = self.rebuild(1)
        self.assertRegex(done.stderr, r"2023-11-14: 2 calls and [\d.]+ USD before, 3 calls")
        self.assertEqual(totals(self.log)["summary"]["totals"]["calls"], known["summary"]["totals"]["calls"] + 1)

    def test_refuses_to_lose(self):
        self.compact()
        os.unlink(self.old.path)
        checkpoint = snapshot(self.log)[self.path("checkpoint")]
        done = self.rebuild(8)
        self.assertRegex(done.stderr, r"\d+ days would have fewer calls than now, 2020-09-13 being the first")
        self.assertEqual(snapshot(self.log)[self.path("checkpoint")], checkpoint)
        self.assertEqual(self.summary()["totals"]["calls"], 300)
        self.assertIn("before", self.rebuild(1, "--accept-loss").stderr)
        self.assertEqual(self.summary()["totals"]["calls"], 100)
        self.verify(0)

    def test_no_log(self):
        self.assertEqual(run("rebuild", "--log", os.path.join(self.top, "none")).returncode, 8)


if __name__ == "__main__":
    unittest.main()
