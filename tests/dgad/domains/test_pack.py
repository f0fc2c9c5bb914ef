import pickle
import subprocess
import sys
import threading
import uuid

import pyarrow.parquet as pq
import pytest

from dgad.domains import open_dataset
from dgad.domains.images import load_images, load_masks
from dgad.domains.pack import pack
from dgad.domains.parquet import METADATA_KEY, PackedFile
from dgad.errors import DataError, ImageError
from tests.geometries import squash

from .trees import mvtec_domain, mvtec_tree


def rewrite(path, **changes):
    """The file with other metadata, as another version would have written it."""
    import json

    table = pq.read_table(path)
    values = json.loads(table.schema.metadata[METADATA_KEY])
    pq.write_table(
        table.replace_schema_metadata({METADATA_KEY: json.dumps({**values, **changes}).encode()}),
        path,
        row_group_size=1,
    )


def test_a_round_trip_keeps_everything(tmp_path):
    folder = mvtec_domain(tmp_path / "src", "Ä b")
    (folder / "ground_truth/scratch/001_mask.png").unlink()
    (folder / "sources.json").write_text('[{"file": "train/good/000.png", "source": "p"}]')
    before = open_dataset(str(tmp_path / "src"))
    after = pack(str(tmp_path / "src"), str(tmp_path / "dst"))
    assert after.fingerprint() == before.fingerprint()
    plain = [(s.id, s.split, s.kind, s.photograph, bool(s.mask)) for s in before.domain("Ä b").samples]
    assert plain == [(s.id, s.split, s.kind, s.photograph, bool(s.mask)) for s in after.domain("Ä b").samples]
    assert [p.name for p in (tmp_path / "dst").iterdir()] == ["Ä b.parquet"]
    again = pack(str(tmp_path / "dst"), str(tmp_path / "again"))
    assert again.fingerprint() == before.fingerprint()


def test_images_and_masks_load_alike(tmp_path):
    tree = open_dataset(str(mvtec_tree(tmp_path / "src", "a"))).domain("a").samples
    packed = pack(str(tmp_path / "src"), str(tmp_path / "dst")).domain("a").samples
    assert load_images(tree, squash(32)).keys == load_images(packed, squash(32)).keys
    for one, other in zip(
        load_masks(tree, [(32, 32)] * len(tree)), load_masks(packed, [(32, 32)] * len(packed)), strict=True
    ):
        assert (one == other).all()


def test_any_pyarrow_filesystem_serves(tmp_path):
    source = open_dataset(str(mvtec_tree(tmp_path / "src")))
    uri = f"fsspec+memory://{uuid.uuid4().hex}/packed"
    packed = pack(str(tmp_path / "src"), uri)
    assert packed.layout == "parquet"
    assert open_dataset(uri).fingerprint() == source.fingerprint()
    with pytest.raises(DataError, match="is not empty"):
        pack(str(tmp_path / "src"), uri)
    with pytest.raises(DataError, match="Only packed Parquet"):
        open_dataset(uri, layout="mvtec")


def test_a_failed_pack_leaves_nothing_on_an_object_store(tmp_path):
    tree = mvtec_tree(tmp_path / "src")
    uri = f"fsspec+memory://{uuid.uuid4().hex}/packed"
    with open(tree / "beta/train/good/002.png", "wb") as file:
        file.truncate(65 * 2**20)  # larger than may be read, so that the second domain fails
    with pytest.raises(ImageError, match=r"002\.png"):
        pack(str(tree), uri)
    with pytest.raises(DataError, match="holds no Parquet file"):
        open_dataset(uri)


