"""`domain.json`: what a data set states of one of its domains, in the domain's own folder."""

import dataclasses
import json
import os

from dgad.domains.decoding import read_file
from dgad.domains.problems import Problem
from dgad.domains.wide_values import check_bit_depth
from dgad.errors import ImageError, SettingsError
from dgad.files import broken_link
from dgad.settings import from_dict

DOMAIN_FILE = "domain.json"
"""Optional: an object with the fields of `DomainFacts`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DomainFacts:
    """What must be known of a domain's images beside the files themselves."""

    bit_depth: int | None = None
    """Of the values in files of more than 8 bits a channel, 8 to 32; None: their type's full range."""

    def __post_init__(self) -> None:
        check_bit_depth(self.bit_depth)


def declaring(bit_depth: int) -> str:
    """How to declare a bit depth, as the end of a sentence."""
    return f'declare that with {{"bit_depth": {bit_depth}}} in {DOMAIN_FILE} in its folder, before packing'


def read_domain_file(folder: str) -> tuple[DomainFacts, tuple[Problem, ...]]:
    """What the file in a domain's folder states, the defaults without one, and what is wrong with it."""
    path = os.path.join(folder, DOMAIN_FILE)
    if not os.path.lexists(path):
        return DomainFacts(), ()
    try:
        if (broken := broken_link(path)) is not None:
            raise ImageError(f"{path} {broken}.")
        return from_dict(DomainFacts, json.loads(read_file(path))), ()
    except ImageError as error:
        reason = str(error).removeprefix(f"{path} ").rstrip(".")
    except SettingsError as error:
        reason = f'must hold an object such as {{"bit_depth": 12}}: {str(error).rstrip(".")}'
    except (ValueError, RecursionError) as error:
        reason = f"is not JSON ({error}); mend or remove it"
    wrong = Problem(
        severity="fatal", code="wrong_domain_file", domain=os.path.basename(folder), path=path, message=reason
    )
    return DomainFacts(), (wrong,)
