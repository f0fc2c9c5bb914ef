"""Fitted methods by name: the comparer that ships with dgad, or what a bundle holds."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from dgad.bundle import load_method, no_bundle_error, read_bundle
from dgad.device import resolve_device
from dgad.errors import BundleError
from dgad.features.builtin import read_builtin
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context, Method
from dgad.settings import did_you_mean, to_dict

BUILTIN = "builtin"
"""Names what ships with dgad; a folder of this name is `./builtin`."""
_BUILTIN_LABEL = "comparer:builtin"
_CACHE_BYTES = 2**30
"""Of features: every round of a calibration asks for those of all references again."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FittedMethod:
    """A method ready to enrol and score, and what tells it from another."""

    location: str
    """`builtin`, or the absolute path of its bundle."""
    bundle_id: str
    """32 hex digits; equal for equal method, settings, features and weights."""
    method: Method


def load_fitted(source: str | os.PathLike[str], device: str) -> FittedMethod:
    """The fitted method of that name or in that folder; see `dgad.load_comparer`."""
    where = resolve_device(device)
    cache = FeatureCache(_CACHE_BYTES)
    if source == BUILTIN:
        return _load_builtin(Context(features=FeatureSettings(), device=where, cache=cache))
    folder = Path(source)
    if not folder.is_dir() and (hint := did_you_mean(str(source), [BUILTIN])):
        raise BundleError(f"{no_bundle_error(folder)}{hint}")
    info = read_bundle(folder)
    method = load_method(folder, where, cache)
    return FittedMethod(location=str(folder.absolute()), bundle_id=info.bundle_id, method=method)


def _load_builtin(context: Context) -> FittedMethod:
    name, _, settings = parse_method(_BUILTIN_LABEL)
    method = METHODS[name](settings, context)
    method.fit((), seed=0)
    identity = {
        "method": name,
        "settings": to_dict(settings),
        "features": to_dict(context.features),
        "weights": dict(read_builtin().info.sha256),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return FittedMethod(location=BUILTIN, bundle_id=digest[:32], method=method)
