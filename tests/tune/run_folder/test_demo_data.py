"""The demo's data: two surfaces as a small camera sees them, two of a larger one with defects as small."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset
from tune.run_folder import demo_data
from tune.study.settings import make_study


def test_half_of_the_demo_is_wide_with_small_defects_and_all_of_it_seeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_data, "_DEMO_COUNTS", demo_data._Counts(train=1, good=1, defective=2))
    study = make_study({})
    read = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        with demo_data.provide_data(study, folder) as data:
            kept = Path(demo_data.keep_demo_data(data, study, folder))
        read.append({str(p.relative_to(kept)): p.read_bytes() for p in kept.rglob("*") if p.is_file()})
    assert read[0] == read[1]
    with demo_data.provide_data(study, tmp_path / "a") as again:
        assert again == str(kept).replace("/b/", "/a/"), "what is in the run folder is not made again"
    assert check_dataset(str(kept)).problems == ()
    extents, sizes = {}, {}
    for name, domain in open_dataset(str(kept)).domains.items():
        extents[name] = [
            d["extent_px"] for d in json.loads((kept / name / "defects.json").read_text()).values()
        ]
        sizes[name] = study.features.geometry.scaled_size(
            *Image.open(io.BytesIO(domain.tests[0].image.read())).size[::-1]
        )
    assert sizes == {"grid": (96, 96), "leather": (160, 208), "marble": (96, 96), "wood": (160, 208)}
    assert all(6 <= extent <= 24 for name in ("leather", "wood") for extent in extents[name])
