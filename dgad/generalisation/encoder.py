"""Images to embeddings, and embeddings to class logits."""

# N tiles, B queries, R references, H x W pixels of a tile, C channels, h w a map's grid

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dgad.features.backbone import Backbone
from dgad.features.settings import FeatureSettings
from dgad.training.tiles import count_cells, run_by_shape


class Encoder(nn.Module):
    """F of the papers: the backbone's map of one stride, averaged over its grid, on a common scale.

    How much the average varies between images depends on the weights: the root mean square is 0.38 on the
    builtin ones and 0.03 on random ones. So that one learning rate suits both, the embedding is given mean 0
    and deviation 1 once, where training starts, by `standardise`.
    """

    centre_C: Tensor
    scale: Tensor

    def __init__(self, features: FeatureSettings, stride: int, *, seed: int) -> None:
        super().__init__()
        self.backbone = Backbone(features, (stride,), seed=seed)
        self.channels = self.backbone.channels[0]
        self.register_buffer("centre_C", torch.zeros(self.channels))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """uint8 tiles to embeddings (N, C); a fourth channel is 0 for pixels that do not count."""
        return (self._mean(images_N3HW) - self.centre_C) / self.scale

    def pooled(self, map_NChw: Tensor, alpha_NHW: Tensor | None = None) -> Tensor:
        """The embeddings (N, C) of tiles with these maps, of which these pixels count; None: all."""
        return (_mean_cells(map_NChw, alpha_NHW) - self.centre_C) / self.scale

    @torch.no_grad()
    def standardise(self, stacks: Sequence[Tensor], batch_size: int = 16) -> None:
        """Fix centre and scale so that the embeddings of these tiles have mean 0 and root mean square 1."""

        def mean_all(images_N3HW: Tensor) -> list[Tensor]:
            return [torch.cat([self._mean(chunk) for chunk in torch.split(images_N3HW, batch_size)])]

        raw = torch.cat([mean_NC for (mean_NC,) in run_by_shape(mean_all, stacks)])
        self.centre_C.copy_(raw.mean(0))
        self.scale.copy_((raw - self.centre_C).square().mean().sqrt().clamp_min(1e-6))

    def _mean(self, images_N3HW: Tensor) -> Tensor:
        (map_NChw,) = self.backbone(images_N3HW[:, :3])
        return _mean_cells(map_NChw, images_N3HW[:, 3] if images_N3HW.shape[1] > 3 else None)


def _mean_cells(map_NChw: Tensor, alpha_NHW: Tensor | None) -> Tensor:
    if alpha_NHW is None:
        return map_NChw.mean((2, 3))
    counted_N1hw = count_cells(alpha_NHW, map_NChw.shape[-2:])[:, None].to(map_NChw)
    return (map_NChw * counted_N1hw).sum((2, 3)) / counted_N1hw.sum((2, 3))


class Classifier(nn.Module):
    """C of the papers: logits (B, 2) for normal and abnormal.

    Of query embeddings alone one linear layer, as published. With `pair_hidden` of query and mean
    reference embedding, joined: then with a hidden layer, because in a linear one the references would
    shift all queries of a target alike and so could not change their order.
    """

    def __init__(self, channels: int, *, pair_hidden: int | None, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = (
                nn.Linear(channels, 2)
                if pair_hidden is None
                else nn.Sequential(nn.Linear(2 * channels, pair_hidden), nn.ReLU(), nn.Linear(pair_hidden, 2))
            )

    def forward(self, query_BC: Tensor, reference_C: Tensor | None) -> Tensor:
        """Logits (B, 2); `reference_C` is None exactly where there is no `pair_hidden`."""
        if reference_C is None:
            seen: Tensor = self.layers(query_BC)
            return seen
        joined: Tensor = self.layers(torch.cat((query_BC, reference_C.expand_as(query_BC)), dim=1))
        return joined


def anomaly_logit(logits_B2: Tensor) -> Tensor:
    """Abnormal minus normal class logit, (B,); higher is more anomalous."""
    return logits_B2[:, 1] - logits_B2[:, 0]


def without_learning(classifier: Classifier, query_BC: Tensor, reference_C: Tensor | None) -> Tensor:
    """The classifier's logits (B, 2), whose gradient reaches the embeddings but not its weights."""
    fixed = {name: parameter.detach() for name, parameter in classifier.named_parameters()}
    logits: Tensor = functional_call(classifier, fixed, (query_BC, reference_C))
    return logits
