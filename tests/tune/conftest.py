"""Small data and one embedded Ray for all tests of the search."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.embedded import LocalRay, start_embedded_ray
from dgad.domains.demo import synthesize

DOMAINS = ("grid", "tile", "woven")
NUM_NORMALS = 6


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three synthetic domains of 64 px with 6 normals and 4 + 4 test images each."""
    place = tmp_path_factory.mktemp("data") / "surfaces"
    synthesize(place, domains=DOMAINS, num_train=NUM_NORMALS, num_good=4, num_defective=4, size_px=64)
    return place


@pytest.fixture(scope="session")
def running_ray() -> Iterator[LocalRay]:
    """Ray with two CPUs; commands under test find it running and leave it."""
    with start_embedded_ray(num_cpus=2, dashboard=False) as running:
        yield running
