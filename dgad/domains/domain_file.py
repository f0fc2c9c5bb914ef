"""`domain.json`: what a data set states of one of its domains, in the domain's own folder."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from dgad.domains.decoding import decode_mask, read_file
from dgad.domains.geometry import parse_scale
from dgad.domains.problems import Problem
from dgad.domains.region import RegionOfInterest
from dgad.domains.wide_values import check_bit_depth
from dgad.errors import DataError, ImageError, SettingsError
from dgad.files import broken_link
from dgad.settings import from_dict

DOMAIN_FILE = "domain.json"
"""Optional: an object with the fields of `DomainFacts`."""
REGION_FILE = "region.png"
"""Optional: the region of interest as a mask, of the photographs' aspect ratio; what counts is not black."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DomainFacts:
    """What must be known of a domain's images beside the files themselves."""

    bit_depth: int | None = None
    """Of the values in files of more than 8 bits a channel, 8 to 32; None: their type's full range."""
    scale: str | None = None
    """At which they are looked at, as `Geometry.scale`; None: at that of the experiment."""
    region: RegionOfInterest | None = None
    """Outside of which nothing is scored or enrolled; None: all of every photograph counts."""

    def __post_init__(self) -> None:
        check_bit_depth(self.bit_depth)
        if self.scale is not None:
            parse_scale(self.scale)


def declaring(bit_depth: int) -> str:
    """How to declare a bit depth, as the end of a sentence."""
    return f'declare that with {{"bit_depth": {bit_depth}}} in {DOMAIN_FILE} in its folder, before packing'


RegionLike = RegionOfInterest | Mapping[str, Any] | str | os.PathLike[str]
"""A region of interest, its JSON, or the path of a JSON file or of a mask."""


def read_region(given: RegionLike) -> RegionOfInterest:
    """A region of interest however it was given; `DataError` or `ImageError` for what is none."""
    if isinstance(given, RegionOfInterest):
        return given
    if isinstance(given, Mapping):
        return RegionOfInterest.from_json(given)
    path = os.fspath(given)
    data = read_file(path)
    if not path.lower().endswith(".json"):
        return RegionOfInterest.from_mask(decode_mask(data, path))
    try:
        return RegionOfInterest.from_json(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); mend it, or give a mask.") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_domain_file(folder: str) -> tuple[DomainFacts, tuple[Problem, ...]]:
    """What the files in a domain's folder state, the defaults without any, and what is wrong with them."""
    path = os.path.join(folder, DOMAIN_FILE)
    problems = []
    facts = DomainFacts()
    if os.path.lexists(path):
        try:
            facts = _read_facts(path)
        except ImageError as error:
            reason = str(error).removeprefix(f"{path} ").rstrip(".")
            problems.append(_problem(folder, path, reason))
        except (SettingsError, DataError) as error:
            reason = f'must hold an object such as {{"bit_depth": 12}}: {str(error).rstrip(".")}'
            problems.append(_problem(folder, path, reason))
        except (ValueError, RecursionError) as error:
            problems.append(_problem(folder, path, f"is not JSON ({error}); mend or remove it"))
    mask = os.path.join(folder, REGION_FILE)
    if os.path.lexists(mask):
        try:
            if facts.region is not None:
                raise DataError(f"{mask} stands beside a `region` in {DOMAIN_FILE}: remove one of them.")
            facts = dataclasses.replace(facts, region=read_region(mask))
        except (ImageError, DataError) as error:
            problems.append(_problem(folder, mask, str(error).removeprefix(f"{mask} ").rstrip(".")))
    return facts, tuple(problems)


def _read_facts(path: str) -> DomainFacts:
    if (broken := broken_link(path)) is not None:
        raise ImageError(f"{path} {broken}.")
    values: Any = json.loads(read_file(path))
    region = values.get("region") if isinstance(values, Mapping) else None
    if region is not None:
        values = {**values, "region": RegionOfInterest.from_json(region)}
    return from_dict(DomainFacts, values)


def _problem(folder: str, path: str, reason: str) -> Problem:
    return Problem(
        severity="fatal",
        code="wrong_domain_file",
        domain=os.path.basename(folder),
        path=path,
        message=reason,
    )
