"""What a surface remembers of its references, and which of them show one and the same photograph."""

import dataclasses
import warnings
from collections.abc import Sequence

from dgad.api.inputs import DecodedImages, InputImage
from dgad.errors import DgadWarning
from dgad.references.duplicates import near_duplicates


class NearDuplicateWarning(DgadWarning):
    """References show nearly the same photograph: a threshold made with them is too tight."""


class ScoredReferenceWarning(DgadWarning):
    """An image that is scored is one of the references: its score says nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EnrolledReference:
    """One photograph that a surface was enrolled with; the photograph itself is not kept."""

    name: str
    """Its path, or where it stood among those that were enrolled: `references[3]`."""
    id: str
    """64 hex digits: SHA-256 of the file's bytes, or of the pixels."""
    near_duplicate_of: str | None = None
    """Name of an earlier one that it nearly equals."""


def enroll_once(inputs: tuple[InputImage, ...], decoded: DecodedImages) -> tuple[EnrolledReference, ...]:
    """Every photograph at its first place, with the earlier one that it nearly equals."""
    first = {i: decoded.ids.index(i) for i in dict.fromkeys(decoded.ids)}
    places = list(first.values())
    near = near_duplicates([decoded.fingerprints[p] for p in places], 0, ())
    return tuple(
        EnrolledReference(
            name=inputs[place].name,
            id=content_id,
            near_duplicate_of=None if earlier is None else inputs[places[earlier]].name,
        )
        for (content_id, place), earlier in zip(first.items(), near, strict=True)
    )


def find_scored_references(
    names: Sequence[str], ids: Sequence[str], enrolled: Sequence[EnrolledReference]
) -> list[str | None]:
    """For each image to be scored, the reference that is the same photograph; warns of them.

    Args:
        names: Of the images.
        ids: Theirs, as `DecodedImages` has them.
        enrolled: What they will be compared with.
    """
    by_id = {r.id: r.name for r in enrolled}
    found = [by_id.get(i) for i in ids]
    same = [
        f"{name} is the reference {own}" for name, own in zip(names, found, strict=True) if own is not None
    ]
    if same:
        more = f", and {len(same) - 3} more" if len(same) > 3 else ""
        warnings.warn(
            f"{'; '.join(same[:3])}{more}: compared with itself an image is as normal as can be, so its score"
            " says nothing.",
            ScoredReferenceWarning,
            stacklevel=3,
        )
    return found


def warn_of_duplicates(
    inputs: tuple[InputImage, ...], decoded: DecodedImages, enrolled: tuple[EnrolledReference, ...]
) -> None:
    """Issue a `NearDuplicateWarning` that names the first three of them."""
    near = [f"{r.name} is nearly {r.near_duplicate_of}" for r in enrolled if r.near_duplicate_of is not None]
    same = [
        f"{given.name} is {inputs[first].name} again"
        for place, (given, content_id) in enumerate(zip(inputs, decoded.ids, strict=True))
        if (first := decoded.ids.index(content_id)) < place
    ]
    advice = {
        "near duplicates make the threshold too tight, so leave them out": near,
        "the same photograph is enrolled once": same,
    }
    for what, found in advice.items():
        if found:
            more = f", and {len(found) - 3} more" if len(found) > 3 else ""
            warnings.warn(f"{'; '.join(found[:3])}{more}: {what}.", NearDuplicateWarning, stacklevel=3)
