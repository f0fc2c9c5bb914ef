"""The networks of EISNet (Wang et al. 2020, ECCV) and their loss."""

# N queries of all domains, E embedding width

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgad.generalisation.batches import Batch, embed
from dgad.generalisation.encoder import Classifier, Encoder
from dgad.generalisation.jigsaw import NUM_PERMUTATIONS, draw_puzzles, permutations, shuffle_tiles
from dgad.generalisation.losses import eisnet_loss
from dgad.generalisation.metric import EmbeddingQueue, move_average, triplet_loss
from dgad.seeds import seed_for
from dgad.training.tiles import run_by_shape

_EMBEDDING_WIDTH = 128


class EisnetNetworks(nn.Module):
    """Shared encoder with class, jigsaw and metric heads; the averaged encoder and its queue beside them."""

    def __init__(self, encoder: Encoder, classifier: Classifier, *, queue_size: int, seed: int) -> None:
        super().__init__()
        device = next(encoder.parameters()).device
        self.encoder = encoder
        self.classifier = classifier
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "heads"))
            self.jigsaw_head = nn.Linear(encoder.channels, NUM_PERMUTATIONS).to(device)
            metric_head = nn.Linear(encoder.channels, _EMBEDDING_WIDTH).to(device)
        self.metric = nn.ModuleDict({"encoder": encoder, "head": metric_head})
        self.averaged = copy.deepcopy(self.metric).requires_grad_(False)
        self.queue = EmbeddingQueue(queue_size, _EMBEDDING_WIDTH, device)
        self._puzzles = torch.Generator().manual_seed(seed_for(seed, "puzzles") % 2**63)
        self._negatives = torch.Generator().manual_seed(seed_for(seed, "negatives") % 2**63)

    def update_average(self, decay: float) -> None:
        """Once the trained weights have changed."""
        move_average(self.averaged, self.metric, decay)

    def loss(
        self,
        batches: Sequence[Batch],
        *,
        identity_probability: float,
        jigsaw_weight: float,
        margin: float,
        num_negatives: int,
        triplet_weight: float,
    ) -> Tensor:
        """Of one step. The trained encoder sees puzzles, the averaged one the same images in order.

        References are never shuffled. The queue takes this step's embeddings before triplets are formed.
        """
        sizes = [len(b.labels_B) for b in batches]
        ordered = [b.queries_B3HW for b in batches]
        labels_N = torch.cat([b.labels_B for b in batches])
        puzzle_N = draw_puzzles(len(labels_N), identity_probability, self._puzzles)
        orders = torch.split(permutations()[puzzle_N], sizes)
        shuffled = [shuffle_tiles(queries, order) for queries, order in zip(ordered, orders, strict=True)]
        embedded = embed(
            self.encoder,
            [
                Batch(queries_B3HW=s, labels_B=b.labels_B, references_R3HW=b.references_R3HW)
                for s, b in zip(shuffled, batches, strict=True)
            ],
        )
        query_NC = torch.cat([query_BC for query_BC, _ in embedded])
        with torch.no_grad():
            averaged = run_by_shape(lambda stack: [self.averaged["encoder"](stack)], ordered)
            averaged_NC = torch.cat([embedded for (embedded,) in averaged])
            key_NE = F.normalize(self.averaged["head"](averaged_NC), dim=1)
        self.queue.push(key_NE, labels_N)
        triplet = triplet_loss(
            F.normalize(self.metric["head"](query_NC), dim=1),
            key_NE,
            labels_N,
            self.queue,
            margin=margin,
            num_negatives=num_negatives,
            generator=self._negatives,
        )
        return eisnet_loss(
            torch.cat([self.classifier(*e) for e in embedded]),
            labels_N,
            self.jigsaw_head(query_NC),
            puzzle_N.to(labels_N.device),
            triplet,
            jigsaw_weight=jigsaw_weight,
            triplet_weight=triplet_weight,
        )

    def trained_parameters(self) -> list[nn.Parameter]:
        """Encoder and heads, each once; nothing of the averaged encoder."""
        parts = (self.metric, self.classifier, self.jigsaw_head)
        return [p for part in parts for p in part.parameters()]
