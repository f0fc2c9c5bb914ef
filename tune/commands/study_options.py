"""Options of `launch`, made from the fields of `Study`: one a field, with its type, default and docstring.

The fields are read from the source of `tune.study.settings`: importing it takes the seconds that torch takes,
and `--help` is not to wait for them. A test holds what is read here against the class itself.
"""

import ast
import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from dgad.commands.evaluate import split_names
from dgad.commands.options import refuse_image_size
from dgad.errors import SettingsError

_F = TypeVar("_F", bound=Callable[..., Any])
_MODULE, _CLASS, _DEMO = "tune.study.settings", "Study", "DEMO_DEFAULTS"
_NUMBERS: Mapping[str, type] = {"int": int, "float": float}
_SPELLINGS = {"constraints": "--constraint"}
_MULTIPLE = ("constraints",)
"""Given by repeating the option: a bound such as `ms_per_image <= 20` is a name of its own."""
_ALL_IS_EMPTY = ("domains", "folds")
"""`all` on the command line is the empty tuple of the field."""

WITHOUT_OPTION: Mapping[str, str] = {
    "spaces": "a mapping of methods to restrictions of their settings: written in a study file",
    "format_version": "set by the program that writes a study file",
}
"""Fields of `Study` that have no option, and why."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StudyField:
    """A field of `Study`, as its source has it."""

    name: str
    annotation: str
    default: Any
    """The default; None where there is none, or where it is no literal."""
    choices: tuple[str, ...]
    """The values that a `Literal` allows, also inside a tuple; empty for other types."""
    text: str
    """The field's docstring on one line."""

    @property
    def option(self) -> str:
        """The option's spelling, such as `--num-references`."""
        return _SPELLINGS.get(self.name, f"--{self.name.replace('_', '-')}")

    @property
    def is_list(self) -> bool:
        """Whether the field holds several values."""
        return self.annotation.startswith("tuple[")


@functools.cache
def read_study_fields() -> tuple[StudyField, ...]:
    """The fields of `Study` in their order, read without importing its module."""
    module = _parse(_MODULE)
    (body,) = (node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == _CLASS)
    return tuple(
        StudyField(
            name=node.target.id,
            annotation=ast.unparse(node.annotation),
            default=_literal(node.value),
            choices=_choices(node.annotation, module),
            text=_docstring(after),
        )
        for node, after in zip(body, [*body[1:], None], strict=True)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )


def add_study_options(command: _F) -> _F:
    """Add an option for each field of `Study` that can have one; `read_settings` reads their values."""
    demo = _demo_defaults()
    for field in reversed(read_study_fields()):
        if field.name not in WITHOUT_OPTION:
            command = _option(field, demo.get(field.name))(command)
    return refuse_image_size(command)


def read_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The study's settings from the values of its options; what was not given is None."""
    return {f.name: _value(f, options[f.name]) for f in read_study_fields() if f.name not in WITHOUT_OPTION}


def _value(field: StudyField, given: Any) -> Any:
    if not field.is_list:
        return given
    if not given:
        return None
    if field.name in _MULTIPLE:
        return given
    if field.name in _ALL_IS_EMPTY and given == "all":
        return ()
    names = split_names(given)
    return tuple(_whole(field, n) for n in names) if field.annotation.startswith("tuple[int") else names


def _whole(field: StudyField, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{field.option} must be whole numbers with commas, but got {text!r}.") from None


def _option(field: StudyField, demo: Any) -> Callable[[_F], _F]:
    shown = [_shown(field.default)] if field.default not in (None, ()) else []
    shown += [f"demo: {_shown(demo)}"] if demo is not None else []
    help_text = f"{field.text}  [default: {'; '.join(shown)}]" if shown else field.text
    kind = field.annotation.removesuffix(" | None")
    if kind == "bool":
        both = f"{field.option}/--no-{field.option[2:]}"
        return click.option(both, field.name, default=None, help=help_text)
    if field.name in _MULTIPLE:
        return click.option(field.option, field.name, multiple=True, help=help_text)
    return click.option(
        field.option,
        field.name,
        type=_NUMBERS.get(kind),
        metavar=_metavar(field),
        help=help_text,
    )


def _metavar(field: StudyField) -> str | None:
    """How help shows the value; choices are for the reader, since the study itself refuses others."""
    if field.is_list:
        return f"[{'|'.join(field.choices)}],..." if field.choices else "TEXT,..."
    return f"[{'|'.join(field.choices)}]" if field.choices else None


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _demo_defaults() -> dict[str, Any]:
    """What a study without data does differently."""
    for node in _parse(_MODULE).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == _DEMO and node.value:
            return dict(ast.literal_eval(node.value))
    return {}


@functools.cache
def _parse(module: str) -> ast.Module:
    # Not by `find_spec`, which imports the packages that a module lies in.
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _literal(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:  # a name or a call
        return None


def _docstring(node: ast.stmt | None) -> str:
    value = node.value.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) else None
    return " ".join(inspect.cleandoc(value).split()) if isinstance(value, str) else ""


def _choices(annotation: ast.expr, module: ast.Module) -> tuple[str, ...]:
    """The strings of the `Literal` in an annotation, which may be named by an alias of another module."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return tuple(str(ast.literal_eval(value)) for value in values)
        if isinstance(node, ast.Name) and (found := _alias(node.id, module)):
            return found
    return ()


def _alias(name: str, module: ast.Module) -> tuple[str, ...]:
    for node in module.body:
        if isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets):
            return _choices(node.value, module)
        if isinstance(node, ast.ImportFrom) and node.module and name in (a.name for a in node.names):
            return _alias(name, _parse(node.module)) if node.module.startswith("tune.") else ()
    return ()
