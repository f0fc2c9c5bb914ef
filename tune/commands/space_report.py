"""The space of a method as a study file narrows it, described for `dgad-tune space`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.settings import from_dict, to_dict
from tune.spaces import SpaceSettings
from tune.spaces.checks import check_spaces
from tune.spaces.conditions import format_value
from tune.spaces.description import Description, describe_parameters
from tune.spaces.features import NAMES, FeatureLists
from tune.spaces.initial_design import list_presets_in
from tune.study.settings import read_study_file


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SpaceReport:
    """The search space of a method, on the features of a study."""

    method: str
    settings: SpaceSettings
    description: Description
    presets: tuple[str, ...]
    """Presets that lie in the space, in the order in which they are tried first."""

    def as_plain(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON."""
        return {
            "method": self.method,
            "space": self.settings.kind,
            "features": to_dict(self.settings.features),
            "parameters": [parameter.as_plain() for parameter in self.description.parameters],
            "fixed": dict(self.description.fixed),
            "presets": list(self.presets),
        }


def describe_space(
    method: str, study_file: Path | None, *, demo: bool, given: Mapping[str, Any]
) -> SpaceReport:
    """Describe the space of a method with the study file's features and restrictions; `given` ones win.

    Raises `SettingsError` for an unknown method, or a file that `launch` would refuse.
    """
    method = parse_method(method)[0]
    values = read_study_file(study_file) if study_file else {}
    told = {**values, **{k: v for k, v in given.items() if v is not None}}
    names = {field.name for field in dataclasses.fields(FeatureSettings)}
    settings = SpaceSettings(
        kind="demo" if demo else values.get("space", "full"),
        features=from_dict(FeatureSettings, {k: v for k, v in told.items() if k in names}),
        narrowings=values.get("spaces", {}),
        lists=FeatureLists(**{n: told[f"search_{n}"] for n in NAMES if told.get(f"search_{n}")}),
    )
    check_spaces(settings)
    return SpaceReport(
        method=method,
        settings=settings,
        description=describe_parameters(method, settings),
        presets=tuple(point.origin.removeprefix("preset ") for point in list_presets_in(method, settings)),
    )


def print_space(report: SpaceReport, console: Console) -> None:
    """Print a table of the parameters, then what is fixed and what is tried first."""
    description, title = report.description, METHODS[report.method].title
    if description.parameters:
        table = Table(
            box=None, pad_edge=False, title=f"What the search of {title} chooses", title_justify="left"
        )
        for heading in ("setting", "values", "asked where"):
            table.add_column(heading, overflow="fold")
        for parameter in description.parameters:
            table.add_row(parameter.name, parameter.values, parameter.where.replace("`", ""))
        console.print(table)
    else:
        console.print(f"{title} has one configuration: nothing is searched.", highlight=False)
    fixed = ", ".join(f"{name} {format_value(value)}" for name, value in description.fixed.items())
    if fixed:
        console.print(f"Fixed: {fixed}", highlight=False)
    console.print(f"Presets tried first: {', '.join(report.presets) or 'none lies in it'}", highlight=False)
