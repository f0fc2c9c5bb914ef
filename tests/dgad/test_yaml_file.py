"""Every key and list item of a YAML file has its line."""

from pathlib import Path

import pytest

from dgad.errors import SettingsError
from dgad.yaml_file import line_at, load_yaml

TEXT = """\
name: a
steps:
  - first
  - >-
    folded
    over lines
  - {key: 1,
     other: 2}
"""


def test_lines_of_keys_and_of_list_items(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(TEXT)
    values, lines = load_yaml(path)
    assert values["steps"] == ["first", "folded over lines", {"key": 1, "other": 2}]
    assert lines[("steps", "0")] == 3
    assert lines[("steps", "1")] == 4
    assert lines[("steps", "2", "other")] == 8


def test_the_line_of_what_has_none_is_that_of_the_nearest_above(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(TEXT)
    lines = load_yaml(path)[1]
    assert line_at(lines, ("steps", 2, "key")) == 7
    assert line_at(lines, ("steps", 2, "none", "at", "all")) == 7
    assert line_at(lines, ("steps", 9)) == 2
    assert line_at(lines, ("none",)) == line_at(lines, ()) == 1


def test_a_key_that_stands_twice_in_a_list_item(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("steps:\n  - a: 1\n    a: 2\n")
    with pytest.raises(SettingsError, match=r"line 3: `a` stands here twice \(first in line 2\)"):
        load_yaml(path)


@pytest.mark.parametrize(("text", "told"), [("a: " + "[" * 9999, "deeply"), ("a: &b [*b]", "inside itself")])
def test_what_has_no_end_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=f"{path} .*{told}"):
        load_yaml(path)
