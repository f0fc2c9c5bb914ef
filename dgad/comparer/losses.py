"""Eq. 2, 3 and 4 for one pyramid level; the objective sums them over levels."""

# B queries, P patches of a query

import torch
import torch.nn.functional as F
from torch import Tensor

_ATTENTION_MARGIN = 1e-6
"""Eq. 3 takes logarithms of a and 1 - a: nearer to 0 and 1 than this the loss is flat."""


def classification_loss(logit_B: Tensor, label_B: Tensor) -> Tensor:
    """Eq. 2: cross-entropy of each query's pooled logit with its label (0 or 1); scalar >= 0, mean over B."""
    return F.binary_cross_entropy_with_logits(logit_B, label_B.to(logit_B.dtype))


def attention_loss(minimum_B: Tensor, label_B: Tensor) -> Tensor:
    """Eq. 3: -y log(1 - m) - (1 - y) log m of each query's smallest co-attention m in [0, 1].

    Scalar >= 0, mean over B: an abnormal query should have a pair unlike, a normal one none.
    """
    minimum = minimum_B.clamp(_ATTENTION_MARGIN, 1 - _ATTENTION_MARGIN)
    label = label_B.to(minimum.dtype)
    return -(label * torch.log1p(-minimum) + (1 - label) * minimum.log()).mean()


def ranking_loss(score_BP: Tensor, attention_BP: Tensor, scale: float) -> Tensor:
    """Eq. 4: of two patches of a query, the one less attended to should score higher.

    The mean over unordered pairs (u, v) of w max(0, 1 + sgn(a_u - a_v) (s_u - s_v)) with
    w = scale (exp|a_u - a_v| - 1), then over B; scalar >= 0, and 0 for P < 2. Scores s and attention a
    are in [0, 1], shape (B, P) or (P,). No gradient flows to the attention: through w it would collapse.

    Since |s_u - s_v| <= 1 the hinge never clips, so the loss is linear in s: its coefficients follow from
    one sort of the attention and running sums, O(P log P) instead of O(P^2), and exactly.
    """
    if score_BP.dim() == 1:
        score_BP, attention_BP = score_BP[None], attention_BP[None]
    num_patches = score_BP.shape[1]
    if num_patches < 2:
        return (score_BP * 0).sum()
    order_BP, constant_B, coefficient_BP = _ranking_terms(attention_BP)
    linear_B = (coefficient_BP * score_BP.gather(1, order_BP).double()).sum(1)
    num_pairs = num_patches * (num_patches - 1) / 2
    return ((constant_B + linear_B).mean() * (scale / num_pairs)).to(score_BP.dtype)


@torch.no_grad()
def _ranking_terms(attention_BP: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ascending order of the attention, the sum of exp|a_u - a_v| - 1 over pairs, and each score's factor.

    With x = exp(a) - 1 and y = exp(-a) - 1, exp(a_v - a_u) - 1 = x_v + y_u + x_v y_u: no ones to cancel,
    whatever the spread of a, and exactly 0 in effect for ties, whose order therefore does not matter.
    """
    attention, order_BP = attention_BP.double().sort(dim=1)
    centred = attention - attention.mean(1, keepdim=True)
    x, y = torch.expm1(centred), torch.expm1(-centred)
    rank = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    below_y = y.cumsum(1) - y
    above_x = x.sum(1, keepdim=True) - x.cumsum(1)
    with_lower = rank * x + (1 + x) * below_y
    with_higher = (x.shape[1] - 1 - rank) * y + (1 + y) * above_x
    return order_BP, with_lower.sum(1), with_lower - with_higher
