"""Calls that have a better one, and words that mean work left undone.

test_banned.py SOURCE_DIRECTORY
"""
import pathlib
import re
import sys

import sources

# Name: why, and what to use. Tests may, of which each runs by itself on what it made itself.
BANNED = {
    "strcpy": "has no bound: snprintf or memcpy", "strcat": "has no bound: snprintf", "stpcpy": "has no bound: memcpy",
    "strncpy": "leaves strings unterminated: snprintf or memcpy", "strncat": "its bound is not the buffer's: snprintf",
    "sprintf": "has no bound: snprintf", "vsprintf": "has no bound: vsnprintf", "gets": "has no bound: fgets",
    "strtok": "has state that threads share: strsep", "atoi": "takes anything for a number: strtol or decimal_parse",
    "atol": "takes anything for a number: strtol or decimal_parse", "atof": "is a float and takes anything: decimal_parse",
    "alloca": "has no bound: os_allocate", "tmpnam": "is a race: mkstemp", "mktemp": "is a race: mkstemp",
    "localtime": "has state that threads share: localtime_r", "gmtime": "has state that threads share: gmtime_r",
}
# Not in what is installed; fuzz targets may.
BANNED_IN_PRODUCT = {
    "system": "runs a shell", "popen": "runs a shell", "rand": "is not random: os_random", "usleep": "waits by the clock",
    "sleep": "waits by the clock", "abort": "kills the host: return an error",
}
# In the library and the format: nothing is printed there, ever, and the host's process is not ended.
BANNED_IN_LIBRARY = {name: "the library prints nothing" for name in ("printf", "fprintf", "puts", "perror", "putchar")}
BANNED_IN_LIBRARY |= {"exit": "ends the host", "_exit": "ends the host"}
# In all but os.c, the seam: what can fail, and a test could not make fail. A constant in front of a name is what is called for.
OUTSIDE_SEAM = {name: "goes through the seam, lib/os.h" for name in (
    "malloc", "calloc", "realloc", "reallocarray", "aligned_alloc", "posix_memalign", "strdup", "strndup", "asprintf", "vasprintf", "open_memstream",
    "open", "openat", "fopen", "fdopen", "opendir", "fdopendir", "readdir", "mkostemp", "mkstemp", "dup", "fcntl", "lseek", "pread", "pwrite", "ftruncate",
    "fallocate", "fsync", "fdatasync", "msync", "mmap", "mremap", "madvise", "munmap", "stat", "fstat", "lstat", "fstatat", "statfs", "fstatfs", "readlink",
    "mkdir", "link", "linkat", "rename", "renameat", "unlink", "unlinkat", "eventfd", "inotify_init1", "inotify_add_watch", "getrandom", "pthread_create",
    "ioctl", "socket", "pipe", "getline", "getdelim", "realpath")}


def look(root, folders, banned):
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(map(re.escape, banned)) + r")[ \t]*\(")
    for path in sources.files(root, folders):
        if path.parent.name == "examples" and banned in (BANNED_IN_LIBRARY, OUTSIDE_SEAM) or path.name == "os.c" and banned is OUTSIDE_SEAM:
            continue
        text = sources.code(path.read_text())
        for match in pattern.finditer(text):
            yield f"{path.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}: {match[1]}: {banned[match[1]]}"


def look_for_words(root):
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for path in sources.files(root, sources.FOLDERS + ("fuzz", "tests")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if words.search(line):
                yield f"{path.relative_to(root)}:{number}: work left undone: {line.strip()}"


def main():
    root = pathlib.Path(sys.argv[1])
    wrong = list(look(root, sources.FOLDERS + ("fuzz",), BANNED))
    wrong += look(root, sources.FOLDERS, BANNED_IN_PRODUCT)
    wrong += look(root, ("format", "lib"), BANNED_IN_LIBRARY)
    wrong += look(root, ("lib", "compactor"), OUTSIDE_SEAM)
    wrong += look_for_words(root)
    print("\n".join(wrong) or "clean")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
