#!/bin/bash
# How the installed files are linked: test_hardening.sh PROGRAM SHARED
set -euo pipefail
program=$1 shared=$2
failed=0
check() {
	local what=$1 file=$2 pattern=$3 said
	shift 3
	said=$("$@" "$file")
	if ! grep -Eq "$pattern" <<<"$said"; then
		echo "$file: $what"
		failed=1
	fi
}
for file in "$program" "$shared"; do
	check "the relocations stay writable (RELRO)" "$file" 'GNU_RELRO' readelf -lW
	check "symbols are bound late, in writable memory (NOW)" "$file" 'BIND_NOW|FLAGS_1.*NOW' readelf -dW
	check "there is no stack protector" "$file" '__stack_chk_fail' readelf -sW
	check "there is no fortified call (_FORTIFY_SOURCE)" "$file" '__(memcpy|snprintf|vsnprintf|fprintf|printf|read|pread)(64)?_chk' readelf -sW
	said=$(readelf -lW "$file")
	if grep -Eq '(GNU_STACK|LOAD).* R?WE ' <<<"$said"; then
		echo "$file: memory is writable and executable"
		failed=1
	fi
	said=$(readelf -dW "$file")
	if grep -Eq '\((RPATH|RUNPATH|TEXTREL)\)' <<<"$said"; then
		echo "$file: it has a search path of its own, or text that is relocated"
		failed=1
	fi
done
check "it is not position-independent (PIE)" "$program" 'FLAGS_1.*PIE' readelf -dW
exit $failed
