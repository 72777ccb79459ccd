#!/bin/bash
# The fault campaign, the long run: tests/campaign.sh [MEMBER...]
# Builds what the members in tests/campaign.txt need and runs them until each has the points wanted there. It may be stopped at any time and
# goes on where it stopped; build/campaign/results.md is the table so far. The exit status is 0 if nothing failed.
set -euo pipefail
cd "$(dirname "$0")/.."

build() {
	cmake -G Ninja -C "tests/configs/$1.cmake" -S . -B "build/$1" >"build/campaign/$1.configure.txt"
	cmake --build "build/$1" -j "$(nproc)" --target "${2:-all}" >"build/campaign/$1.build.txt" ||
		{ tail -n 30 "build/campaign/$1.build.txt" >&2; return 1; }
}

mkdir -p build/campaign
for config in $(/usr/bin/python3 -B tests/campaign.py --builds "$@"); do
	if [ "$config" = fuzz ]; then
		build fuzz fuzzers
	else
		build "$config"
	fi
done
exec /usr/bin/python3 -B tests/campaign.py "$@"
