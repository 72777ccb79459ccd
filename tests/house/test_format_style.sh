#!/bin/bash
# All C sources stand as .clang-format says: test_format_style.sh SOURCE
set -euo pipefail
command -v clang-format >/dev/null || exit 77
cd "$1"
find format lib compactor fuzz tests -name '*.[ch]' -o -name '*.cpp' | sort | xargs clang-format --dry-run -Werror
for script in .ci/run $(find tests fuzz -name '*.sh'); do
	bash -n "$script"
done
