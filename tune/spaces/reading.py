"""The key `spaces` of a study file: what it says of each method's space, or one sentence on what is wrong."""

import typing
from collections.abc import Mapping
from typing import Any

from dgad.errors import SettingsError
from dgad.methods import METHODS
from dgad.settings import coerce, did_you_mean, former_names
from dgad.yaml_file import KeyPath
from tune.spaces.narrowing import Choices, Fixed, Narrowing, Range, Restriction, Value

KEY = "spaces"
_EXAMPLES = "a value, a list of values, or {low: ..., high: ...}"
_RANGE_KEYS = ("low", "high", "log")


def read_spaces(
    values: Any, lines: Mapping[KeyPath, int] | None = None, path: str = ""
) -> dict[str, Narrowing]:
    """The narrowings in what a study file has under `spaces`; what was read before is left as it is.

    Raises `SettingsError` that names the line for an unknown method or setting, and for values that the
    setting's type does not have. What only whole configurations show is for `tune.spaces.checks`.
    """
    reader = _Reader(lines or {}, path)
    if not isinstance(values, Mapping):
        raise reader.error((), f"must be a mapping from methods to their settings, but got {values!r}.")
    return {
        str(method): own if isinstance(own, Narrowing) else reader.narrowing(str(method), own)
        for method, own in values.items()
    }


class _Reader:
    """Knows where it reads."""

    def __init__(self, lines: Mapping[KeyPath, int], path: str) -> None:
        self._lines = lines
        self._path = path

    def find_line(self, at: KeyPath) -> str:
        """The line of a key, or of the nearest one around it."""
        keys = (KEY, *at)
        while keys and keys not in self._lines:
            keys = keys[:-1]
        return f"{self._path}, line {self._lines[keys]}" if keys else self._path

    def error(self, at: KeyPath, reason: str) -> SettingsError:
        file_line = self.find_line(at)
        return SettingsError(f"{file_line}{': ' if file_line else ''}`{'.'.join((KEY, *at))}` {reason}")

    def narrowing(self, method: str, values: Any) -> Narrowing:
        if method not in METHODS:
            known = ", ".join(sorted(METHODS))
            raise self.error((method,), f"is no method.{did_you_mean(method, METHODS)} Known: {known}.")
        if not isinstance(values, Mapping) or not values:
            raise self.error((method,), f"must be a mapping from settings to values, but got {values!r}.")
        settings_type = METHODS[method].settings_type
        hints, former = typing.get_type_hints(settings_type), former_names(settings_type)
        own = [name for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar]
        restrictions = {}
        for key, value in values.items():
            at, name = (method, str(key)), former.get(str(key), str(key))
            if name not in own:
                whole = f"Known: {', '.join(sorted(own))}." if own else f"`{method}` has no settings."
                near = did_you_mean(name, own)
                raise self.error(at, f"is no setting of `{method}`.{near} {whole}")
            if name in restrictions:
                raise self.error(at, f"is the former name of `{name}`: give only `{name}`.")
            restrictions[name] = self.restriction(at, value, hints[name])
        return Narrowing(restrictions=restrictions, file_line=self.find_line((method,)))

    def restriction(self, at: KeyPath, value: Any, hint: Any) -> Restriction:
        file_line = self.find_line(at)
        if isinstance(value, Mapping):
            return self.range(at, value, hint)
        if isinstance(value, list | tuple):
            choices = tuple(self.typed(at, choice, hint) for choice in value)
            if not choices:
                raise self.error(at, f"must not be an empty list: give {_EXAMPLES}.")
            for number, choice in enumerate(choices):
                if choice in choices[:number]:
                    raise self.error(at, f"must be a list without repetition, but has {choice!r} twice.")
            if len(choices) > 1:
                return Choices(values=choices, file_line=file_line)
            (value,) = choices
        return Fixed(value=self.typed(at, value, hint), file_line=file_line)

    def range(self, at: KeyPath, value: Mapping[Any, Any], hint: Any) -> Restriction:
        for key in value:
            if key not in _RANGE_KEYS:
                reason = f"must be {_EXAMPLES}, but has the key `{key}`.{did_you_mean(str(key), _RANGE_KEYS)}"
                raise self.error((*at, str(key)), reason)
        number = _number_type(hint)
        if number is None:
            allowed = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
            choices = f" of {', '.join(map(str, allowed))}" if allowed else ""
            raise self.error(at, f"has no range, it is a choice{choices}: give a list of values.")
        for key in ("low", "high"):
            if key not in value:
                raise self.error(at, f"must have both `low` and `high`, but lacks `{key}`.")
        low, high = (self.typed((*at, key), value[key], number) for key in ("low", "high"))
        log = None if "log" not in value else self.typed((*at, "log"), value["log"], bool)
        if low > high:
            raise self.error(at, f"must have a `low` that is at most `high`, but got {low} and {high}.")
        if log and low <= 0:
            raise self.error((*at, "low"), f"must be above 0 where `log` is true, but got {low}.")
        if low == high:
            return Fixed(value=low, file_line=self.find_line(at))
        return Range(low=low, high=high, log=log, file_line=self.find_line(at))

    def typed(self, at: KeyPath, value: Any, hint: Any) -> Any:
        """One value in the setting's type."""
        try:
            checked: Value = coerce(value, hint, ".".join((KEY, *at)))
        except SettingsError as error:
            file_line = self.find_line(at)
            raise SettingsError(f"{file_line}: {error}" if file_line else str(error)) from None
        if isinstance(checked, float) and not abs(checked) < float("inf"):
            raise self.error(at, f"must be a finite number, but got {checked}.")
        return checked


def _number_type(hint: Any) -> type | None:
    """`int` or `float` where the setting is a number, or a number or nothing."""
    kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and kinds[0] in (int, float) else None
