"""A file of backbone weights: whether it is there, and which timm model it says that it is of.

Models of one shape may want another input (TensorFlow's EfficientNets are padded and normalised otherwise),
and weights of one load into the other without a sign. So what the header of the file says, its name, or the
`config.json` that timm writes beside it, is held against the backbone that was asked for.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError, safe_open

from dgad.errors import DgadWarning, WeightsError
from dgad.features.builtin import OTHERS

ALTERNATIVES = f"Use `builtin` (ships with dgad), {OTHERS}."
_LOADER = logging.getLogger("timm.models._builder")
_OTHER_FRAMEWORK = "tf_"
"""Before the name of a timm model that pads and normalises as TensorFlow does."""
_HUB_FILE, _HUB_CONFIG = "model.safetensors", "config.json"
"""What timm calls the weights and their description in a folder."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Declared:
    """What a file says of its weights."""

    where: str
    """The file that says so."""
    model: str
    """Of timm, without its tag."""
    input: Mapping[str, tuple[float, ...]]
    """`mean` and `std` of what the model takes; empty where it is not said."""


def find_weights_file(weights: str, backbone: str) -> Path:
    """The file; `WeightsError` where it is none, or says that its weights are of another model.

    Warns where it may well be of another, or wants an input that the backbone is not given.
    """
    path = Path(weights)
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"`weights` must be builtin, none, imagenet, timm or a .safetensors file, but got {weights!r}."
            f" {ALTERNATIVES}"
        )
    if not path.is_file():
        raise WeightsError(f"There is no weights file {weights}. {ALTERNATIVES}")
    wanted, declared = _base(backbone), _read_declared(path)
    if declared is None:
        _warn_of_sibling(path, wanted)
        return path
    if declared.model != wanted:
        raise WeightsError(
            f"{declared.where} says that its weights are of `{declared.model}`, but the backbone is"
            f" `{backbone}`: give `{declared.model}` as the backbone, or other weights."
        )
    given: Any = timm.get_pretrained_cfg(backbone, allow_unregistered=True)
    for name, values in declared.input.items():
        if (own := getattr(given, name, None)) is not None and tuple(own) != values:
            _warn_once(
                f"{declared.where} says that the {name} of the input is {list(values)}, but `{backbone}` is"
                f" given images with {list(own)}: name the backbone with the tag of these weights, such as"
                f" `{wanted}.TAG`."
            )
    return path


@contextlib.contextmanager
def without_loader_warnings() -> Iterator[None]:
    """While a file is loaded: timm warns at every model of what the file holds beyond the levels asked for.

    A complete one holds its head too. What a file lacks is looked for afterwards, and an error.
    """

    def is_wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Unexpected keys")

    _LOADER.addFilter(is_wanted)
    try:
        yield
    finally:
        _LOADER.removeFilter(is_wanted)


def _read_declared(path: Path) -> _Declared | None:
    """What the header says, or the description beside the file; None where neither names a timm model."""
    for text in _read_header(path).values():
        found = _declared_by(_parse(text), path)
        if found is None and timm.is_model(_base(text)):
            found = _Declared(where=str(path), model=_base(text), input={})
        if found is not None:
            return found
    if path.name != _HUB_FILE:
        return None
    beside = path.with_name(_HUB_CONFIG)
    try:
        return _declared_by(_parse(beside.read_bytes()), beside)
    except OSError:
        return None


def _read_header(path: Path) -> Mapping[str, str]:
    """What the header of a safetensors file says besides its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):  # told by whoever loads it
        return {}


def _parse(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _declared_by(config: Any, where: Path) -> _Declared | None:
    """What a description says that timm writes for the hub; None of one that another library wrote."""
    model = config.get("architecture") if isinstance(config, dict) else None
    if not isinstance(model, str) or not timm.is_model(_base(model)):
        return None
    said = config.get("pretrained_cfg")
    said = said if isinstance(said, dict) else {}
    values = {name: said[name] for name in ("mean", "std") if isinstance(said.get(name), list)}
    return _Declared(where=str(where), model=_base(model), input={k: tuple(v) for k, v in values.items()})


def _warn_of_sibling(path: Path, wanted: str) -> None:
    sibling = wanted.removeprefix(_OTHER_FRAMEWORK)
    if sibling == wanted:
        sibling = _OTHER_FRAMEWORK + wanted
    if not timm.is_model(sibling):
        return
    names = [n for n in (wanted, sibling) if re.search(rf"(?<![a-z0-9_]){n}(?![a-z0-9_])", path.stem)]
    if names == [wanted]:
        return
    says = f"its name says `{sibling}`" if names else "nothing in it says which of the two it is of"
    _warn_once(
        f"{path} fits `{wanted}` and `{sibling}` alike, which differ in padding and in the mean and deviation"
        f" of their input, and {says}: with the wrong one features are not what was learnt. Give the backbone"
        " that the weights are of."
    )


@functools.cache  # in a process: a backbone is built for every fit
def _warn_once(text: str) -> None:
    warnings.warn(text, DgadWarning, stacklevel=3)


def _base(name: str) -> str:
    """`resnet18` of `timm/resnet18.a1_in1k`."""
    return name.rpartition("/")[2].partition(".")[0]
