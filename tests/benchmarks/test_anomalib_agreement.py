"""The comparison with anomalib, without it: table, verdict, and what it says where anomalib is missing."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import anomalib_agreement
import pytest
import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.methods.patchcore import PatchcoreMethod


def main(monkeypatch: pytest.MonkeyPatch, data: Path, *arguments: str) -> object:
    shown = ["--data", str(data), "--anomalib-python", sys.executable, "--weights", "none"]
    small = ["--image-size", "64", "--num-references", "3"]
    monkeypatch.setattr(sys, "argv", ["anomalib_agreement.py", *shown, *small, *arguments])
    with pytest.raises(SystemExit) as ended:
        anomalib_agreement.main()
    return ended.value.code


def answer(change: Callable[[Tensor], Tensor]) -> Callable[..., dict[str, Tensor]]:
    """Our own answer with its maps changed, as if it were anomalib's."""

    def run(
        method: PatchcoreMethod, references: ImageSet, queries: ImageSet, options: argparse.Namespace
    ) -> dict[str, Tensor]:
        scores = method.score(queries, method.enroll(references))
        assert scores.pixels is not None
        return {"image": scores.image, "pixels": change(torch.stack(scores.pixels)), "seconds": torch.ones(1)}

    return run


def test_equal_answers_agree_and_other_maps_do_not(
    monkeypatch: pytest.MonkeyPatch, demo_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(anomalib_agreement, "run_anomalib", answer(lambda pixels: 2 * pixels + 1))
    assert main(monkeypatch, demo_data) == 0
    printed = capsys.readouterr().out
    assert "Both agree." in printed
    assert "1.000000" in printed
    for domain in ("grid", "leather", "marble", "wood"):
        assert domain in printed
    monkeypatch.setattr(anomalib_agreement, "run_anomalib", answer(lambda pixels: pixels.flip(-1)))
    assert main(monkeypatch, demo_data) == 1
    assert "They differ." in capsys.readouterr().out
    assert main(monkeypatch, demo_data, "--coreset-ratio", "0.5") == 0
    assert "They differ." not in capsys.readouterr().out


def test_an_interpreter_without_anomalib_is_told_with_the_way_to_make_one(
    monkeypatch: pytest.MonkeyPatch, demo_data: Path
) -> None:
    code = str(main(monkeypatch, demo_data))
    assert "anomalib failed; see the environment in --help" in code
    assert "No module named 'anomalib'" in code
