import json
import os
import re

import pytest
from click.testing import CliRunner

from dgad.cli import cli
from dgad.errors import DataError, SettingsError
from tests.dgad.domains.trees import mvtec_domain, mvtec_tree


def run(*arguments):
    return CliRunner().invoke(cli, ["domains", *(str(a) for a in arguments)])


@pytest.mark.parametrize("command", [[], ["check"], ["pack"], ["synthesize"]])
def test_every_help_has_an_example(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert re.search(r"Example:\n\s+dgad domains \w+", result.output)


def test_check_prints_counts_and_exits_0(tmp_path):
    result = run("check", mvtec_tree(tmp_path))
    assert result.exit_code == 0
    assert "Alpha" in result.output
    assert "scratch 2" in result.output
    assert "No problems." in result.output


def test_check_exits_2_on_a_fatal_problem_and_prints_its_whole_path(tmp_path):
    path = mvtec_domain(tmp_path / ("long" * 40), "a[b]") / "train/good/000.png"
    path.write_bytes(b"no image")
    result = run("check", tmp_path / ("long" * 40))
    assert result.exit_code == 2
    assert f"fatal: {path} is not a JPEG" in result.output


def test_no_name_is_so_long_or_of_so_many_lines_that_it_hides_the_counts(tmp_path):
    mvtec_domain(tmp_path, "x" * 200)
    mvtec_domain(tmp_path, "new\nline")
    rows = [line.split("│") for line in run("check", tmp_path).output.splitlines()]
    rows = [[cell.strip() for cell in row] for row in rows if len(row) > 3]
    assert [row[2:] for row in rows if row[2]] == 2 * [["2", "1", "2", "2", "scratch 2", ""]]
    assert rows[0][1] == r"new\nline"
    assert "".join(row[1] for row in rows[1:]) == "x" * 200


def test_check_exits_0_on_warnings(tmp_path):
    os.remove(mvtec_domain(tmp_path, "a") / "ground_truth/scratch/000_mask.png")
    result = run("check", tmp_path)
    assert result.exit_code == 0
    assert "warning:" in result.output


def test_check_json_is_one_object(tmp_path):
    (mvtec_domain(tmp_path, "a") / "train/good/000.png").write_bytes(b"")
    result = run("check", tmp_path, "--json")
    assert result.exit_code == 2
    answer = json.loads(result.output)
    assert answer["layout"] == "mvtec"
    assert answer["num_fatal"] == 1
    (row,) = answer["domains"]
    sizes = row.pop("sizes")
    assert row == {
        "domain": "a",
        "train_normals": 2,
        "test_normals": 1,
        "defects": {"scratch": 2},
        "masks": 2,
    }
    assert (sizes["smallest"], sizes["largest"], sizes["defect_px"]) == ([20, 24], [20, 24], 4.0)
    (problem,) = answer["problems"]
    assert problem["severity"] == "fatal"
    assert problem["code"] == "unreadable_file"
    assert problem["path"].endswith("a/train/good/000.png")


def test_synthesize_then_pack_then_check(tmp_path):
    made = run(
        "synthesize", tmp_path / "made", "--domains", "tile, wood", "--num-train", 1, "--num-good", 1,
        "--num-defective", 2, "--size", "48x32",
    )  # fmt: skip
    assert made.exit_code == 0, made.exception
    packed = run("pack", tmp_path / "made", tmp_path / "packed")
    assert packed.exit_code == 0
    assert "2 domains with 8 images" in packed.output
    assert json.loads(run("check", tmp_path / "packed", "--json").output)["layout"] == "parquet"


def test_mistakes_are_user_errors(tmp_path):
    assert isinstance(run("check", tmp_path).exception, DataError)
    assert isinstance(run("check", mvtec_tree(tmp_path / "x"), "--layout", "odd").exception, DataError)
    assert isinstance(run("synthesize", tmp_path / "y", "--domains", "velvet").exception, SettingsError)
    assert isinstance(run("pack", tmp_path, tmp_path / "z").exception, DataError)


def test_check_shows_what_a_scale_makes_of_photographs_and_defects(tmp_path):
    result = run("check", mvtec_tree(tmp_path), "--scale", "0.5")
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    (row,) = [words for words in lines if words[:1] == ["Alpha"]]
    assert row == ["Alpha", "20", "x", "24", "0.5", "10", "x", "12", "4", "2.0"]
    assert "a square of 2.0 px at the scale `0.5`, under 4" in result.output
    assert "`--scale native`" in result.output
    (problem, _) = json.loads(run("check", tmp_path, "--scale", "0.5", "--json").output)["problems"]
    assert problem["code"] == "tiny_defects"


def test_a_scale_that_is_none_is_one_sentence(tmp_path):
    error = run("check", mvtec_tree(tmp_path), "--scale", "large").exception
    assert isinstance(error, SettingsError)
    assert "`scale` must be `auto`, `native`, a factor" in str(error)
