#!/bin/bash
# The public header by itself, in every language that may include it, without a warning: test_header.sh SOURCE CC CXX
set -euo pipefail
header=$1/lib/usagelog.h cc=$2 cxx=$3
strict=(-Wall -Wextra -Wpedantic -Wshadow -Wundef -Wconversion -Werror -fsyntax-only)
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# Twice, so that the guard is seen to work; nothing before it, so that it stands by itself.
printf '#include "%s"\n#include "%s"\nint main(void);\nint main(void) { return usagelog_version() == 0; }\n' "$header" "$header" \
	>"$temporary/use.c"
cp "$temporary/use.c" "$temporary/use.cpp"
for compiler in "$cc" "$(command -v clang || true)"; do
	[ -n "$compiler" ] || continue
	for standard in c11 c17 gnu11 gnu2x; do
		echo "$compiler $standard"
		"$compiler" -std=$standard "${strict[@]}" -Wstrict-prototypes "$temporary/use.c"
	done
done
for compiler in "$cxx" "$(command -v clang++ || true)"; do
	[ -n "$compiler" ] || continue
	for standard in c++11 c++17 c++20; do
		echo "$compiler $standard"
		"$compiler" -std=$standard "${strict[@]}" -Wold-style-cast "$temporary/use.cpp"
	done
done
