# cmake -C tests/configs/release.cmake -B build/release: what is shipped, warnings as errors.
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(USAGELOG_WERROR ON CACHE BOOL "")
