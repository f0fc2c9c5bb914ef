"""Few references that cover the others, as the method itself sees them."""

from dgad.domains.image_set import ImageSet
from dgad.methods.base import Method


def choose_covering_references(method: Method, references: ImageSet, count: int) -> list[int]:
    """Choose `count` references that cover the others; returns their indices, ascending.

    A quarter are the first ones, the rest those that score highest against what is chosen so far, which
    doubles in every round (farthest-first traversal in rounds; Gonzalez, 1985).

    Hand the references over in an order that does not depend on what they show, such as that of their
    content. One call scores every reference about twice.
    """
    chosen = list(range(min(len(references), max(1, count // 4))))
    while len(chosen) < min(count, len(references)):
        taken = set(chosen)
        rest = [i for i in range(len(references)) if i not in taken]
        scores = method.score(references.take(rest), method.enroll(references.take(chosen))).image.tolist()
        farthest = sorted(range(len(rest)), key=lambda j: -scores[j])
        chosen += [rest[j] for j in farthest[: min(len(chosen), count - len(chosen))]]
    return sorted(chosen)
