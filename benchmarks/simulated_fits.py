"""Fits that take simulated time: how long, how well they do, and the records and files they leave."""

import contextlib
import dataclasses
import math
import random
from collections.abc import Mapping
from typing import Any

import torch

from dgad.evaluation.metrics import Metrics
from dgad.methods import METHODS
from dgad.records import FitKey, Record, RecordStore
from dgad.seeds import seed_for
from dgad.settings import from_dict
from dgad.storage import Storage
from tune.fits.executor import FitExecutor
from tune.fits.run import Run
from tune.fits.store import FitStore

NUM_REFERENCES = 10
NUM_SAMPLES = 120
"""Scored images a domain, as the surfaces of MVTec AD have on average."""
SCORING_S = 15.0
_SIGMA = 0.8
_QUICK_S = 5.0
"""Of methods that learn nothing."""


class NotThereError(Exception):
    """Nobody has made the record yet: it has to be waited for."""


class HeldAlready:
    """Leases of a worker that holds the fit's lease before it asks the store."""

    def hold(self, fit_id: str) -> contextlib.AbstractContextManager[object]:
        """Nothing to wait for."""
        return contextlib.nullcontext()


class SimulatedWorkbench(FitExecutor):
    """The stores of a real executor, and no data: what it would train and score is made up."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.fits = FitStore(run.fits_location, study=run.study.name, leases=HeldAlready())
        self.store = Storage(run.store)
        self.records = RecordStore(run.records_location)
        self._shared_records = RecordStore(run.shared_records_location)

    def score(
        self, key: FitKey, target: str, *, label: str, role: str, num_references: str | None = None
    ) -> tuple[Record, None]:
        """Never at once: a worker of the simulation waits first, then calls `finish`."""
        raise NotThereError

    def make_fit(self, key: FitKey) -> None:
        """Keep the fit, unless it is there."""
        self.fits.get(key, lambda: {"weight": torch.zeros(256)})

    def finish(self, key: FitKey, target: str, *, label: str, role: str, fit_s: float) -> Record:
        """Keep the record of a fit that has been scored."""
        auroc = auroc_of(key, target)
        drawn = random.Random(seed_for(key.seed, key.id, target, "scores"))
        labels = [int(i % 2) for i in range(NUM_SAMPLES)]
        record = Record(
            fit=key,
            label=label,
            role=role,
            target=target,
            num_references=NUM_REFERENCES,
            status="ok",
            metrics=Metrics(image_auroc=auroc),
            sample_ids=tuple(f"{target}/test/{'bad' if b else 'good'}/{i:03}" for i, b in enumerate(labels)),
            labels=tuple(labels),
            kinds=tuple("bad" if b else "good" for b in labels),
            image_scores=tuple(drawn.gauss(4 * (auroc - 0.5) * b, 1.0) for b in labels),
            reference_ids=tuple(f"{target}/train/good/{i:03}" for i in range(NUM_REFERENCES)),
            ms_per_image=12.0,
            fit_s=fit_s,
        )
        self.records.write(record)
        self._shared_records.write(record)
        return record

    def _num_references(self, target: str, asked: str | None = None) -> int:
        return NUM_REFERENCES


def seconds_of(key: FitKey, median_s: float) -> float:
    """How long a fit takes: lognormal, the same whoever computes it."""
    settings = from_dict(METHODS[key.method].settings_type, key.settings)
    if not METHODS[key.method].traits_of(settings).learns:
        return _QUICK_S
    drawn = random.Random(seed_for(key.seed, key.id, "seconds"))
    return drawn.lognormvariate(math.log(median_s), _SIGMA)


def auroc_of(key: FitKey, target: str) -> float:
    """A figure that the settings decide, in part, and the surface, and chance."""
    drawn = random.Random(seed_for(key.seed, key.id, target, "auroc"))
    surface = _unit(key.method, target)
    regret = _regret(key.method, key.settings)
    return min(1.0, max(0.0, 0.97 - 0.1 * surface - 0.25 * regret + drawn.gauss(0.0, 0.01)))


def _regret(method: str, settings: Mapping[str, Any]) -> float:
    """0 (the best of every setting) to 1."""
    parts = []
    for name, value in settings.items():
        if isinstance(value, float) and value > 0:
            away = (math.log10(value) + 3.0) / 3.0 - _unit(method, name)
            parts.append(min(1.0, away * away))
        else:
            parts.append(_unit(method, name, str(value)))
    return sum(parts) / max(1, len(parts))


def _unit(*names: str) -> float:
    """A number in [0, 1) that the names decide."""
    return seed_for(0, *names) / 2**63


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Luck:
    """Which workers die, by name, so that every run of the simulation has the same deaths."""

    death_rate: float
    seed: int = 0

    def dies_after(self, trial: str, fold: str, attempt: int) -> float | None:
        """The part of the fit after which its worker is killed, or None."""
        drawn = random.Random(seed_for(self.seed, trial, fold, str(attempt), "death"))
        return drawn.random() if drawn.random() < self.death_rate else None
