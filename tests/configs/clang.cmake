# cmake -C tests/configs/clang.cmake -B build/clang: the other compiler, warnings as errors.
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_CXX_COMPILER clang++ CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(USAGELOG_WERROR ON CACHE BOOL "")
set(USAGELOG_UNIT_TESTS_ONLY ON CACHE BOOL "")
