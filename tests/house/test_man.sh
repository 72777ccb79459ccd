#!/bin/bash
# The man pages are sound, and leave nothing out: test_man.sh SOURCE PROGRAM
set -euo pipefail
source=$1 program=$2
command -v mandoc >/dev/null || exit 77
failed=0
for page in "$source/lib/usagelog.3" "$source"/compactor/usagelog*.1; do
	mandoc -T lint -W warning "$page" || failed=1
done

text() { mandoc -T utf8 "$1" | sed 's/.\x08//g'; }
library=$(text "$source/lib/usagelog.3")
# Each function, error and option of the header.
names=$(sed -n 's/^USAGELOG_API .*[ *]\(usagelog_[a-z_]*\)(.*/\1/p' "$source/lib/usagelog.h")
names+=" $(grep -o 'USAGELOG_ERROR_[A-Z_]* = ' "$source/lib/usagelog.h" | cut -d ' ' -f 1)"
names+=" $(grep -oE '^	USAGELOG_[A-Z_]+ = 1 <<' "$source/lib/usagelog.h" | cut -d ' ' -f 1)"
names+=" $(sed -n '/^struct usagelog_options {/,/^}/s/^[^;]*[ *]\([a-z_]*\);.*/\1/p' "$source/lib/usagelog.h")"
for name in $names; do
	grep -qw -- "$name" <<<"$library" || { echo "usagelog.3 does not mention $name"; failed=1; }
done

# Each subcommand stands in usagelog.1, and each of its options in its own page, or there if it has none.
page=$(text "$source/compactor/usagelog.1")
for command in $("$program" --help | sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p'); do
	grep -qw -- "$command" <<<"$page" || { echo "usagelog.1 does not mention the subcommand $command"; failed=1; }
	own=$source/compactor/usagelog-$command.1
	[ -e "$own" ] || own=$source/compactor/usagelog.1
	shown=$(text "$own")
	for option in $("$program" "$command" --help | grep -oE '^ +--[a-z0-9-]+' | tr -d ' '); do
		grep -qE -- "(^|[^-a-z])$option([^-a-z0-9]|$)" <<<"$shown" || [ "$option" = --help ] ||
			{ echo "${own##*/} does not mention $command $option"; failed=1; }
	done
done
exit $failed
