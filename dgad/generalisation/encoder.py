"""Images to embeddings, and embeddings to class logits."""

# N images, B queries, R references, S pixels a side, C channels, h w a map's grid

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dgad.features.backbone import Backbone
from dgad.features.settings import FeatureSettings


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

    def forward(self, images_N3SS: Tensor) -> Tensor:
        """uint8 images to embeddings (N, C)."""
        return self.pooled(self.backbone(images_N3SS)[0])

    def pooled(self, map_NChw: Tensor) -> Tensor:
        """The embeddings (N, C) of images with these maps."""
        return (map_NChw.mean((2, 3)) - self.centre_C) / self.scale

    @torch.no_grad()
    def standardise(self, images_N3SS: Tensor, batch_size: int = 16) -> None:
        """Fix centre and scale so that the embeddings of these images have mean 0 and root mean square 1."""
        chunks = torch.split(images_N3SS, batch_size)
        raw = torch.cat([self.backbone(chunk)[0].mean((2, 3)) for chunk in chunks])
        self.centre_C.copy_(raw.mean(0))
        self.scale.copy_((raw - self.centre_C).square().mean().sqrt().clamp_min(1e-6))


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
