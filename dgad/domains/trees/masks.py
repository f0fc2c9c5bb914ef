"""Which mask belongs to which image: by name, and none where two could be meant."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence

from dgad.domains.problems import Problem, Severity

_SUFFIX = "_mask"


def match_masks(
    domain: str, images: Sequence[str], directory: str, masks: Sequence[str]
) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
    """Mask file by image file, of the names in one kind's two folders, and what cannot be told.

    `000_mask.png`, `000.png` and `000.bmp` each name the mask of `000.png`; what ends in `_mask` goes before
    what does not, which may be a copy of the photograph. `000.png_mask.png` belongs to `000.png` alone.
    """
    problems: list[Problem] = []

    def tell(severity: Severity, code: str, name: str, message: str) -> None:
        path = os.path.join(directory, name)
        problems.append(Problem(severity=severity, code=code, domain=domain, path=path, message=message))

    groups: dict[str, list[str]] = {}
    for name in masks:
        groups.setdefault(stem_of_mask(name), []).append(name)
    chosen: dict[str, str] = {}
    for stem, names in groups.items():
        marked = [n for n in names if is_marked(n)] or names
        chosen[stem] = marked[0]
        if len(marked) > 1:
            for name in marked:
                others = ", ".join(n for n in marked if n != name)
                message = f"is not read, because {others} would be a mask of the same image; remove one"
                tell("warning", "ambiguous_mask", name, message)
            del chosen[stem]
        for name in names:
            if name not in marked:
                tell("note", "mask_set_aside", name, f"is not read, because {marked[0]} is the mask")
    num_with_stem = Counter(os.path.splitext(i)[0] for i in images)
    by_image: dict[str, str] = {}
    for image in images:
        stem = os.path.splitext(image)[0]
        if image in chosen:
            by_image[image] = chosen[image]
        elif stem in chosen and num_with_stem[stem] == 1:
            by_image[image] = chosen[stem]
    for stem, name in chosen.items():
        alike = [i for i in images if os.path.splitext(i)[0] == stem and i not in chosen]
        if num_with_stem[stem] > 1 and alike:
            ending = os.path.splitext(name)[1]
            message = (
                f"could be the mask of {' or '.join(alike)}, so it is taken for none; rename one image, or"
                f" call the mask {alike[0]}{_SUFFIX}{ending}"
            )
            tell("warning", "ambiguous_mask", name, message)
    return by_image, tuple(problems)


def stem_of_mask(name: str) -> str:
    """What a mask's name says of its image: `001` of `001_mask.png`."""
    stem = os.path.splitext(name)[0]
    return stem[: -len(_SUFFIX)] if is_marked(name) else stem


def is_marked(name: str) -> bool:
    """Whether a file's name says that it is a mask."""
    return os.path.splitext(name)[0].casefold().endswith(_SUFFIX)
