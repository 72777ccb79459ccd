#!/usr/bin/python3
"""How fast `usagelog import` is, by format: MB/s and calls/s of one core's time, beside `wc -l` on the same file.

import_rate.py USAGELOG [--directory DIR] [--megabytes 100] [--runs 3] [--only NAME]

Files are made of the samples in tests/cli/samples, with texts as long as chats have. Time is the processor's, user and system, of the whole
process: other programs at work beside it change it little. The least of the runs is shown.
"""
import argparse
import glob
import json
import os
import resource
import shutil
import subprocess
import tempfile

SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli", "samples")
TEXT = "as long as " + " ".join(f"word{i}" for i in range(60)) + '\n "quoted"'


def sample(*names):
    with open(glob.glob(os.path.join(SAMPLES, *names))[0], encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def claude_code():
    rows = [row for row in sample("claude-code", "*", "*.jsonl") if row.get("message", {}).get("usage")]
    number = 0
    while True:
        number += 1
        yield {"type": "user", "sessionId": "s", "uuid": f"u{number}", "timestamp": rows[0]["timestamp"],
               "message": {"role": "user", "content": TEXT * 3}}
        for _ in range(2):  # a streamed message has two rows
            rows[0]["message"].update(id=f"msg_{number}", content=[{"type": "text", "text": TEXT}])
            yield rows[0]


def codex():
    rows = sample("codex", "*", "*", "*", "*1.jsonl")
    count = json.loads(json.dumps(rows[4]))
    yield rows[0]
    yield rows[2]
    number = 0
    while True:
        number += 1
        yield {**rows[1], "payload": {**rows[1]["payload"], "content": [{"type": "input_text", "text": TEXT * 3}]}}
        count["payload"]["info"]["total_token_usage"].update(input_tokens=100 * number, output_tokens=number)
        yield count


def numbered(rows, member):
    number = 0
    while True:
        for row in rows:
            number += 1
            yield {**row, "id": str(number), member: [{"content": TEXT}]}


def otlp():
    line = sample("otlp.jsonl")[0]
    scope = line["resourceSpans"][0]["scopeSpans"][0]
    span = scope["spans"][0]
    span["attributes"][-1]["value"]["stringValue"] = TEXT
    number = 0
    while True:
        scope["spans"] = [{**span, "spanId": f"{number + i:016x}"} for i in range(8)]
        number += 8
        yield line


def jsonl():
    number = 0
    while True:
        number += 1
        yield {"time": 1772359200 + number, "provider": "openai", "model": "gpt-4o", "input_tokens": number % 5000,
               "output_tokens": number % 800}


MAKERS = {"claude-code": claude_code, "codex": codex, "litellm": lambda: numbered(sample("litellm.jsonl"), "messages"),
          "responses": lambda: numbered(sample("responses.jsonl")[:2], "choices"), "otlp": otlp, "jsonl": jsonl}


def make(path, rows, megabytes):
    written = 0
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            written += file.write(json.dumps(row, separators=(",", ":")) + "\n")
            if written >= megabytes * 1e6:
                return


def run_s(*command):
    """Processor seconds that it took, and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--directory", default=".")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=sorted(MAKERS))
    options = parser.parse_args()
    print("| format | calls | MB/s | calls/s | again, MB/s | `wc -l`, MB/s | times `wc -l` |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="bench-import.", dir=options.directory) as scratch:
        for name in [options.only] if options.only else MAKERS:
            path, log = os.path.join(scratch, "file.jsonl"), os.path.join(scratch, "log")
            make(path, MAKERS[name](), options.megabytes)
            size = os.path.getsize(path) / 1e6
            first, again, lines, calls = [], [], [], 0
            for _ in range(options.runs):
                shutil.rmtree(log, ignore_errors=True)
                lines.append(max(run_s("wc", "-l", path)[0], 1e-3))
                taken, out = run_s(options.program, "--log", log, "import", path)
                first.append(taken)
                calls = int(out.splitlines()[-1].split()[1].replace(",", ""))
                again.append(run_s(options.program, "--log", log, "import", path)[0])
            assert calls
            print(f"| {name} | {calls:,} | {size / min(first):.0f} | {calls / min(first):,.0f} | {size / min(again):.0f} | "
                  f"{size / min(lines):.0f} | {min(first) / min(lines):.1f} |", flush=True)


if __name__ == "__main__":
    main()
