# cmake -C tests/configs/tsan.cmake -B build/tsan: the thread sanitizer, asserts on. Run its tests under `setarch -R`: it cannot place its
# shadow memory where addresses are randomized as widely as newer kernels do.
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_C_FLAGS_DEBUG -g1 CACHE STRING "")
set(CMAKE_CXX_FLAGS_DEBUG -g1 CACHE STRING "")
set(CMAKE_C_FLAGS "-O1" CACHE STRING "")
set(CMAKE_CXX_FLAGS "-O1" CACHE STRING "")
set(USAGELOG_SANITIZE thread CACHE STRING "")
set(USAGELOG_WERROR ON CACHE BOOL "")
set(USAGELOG_UNIT_TESTS_ONLY ON CACHE BOOL "")
