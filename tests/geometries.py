"""Geometries by one word, for tests of what is not about geometry."""

from dgad.domains.geometry import Geometry


def squash(size_px: int) -> Geometry:
    """Images of that many pixels square."""
    return Geometry(scale=f"squash {size_px}")