def test_a_failed_pack_leaves_nothing_on_local_disk(tmp_path):
    tree = mvtec_tree(tmp_path / "src")
    with open(tree / "beta/train/good/002.png", "wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ImageError):
        pack(str(tree), str(tmp_path / "out/dst"))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_pack_never_looks_whole(tmp_path):
    tree = mvtec_tree(tmp_path / "src")
    code = (
        "import sys, time; from dgad.domains.pack import pack;"
        f"pack({str(tree)!r}, {str(tmp_path / 'dst')!r},"
        " progress=lambda d: (print(d, flush=True), time.sleep(60)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "Alpha"  # one of two domains is written
    process.kill()
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "dst").exists()
    assert pack(str(tree), str(tmp_path / "dst")).domains  # and it does not stand in the way


def test_a_pack_with_a_file_missing_is_refused(tmp_path):
    pack(str(mvtec_tree(tmp_path / "src")), str(tmp_path / "dst"))
    (tmp_path / "dst/beta.parquet").unlink()
    with pytest.raises(DataError, match="incomplete: it lacks beta"):
        open_dataset(str(tmp_path / "dst"))


def test_two_packs_may_be_put_together(tmp_path):
    tree = str(mvtec_tree(tmp_path / "src"))
    pack(tree, str(tmp_path / "one"), domains=["Alpha"])
    pack(tree, str(tmp_path / "two"), domains=["beta"])
    (tmp_path / "one/beta.parquet").write_bytes((tmp_path / "two/beta.parquet").read_bytes())
    assert open_dataset(str(tmp_path / "one")).fingerprint() == open_dataset(tree).fingerprint()


def test_newer_foreign_and_damaged_files_are_refused(tmp_path):
    pack(str(mvtec_tree(tmp_path / "src", "a")), str(tmp_path / "dst"))
    path = tmp_path / "dst/a.parquet"
    rewrite(path, format_version=4)
    with pytest.raises(DataError, match=r"a\.parquet has format version 4.*reads up to 3; upgrade"):
        open_dataset(str(tmp_path / "dst"))
    table = pq.read_table(path)
    for index, told in (
        (b"{", r"its index: Expecting"),
        (b'{"format_version": 1}', "its index lacks 'domain'"),
    ):
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: index}), path)
        with pytest.raises(DataError, match=rf"a\.parquet is damaged \({told}.*\); pack the data again\.$"):
            open_dataset(str(tmp_path / "dst"))
    pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(DataError, match=r"a\.parquet is no packed domain"):
        open_dataset(str(tmp_path / "dst"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        open_dataset(str(tmp_path / "dst"))


def test_a_domain_twice_is_refused(tmp_path):
    pack(str(mvtec_tree(tmp_path / "src", "a")), str(tmp_path / "dst"))
    (tmp_path / "dst/copy.parquet").write_bytes((tmp_path / "dst/a.parquet").read_bytes())
    with pytest.raises(DataError, match="the same domain"):
        open_dataset(str(tmp_path / "dst"))


def test_rows_stand_alone(tmp_path):
    dataset = pack(str(mvtec_tree(tmp_path / "src", "a")), str(tmp_path / "dst"))
    metadata = pq.ParquetFile(tmp_path / "dst/a.parquet").metadata
    assert metadata.num_row_groups == metadata.num_rows == 5
    # The bytes of one row are ruined: its neighbours are still read.
    sample = dataset.domain("a").samples[2]
    data = bytearray((tmp_path / "dst/a.parquet").read_bytes())
    column = metadata.row_group(0).column(4)
    assert column.path_in_schema == "image"
    start = column.data_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    (tmp_path / "dst/a.parquet").write_bytes(bytes(data))
    fresh = open_dataset(str(tmp_path / "dst")).domain("a").samples
    assert fresh[2].image.read() == sample.image.read()
    with pytest.raises(ImageError, match=r"a\.parquet#0"):
        fresh[0].image.read()


def test_packed_samples_travel_and_are_read_by_many_threads(tmp_path):
    dataset = pack(str(mvtec_tree(tmp_path / "src", "a")), str(tmp_path / "dst"))
    samples = pickle.loads(pickle.dumps(dataset.domain("a").samples))
    expected = [s.image.read() for s in dataset.domain("a").samples]
    wrong = []

    def read_all():
        for _ in range(20):
            if [s.image.read() for s in samples] != expected:
                wrong.append(1)

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_row_larger_than_may_be_read_is_refused_by_the_footer(tmp_path, monkeypatch):
    pack(str(mvtec_tree(tmp_path / "src", "a")), str(tmp_path / "dst"))
    from dgad.domains import parquet
    from dgad.domains.decoding import DecodeLimits

    monkeypatch.setattr(parquet, "DEFAULT_LIMITS", DecodeLimits(max_bytes=1))
    monkeypatch.setattr(parquet, "_PAGE_HEADERS", 0)
    with pytest.raises(ImageError, match="more than the 1 allowed"):
        PackedFile(str(tmp_path / "dst"), str(tmp_path / "dst/a.parquet")).cell(0, "image")


def test_the_destination_must_be_new(tmp_path):
    tree = str(mvtec_tree(tmp_path / "src", "a"))
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst/x").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        pack(tree, str(tmp_path / "dst"))
    with pytest.raises(DataError, match="is a file"):
        pack(tree, str(tmp_path / "dst/x"))
    with pytest.raises(DataError, match="No domain `b`"):
        pack(tree, str(tmp_path / "new"), domains=["b"])
    long = "a" * 250
    with pytest.raises(DataError, match=f"domain `{long}` is too long"):
        pack(str(mvtec_tree(tmp_path / "long", long)), str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_opening_reads_footers_only(tmp_path):
    """Domains whose images are all gone are opened none the less."""
    pack(str(mvtec_tree(tmp_path / "src", *(f"d{i:02d}" for i in range(30)))), str(tmp_path / "dst"))
    for file in (tmp_path / "dst").rglob("*.parquet"):
        data = file.read_bytes()
        footer = 8 + int.from_bytes(data[-8:-4], "little")
        file.write_bytes(data[:4] + bytes(len(data) - 4 - footer) + data[-footer:])
    dataset = open_dataset(str(tmp_path / "dst"))
    assert len(dataset.domains) == 30
    with pytest.raises(ImageError, match=r"d07\.parquet#0"):
        dataset.domain("d07").samples[0].image.read()
