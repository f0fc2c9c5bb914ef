"""The benchmark of memories of bounded size compares both choices with all patches."""

import json
from pathlib import Path

import memory_bound
import pytest


def test_both_choices_stand_beside_all_patches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.jsonl"
    few = ["--levels", "8", "--draws", "1", "--num-references", "2", "--bounds", "32,1000"]
    memory_bound.main([*few, "--weights", "none", "--out", str(out)])
    lines = capsys.readouterr().out.splitlines()[3:]
    assert [line.split()[2:4] for line in lines] == [["none", "all"], ["32", "coverage"], ["32", "uniform"]]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["num_given"] for row in rows} == {2 * 8 * 8}
    assert all(0 <= row["auroc"] <= 1 and row["ms_per_megapixel"] > 0 for row in rows)
