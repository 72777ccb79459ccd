"""The arrows run one way: format <- lib <- compactor, and each folder uses only the packages that it may.

test_includes.py SOURCE_DIRECTORY
"""
import pathlib
import re
import sys

import sources

# Beyond libc; immintrin.h is the compiler's. The compactor prints JSON with cJSON; only the library talks to io_uring.
PACKAGES = {"format": {"xxhash.h", "immintrin.h"}, "lib": {"xxhash.h", "liburing.h"}, "compactor": {"xxhash.h", "cjson/cJSON.h", "libsmartcols/libsmartcols.h"}}
# Bindings are leaves: they may use all of the product, and nothing uses them.
LEAVES = {"lib/python": {"Python.h", "structmember.h"}}
LIBC = set("""assert ctype dirent err errno fcntl fnmatch getopt glob inttypes langinfo limits locale math poll pthread sched semaphore
signal stdarg stdatomic stdbool stddef stdint stdio stdlib string strings termios time ucontext unistd wchar""".split())
# What is on disk knows no files, no mappings and no threads.
NOT_IN_FORMAT = re.compile(r"(sys|linux)/.*|(dirent|fcntl|poll|pthread|sched|signal|unistd)\.h")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def is_libc(name):
    return re.fullmatch(r"(sys|linux)/\w+\.h", name) or (name.endswith(".h") and name[:-2] in LIBC)


def check_file(root, folder, path):
    """What is wrong with the includes of one file."""
    place = sources.FOLDERS.index(folder)
    allowed, packages = sources.FOLDERS[:place + 1], PACKAGES[folder]
    for leaf, more in LEAVES.items():
        if (root / leaf) in path.parents:
            allowed, packages = sources.FOLDERS, packages | more
    for kind, name in INCLUDE.findall(sources.without_comments(path.read_text())):
        where = f"{path.relative_to(root)}: #include {name}"
        if kind == "<":
            # Public headers are included as a user would.
            if not is_libc(name) and name not in packages and path.parent.name != "examples":
                yield f"{where}: {folder} may not use this package"
            if folder == "format" and NOT_IN_FORMAT.fullmatch(name):
                yield f"{where}: format knows only bytes"
        elif not (path.parent / name).is_file() and not any((root / other / name).is_file() for other in allowed):
            holders = [other for other in sources.FOLDERS if (root / other / name).is_file()]
            yield f"{where}: it is in {holders or 'none of the folders'}, and the arrow runs back" if holders else \
                f"{where}: there is no such header"


def main():
    root = pathlib.Path(sys.argv[1])
    wrong, seen = [], 0
    for folder in sources.FOLDERS:
        for path in sources.files(root, [folder]):
            seen += 1
            wrong += check_file(root, folder, path)
    # Two headers of one name would make the arrows a matter of -I's order.
    names = [path.name for path in sources.files(root, sources.FOLDERS) if path.suffix == ".h"]
    wrong += [f"{name}: two headers have this name" for name in sorted(set(names)) if names.count(name) > 1]
    print("\n".join(wrong) or f"{seen} files")
    return bool(wrong) or seen < 20


if __name__ == "__main__":
    sys.exit(main())
