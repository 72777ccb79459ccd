"""The project's C sources, and their code without comments and strings."""
import pathlib
import re

FOLDERS = ("format", "lib", "compactor")

# A comment, a string or a character constant, whichever begins first.
_NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(root, folders):
    """All C and C++ files below these folders of the tree."""
    found = []
    for folder in folders:
        found += [path for path in sorted(pathlib.Path(root, folder).rglob("*"))
                  if path.suffix in (".c", ".h", ".cpp") and path.is_file()]
    return found


def without_comments(text):
    """The text with comments blanked, lines kept."""
    return _NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]) if m[0].startswith("/") else m[0], text)


def code(text):
    """The text with comments, strings and characters blanked, lines kept."""
    return _NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
