import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from dgad.domains import LAYOUTS, open_dataset
from dgad.domains.pack import pack
from dgad.errors import DataError

from .trees import mask, mvtec_domain, mvtec_tree, noise, save


def make_mvtec(root: Path) -> Path:
    return mvtec_tree(root, "a", "b")


def make_btad(root: Path) -> Path:
    for name, mask_name in (("01", "{}.png"), ("03", "{}.bmp")):
        mvtec_domain(root, name, train="ok", good="ok", bad="ko", mask_name=mask_name)
    return root


def make_mvtec_ad_2(root: Path) -> Path:
    for name in ("a", "b"):
        for relative in (
            "train/good",
            "validation/good",
            "test_public/good",
            "test_private",
            "test_public/bad",
        ):
            save(root / name / relative / "000_regular.png", noise(name + relative))
        save(root / name / "test_public/ground_truth/bad/000_regular_mask.png", mask())
    return root


def make_folder(root: Path) -> Path:
    mvtec_domain(root, "a", train="ok", good="good")
    mvtec_domain(root, "b", train="good", good="ok")
    os.rename(root / "b" / "ground_truth", root / "b" / "masks")
    return root


def make_visa(root: Path) -> Path:
    mvtec_domain(root, "candle", bad="bad", mask_name="{}.png")
    return root


def make_dtd(root: Path) -> Path:
    mvtec_domain(root, "Blotchy_099", bad="bad")
    return root


def make_parquet(root: Path) -> Path:
    pack(str(make_mvtec(root / "tree")), str(root / "packed"))
    return root / "packed"


MAKERS = {
    "mvtec": make_mvtec,
    "mvtec_ad_2": make_mvtec_ad_2,
    "visa": make_visa,
    "dtd_synthetic": make_dtd,
    "btad": make_btad,
    "folder": make_folder,
    "parquet": make_parquet,
}
LIKE_MVTEC = ("visa", "dtd_synthetic")


@pytest.fixture(params=LAYOUTS)
def case(request, tmp_path):
    return request.param, MAKERS[request.param](tmp_path / "data")


def test_contract_of_every_layout(case):
    layout, location = case
    found = open_dataset(str(location))
    assert found.layout == ("mvtec" if layout in LIKE_MVTEC else layout)
    named = open_dataset(str(location), layout=layout)
    assert named.fingerprint() == found.fingerprint()
    assert list(found.domains) == sorted(found.domains)
    ids = [s.id for d in found.domains.values() for s in d.samples]
    assert len(set(ids)) == len(ids)
    for name, domain in found.domains.items():
        assert domain.name == name
        assert domain.train_normals
        assert {s.label for s in domain.tests} == {0, 1}
        for sample in domain.samples:
            assert sample.domain == name
            assert sample.id.startswith(f"{name}/")
            assert sample.split in ("train", "test")
            assert sample.image.read()
            assert (sample.mask is not None) == bool(sample.label)


def test_kinds_and_ids_are_the_same_words_in_every_layout(tmp_path):
    ids = [s.id for s in open_dataset(str(make_btad(tmp_path))).domain("03").samples]
    assert ids == [
        "03/train/good/000",
        "03/train/good/001",
        "03/test/ko/000",
        "03/test/ko/001",
        "03/test/good/000",
    ]


def test_masks_are_matched_by_stem_whatever_the_ending(tmp_path):
    samples = open_dataset(str(make_btad(tmp_path))).domain("03").tests
    assert [s.mask.path.rsplit("/", 1)[1] for s in samples if s.mask] == ["000.bmp", "001.bmp"]


def test_validation_normals_of_mvtec_ad_2_are_train_normals(tmp_path):
    domain = open_dataset(str(make_mvtec_ad_2(tmp_path))).domain("a")
    assert [s.id for s in domain.train_normals] == [
        "a/train/good/000_regular",
        "a/validation/good/000_regular",
    ]
    assert len(domain.tests) == 2


def test_names_stay_as_folders_call_them(tmp_path):
    assert list(open_dataset(str(mvtec_tree(tmp_path))).domains) == ["Alpha", "beta"]


