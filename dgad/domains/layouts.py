"""The layouts a data set may have: one visible dict, tried in order."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping

from dgad.domains.base import Dataset
from dgad.domains.parquet import open_parquet, recognise_parquet
from dgad.domains.problems import Problem
from dgad.domains.trees.btad import BTAD
from dgad.domains.trees.folder import ANY_TREE, MVTEC, MVTEC_AD_2, TreeVariant, open_tree, recognise_tree
from dgad.domains.trees.strays import find_strays
from dgad.errors import DataError
from dgad.settings import did_you_mean
from dgad.storage import DATA, Storage


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """One way to keep domains."""

    recognise: Callable[[str], bool]
    """Whether a location looks like it, by listing names."""
    open: Callable[[str], Dataset]
    strays: Callable[[str], tuple[Problem, ...]] = lambda location: ()
    """What lies there without being part of the data set."""


def _tree(name: str, variant: TreeVariant) -> Layout:
    return Layout(
        recognise=functools.partial(recognise_tree, variant=variant),
        open=functools.partial(open_tree, variant=variant, layout=name),
        strays=functools.partial(find_strays, variant=variant),
    )


LAYOUTS: Mapping[str, Layout] = {
    "parquet": Layout(recognise=recognise_parquet, open=open_parquet),
    "mvtec": _tree("mvtec", MVTEC),
    "mvtec_ad_2": _tree("mvtec_ad_2", MVTEC_AD_2),
    "visa": _tree("visa", MVTEC),  # its one-class split; looks the same, so only by name
    "dtd_synthetic": _tree("dtd_synthetic", MVTEC),
    "btad": _tree("btad", BTAD),
    "folder": _tree("folder", ANY_TREE),
}
"""Tried in this order; `folder` takes whatever resembles a tree, and says what was expected."""


def open_dataset(location: str | os.PathLike[str], *, layout: str | None = None) -> Dataset:
    """The data set at a folder or URI, by listing alone; finds the layout itself unless it is named.

    Raises `DataError` where there is no data set, saying what was expected.
    """
    if layout is not None and layout not in LAYOUTS:
        hint = did_you_mean(layout, LAYOUTS)
        raise DataError(f"`layout` must be one of {', '.join(LAYOUTS)}, but got {layout!r}.{hint}")
    location = os.fspath(location)
    storage = Storage(location, DATA)
    if not storage.is_local:
        if layout not in (None, "parquet"):
            raise DataError(
                f"Only packed Parquet can be read from {location}; pack the folder first with"
                " `dgad domains pack SRC DST`."
            )
        return open_parquet(location)
    local = storage.location if "://" in location else location
    if layout is None:
        layout = next((name for name, each in LAYOUTS.items() if each.recognise(local)), "folder")
    return LAYOUTS[layout].open(local)
