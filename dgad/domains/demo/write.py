"""Writing synthetic domains as an MVTec tree, whole or not at all."""

# S pixels a side

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dgad.domains.demo.camera import draw_shot
from dgad.domains.demo.defects import DEFECTS, KINDS
from dgad.domains.demo.surfaces import SURFACES
from dgad.errors import DataError
from dgad.files import replace_folder_atomic
from dgad.seeds import seed_for
from dgad.settings import did_you_mean, require

VISIBLE_STEP = 8
"""A pixel is marked when a channel changed by at least this many of 255 grey levels."""
_MIN_DEFECT_AREA = 24 / 128**2
"""Part of the image that a defect covers at least."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SynthesisSettings:
    """What decides every pixel of a synthetic data set, but for the seed."""

    domains: tuple[str, ...] = tuple(SURFACES)
    num_train: int = 24
    """Normal training images a domain."""
    num_good: int = 18
    """Normal test images a domain."""
    num_defective: int = 18
    """Abnormal test images a domain, dealt over its kinds of defect."""
    image_size_px: int = 128
    photometric: float = 1.0
    """How much light and colour differ between images; 0 keeps them constant."""

    def __post_init__(self) -> None:
        require(len(self.domains) > 0, "domains", "at least one surface", self.domains)
        for name in self.domains:
            hint = did_you_mean(name, SURFACES)
            require(name in SURFACES, "domains", f"among {', '.join(SURFACES)}", name + hint)
        require(len(set(self.domains)) == len(self.domains), "domains", "all different", self.domains)
        require(self.num_train >= 1, "num_train", "1 or more", self.num_train)
        require(self.num_good >= 0, "num_good", "0 or more", self.num_good)
        require(self.num_defective >= 0, "num_defective", "0 or more", self.num_defective)
        require(32 <= self.image_size_px <= 1024, "image_size_px", "32 to 1024", self.image_size_px)
        require(0 <= self.photometric <= 3, "photometric", "0 to 3", self.photometric)


def synthesize(
    destination: str | Path,
    *,
    seed: int = 0,
    domains: Sequence[str] | None = None,
    num_train: int = 24,
    num_good: int = 18,
    num_defective: int = 18,
    image_size_px: int = 128,
    photometric: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write synthetic domains into the new or empty folder `destination`; `progress` gets (done, total).

    Image number i of a kind is the same whatever the counts. On any failure nothing is left behind.
    """
    settings = SynthesisSettings(
        domains=tuple(domains) if domains is not None else tuple(SURFACES),
        num_train=num_train,
        num_good=num_good,
        num_defective=num_defective,
        image_size_px=image_size_px,
        photometric=photometric,
    )
    folder = Path(destination)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not an empty folder; give the name of a new one.")
    total = len(settings.domains) * (num_train + num_good + num_defective)
    done = 0
    try:
        with replace_folder_atomic(folder) as unfinished:
            for domain in settings.domains:
                for split, kind, index in _plan(domain, settings):
                    _write_image(unfinished / domain, seed, domain, split, kind, index, settings)
                    done += 1
                    progress(done, total)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from None


def _plan(domain: str, settings: SynthesisSettings) -> list[tuple[str, str, int]]:
    """(split, kind, index) of every image of one domain; defects are dealt over the kinds in turn."""
    kinds = KINDS[domain]
    dealt = [("test", kinds[i % len(kinds)], i // len(kinds)) for i in range(settings.num_defective)]
    train = [("train", "good", i) for i in range(settings.num_train)]
    return [*train, *(("test", "good", i) for i in range(settings.num_good)), *dealt]


def _write_image(
    folder: Path, seed: int, domain: str, split: str, kind: str, index: int, settings: SynthesisSettings
) -> None:
    photograph, mask = render(
        domain,
        kind,
        style_seed=seed_for(seed, "synthetic", domain, "style"),
        image_seed=seed_for(seed, "synthetic", domain, split, kind, str(index)),
        image_size_px=settings.image_size_px,
        photometric=settings.photometric,
    )
    _save(photograph, folder / split / kind / f"{index:03d}.png")
    if mask is not None:
        _save(mask.astype(np.uint8) * 255, folder / "ground_truth" / kind / f"{index:03d}_mask.png")


def render(
    surface_name: str,
    kind: str,
    *,
    style_seed: int,
    image_seed: int,
    image_size_px: int = 128,
    photometric: float = 1.0,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    """One photograph, uint8 RGB (S, S, 3), and for a defect the pixels it changed visibly, bool (S, S)."""
    rng = np.random.default_rng(image_seed)
    surface = SURFACES[surface_name](np.random.default_rng(style_seed), rng, image_size_px)
    shot = draw_shot(rng, image_size_px, photometric)
    flawless = shot.take(surface.pixels)
    if kind == "good":
        return flawless, None
    strength = float(rng.uniform(0.3, 1.0))
    while True:  # a defect may fall where it cannot be seen: draw again, stronger
        photograph = shot.take(DEFECTS[kind](surface, rng, strength))
        change = np.abs(photograph.astype(np.int16) - flawless.astype(np.int16)).max(axis=2)
        mask = change >= VISIBLE_STEP
        if mask.mean() >= _MIN_DEFECT_AREA:
            return photograph, mask
        strength = min(1.0, strength + 0.1)


def _save(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=4)
