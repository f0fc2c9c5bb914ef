"""YAML (and so JSON) files as mappings, with the line of every key for messages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dgad.errors import SettingsError
from dgad.settings import did_you_mean

KeyPath = tuple[str, ...]


def load_yaml(path: Path | str) -> tuple[dict[str, Any], Mapping[KeyPath, int]]:
    """The mapping in the file, and the line (from 1) of each key and list item by its path from the top.

    A list item's part of the path is its index as text: `("setup_commands", "0")`.
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
    except RecursionError:
        raise SettingsError(f"{path} nests its lists and mappings too deeply; write it flatter.") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold a mapping of settings, but holds a {type(values).__name__}.")
    lines: dict[KeyPath, int] = {}
    try:
        if root is not None:
            _collect(root, (), lines, str(path))
    except RecursionError:
        raise SettingsError(f"{path} has an alias that stands inside itself; write it out.") from None
    return values, lines


def line_at(lines: Mapping[KeyPath, int], path: Sequence[object]) -> int:
    """The line of what stands at `path`, or of the nearest above it that has one; 1 for the file itself."""
    keys = tuple(map(str, path))
    return next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), 1)


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
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, str(index))] = item.start_mark.line + 1
            _collect(item, (*at, str(index)), lines, path)
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
