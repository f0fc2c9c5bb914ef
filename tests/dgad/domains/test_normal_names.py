"""Folders of normal images, whatever the field calls them; and names of others that sound like it."""

from pathlib import Path

import numpy as np
import pytest

import dgad
from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset
from dgad.domains.normal_names import is_normal_name, suggests_normal
from dgad.domains.pack import pack
from dgad.errors import DataError, DataWarning

from .trees import mvtec_domain, noise, save

NORMAL = (
    "good",
    "Good",
    "GOOD",
    "ok",
    "OK",
    "O.K.",
    "normal",
    "Normal",
    "defect_free",
    "Defect-Free",
    "MT_Free",
)
CALLED_NORMAL = (
    "okay",
    "Good_2",
    "no_defect",
    "NODefect_images",
    "ok_front",
    "flawless",
    "non-defective",
    "Negative",
    "undamaged",
    "anomaly-free",
    "defect_free_2",
)
DEFECTS = (
    "scratch",
    "ko",
    "NG",
    "not_ok",
    "no_good",
    "abnormal",
    "bad",
    "defect",
    "free_form_crack",
    "hole",
    "uneven_defect",
    "unknown anomaly",
    "notch_damage",
    "noise_error",
    "free_form_defect",
    "defect_harmless",
    "000",
)


def codes(root: Path) -> list[tuple[str, str]]:
    return [(p.severity, p.code) for p in check_dataset(root).problems]


def test_names() -> None:
    assert [n for n in (*NORMAL, *CALLED_NORMAL, *DEFECTS) if is_normal_name(n)] == list(NORMAL)
    assert [n for n in (*CALLED_NORMAL, *DEFECTS) if suggests_normal(n)] == list(CALLED_NORMAL)


@pytest.mark.parametrize("train", ["good", "OK"])
@pytest.mark.parametrize("test", NORMAL)
def test_normal_images_are_found_whatever_their_folder_is_called(
    tmp_path: Path, train: str, test: str
) -> None:
    as_usual = open_dataset(mvtec_domain(tmp_path / "usual", "a").parent)
    found = open_dataset(mvtec_domain(tmp_path / "named", "a", train=train, good=test).parent)
    assert [(s.id, s.kind, s.label) for s in sorted(found.domain("a").samples, key=lambda s: s.id)] == [
        (s.id, s.kind, s.label) for s in sorted(as_usual.domain("a").samples, key=lambda s: s.id)
    ]
    assert found.fingerprint() == as_usual.fingerprint()
    assert check_dataset(tmp_path / "named").problems == ()


@pytest.mark.parametrize("layout", ["mvtec", "btad", "folder"])
def test_a_layout_that_is_named_reads_them_too(tmp_path: Path, layout: str) -> None:
    mvtec_domain(tmp_path, "a", train="Good", good="Normal")
    assert [s.kind for s in open_dataset(tmp_path, layout=layout).domain("a").tests] == [
        "good",
        "scratch",
        "scratch",
    ]


def test_an_evaluation_is_the_same(tmp_path: Path) -> None:
    flat, marked = np.full((64, 64), 120, np.uint8), np.full((64, 64), 120, np.uint8)
    marked[20:40, 20:40] = 255
    for i in range(4):
        save(tmp_path / f"a/train/good/{i}.png", flat + i)
        save(tmp_path / f"a/test/Good/{i}.png", flat + 4 + i)
        save(tmp_path / f"a/test/spot/{i}.png", marked + i)
    table = dgad.evaluate(
        tmp_path,
        target="a",
        sources=(),
        methods="trivial",
        num_references=4,
        features=dgad.FeatureSettings(weights="none", scale="squash 32"),
    )
    assert table.rows[0].image_auroc == 1.0


def test_two_folders_of_normal_images_are_one_where_no_name_clashes(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a")
    save(folder / "test/OK/001.png", noise("another"))
    save(folder / "test/OK/000.bmp", noise("a third"))
    normals = [s.id for s in open_dataset(tmp_path).domain("a").tests if not s.label]
    assert normals == ["a/test/good/000.bmp", "a/test/good/001", "a/test/good/000.png"]
    save(folder / "test/OK/000.png", noise("of the same name"))
    mvtec_domain(tmp_path, "b")
    found = open_dataset(tmp_path)
    assert found.domain("b").samples, "the other domain can be used"
    with pytest.raises(DataError, match=r"test/good/000.png has the name of .*test/OK/000.png.*; rename one"):
        found.domain("a")
    assert codes(tmp_path) == [("fatal", "two_of_one_name")]


@pytest.mark.parametrize("name", ["okay", "no_defect"])
def test_a_kind_that_is_called_normal_is_told(tmp_path: Path, name: str) -> None:
    folder = mvtec_domain(tmp_path, "a", good=name)
    told = {p.code: p.message for p in check_dataset(tmp_path).problems}
    assert f"counts the 1 images of `{name}` as defects" in told["kind_called_normal"]
    assert (
        "looked for folders called good, ok, normal, defect_free, MT_Free, in any case"
        in told["no_test_normals"]
    )
    with pytest.warns(DataWarning, match=rf"{folder} .*`dgad domains check {tmp_path}` lists every problem"):
        pack(str(tmp_path), str(tmp_path / "packed"))


def test_packed_domains_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mvtec_domain(tmp_path / "src", "a", good="Normal")
    packed = pack(str(tmp_path / "src"), str(tmp_path / "dst"))
    assert packed.fingerprint() == open_dataset(tmp_path / "src").fingerprint()
    assert [s.label for s in packed.domain("a").tests] == [0, 1, 1]
    # As a version packed it that took `Normal` for a defect.
    monkeypatch.setattr("dgad.domains.trees.folder.is_normal_name", lambda name: name == "good")
    before = pack(str(tmp_path / "src"), str(tmp_path / "before"))
    assert next((s.id, s.label) for s in before.domain("a").tests) == ("a/test/Normal/000", 0)
