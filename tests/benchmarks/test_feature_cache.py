"""The benchmark of the feature cache says something about every way of having features."""

import feature_cache
import pytest


def test_every_row_is_told_against_no_cache(capsys: pytest.CaptureFixture[str]) -> None:
    feature_cache.main(["--count", "3", "--rounds", "1", "--weights", "none", "--image-size", "64"])
    rows = [line for line in capsys.readouterr().out.splitlines() if "ms an image" in line]
    assert [line[:12].strip() for line in rows] == list(feature_cache.ROWS)
    assert rows[0].endswith(" 1.00 x")


def test_a_mistake_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        feature_cache.main(["--count", "1", "--weights", "absent.safetensors"])
    assert ended.value.code == 2
    assert "no weights file absent.safetensors" in capsys.readouterr().err
