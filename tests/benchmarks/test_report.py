"""The report's benchmark writes a run that the report takes."""

import sys

import pytest
import report


def test_it_prints_both_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["report.py", "--methods", "1", "--domains", "2", "--trials", "2"])
    report.main()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("1 methods x 2 folds x 2 trials: ")
    assert second.startswith("page 0.")
