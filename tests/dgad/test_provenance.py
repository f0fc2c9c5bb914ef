"""The digest of the code that decides results changes with it, and with nothing else."""

import shutil
from pathlib import Path

import pytest

import dgad
from dgad import provenance


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the code of `dgad`, to be altered."""
    root = Path(dgad.__file__).parent
    for file in root.rglob("*.py"):
        copy = tmp_path / "dgad" / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return tmp_path / "dgad"


def digest(package: Path) -> str:
    provenance._digest_of.cache_clear()
    return provenance._digest_of(package)


def test_a_copy_of_the_code_has_the_same_digest(package: Path) -> None:
    assert digest(package) == provenance.digest_deciding_code()


@pytest.mark.parametrize(
    "file",
    [
        "calibration/calibrate.py",
        "calibration/left_out_scores.py",
        "calibration/reference_coreset.py",
        "comparer/pairwise.py",
        "domains/decoding.py",
        "features/backbone.py",
        "methods/comparer.py",
        "methods/a_new_one.py",
    ],
)
def test_code_that_makes_scores_changes_it(package: Path, file: str) -> None:
    before = digest(package)
    with (package / file).open("a") as code:
        code.write("# changed\n")
    assert digest(package) != before


def test_code_that_only_shows_or_keeps_results_does_not(package: Path) -> None:
    before = digest(package)
    for part in provenance._NOT_DECIDING:
        path = package / part
        file = path if path.suffix else path / "changed.py"
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as code:
            code.write("# changed\n")
    assert digest(package) == before


def test_what_decides_nothing_is_named_as_it_lies_there(package: Path) -> None:
    missing = {part for part in provenance._NOT_DECIDING if not (package / part).exists()}
    assert missing <= {"api"}  # the front door
