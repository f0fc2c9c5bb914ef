"""Bundles and photographs for tests of serving: tiny surfaces, and methods with drawn weights."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dgad.bundle import write_bundle
from dgad.domains.base import EncodedImage
from dgad.domains.images import load_encoded
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Method
from dgad.references.domain import Upload
from serve.engine.backend import Query
from tests.dgad.methods.surfaces import SIZE, context, surface
from tests.geometries import squash

SERVABLE = tuple(name for name, method in METHODS.items() if method.traits.servable)
WIDTH_PX, HEIGHT_PX = 2 * SIZE, SIZE
"""Of a photograph: its pixels are not those that are compared."""


def fitted(name: str, image_size_px: int = SIZE) -> Method:
    """With drawn weights, and without training."""
    _, _, settings = parse_method(name)
    if getattr(settings, "num_steps", 0):
        settings = dataclasses.replace(settings, num_steps=0)
    method = METHODS[name](settings, context(image_size_px=image_size_px))
    method.fit([], seed=0)
    return method


def bundled(folder: Path, name: str = "patch_knn", *, image_size_px: int = SIZE, **settings: Any) -> Path:
    """A bundle of the method; with other settings it is another bundle."""
    method = fitted(name, image_size_px)
    if settings:
        method = METHODS[name](type(method.settings)(**settings), context())
        method.fit([], seed=0)
    write_bundle(folder, method, metrics={}, card="# Test\n", provenance={"training_domains": []})
    return folder


def photographs(count: int, period: int = 12, *, defect: bool = False, seed: int = 0) -> list[bytes]:
    """PNG files of a striped surface, twice as wide as high."""
    files = []
    for image in surface(count, period, defect=defect, seed=seed).images:
        pixels = np.repeat(image.numpy().transpose(1, 2, 0), 2, axis=1)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
        files.append(buffer.getvalue())
    return files


def large_bitmap(side_px: int, seed: int = 0) -> bytes:
    """A BMP file of grey noise: 3 bytes a pixel, made at once, and no two seeds alike."""
    rng = np.random.default_rng(seed)
    pixels = np.broadcast_to(
        rng.integers(100, 156, (side_px, side_px, 1), dtype=np.uint8), (side_px, side_px, 3)
    )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="BMP")
    return buffer.getvalue()


def uploads(files: list[bytes]) -> list[Upload]:
    """As the HTTP layer hands them on."""
    return [
        Upload(name=f"part {i}.png", data=data, width_px=WIDTH_PX, height_px=HEIGHT_PX)
        for i, data in enumerate(files)
    ]


def query(domain: str, data: bytes, *, sequence: int = 0, wants_map: bool = False) -> Query:
    """As the HTTP layer makes them."""
    loaded = load_encoded([EncodedImage(path="query.png", read=lambda: data)], squash(SIZE))
    return Query(
        domain=domain,
        sequence=sequence,
        image=loaded.images[0].numpy(),
        scale=f"squash {SIZE}",
        key=loaded.keys[0],
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        wants_map=wants_map,
    )
