"""What the service answers is what `dgad.load_comparer(...).enroll(...).score(...)` answers."""

from pathlib import Path

import numpy as np
import pytest

import dgad
from dgad.calibration.threshold import CalibrationScheme
from dgad.references.domain import DomainSettings
from serve.engine.backend import Outcome
from serve.engine.scorer import SurfaceScorer
from serve.engine.store_writer import StoreWriter
from serve.settings import Limits
from tests.serve.support.surfaces import SERVABLE, bundled, photographs, query, uploads


@pytest.mark.parametrize("name", SERVABLE)
@pytest.mark.parametrize(
    ("scheme", "rate", "coreset"),
    [("leave_one_out", None, None), ("split", 0.25, None), ("leave_one_out", 0.5, 4)],
)
def test_every_figure_is_the_same(
    name: str, scheme: CalibrationScheme, rate: float | None, coreset: int | None, tmp_path: Path
) -> None:
    bundle = bundled(tmp_path / "bundle", name)
    references = photographs(6)
    queries = [*photographs(2, seed=5), *photographs(2, defect=True, seed=9)]
    for i, data in enumerate(references):
        (tmp_path / f"reference {i}.png").write_bytes(data)
    for i, data in enumerate(queries):
        (tmp_path / f"query {i}.png").write_bytes(data)

    writer = StoreWriter(bundle, str(tmp_path / "store"), device="cpu", limits=Limits())
    settings = DomainSettings(calibration=scheme, false_alarm_rate=rate, coreset=coreset)
    writer.create("carpet", settings, author="test")
    writer.enroll("carpet", uploads(references), author="test", idempotency_key=None)
    scorer = SurfaceScorer(bundle, str(tmp_path / "store"), device="cpu")
    answers = scorer.score([query("carpet", data, wants_map=True) for data in queries])

    surface = dgad.load_comparer(bundle, device="cpu").enroll(
        sorted(tmp_path.glob("reference *.png"))[::-1],
        calibration=scheme,
        false_alarm_rate=rate,
        coreset=coreset,
    )
    found = surface.score(sorted(tmp_path.glob("query *.png")))
    for scored, answer in zip(found, answers, strict=True):
        assert isinstance(answer, Outcome), answer
        assert scored.score == answer.score
        assert scored.p_value == answer.p_value
        assert scored.verdict == answer.verdict
        assert scored.threshold == answer.threshold.value
        assert scored.false_alarm_rate == answer.threshold.false_alarm_rate
        assert scored.regions == answer.regions
        assert (scored.heat_low, scored.heat_high) == (answer.heat_low, answer.heat_high)
        if answer.heat is not None:
            assert scored.pixel_scores is not None
            np.testing.assert_array_equal(scored.pixel_scores, answer.heat)
        assert surface.guarantee == answer.threshold.guarantee
        assert surface.lowest_rate == answer.threshold.lowest_rate
