"""`pip install ./lib/python`, without a network: what is installed, and what is in a source distribution and a wheel of it; and the stubs."""
import ast
import glob
import inspect
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import support
import usagelog
from usagelog import _native

SOURCE = os.environ["USAGELOG_SOURCE"]
USE = ("import usagelog, os, sys\n"
       "assert usagelog.__file__.startswith(sys.prefix), usagelog.__file__\n"
       "tracker = usagelog.UsageTracker(sys.argv[1])\n"
       "tracker.record('gpt-4o', 100, 50, 0.00105, 812.5)\n"
       "assert tracker.flush(30), tracker.get_writer_stats()\n"
       "assert tracker.get_summary()['total_calls'] == 1\n")


# Makes what it is asked for of sources that are there: what they come to is seen once, from the tree, and takes its time.
COMPILER = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in -o) : >"$2" && shift ;; *.c) [ -f "$1" ] || exit ;; esac
    shift
done
"""


class Package(support.ScratchTest):
    def run_tool(self, *command, cwd=None, **more):
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "USAGELOG_BIN")} | more
        # As a packager might, and these compile in a moment.
        environment["CFLAGS"] = "-O0 -g0"
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False, env=environment,
                              cwd=cwd or self.scratch)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}")
        return done.stdout

    def make_environment(self):
        for module in ("venv", "setuptools", "wheel", "ensurepip"):
            if subprocess.run([sys.executable, "-c", f"import {module}"], stderr=subprocess.DEVNULL, check=False).returncode:
                self.skipTest(f"this Python has no {module}")
        # A copy, so that what a build leaves does not lie in the tree that is tested.
        tree = self.path("tree")
        for folder in ("format", "lib", "compactor"):
            shutil.copytree(os.path.join(SOURCE, folder), os.path.join(tree, folder),
                            ignore=shutil.ignore_patterns("build", "*.egg-info", "*.so", "bin", "__pycache__"))
        self.run_tool(sys.executable, "-m", "venv", "--system-site-packages", self.path("venv"))
        return os.path.join(tree, "lib", "python")

    def pip(self, *args, **more):
        return self.run_tool(self.path("venv", "bin", "pip"), *args, **more)

    def check_sources(self, archive):
        """All of the tree that is compiled is there, byte by byte."""
        with tarfile.open(archive) as file:
            found = {member.name.partition("/source/")[2]: file.extractfile(member).read() for member in file if member.isfile() and "/source/" in member.name}
        wanted = {}
        for folder in ("format", "lib", "compactor", os.path.join("compactor", "page")):
            for name in os.listdir(os.path.join(SOURCE, folder)):
                if name.endswith((".c", ".h")) or os.path.basename(folder) == "page":
                    with open(os.path.join(SOURCE, folder, name), "rb") as file:
                        wanted[os.path.join(folder, name)] = file.read()
        self.assertGreater(len(wanted), 100)
        self.assertEqual(found, wanted)

    def use(self):
        self.run_tool(self.path("venv", "bin", "python"), "-c", USE, self.path("usage.json"))
        shutil.rmtree(self.path("usage.json.usagelog"))
        os.unlink(self.path("usage.json"))
        self.assertEqual(self.run_tool(self.path("venv", "bin", "usagelog"), "--version"), f"usagelog {usagelog.__version__}\n")

    def test_install_wheel_and_source_distribution(self):
        package = self.make_environment()
        offline = ("--no-build-isolation", "--no-index")
        self.pip("install", *offline, package)
        self.use()
        site, = glob.glob(self.path("venv", "lib", "*", "site-packages", "usagelog"))
        for name in ("py.typed", "_native.pyi", "_native.abi3.so", "bin/usagelog", "litellm.py"):
            self.assertTrue(os.path.exists(os.path.join(site, name)), name)
        exported = self.run_tool("nm", "-D", "--defined-only", os.path.join(site, "_native.abi3.so")).split("\n")
        self.assertEqual([line.split()[-1] for line in exported if line], ["PyInit__native"])
        self.pip("uninstall", "-y", "usagelog")
        self.assertFalse(os.path.exists(site))

        self.run_tool(sys.executable, "setup.py", "-q", "sdist", cwd=package)
        archive, = glob.glob(os.path.join(package, "dist", "*.tar.gz"))
        shutil.move(archive, self.path(os.path.basename(archive)))
        shutil.rmtree(self.path("tree"))
        self.check_sources(self.path(os.path.basename(archive)))
        with open(self.path("compiler"), "w", encoding="utf-8") as file:
            file.write(COMPILER)
        os.chmod(self.path("compiler"), 0o755)
        self.pip("wheel", *offline, "-w", self.path("wheels"), self.path(os.path.basename(archive)), CC=self.path("compiler"))
        wheel, = glob.glob(self.path("wheels", "*.whl"))
        self.assertIn("cp310-abi3-linux", wheel)
        with zipfile.ZipFile(wheel) as file:
            for name in ("usagelog/bin/usagelog", "usagelog/_native.abi3.so", "usagelog/py.typed", "usagelog/litellm.py"):
                self.assertIn(name, file.namelist())
            self.assertEqual([name for name in file.namelist() if name.endswith(".c")], [])


class Stubs(support.ScratchTest):
    def test_stubs_say_what_there_is(self):
        """Each name and argument of the extension, and no other."""
        with open(os.path.join(SOURCE, "lib", "python", "usagelog", "_native.pyi"), encoding="utf-8") as file:
            tree = ast.parse(file.read())

        def public(names):
            return {name for name in names if not name.startswith("__")}

        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in ("Log", "Tracker"):
                found = {item.name if isinstance(item, ast.FunctionDef) else item.target.id for item in node.body}
                self.assertEqual(public(found), public(vars(getattr(_native, node.name))), node.name)
            for item in ast.walk(node):
                if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
                    thing = getattr(getattr(_native, node.name, None), item.name, None) if isinstance(node, ast.ClassDef) else \
                        getattr(_native, item.name)
                    if callable(thing):
                        args = item.args
                        said = [arg.arg for arg in args.posonlyargs + args.args + args.kwonlyargs]
                        self.assertEqual([name for name in inspect.signature(thing).parameters if name not in ("args", "keywords")], said,
                                         item.name)
        top = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        self.assertEqual(top, public(vars(_native)))

    def test_everything_is_documented(self):
        for name in usagelog.__all__:
            thing = getattr(usagelog, name)
            self.assertTrue(inspect.getdoc(thing), name)
            if inspect.isclass(thing):
                for member, value in vars(thing).items():
                    if not member.startswith("_") and callable(value):
                        self.assertTrue(inspect.getdoc(value), f"{name}.{member}")


if __name__ == "__main__":
    support.main()
