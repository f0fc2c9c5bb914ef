"""The feature cache that all workers of a node share: where it is, how large, and what is found in it."""

import dataclasses
import importlib.metadata
import math
from pathlib import Path

from dgad.features.disk_cache import DiskFeatureCache
from dgad.files import check_can_write
from dgad.settings import require
from dgad.user_dirs import user_cache_folder

GIB = 1024**3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CachePlan:
    """A cache on the disk of every node of a run."""

    folder: Path | None
    """None: the cache folder of whoever runs the worker, which may be another one on another node."""
    max_bytes: int


def plan_cache(folder: Path | None, gib: float) -> CachePlan | None:
    """The cache that was asked for, None for 0 GiB; `UserError` where it cannot be had."""
    require(math.isfinite(gib) and gib >= 0, "cache_gib", "0 (no cache on disk) or more", gib)
    if gib == 0:
        return None
    if folder is not None:
        check_can_write(folder)
        folder = folder.absolute()
    return CachePlan(folder=folder, max_bytes=max(1, round(gib * GIB)))


def find_features_folder() -> Path | None:
    """The folder where features of frozen backbones are kept; None for a user without a home."""
    own = user_cache_folder()
    return own / "features" if own else None


def open_cache(plan: CachePlan, *, code_version: str, device: str) -> DiskFeatureCache | None:
    """The cache of this node; maps of another version of the code or its libraries are not found in it.

    None where a user without a home has named no folder.
    """
    folder = plan.folder or find_features_folder()
    if folder is None:
        return None
    libraries = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "timm", "pillow")]
    made_by = ", ".join((f"dgad {code_version}", *libraries, device.partition(":")[0]))
    return DiskFeatureCache(folder, max_bytes=plan.max_bytes, made_by=made_by)
