"""How well thumbnails tell a photograph taken again from the same one stored again.

    python benchmarks/near_duplicates.py --data DIR [--domains A,B] [--num-images 60]

Per domain: the highest correlations between unlike photographs, and the lowest between a photograph and
itself encoded as JPEG 70, halved, 10% brighter, or all of it.
"""

import argparse
import io
import itertools

import numpy as np
from PIL import Image, ImageEnhance

from dgad.domains import open_dataset
from dgad.domains.decoding import decode_image
from dgad.references.duplicates import NEAR, correlations, fingerprint


def _encoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def _halved(image: Image.Image) -> Image.Image:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


CHANGES = {
    "jpeg70": lambda image: _encoded(image, 70),
    "halved": _halved,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "all": lambda image: _encoded(_halved(ImageEnhance.Brightness(image).enhance(1.1)), 80),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--domains", help="comma-separated; default all")
    parser.add_argument("--num-images", type=int, default=60)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    wanted = arguments.domains.split(",") if arguments.domains else None
    print(f"flagged from {NEAR} on")
    print(
        f"{'domain':<16}{'images':>7}{'unlike p99':>12}{'unlike max':>12}"
        + "".join(f"{c:>10}" for c in CHANGES)
    )
    for domain in dataset.domains.values():
        if wanted and domain.name not in wanted:
            continue
        samples = [s for s in domain.samples if s.label == 0][: arguments.num_images]
        images = [decode_image(s.image.read(), s.image.path) for s in samples]
        prints = [fingerprint(i) for i in images]
        unlike = [float(correlations(a, [b])[0]) for a, b in itertools.combinations(prints, 2)]
        alike = {
            name: min(
                float(correlations(fingerprint(change(i)), [p])[0])
                for i, p in zip(images, prints, strict=True)
            )
            for name, change in CHANGES.items()
        }
        print(
            f"{domain.name:<16}{len(images):>7}{np.quantile(unlike, 0.99):>12.3f}{max(unlike):>12.3f}"
            + "".join(f"{v:>10.3f}" for v in alike.values())
        )


if __name__ == "__main__":
    main()
