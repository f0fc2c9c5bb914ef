"""Files as users name them, and the pictures written of each."""

import os
from pathlib import Path

import pytest

from dgad.domains.image_paths import expand_image_paths, overlay_paths
from dgad.errors import DataError, DataWarning
from dgad.files import write_atomic

from .trees import noise, save


@pytest.mark.parametrize("given", ["parts", "parts/b.png"])
def test_a_link_that_leads_nowhere_is_called_one(tmp_path: Path, given: str) -> None:
    save(tmp_path / "parts/a.png", noise("a"))
    os.symlink("gone.png", tmp_path / "parts/b.png")
    with pytest.raises(DataError, match=r"parts/b.png is a link to gone.png, which is not there"):
        expand_image_paths([str(tmp_path / given)])


def test_photographs_in_a_format_that_is_not_read_are_told_of(tmp_path: Path) -> None:
    inside = save(tmp_path / "parts/a.png", noise("a"))
    for name in ("IMG_1.HEIC", "web.webp", "notes.txt"):
        (tmp_path / "parts" / name).write_bytes(b"x")
    with pytest.warns(DataWarning, match=r"2 of the files in .*parts are passed over, such as IMG_1.HEIC"):
        assert expand_image_paths([str(tmp_path / "parts")]) == (str(inside),)


@pytest.mark.parametrize("letter", ["x", "ß"])
def test_the_picture_of_a_file_with_the_longest_name_can_be_written(tmp_path: Path, letter: str) -> None:
    name = letter * (251 // len(letter.encode())) + ".png"
    paths = tuple(str(save(tmp_path / folder / name, noise(folder))) for folder in ("good", "bad"))
    written = overlay_paths(paths, str(tmp_path / "out"))
    assert overlay_paths(paths, str(tmp_path / "out")) == written, "the same name every time"
    for path in written:
        write_atomic(path, b"picture")
    assert {p.name[:4] for p in (tmp_path / "out").iterdir()} == {"good", "bad_"}
    (alone,) = overlay_paths(paths[:1], str(tmp_path / "out"))
    assert alone.name == name, "a name that fits stays"
    write_atomic(alone, b"picture")
