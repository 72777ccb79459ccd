#!/bin/bash
# The libraries that the build of aarch64.cmake needs, of Debian's arm64 architecture, unpacked: tests/configs/aarch64.sh ROOT
# Nothing is installed, and this machine's package lists stay as they are. Exits with 77, and says why, where they cannot be had.
set -euo pipefail
root=$1
packages=(liburing2 liburing-dev libxxhash-dev libcjson1 libcjson-dev libsmartcols1 libsmartcols-dev libcmocka0 libcmocka-dev)

skip() {
	echo "skipped: $*"
	exit 77
}

[ ! -e "$root/complete" ] || exit 0
for tool in aarch64-linux-gnu-gcc aarch64-linux-gnu-g++ qemu-aarch64 apt-get dpkg-deb; do
	command -v "$tool" >/dev/null || skip "there is no $tool"
done
rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/cache/archives/partial"
# apt's lists and cache are below ROOT; it would read there as a user that may not.
apt=(apt-get -q -o APT::Architectures::=arm64 -o Dir::State::Lists="$root/apt/lists" -o Dir::Cache="$root/apt/cache"
	-o APT::Sandbox::User="$(id -un)")
"${apt[@]}" update >"$root/apt/said" 2>&1 || skip "apt cannot read the lists of arm64: $(tail -n 1 "$root/apt/said")"
(cd "$root/apt" && "${apt[@]}" download "${packages[@]/%/:arm64}" >said 2>&1) ||
	skip "apt has not all of ${packages[*]} for arm64: $(tail -n 1 "$root/apt/said")"
for package in "$root"/apt/*.deb; do
	dpkg-deb -x "$package" "$root"
done
rm -rf "$root/apt"
touch "$root/complete"
