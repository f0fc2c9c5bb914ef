"""Procedural surfaces to train the decoder on: their evidence is computed once, as it is in scoring."""

# B queries, S pixels a side, h w cells of the finest level

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.contextual.decoder import Decoder
from dgad.contextual.evidence import Evidence
from dgad.contextual.objective import surface_loss
from dgad.contextual.settings import ContextualSettings
from dgad.domains.image_set import ImageSet
from dgad.domains.procedural import draw_domain
from dgad.seeds import seed_for

Observe = Callable[[ImageSet, ImageSet], Evidence]
"""(references, queries) to the queries' evidence, in their order."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """The evidence of one procedural surface's queries, in half precision."""

    evidence: Evidence
    covered_Bhw: Tensor
    """Share of each patch's area that the defect covers."""
    label_B: Tensor


def draw_surface(settings: ContextualSettings, observe: Observe, *, seed: int, size_px: int) -> Surface:
    """One procedural surface, its normals references first and then queries."""
    num_references = settings.references_per_domain
    domain = draw_domain(
        seed,
        image_size_px=size_px,
        num_normal=num_references + settings.normals_per_domain,
        num_abnormal=settings.abnormals_per_domain,
    )
    images = domain.images.unbind(0)
    evidence = observe(ImageSet(images=images[:num_references]), ImageSet(images=images[num_references:]))
    height, width = evidence.plain_Bhw.shape[-2:]
    covered = F.adaptive_avg_pool2d(domain.masks[num_references:, None].float(), (height, width))[:, 0]
    return Surface(
        evidence=_convert(evidence, torch.float16),
        covered_Bhw=covered,
        label_B=domain.labels[num_references:],
    )


class DecoderTraining:
    """Steps over a pool of surfaces."""

    def __init__(
        self,
        decoder: Decoder,
        settings: ContextualSettings,
        surfaces: list[Surface],
        *,
        device: torch.device,
        seed: int,
    ) -> None:
        self._decoder, self._settings, self._surfaces, self._device = decoder, settings, surfaces, device
        self._generator = torch.Generator().manual_seed(seed_for(seed, "surfaces"))

    def step_loss(self) -> Tensor:
        """The mean loss of `domains_per_step` surfaces, drawn without replacement."""
        settings = self._settings
        order = torch.randperm(len(self._surfaces), generator=self._generator)
        losses = []
        for index in order[: settings.domains_per_step].tolist():
            surface = self._surfaces[index]
            logit_Bhw = self._decoder(_convert(surface.evidence, torch.float32, self._device))
            losses.append(
                surface_loss(
                    logit_Bhw,
                    surface.covered_Bhw.to(self._device),
                    surface.label_B.to(self._device),
                    top_fraction=settings.top_fraction,
                    image_weight=settings.image_weight,
                )
            )
        return torch.stack(losses).mean()


def _convert(evidence: Evidence, dtype: torch.dtype, device: torch.device | None = None) -> Evidence:
    device = device or torch.device("cpu")
    return Evidence(
        plain_Bhw=evidence.plain_Bhw.to(device, dtype),
        residuals=tuple(r.to(device, dtype) for r in evidence.residuals),
        measures=tuple(m.to(device, dtype) for m in evidence.measures),
    )
