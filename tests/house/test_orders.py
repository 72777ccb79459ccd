#!/usr/bin/python3
"""The orders in which lib/ stores and loads, on a processor that keeps none by itself: test_orders.py SOURCE

On x86 an order that is lost is hardly ever seen. Here each file is compiled for 64-bit ARM, no function into another, and the instructions that
order are compared with orders.txt, which has a line for each function with such: the file, the function, the instructions. An order that is meant
to be another one is changed there, too."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

COMPILER = "aarch64-linux-gnu-gcc"
# Each function by itself and whole; no instructions that only newer processors have; the libraries' headers are the same for all. What the
# compiler would warn of is asked elsewhere.
FLAGS = ["-std=gnu11", "-O1", "-fno-inline", "-fno-ipa-sra", "-fno-ipa-cp", "-fno-partial-inlining", "-march=armv8-a", "-mno-outline-atomics",
         "-D_GNU_SOURCE", "-Dalways_inline=noinline", "-Iformat", "-Ilib", "-idirafter", "/usr/include", "-w", "-S"]
FUNCTION = re.compile(r"([A-Za-z_]\w*)[.\w]*:")
ORDERED = re.compile(r"\t(ldar|stlr|ldaxr|stlxr|dmb)[bh]?\t")


def orders_of(source, name, scratch):
    """The lines that orders.txt should have of this file; those of functions of other libraries' headers left out."""
    with open(os.path.join(source, "lib", name), encoding="utf-8") as file:
        text = file.read()
    with open(os.path.join(source, "lib", "handle.h"), encoding="utf-8") as file:
        text += file.read()
    assembly = os.path.join(scratch, name)
    subprocess.run([COMPILER, *FLAGS, os.path.join("lib", name), "-o", assembly], cwd=source, check=True)
    function, found = None, {}
    with open(assembly, encoding="utf-8") as file:
        for line in file:
            if label := FUNCTION.match(line):
                function = label[1]
            elif ordered := ORDERED.match(line):
                found.setdefault(function, []).append(ordered[1])
    return [" ".join([name, function, *sorted(orders)]) for function, orders in found.items() if re.search(rf"\b{function}\(", text)]


def main():
    source = sys.argv[1]
    if not shutil.which(COMPILER):
        print(f"skipped: there is no {COMPILER}")
        return 77
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "orders.txt"), encoding="utf-8") as file:
        wanted = [line for line in file.read().splitlines() if line and not line.startswith("#")]
    found = []
    with tempfile.TemporaryDirectory(prefix="usagelog-orders-") as scratch:
        for name in sorted(os.listdir(os.path.join(source, "lib"))):
            if name.endswith(".c"):
                found += orders_of(source, name, scratch)
    for line in sorted(set(found) - set(wanted)):
        print(f"compiled, and not in orders.txt: {line}")
    for line in sorted(set(wanted) - set(found)):
        print(f"in orders.txt, and not compiled: {line}")
    return 0 if sorted(found) == sorted(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
