#!/bin/bash
# Installs into an empty place and uses what is there as others would, in C and C++, shared and static, by pkg-config and by CMake:
# test_install.sh SOURCE BUILD CC CXX
set -euo pipefail
source=$1 build=$2 cc=$3 cxx=$4
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
prefix=$temporary/prefix
cmake --install "$build" --prefix "$prefix" >"$temporary/install.txt"
for wanted in bin/usagelog include/usagelog.h share/man/man1/usagelog.1 share/man/man1/usagelog-compact.1 \
	share/man/man1/usagelog-verify.1 share/man/man3/usagelog.3 share/bash-completion/completions/usagelog \
	share/zsh/site-functions/_usagelog share/fish/vendor_completions.d/usagelog.fish share/usagelog/usagelog.cron lib/systemd/user/usagelog.timer \
	lib/systemd/system/usagelog@.service; do
	[ -s "$prefix/$wanted" ] || { echo "$wanted is not installed"; exit 1; }
done
# Nothing of ours but that.
surplus=$(cd "$prefix" && find . -type f,l | grep -Ev \
	'^\./(bin/usagelog|include/usagelog\.h|share/man/man1/usagelog(-[a-z]+)?\.1|share/man/man3/usagelog\.3|share/(bash-completion/completions/usagelog|zsh/site-functions/_usagelog|fish/vendor_completions\.d/usagelog\.fish)|share/usagelog/usagelog\.cron|lib/systemd/(user|system)/usagelog[^/]*|lib[^ ]*/(libusagelog\.(a|so[.0-9]*)|pkgconfig/usagelog\.pc|cmake/usagelog/[^/]*\.cmake))$' ||
	true)
[ -z "$surplus" ] || { echo "more is installed than should be: $surplus"; exit 1; }

pc=$(find "$prefix" -name usagelog.pc)
libraries=$(dirname "$(dirname "$pc")")
config() { PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" "$@" usagelog; }
use() {
	echo "== $1"
	shift
	log=$(mktemp -d -p "$temporary")
	USAGELOG_DIR=$log/log LD_LIBRARY_PATH=$libraries "$@"
	"$prefix/bin/usagelog" --log "$log/log" verify >"$log/verified" || { cat "$log/verified"; exit 1; }
	[ "$("$prefix/bin/usagelog" --log "$log/log" dump --format jsonl | wc -l)" -ge 1 ] || { echo "no call was recorded"; exit 1; }
}

cd "$temporary"
# The examples are what a user writes.
read -ra shared_flags <<<"$(config --cflags --libs)"
read -ra compile_flags <<<"$(config --cflags)"
read -ra static_flags <<<"$(config --static --libs | sed "s|-lusagelog|$libraries/libusagelog.a|")"
"$cc" "$source/lib/examples/example.c" "${shared_flags[@]}" -o c_shared
"$cc" "$source/lib/examples/example.c" "${compile_flags[@]}" "${static_flags[@]}" -o c_static
"$cxx" -std=c++11 "$source/lib/examples/example.cpp" "${shared_flags[@]}" -o cpp_shared
"$cxx" -std=c++11 "$source/lib/examples/example.cpp" "${compile_flags[@]}" "${static_flags[@]}" -o cpp_static
linked=$(ldd c_static)
[[ $linked != *libusagelog* ]] || { echo "c_static is not static"; exit 1; }
linked=$(LD_LIBRARY_PATH=$libraries ldd c_shared)
[[ $linked == *"libusagelog.so.0 => $libraries"* ]] || { echo "c_shared does not use libusagelog.so.0"; exit 1; }
for program in c_shared c_static cpp_shared cpp_static; do
	use "pkg-config $program" "./$program"
done

mkdir consumer
cat >consumer/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.13)
project(consumer C CXX)
find_package(usagelog 0.1 REQUIRED)
foreach(kind shared static)
  add_executable(c_${kind} ${EXAMPLES}/example.c)
  add_executable(cpp_${kind} ${EXAMPLES}/example.cpp)
  target_link_libraries(c_${kind} PRIVATE usagelog::${kind})
  target_link_libraries(cpp_${kind} PRIVATE usagelog::${kind})
endforeach()
END
cmake -S consumer -B consumer/build -DCMAKE_PREFIX_PATH="$prefix" -DEXAMPLES="$source/lib/examples" -DCMAKE_C_COMPILER="$cc" \
	-DCMAKE_CXX_COMPILER="$cxx" >cmake.txt 2>&1 || { cat cmake.txt; exit 1; }
cmake --build consumer/build >build.txt 2>&1 || { cat build.txt; exit 1; }
for program in c_shared c_static cpp_shared cpp_static; do
	use "find_package $program" "consumer/build/$program"
done
