"""The cache that a node's workers share: what it is asked for, and that no score depends on it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dgad.features.backbone import Backbone
from dgad.methods import METHODS
from dgad.settings import to_dict
from tests.conftest import Run as Call
from tests.tune.helpers import run_on
from tune.caches.features import CachePlan, find_features_folder, open_cache, plan_cache
from tune.fits.executor import FitExecutor
from tune.fits.run import Run

FROZEN: Mapping[str, Any] = {
    **to_dict(METHODS["comparer"].presets["robust"]),
    "backbone_mode": "frozen",
    "num_steps": 2,
    "num_reference_patches": 32,
    "max_memory_patches": 64,
}
FINE_TUNED: Mapping[str, Any] = {**FROZEN, "backbone_mode": "fine_tuned"}
AGG: Mapping[str, Any] = {**to_dict(METHODS["agg"].presets["default"]), "num_steps": 2}


def scored(run: Run, method: str, settings: Mapping[str, Any]) -> tuple[float, ...]:
    """Scores of the target `tile` by a fit on `grid` and `woven`, in a process of its own as it were."""
    key = run.fit_key(method, settings, ("grid", "woven"))
    record = FitExecutor(run).record(key, "tile", label=method, role="inner")
    assert record.status == "ok", record.error
    return record.image_scores


def with_cache(run: Run, folder: Path) -> Run:
    return dataclasses.replace(run, disk_cache=CachePlan(folder=folder, max_bytes=2**30))


def num_files(folder: Path) -> int:
    return len(list(folder.glob("*/*.arrow")))


@pytest.mark.parametrize(("method", "settings"), [("comparer", FROZEN), ("patch_knn", {})])
def test_scores_are_the_same_without_a_cache_and_with_a_cold_and_a_warm_one(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, settings: Mapping[str, Any]
) -> None:
    num_seen = [0]
    forward = Backbone.forward

    def counted(self: Backbone, images: Any, body: Any = None) -> Any:
        num_seen[0] += len(images)
        return forward(self, images, body)

    monkeypatch.setattr(Backbone, "forward", counted)
    cache = tmp_path / "cache"
    results, seen = [], []
    for name in ("without", "cold", "warm"):
        run = run_on(surfaces, tmp_path / name)
        # Else an episode's maps are normalised with its own references, and no other episode has the like.
        run = dataclasses.replace(run, study=dataclasses.replace(run.study, normalisation="pretrained"))
        num_seen[0] = 0
        results.append(scored(run if name == "without" else with_cache(run, cache), method, settings))
        seen.append(num_seen[0])
    assert results[0] == results[1] == results[2]
    num_timed = 8  # every query is scored by itself too, as on a line
    assert seen[0] == seen[1] > seen[2] == num_timed
    assert num_files(cache) > 0


@pytest.mark.parametrize(("method", "settings"), [("comparer", FINE_TUNED), ("agg", AGG)])
def test_what_a_fit_has_learnt_never_gets_in(
    surfaces: Path, tmp_path: Path, method: str, settings: Mapping[str, Any]
) -> None:
    run = with_cache(run_on(surfaces, tmp_path / "run"), tmp_path / "cache")
    scored(run, method, settings)
    again, _ = FitExecutor(run).score(
        run.fit_key(method, settings, ("grid", "woven")), "tile", label=method, role="inner"
    )
    assert again.status == "ok"  # loaded from its stored weights
    assert num_files(tmp_path / "cache") == 0


def test_another_version_of_the_code_or_kind_of_device_finds_nothing(tmp_path: Path) -> None:
    plan = CachePlan(folder=tmp_path, max_bytes=2**30)
    kept_by = [
        cache.made_by
        for version, device in (("1", "cpu"), ("2", "cpu"), ("1", "cuda:0"), ("1", "cuda:1"))
        if (cache := open_cache(plan, code_version=version, device=device))
    ]
    assert len(kept_by) == 4
    assert len(set(kept_by)) == 3
    assert kept_by[2] == kept_by[3]


def test_the_folder_is_the_users_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan_cache(None, 10) == CachePlan(folder=None, max_bytes=10 * 2**30)
    named = plan_cache(tmp_path / "new", 0.5)
    assert named == CachePlan(folder=tmp_path / "new", max_bytes=2**29)
    assert not (tmp_path / "new").exists()
    assert plan_cache(None, 0) is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_features_folder() == tmp_path / "dgad" / "features"
    monkeypatch.setenv("HOME", "/home/me")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert find_features_folder() == Path("/home/me/.cache/dgad/features")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--cache", "{file}/cache"), "must be a folder to write into, but"),
        (("--cache-gib", "-1"), "`cache_gib` must be 0 (no cache on disk) or more, but got -1.0."),
        (("--cache-gib", "nan"), "`cache_gib` must be 0 (no cache on disk) or more, but got nan."),
    ],
)
def test_a_cache_that_cannot_be_had_is_one_sentence_before_anything_starts(
    run: Call, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    (tmp_path / "file").touch()
    done = run("launch", *(o.format(file=tmp_path / "file") for o in options), script="dgad-tune")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
