"""Study settings: from files and options, kept, compared and refused."""

import pickle
from pathlib import Path

import pytest

from dgad.errors import RecordError, SettingsError
from tune.run_folder.folder import read_study, write_study
from tune.study.settings import (
    Study,
    check_same,
    make_study,
    read_study_file,
)


def test_an_unknown_key_is_named_with_its_line_and_the_near_miss(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("# a comment\nmethods: [comparer]\n\ntrails: 4\n")
    with pytest.raises(SettingsError, match=r"study\.yaml, line 4: unknown key `trails`.*`trials`"):
        read_study_file(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trials: many\n", r"line 1: `trials` must be a whole number, but got 'many'"),
        ("seed: 1\ntrials: 2\ntrials: 3\n", r"line 3: `trials` stands here twice"),
        ("seed: 1\nmethods: [a\n", r"line 3: not valid YAML"),
        ("- just\n- a list\n", r"must hold a mapping of settings"),
        ("protocol: seen\n", r"line 1: `protocol\[0\]` must be one of nested, source-validation, oracle"),
        # F1-max lies at the threshold that the labels it is measured by would choose.
        (
            "objectives: [f1_max]\n",
            r"line 1: `objectives\[0\]` must be one of image_auroc, pixel_auroc, aupro",
        ),
        ("objectives: [auroc]\n", r"line 1: `objectives\[0\]` must be one of image_auroc"),
    ],
)
def test_a_wrong_study_file_is_one_sentence_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_study_file(path)


def test_without_data_the_demo_s_defaults_hold_unless_told() -> None:
    demo = make_study({})
    assert (demo.name, demo.space, demo.data) == ("demo", "demo", None)
    assert make_study({"trials": 9}).trials == 9
    assert make_study({"data": "/somewhere/My Parts"}).space == "full"


def test_a_study_without_a_name_is_called_after_its_data() -> None:
    assert make_study({"data": "/somewhere/My Parts/"}).name == "my-parts"
    assert make_study({"data": "s3://bucket/surfaces.v2"}).name == "surfaces-v2"


@pytest.mark.parametrize(
    "values",
    [
        {"methods": ("foo",)},
        {"methods": ("comparer:foo",)},
        {"methods": ("comparer", "comparer")},
        {"trials": 0},
        {"seeds": 0},
        {"seed": -1},
        {"num_references": "some"},
        {"scale": "squash 100"},
        {"name": "Wrong Name"},
    ],
)
def test_a_setting_out_of_range_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        make_study(values)


def test_a_stored_study_is_read_back_equal_and_can_be_given_again(tmp_path: Path) -> None:
    study = make_study({"data": str(tmp_path), "methods": ("comparer", "patch_knn"), "num_references": 5})
    write_study(tmp_path, study)
    assert read_study(tmp_path) == study
    check_same(study, read_study_file(tmp_path / "study.yaml"), tmp_path)


def test_resuming_with_other_settings_says_what_differs(tmp_path: Path) -> None:
    study = Study(name="x", trials=8)
    check_same(study, {"trials": 8, "seed": None}, tmp_path)
    with pytest.raises(SettingsError, match=r"`trials` is 8 there and 12 here.*another --name"):
        check_same(study, {"trials": 12}, tmp_path)
    with pytest.raises(SettingsError, match="`method` must be one of"):
        check_same(study, {"methods": "comparrer"}, tmp_path)


def test_what_a_study_narrows_is_kept_in_its_folder_and_compared_on_resuming(tmp_path: Path) -> None:
    spaces = {"comparer": {"init": "difference", "ranking_weight": [0.1, 0.3]}, "agg": {"stride": 16}}
    study = make_study({"data": str(tmp_path), "methods": ("comparer", "agg"), "spaces": spaces})
    write_study(tmp_path, study)
    assert read_study(tmp_path) == study
    assert pickle.loads(pickle.dumps(study)) == study, "workers get it so"
    check_same(study, read_study_file(tmp_path / "study.yaml"), tmp_path)
    check_same(study, {"spaces": spaces, "trials": 8}, tmp_path)
    check_same(study, {"trials": 8}, tmp_path)
    other = {**spaces, "agg": {"stride": 32}}
    with pytest.raises(SettingsError, match=r"`spaces` is .*stride: 16.* there and .*stride: 32.* here"):
        check_same(study, {"spaces": other}, tmp_path)
    with pytest.raises(SettingsError, match=r"`spaces` is {} there and {agg: {stride: 32}} here"):
        check_same(Study(name="x", methods=("agg",)), {"spaces": {"agg": {"stride": 32}}}, tmp_path)


def test_a_study_that_narrows_nothing_says_nothing_of_it(tmp_path: Path) -> None:
    write_study(tmp_path, Study(name="x"))
    assert "spaces" not in (tmp_path / "study.yaml").read_text()


def test_a_stored_study_without_its_name_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("trials: 3\n")
    with pytest.raises(RecordError, match=r"study\.yaml is damaged: it lacks the study's `name`"):
        read_study(tmp_path)


def test_a_study_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: x\nformat_version: 99\n")
    with pytest.raises(SettingsError, match="update dgad"):
        read_study(tmp_path)


def test_numbers_of_references_and_other_data_come_back_as_they_were_given(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "data: here\nreference_counts: [1, 50%, all]\ndomains: [tile, grid]\nextra_targets: elsewhere\n"
    )
    study = make_study(read_study_file(path))
    assert study.reference_counts == ("1", "50%", "all")
    assert study.domains == ("tile", "grid")
    assert study.extra_targets == str(Path("elsewhere").absolute())  # whoever resumes may stand elsewhere
    write_study(tmp_path, study)
    assert read_study(tmp_path) == study


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("reference_counts", ("1", "1"), "`reference_counts` must be without repetition"),
        ("reference_counts", ("few",), "a whole number, a percentage such as 10%, or all, but got 'few'"),
        ("domains", ("a", "a"), "`domains` must be without repetition"),
    ],
)
def test_wrong_numbers_of_references_and_domains_are_refused(
    name: str, values: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        make_study({"data": "here", name: values})


@pytest.mark.parametrize("written", ["domains: [01, 02]", "domains:\n  - 01", "domains: 01", "folds: [no]"])
def test_names_that_yaml_reads_as_numbers_get_the_hint_to_quote_them(tmp_path: Path, written: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"data: here\n{written}\n")
    with pytest.raises(SettingsError, match=r'line 2: .*\[0\]` must be text, .* in quotes, as in "01"'):
        read_study_file(path)


def test_lists_of_features_are_kept_and_a_study_is_not_resumed_with_others(tmp_path: Path) -> None:
    path = tmp_path / "given.yaml"
    path.write_text("search_scale: [fit 64, 0.5]\nsearch_tile_px: [64, 128]\n")
    study = make_study({"data": str(tmp_path), "methods": ("patch_knn",), **read_study_file(path)})
    assert study.search_scale == ("fit 64", "0.5")
    write_study(tmp_path, study)
    assert read_study(tmp_path) == study
    with pytest.raises(SettingsError, match=r"`search_scale` is fit 64,0\.5 there and fit 64,native here"):
        check_same(study, {"search_scale": ("fit 64", "native")}, tmp_path)
