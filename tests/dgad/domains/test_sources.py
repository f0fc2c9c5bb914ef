"""`sources.json`: what matches no image is told with its line; what can mean only one image protects it."""

import json
from pathlib import Path

import pytest

import dgad
from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset
from dgad.domains.pack import pack
from dgad.errors import DataError, DataWarning

from .trees import mvtec_domain


def write(folder: Path, entries: object) -> Path:
    """One entry a line, the first in line 2."""
    path = folder / "sources.json"
    lines = ",\n".join(map(json.dumps, entries)) if isinstance(entries, list) else json.dumps(entries)
    path.write_text(f"[\n{lines}\n]" if isinstance(entries, list) else lines)
    return path


def problems(root: Path) -> list[tuple[str, str, str]]:
    return [(p.severity, p.code, p.message) for p in check_dataset(root).problems]


@pytest.mark.parametrize(
    "file",
    [
        "train/good/001.png",
        "train\\good\\001.png",
        ".\\train\\good\\001.png",
        "./train/good/001.png",
        "train//good/../good/001.png",
        "carpet/train/good/001.png",
        "../carpet/train/good/001.png",
        "C:\\data\\Carpet\\train\\good\\001.png",
        "train/good/001.PNG",
        "Train/Good/001.png",
    ],
)
def test_an_entry_protects_the_one_image_it_can_mean(tmp_path: Path, file: str) -> None:
    write(mvtec_domain(tmp_path, "carpet"), [{"file": file, "source": "IMG_7.jpg"}])
    for location in (str(tmp_path), pack(str(tmp_path), str(tmp_path / "packed")).location):
        found = {s.id: s.photograph for s in open_dataset(location).domain("carpet").samples}
        assert found.pop("carpet/train/good/001") == "IMG_7.jpg"
        assert set(found.values()) == {None}
    assert problems(tmp_path) == []


def test_a_photograph_may_be_a_number(tmp_path: Path) -> None:
    write(mvtec_domain(tmp_path, "a"), [{"file": "train/good/000.png", "source": 7}])
    assert open_dataset(tmp_path).domain("a").samples[0].photograph == "7"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"file": "train/good/000.jpg", "source": "p"}, "did you mean train/good/000.png?"),
        ({"file": "000.png", "source": "p"}, "relative to the domain's folder, such as"),
        ({"file": "train/good/009.png", "source": "p"}, "is no image of this domain"),
        ({"path": "train/good/000.png", "photo": "p"}, '{"path": "train/good/000.png", "photo": "p"}'),
        ({"file": "train/good/000.png", "source": None}, "which protects nothing; expected"),
        ({"file": "train/good/000.png", "source": "\ud800"}, "which protects nothing; expected"),
        ({"file": 3, "source": "p"}, "which protects nothing; expected"),
        ({"file": "train/good/000.png", "source": True}, "which protects nothing; expected"),
        (["train/good/000.png", "p"], "which protects nothing; expected"),
        (7, "which protects nothing; expected"),
    ],
)
def test_every_entry_without_an_image_is_told_with_its_line(tmp_path: Path, entry: object, told: str) -> None:
    path = write(mvtec_domain(tmp_path, "a"), [{"file": "train/good/001.png", "source": "q"}, entry])
    ((severity, _, message),) = problems(tmp_path)
    assert severity == "warning"
    assert "in line 3 " in message
    assert told in message
    with pytest.warns(DataWarning, match=f"{path} .*in line 3"):
        pack(str(tmp_path), str(tmp_path / "packed"))


def test_a_sidecar_that_protects_nothing_is_fatal(tmp_path: Path) -> None:
    write(
        mvtec_domain(tmp_path, "a"),
        [{"image": "train/good/000.png", "photo": "p"}, {"file": "x", "source": "p"}],
    )
    found = problems(tmp_path)
    assert [(severity, code) for severity, code, _ in found] == [
        ("fatal", "bad_sources"),
        ("warning", "source_without_image"),
        ("warning", "unread_source"),
    ]
    assert "protects nothing: none of its 2 entries names an image of this domain" in found[0][2]
    assert problems(write(mvtec_domain(tmp_path / "none", "b"), []).parent.parent) == []


def test_two_photographs_of_one_image_are_a_contradiction(tmp_path: Path) -> None:
    each = [
        {"file": f, "source": s} for f, s in (("train/good/0\\..\\000.png", "p"), ("train/good/000.png", "q"))
    ]
    write(mvtec_domain(tmp_path, "a"), each)
    ((severity, _, message),) = problems(tmp_path)
    assert severity == "fatal"
    assert 'two photographs, "p" in line 2 and "q" in line 3; leave one' in message


@pytest.mark.parametrize("text", ["{", '{"train/good/000.png": "p"}', '"x"', "", "[1,]", "[" * 9999])
def test_one_domain_of_another_shape_blocks_only_itself(tmp_path: Path, text: str) -> None:
    path = mvtec_domain(tmp_path, "a") / "sources.json"
    path.write_text(text)
    mvtec_domain(tmp_path, "b")
    assert [(p.severity, p.code, p.path) for p in check_dataset(tmp_path).problems] == [
        ("fatal", "bad_sources", str(path))
    ]
    expected = r'list of objects such as {"file": "train/good/000.png", "source": "IMG_0001.jpg"}'
    features = dgad.FeatureSettings(weights="none", scale="squash 32")
    table = dgad.evaluate(
        tmp_path, target="b", sources=(), methods="trivial", num_references=2, features=features
    )
    assert table.rows[0].num_queries == 3
    with pytest.raises(DataError, match=expected):
        dgad.evaluate(
            tmp_path, target="a", sources=(), methods="trivial", num_references=2, features=features
        )


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a")
    text = '[\r\n{"file": "train/good/000.png",\r\n"source": "p"},\r\n{"file": "x", "source": "p"}\r\n]'
    (folder / "sources.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert open_dataset(tmp_path).domain("a").samples[0].photograph == "p"
    assert "in line 4 " in problems(tmp_path)[0][2]


@pytest.mark.parametrize(
    ("place", "told"),
    [("a/Sources.json", "call it sources.json"), ("sources.json", "put it in that domain's folder")],
)
def test_a_sidecar_of_another_case_or_place_is_told(tmp_path: Path, place: str, told: str) -> None:
    mvtec_domain(tmp_path, "a")
    (tmp_path / place).write_text('[{"file": "a/train/good/000.png", "source": "p"}]')
    ((severity, code, message),) = problems(tmp_path)
    assert (severity, code) == ("warning", "unread_sidecar")
    assert message.endswith(told)
