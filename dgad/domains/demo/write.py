"""Writing synthetic domains as an MVTec tree, whole or not at all."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dgad.domains.demo.defects import KINDS
from dgad.domains.demo.look import Look, make_look
from dgad.domains.demo.photograph import Mask, Pixels, measure_extent, render
from dgad.domains.demo.surfaces import SURFACES
from dgad.errors import DataError
from dgad.files import replace_folder_atomic
from dgad.seeds import seed_for
from dgad.settings import did_you_mean, require

DEFECTS_FILE = "defects.json"
"""In a domain's folder: the size of the defect in each photograph."""


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
    look: Look = dataclasses.field(default_factory=Look)

    def __post_init__(self) -> None:
        require(len(self.domains) > 0, "domains", "at least one surface", self.domains)
        for name in self.domains:
            hint = did_you_mean(name, SURFACES)
            require(name in SURFACES, "domains", f"among {', '.join(SURFACES)}", name + hint)
        require(len(set(self.domains)) == len(self.domains), "domains", "all different", self.domains)
        require(self.num_train >= 1, "num_train", "1 or more", self.num_train)
        require(self.num_good >= 0, "num_good", "0 or more", self.num_good)
        require(self.num_defective >= 0, "num_defective", "0 or more", self.num_defective)


def synthesize(
    destination: str | Path,
    *,
    seed: int = 0,
    domains: Sequence[str] | None = None,
    num_train: int = 24,
    num_good: int = 18,
    num_defective: int = 18,
    size_px: int | tuple[int, int] = 128,
    defect_px: tuple[int, int] | None = None,
    contrast: float = 1.0,
    variation: float | None = None,
    photometric: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write synthetic domains into the new or empty folder `destination`; `progress` gets (done, total).

    `size_px` is a side or (width, height); `defect_px`, `contrast`, `variation` and `photometric` are as
    in `Look`, but that `variation` is 1 by default where `defect_px` is given. The size of every defect is
    in `defects.json` in the domain's folder. Image number i of a kind is the same whatever the counts. On
    any failure nothing is left behind.
    """
    settings = SynthesisSettings(
        domains=tuple(domains) if domains is not None else tuple(SURFACES),
        num_train=num_train,
        num_good=num_good,
        num_defective=num_defective,
        look=make_look(
            size_px=size_px,
            defect_px=defect_px,
            contrast=contrast,
            variation=variation,
            photometric=photometric,
        ),
    )
    folder = Path(destination)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not an empty folder; give the name of a new one.")
    total = len(settings.domains) * (num_train + num_good + num_defective)
    done = 0
    try:
        with replace_folder_atomic(folder) as unfinished:
            for domain in settings.domains:
                sizes = {}
                for split, kind, index in _plan(domain, settings):
                    name = f"{split}/{kind}/{index:03d}.png"
                    mask = _write_image(unfinished / domain, seed, domain, split, kind, index, settings.look)
                    if mask is not None:
                        sizes[name] = {"extent_px": measure_extent(mask), "area_px": int(mask.sum())}
                    done += 1
                    progress(done, total)
                if sizes:
                    text = json.dumps(sizes, indent=1)
                    (unfinished / domain / DEFECTS_FILE).write_text(text + "\n", encoding="utf-8")
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from None


def _plan(domain: str, settings: SynthesisSettings) -> list[tuple[str, str, int]]:
    """(split, kind, index) of every image of one domain; defects are dealt over the kinds in turn."""
    kinds = KINDS[domain]
    dealt = [("test", kinds[i % len(kinds)], i // len(kinds)) for i in range(settings.num_defective)]
    train = [("train", "good", i) for i in range(settings.num_train)]
    return [*train, *(("test", "good", i) for i in range(settings.num_good)), *dealt]


def _write_image(
    folder: Path, seed: int, domain: str, split: str, kind: str, index: int, look: Look
) -> Mask | None:
    photograph, mask = render(
        domain,
        kind,
        style_seed=seed_for(seed, "synthetic", domain, "style"),
        image_seed=seed_for(seed, "synthetic", domain, split, kind, str(index)),
        look=look,
    )
    _save(photograph, folder / split / kind / f"{index:03d}.png")
    if mask is not None:
        _save(mask.astype(np.uint8) * 255, folder / "ground_truth" / kind / f"{index:03d}_mask.png")
    return mask


def _save(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=4)
