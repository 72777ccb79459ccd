# cmake -C tests/configs/coverage.cmake -B build/coverage: which lines the tests reach; after ctest, `gcov` or `gcovr` on the build directory.
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_C_FLAGS "--coverage" CACHE STRING "")
set(CMAKE_CXX_FLAGS "--coverage" CACHE STRING "")
set(CMAKE_EXE_LINKER_FLAGS "--coverage" CACHE STRING "")
set(CMAKE_SHARED_LINKER_FLAGS "--coverage" CACHE STRING "")
set(USAGELOG_WERROR ON CACHE BOOL "")