def test_equal_stems_keep_ids_apart(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    save(folder / "test/scratch/000.bmp", noise("second"))
    samples = [s for s in open_dataset(str(tmp_path)).domain("a").tests if s.kind == "scratch"]
    assert [s.id.rsplit("/", 1)[1] for s in samples] == ["000.bmp", "000.png", "001"]
    assert [s.mask is not None for s in samples] == [False, False, True], "000's mask could be either's"
    os.rename(folder / "ground_truth/scratch/000_mask.png", folder / "ground_truth/scratch/000.bmp_mask.png")
    samples = [s for s in open_dataset(str(tmp_path)).domain("a").tests if s.kind == "scratch"]
    assert [s.mask is not None for s in samples] == [True, False, True]


def test_photographs_come_from_the_sidecar(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "sources.json").write_text(
        json.dumps([{"file": "train/good/001.png", "source": "p7.jpg", "crop_xywh": None}, {"file": None}])
    )
    found = {s.id: s.photograph for s in open_dataset(str(tmp_path)).domain("a").samples}
    assert found.pop("a/train/good/001") == "p7.jpg"
    assert set(found.values()) == {None}


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_a_bad_sidecar_is_named(tmp_path, text):
    (mvtec_domain(tmp_path, "a") / "sources.json").write_text(text)
    mvtec_domain(tmp_path, "b")
    found = open_dataset(str(tmp_path))
    assert len(found.domain("b").samples) == 5, "one domain's sidecar does not block the others"
    with pytest.raises(DataError, match=r"a/sources\.json .*a list of objects such as"):
        found.domain("a")


def test_the_fingerprint_follows_images_masks_and_names(tmp_path):
    root = mvtec_tree(tmp_path / "x", "a")
    seen = {open_dataset(str(root)).fingerprint()}
    save(root / "a/test/good/000.png", noise("other"))
    seen.add(open_dataset(str(root)).fingerprint())
    other_mask = mask()
    other_mask[0, 0] = 255
    save(root / "a/ground_truth/scratch/000_mask.png", other_mask)
    seen.add(open_dataset(str(root)).fingerprint())
    (root / "a/ground_truth/scratch/000_mask.png").unlink()
    seen.add(open_dataset(str(root)).fingerprint())
    os.rename(root / "a/test/scratch", root / "a/test/cut")
    seen.add(open_dataset(str(root)).fingerprint())
    assert len(seen) == 5


def test_one_single_domain_names_its_parent(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    with pytest.raises(DataError, match=f"one single domain.*give its parent {tmp_path} instead"):
        open_dataset(str(folder))


def test_a_level_too_high_names_the_folder_inside(tmp_path):
    mvtec_tree(tmp_path / "1cls")
    with pytest.raises(DataError, match=r"1cls in it is; give that"):
        open_dataset(str(tmp_path))


def test_no_data_set_says_what_was_expected(tmp_path):
    (tmp_path / "holiday").mkdir()
    with pytest.raises(DataError, match="is no data set: expected DOMAIN/"):
        open_dataset(str(tmp_path))
    with pytest.raises(DataError, match="There is no folder"):
        open_dataset(str(tmp_path / "none"))
    with pytest.raises(DataError, match="holds no Parquet file"):
        open_dataset(str(tmp_path), layout="parquet")


def test_unknown_layouts_domains_and_places_are_refused_by_name(tmp_path):
    root = str(mvtec_tree(tmp_path))
    with pytest.raises(DataError, match=r"`layout` must be one of .*'mvtc'.* Did you mean `mvtec`"):
        open_dataset(root, layout="mvtc")
    with pytest.raises(DataError, match=r"No domain `alpha` .* It has: Alpha, beta"):
        open_dataset(root).domain("alpha")
    with pytest.raises(DataError, match="foo://x cannot be used"):
        open_dataset("foo://x")


def test_hidden_and_foreign_files_are_no_samples(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "train/good/._000.png").write_bytes(b"resource fork")
    (folder / "train/good/Thumbs.db").write_bytes(b"x")
    assert len(open_dataset(str(tmp_path)).domain("a").train_normals) == 2


def test_opening_decodes_nothing(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "train/good/000.png").write_bytes(b"broken")
    assert len(open_dataset(str(tmp_path)).domain("a").samples) == 5


def test_two_normal_folders_with_equal_names_are_refused(tmp_path):
    folder = mvtec_domain(tmp_path, "a", train="ok")
    save(folder / "train/good/000.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"has the name of .* rename one"):
        open_dataset(str(tmp_path)).domain("a")


def test_a_folder_that_may_be_listed_but_not_searched_is_told(tmp_path, monkeypatch):
    hidden = mvtec_domain(tmp_path, "a") / "test/scratch"
    usual = os.stat

    def stat(path, *args, **options):  # as `chmod 644` of a folder has it, for all but root
        if os.path.dirname(str(path)) == str(hidden):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return usual(path, *args, **options)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(PermissionError, match="test/scratch/000"):
        open_dataset(tmp_path)
