"""Records of other versions: those with fewer metrics, or with others, are read like one's own."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from dgad.evaluation.metrics import Metrics
from dgad.records import Record, RecordStore, file_format, table_schema
from tests.dgad.records.test_record import make_fit, make_record

WRITTEN_BEFORE = Path(__file__).parent / "written_before"
"""One record that is ok and one that failed, written before records said which metrics they have."""


def expected_records() -> dict[str, Record]:
    common = {
        "created_at": "2026-01-31T12:00:00+00:00",
        "versions": {"python": "3.11.0", "dgad": "0.1.0"},
    }
    ok = make_record(notes=["got round memory"], **common)
    failed = make_record(
        num_samples=0,
        target="wood",
        status="failed",
        error="boom ümläut",
        log="logs/x.txt",
        metrics=Metrics(),
        reference_ids=(),
        ms_per_image=None,
        fit_s=None,
        **common,
    )
    return {r.record_id: r for r in (ok, failed)}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MoreMetrics(Metrics):
    recall_at_5: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FewerMetrics:
    image_auroc: float | None = None
    aupro: float | None = None


def test_records_written_before_are_read() -> None:
    store = RecordStore(WRITTEN_BEFORE)
    assert {r.record_id: r for r in store.records()} == expected_records()
    assert store.table().schema.equals(table_schema())
    assert store.table().num_rows == 2


def test_a_new_metric_is_none_in_records_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(WRITTEN_BEFORE, tmp_path / "records")
    store = RecordStore(tmp_path / "records")
    monkeypatch.setattr(file_format, "Metrics", MoreMetrics)
    for record in store.records():
        before = expected_records()[record.record_id]
        assert record.metrics == MoreMetrics(**dataclasses.asdict(before.metrics))
        assert dataclasses.replace(record, metrics=before.metrics) == before
    newer = make_record(fit=make_fit(seed=1), metrics=MoreMetrics(image_auroc=0.5, recall_at_5=0.25))
    store.write(newer)
    assert store.read(newer.record_id) == newer
    assert sorted(store.table()["recall_at_5"].to_pylist(), key=str) == [0.25, None, None]


def test_a_metric_that_this_version_does_not_know_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordStore(tmp_path)
    record = make_record(metrics=MoreMetrics(image_auroc=0.5, recall_at_5=0.25))
    with monkeypatch.context() as newer:
        newer.setattr(file_format, "Metrics", MoreMetrics)
        store.write(record)
    assert store.read(record.record_id) == dataclasses.replace(record, metrics=Metrics(image_auroc=0.5))
    assert "recall_at_5" not in store.table().column_names
    monkeypatch.setattr(file_format, "Metrics", FewerMetrics)
    read = store.read(record.record_id)
    assert read is not None
    assert read.metrics == FewerMetrics(image_auroc=0.5)
    assert store.table()["image_auroc"].to_pylist() == [0.5]
    assert "f1_max" not in store.table().column_names


def test_a_metric_is_still_covered_by_the_digest_of_its_record(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    record = make_record()
    store.write(record)
    row = file_format.read_row((tmp_path / f"{record.record_id}.parquet").read_bytes(), "x")
    table = file_format.table_of_rows([{**row, "image_auroc": np.nextafter(0.9, 1)}])
    file_format.pq.write_table(table, tmp_path / f"{record.record_id}.parquet")
    with pytest.raises(file_format.RecordError, match="is damaged"):
        store.read(record.record_id)
