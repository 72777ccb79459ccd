#!/bin/bash
# Builds and tests everything, in each configuration that must hold, under build/ of the source tree: tests/all.sh
# What must be installed stands in README.md. The last line says what came of it; the exit status is 0 if nothing failed.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=$(nproc)
results=$PWD/build/results
passed=0 failed=0 skipped=0
# Addresses that are not randomized, which the thread sanitizer wants with newer kernels; some containers do not allow it.
fixed=(env)
setarch -R true 2>/dev/null && fixed=(setarch -R)
# What is of files and not of disks has /tmp in memory, where that is allowed, and waits for no disk. A tree below /tmp stays in sight.
in_memory=(unshare --mount sh -c 'exec 9<"$1" && mount -t tmpfs tmpfs /tmp &&
	{ [ -e "$1" ] || { mkdir -p "$1" && mount --no-canonicalize --bind /proc/self/fd/9 "$1"; }; } && exec 9<&- && cd "$PWD" && shift && exec "$@"' sh "$PWD")
"${in_memory[@]}" test -e tests/all.sh 2>/dev/null || in_memory=()
# Fewer of what is done the same way thousands of times; ctest by itself does all. And more tests at a time than processors: some only wait.
export USAGELOG_KILL_STEP=32 USAGELOG_SEGMENTS=2000
at_once=$((jobs + 1))
mkdir -p "$results"
rm -f "$results"/*.xml

fail() {
	echo "FAILED: $*" >&2
	failed=$((failed + 1))
}

# build CONFIG [TARGET]: with tests/configs/CONFIG.cmake.
build() {
	echo "== build $1"
	if ! cmake -G Ninja -C "tests/configs/$1.cmake" -S . -B "build/$1" >"$results/$1.configure.txt" 2>&1; then
		cat "$results/$1.configure.txt"
		fail "$1 cannot be configured"
		return 1
	fi
	cmake --build "build/$1" -j "$jobs" --target "${2:-all}" || { fail "$1 does not build"; return 1; }
}

# An attribute of the outermost element of ctest's results.
count() {
	sed -n '/<testsuite /,/>/s/.*[[:space:]]'"$2"'="\([0-9]*\)".*/\1/p' "$1" | head -n 1
}

# check CONFIG disk|memory [CTEST OPTION]...: run the tests of a build and add them to the sum.
check() {
	local config=$1 report=$results/$1.$2.xml all bad left
	local place=()
	[ "$2" = disk ] || place=("${in_memory[@]}")
	shift 2
	echo "== test $config"
	# ctest's status says no more than its report, from which the failures are counted.
	(cd "build/$config" && "${place[@]}" "${fixed[@]}" ctest -j "$at_once" --output-on-failure --output-junit "$report" "$@") || true
	if [ ! -s "$report" ]; then
		fail "the tests of $config left no report"
		return
	fi
	all=$(count "$report" tests) bad=$(count "$report" failures)
	left=$(($(count "$report" skipped) + $(count "$report" disabled)))
	passed=$((passed + all - bad - left)) failed=$((failed + bad)) skipped=$((skipped + left))
	[ "$all" -gt 0 ] || fail "$config has no test"
}

# check_again CONFIG LEFT_OUT [CTEST OPTION]...: the tests of a build that is not the release, but those that LEFT_OUT matches; on a disk only what
# counts the syncs that callers at the same time share, for which a sync must take its time.
check_again() {
	local config=$1 left_out=$2
	shift 2
	check "$config" disk -R '^test_flush'
	check "$config" memory -E "^test_flush|$left_out" "$@"
}

# A test that skips itself everywhere would go unseen: those that tests/required.txt names for a build must have run in it.
check_required() {
	local config=$1 name
	while read -r name; do
		case $name in
		'' | '#'*) continue ;;
		*/*) [ "${name%/*}" = "$config" ] || continue ;;
		*) [ "$config" = release ] || continue ;;
		esac
		grep -q "<testcase name=\"${name#*/}\".* status=\"\(run\|fail\)\"" "$results/$config".*.xml ||
			fail "$name stands in tests/required.txt but did not run"
	done <tests/required.txt
}

if build release; then
	tests/page/install.sh build/release/tests/page || fail "what drives a browser cannot be installed"
	check release disk -L 'lib|campaign|bench|data'
	check release memory -LE 'lib|campaign|bench|data'
	check_required release
fi
# Without what waits more than it works, what does the same thousands of times, as the fuzzers do, which have the formats that are imported, and what is
# Python's or reads its own text.
if build asan; then
	left_out='fuzz_|progress|crowd|flips|killed|real_data|_syscall|each_step|retention|reprice$|python_storage|cli_import(_formats)?$|test_report$|cli_(command_line|man_page|completion|exit_codes|prices|watch)'
	check_again asan "$left_out" -LE 'bench|campaign|oracle'
	check_required asan
fi
# Races are in what has threads: the library, and the fold, which the unit tests have. Faults of a run meet no other thread.
if build tsan; then
	check_again tsan 'test_csv|test_limits$|(limits|thread_ends|clock)_syscall$' -L 'unit|lib' -LE bench
fi
# The other compiler.
if build clang; then
	check_again clang 'each_step|_syscall$' -L 'unit|lib' -LE bench
fi
# The other architecture, where its compiler, emulator and libraries can be had. The emulator has no io_uring, so that the tests without
# it would only be the same once more.
status=0
tests/configs/aarch64.sh "$PWD/build/aarch64-root" || status=$?
if [ "$status" -eq 77 ]; then
	echo "== build aarch64: skipped"
	skipped=$((skipped + 1))
elif [ "$status" -ne 0 ]; then
	fail "the libraries for aarch64 cannot be unpacked"
elif build aarch64; then
	check_again aarch64 'test_limits|_syscall$' -L 'unit|lib' -LE bench
	check_required aarch64
fi
# Fuzzers that really run, if only for a moment, and from the same seed: new inputs are sought by tests/campaign.sh.
if build fuzz fuzzers; then
	check fuzz memory -R '^campaign_fuzz_'
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
