"""`--study paper`: on the paper's own data, and a clear word on whatever lacks."""

import dataclasses
from pathlib import Path

import pytest

from dgad.domains import Dataset, Domain, Sample
from dgad.domains.base import EncodedImage
from dgad.report.paper import BTAD, PRINTED, TEXTURES, Counts
from dgad.settings import to_dict
from tests.conftest import Run
from tune.launcher.request import Request
from tune.run_folder.location import Runs
from tune.study import paper as paper_study
from tune.study.paper import FILE, check_paper_data, is_paper
from tune.study.settings import make_study


def _domain(name: str, counts: Counts) -> Domain:
    image = EncodedImage(path="", read=bytes)

    def samples(split: str, kind: str, count: int) -> list[Sample]:
        common = {"domain": name, "split": split, "kind": kind, "image": image, "mask": None}
        return [Sample(id=f"{name}/{split}/{kind}/{i:04d}", **common) for i in range(count)]

    return Domain(
        name=name,
        samples=(
            *samples("train", "good", counts.train),
            *samples("test", "good", counts.good),
            *samples("test", "hole", counts.defective),
        ),
    )


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Counts]]:
    """Data sets of the right counts by place, as if they were there; a test may change them."""
    found = {"mvtec": {**TEXTURES, "bottle": Counts(9, 9, 9)}, "btad": dict(BTAD)}

    def opened(place: str) -> Dataset:
        domains = {name: _domain(name, counts) for name, counts in found[place].items()}
        return Dataset(location=place, domains=domains)

    monkeypatch.setattr(paper_study, "open_dataset", opened)
    return found


GIVEN = {"data": "mvtec", "extra_targets": "btad"}


def test_the_paper_s_data_pass(places: dict[str, dict[str, Counts]]) -> None:
    check_paper_data(GIVEN)


def test_whatever_lacks_is_told_in_a_sentence_of_its_own(places: dict[str, dict[str, Counts]]) -> None:
    del places["mvtec"]["grid"]
    places["mvtec"]["wood"] = Counts(247, 19, 59)
    places["btad"]["03"] = Counts(1000, 400, 40)
    with pytest.raises(paper_study.DataError) as raised:
        check_paper_data(GIVEN)
    assert str(raised.value).splitlines() == [
        "The paper's study lacks data.",
        "mvtec has no `grid` of MVTec AD.",
        "`wood` in mvtec has 247 train, 19 good and 59 defective images,"
        " where MVTec AD has 247 train, 19 good and 60 defective.",
        "`03` in btad has 1000 train, 400 good and 40 defective images,"
        " where BTAD has 1000 train, 400 good and 41 defective.",
        f"To run the same study on other data, give a copy of {FILE} with --study.",
    ]


def test_nothing_is_started_without_the_data(surfaces: Path, tmp_path: Path, run: Run) -> None:
    common = ("launch", "--study", "paper", "--runs", tmp_path / "runs")
    bare = run(*common, script="dgad-tune")
    assert bare.returncode == 2
    assert (
        "MVTec AD is not given: name its folder, with carpet, grid, leather, tile, wood in it" in bare.stderr
    )
    assert "BTAD is not given: name its folder, with 01, 02, 03 in it, by --extra-targets" in bare.stderr
    other = run(
        *common, "--data", surfaces, "--extra-targets", tmp_path / "no", "--dry-run", script="dgad-tune"
    )
    assert other.returncode == 2
    assert f"{surfaces} has no `carpet` of MVTec AD." in other.stderr
    assert f"BTAD cannot be read: There is no folder {tmp_path / 'no'}" in other.stderr
    assert not (tmp_path / "runs").exists()


def test_the_study_is_the_paper_s_protocol_and_a_copy_runs_anywhere(tmp_path: Path) -> None:
    assert is_paper(Path("paper"))
    assert not is_paper(Path("paper.yaml"))
    values = {"runs": Runs(location=str(tmp_path)), "device": "cpu", "command": ""}
    shipped = Request(given=GIVEN, study_file=Path("paper"), **values).given_study()
    study = make_study(shipped)
    assert (study.name, study.domains) == ("paper", tuple(TEXTURES))
    assert (study.num_references, study.weights) == ("all", "timm")
    assert {m.partition(":")[0] for m in study.methods} >= {*PRINTED, "autoencoder", "memae", "trustmae"}
    copy = tmp_path / "copy.yaml"
    copy.write_text(FILE.read_text())
    other = make_study(Request(given={"data": "other"}, study_file=copy, **values).given_study())
    assert (other.name, other.domains, other.extra_targets) == ("other", (), None)
    same = {
        "name": "paper",
        "domains": study.domains,
        "data": study.data,
        "extra_targets": study.extra_targets,
    }
    assert to_dict(dataclasses.replace(other, **same)) == to_dict(study)
