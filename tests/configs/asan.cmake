# cmake -C tests/configs/asan.cmake -B build/asan: address and undefined-behaviour sanitizers, asserts on, the first finding ends the
# program.
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_C_FLAGS_DEBUG -g1 CACHE STRING "")
set(CMAKE_CXX_FLAGS_DEBUG -g1 CACHE STRING "")
set(CMAKE_C_FLAGS "-O1 -fno-sanitize-recover=all" CACHE STRING "")
set(CMAKE_CXX_FLAGS "-O1 -fno-sanitize-recover=all" CACHE STRING "")
set(USAGELOG_SANITIZE address,undefined CACHE STRING "")
set(USAGELOG_WERROR ON CACHE BOOL "")
