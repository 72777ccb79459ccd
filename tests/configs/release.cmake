# cmake -C tests/configs/release.cmake -B build/release: what is shipped, warnings as errors.
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
# The sanitizers' build is fed more of them.
set(USAGELOG_FUZZ_MUTATIONS 50 CACHE STRING "")
set(USAGELOG_WERROR ON CACHE BOOL "")
