"""One module names what a runs folder holds."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tune
from dgad.report import examples, page, summary
from tune.run_folder import layout

MODULES = sorted(
    p for p in Path(tune.__file__).parent.rglob("*.py") if p != Path(layout.__file__) and p.is_file()
)
FILES = {v for k, v in vars(layout).items() if k.endswith("_FILE")}
FOLDERS = {v for k, v in vars(layout).items() if k.endswith("_FOLDER")}
KEYS = {v for k, v in vars(layout).items() if k.endswith("_KEY")}
PATH_CALLS = ("child", "sibling", "exists", "read", "write", "delete", "glob", "rglob", "joinpath")
"""Methods of a path or a storage that are given a name of something in it."""


def _texts(node: ast.AST) -> Iterator[str]:
    """The literal beginning of a string, formatted or not."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _in_paths(node: ast.AST) -> Iterator[str]:
    """Strings that a node uses as a part of a path."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        for side in (node.left, node.right):
            yield from _texts(side)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PATH_CALLS:
        for argument in node.args:
            yield from _texts(argument)


def _attributes(node: ast.AST) -> Iterator[str]:
    """Keys with which a node reads or writes a trial's user attributes."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("user_attrs"):
        yield from _texts(node.slice)
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("user_attrs.get", "set_user_attr")):
        yield from _texts(node.args[0])


def _spelled(source: str) -> set[str]:
    """The names of the layout that a module spells itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        found |= {text for text in _texts(node) if text in FILES - {layout.LOCK_FILE}}
        found |= {text for text in _in_paths(node) if text.split("/")[0] in FILES | FOLDERS}
        found |= {text for text in _texts(node) if text.endswith("/") and text.split("/")[0] in FOLDERS}
        found |= set(_attributes(node))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(Path(tune.__file__).parent)))
def test_no_other_module_spells_a_name_of_a_runs_folder(module):
    assert _spelled(module.read_text()) == set()


@pytest.mark.parametrize(
    "source",
    [
        'folder / "records" / name',
        'store.child("ledger")',
        'path = f"fits/{fit}/x"',
        'NAME = "study.yaml"',
        'trial.user_attrs["inner_scores"]',
        'trial.user_attrs.get("retry_of")',
    ],
)
def test_a_spelled_name_is_found(source):
    assert _spelled(source) != set()


def test_names_that_dgad_gives_are_the_same_here():
    assert layout.SUMMARY_FILE == summary.FILE_NAME
    assert (layout.REPORT_FILE, layout.REPORT_FOLDER) == (page.FILE_NAME, page.FILES_FOLDER)
    assert layout.EXAMPLES_FOLDER == examples.FOLDER_NAME


def test_names_are_those_of_folders_that_were_written_before():
    assert {"study.yaml", "run.json", "launch.log", ".running.json", ".ended.json", "fit.json"} <= FILES
    assert {"records", "ledger", "optuna", "logs", "data", "bundle", ".shared", "fits"} <= FOLDERS
    assert {"inner_scores", "values", "error", "retry_of", "settings", "point", "origin"} == KEYS
