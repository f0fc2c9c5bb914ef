"""A schema of a Kubernetes resource definition, asked as an API server with strict field validation asks it.

`strict` turns a structural schema (`openAPIV3Schema`) into one for jsonschema, and `admit` asks it about a
resource. As the API server does: nulls where there may be none are dropped, defaults are filled in before
anything is required, a list that is a map has each key once, and a field that nobody knows is refused. What
`kubectl apply --dry-run=server` does besides is not here: rules in CEL, but for `self in [...]`; the formats
of text; webhooks.
"""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Schema = dict[str, Any]

_BITS = {"int32": 31, "int64": 63}
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": _SUBDOMAIN, "maxLength": 253},
        "namespace": {"type": "string"},
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "finalizers": {"type": "array", "items": {"type": "string"}},
    },
}
"""A definition leaves a resource's metadata to the API server; these are the fields that one writes."""


def crd_schema(path: Path, version: str = "v1") -> Schema:
    """For `admit`: the schema in a file with a resource definition. `ValueError` where it has none."""
    text = path.read_text(encoding="utf-8")
    for document in yaml.safe_load_all(text):
        if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition":
            spec = document["spec"]
            for entry in spec["versions"]:
                if entry["name"] == version:
                    schema = entry["schema"]["openAPIV3Schema"]
                    return resource(schema, f"{spec['group']}/{version}", spec["names"]["kind"])
    raise ValueError(f"{path} has no resource definition with version {version}")


def resource(schema: Schema, api_version: str, kind: str) -> Schema:
    """For `admit`: a whole resource, of which a definition's schema gives the rest."""
    own = {
        "apiVersion": {"type": "string", "enum": [api_version]},
        "kind": {"type": "string", "enum": [kind]},
        "metadata": _METADATA,
    }
    required = sorted({*schema.get("required", ()), *own})
    return strict({**schema, "required": required, "properties": {**schema.get("properties", {}), **own}})


def strict(schema: Schema, closed: bool = True) -> Schema:
    """The same for jsonschema; objects take no field that they do not name, unless `closed` is off."""
    made = copy.copy(schema)
    if made.get("x-kubernetes-int-or-string"):
        made.pop("anyOf", None)
        made["type"] = ["integer", "string"]
    if made.get("x-kubernetes-embedded-resource"):
        text = {"type": "string"}
        inner = {"apiVersion": text, "kind": text, "metadata": _METADATA}
        made["properties"] = {**made.get("properties", {}), **inner}
    if "properties" in made:
        made["properties"] = {name: strict(inner, closed) for name, inner in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = strict(made[key], closed)
    # What stands in these says something more of fields that are named outside of them.
    for key in ("allOf", "anyOf", "oneOf"):
        if key in made:
            made[key] = [strict(inner, closed=False) for inner in made[key]]
    if "not" in made:
        made["not"] = strict(made["not"], closed=False)
    if closed and made.get("type") == "object" and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if made.get("format") in _BITS and made.get("type") == "integer":
        limit = 2 ** _BITS[made["format"]]
        made["minimum"] = max(made.get("minimum", -limit), -limit)
        made["maximum"] = min(made.get("maximum", limit - 1), limit - 1)
    if "pattern" in made:
        made["pattern"] = re.sub(r"(?<!\\)\$$", r"\\Z", made["pattern"])  # Python's $ lets a line end pass
    for rule in made.get("x-kubernetes-validations", ()):
        if among := re.fullmatch(r"self in (\[[^\[\]]*\])", rule["rule"].strip()):
            made["enum"] = [v for v in yaml.safe_load(among[1]) if v in made.get("enum", [v])]
    if made.get("nullable") and isinstance(made.get("type"), str | list):
        types = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*types, "null"]
    return made


def admit(values: object, schema: Schema) -> None:
    """Nothing, where an API server with this definition takes the resource.

    Raises `jsonschema.ValidationError` where it does not. `schema` is of `strict`.
    """
    _Validator(schema).validate(_defaulted(values, schema))


def _defaulted(values: object, schema: Schema) -> object:
    """The values without nulls where there may be none, and with what is filled in."""
    if isinstance(values, list) and isinstance(schema.get("items"), dict):
        return [_defaulted(value, schema["items"]) for value in values]
    if not isinstance(values, dict):
        return values
    named = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    made = {}
    for key, value in values.items():
        inner = named.get(key, rest if isinstance(rest, dict) else None)
        if inner is None:
            made[key] = value
        elif value is not None or inner.get("nullable"):
            made[key] = _defaulted(value, inner)
    for key, inner in named.items():
        if key not in made and "default" in inner:
            made[key] = _defaulted(copy.deepcopy(inner["default"]), inner)
    return made


def _has_each_key_once(
    validator: Any, keys: list[str], values: object, schema: Schema
) -> Iterator[jsonschema.ValidationError]:
    found = [[v.get(k) for k in keys] for v in values if isinstance(v, dict)] if _is_list(values) else []
    for index, key in enumerate(found):
        if key in found[:index]:
            yield jsonschema.ValidationError(f"{', '.join(keys)} {key} is there twice")


def _has_each_once(
    validator: Any, kind: str, values: object, schema: Schema
) -> Iterator[jsonschema.ValidationError]:
    if kind == "set" and _is_list(values) and any(v in values[:i] for i, v in enumerate(values)):
        yield jsonschema.ValidationError("an item is there twice")


def _is_list(values: object) -> Any:
    return isinstance(values, list)


# What Kubernetes writes is nearest to draft 4: exclusiveMinimum is a flag.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft4Validator,
    {"x-kubernetes-list-map-keys": _has_each_key_once, "x-kubernetes-list-type": _has_each_once},
)
