"""Check that the first line of every public docstring stands alone: a sentence of at least three words.

Ruff's `D` rules see that there is a docstring and that it has a first line; this sees that it says something.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("dgad", "tune", "serve", "cluster")
MIN_WORDS = 3
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def find_public(module: ast.Module) -> Iterator[tuple[str, Documented]]:
    """Give (dotted name, node) of the module itself and of whatever in it has no leading underscore."""
    waiting: list[tuple[str, Documented]] = [("", module)]
    while waiting:
        name, node = waiting.pop()
        yield name, node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue  # what is defined inside a function is its own affair
        for child in node.body:
            if isinstance(child, Documented) and not child.name.startswith("_"):
                waiting.append((f"{name}.{child.name}".lstrip("."), child))


def find_too_short(source: str, path: str) -> list[str]:
    """List the public docstrings whose first line has too few words, as `path:line: name: what it says`."""
    found = []
    for name, node in find_public(ast.parse(source)):
        docstring = ast.get_docstring(node)
        if docstring is None:
            continue  # ruff's
        first = docstring.partition("\n")[0]
        if len(first.split()) < MIN_WORDS:
            found.append(f"{path}:{getattr(node, 'lineno', 1)}: {name or 'module'}: {first!r}")
    return found


def main() -> None:
    """Print what is too short, and exit with 1 where anything is."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folders", nargs="*", default=PACKAGES)
    files = [file for folder in parser.parse_args().folders for file in sorted(Path(folder).rglob("*.py"))]
    found = [line for file in files for line in find_too_short(file.read_text(), str(file))]
    if found:
        print(*found, sep="\n")
        sys.exit(f"{len(found)} first lines of docstrings have fewer than {MIN_WORDS} words.")


if __name__ == "__main__":
    main()
