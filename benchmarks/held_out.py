"""Write the procedural families never trained on as a data set: `python benchmarks/held_out.py DIR`.

One domain a family with every kind of defect and exact masks, as an MVTec tree that `dgad evaluate` and
`benchmarks/backbone.py` read.
"""

import argparse
from pathlib import Path

from PIL import Image

from dgad.domains.procedural import DEFECTS, HELD_OUT_FAMILIES, draw_domain
from dgad.files import replace_folder_atomic
from dgad.seeds import seed_for


def write(
    folder: Path, *, seed: int, num_train: int, num_good: int, num_defective: int, image_size_px: int
) -> None:
    """Write every held-out family, whole or not at all."""
    with replace_folder_atomic(folder) as temporary:
        for family in HELD_OUT_FAMILIES:
            domain = draw_domain(
                seed_for(seed, "held-out data set", family),
                image_size_px=image_size_px,
                num_normal=num_train + num_good,
                num_abnormal=num_defective,
                families=(family,),
                defects=tuple(DEFECTS),
            )
            counts: dict[str, int] = {}
            for i, (image, mask, kind) in enumerate(
                zip(domain.images, domain.masks, domain.kinds, strict=True)
            ):
                defective = bool(domain.labels[i])
                place = f"test/{kind}" if defective else "train/good" if i < num_train else "test/good"
                name = f"{counts.setdefault(place, 0):03d}"
                counts[place] += 1
                save(image.permute(1, 2, 0).numpy(), temporary / family / place / f"{name}.png")
                if defective:
                    mask_file = temporary / family / "ground_truth" / kind / f"{name}_mask.png"
                    save(mask.numpy().astype("uint8") * 255, mask_file)


def save(pixels: object, path: Path) -> None:
    """As PNG, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-train", type=int, default=20)
    parser.add_argument("--num-good", type=int, default=16)
    parser.add_argument("--num-defective", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=128)
    options = parser.parse_args()
    write(
        options.folder,
        seed=options.seed,
        num_train=options.num_train,
        num_good=options.num_good,
        num_defective=options.num_defective,
        image_size_px=options.image_size,
    )


if __name__ == "__main__":
    main()
