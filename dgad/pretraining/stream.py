"""Endless training episodes: step n of a seed is the same whoever draws it, so nothing has to be stored."""

# D domains, N images of a domain (queries first, then references), S pixels a side

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dgad.domains.procedural import draw_domain
from dgad.pretraining.settings import PretrainSettings
from dgad.seeds import seed_for


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Episodes:
    """The episodes of one step."""

    images: Tensor
    """uint8 RGB (D, N, 3, S, S)."""
    masks: Tensor
    """bool (D, queries, S, S)."""
    labels: Tensor
    """int64 (queries,), the same in every episode: normals first."""


def draw_episodes(settings: PretrainSettings, step: int, device: torch.device) -> Episodes:
    """The episodes of step number `step`, drawn on `device`."""
    images, masks = [], []
    normals, queries = settings.normals, settings.queries
    for i in range(settings.domains_per_step):
        domain = draw_domain(
            seed_for(settings.seed, "pretraining", str(step), str(i)),
            image_size_px=settings.image_size_px,
            num_normal=settings.references + normals,
            num_abnormal=settings.abnormals,
            device=device,
        )
        # The domain's normals are queries and references in turn; its abnormal images come last.
        total = len(domain.labels)
        order = [
            *range(normals),
            *range(total - settings.abnormals, total),
            *range(normals, total - settings.abnormals),
        ]
        images.append(domain.images[order])
        masks.append(domain.masks[order[:queries]])
    labels = torch.tensor([0] * normals + [1] * settings.abnormals, device=device)
    return Episodes(images=torch.stack(images), masks=torch.stack(masks), labels=labels)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Arrays:
    """Episodes on their way from a worker, as arrays, which go through its pipe.

    A tensor would be handed over by a Unix socket below TMPDIR, whose path may be too long for one.
    """

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int64]


class _Steps(Dataset[_Arrays]):
    def __init__(self, settings: PretrainSettings, first: int, last: int) -> None:
        self.settings, self.first, self.last = settings, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> _Arrays:
        drawn = draw_episodes(self.settings, self.first + index, torch.device("cpu"))
        return _Arrays(images=drawn.images.numpy(), masks=drawn.masks.numpy(), labels=drawn.labels.numpy())


def stream_episodes(
    settings: PretrainSettings, *, first: int, last: int, device: torch.device, workers: int
) -> Iterator[Episodes]:
    """The episodes of steps `first` to `last` - 1, in order; none where `last` is not above `first`.

    With `workers` > 0 that many processes draw them on the CPU ahead of the training; with 0 they are
    drawn on `device` itself, which is right for a GPU.
    """
    if workers == 0 or last <= first:
        for step in range(first, last):
            yield draw_episodes(settings, step, device)
        return
    loader = DataLoader(
        _Steps(settings, first, last),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        multiprocessing_context="spawn",
    )
    for drawn in loader:
        yield Episodes(
            images=torch.from_numpy(drawn.images).to(device),
            masks=torch.from_numpy(drawn.masks).to(device),
            labels=torch.from_numpy(drawn.labels).to(device),
        )
