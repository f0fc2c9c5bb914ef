"""Generated photographs for tests of reference stores."""

import io

import numpy as np
from PIL import Image

from dgad.references.domain import Upload
from dgad.references.duplicates import fingerprint
from dgad.references.photographs import id_of


def picture(number: int, side_px: int = 64) -> Image.Image:
    """A photograph of one grainy surface; each number another one."""
    grain = np.random.default_rng(number).integers(60, 200, (side_px, side_px, 3), dtype=np.uint8)
    return Image.fromarray(grain)


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    """As a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def upload_of(image: Image.Image, name: str = "part.png", kind: str = "PNG", **options: int) -> Upload:
    """As HTTP hands it over."""
    return Upload(
        name=name,
        data=encoded(image, kind, **options),
        width_px=image.width,
        height_px=image.height,
        fingerprint=fingerprint(image),
    )


def upload(number: int, name: str | None = None) -> Upload:
    """One of `picture`."""
    return upload_of(picture(number), name or f"part {number}.png")


def id_number(number: int) -> str:
    """The id of `upload(number)`."""
    return id_of(upload(number).data)
