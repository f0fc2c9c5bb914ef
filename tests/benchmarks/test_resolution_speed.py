"""The benchmark of large images: its line, its table, and both workers' image; no time is asserted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import resolution_speed
from resolution_speed import Measured, fit_line, least


def test_the_line_is_that_of_the_points_and_the_residual_is_relative() -> None:
    exact = [Measured(megapixels=x, ms=20 * x + 5, cpu_ms=10 * x + 1) for x in (1.0, 4.0, 16.0)]
    assert fit_line(exact, cpu=False) == pytest.approx((20, 5, 0), abs=1e-6)
    assert fit_line(exact, cpu=True) == pytest.approx((10, 1, 0), abs=1e-6)
    bent = [*exact, Measured(megapixels=64.0, ms=2 * (20 * 64 + 5))]
    assert fit_line(bent, cpu=False)[2] > 0.2


def test_the_quickest_round_counts_and_a_failed_one_decides() -> None:
    rounds = [
        {"seconds": s, "cpu_seconds": s / 2, "peak_mib": m, "score": 1.0} for s, m in ((2, 10), (1, 30))
    ]
    assert least(4.0, rounds) == Measured(megapixels=4.0, ms=1000, cpu_ms=500, peak_mib=30, score=1.0)
    assert least(4.0, [*rounds, {"failed": "signal"}]).failed == "signal"


def test_a_system_that_fails_is_asked_no_larger_image(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def answer(command: Sequence[str], folder: Path, side: int, options: Any) -> dict[str, Any]:
        settings = json.loads((folder / "settings.json").read_text())
        name = Path(command[1]).stem
        asked.append((name, side, settings["num_threads"]))
        if name == "anomalib_tiles_worker" and side > 1024:
            return {"failed": "more than 1 MiB"}
        seconds = side**2 / 1e6 * (2 if name == "anomalib_tiles_worker" else 1)
        return {"seconds": seconds, "cpu_seconds": seconds, "peak_mib": 1.0, "score": 0.5}

    monkeypatch.setattr(resolution_speed, "run", answer)
    sizes = ["--megapixels", "1,4,16,64", "--threads", "1", "--rounds", "1", "--bank", "16"]
    code = resolution_speed.main([*sizes, "--weights", "none", "--anomalib-python", "python"])
    told = capsys.readouterr().out
    assert code == 0, told
    assert [side for name, side, _ in asked if name == "anomalib_tiles_worker"] == [1024, 2048]
    assert [side for name, side, _ in asked if name == "resolution_worker"] == [1024, 2048, 4096, 7936]
    assert told.count("more than 1 MiB") == 3
    assert "met     1.0 MP, 1 threads: 1.5 times as fast as anomalib" in told
