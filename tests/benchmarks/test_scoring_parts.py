"""The benchmark of scoring's parts holds both ways of each against each other."""

import pytest
import scoring_parts


def test_every_part_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--image-size", "64", "--photograph-size", "64"]
    scoring_parts.main(["--rounds", "1", "--weights", "none", *sizes])
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row[:9].strip() for row in rows] == ["PNG of 64", "resnet18,", "resnet18,", "smoothing"]
    assert all(float(row.split()[-1]) > 0 for row in rows)
