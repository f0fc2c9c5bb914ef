"""`spaces` in a study file: what is read, and what is refused with its line."""

from pathlib import Path

import pytest

from dgad.errors import SettingsError
from tune.spaces.narrowing import Choices, Fixed, Range, to_plain
from tune.spaces.reading import read_spaces
from tune.study.settings import make_study, read_study_file


def _file(folder: Path, *lines: str) -> Path:
    path = folder / "study.yaml"
    path.write_text("\n".join(("methods: [comparer, patch_knn]", "spaces:", *lines, "")))
    return path


def test_values_lists_and_ranges_are_read_in_the_setting_s_type(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "  comparer:",
        "    init: difference",
        "    ranking_weight: [0, 0.1, 3e-1]",  # YAML 1.1 reads 3e-1 as text
        "    learning_rate: {low: 1e-4, high: 1, log: true}",
        "    domains_per_step: {low: 2, high: 5}",
        "    width: [32]",
        "    clip_norm: {low: 2, high: 2}",
        "  patch_knn:",
        "    token_layer: null",
    )
    read = read_study_file(path)["spaces"]
    assert read["comparer"].restrictions == {
        "init": Fixed(value="difference"),
        "ranking_weight": Choices(values=(0.0, 0.1, 0.3)),
        "learning_rate": Range(low=1e-4, high=1.0, log=True),
        "domains_per_step": Range(low=2, high=5),
        "width": Fixed(value=32),
        "clip_norm": Fixed(value=2.0),
    }
    assert isinstance(read["comparer"].restrictions["learning_rate"].high, float)
    assert isinstance(read["comparer"].restrictions["domains_per_step"].low, int)
    assert read["patch_knn"].restrictions == {"token_layer": Fixed(value=None)}


def test_a_setting_may_have_the_name_it_had_in_an_earlier_version(tmp_path: Path) -> None:
    former = "  patch_knn: {max_reference_patches: 64}"
    read = read_study_file(_file(tmp_path, former))["spaces"]
    assert read["patch_knn"].restrictions == {"max_memory_patches": Fixed(value=64)}
    with pytest.raises(SettingsError, match=r"`max_memory_patches`: give only `max_memory_patches`"):
        read_study_file(_file(tmp_path, "  patch_knn: {max_reference_patches: 64, max_memory_patches: 64}"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["  comparor: {init: random}"],
            r"line 3: .*comparor` is no method\. Did you mean `comparer`",
        ),
        (["  comparer:paper: {init: random}"], r"line 3: `spaces\.comparer:paper` is no method"),
        (["  comparer: random"], r"line 3: `spaces\.comparer` must be a mapping"),
        (["  comparer: {}"], r"line 3: `spaces\.comparer` must be a mapping from settings .* but got {}"),
        (
            ["  comparer:", "    init: random", "    rankin_weight: 1"],
            r"line 5: `spaces\.comparer\.rankin_weight` is no setting of `comparer`\."
            r" Did you mean `ranking_weight`\? Known: abnormals_per_domain, .*width",
        ),
        (["  trivial: {x: 1}"], r"line 3: `spaces\.trivial\.x` is no setting of `trivial`.*has no settings"),
        (["  comparer:", "    ranking_weight: []"], r"line 4: .*ranking_weight` must not be an empty list"),
        (["  comparer:", "    ranking_weight: [1, 2, 1.0]"], r"line 4: .* without repetition, but has 1\.0"),
        (["  comparer:", "    init: warm"], r"line 4: .*init` must be one of difference, .* but got 'warm'"),
        (["  comparer:", "    init: [random, warm]"], r"line 4: .*init` must be one of .* but got 'warm'"),
        (["  comparer:", "    num_steps: many"], r"line 4: .*num_steps` must be a whole number"),
        (["  comparer:", "    num_steps: [20, 2.5]"], r"line 4: .*num_steps` must be a whole number.*2\.5"),
        (["  comparer:", "    flips: 1"], r"line 4: .*flips` must be true or false, but got 1"),
        (["  comparer:", "    clip_norm: null"], r"line 4: .*clip_norm` must be a number, but got None"),
        (["  comparer:", "    clip_norm: .inf"], r"line 4: .*clip_norm` must be a finite number"),
        (
            ["  comparer:", "    learning_rate: {low: 1.0e-2, high: 1.0e-3}"],
            r"line 4: .*learning_rate` must have a `low` that is at most `high`, but got 0\.01 and 0\.001",
        ),
        (
            ["  comparer:", "    learning_rate:", "      low: 1.0e-3", "      high: much"],
            r"line 6: `spaces\.comparer\.learning_rate\.high` must be a number, but got 'much'",
        ),
        (["  comparer:", "    learning_rate: {low: 1.0e-3}"], r"line 4: .* both `low` and `high`, .* `high`"),
        (
            ["  comparer:", "    learning_rate: {low: 0, hihg: 1}"],
            r"line 4: .* key `hihg`.*mean `high`",
        ),
        (["  comparer:", "    clip_norm: {low: 0, high: 1, log: true}"], r"line 4: .*low` must be above 0"),
        (
            ["  comparer:", "    init: {low: 1, high: 2}"],
            r"line 4: .*init` has no range.* of difference,",
        ),
        (["  comparer:", "    finest_stride: {low: 4, high: 8}"], r"line 4: .*has no range.* choice of 4, 8"),
        (["  comparer:", "    flips: {low: 0, high: 1}"], r"line 4: .*flips` has no range"),
        (
            ["  patch_knn:", "    token_layer: {low: -1.5, high: 0}"],
            r"line 4: .*low` must be a whole",
        ),
    ],
)
def test_a_wrong_space_is_one_sentence_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=rf"study\.yaml, {message}"):
        read_study_file(_file(tmp_path, *lines))


def test_spaces_that_are_no_mapping_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("trials: 3\nspaces: [comparer]\n")
    with pytest.raises(SettingsError, match=r"study\.yaml, line 2: `spaces` must be a mapping"):
        read_study_file(path)


def test_a_method_that_the_study_does_not_search_is_refused_with_its_line(tmp_path: Path) -> None:
    given = read_study_file(_file(tmp_path, "  patchcore:", "    neighbourhood: 3")) | {"data": "x"}
    with pytest.raises(SettingsError, match=r"line 3: `spaces\.patchcore` .* are comparer, patch_knn"):
        make_study(given)
    fixed = read_study_file(_file(tmp_path, "  comparer:", "    head: mlp")) | {"data": "x"}
    with pytest.raises(SettingsError, match=r"line 3: `spaces\.comparer` .* does not search"):
        make_study({**fixed, "methods": ("comparer:paper",)})


def test_what_was_read_is_written_as_it_was_and_read_again_equal() -> None:
    plain = {
        "comparer": {
            "init": "difference",
            "ranking_weight": [0.1, 0.3],
            "learning_rate": {"low": 1e-4, "high": 1e-3},
            "temperature": {"low": 0.1, "high": 1.0, "log": False},
        },
        "patch_knn": {"token_layer": None},
    }
    read = read_spaces(plain)
    assert to_plain(read) == plain
    assert read_spaces(read) == read
