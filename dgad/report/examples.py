"""Which pictures a report shows: a method's best, median and worst cases."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dgad.domains.base import Sample
from dgad.errors import RecordError
from dgad.evaluation.heatmaps import Floats, strip_png
from dgad.report.crops import Photograph, make_crops, read_photograph
from dgad.storage import Storage

if TYPE_CHECKING:  # a report that only reads should not wait for torch
    from dgad.evaluation.scoring import TargetDomain, TargetScores

FOLDER_NAME = "examples"
CAPTIONS_FILE = "captions.json"
_NUM_EACH = 2
"""Pictures of each role."""
_NATIVE = "_native"
"""At the end of the name of a picture of crops, so that it follows its strip."""
_MAX_SCALED = 20_000_000
"""Map values that decide the colours of a target's pictures."""
_WHOLE_PX = 480
"""Longer side of a photograph that is shown whole; page and folder stay small whatever the camera gives."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One strip of the gallery."""

    path: Path
    caption: str

    @property
    def shows(self) -> str:
        """What the picture is of, for who cannot see it."""
        if self.path.stem.endswith(_NATIVE):
            return "Crops at the photograph's own pixels, each plain and under the heatmap"
        return "The whole photograph, the outline of its defect where one is labelled, and the heatmap"


def write_examples(
    storage: Storage,
    target: "TargetDomain",
    scores: "TargetScores",
    *,
    label: str,
    samples: Mapping[str, Sample] = MappingProxyType({}),
) -> str:
    """Write strips and captions to `examples/<target>/` of a run's storage, replacing those there; its name.

    The defects with the highest, the median and the lowest scores, and the normal images with the highest.
    `samples` by id give the photographs of which native crops are shown beside the whole. Captions come
    last: with them the examples are complete.
    """
    heat = scores.pixel_maps
    low, high = (0.0, 0.0) if heat is None else _scale(heat)
    folder = f"{FOLDER_NAME}/{target.name}"
    captions = {}
    for number, (role, index) in enumerate(_chosen(scores)):
        own = None if heat is None else np.asarray(heat[index])
        kind = scores.kinds[index]
        sample_id = scores.sample_ids[index]
        stem = sample_id.rsplit("/", 1)[-1]
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{number:02d}-{role}-{kind}-{stem}")
        photograph = read_photograph(samples[sample_id]) if sample_id in samples else None
        shown = photograph or _scaled(target, index)
        storage.write(f"{folder}/{name}.png", _make_strip(shown, own, low, high))
        rank = int((scores.image_scores > scores.image_scores[index]).sum()) + 1
        captions[f"{name}.png"] = (
            f"{role}: {kind}, {stem}; score {scores.image_scores[index]:.3g},"
            f" rank {rank} of {len(scores.labels)} ({label})"
        )
        crops = None if photograph is None else make_crops(photograph, own, low=low, high=high)
        if crops is not None:
            storage.write(f"{folder}/{name}{_NATIVE}.png", crops.png)
            captions[f"{name}{_NATIVE}.png"] = f"{role}: {kind}, {stem}; {crops.told}"
    text = json.dumps(captions, indent=2, ensure_ascii=False)
    storage.write(f"{folder}/{CAPTIONS_FILE}", text.encode())
    kept = {f"{folder}/{name}" for name in (*captions, CAPTIONS_FILE)}
    for old in storage.sizes(folder):
        if old not in kept:
            storage.delete(old)
    return folder


def read_examples(run_folder: Path | str) -> dict[str, tuple[Example, ...]]:
    """The strips by target, in name order; a strip without a caption shows its file name."""
    root = Path(run_folder) / FOLDER_NAME
    result = {}
    for folder in sorted(p for p in root.glob("*") if p.is_dir() and not p.name.startswith(".")):
        path = folder / CAPTIONS_FILE
        try:
            captions = json.loads(path.read_bytes()) if path.is_file() else {}
        except ValueError as error:
            raise RecordError(f"{path} is damaged: {error}.") from error
        strips = sorted(folder.glob("*.png"))
        result[folder.name] = tuple(Example(path=p, caption=captions.get(p.name, p.stem)) for p in strips)
    return result


def _chosen(scores: "TargetScores") -> list[tuple[str, int]]:
    order = np.argsort(-scores.image_scores, kind="stable")
    defects = [int(i) for i in order if scores.labels[i] == 1]
    normals = [int(i) for i in order if scores.labels[i] == 0]
    middle = max(0, (len(defects) - _NUM_EACH) // 2)
    roles = {
        "highest defect": defects[:_NUM_EACH],
        "lowest defect": defects[::-1][:_NUM_EACH],
        "median defect": defects[middle : middle + _NUM_EACH],
        "highest normal": normals[:_NUM_EACH],
    }
    chosen: dict[int, str] = {}  # of few images the extremes come first, and none comes twice
    for role, indices in roles.items():
        for index in indices:
            chosen.setdefault(index, role)
    shown = ("highest defect", "median defect", "lowest defect", "highest normal")
    return sorted(((role, i) for i, role in chosen.items()), key=lambda pair: shown.index(pair[0]))


def _scaled(target: "TargetDomain", index: int) -> Photograph:
    """The query as methods saw it, where its photograph is not at hand."""
    return Photograph(image=target.queries.images[index].permute(1, 2, 0).numpy(), mask=target.masks[index])


def _make_strip(shown: Photograph, heat: Floats | None, low: float, high: float) -> bytes:
    from dgad.domains.images import resize_mask  # torch takes seconds to import, and reading needs none

    image, mask = shown.image, shown.mask
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer > _WHOLE_PX:
        height, width = (max(1, round(side * _WHOLE_PX / longer)) for side in (height, width))
        small = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
        image = np.asarray(small, dtype=np.uint8)
        mask = None if mask is None else resize_mask(mask, (height, width))
    heat = None if heat is None else _shrink_heat(heat, (height, width))
    return strip_png(image, mask, heat, low=low, high=high)


def _shrink_heat(heat_hw: Floats, grid: tuple[int, int]) -> Floats:
    """The highest of what each cell of a coarser grid covers: a mean would hide a small hot place."""
    for axis in (0, 1):
        old, new = heat_hw.shape[axis], grid[axis]
        if new < old:
            heat_hw = np.fmax.reduceat(heat_hw, np.arange(new) * old // new, axis=axis)
    return heat_hw


def _scale(maps: Sequence[Floats]) -> tuple[float, float]:
    """One scale for a target's pictures: the median pixel stays clear, the top thousandth is hot."""
    step = max(1, sum(own.size for own in maps) // _MAX_SCALED)  # a sample is enough of large maps
    # Of what is scored: of a narrow region of interest regular steps may meet nothing.
    values = np.concatenate([np.asarray(own)[np.isfinite(own)][::step] for own in maps])
    if not len(values):
        return 0.0, 0.0
    low, high = np.quantile(values, [0.5, 0.999])
    return float(low), float(high)
