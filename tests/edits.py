#!/usr/bin/python3
"""Turns on the tests themselves: makes each small edit of edits.txt in a copy of the tree, and sees whether the suite fails.

  tests/edits.py [--directory DIR] [--stages N] [PART OF A NAME...]

An edit is built, and its own tests run first, then all that are quick, then the slow ones, up to the first failure. An edit that nothing
notices is a hole in the suite. With --stages 1 or 2, the later ones are left out. What came of each is kept in DIR/edits.jsonl (build/edits), from which a later run goes on."""

import argparse
import filecmp
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What holds for the text of the tree, what is measured, and what is for people, says nothing of these edits.
NOT_ASKED = "house|bench|python"
SLOW = "^(test_record_quiet|test_record_quiet_syscall|test_threads_syscall|test_limits_syscall|campaign_.*|test_compact_killed|test_compact_faults|test_crowd|test_progress|test_cli_real_data|test_history)$|_golden$"
TEST_SECONDS_MAX = "300"


# An order of memory that is named, but for those that only keep the compiler from changing the order, which it would not do here anyway.
ORDER = re.compile(r"(?<!atomic_signal_fence\()\b(?:(memory_order)_(?:release|acquire|acq_rel|seq_cst)|__ATOMIC_(?:RELEASE|ACQUIRE))\b")
# Where a mutex is taken: a function's own name before its parameters is none of these.
LOCK = re.compile(r"\b(?:pthread_mutex_lock\(&[\w>.-]+\)|ul_lock(?:_open)?\(log\))(?=[;)])")


class Edit:
    # Its tests run what is built; and what fails once is tried again, so that what fails now and then anyway does not count.
    built, tries = True, 2

    def __init__(self, name, file=None, tests=None):
        self.name, self.file, self.config, self.tests, self.before, self.after = name, file, "release", tests, [], []

    def changed(self, text):
        """The text of the file with the edit made in it."""
        before, after = "\n".join(self.before), "\n".join(self.after)
        if text.count(before) != 1:
            sys.exit(f"edits: {self.name}: its lines are {text.count(before)} times in {self.file}, and must be there once; mend edits.txt")
        return text.replace(before, after)

    def apply(self, tree):
        """Make it in the tree; gives what was there before."""
        text = read(os.path.join(tree, self.file))
        write(os.path.join(tree, self.file), self.changed(text))
        return text


class WeakerOrder(Edit):
    """The n-th order of memory that a file names, made none. Its test compiles the file by itself, and says the same each time."""

    built, tries = False, 1

    def __init__(self, file, number):
        super().__init__(f"order {number + 1} of {file} is none", file, "^test_orders$")
        self.number = number

    def changed(self, text):
        found = list(ORDER.finditer(text))[self.number]
        return text[:found.start()] + ("memory_order_relaxed" if found[1] else "__ATOMIC_RELAXED") + text[found.end():]


class NoLock(Edit):
    """The n-th place at which a file takes a mutex, without."""

    def __init__(self, file, number):
        super().__init__(f"lock {number + 1} of {file} is not taken", file, "^test_(inside|flush|faults|record|threads|limits|daemon)$")
        self.number = number

    def changed(self, text):
        found = list(LOCK.finditer(text))[self.number]
        return text[:found.start()] + "0" + text[found.end():]


EACH = {"orders": (ORDER, WeakerOrder), "locks": (LOCK, NoLock)}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read_edits(path):
    edits = []
    for line in read(path).splitlines():
        word, _, rest = line.partition(" ")
        if line[:1] in "-+" and line:
            (edits[-1].before if line[0] == "-" else edits[-1].after).append(line[1:])
        elif word == "edit":
            edits.append(Edit(rest))
        elif word in ("file", "config", "tests"):
            setattr(edits[-1], word, rest)
        elif word in EACH:
            places, kind = EACH[word]
            for name in sorted(glob.glob(rest, root_dir=TOP)):
                edits += [kind(name, number) for number in range(len(places.findall(read(os.path.join(TOP, name)))))]
        elif line and not line.startswith("#"):
            sys.exit(f"edits: {path}: not understood: {line}")
    for edit in edits:
        edit.changed(read(os.path.join(TOP, edit.file)))  # all can be made, before the first is
    return edits


