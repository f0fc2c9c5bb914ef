"""Ray's own JSON schema of a cluster file, and its errors as sentences with a line."""

import functools
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from jsonschema.exceptions import ValidationError

from dgad.errors import SettingsError
from dgad.settings import did_you_mean
from dgad.yaml_file import KeyPath, line_at

DETECTS_RESOURCES = ("aws",)
"""Providers for which Ray looks up what a node type offers, so that `resources` may be left out."""

_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "nothing",
    "number": "a number",
    "object": "a mapping",
    "string": "text",
}
_WITHOUT_DEFAULTS = ("external", "fake_multinode", "fake_multinode_docker")


def find_autoscaler_folder() -> Path:
    """Find where the installed Ray keeps its schema and its providers' defaults; Ray is not imported."""
    spec = importlib.util.find_spec("ray")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("Ray is not installed, but its schema is what a cluster file is checked against.")
    return Path(next(iter(spec.submodule_search_locations))) / "autoscaler"


def list_providers() -> tuple[str, ...]:
    """List the provider types that `ray up` of the installed Ray knows."""
    with_defaults = {path.parent.name for path in find_autoscaler_folder().glob("*/defaults.yaml")}
    return tuple(sorted(with_defaults | set(_WITHOUT_DEFAULTS)))


def read_provider_defaults(provider: str) -> dict[str, Any]:
    """Read what Ray takes for each top-level key that a file of this provider leaves out."""
    path = find_autoscaler_folder() / provider / "defaults.yaml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def validate_cluster_file(values: Mapping[str, Any], lines: Mapping[KeyPath, int], path: Path) -> None:
    """Raise `SettingsError` "FILE, line N: ..." for the deepest place where Ray's schema does not hold."""
    errors = list(_validator().iter_errors(_as_ray_validates(values)))
    if not errors:
        return
    leaves = [leaf for error in errors for leaf in _leaves(error)]
    found = min(leaves, key=lambda e: (-len(e.absolute_path), _line(e, lines)))
    more = len(errors) - 1
    also = f" {more} more {'places are' if more > 1 else 'place is'} wrong." if more else ""
    raise SettingsError(f"{path}, line {_line(found, lines)}: {_sentence(found)}{also}")


@functools.cache
def _validator() -> jsonschema.Draft7Validator:
    schema = json.loads((find_autoscaler_folder() / "ray-schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(schema)


def _as_ray_validates(values: Mapping[str, Any]) -> dict[str, Any]:
    """The file as Ray has it when it validates: after its legacy keys went and resources were looked up."""
    prepared = dict(values)
    prepared.pop("min_workers", None)
    for key in ("head_node", "worker_nodes"):
        if key in prepared and not prepared[key]:
            del prepared[key]
    provider, types = prepared.get("provider"), prepared.get("available_node_types")
    if isinstance(provider, dict) and provider.get("type") in DETECTS_RESOURCES and isinstance(types, dict):
        prepared["available_node_types"] = {
            name: {"resources": {}, **node_type} if isinstance(node_type, dict) else node_type
            for name, node_type in types.items()
        }
    return prepared


def _leaves(error: ValidationError) -> Iterable[ValidationError]:
    if not error.context:
        return (error,)
    return (leaf for inner in error.context for leaf in _leaves(inner))


def _line(error: ValidationError, lines: Mapping[KeyPath, int]) -> int:
    unknown = _unknown_keys(error)
    return line_at(lines, (*error.absolute_path, *unknown[:1]))


def _unknown_keys(error: ValidationError) -> list[str]:
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return []
    known = error.schema.get("properties", {})
    return [str(key) for key in error.instance if key not in known]


def _sentence(error: ValidationError) -> str:
    place = ".".join(str(p) for p in error.absolute_path)
    wanted, value = error.validator_value, error.instance
    if error.validator == "additionalProperties":
        key, known = _unknown_keys(error)[0], error.schema.get("properties", {})
        inside = f" in `{place}`" if place else ""
        return f"unknown key `{key}`{inside}.{did_you_mean(key, known)} Allowed: {', '.join(sorted(known))}."
    if error.validator == "required":
        missing = next(key for key in wanted if key not in value)
        return f"`{place}` lacks the key `{missing}`." if place else f"the key `{missing}` is missing."
    if error.validator == "type":
        types = [wanted] if isinstance(wanted, str) else list(wanted)
        allowed = " or ".join(_TYPES.get(t, t) for t in types)
        quote = "; put it in quotes" if "string" in types and isinstance(value, int | float) else ""
        return f"`{place}` must be {allowed}, but is {'empty' if value is None else repr(value)}{quote}."
    if error.validator == "minimum":
        return f"`{place}` must be at least {wanted}, but is {value}."
    if error.validator == "enum":
        return f"`{place}` must be one of {', '.join(map(str, wanted))}, but is {value!r}."
    return f"`{place}`: {error.message}."
