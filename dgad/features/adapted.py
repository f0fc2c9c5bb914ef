"""A network whose BatchNorms take their statistics from the references of a surface, in one pass.

AdaBN (Li et al., 2016): mean and variance of every BatchNorm are moved, wholly or in part, from those of the
pretraining to those of the images that are to be compared with. Every layer is measured on what the layers
before it, already adapted, make of the references, so that one pass is enough.
"""

# N images (rows) of G groups, C_l channels of BatchNorm l, C of all together, h x w cells

import contextlib
import copy
import dataclasses
import threading
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgad.features.joined_body import JoinedBody
from dgad.features.statistics import Adaptation, Statistics


class AdaptedBody:
    """A copy of a network that shares its tensors; calls from several threads are serialised.

    The network itself stays as it is. Weights that change later change here too.
    """

    def __init__(self, network: nn.Module, adaptation: Adaptation) -> None:
        own = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
        self._network = copy.deepcopy(network, own)  # the tensors stay where they are
        self._norms: list[_AdaptedNorm] = []
        self._lock = threading.Lock()
        self.adaptation = adaptation
        firsts = _first_norms(self._network)
        for name, module in list(self._network.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                at = sum(norm.num_channels for norm in self._norms)
                norm = _AdaptedNorm(module, at=at, is_first=module in firsts)
                self._norms.append(norm)
                self._network.set_submodule(name, norm)

    def run(self, pixels_N3HW: Tensor, statistics: Sequence[Statistics]) -> list[Tensor]:
        """Maps of normalised images, each normalised with the statistics given for it."""
        distinct = list(dict.fromkeys(statistics))
        place = {found: i for i, found in enumerate(distinct)}
        given = _Given(
            mean_GC=torch.stack([s.mean_C for s in distinct]).to(pixels_N3HW.device),
            variance_GC=torch.stack([s.variance_C for s in distinct]).to(pixels_N3HW.device),
            group_N=torch.tensor([place[s] for s in statistics], device=pixels_N3HW.device),
        )
        return self._run(pixels_N3HW, given)

    def run_episodes(
        self,
        pixels_N3HW: Tensor,
        group_N: Tensor,
        is_reference_N: Tensor,
        counted_NHW: Tensor | None = None,
    ) -> list[Tensor]:
        """Maps of normalised images of several episodes in one pass; gradients flow through all of it.

        Every group, numbered from 0, is normalised with the statistics of its own references, of which it
        needs at least one. `counted_NHW` (bool) says which pixels count; None: all.
        """
        measured = _Measured(
            adaptation=self.adaptation,
            groups=tuple(group_N == g for g in range(int(group_N.max()) + 1)),
            is_reference_N=is_reference_N,
            group_N=group_N,
            counted_N1HW=None if counted_NHW is None else counted_NHW[:, None].to(pixels_N3HW),
        )
        return self._run(pixels_N3HW, measured)

    @torch.no_grad()
    def measure(self, pixels_N3HW: Tensor, counted_NHW: Tensor | None = None) -> Statistics:
        """The statistics of one surface from normalised images of its references."""
        group_N = torch.zeros(len(pixels_N3HW), dtype=torch.long, device=pixels_N3HW.device)
        measured = _Measured(
            adaptation=self.adaptation,
            groups=(group_N == 0,),
            is_reference_N=group_N == 0,
            group_N=group_N,
            counted_N1HW=None if counted_NHW is None else counted_NHW[:, None].to(pixels_N3HW),
            wanted=sum(norm.is_first for norm in self._norms) if self.adaptation.only_first else None,
        )
        with contextlib.suppress(_Enough):
            self._run(pixels_N3HW, measured)
        # A layer that is not adapted, or that no level needs, keeps what it had.
        pairs = [measured.found.get(norm.at, norm.pretrained) for norm in self._norms]
        return Statistics(
            mean_C=torch.cat([mean for mean, _ in pairs]), variance_C=torch.cat([var for _, var in pairs])
        )

    def _run(self, pixels_N3HW: Tensor, source: "_Given | _Measured") -> list[Tensor]:
        with self._lock:
            for norm in self._norms:
                norm.source = source
            try:
                maps = self._network(pixels_N3HW)
            finally:
                for norm in self._norms:
                    norm.source = None
        assert isinstance(maps, list)
        return maps


@torch.no_grad()
def replace_statistics(network: nn.Module, statistics: Statistics) -> nn.Module:
    """A copy of the network with the given statistics in its BatchNorms; all other tensors are shared."""
    own = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    made = copy.deepcopy(network, own)
    at = 0
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            span = slice(at, at + module.num_features)
            at = span.stop
            assert module.running_mean is not None
            module.running_mean = statistics.mean_C[span].to(module.running_mean)
            module.running_var = statistics.variance_C[span].to(module.running_mean)
    return made


def _first_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The first BatchNorm, of joined networks that of each."""
    bodies = network.bodies if isinstance(network, JoinedBody) else [network]
    each = ([m for m in body.modules() if isinstance(m, nn.BatchNorm2d)] for body in bodies)
    return [norms[0] for norms in each if norms]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Given:
    """Statistics that are known."""

    mean_GC: Tensor
    variance_GC: Tensor
    group_N: Tensor

    def statistics(self, norm: "_AdaptedNorm", map_NChw: Tensor) -> tuple[Tensor, Tensor]:
        del map_NChw
        span = slice(norm.at, norm.at + norm.num_channels)
        return self.mean_GC[:, span], self.variance_GC[:, span]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Measured:
    """Statistics that are those of each group's references."""

    adaptation: Adaptation
    groups: tuple[Tensor, ...]
    """bool (N,) each, the rows of a group."""
    is_reference_N: Tensor
    group_N: Tensor
    counted_N1HW: Tensor | None
    wanted: int | None = None
    """Layers after which nothing else is asked for; None: the maps are."""
    found: dict[int, tuple[Tensor, Tensor]] = dataclasses.field(default_factory=dict)
    """Of the first group, by the place of a layer's channels."""

    def statistics(self, norm: "_AdaptedNorm", map_NChw: Tensor) -> tuple[Tensor, Tensor]:
        if self.adaptation.only_first and not norm.is_first:
            return norm.pretrained[0][None], norm.pretrained[1][None]
        found = []
        for rows in self.groups:
            chosen = rows & self.is_reference_N
            counted = None if self.counted_N1HW is None else self.counted_N1HW[chosen]
            found.append(self.adaptation.blend(norm.pretrained, _moments(map_NChw[chosen], counted)))
        self.found[norm.at] = found[0]
        if len(self.found) == self.wanted:
            raise _Enough
        return torch.stack([mean for mean, _ in found]), torch.stack([variance for _, variance in found])


class _Enough(Exception):  # noqa: N818 - nothing is wrong
    """All that was to be measured is."""


def _moments(map_NChw: Tensor, counted_N1HW: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and variance (C_l,) of the cells that count, each by its share of pixels that do."""
    if counted_N1HW is None:
        variance_C, mean_C = torch.var_mean(map_NChw, dim=(0, 2, 3), correction=0)
        return mean_C, variance_C
    height, width = map_NChw.shape[-2:]
    weight_N1hw = F.adaptive_avg_pool2d(counted_N1HW, (height, width))
    weight_N1hw = weight_N1hw / weight_N1hw.sum().clamp_min(1e-12)
    mean_C = (map_NChw * weight_N1hw).sum((0, 2, 3))
    variance_C = ((map_NChw - mean_C[:, None, None]).square() * weight_N1hw).sum((0, 2, 3))
    return mean_C, variance_C


class _AdaptedNorm(nn.Module):
    """A BatchNorm, and the activation that timm puts behind it, as a scale and a shift a row."""

    def __init__(self, norm: nn.BatchNorm2d, *, at: int, is_first: bool) -> None:
        super().__init__()
        self.norm = norm
        self.at = at
        self.is_first = is_first
        self.num_channels = norm.num_features
        self.source: _Given | _Measured | None = None
        # timm's own kind does both in one module.
        self.after = nn.Sequential(
            *(after for name in ("drop", "act") if isinstance(after := getattr(norm, name, None), nn.Module))
        )

    @property
    def pretrained(self) -> tuple[Tensor, Tensor]:
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        return self.norm.running_mean, self.norm.running_var

    def forward(self, map_NChw: Tensor) -> Tensor:
        assert self.source is not None
        mean_GC, variance_GC = self.source.statistics(self, map_NChw)
        scale_GC = self.norm.weight * torch.rsqrt(variance_GC + self.norm.eps)
        shift_GC = self.norm.bias - mean_GC * scale_GC
        if len(scale_GC) == 1:
            scale, shift = scale_GC, shift_GC
        else:
            scale, shift = scale_GC[self.source.group_N], shift_GC[self.source.group_N]
        made: Tensor = self.after(torch.addcmul(shift[..., None, None], map_NChw, scale[..., None, None]))
        return made
