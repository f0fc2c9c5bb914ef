"""The study's summary comes back as written, or is refused by name."""

import dataclasses
import json

import pytest

from dgad.errors import RecordError
from dgad.report.summary import read_summary, write_summary
from tests.dgad.report.synthetic_run import make_records, make_summary


def test_a_summary_comes_back_equal(tmp_path):
    for bundle in (make_summary([]).bundle, None):
        summary = make_summary(make_records(), bundle=bundle)
        write_summary(tmp_path, summary)
        assert read_summary(tmp_path) == summary


def test_bad_summaries_are_refused(tmp_path):
    with pytest.raises(
        RecordError, match=r"summary.json is missing: .* is not the folder of a finished study"
    ):
        read_summary(tmp_path)
    write_summary(tmp_path, make_summary(make_records()))
    path = tmp_path / "summary.json"
    values = json.loads(path.read_bytes())
    for text, message in (
        (path.read_text()[:200], "is damaged"),
        ("[]", "no format version"),
        (json.dumps({**values, "format_version": 2}), "format version 2, but this dgad reads up to 1"),
        (json.dumps({**values, "colour": "red"}), "unknown setting `colour`"),
    ):
        path.write_text(text)
        with pytest.raises(RecordError, match=message):
            read_summary(tmp_path)


def test_a_summary_cannot_hold_what_is_not_json(tmp_path):
    summary = dataclasses.replace(make_summary([]), wall_s=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_summary(tmp_path, summary)
    assert list(tmp_path.iterdir()) == []
