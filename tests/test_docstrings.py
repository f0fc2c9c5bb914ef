"""The check of docstrings refuses what says nothing, and passes over what is private."""

from pathlib import Path

import pytest

from tools.check_docstrings import PACKAGES, find_too_short

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('"""Storage."""', ["module"]),
        ('"""One module of three words."""\ndef give():\n    """Give."""', ["give"]),
        ('class A:\n    """What A is."""\n    def b(self):\n        """See above."""', ["A.b"]),
        ('async def give():\n    """Two words.\n\n    And more than that."""', ["give"]),
        ('def _private():\n    """Short."""', []),
        ('class _B:\n    """Short."""\n    def c(self):\n        """Short."""', []),
        ('def outer():\n    """Give what is inside."""\n    def inner():\n        """Short."""', []),
        ("def undocumented():\n    pass", []),
    ],
)
def test_a_first_line_of_one_or_two_words_is_found(source: str, names: list[str]) -> None:
    assert [line.split(": ")[1] for line in find_too_short(source, "file.py")] == names


@pytest.mark.parametrize("package", PACKAGES)
def test_every_first_line_of_ours_stands_alone(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    assert [line for file in files for line in find_too_short(file.read_text(), str(file))] == []
