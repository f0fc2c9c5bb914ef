"""What every test must do: assert something that could fail, and no speed, which a busy machine decides."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
ASSERTING = ("assert_", "check_", "expect")
"""How helpers are called that assert by themselves."""
CLOCKS = {"perf_counter", "process_time", "monotonic"}


def _tests(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def _called(node: ast.AST) -> str:
    """The last part of the name of what a call calls; empty for all else."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def asserts(test: ast.AST) -> bool:
    """Whether anything in it can fail for what the code under test did."""
    return any(
        isinstance(node, ast.Assert)
        or _called(node) in ("raises", "warns", "fail")
        or _called(node).lstrip("_").startswith(ASSERTING)
        for node in ast.walk(test)
    )


def bounds_a_speed(test: ast.AST) -> bool:
    """Whether it asserts that a difference of a clock's readings is small."""
    for node in ast.walk(test):
        if not isinstance(node, ast.Assert) or not isinstance(node.test, ast.Compare):
            continue
        sides = [node.test.left, *node.test.comparators]
        for smaller, operator, larger in zip(sides, node.test.ops, sides[1:], strict=False):
            bounded = smaller if isinstance(operator, ast.Lt | ast.LtE) else larger
            if isinstance(bounded, ast.BinOp) and isinstance(bounded.op, ast.Sub):
                clocks = (_called(part) for part in (bounded.left, bounded.right))
                if CLOCKS.intersection(clocks):
                    return True
    return False


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def test_x(): f()", False),
        ("def test_x(): assert f()", True),
        ("def test_x():\n with pytest.raises(ValueError): f()", True),
        ("def test_x(): _check_all(f())", True),
        ("def test_x(): np.testing.assert_array_equal(1, 2)", True),
    ],
)
def test_what_asserts_is_told_apart(code: str, found: bool) -> None:
    assert asserts(ast.parse(code)) == found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("assert time.monotonic() - started < 20", True),
        ("assert 20 > time.perf_counter() - started", True),
        ("assert time.monotonic() - started > 5", False),
        ("assert time.monotonic() < deadline", False),  # of a loop that waits: a hang, not a speed
    ],
)
def test_what_bounds_a_speed_is_told_apart(code: str, found: bool) -> None:
    assert bounds_a_speed(ast.parse(code)) == found


def test_every_test_asserts_something_and_none_a_speed() -> None:
    paths = sorted(ROOT.rglob("test_*.py"))
    assert len(paths) > 100
    for path in paths:
        for test in _tests(path):
            where = f"{path.relative_to(ROOT)}::{test.name}"
            assert asserts(test), f"{where} asserts nothing"
            assert not bounds_a_speed(test), f"{where} bounds a speed, which a busy machine decides"
