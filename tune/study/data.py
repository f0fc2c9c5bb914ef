"""The data of a study: its own domains, and beside them those of another data set that it is tried on."""

import dataclasses
from collections.abc import Mapping, Sequence

from dgad.domains import Dataset, open_dataset
from dgad.domains.base import digest_samples, join_digests
from dgad.errors import DataError
from tune.caches.data import make_local_copy
from tune.caches.features import CachePlan
from tune.study.settings import Study


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StudyData:
    """What a study may read."""

    dataset: Dataset
    """All of it."""
    domains: tuple[str, ...]
    """The study's own: trained on, judged by, held out in turn."""
    extra_targets: tuple[str, ...]
    """Only ever scored, by winners that were fitted on all of `domains`."""

    def fingerprints(self) -> "Fingerprints":
        """Read every image and mask once, and tell what they are by sums."""
        read = {name: digest_samples(self.dataset.domains[name].samples) for name in self.dataset.domains}

        def join(names: Sequence[str]) -> str:
            return join_digests({key: d for name in names for key, d in read[name].items()})

        return Fingerprints(
            own=join(self.domains),
            extra=join(self.extra_targets) if self.extra_targets else "",
            by_domain={name: join((name,)) for name in read},
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprints:
    """What the data of a study is, by SHA-256 sums (hex) over ids and bytes of its samples."""

    own: str
    """Of the study's own domains: fits depend on no other."""
    extra: str
    """Of the other data set; empty without one."""
    by_domain: Mapping[str, str]
    """Of each domain of both, so that one that has changed can be named."""


def open_data(study: Study, location: str, cache: CachePlan | None = None) -> StudyData:
    """Open it by listing alone; `location` is where the study's own data is.

    `DataError` for a domain that is not there, or whose name both data sets have.
    """
    own = open_dataset(make_local_copy(location, cache), layout=study.layout)
    domains = {name: own.domain(name) for name in sorted(study.domains or own.domains)}
    extra = {}
    if study.extra_targets is not None:
        other = open_dataset(make_local_copy(study.extra_targets, cache))
        extra = {name: other.domain(name) for name in other.domains}
    if both := sorted(domains.keys() & extra.keys()):
        raise DataError(
            f"{location} and {study.extra_targets} both have a domain `{both[0]}`, but records are told apart"
            " by that name: rename its folder in one of them."
        )
    return StudyData(
        dataset=dataclasses.replace(own, domains=domains | extra),
        domains=tuple(domains),
        extra_targets=tuple(extra),
    )
