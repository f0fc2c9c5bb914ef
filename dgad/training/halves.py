"""A source domain in two halves: one to train on, one held out to judge what was trained."""

import dataclasses

import numpy as np

from dgad.domains.base import Domain, Sample
from dgad.seeds import seed_for


def split_halves(domain: Domain) -> tuple[Domain, Domain]:
    """(what trains, what is held out); both have every train sample, each test image is in one of them.

    Normal and abnormal test images are halved apart, the odd one trains. Crops of one photograph stay
    together. The halves depend on the domain alone, so that every fit on a half is the same fit.
    """
    order = np.random.default_rng(seed_for(0, domain.name, "halves"))
    photographs: dict[str, list[Sample]] = {}
    for sample in sorted(domain.tests, key=lambda s: s.id):
        photographs.setdefault(sample.photograph or sample.id, []).append(sample)
    held_out: set[str] = set()
    for label in (0, 1):
        names = [n for n, crops in photographs.items() if max(s.label for s in crops) == label]
        for index in order.permutation(len(names))[: len(names) // 2]:
            held_out |= {s.id for s in photographs[names[index]]}
    training = tuple(s for s in domain.samples if s.id not in held_out)
    judging = tuple(s for s in domain.samples if s.split != "test" or s.id in held_out)
    return dataclasses.replace(domain, samples=training), dataclasses.replace(domain, samples=judging)
