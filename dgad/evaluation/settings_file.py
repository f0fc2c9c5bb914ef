"""What an evaluation or a benchmark is told in a YAML file: shared features, and settings of methods."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgad.errors import SettingsError
from dgad.features.settings import FeatureSettings, migrate_features, read_features
from dgad.methods import METHODS, parse_method
from dgad.settings import coerce, did_you_mean, from_dict, to_dict
from dgad.yaml_file import KeyPath, check_keys, load_yaml

_FEATURE_NAMES = tuple(f.name for f in dataclasses.fields(FeatureSettings))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SettingsFile:
    """What `--settings FILE` says: shared features, and methods under labels of their own."""

    features: FeatureSettings
    variants: Mapping[str, Any]


def read_settings(path: str | None, **options: Any) -> SettingsFile:
    """The settings file, with command-line options over it.

    The file is YAML: `features: {...}` and `methods: {LABEL: {preset: NAME, ...}}`, where LABEL is a
    method's name or `name:anything`. `options` are fields of `FeatureSettings`, None where not given.
    Raises `SettingsError` naming file and line.
    """
    values: Mapping[str, Any] = {}
    lines: Mapping[KeyPath, int] = {}
    if path is not None:
        values, lines = load_yaml(Path(path))
        check_keys(values, {"features", "methods"}, lines, path)
    features = migrate_features(coerce(values.get("features") or {}, dict, f"{path}: features"))
    for key in features:
        if key not in _FEATURE_NAMES:
            raise SettingsError(
                f"{path}, line {lines[('features', str(key))]}: unknown setting `{key}` of features."
                f"{did_you_mean(str(key), _FEATURE_NAMES)} Allowed: {', '.join(_FEATURE_NAMES)}."
            )
    features.update({k: v for k, v in options.items() if v is not None})
    variants = {}
    for key, own in coerce(values.get("methods") or {}, dict, f"{path}: methods").items():
        label = str(key)
        try:
            variants[label] = _settings_for(label, coerce(own or {}, dict, f"methods.{label}"))
        except SettingsError as error:
            raise SettingsError(f"{path}, line {lines[('methods', label)]}: {error}") from None
    return SettingsFile(features=read_features(features), variants=variants)


def settings_from(values: Mapping[str, Any]) -> SettingsFile:
    """The same settings from a mapping with the keys of the file.

    Args:
        values: `features` and `methods`, as the file has them; either may be missing.

    Raises:
        SettingsError: A key or a setting is unknown, of the wrong type or out of range.
    """
    allowed = ("features", "methods")
    for key in values:
        if key not in allowed:
            hint = did_you_mean(str(key), allowed)
            raise SettingsError(
                f"`settings` has the unknown key `{key}`.{hint} Allowed: {', '.join(allowed)}."
            )
    own = coerce(values.get("methods") or {}, dict, "methods")
    given = coerce(values.get("features") or {}, dict, "features")
    return SettingsFile(
        features=read_features(given, where="features"),
        variants={
            str(label): _settings_for(str(label), coerce(each or {}, dict, f"methods.{label}"))
            for label, each in own.items()
        },
    )


def _settings_for(label: str, own: Mapping[str, Any]) -> Any:
    """Settings of a label, with `own` values over a preset.

    The preset is the one that `own` names, else the label's own (`comparer:paper`), else the default.
    """
    name, _, suffix = label.partition(":")
    wanted = own.get("preset", suffix if name in METHODS and suffix in METHODS[name].presets else "")
    _, _, preset = parse_method(f"{name}:{wanted}")
    merged = {**to_dict(preset), **{k: v for k, v in own.items() if k != "preset"}}
    return from_dict(METHODS[name].settings_type, merged, where=f"methods.{label}")
