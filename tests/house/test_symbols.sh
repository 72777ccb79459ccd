#!/bin/bash
# What the libraries show: test_symbols.sh SOURCE SHARED STATIC FORMAT
set -euo pipefail
source=$1 shared=$2 static=$3 format=$4
failed=0

declared=$(sed -n '/global:/,/local:/s/^[[:space:]]*\(usagelog_[a-z_]*\);$/\1/p' "$source/lib/usagelog.map" | sort)
exported=$(nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
header=$(sed -n 's/^USAGELOG_API .*[ *]\(usagelog_[a-z_]*\)(.*/\1/p' "$source/lib/usagelog.h" | sort)
if ! diff <(echo "$declared") <(echo "$exported"); then
	echo "the shared library does not show what lib/usagelog.map says (< map, > library)"
	failed=1
fi
if ! diff <(echo "$declared") <(echo "$header"); then
	echo "lib/usagelog.map and lib/usagelog.h differ (< map, > header)"
	failed=1
fi

# Names that a host might have too must not be in the static library.
foreign=$(nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | grep -Ev '^(usagelog_|ul_|os_)' || true)
if [ -n "$foreign" ]; then
	echo "the static library defines names that are not its own: $foreign"
	failed=1
fi

# The contract on disk calls nothing that has to do with files, mappings or threads.
calls=$(nm -u "$format" | awk '{ print $NF }' |
	grep -E '^(open|openat|read|pread|write|pwrite|mmap|fopen|printf|fprintf|pthread_.*|stat|fstat|close)(64)?$' || true)
if [ -n "$calls" ]; then
	echo "format calls the system: $calls"
	failed=1
fi
needed=$(readelf -d "$shared" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -Ev '^(libc\.so\.6|liburing\.so\.2|ld-linux.*)$' || true)
if [ -n "$needed" ]; then
	echo "the shared library needs more than libc and liburing: $needed"
	failed=1
fi
exit $failed
