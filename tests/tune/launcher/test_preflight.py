"""What a study refuses before anything is started: one clear sentence each."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from dgad.domains import Dataset, Domain, open_dataset
from dgad.domains.base import declare
from dgad.errors import DataError, DataWarning, SettingsError, UserError, WeightsError
from dgad.features.builtin import Builtin
from dgad.features.context import Context
from dgad.features.imagenet import find_imagenet_file
from tests.dgad.domains.trees import mvtec_domain
from tune.launcher.preflight import check_images, plan_matrix
from tune.study.cell_id import DEPLOY
from tune.study.cells import select_shown_beside
from tune.study.data import open_data
from tune.study.settings import Study

STUDY = Study(name="x", num_references="3", scale="squash 64")


def _changed(dataset: Dataset, name: str, change: Callable[[Domain], Domain | None]) -> Dataset:
    domains = dict(dataset.domains)
    changed = change(domains.pop(name))
    return dataclasses.replace(dataset, domains=domains | ({name: changed} if changed else {}))


def _without_defects(domain: Domain) -> Domain:
    return dataclasses.replace(domain, samples=tuple(s for s in domain.samples if not s.label))


def _without_tests(domain: Domain) -> Domain:
    return dataclasses.replace(domain, samples=domain.train_normals)


def test_good_data_pass(surfaces: Path) -> None:
    cells = plan_matrix(STUDY, open_dataset(str(surfaces))).cells
    assert [c.target for c in cells] == ["grid", "tile", "woven", "deploy"]


@pytest.mark.parametrize(
    ("study", "error", "message"),
    [
        (dataclasses.replace(STUDY, folds=("wodd",)), DataError, "No domain `wodd`"),
        (dataclasses.replace(STUDY, num_references="7"), DataError, "at most 6.*got 7"),
        (dataclasses.replace(STUDY, num_references="0"), DataError, "at least 1, but got 0"),
        (
            dataclasses.replace(STUDY, reference_counts=("1", "7")),
            DataError,
            "`reference_counts` has 7.*most 6",
        ),
        (dataclasses.replace(STUDY, backbone="resnet1"), SettingsError, "name of a timm model"),
        (dataclasses.replace(STUDY, weights="nowhere.safetensors"), WeightsError, "Use `builtin`.*`none`"),
    ],
)
def test_a_study_that_does_not_fit_the_data_is_refused(
    surfaces: Path, study: Study, error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_matrix(study, open_dataset(str(surfaces)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda domain: None, "at least 3 domains, but the data has 2"),
        (_without_defects, "`tile` has no defects"),
        (_without_tests, "`tile` has no test images"),
    ],
)
def test_data_that_do_not_fit_the_study_are_refused(
    surfaces: Path, change: Callable[[Domain], Domain | None], message: str
) -> None:
    dataset = _changed(open_dataset(str(surfaces)), "tile", change)
    with pytest.raises(DataError, match=message):
        plan_matrix(STUDY, dataset)


@pytest.mark.parametrize("label", ["trivial", "comparer:untrained"])
def test_what_learns_nothing_needs_no_defects(surfaces: Path, label: str) -> None:
    study = dataclasses.replace(STUDY, methods=(label,))
    dataset = _changed(open_dataset(str(surfaces)), "tile", _without_defects)
    cells = [c.name for c in plan_matrix(study, dataset).cells if c.target != DEPLOY]
    assert cells == [f"{label}@grid", f"{label}@woven", f"{label}@tile"]


def test_the_builtin_comparer_needs_the_builtin_backbone(surfaces: Path, builtin_weights: Builtin) -> None:
    study = dataclasses.replace(STUDY, methods=("comparer:builtin",), weights="none")
    with pytest.raises(SettingsError, match="`weights` must be builtin, but got 'none'"):
        plan_matrix(study, open_dataset(str(surfaces)))
    plan_matrix(dataclasses.replace(study, weights="builtin"), open_dataset(str(surfaces)))


def test_a_method_that_cannot_be_run_leaves_the_others_to_run(surfaces: Path) -> None:
    dataset = _changed(open_dataset(str(surfaces)), "tile", _without_defects)
    study = dataclasses.replace(STUDY, methods=("comparer", "patch_knn"), weights="none")
    matrix = plan_matrix(study, dataset)
    assert {c.label for c in matrix.cells} == {"patch_knn"}
    assert list(matrix.not_applicable) == ["comparer"]
    assert "`tile` has no defects" in matrix.not_applicable["comparer"]


def test_a_method_of_other_features_leaves_the_others_to_run(surfaces: Path) -> None:
    study = dataclasses.replace(STUDY, methods=("comparer:builtin", "trivial"), weights="none")
    matrix = plan_matrix(study, open_dataset(str(surfaces)))
    assert {c.label for c in matrix.cells} == {"trivial"}
    assert "`weights` must be builtin" in matrix.not_applicable["comparer:builtin"]


def test_on_patch_tokens_the_methods_that_need_levels_do_not_apply(surfaces: Path) -> None:
    study = dataclasses.replace(
        STUDY, methods=("comparer", "patch_knn:anomalydino"), backbone="test_vit", weights="none"
    )
    matrix = plan_matrix(study, open_dataset(str(surfaces)))
    assert {c.label for c in matrix.cells} == {"patch_knn:anomalydino"}
    assert "feature maps of one stride only" in matrix.not_applicable["comparer"]
    assert select_shown_beside(study) == ("trivial",)


def test_images_too_large_for_a_backbone_that_cannot_be_cut_are_told_of_before_anything_is_fitted(
    surfaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgad.features.frozen.BLOCK_PX", 40**2)
    # As of `inception_v3`, which takes seconds to build.
    seen = Context(align_px=8, reach_px=None, has_cells=False)
    monkeypatch.setattr("dgad.features.frozen.measure_context", lambda *args, **kwargs: seen)
    dataset = open_dataset(str(surfaces))
    study = dataclasses.replace(STUDY, methods=("patch_knn", "trivial"), weights="none", scale="auto")
    matrix = plan_matrix(study, dataset)
    assert {c.label for c in matrix.cells} == {"trivial"}
    assert "`resnet18` cannot be computed in parts" in matrix.not_applicable["patch_knn"]
    with pytest.raises(SettingsError, match="px is too large for it: use a smaller `scale`"):
        plan_matrix(dataclasses.replace(study, methods=("patch_knn",)), dataset)
    plan_matrix(dataclasses.replace(study, methods=("patch_knn",), scale="fit 32"), dataset)
    searched = dataclasses.replace(
        study, methods=("patch_knn",), scale="fit 32", search_scale=("fit 32", "2")
    )
    with pytest.raises(SettingsError, match="With scale 2 `patch_knn` cannot be had on this data: Backbone"):
        plan_matrix(searched, dataset)


def test_only_domains_that_are_used_are_looked_at_and_doubts_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        mvtec_domain(tmp_path, name)
    (tmp_path / "b" / "sources.json").write_text('{"train/good/000.png": "IMG_1.jpg"}')
    (tmp_path / "a" / "sources.json").write_text(
        '[{"file": "train/good/000.png", "source": "p"},\n{"file": "train/good/000.tif", "source": "p"}]'
    )
    with pytest.warns(DataWarning, match=r"a/sources.json names in line 2 .*did you mean train/good/000.png"):
        check_images(str(tmp_path), None, ("a",))
    for names in (("a", "b"), ()):
        with pytest.raises(DataError, match=r"b/sources.json must hold a list of objects such as"):
            check_images(str(tmp_path), None, names)
    study = dataclasses.replace(STUDY, data=str(tmp_path), domains=("a",))
    assert open_data(study, str(tmp_path)).domains == ("a",)
    with pytest.raises(DataError, match=r"b/sources.json must hold a list of objects such as"):
        open_data(dataclasses.replace(study, domains=()), str(tmp_path))


def test_a_searched_backbone_that_some_method_has_not_is_left_out_of_its_search_and_told(
    surfaces: Path,
) -> None:
    study = dataclasses.replace(
        STUDY,
        methods=("comparer", "patch_knn"),
        weights="none",
        search_backbone=("resnet18", "test_vit"),
        search_scale=("fit 32", "fit 64"),
    )
    matrix = plan_matrix(study, open_dataset(str(surfaces)))
    assert {c.label for c in matrix.cells} == {"comparer", "patch_knn"}
    (label,) = matrix.not_applicable
    assert label == "comparer with backbone test_vit"
    assert "feature maps of one stride only" in matrix.not_applicable[label]


def test_a_searched_backbone_whose_weights_are_not_to_be_had_is_refused(
    surfaces: Path, builtin_weights: Builtin
) -> None:
    study = dataclasses.replace(STUDY, methods=("patch_knn",), search_backbone=("resnet18", "resnet34"))
    with pytest.raises(SettingsError, match="builtin are those of `resnet18`, but got backbone 'resnet34'"):
        plan_matrix(study, open_dataset(str(surfaces)))
    drawn = dataclasses.replace(study, search_backbone=("resnet18", "resnet34 none"))
    assert plan_matrix(drawn, open_dataset(str(surfaces))).not_applicable == {}


def test_builtin_features_are_searched_beside_those_of_imagenet(
    surfaces: Path, builtin_weights: Builtin
) -> None:
    searched = dataclasses.replace(
        STUDY, methods=("patch_knn",), search_backbone=("resnet18", "tf_efficientnet_lite0 imagenet")
    )
    try:
        find_imagenet_file("tf_efficientnet_lite0")
    except WeightsError as error:
        pytest.skip(str(error))
    assert plan_matrix(searched, open_dataset(str(surfaces))).not_applicable == {}
    assert [searched.split(c)[1].weights for c in searched.searched_features.combinations()] == [
        "builtin",
        "imagenet",
    ]
    plain = dataclasses.replace(STUDY, methods=("patch_knn",), weights="imagenet")
    with pytest.raises(
        SettingsError, match="but got backbone 'resnet18': use --backbone tf_efficientnet_lite0"
    ):
        plan_matrix(plain, open_dataset(str(surfaces)))


def test_where_every_domain_states_its_scale_there_is_none_to_search(surfaces: Path) -> None:
    own = open_dataset(str(surfaces))
    stated = {name: declare(domain, scale="native") for name, domain in own.domains.items()}
    study = dataclasses.replace(STUDY, methods=("patch_knn",), search_scale=("fit 32", "fit 64"))
    with pytest.raises(SettingsError, match="every domain of the data states a `scale` of its own"):
        plan_matrix(study, dataclasses.replace(own, domains=stated))
    plan_matrix(study, dataclasses.replace(own, domains={**stated, "grid": own.domains["grid"]}))
