"""Which pictures a report shows: a method's best, median and worst cases."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dgad.errors import RecordError
from dgad.evaluation.heatmaps import strip_png
from dgad.storage import Storage

if TYPE_CHECKING:  # a report that only reads should not wait for torch
    from dgad.evaluation.scoring import TargetDomain, TargetScores

FOLDER_NAME = "examples"
CAPTIONS_FILE = "captions.json"
_NUM_EACH = 2
"""Pictures of each role."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One strip of the gallery."""

    path: Path
    caption: str


def write_examples(storage: Storage, target: "TargetDomain", scores: "TargetScores", *, label: str) -> str:
    """Write strips and captions to `examples/<target>/` of a run's storage, replacing those there; its name.

    The defects with the highest, the median and the lowest scores, and the normal images with the highest.
    Captions come last: with them the examples are complete.
    """
    heat = scores.pixel_maps
    low, high = (0.0, 0.0) if heat is None else _scale(heat)
    folder = f"{FOLDER_NAME}/{target.name}"
    captions = {}
    for number, (role, index) in enumerate(_chosen(scores)):
        image = target.queries.images[index].permute(1, 2, 0).numpy()
        own = None if heat is None else heat[index]
        kind = scores.kinds[index]
        stem = scores.sample_ids[index].rsplit("/", 1)[-1]
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{number:02d}-{role}-{kind}-{stem}") + ".png"
        storage.write(f"{folder}/{name}", strip_png(image, target.masks[index], own, low=low, high=high))
        rank = int((scores.image_scores > scores.image_scores[index]).sum()) + 1
        captions[name] = (
            f"{role}: {kind}, {stem}; score {scores.image_scores[index]:.3g},"
            f" rank {rank} of {len(scores.labels)} ({label})"
        )
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


def _scale(maps: Sequence[np.ndarray]) -> tuple[float, float]:
    """One scale for a target's pictures: the median pixel stays clear, the top thousandth is hot."""
    pixels = np.concatenate([own[~np.isnan(own)] for own in maps])
    low, high = np.quantile(pixels, [0.5, 0.999])
    return float(low), float(high)
