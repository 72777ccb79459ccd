"""What README.md tells people to type is typed here.

test_docs.py SOURCE PROGRAM SHARED_LIBRARY CC PYTHON_PACKAGE

PYTHON_PACKAGE is where the package is, if it was built; else what is Python is left out.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^<!-- block: (\w+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALLS = [{"start": 1768084326.5, "model": "gpt-4o", "usage": {"prompt": 10, "completion": 3}, "id": "r1"},
         {"start": "2026-01-10T22:32:06Z", "model": "gpt-4o", "usage": {"prompt": 7, "completion": 1}, "id": "r2"}]


def run(command, where, environment):
    """Run a block; its output, or the end of everything."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=where, env=environment, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"README.md: this ended with status {done.returncode}:\n{command}\n{done.stdout}")
    return done.stdout


def try_shell(blocks, program, where, environment):
    """The quick start for shells, and the import twice."""
    (where / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in CALLS))
    run(blocks["shell"], where, environment)
    run(blocks["import"], where, environment)
    run(blocks["import"], where, environment)
    dumped = run(f"'{program}' dump --format jsonl", where, environment).splitlines()
    (where / "model_prices.json").write_text(json.dumps({"gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05}}))
    repriced = run(blocks["prices"], where, environment)
    assert "priced again, with price table" in repriced, repriced
    # Two by record, two by import.
    assert len(dumped) == 4, dumped
    assert len((where / "calls.csv").read_text().splitlines()) == 3
    run("usagelog compact --quiet && usagelog verify", where, environment)
    summary = json.loads((where / "log" / "summary.json").read_text())
    assert sum(day["calls"] for day in summary["daily_totals"].values()) == 4, summary


def try_c(blocks, source, library, compiler, where, environment):
    (where / "program.c").write_text(blocks["c"])
    flags = f"-Wall -Wextra -Werror -I '{source}/lib' '{library}' -Wl,-rpath,'{library.parent}'"
    run(f"'{compiler}' program.c -o program {flags} && ./program", where, environment | {"USAGELOG_DIR": str(where / "c")})
    dumped = run("usagelog --log c dump --format jsonl", where, environment).splitlines()
    assert len(dumped) == 1 and json.loads(dumped[0])["output_tokens"] == 50, dumped


def try_python(blocks, package, where, environment):
    """Each of the two READMEs' programs, in a directory of its own."""
    if not (package / "usagelog").is_dir():
        return
    environment = environment | {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("python", "native", "dropin"):
        place = where / f"python-{name}"
        place.mkdir()
        (place / "program.py").write_text(blocks[name])
        said = run(f"'{sys.executable}' program.py", place, environment | {"USAGELOG_DIR": str(place / "log")})
        if name == "python":
            assert said == "0.00075\n", said
        if name == "native":
            assert "0.00105" in said and "gpt-4o" in said, said
        if name == "dropin":
            totals = json.loads((place / "usage.json").read_text())["daily_totals"]
            assert sum(day["calls"] for day in totals.values()) == 1, totals


def try_first(blocks, source, where, environment):
    """The first command, in a copy of the tree, with the package manager left out."""
    tree = where / "tree"
    tree.mkdir()
    for name in ("CMakeLists.txt", "lib", "compactor", "format"):
        (tree / name).symlink_to(source / name)
    packages = where / "packages"
    packages.mkdir()
    (packages / "apt-get").write_text("#!/bin/sh\nexit 0\n")
    (packages / "apt-get").chmod(0o755)
    # As it is by default but for what optimizing costs.
    environment = environment | {"PATH": f"{packages}:{os.environ['PATH']}", "CMAKE_BUILD_TYPE": "Debug"}
    del environment["USAGELOG_DIR"]
    said = run(blocks["first"], tree, environment)
    for word in ("gpt-4o", "claude-sonnet-4", "SOUND", "2 calls"):
        assert word in said, f"{word} is not in what the first command says:\n{said}"


def try_operating(blocks, program, where, environment):
    """The operator's page: a copy made while calls are recorded and folded is sound, and holds what was there when it began."""
    log = where / "operated"
    environment = {**environment, "USAGELOG_DIR": str(log)}
    record = f"'{program}' record --provider p --model m --input-tokens 1 --output-tokens 1"
    run(f"{record} && '{program}' compact --quiet", where, environment)
    busy = subprocess.Popen(["bash", "-c", f"while :; do {record}; '{program}' compact --quiet || exit; done"], cwd=where, env=environment,
                            start_new_session=True)
    try:
        for number in range(4):
            before = json.loads(run(f"'{program}' summary --json", where, environment))["totals"]["calls"]
            copy = where / f"backup{number}"
            run(blocks["backup"], where, {**environment, "BACKUP": str(copy)})
            summary = json.loads((copy / "summary.json").read_text())
            assert summary["totals"]["calls"] >= before, (before, summary["totals"])
    finally:
        os.killpg(busy.pid, signal.SIGKILL)
        busy.wait()
    run(blocks["retention"], where, environment)
    assert run(f"'{program}' config retention_days", where, environment).strip() == "400"


def check_references(source, text):
    """Files that are named are there."""
    for name in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (source / name).exists(), f"README.md leads to {name}, which is not there"


def main():
    source, program, library, compiler, package = (pathlib.Path(argument) for argument in sys.argv[1:6])
    text = (source / "README.md").read_text()
    of_package = (source / "lib" / "python" / "README.md").read_text()
    of_operator = (source / "compactor" / "OPERATING.md").read_text()
    blocks = {name: body for name, _, body in BLOCK.findall(text + of_package + of_operator)}
    missing = {"first", "test", "c", "shell", "import", "python", "native", "dropin", "retention", "backup"} - set(blocks)
    assert not missing, f"README.md lacks the blocks {missing}"
    assert "tests/all.sh" in blocks["test"]
    with tempfile.TemporaryDirectory() as place:
        where = pathlib.Path(place)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("USAGELOG_", "XDG_"))}
        environment |= {"PATH": f"{program.parent}:{os.environ['PATH']}", "USAGELOG_DIR": str(where / "log"), "HOME": place}
        try_shell(blocks, program, where, environment)
        try_c(blocks, source, library, compiler, where, environment)
        try_python(blocks, package, where, environment)
        try_operating(blocks, program, where, environment)
        try_first(blocks, source, where, environment)
    check_references(source, text)
    print(f"{len(blocks)} blocks")


if __name__ == "__main__":
    main()
