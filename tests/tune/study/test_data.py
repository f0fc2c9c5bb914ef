"""What a study reads: its own domains, and another data set that is only scored."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from dgad.domains import open_dataset
from dgad.domains.demo import synthesize
from dgad.errors import DataError
from tests.tune.conftest import DOMAINS
from tune.launcher.preflight import plan_matrix
from tune.study.cell_id import DEPLOY
from tune.study.data import open_data
from tune.study.settings import Study

STUDY = Study(name="x", num_references="3", scale="squash 64", methods=("patch_knn:default", "comparer"))


@pytest.fixture(scope="module")
def btad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains in BTAD's layout."""
    return btad_like(tmp_path_factory.mktemp("btad"))


def btad_like(place: Path) -> Path:
    """`01` and `02` with 5 train normals and 3 + 3 test images each."""
    synthesize(
        place / "made", domains=("marble", "wood"), num_train=5, num_good=3, num_defective=3, size_px=64
    )
    for number, made in enumerate(sorted((place / "made").iterdir()), start=1):
        own = place / "btad" / f"{number:02d}"
        shutil.copytree(made / "train" / "good", own / "train" / "ok")
        shutil.copytree(made / "test" / "good", own / "test" / "ok")
        (kind,) = [p for p in (made / "test").iterdir() if p.name != "good"][:1]
        shutil.copytree(kind, own / "test" / "ko")
        shutil.copytree(made / "ground_truth" / kind.name, own / "ground_truth" / "ko")
    return place / "btad"


def test_extra_targets_stand_beside_the_study_s_own_domains(surfaces: Path, btad: Path) -> None:
    alone = open_data(STUDY, str(surfaces))
    assert (alone.domains, alone.extra_targets) == (DOMAINS, ())
    found = open_data(dataclasses.replace(STUDY, extra_targets=str(btad)), str(surfaces))
    assert (found.domains, found.extra_targets) == (DOMAINS, ("01", "02"))
    assert tuple(found.dataset.domains) == (*DOMAINS, "01", "02")
    sums, sums_alone = found.fingerprints(), alone.fingerprints()
    assert sums.own == sums_alone.own == alone.dataset.fingerprint()
    assert sums_alone.extra == ""
    assert sums.extra == open_dataset(str(btad)).fingerprint()
    assert set(sums.by_domain) == {*DOMAINS, "01", "02"}
    assert found.dataset.domain("01").train_normals[0].id.startswith("01/train/good/")


def test_a_study_may_take_part_of_its_data(surfaces: Path) -> None:
    found = open_data(dataclasses.replace(STUDY, domains=("woven", "grid")), str(surfaces))
    assert found.domains == ("grid", "woven")
    with pytest.raises(DataError, match="No domain `wovn`"):
        open_data(dataclasses.replace(STUDY, domains=("wovn",)), str(surfaces))


def test_one_name_for_two_domains_is_refused(surfaces: Path) -> None:
    with pytest.raises(DataError, match="both have a domain `grid`"):
        open_data(dataclasses.replace(STUDY, extra_targets=str(surfaces)), str(surfaces))


def test_every_method_is_deployed_for_them_and_they_are_in_no_cell(surfaces: Path, btad: Path) -> None:
    study = dataclasses.replace(STUDY, extra_targets=str(btad))
    found = open_data(study, str(surfaces))
    cells = plan_matrix(study, found.dataset, found.extra_targets).cells
    assert [c.label for c in cells if c.target == DEPLOY] == ["comparer", "patch_knn:default"]
    for cell in cells:
        assert cell.domains == DOMAINS
        assert {d for f in cell.folds for d in (f.target, *f.sources)} <= set(DOMAINS)


def test_too_few_references_there_are_told_before_anything_starts(surfaces: Path, btad: Path) -> None:
    study = dataclasses.replace(STUDY, extra_targets=str(btad), reference_counts=("6",))
    found = open_data(study, str(surfaces))
    with pytest.raises(DataError, match=r"`reference_counts` has 6: .*at most 5.*`01`"):
        plan_matrix(study, found.dataset, found.extra_targets)
