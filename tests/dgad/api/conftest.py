"""A small bundle and a surface enrolled with it, made once for all tests of the front door."""

from pathlib import Path

import pytest
import torch

import dgad
from dgad.bundle import write_bundle
from dgad.features.cache import FeatureCache
from dgad.methods import METHODS
from dgad.methods.base import Context


def write_small_bundle(folder: Path, *, seed: int = 0, method: str = "patch_knn") -> Path:
    """A bundle of a method on drawn weights and 32 px, which enrols and scores in milliseconds."""
    features = dgad.FeatureSettings(weights="none", scale="squash 32")
    context = Context(features=features, device=torch.device("cpu"), cache=FeatureCache())
    made = METHODS[method](next(iter(METHODS[method].presets.values())), context)
    made.fit((), seed=seed)
    write_bundle(folder, made, metrics={}, card="# For tests\n", provenance={"training_domains": []})
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `patch_knn`."""
    return write_small_bundle(tmp_path_factory.mktemp("front_door") / "bundle")


@pytest.fixture(scope="session")
def comparer(bundle: Path) -> dgad.Comparer:
    """The method in that bundle."""
    return dgad.load_comparer(bundle, device="cpu")


@pytest.fixture(scope="session")
def good(demo_data: Path) -> Path:
    """A folder of 12 normal images of one surface, 64 px each."""
    return demo_data / "wood" / "train" / "good"


@pytest.fixture(scope="session")
def parts(demo_data: Path) -> list[Path]:
    """Normal and abnormal images of the same surface."""
    return sorted((demo_data / "wood" / "test").glob("*/*.png"))


@pytest.fixture(scope="session")
def surface(comparer: dgad.Comparer, good: Path) -> dgad.Surface:
    """Those normal images, enrolled."""
    return comparer.enroll(good)
