"""The fault campaign: runs the members of campaign.txt in chunks, keeps each chunk's result, and shows all as a table. See campaign.sh."""

import collections
import datetime
import json
import os
import platform
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
HERE = os.path.join(BUILD, "campaign")
RESULTS = os.path.join(HERE, "results.jsonl")
COUNTS = ("points", "lost", "twice", "false", "failures")
CHUNK_SECONDS_MAX = 4 * 3600

Member = collections.namedtuple("Member", "build name rounds wanted what")


def members():
    with open(os.path.join(TOP, "tests", "campaign.txt"), encoding="utf-8") as file:
        lines = [line.split(None, 4) for line in file if line.strip() and not line.startswith("#")]
    return [Member(build, name, int(rounds), int(wanted), what.strip()) for build, name, rounds, wanted, what in lines]


def tests_of(build):
    """What ctest would run, by name: the command, and the environment that goes with it."""
    listed = subprocess.run(["ctest", "--show-only=json-v1"], cwd=os.path.join(BUILD, build), check=True, capture_output=True).stdout
    found = {}
    for test in json.loads(listed)["tests"]:
        properties = {one["name"]: one["value"] for one in test.get("properties", [])}
        environment = dict(pair.split("=", 1) for pair in properties.get("ENVIRONMENT", []))
        found[test["name"]] = (test.get("command", []), environment)
    return found


def without_amounts(command):
    """A quick cut's command without its own seed and rounds."""
    kept = list(command)
    for option in ("--seed", "--rounds", "--directory"):
        while option in kept:
            del kept[kept.index(option):kept.index(option) + 2]
    return kept


def commit():
    done = subprocess.run(["git", "-C", TOP, "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def results():
    try:
        with open(RESULTS, encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []


def keep(result):
    with open(RESULTS, "a", encoding="utf-8") as file:
        file.write(json.dumps(result, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())


def last_object(text):
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                break
    return {}


def run_chunk(member, seed, command, environment):
    """One chunk of a member: its result, whatever came of it. What it said on stderr is kept if something failed."""
    directory = os.path.join(HERE, "files", member.name)
    os.makedirs(directory, exist_ok=True)
    command = [*command, "--seed", str(seed), "--rounds", str(member.rounds), "--directory", directory]
    begun = datetime.datetime.now(datetime.timezone.utc)
    try:
        # Where a member keeps what it had before it when something failed.
        kept = {"USAGELOG_KEEP": os.path.join(HERE, f"{member.name}.{seed}.kept")}
        done = subprocess.run(command, env={**os.environ, **environment, **kept}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=CHUNK_SECONDS_MAX, check=False)
        status, said, told = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        status, said, told = -1, "", f"not done after {CHUNK_SECONDS_MAX} s"
    result = {**dict.fromkeys(COUNTS, 0), "seconds": 0, **last_object(said)}
    result.update(member=member.name, seed=seed, rounds=member.rounds, status=status, commit=commit(), time=begun.isoformat("T", "seconds"))
    if status == 77:
        result["skipped"] = result.get("skipped") or (told.strip() or said.strip() or "no reason given").splitlines()[-1]
    elif status or not result["points"]:
        result["failures"] = max(result["failures"], 1)
        with open(os.path.join(HERE, f"{member.name}.{seed}.txt"), "w", encoding="utf-8") as file:
            file.write(" ".join(command) + "\n" + said + told)
    return result


def table(wanted_members, all_results):
    lines = [f"Machine: {platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}. "
             f"Commits: {', '.join(dict.fromkeys(one['commit'] for one in all_results))}.", "",
             "| member | what is done | points | wanted | lost | twice | false | failures | seeds | seconds |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |"]
    for member in wanted_members:
        own = [one for one in all_results if one["member"] == member.name]
        if not own:
            continue
        sums = {name: sum(one[name] for one in own) for name in COUNTS}
        seeds = f"{own[0]['seed']} to {own[-1]['seed']}"
        skipped = [one["skipped"] for one in own if one["status"] == 77]
        points = f"{sums['points']:,}" + (f" (not here: {skipped[-1]})" if skipped else "")
        seconds = sum(one["seconds"] for one in own)
        lines.append(f"| {member.name} | {member.what} | {points} | {member.wanted:,} | {sums['lost']} | {sums['twice']} | {sums['false']} "
                     f"| {sums['failures']} | {seeds} | {seconds:,.0f} |")
    notes = [f"- {one['member']}, seed {one['seed']}: {one['notes']}" for one in all_results if one.get("notes") and one["failures"]]
    return "\n".join(lines + ([""] + notes if notes else [])) + "\n"


def write_table(all_results):
    text = table(members(), all_results)
    draft = os.path.join(HERE, "results.md.new")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(draft, os.path.join(HERE, "results.md"))
    return text


def campaign(chosen):
    kept = results()
    points, seeds, stopped = collections.Counter(), collections.Counter(), set()
    for one in kept:
        points[one["member"]] += one["points"]
        seeds[one["member"]] = max(seeds[one["member"]], one["seed"])
    tests = {build: tests_of(build) for build in {member.build for member in chosen}}
    failed = False
    while True:
        left = [member for member in chosen if points[member.name] < member.wanted and member.name not in stopped]
        if not left:
            break
        # Whoever is furthest behind: all get on together, and a run that is stopped early has some of each.
        member = min(left, key=lambda one: points[one.name] / one.wanted)
        command, environment = tests[member.build].get("campaign_" + member.name, ([], {}))
        if not command:
            sys.exit(f"campaign: the build {member.build} has no test campaign_{member.name}; see tests/campaign.txt")
        result = run_chunk(member, seeds[member.name] + 1, without_amounts(command), environment)
        keep(result)
        kept.append(result)
        write_table(kept)
        seeds[member.name] += 1
        points[member.name] += result["points"]
        if result["status"]:
            stopped.add(member.name)
            failed |= result["status"] != 77
        print(f"{member.name}: {points[member.name]:,} of {member.wanted:,} points ({100 * points[member.name] / member.wanted:.1f} %), "
              f"seed {result['seed']}, {result['failures']} failures" + (f", skipped: {result['skipped']}" if result["status"] == 77 else ""),
              flush=True)
    print(write_table(kept))
    return 1 if failed else 0


def main():
    names = [word for word in sys.argv[1:] if word != "--builds"]
    unknown = set(names) - {member.name for member in members()}
    if unknown:
        sys.exit(f"campaign: no member {', '.join(sorted(unknown))}; tests/campaign.txt lists them")
    chosen = [member for member in members() if not names or member.name in names]
    if "--builds" in sys.argv[1:]:
        print(" ".join(sorted({member.build for member in chosen})))
        return 0
    try:
        return campaign(chosen)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
