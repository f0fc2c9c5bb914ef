"""The networks of Epi-FCR (Li et al. 2019, ICCV) and its two losses."""

# B queries of one domain, D domains, C channels

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from dgad.generalisation.batches import Batch, embed
from dgad.generalisation.encoder import Classifier, Encoder, without_learning
from dgad.generalisation.losses import epi_fcr_loss, summed_cross_entropy
from dgad.seeds import seed_for


class EpiFcrNetworks(nn.Module):
    """Shared F and C, a pair (F_d, C_d) for every domain, and C_rand, which never learns.

    Every F_d starts as a copy of F; every classifier is drawn for itself.
    """

    def __init__(
        self,
        encoder: Encoder,
        classifier: Classifier,
        *,
        num_domains: int,
        pair_hidden: int | None,
        seed: int,
    ) -> None:
        super().__init__()

        def drawn(*names: str) -> Classifier:
            new = Classifier(encoder.channels, pair_hidden=pair_hidden, seed=seed_for(seed, *names))
            return new.to(next(encoder.parameters()).device)

        self.encoder = encoder
        self.classifier = classifier
        self.domain_encoders = nn.ModuleList(copy.deepcopy(encoder) for _ in range(num_domains))
        self.domain_classifiers = nn.ModuleList(drawn("domain", str(d)) for d in range(num_domains))
        self.random_classifier = drawn("random").requires_grad_(False)

    def domain_parameters(self) -> Iterator[nn.Parameter]:
        """What the domain-network step updates."""
        yield from self.domain_encoders.parameters()
        yield from self.domain_classifiers.parameters()

    def aggregate_parameters(self) -> Iterator[nn.Parameter]:
        """What the aggregate step updates: F and C."""
        yield from self.encoder.parameters()
        yield from self.classifier.parameters()

    def domain_loss(self, batches: Sequence[Batch]) -> Tensor:
        """Sum over domains of the cross-entropy of C_d on F_d, each on its own domain alone."""
        networks = zip(self.domain_encoders, self.domain_classifiers, batches, strict=True)
        logits = [classify(*embed(encode, [batch])[0]) for encode, classify, batch in networks]
        return summed_cross_entropy(logits, [b.labels_B for b in batches])

    def warm_up_loss(self, batches: Sequence[Batch]) -> Tensor:
        """Sum over domains of the cross-entropy of C on F."""
        logits = [self.classifier(*embedded) for embedded in embed(self.encoder, batches)]
        return summed_cross_entropy(logits, [b.labels_B for b in batches])

    def aggregate_loss(
        self,
        batches: Sequence[Batch],
        *,
        val: int,
        trn: int,
        random_weight: float,
        classifier_weight: float,
        feature_weight: float,
    ) -> Tensor:
        """The warm-up's loss with the episode's terms; its gradient reaches F and C only.

        In the episode, domain `val` is seen by the network of another domain, `trn`: its features must
        serve C, and its classifier must be served by F.
        """
        embedded = embed(self.encoder, batches)
        with torch.no_grad():
            (foreign,) = embed(self.domain_encoders[trn], [batches[val]])
        foreign_classifier = self.domain_classifiers[trn]
        assert isinstance(foreign_classifier, Classifier)
        return epi_fcr_loss(
            [self.classifier(*e) for e in embedded],
            [self.random_classifier(*e) for e in embedded],
            [b.labels_B for b in batches],
            self.classifier(*foreign),
            without_learning(foreign_classifier, *embedded[val]),
            batches[val].labels_B,
            random_weight=random_weight,
            classifier_weight=classifier_weight,
            feature_weight=feature_weight,
        )


def draw_episode(num_domains: int, generator: torch.Generator) -> tuple[int, int]:
    """`val` and `trn`: two domains, never the same."""
    val, trn = torch.randperm(num_domains, generator=generator)[:2].tolist()
    return val, trn
