"""An order of references that does not depend on how they were handed over."""

import hashlib

from dgad.domains.image_set import ImageSet


def content_order(images: ImageSet) -> list[int]:
    """Indices that sort images by their pixels, so that what follows ignores the order they came in."""
    digests = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images.images]
    return sorted(range(len(digests)), key=lambda i: digests[i])
