"""What a finished study prints."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.dgad.report.synthetic_run import make_records, make_run, make_summary
from tune.commands.results import print_results


@pytest.mark.parametrize(
    ("methods", "told"), [(("patch_knn",), True), (("patch_knn", "comparer:paper"), False)]
)
def test_a_study_without_a_comparer_says_that_it_leaves_no_bundle(
    tmp_path: Path, methods: tuple[str, ...], told: bool
) -> None:
    records = make_records()
    make_run(tmp_path, records=records, summary=make_summary(records, methods=methods, bundle=None))
    written = io.StringIO()
    print_results(tmp_path, make_summary(records, methods=methods, bundle=None), Console(file=written))
    assert ("No bundle: it is made of the first comparer" in written.getvalue()) is told
