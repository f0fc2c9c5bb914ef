"""The vocabulary of data: an encoded image, a sample, a domain, a data set."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dgad.domains.problems import Problem
from dgad.domains.region import RegionOfInterest
from dgad.errors import DataError
from dgad.settings import did_you_mean


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EncodedImage:
    """Where the bytes of one image or mask file come from, read only when asked for."""

    path: str
    """What a message should name: a file path, or `file.parquet#row`."""
    read: Callable[[], bytes]
    bit_depth: int | None = None
    """Declared for its values where these have more than 8 bits a channel; None: their type's full range."""
    scale: str | None = None
    """Declared for its domain, as `Geometry.scale` has it; None: what the experiment looks at all with."""
    region: RegionOfInterest | None = None
    """Declared for its domain: outside of it nothing is scored or enrolled."""

    @property
    def declared(self) -> str:
        """All that is declared of it, as text; empty where nothing is."""
        parts = []
        if self.bit_depth is not None:
            parts.append(f"bit_depth {self.bit_depth}")
        if self.scale is not None:
            parts.append(f"scale {self.scale}")
        if self.region is not None:
            parts.append(f"region {json.dumps(self.region.to_json())}")
        return "; ".join(parts)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One labelled image of one domain."""

    id: str
    """Unique in its data set and stable across layouts: `domain/split/kind/stem`."""
    domain: str
    split: str
    """`train` or `test`."""
    kind: str
    """`good`, or the name of the defect."""
    image: EncodedImage
    mask: EncodedImage | None
    """Exact defect pixels, or None: then only the image-level label is known."""
    photograph: str | None = None
    """The photograph a crop was cut from, where the data set says so; else None."""

    @property
    def label(self) -> int:
        """Whether the sample is abnormal: 0 normal, 1 abnormal."""
        return int(self.kind != "good")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """One textured surface: as a *source* all its samples train, as a *target* it only asks."""

    name: str
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...] = ()
    """What was wrong where it was read; with a fatal one it cannot be used."""

    @property
    def bit_depth(self) -> int | None:
        """What is declared for its images; None: nothing."""
        return self.samples[0].image.bit_depth if self.samples else None

    @property
    def scale(self) -> str | None:
        """The scale that is declared for its images; None: none of its own."""
        return self.samples[0].image.scale if self.samples else None

    @property
    def region(self) -> RegionOfInterest | None:
        """The region of interest that is declared for its images; None: all of them."""
        return self.samples[0].image.region if self.samples else None

    @property
    def train_normals(self) -> tuple[Sample, ...]:
        """What a target offers as references."""
        return tuple(s for s in self.samples if s.split == "train" and s.label == 0)

    @property
    def tests(self) -> tuple[Sample, ...]:
        """What a target scores; what a source adds to its train normals."""
        return tuple(s for s in self.samples if s.split == "test")


def declare(
    domain: Domain,
    *,
    bit_depth: int | None = None,
    scale: str | None = None,
    region: RegionOfInterest | None = None,
) -> Domain:
    """The domain with that declared of all its images; None declares nothing.

    Masks are black or not at any bit depth, and follow the size of their images.
    """
    facts = {"bit_depth": bit_depth, "scale": scale, "region": region}
    given: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}
    if not given:
        return domain
    samples = (dataclasses.replace(s, image=dataclasses.replace(s.image, **given)) for s in domain.samples)
    return dataclasses.replace(domain, samples=tuple(samples))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Domains by name, in name order."""

    location: str
    domains: Mapping[str, Domain]
    layout: str = ""
    """The name of the layout it was read with, where it was read."""

    def domain(self, name: str) -> Domain:
        """The named domain; `DataError` names those there are, or what is wrong with this one."""
        if name not in self.domains:
            raise DataError(
                f"No domain `{name}` in {self.location}.{did_you_mean(name, self.domains)}"
                f" It has: {', '.join(self.domains)}."
            )
        found = self.domains[name]
        check_usable(found.problems, self.location)
        return found

    def fingerprint(self) -> str:
        """SHA-256 over every sample's id, bytes and what is declared of it; the same for any layout."""
        return fingerprint([s for d in self.domains.values() for s in d.samples])


def check_usable(problems: Sequence[Problem], location: str) -> None:
    """Raise `DataError` with the first fatal problem, and where all of them are told."""
    fatal = [p for p in problems if p.severity == "fatal"]
    if fatal:
        more = f" ({len(fatal) - 1} more such problems)" if len(fatal) > 1 else ""
        raise DataError(
            f"{fatal[0].path} {fatal[0].message}{more}; `dgad domains check {location}` lists every problem."
        )


def fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 (hex) over ids, bytes and what is declared of the samples, in id order."""
    return join_digests(digest_samples(samples))


def digest_samples(samples: Sequence[Sample]) -> dict[str, bytes]:
    """What stands for each sample's content, by its id: sums of image and mask, and what is declared."""
    return {
        s.id: hashlib.sha256(s.image.read()).digest()
        + s.image.declared.encode()
        + (hashlib.sha256(s.mask.read()).digest() if s.mask else b"-")
        for s in samples
    }


def join_digests(digests: Mapping[str, bytes]) -> str:
    """The fingerprint of the samples that `digest_samples` has read."""
    whole = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        whole.update(name.encode() + b"\0" + digest)
    return whole.hexdigest()