def copy_tree(tree):
    """The files that git knows, or would; none that was built. What is there already is left alone, or built again: an object of an edit may be
    younger than the file without it."""
    listed = subprocess.run(["git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True)
    names = {name for name in listed.stdout.decode().split("\0") if name and os.path.lexists(os.path.join(TOP, name))}
    for folder, _, files in os.walk(tree):
        for file in files:
            if os.path.relpath(os.path.join(folder, file), tree) not in names:
                os.unlink(os.path.join(folder, file))
    for name in names:
        source, copy = os.path.join(TOP, name), os.path.join(tree, name)
        if not os.path.exists(copy) or not filecmp.cmp(source, copy, shallow=False):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(source, copy)
            shutil.copymode(source, copy)


def build(tree, where, config, targets=("all",)):
    if not os.path.exists(os.path.join(where, "build.ninja")):
        subprocess.run(["cmake", "-G", "Ninja", "-C", os.path.join(tree, "tests", "configs", config + ".cmake"), "-S", tree, "-B", where,
                        "-DUSAGELOG_WERROR=OFF"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["cmake", "--build", where, "-j", str(os.cpu_count()), "--target", *targets], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"edits: does not build; mend edits.txt\n{done.stdout[-4000:]}")


def targets_of(where, tests):
    """What these tests run: a program of their own name, or else those that scripts run."""
    def lines_of(*command):
        return subprocess.run(command, cwd=where, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {re.sub("^campaign_|_syscall$", "", line.split()[-1]) for line in lines_of("ctest", "-N", "-R", tests) if re.match(r"\s*Test\s+#", line)}
    known = {line.split(":")[0] for line in lines_of("ninja", "-t", "targets", "all")}
    return sorted((names | {"usagelog", "writer"}) & known)


def first_failure(where, config, tries, *selection):
    """The first test that fails of those selected; None if none does, "" if there is none."""
    command = ["ctest", "--repeat", f"until-pass:{tries}", "--stop-on-failure", "--timeout", TEST_SECONDS_MAX, "-LE", NOT_ASKED, *selection]
    if config == "tsan" and subprocess.run(["setarch", "-R", "true"], check=False).returncode == 0:
        command = ["setarch", "-R", *command]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, errors="replace", check=False)
    if "No tests were found" in done.stdout + done.stderr:
        return ""
    failed = [line.split()[3] for line in done.stdout.splitlines() if "***" in line and "***Skipped" not in line and "#" in line]
    return (failed or ["a test that ctest does not name"])[0] if done.returncode else None


def noticed_by(tree, where, edit, stage_count):
    stages = [["-R", edit.tests], ["-E", SLOW], ["-R", SLOW]]
    if edit.config == "tsan":
        stages = [["-R", edit.tests], ["-L", "unit|lib", "-E", SLOW]]
    for number, stage in enumerate(stages[:stage_count]):
        if number or edit.built:
            build(tree, where, edit.config, ["all"] if number else targets_of(where, edit.tests))
        failed = first_failure(where, edit.config, edit.tries, *stage)
        if failed:
            return failed
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", default=os.path.join(TOP, "build", "edits"))
    parser.add_argument("--stages", type=int, default=3)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    tree = os.path.join(options.directory, "tree")
    kept = os.path.join(options.directory, "edits.jsonl")
    os.makedirs(options.directory, exist_ok=True)
    done = {}
    if os.path.exists(kept):
        with open(kept, encoding="utf-8") as file:
            done = {one["edit"]: one for one in map(json.loads, file)}
    edits = [edit for edit in read_edits(os.path.join(TOP, "tests", "edits.txt"))
             if not options.names or any(name in edit.name for name in options.names)]
    left = [edit for edit in edits if options.names or not done.get(edit.name, {}).get("noticed")]
    if left:
        copy_tree(tree)
    built = set()
    for edit in left:
        where = os.path.join(options.directory, edit.config)
        if edit.config not in built:
            build(tree, where, edit.config)
            built.add(edit.config)
        begun = time.monotonic()
        text = edit.apply(tree)
        one = {"edit": edit.name, "file": edit.file, "noticed": noticed_by(tree, where, edit, options.stages), "seconds": round(time.monotonic() - begun, 1)}
        write(os.path.join(tree, edit.file), text)
        done[edit.name] = one
        with open(kept, "a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")
        print(f"{edit.name}: {one['noticed'] or 'NOT NOTICED'} ({one['seconds']} s)", flush=True)
    unnoticed = [edit.name for edit in edits if not done[edit.name]["noticed"]]
    print(f"{len(edits) - len(unnoticed)} of {len(edits)} edits are noticed")
    for name in unnoticed:
        print(f"not noticed: {name}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
