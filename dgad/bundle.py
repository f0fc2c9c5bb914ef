"""Bundles: a folder with all that scoring a new surface needs, checked byte by byte when read.

The sums in `manifest.json` find damage and careless edits. They are no signature: whoever can change a
file can change its sum too. Weights are safetensors, and nothing in a bundle is ever executed.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgad.errors import BundleError, SettingsError
from dgad.features.settings import FeatureSettings, read_features
from dgad.files import replace_folder_atomic
from dgad.provenance import current_versions, utc_now
from dgad.sealed_folder import MANIFEST_FILE, SealedFolder, json_bytes
from dgad.settings import from_dict, to_dict

if TYPE_CHECKING:  # torch takes seconds to import, and looking into a bundle needs none of it
    import torch

    from dgad.features.cache import FeatureCache
    from dgad.methods.base import Method

FORMAT_VERSION = 1
DESCRIPTION_FILE = "bundle.json"
_WEIGHTS_FILE = "weights.safetensors"
_METRICS_FILE = "metrics.json"
CARD_FILE = "MODEL_CARD.md"
CONTENT_FILES = (DESCRIPTION_FILE, _WEIGHTS_FILE, _METRICS_FILE, CARD_FILE)
_FOLDER = SealedFolder(
    noun="bundle", content_files=CONTENT_FILES, format_version=FORMAT_VERSION, error=BundleError
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BundleInfo:
    """What a bundle says of itself; its files have been checked against its manifest."""

    path: Path
    bundle_id: str
    """32 hex digits; equal for equal method, settings, features and weights."""
    method: str
    settings: dict[str, Any]
    features: FeatureSettings
    training_domains: tuple[str, ...]
    versions: dict[str, str]
    created_at: str
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    card: str
    num_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Description:
    """What `bundle.json` must hold; what a later version adds is passed over."""

    bundle_id: str
    method: str
    settings: dict[str, Any]
    features: dict[str, Any]
    training_domains: tuple[str, ...]
    versions: dict[str, str]
    created_at: str
    provenance: dict[str, Any]


def write_bundle(
    path: Path | str,
    method: "Method",
    *,
    metrics: Mapping[str, Any],
    card: str,
    provenance: Mapping[str, Any],
) -> None:
    """Write a fitted method as a bundle folder, replacing a bundle that is there, whole or not at all.

    `provenance` must name the `training_domains`; the rest of it and `metrics` are any JSON.
    """
    import safetensors.torch

    folder = Path(path)
    _check_destination(folder)
    if not method.traits.servable:
        raise BundleError(f"`{method.name}` cannot be bundled: what it enrols cannot be stored.")
    if "training_domains" not in provenance:
        raise BundleError("`provenance` must name the `training_domains` of a bundle.")
    state = {name: t.detach().cpu().contiguous().clone() for name, t in method.state().items()}
    weights = safetensors.torch.save(state)
    core = {
        "method": method.name,
        "settings": to_dict(method.settings),
        "features": to_dict(method.context.features),
    }
    identity = json_bytes({**core, "weights": _sha256(weights)})
    description = {
        "format_version": FORMAT_VERSION,
        "bundle_id": _sha256(identity)[:32],
        **core,
        "training_domains": list(provenance["training_domains"]),
        "versions": current_versions(),
        "created_at": utc_now(),
        "provenance": {k: v for k, v in provenance.items() if k != "training_domains"},
    }
    contents = {
        DESCRIPTION_FILE: json_bytes(description),
        _WEIGHTS_FILE: weights,
        _METRICS_FILE: json_bytes(metrics),
        CARD_FILE: card.encode(),
    }
    with replace_folder_atomic(folder) as temporary:
        for name, data in _FOLDER.add_manifest(contents).items():
            (temporary / name).write_bytes(data)


def _check_destination(folder: Path) -> None:
    """Raise `BundleError` when something else than a bundle is there already: it would be lost."""
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / MANIFEST_FILE).is_file():
        raise BundleError(f"{folder} exists and is no bundle, so it is not replaced: name another folder.")


def read_bundle(path: Path | str) -> BundleInfo:
    """Read and check a bundle; `BundleError` names the first file that differs from the manifest."""
    return _read(Path(path))[0]


def _read(folder: Path) -> tuple[BundleInfo, bytes]:
    """(what the bundle says, its weights file), from one reading of every file."""
    contents = _checked_contents(folder)
    description = _FOLDER.parse(contents[DESCRIPTION_FILE], folder / DESCRIPTION_FILE)
    _FOLDER.check_version(description, folder / DESCRIPTION_FILE)
    names = [f.name for f in dataclasses.fields(_Description)]
    for name in names:
        if name not in description:
            raise BundleError(f"{folder / DESCRIPTION_FILE} lacks {name!r}: write the bundle again.")
    try:
        told = from_dict(_Description, {n: description[n] for n in names}, where=DESCRIPTION_FILE)
        features = read_features(told.features, where=DESCRIPTION_FILE)
    except SettingsError as error:
        raise BundleError(f"{folder}: {error}") from error
    info = BundleInfo(
        path=folder,
        bundle_id=told.bundle_id,
        method=told.method,
        settings=told.settings,
        features=features,
        training_domains=told.training_domains,
        versions=told.versions,
        created_at=told.created_at,
        provenance=told.provenance,
        metrics=_FOLDER.parse(contents[_METRICS_FILE], folder / _METRICS_FILE),
        card=contents[CARD_FILE].decode(),
        num_bytes=sum(map(len, contents.values())),
    )
    return info, contents[_WEIGHTS_FILE]


def load_method(path: Path | str, device: "torch.device", cache: "FeatureCache | None" = None) -> "Method":
    """The bundled method, ready to enrol and score; nothing is fetched, every weight is in the bundle."""
    import safetensors
    import safetensors.torch

    from dgad.features.cache import FeatureCache
    from dgad.methods import METHODS
    from dgad.methods.base import Context

    info, weights = _read(Path(path))
    if info.method not in METHODS:
        raise BundleError(
            f"{info.path} holds method `{info.method}`, which this dgad has not; it has {', '.join(METHODS)}."
        )
    method_type = METHODS[info.method]
    # Drawn weights, replaced at once: building with the original ones would read a file or the hub.
    kept = FeatureCache() if cache is None else cache
    context = Context(features=info.features.drawn, device=device, cache=kept)
    try:
        settings = from_dict(method_type.settings_type, info.settings, where=DESCRIPTION_FILE)
        method = method_type(settings, context)
        method.load_state(safetensors.torch.load(weights))
    except SettingsError as error:
        written_by = info.versions.get("dgad", "unknown")
        raise BundleError(f"{info.path}: {error} It was written by dgad {written_by}.") from error
    except safetensors.SafetensorError as error:
        raise BundleError(f"{info.path / _WEIGHTS_FILE} is damaged: {error}.") from error
    return method


def no_bundle_error(where: Path | str) -> BundleError:
    """What is said of a place without a manifest."""
    return BundleError(
        f"{where} is no bundle: it has no {MANIFEST_FILE}. Name the folder of one: `dgad-tune launch` writes"
        " runs/NAME/bundle."
    )


def _checked_contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, read once, and equal in name, size and sum to the manifest."""
    if not (folder / MANIFEST_FILE).is_file():
        raise no_bundle_error(folder)
    return _FOLDER.read(folder)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
