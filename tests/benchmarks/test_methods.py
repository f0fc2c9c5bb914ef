"""The table of all methods: quick ones with every seed, slow ones with the first."""

from pathlib import Path

import methods
import pytest

from dgad.methods import METHODS


def test_a_slow_method_has_the_first_seed_alone(
    demo_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--scale", "squash 64", "--num-references", "3", "--weights", "none", "--seeds", "0,1"]
    arguments = ["methods.py", "--data", str(demo_data), "--methods", "patch_knn,trivial", *small]
    monkeypatch.setattr("sys.argv", arguments)
    methods.main()
    quick = capsys.readouterr().out
    assert _seeds(quick) == {"patch_knn": "2", "trivial": "2"}
    monkeypatch.setattr("sys.argv", [*arguments, "--slow-s", "0"])
    methods.main()
    assert _seeds(capsys.readouterr().out) == {"patch_knn": "1", "trivial": "1"}


def test_all_is_every_method() -> None:
    assert methods.labels("none") == tuple(METHODS)
    assert methods.labels("builtin")[0] == "comparer:builtin"


def _seeds(printed: str) -> dict[str, str]:
    rows = [line.split() for line in printed.splitlines() if line.startswith(("patch_knn", "trivial"))]
    return {row[0]: row[-1] for row in rows}
