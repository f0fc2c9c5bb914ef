"""Decoded domains at several scales, side by side under a bound."""

from pathlib import Path

import pytest

from dgad.domains import open_dataset
from dgad.domains.geometry import Geometry
from tune.fits import decoded
from tune.fits.decoded import DecodedDomains

SMALL, LARGE = Geometry(scale="fit 32"), Geometry(scale="fit 64")
SMALL_BYTES = 14 * 3 * 32 * 32  # 6 normals, 4 + 4 test images


def test_scales_are_kept_side_by_side(surfaces: Path) -> None:
    domains = DecodedDomains(open_dataset(str(surfaces)), max_bytes=10**9)
    first = domains.source("grid", "all", SMALL)
    other = domains.source("grid", "all", LARGE)
    assert domains.source("grid", "all", SMALL) is first
    assert (first.images.sizes[0], other.images.sizes[0]) == ((32, 32), (64, 64))
    assert domains.used_bytes == 5 * SMALL_BYTES


def test_the_least_recently_used_is_let_go_and_the_last_stays_whatever_its_size(
    surfaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "_FEWEST_BYTES", 0)
    domains = DecodedDomains(open_dataset(str(surfaces)), max_bytes=2 * SMALL_BYTES)
    grid, tile = (domains.source(name, "all", SMALL) for name in ("grid", "tile"))
    assert domains.source("grid", "all", SMALL) is grid
    domains.source("woven", "all", SMALL)
    assert domains.source("grid", "all", SMALL) is grid
    assert domains.source("tile", "all", SMALL) is not tile
    target = domains.target("grid", "all", LARGE)
    assert domains.used_bytes > 2 * SMALL_BYTES
    assert domains.target("grid", "all", LARGE) is target
