"""`import dgad` as a user types it: the names, and what they cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dgad


def test_every_name_is_there_and_documented() -> None:
    for name in dgad.__all__:
        value = getattr(dgad, name)
        assert name in ("METHODS", "__version__") or value.__doc__, name
    assert dir(dgad) == sorted(dgad.__all__)
    assert len(dgad.__all__) <= 25


def test_type_checkers_and_python_are_told_the_same() -> None:
    tree = ast.parse(Path(dgad.__file__).read_text())
    told = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dgad")
        for alias in node.names
    }
    assert told == dgad._MODULES
    assert {*told, "__version__"} == set(dgad.__all__)


def test_no_name_hides_a_module() -> None:
    modules = {p.stem for p in Path(dgad.__file__).parent.iterdir()}
    assert not modules & set(dgad.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dgad' has no attribute 'load_compare'"):
        dgad.load_compare  # noqa: B018
    with pytest.raises(ImportError):
        from dgad import load_compare  # noqa: F401


def test_importing_it_loads_neither_torch_nor_ray_nor_numpy() -> None:
    code = (
        "import sys, dgad; assert dgad.UserError and dgad.__version__;"
        " print([m for m in ('torch', 'ray', 'numpy', 'PIL', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_using_all_of_it_loads_no_ray() -> None:
    code = "import sys; from dgad import *; import dgad; dgad.evaluate; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
