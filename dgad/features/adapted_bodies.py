"""Which network looks at an image: the backbone's own, or one with the statistics of a surface."""

import functools
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from dgad.domains.image_set import ImageSet
from dgad.features.adapted import AdaptedBody, replace_statistics
from dgad.features.backbone import Backbone, Body, channels_last
from dgad.features.fused import can_fuse, fuse_layers
from dgad.features.reference_sample import sample_pixels
from dgad.features.statistics import Statistics

_MAX_KEPT = 32
"""Networks with a surface's statistics in their weights, a few megabytes each."""


class AdaptedBodies:
    """The networks of one backbone, whose weights must not change any more.

    On a CPU the statistics of one surface go into the weights of the convolutions, which costs some
    milliseconds once and nothing an image. Elsewhere images of several surfaces are computed together.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._kept: OrderedDict[Statistics | None, nn.Module] = OrderedDict()

    @functools.cached_property
    def can_fold(self) -> bool:
        """Whether a network of its own for every surface is the quicker way here."""
        return can_fuse(self.backbone.body)

    @functools.cached_property
    def _adapted(self) -> AdaptedBody:
        assert self.backbone.adaptation is not None
        return AdaptedBody(self.backbone.body, self.backbone.adaptation)

    def measure(self, references: ImageSet, device: torch.device) -> Statistics | None:
        """The statistics of a surface; None where the pretrained ones hold."""
        if self.backbone.adaptation is None:
            return None
        pixels_N3HW, counted_NHW = sample_pixels(references, window_px=self.backbone.window_px)
        normalised = channels_last(self.backbone.normalise(pixels_N3HW.to(device)))
        return self._adapted.measure(normalised, None if counted_NHW is None else counted_NHW.to(device))

    def choose(self, each: Sequence[Statistics | None]) -> Body:
        """The network that normalises every image with what is given for it: None for all, or for none."""
        distinct = set(each)
        if len(distinct) > 1:
            return functools.partial(self._adapted.run, statistics=[s for s in each if s is not None])
        (own,) = distinct
        if own not in self._kept:
            body = self.backbone.body
            self._kept[own] = fuse_layers(body if own is None else replace_statistics(body, own))
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(own)
        return self._kept[own]
