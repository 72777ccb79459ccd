"""Builds the package: the extension usagelog._native, and the program `usagelog` that goes with it, from the sources that they share.

Those are not in this folder but in the tree that it is in, and in `source/` of a source distribution, which this makes. Nothing installed of usagelog is
needed or used, so the package is of one piece; what must be there is a C compiler, cmake, pkg-config and the headers of liburing, xxHash, cJSON and libsmartcols.
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE / "source" if (HERE / "source").is_dir() else HERE.parent.parent
FOLDERS = ("format", "lib", "compactor")
# The ABI that CPython 3.10 and all later ones have.
ABI = "cp310"


def tool(*command):
    """What a tool of the build says."""
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(f"{' '.join(command)} fails; on Debian: apt-get install gcc libc6-dev cmake pkg-config liburing-dev libxxhash-dev libcjson-dev "
                         "libsmartcols-dev python3-dev") from None


def pkg_config(*args):
    """What pkg-config says, as a list."""
    return tool("pkg-config", *args).split()


def version():
    """That of the public header."""
    header = (ROOT / "lib" / "usagelog.h").read_text()
    return ".".join(re.search(rf"#define USAGELOG_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH"))


def sources(folder):
    """The C files of a folder of the tree."""
    return sorted(str(path) for path in (ROOT / folder).glob("*.c"))


class Build(build_ext):
    """The extension, with its sources where they are; and the program. What both need is compiled once."""

    def compile_flags(self, *packages):
        """Those of $CFLAGS come last, so that they win."""
        flags = ["-std=gnu11", "-O2", "-D_GNU_SOURCE", "-DNDEBUG", "-fvisibility=hidden", "-fno-strict-aliasing",
                 "-fstack-protector-strong", *pkg_config("--cflags", *packages)]
        said = subprocess.run([self.compiler.compiler[0], "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
        if "Free Software Foundation" in said:
            flags.append("-fno-tree-reassoc")  # see lib/CMakeLists.txt
        return flags + shlex.split(os.environ.get("CFLAGS", ""))

    def compile(self, name, files, flags):
        """The objects of these sources, in a folder of the build."""
        return self.compiler.compile(files, output_dir=str(pathlib.Path(self.build_temp) / name),
                                     include_dirs=[str(ROOT / folder) for folder in FOLDERS], extra_postargs=flags)

    @staticmethod
    def link_flags(*packages):
        """Of what is linked: xxHash is inlined."""
        return [*pkg_config("--libs", *packages), "-lm", "-pthread", "-Wl,-z,relro,-z,now"]

    def build_extension(self, ext):
        flags = self.compile_flags("liburing", "libxxhash", "libcjson", "smartcols")
        shared = self.compile("shared", [*sources("format"), *sources("lib"), str(ROOT / "compactor" / "decimal.c")], flags)
        # Absolute paths, so that what is compiled lies in the build's directory and not beside its source.
        ext.sources = [str(HERE / source) for source in ext.sources]
        ext.include_dirs = [str(ROOT / folder) for folder in FOLDERS]
        ext.extra_objects, ext.extra_compile_args = shared, flags
        # What is linked in is the extension's own, whatever the host has loaded. Never unloaded: handlers of fork and of threads' ends stay registered with the process.
        ext.extra_link_args = [*self.link_flags("liburing"), "-Wl,-z,nodelete", f"-Wl,--version-script={HERE / 'native' / 'native.map'}"]
        super().build_extension(ext)
        self.build_program(shared, flags)

    def build_program(self, shared, flags):
        """The program, beside the extension."""
        folder = pathlib.Path(self.get_ext_fullpath("usagelog._native")).parent / "bin"
        page = pathlib.Path(self.build_temp) / "page_embedded.c"
        page.parent.mkdir(parents=True, exist_ok=True)
        made_of = ROOT / "compactor" / "page"
        tool("cmake", f"-DFOLDER={made_of}", f"-DOUT={page}", "-P", str(made_of / "embed.cmake"))
        own = [name for name in sources("compactor") if pathlib.Path(name).name != "decimal.c"]
        self.compiler.link_executable([*shared, *self.compile("program", [*own, str(page)], flags)], "usagelog", output_dir=str(folder),
                                      extra_postargs=self.link_flags("liburing", "libcjson", "smartcols"))


class SourceDistribution(sdist):
    """With the sources of the tree that it needs."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for folder in FOLDERS:
            into = pathlib.Path(base_dir) / "source" / folder
            into.mkdir(parents=True, exist_ok=True)
            for path in (ROOT / folder).iterdir():
                if path.suffix in (".c", ".h"):
                    shutil.copy2(path, into)
        shutil.copytree(ROOT / "compactor" / "page", pathlib.Path(base_dir) / "source" / "compactor" / "page", dirs_exist_ok=True)
        shutil.copytree(HERE / "native", pathlib.Path(base_dir) / "native", dirs_exist_ok=True)


setup(
    version=version(),
    ext_modules=[Extension("usagelog._native", sources=[f"native/{name}.c" for name in ("log", "module", "names", "tracker", "values")],
                           py_limited_api=True)],
    cmdclass={"build_ext": Build, "sdist": SourceDistribution},
    options={"bdist_wheel": {"py_limited_api": ABI}},
)
