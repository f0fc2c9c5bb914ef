"""`--study paper`: the study file that ships, on the paper's own data and no other."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dgad.domains import open_dataset
from dgad.errors import DataError, UserError
from dgad.report.paper import BTAD, TEXTURES, Counts
from tune.study.settings import read_study_file

NAME = "paper"
FILE = Path(__file__).parent / "studies" / "paper.yaml"


def is_paper(study_file: Path | None) -> bool:
    """Whether `--study paper` was given; a file of that name has an ending, or `./` before it."""
    return study_file is not None and str(study_file) == NAME


def read_paper_study() -> dict[str, Any]:
    """Its settings: those of the file, a name, and of MVTec AD the textures alone."""
    return {"name": NAME, **read_study_file(FILE), "domains": tuple(TEXTURES)}


def check_paper_data(given: Mapping[str, Any]) -> None:
    """Raise `DataError` unless the data are MVTec AD and BTAD: one sentence for each thing that lacks."""
    problems = [
        *_problems("MVTec AD", "--data", given.get("data"), TEXTURES),
        *_problems("BTAD", "--extra-targets", given.get("extra_targets"), BTAD),
    ]
    if problems:
        other = f"To run the same study on other data, give a copy of {FILE} with --study."
        raise DataError("\n".join(["The paper's study lacks data.", *problems, other]))


def _problems(name: str, option: str, location: str | None, expected: Mapping[str, Counts]) -> Iterator[str]:
    if location is None:
        yield f"{name} is not given: name its folder, with {', '.join(expected)} in it, by {option}."
        return
    try:
        domains = open_dataset(location).domains
    except UserError as error:
        yield f"{name} cannot be read: {error}"
        return
    for domain, counts in expected.items():
        if domain not in domains:
            yield f"{location} has no `{domain}` of {name}."
            continue
        tests = domains[domain].tests
        defective = sum(s.label for s in tests)
        found = Counts(len(domains[domain].train_normals), len(tests) - defective, defective)
        if found != counts:
            yield (f"`{domain}` in {location} has {_told(found)} images, where {name} has {_told(counts)}.")


def _told(counts: Counts) -> str:
    return f"{counts.train} train, {counts.good} good and {counts.defective} defective"
