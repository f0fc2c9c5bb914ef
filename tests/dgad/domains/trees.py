"""Small data sets on disk for the tests of this folder."""

from pathlib import Path

import numpy as np
from PIL import Image


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def noise(name: str, size: tuple[int, int] = (24, 20)) -> np.ndarray:
    """Grey noise that depends on the name alone."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.integers(0, 256, size, dtype=np.uint8)


def mask(size: tuple[int, int] = (24, 20)) -> np.ndarray:
    marked = np.zeros(size, dtype=np.uint8)
    marked[5:9, 4:8] = 255
    return marked


def mvtec_domain(
    root: Path,
    name: str,
    *,
    train: str = "good",
    good: str = "good",
    bad: str = "scratch",
    mask_name: str = "{}_mask.png",
) -> Path:
    """A domain of 2 train normals, 1 test normal and 2 defects with masks."""
    folder = root / name
    for i in range(2):
        save(folder / "train" / train / f"{i:03d}.png", noise(f"{name}train{i}"))
        save(folder / "test" / bad / f"{i:03d}.png", noise(f"{name}bad{i}"))
        save(folder / "ground_truth" / bad / mask_name.format(f"{i:03d}"), mask())
    save(folder / "test" / good / "000.png", noise(f"{name}good"))
    return folder


def mvtec_tree(root: Path, *names: str) -> Path:
    for name in names or ("Alpha", "beta"):
        mvtec_domain(root, name)
    return root
