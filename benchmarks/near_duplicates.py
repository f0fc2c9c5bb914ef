"""How well thumbnails tell a photograph taken again from the same one stored again.

    python benchmarks/near_duplicates.py --data DIR [--domains A,B] [--num-images 60]

Per domain: how many of its photographs, which are all unlike, are flagged as near duplicates of an earlier
one (wrongly), and how many when they come again encoded as JPEG 70, halved, 10% brighter, or all of it.
"""

import argparse
import io

from PIL import Image, ImageEnhance

from dgad.domains import open_dataset
from dgad.domains.decoding import decode_image
from dgad.references.duplicates import NEAR, fingerprint, near_duplicates


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
    print(f"near duplicates correlate by {NEAR} or more; shares that are flagged as such:")
    print(f"{'domain':<16}{'images':>7}{'unlike':>10}" + "".join(f"{change:>10}" for change in CHANGES))
    for domain in dataset.domains.values():
        if wanted and domain.name not in wanted:
            continue
        samples = [s for s in domain.samples if s.label == 0][: arguments.num_images]
        images = [decode_image(s.image.read(), s.image.path) for s in samples]
        known = [fingerprint(i) for i in images]
        unlike = near_duplicates(known, 0, [])
        copies = [i for i, near in enumerate(unlike) if near is not None]
        shares = [len(copies) / len(images)]
        for change in CHANGES.values():
            # Each alone, after all the others.
            found = [near_duplicates([*known, fingerprint(change(i))], len(known), copies)[0] for i in images]
            shares.append(sum(near is not None for near in found) / len(images))
        print(f"{domain.name:<16}{len(images):>7}" + "".join(f"{share:>10.3f}" for share in shares))


if __name__ == "__main__":
    main()
