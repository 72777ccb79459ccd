# cmake -C tests/configs/fuzz.cmake -B build/fuzz: libFuzzer programs under the address and undefined-behaviour sanitizers (clang).
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_CXX_COMPILER clang++ CACHE STRING "")
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_C_FLAGS "-O2 -fno-sanitize-recover=all" CACHE STRING "")
set(CMAKE_CXX_FLAGS "-O2 -fno-sanitize-recover=all" CACHE STRING "")
set(USAGELOG_SANITIZE address,undefined CACHE STRING "")
set(USAGELOG_FUZZ ON CACHE BOOL "")
set(USAGELOG_WERROR ON CACHE BOOL "")
