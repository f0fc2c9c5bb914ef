"""What training domains state of themselves goes into a bundle's provenance."""

import json
import shutil
from pathlib import Path

from tests.tune.helpers import run_on
from tune.results.summarise import _declared


def test_a_bundle_is_told_the_scale_and_the_region_of_its_training_domains(
    surfaces: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(surfaces, tmp_path / "data")
    region = {"polygons": [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]]}
    (data / "grid/domain.json").write_text(json.dumps({"scale": "0.5", "region": region}))
    run = run_on(data, tmp_path / "run")
    assert _declared(run, ("grid", "tile")) == {"grid": {"scale": "0.5", "region": region}}
    assert _declared(run, ()) == {}
