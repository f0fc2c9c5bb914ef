"""Records: what comes back is what was written, and a half-written or damaged one never passes."""

import dataclasses
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dgad.errors import RecordError, UserError
from dgad.evaluation.metrics import Metrics
from dgad.records import FitKey, Record, RecordStore, record_id_for, table_schema


def make_fit(**changes):
    values = {
        "method": "comparer",
        "settings": {"width": 32, "learning_rate": 1e-3, "levels": (0, 1)},
        "features": {"backbone": "resnet18", "weights": "none", "image_size_px": 128},
        "sources": ("leather", "grid"),
        "data_fingerprint": "abc",
        "seed": 0,
        "code_version": "1",
    }
    return FitKey(**(values | changes))


def make_record(num_samples=6, **changes):
    values = {
        "fit": make_fit(),
        "label": "comparer",
        "role": "outer",
        "target": "tile",
        "num_references": 5,
        "status": "ok",
        "metrics": Metrics(image_auroc=0.9, image_auroc_low=0.8, image_auroc_high=0.95, f1_max=0.7),
        "sample_ids": [f"tile/test/good/{i}" for i in range(num_samples)],
        "labels": np.arange(num_samples) % 2,
        "kinds": ["good", "hole"] * (num_samples // 2),
        "image_scores": np.linspace(0, 1, num_samples, dtype=np.float32),
        "reference_ids": ["tile/train/good/0"],
        "ms_per_image": 1.5,
        "fit_s": 2.0,
    }
    return Record(**(values | changes))


def test_a_record_comes_back_equal(tmp_path):
    store = RecordStore(tmp_path / "records")
    record = make_record(image_scores=[0.1, 1 / 3, -1e-300, 5.0, 1e30, 0.0])
    failed = make_record(
        num_samples=0, status="failed", error="boom ümläut", target="wood", metrics=Metrics()
    )
    store.write(record)
    store.write(failed)
    assert store.read(record.record_id) == record
    assert store.read(failed.record_id) == failed
    assert store.records() == tuple(sorted([record, failed], key=lambda r: r.record_id))
    assert store.failed() == (failed,)
    assert store.ids() == tuple(sorted([record.record_id, failed.record_id]))


def test_records_are_read_by_name_and_no_other_is_looked_at(tmp_path):
    store = RecordStore(tmp_path)
    records = [make_record(target=f"t{i}") for i in range(4)]
    for record in records[:3]:
        store.write(record)
    (tmp_path / f"{records[0].record_id}.parquet").write_bytes(b"damaged")
    wanted = [records[2].record_id, records[1].record_id, records[2].record_id, records[3].record_id]
    assert store.records(wanted) == tuple(sorted(records[1:3], key=lambda r: r.record_id))
    assert store.records([]) == ()


def test_a_store_of_nothing_reads_as_empty(tmp_path):
    store = RecordStore(tmp_path / "none")
    assert store.ids() == ()
    assert store.read("0" * 32) is None
    assert store.table().num_rows == 0
    assert not (tmp_path / "none").exists()


def test_the_fit_id_depends_on_every_field_and_not_on_order():
    fit = make_fit()
    assert fit.id == make_fit(sources=("grid", "leather")).id
    assert fit.id == make_fit(settings={"levels": [0, 1], "learning_rate": 0.001, "width": 32}).id
    changes = [
        {"method": "x"},
        {"settings": {"width": 33}},
        {"features": {}},
        {"sources": ("grid",)},
        {"data_fingerprint": "abd"},
        {"seed": 1},
        {"code_version": "2"},
        {"split": "half"},
    ]
    assert {c for change in changes for c in change} == {f.name for f in dataclasses.fields(FitKey)}
    ids = {make_fit(**change).id for change in changes}
    assert len(ids | {fit.id}) == len(changes) + 1


def test_the_record_id_is_known_before_the_record():
    record = make_record()
    assert record.record_id == record_id_for(make_fit(), "tile", 5)
    assert len({record_id_for(make_fit(), t, n) for t in ("tile", "wood") for n in (1, 2)}) == 4
    again = dataclasses.replace(record, label="other", role="inner", fit_s=9.0)
    assert again.record_id == record.record_id


def test_an_ok_record_is_never_replaced_and_a_failed_one_is(tmp_path):
    store = RecordStore(tmp_path)
    failed = make_record(num_samples=0, status="failed", error="out of memory")
    good = make_record()
    store.write(failed)
    store.write(good)
    assert store.read(good.record_id) == good
    store.write(dataclasses.replace(good, label="late"))
    assert store.read(good.record_id) == good


def test_the_table_is_one_arrow_table(tmp_path):
    store = RecordStore(tmp_path)
    for seed in range(3):
        store.write(make_record(fit=make_fit(seed=seed)))
    table = store.table()
    assert table.schema.equals(table_schema())
    assert sorted(table["seed"].to_pylist()) == [0, 1, 2]
    assert set(table["record_id"].to_pylist()) == set(store.ids())


def test_a_store_works_on_a_filesystem_without_rename():
    store = RecordStore("mock:///bucket/runs/x")
    record = make_record()
    assert store.ids() == ()
    store.write(record)
    assert store.ids() == (record.record_id,)
    assert store.read(record.record_id) == record


def test_file_uris_and_folders_are_the_same_place(tmp_path):
    record = make_record()
    RecordStore(f"file://{tmp_path}/r").write(record)
    assert RecordStore(str(tmp_path / "r")).ids() == (record.record_id,)


def test_an_unknown_filesystem_is_one_sentence():
    with pytest.raises(RecordError, match="nonsense://x cannot be used"):
        RecordStore("nonsense://x")


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
    store = RecordStore(tmp_path)
    record = make_record()
    store.write(record)
    path = tmp_path / f"{record.record_id}.parquet"
    whole = path.read_bytes()
    generator = random.Random(0)
    noticed = 0
    for position in [*range(0, len(whole), 41), *range(len(whole) - 12, len(whole))]:
        data = bytearray(whole)
        data[position] ^= 1 << generator.randrange(8)
        path.write_bytes(bytes(data))
        try:
            outcome = store.read(record.record_id)
        except RecordError as error:
            outcome = str(error)
            noticed += 1
        assert outcome == record or str(path) in outcome
    assert noticed > 50


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_cut_file_is_named(tmp_path, keep):
    store = RecordStore(tmp_path)
    record = make_record()
    store.write(record)
    path = tmp_path / f"{record.record_id}.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(RecordError, match=f"{record.record_id}.parquet is damaged"):
        store.read(record.record_id)
    with pytest.raises(RecordError, match="is damaged"):
        store.table()


def test_a_record_under_another_name_is_refused(tmp_path):
    store = RecordStore(tmp_path)
    record = make_record()
    store.write(record)
    (tmp_path / f"{record.record_id}.parquet").rename(tmp_path / f"{'0' * 32}.parquet")
    with pytest.raises(RecordError, match="holds record"):
        store.read("0" * 32)


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / f"{'0' * 32}.parquet"
    newer = pa.table({"unheard_of": [1]}).replace_schema_metadata({"dgad_format_version": "3"})
    pq.write_table(newer, path)
    with pytest.raises(UserError, match="format version 3, but this dgad reads up to 2"):
        RecordStore(tmp_path).read("0" * 32)


def test_a_record_of_format_version_1_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / f"{'0' * 32}.parquet"
    older = pa.table({"record_id": ["0" * 32]}).replace_schema_metadata({"dgad_format_version": "1"})
    pq.write_table(older, path)
    with pytest.raises(UserError, match="made by a development version of dgad: delete it, and run"):
        RecordStore(tmp_path).read("0" * 32)


def test_other_files_are_not_records(tmp_path):
    for name in ("notes.txt", "x.parquet", ".a.parquet.tmp-1-2", "0" * 32):
        (tmp_path / name).write_text("x")
    assert RecordStore(tmp_path).ids() == ()


def test_wrong_roles_and_ragged_samples_are_refused():
    with pytest.raises(RecordError, match="`role` must be one of"):
        make_record(role="outter")
    with pytest.raises(RecordError, match="`status` must be one of"):
        make_record(status="done")
    with pytest.raises(RecordError, match="per sample"):
        make_record(labels=[0])


WRITE_FOREVER = """
import sys
from tests.dgad.records.test_record import make_fit, make_record
from dgad.records import RecordStore
store = RecordStore(sys.argv[1])
seed = int(sys.argv[2])
while True:
    store.write(make_record(num_samples=2000, fit=make_fit(seed=seed)))
    print("ready", flush=True)
    seed += 1
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_no_half_record(tmp_path):
    generator = random.Random(1)
    for round_ in range(5):
        code = [sys.executable, "-c", WRITE_FOREVER, str(tmp_path), str(round_ * 1000)]
        process = subprocess.Popen(code, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(generator.uniform(0.0, 0.25))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        for record in RecordStore(tmp_path).records():
            assert len(record.image_scores) == 2000
    assert len(RecordStore(tmp_path).ids()) >= 5
