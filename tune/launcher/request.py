"""One call of `dgad-tune launch`, and the study it means."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tune.caches.features import CachePlan
from tune.monitoring.trackers import Trackers
from tune.run_folder.folder import check_run_folder, read_study
from tune.run_folder.location import Runs
from tune.search.workers import Demand
from tune.study.paper import is_paper, read_paper_study
from tune.study.settings import (
    Study,
    check_same,
    make_default_name,
    make_study,
    read_study_file,
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A call of `dgad-tune launch`: the study's settings as given, where it runs, what it logs to."""

    given: Mapping[str, Any]
    """Study settings given on the command line; None where one was not given."""
    study_file: Path | None
    runs: Runs
    device: str
    command: str
    demand: Demand = dataclasses.field(default_factory=Demand)
    retry_failed: bool = False
    disk_cache: CachePlan | None = None
    """Plan of the feature cache on every node's disk; None for none."""
    trackers: Trackers = dataclasses.field(default_factory=Trackers)
    address: str | None = None
    """The Ray to run on, from one of its hosts: `auto` or HOST:PORT; None begins one in this process."""

    def given_study(self) -> dict[str, Any]:
        """The study's settings of the file and the command line, which wins."""
        given = {}
        if is_paper(self.study_file):
            given = read_paper_study()
        elif self.study_file is not None:
            given = read_study_file(self.study_file)
        return given | {k: v for k, v in self.given.items() if v is not None}


def resolve_study(request: Request) -> tuple[Study, Path, bool]:
    """(study, its folder, whether it was there); a stored study is never changed."""
    given = request.given_study()
    name = make_default_name(given)
    request.runs.fetch_study(name)
    folder = check_run_folder(request.runs.folder, name)
    stored = read_study(folder)
    if stored is None:
        return make_study(given), folder, False
    check_same(stored, given, folder)
    return stored, folder, True
