"""The meta-comparer's heads: what is learnt about one pair of patches.

Every head's logit has one common form, which the streaming in `pairwise` and `tiles` relies on:

    logit = sum_h output_h relu(a_h + b_h + distance_h d) + slope d + bias,    d = |q - r| (L2)

with a from the query alone and b from the reference alone. The MLP of Eq. 1 has it exactly, because
W [q; r] = W_q q + W_r r. So a patch is projected once, not once a pair, and serving stores projections.
"""

# Q queries, K references, C channels, H hidden units, D projection width

import abc
import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor, nn

from dgad.settings import require

HeadName = Literal["mlp", "distance", "mlp_difference"]
Init = Literal["difference", "random"]

_BIAS_AT_START = -1.6
"""With it a difference-initialised head answers 0 where q and r differ by 1 (RMS) a channel."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PairForm:
    """The learnt numbers of the common form; a part that a head lacks is None.

    A projection holds H hidden units first, then, where the head sees the distance, the patch itself.
    """

    output_H: Tensor | None = None
    distance_H: Tensor | None = None
    slope: Tensor | None = None
    bias: Tensor

    @property
    def num_hidden(self) -> int:
        """H; 0 without an MLP."""
        return 0 if self.output_H is None else self.output_H.shape[0]

    @property
    def sees_distance(self) -> bool:
        """Projections end with the patch itself."""
        return self.distance_H is not None or self.slope is not None


def pair_logits(query_D: Tensor, reference_D: Tensor, form: PairForm) -> Tensor:
    """Logit of each pair of projections, leading dimensions broadcast; differentiable everywhere.

    Holds one number a pair and hidden unit: for chosen pairs and small tiles only.
    """
    num_hidden = form.num_hidden
    logit = form.bias
    if form.sees_distance:
        offset = query_D[..., num_hidden:] - reference_D[..., num_hidden:]
        distance = torch.linalg.vector_norm(offset, dim=-1)  # its gradient at 0 is 0, not NaN
    if form.slope is not None:
        logit = logit + form.slope * distance
    if form.output_H is not None:
        hidden = query_D[..., :num_hidden] + reference_D[..., :num_hidden]
        if form.distance_H is not None:
            hidden = hidden + distance[..., None] * form.distance_H
        logit = logit + hidden.relu() @ form.output_H
    return logit


class PairHead(nn.Module, abc.ABC):
    """A learnt comparison of a query patch with a reference patch."""

    @abc.abstractmethod
    def project_query(self, query_QC: Tensor) -> Tensor:
        """What a query brings to every pair, shape (Q, D)."""

    @abc.abstractmethod
    def project_reference(self, reference_KC: Tensor) -> Tensor:
        """What a reference brings to every pair, shape (K, D)."""

    @abc.abstractmethod
    def form(self) -> PairForm:
        """The rest of the head, still attached to its parameters."""

    def forward(self, query_C: Tensor, reference_C: Tensor) -> Tensor:
        """Logit of each pair of patches, leading dimensions broadcast."""
        return pair_logits(self.project_query(query_C), self.project_reference(reference_C), self.form())


class MlpHead(PairHead):
    """MLP([q, r]) of Eq. 1 before its sigmoid: one hidden layer with ReLU."""

    def __init__(
        self,
        channels: int,
        hidden: int,
        init: Init = "difference",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if init == "difference":
            # The head starts as an L1 distance after a random rotation: a nearest neighbour to learn from.
            require(hidden % 2 == 0, "hidden", "even for the difference initialisation", hidden)
            half = torch.randn(hidden // 2, channels, generator=generator) / math.sqrt(channels)
            query = torch.cat((half, -half))
            reference, inner = -query, torch.zeros(hidden)
            output, bias = torch.full((hidden,), 4.0 / hidden), torch.tensor(_BIAS_AT_START)
        else:
            # As nn.Linear draws its weights: uniform within 1 / sqrt(number of inputs).
            query, reference, inner = (
                _uniform((hidden, channels), 2 * channels, generator),
                _uniform((hidden, channels), 2 * channels, generator),
                _uniform((hidden,), 2 * channels, generator),
            )
            output, bias = _uniform((hidden,), hidden, generator), _uniform((), hidden, generator)
        self.query_weight_HC = nn.Parameter(query)
        self.reference_weight_HC = nn.Parameter(reference)
        self.hidden_bias_H = nn.Parameter(inner)
        self.output_H = nn.Parameter(output)
        self.bias = nn.Parameter(bias)

    def project_query(self, query_QC: Tensor) -> Tensor:
        """W_q q plus the hidden bias, shape (Q, H)."""
        return nn.functional.linear(query_QC, self.query_weight_HC, self.hidden_bias_H)

    def project_reference(self, reference_KC: Tensor) -> Tensor:
        """W_r r, shape (K, H)."""
        return nn.functional.linear(reference_KC, self.reference_weight_HC)

    def form(self) -> PairForm:
        """Give the form by which pairs are scored: output weights and bias."""
        return PairForm(output_H=self.output_H, bias=self.bias)


class DistanceHead(PairHead):
    """scale |q - r| - offset with a learnt scale > 0: a nearest neighbour (for `min`), calibrated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(-_BIAS_AT_START / math.sqrt(channels))))
        self.bias = nn.Parameter(torch.tensor(_BIAS_AT_START))

    def project_query(self, query_QC: Tensor) -> Tensor:
        """The patch itself, shape (Q, C)."""
        return query_QC

    def project_reference(self, reference_KC: Tensor) -> Tensor:
        """The patch itself, shape (K, C)."""
        return reference_KC

    def form(self) -> PairForm:
        """Give the form by which pairs are scored: slope and bias."""
        return PairForm(slope=self.log_scale.exp(), bias=self.bias)


class DifferenceMlpHead(MlpHead):
    """MLP([q, r, |q - r|]): the MLP of Eq. 1 that also sees the L2 distance.

    It starts as `MlpHead` does, blind to the distance, and learns how much the distance counts.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        init: Init = "difference",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(channels, hidden, init, generator=generator)
        self.distance_H = nn.Parameter(torch.zeros(hidden))

    def project_query(self, query_QC: Tensor) -> Tensor:
        """Hidden units, then the patch, shape (Q, H + C)."""
        return torch.cat((super().project_query(query_QC), query_QC), dim=-1)

    def project_reference(self, reference_KC: Tensor) -> Tensor:
        """Hidden units, then the patch, shape (K, H + C)."""
        return torch.cat((super().project_reference(reference_KC), reference_KC), dim=-1)

    def form(self) -> PairForm:
        """Output weights, distance weights and bias."""
        return PairForm(output_H=self.output_H, distance_H=self.distance_H, bias=self.bias)


def make_head(
    name: HeadName, channels: int, hidden: int, init: Init, *, generator: torch.Generator | None = None
) -> PairHead:
    """The head of that name; `distance` has neither hidden units nor anything drawn."""
    if name == "distance":
        return DistanceHead(channels)
    kind = MlpHead if name == "mlp" else DifferenceMlpHead
    return kind(channels, hidden, init, generator=generator)


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator | None) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(fan_in)
