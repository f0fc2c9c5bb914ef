"""The client's reading of answers: strict about what it knows, blind to what a newer service adds."""

from collections.abc import Iterable
from typing import TypeVar

from pydantic import ValidationError

from dgad.errors import SettingsError
from serve.api.schemas import Answer

A = TypeVar("A", bound=Answer)
_RULES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
}
"""What must hold, by pydantic's type of error."""


def read_answer(kind: type[A], content: bytes | str) -> A:
    """The JSON text `content` as an answer; fields that are not known here are passed over.

    Raises `SettingsError` for text that is no JSON, a missing field, or a value of another type: then
    whatever answered is no service of ours, or one of another version.
    """
    try:
        return kind.model_validate_json(content, strict=True, extra="ignore")
    except ValidationError as error:
        raise SettingsError(_describe_mistake(error)) from None


def _describe_mistake(error: ValidationError) -> str:
    """The first thing that is wrong, in the words of `dgad.settings.require`."""
    first = error.errors()[0]
    *parents, last = ("answer", *first["loc"])
    kind, value = first["type"], first["input"]
    if kind == "json_invalid":
        return "it is not JSON"
    if kind == "missing":
        return f"`{_dotted(parents)}` must have `{last}`, but it is missing."
    where = _dotted([*parents, last])
    if kind in ("model_type", "dataclass_type"):
        return f"`{where}` must be a JSON object, but got {type(value).__name__}."
    rule = _RULES.get(kind, str(first["msg"]))
    if kind == "literal_error":
        rule = "one of " + first["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
    return f"`{where}` must be {rule}, but got {value!r}."


def _dotted(parts: Iterable[str | int]) -> str:
    """`answer.results[0].score`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
