"""The benchmark of mixed batches prints both for every normalisation."""

import mixed_domains
import pytest


def test_every_normalisation_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--surfaces", "2", "--images", "2", "--side", "64", "--repeats", "2"]
    assert mixed_domains.main([*few, "--normalisations", "pretrained,auto"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["normalisation", "pretrained", "auto"]
    assert all(float(line.split()[-1]) > 0 for line in lines[1:])
