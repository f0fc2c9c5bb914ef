"""YAML (and so JSON) files as mappings, with the line of every key for messages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dgad.errors import SettingsError
from dgad.settings import did_you_mean

KeyPath = tuple[str, ...]


def load_yaml(path: Path | str) -> tuple[dict[str, Any], Mapping[KeyPath, int]]:
    """The mapping in the file, and the line (from 1) of each key by its path from the top.

    Raises `SettingsError` for a file that cannot be read, is not YAML, repeats a key or is no mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path}{place}: not valid YAML: {getattr(error, 'problem', error)}.") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold a mapping of settings, but holds a {type(values).__name__}.")
    lines: dict[KeyPath, int] = {}
    if root is not None:
        _collect(root, (), lines, str(path))
    return values, lines


def check_keys(
    values: Mapping[str, Any],
    allowed: Mapping[str, object] | set[str],
    lines: Mapping[KeyPath, int],
    path: str,
) -> None:
    """Raise `SettingsError`, naming the line, for a top-level key that is not allowed."""
    for key in values:
        if key not in allowed:
            raise SettingsError(
                f"{path}, line {lines.get((str(key),), 1)}: unknown key `{key}`."
                f"{did_you_mean(str(key), allowed)} Allowed: {', '.join(sorted(allowed))}."
            )


def _collect(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], path: str) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        where = (*at, str(key.value))
        line = key.start_mark.line + 1
        if where in lines:
            raise SettingsError(
                f"{path}, line {line}: `{key.value}` stands here twice (first in line {lines[where]})."
            )
        lines[where] = line
        _collect(value, where, lines, path)
