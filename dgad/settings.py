"""Typed settings: frozen dataclasses at every place but the edges, where they are plain mappings.

`from_dict` is the only way in from YAML, JSON or a search space. It refuses unknown keys and wrong
types by name; the dataclass's own `__post_init__` checks ranges, once, with `require`.
"""

import contextlib
import dataclasses
import datetime
import difflib
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from dgad.errors import SettingsError

_S = TypeVar("_S")


def require(holds: bool, name: str, rule: str, value: object) -> None:
    """Raise `SettingsError` "`name` must be RULE, but got VALUE." unless `holds`."""
    if not holds:
        raise SettingsError(f"`{name}` must be {rule}, but got {value!r}.")


def require_odd(name: str, value: int) -> None:
    """Raise `SettingsError` unless the value is odd and at least 1, as the side of a window is."""
    require(value >= 1 and value % 2 == 1, name, "odd and at least 1", value)


def did_you_mean(word: str, allowed: typing.Iterable[str]) -> str:
    """Give the end of an error's sentence, "Did you mean `x`?" after a space; empty without a near miss."""
    near = difflib.get_close_matches(word, list(allowed), n=1)
    return f" Did you mean `{near[0]}`?" if near else ""


def from_dict(cls: type[_S], values: Mapping[str, Any], *, where: str = "") -> _S:
    """An instance of the dataclass `cls` from a plain mapping.

    `where` prefixes the message, e.g. "methods.comparer". Names that earlier versions had (`former_names`)
    are read as those of now. Raises `SettingsError` on an unknown key, a missing required key, a wrong type,
    or a value its `__post_init__` refuses.
    """
    place = f"{where}: " if where else ""
    if not isinstance(values, Mapping):
        raise SettingsError(f"{place}expected a mapping of settings, but got {values!r}.")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    values = _under_present_names(values, former_names(cls), place)
    for key in values:
        if key not in fields:
            raise SettingsError(
                f"{place}unknown setting `{key}`.{did_you_mean(str(key), fields)}"
                f" Allowed: {', '.join(sorted(fields))}."
            )
    hints = _type_hints(cls)  # type: ignore[arg-type]
    kwargs = {k: coerce(v, hints[k], f"{where}.{k}" if where else k) for k, v in values.items()}
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and name not in kwargs:
            raise SettingsError(f"{place}`{name}` is required.")
    try:
        return cls(**kwargs)
    except SettingsError as error:
        raise SettingsError(f"{place}{error}") from None


def former_names(cls: type) -> Mapping[str, str]:
    """What earlier versions called settings of the dataclass, and what those are called now."""
    return getattr(cls, "FORMER_NAMES", {})


def _under_present_names(
    values: Mapping[str, Any], former: Mapping[str, str], place: str
) -> Mapping[str, Any]:
    for old, new in former.items():
        if old in values and new in values:
            raise SettingsError(f"{place}`{old}` is the former name of `{new}`: give only `{new}`.")
    return {former.get(key, key): value for key, value in values.items()}


@functools.cache  # resolving them takes longer than all the rest
def _type_hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def to_dict(settings: Any) -> dict[str, Any]:
    """A settings dataclass as plain JSON-ready values (tuples become lists)."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return value

    result = plain(settings)
    assert isinstance(result, dict)
    return result


def coerce(value: Any, hint: Any, name: str) -> Any:
    """`value` as the annotated type `hint`, or a `SettingsError` that names what is allowed."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        require(value in args, name, "one of " + ", ".join(map(str, args)), value)
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None:
            require(type(None) in args, name, "set", value)
            return None
        (inner,) = [a for a in args if a is not type(None)]
        return coerce(value, inner, name)
    if origin is tuple:
        require(isinstance(value, list | tuple), name, "a list", value)
        return tuple(coerce(v, args[0], f"{name}[{i}]") for i, v in enumerate(value))
    if origin in (dict, Mapping) or hint is dict:
        require(isinstance(value, Mapping), name, "a mapping", value)
        return dict(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_dict(hint, value, where=name)
    if hint is bool:
        require(isinstance(value, bool), name, "true or false", value)
        return value
    if hint is int:
        require(isinstance(value, int) and not isinstance(value, bool), name, "a whole number", value)
        return value
    if hint is float:
        if isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string
            with contextlib.suppress(ValueError):
                value = float(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        require(is_number, name, "a number", value)
        return float(value)
    if hint is str:
        if isinstance(value, int | float | datetime.date):  # what YAML makes of 01, no and 2026-01-31
            raise SettingsError(
                f'`{name}` must be text, but got {value!r}: put what stands there in quotes, as in "01".'
            )
        require(isinstance(value, str), name, "text", value)
        return value
    return value


def pyramid_strides(finest_stride: int, num_levels: int) -> tuple[int, ...]:
    """Stride in px of each pyramid level, finest first; each is twice the one before."""
    return tuple(finest_stride * 2**i for i in range(num_levels))


def check_pyramid(finest_stride: int, num_levels: int) -> None:
    """Raise `SettingsError` unless there are 1 to 4 levels, none coarser than stride 32."""
    require(1 <= num_levels <= 4, "num_levels", "1 to 4", num_levels)
    require(
        pyramid_strides(finest_stride, num_levels)[-1] <= 32,
        "num_levels",
        "such that no level is coarser than stride 32",
        num_levels,
    )
