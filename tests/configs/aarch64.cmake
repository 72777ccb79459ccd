# tests/configs/aarch64.sh build/aarch64-root && cmake -C tests/configs/aarch64.cmake -B build/aarch64: for 64-bit ARM, whose memory is
# ordered more weakly, run by qemu, which has no io_uring. The libraries are those that aarch64.sh unpacked.
get_filename_component(root "${CMAKE_CURRENT_LIST_DIR}/../../build/aarch64-root" ABSOLUTE)
set(libraries "${root}/usr/lib/aarch64-linux-gnu")
set(CMAKE_SYSTEM_NAME Linux CACHE STRING "")
set(CMAKE_SYSTEM_PROCESSOR aarch64 CACHE STRING "")
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc CACHE STRING "")
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++ CACHE STRING "")
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64;-L;/usr/aarch64-linux-gnu;-E;LD_LIBRARY_PATH=${libraries}" CACHE STRING "")
set(CMAKE_EXE_LINKER_FLAGS "-Wl,-rpath-link,${libraries}" CACHE STRING "")
# pkg-config must not find this machine's own libraries, now or when CMake runs again.
set(PKG_CONFIG_EXECUTABLE /usr/bin/env CACHE FILEPATH "")
set(PKG_CONFIG_ARGN "PKG_CONFIG_LIBDIR=${libraries}/pkgconfig;PKG_CONFIG_SYSROOT_DIR=${root};pkg-config" CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -DNDEBUG" CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -DNDEBUG" CACHE STRING "")
set(USAGELOG_WERROR ON CACHE BOOL "")
set(USAGELOG_UNIT_TESTS_ONLY ON CACHE BOOL "")
