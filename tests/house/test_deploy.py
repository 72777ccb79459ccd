"""What runs the compactor: units that systemd takes, whose sandbox lets the program do what it does, and cron's line.

test_deploy.py BUILT_FOLDER SOURCE_FOLDER PROGRAM
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False, **options)


def check_units(built, source, program, place):
    """Each unit as it is installed, but with a program that is there."""
    units = []
    for unit in sorted([*built.glob("*.service"), *source.glob("*.timer")]):
        text = unit.read_text()
        assert "@CMAKE" not in text, unit
        path = re.search(r"^ExecStart=(\S+) compact", text, re.M)
        assert path or unit.suffix == ".timer", f"{unit}: starts no compact"
        if path:
            assert path.group(1).endswith("/bin/usagelog"), path.group(1)
            text = text.replace(path.group(1), str(program))
        (place / unit.name.replace("@.", "@root.")).write_text(text)
        units.append(str(place / unit.name.replace("@.", "@root.")))
    assert len(units) == 5, units
    done = run(["systemd-analyze", "verify", "--man=no", *units])
    complaints = [line for line in done.stdout.splitlines() if str(place) in line or "usagelog" in line]
    assert done.returncode == 0 and not complaints, done.stdout
    return units


def check_filter(units, program, place):
    """The system calls of a run, with a segment large enough for threads, are those that the sandbox lets through."""
    listed = run(["systemd-analyze", "syscall-filter"]).stdout
    groups, name = {}, None
    for line in listed.splitlines():
        if line.startswith("@"):
            name = line.strip()
            groups[name] = set()
        elif name and line.startswith("    ") and not line.strip().startswith("#"):
            groups[name].add(line.strip())

    def members(group):
        return set().union(*(members(one) if one.startswith("@") else {one} for one in groups[group]))

    allowed = members("@system-service")
    for unit in units:
        text = pathlib.Path(unit).read_text()
        assert ".timer" in unit or "SystemCallFilter=@system-service\n" in text, unit
    log = place / "log"
    calls = place / "calls.csv"
    calls.write_text("time,input_tokens,output_tokens\n" + "1700000000.5,100,50\n" * 200000)
    done = run([program, "import", "--log", log, "--format", "csv", "--provider", "p", "--model", "m", "--allow-duplicates", calls])
    if done.returncode:
        done = run([program, "import", "--log", log, "--format", "csv", "--provider", "p", "--model", "m", calls])
    assert done.returncode in (0, 1), done.stdout
    trace = place / "trace"
    done = run(["strace", "-f", "-o", trace, program, "compact", "--log", log])
    assert done.returncode == 0, done.stdout
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.M))
    assert len(used) > 20, used
    assert used <= allowed, f"the sandbox would refuse {used - allowed}"
    return len(used)


def check_cron(built, program, place):
    """Cron gives a command little more than HOME and sh."""
    line = next(line for line in (built / "usagelog.cron").read_text().splitlines() if line and not line.startswith("#"))
    fields = line.split(None, 5)
    assert fields[:5] == ["*/5", "*", "*", "*", "*"], line
    command = fields[5].replace(fields[5].split()[0], str(program))
    environment = {"HOME": str(place), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    done = run([program, "record", "--provider", "p", "--model", "m", "--input-tokens", "1", "--output-tokens", "1"], env=environment)
    assert done.returncode == 0, done.stdout
    done = run(["/bin/sh", "-c", command], env=environment)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
    assert (place / ".local" / "state" / "usagelog" / "summary.json").exists()


def main():
    built, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    program = pathlib.Path(sys.argv[3])
    with tempfile.TemporaryDirectory() as path:
        place = pathlib.Path(path)
        check_cron(built, program, place)
        if not shutil.which("systemd-analyze") or not shutil.which("strace"):
            print("cron's line runs; no systemd-analyze or strace here for the units")
            sys.exit(77)
        units = check_units(built, source, program, place)
        print(f"{len(units)} units are sound; a run makes {check_filter(units, program, place)} kinds of system calls, all let through")


if __name__ == "__main__":
    main()
