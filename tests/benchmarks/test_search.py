"""The benchmark of the search: every part of it can be switched off, and what it reports is counted."""

from pathlib import Path

import pooled_probe
import pytest
import search

from dgad.domains.demo import synthesize


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small surfaces."""
    place = tmp_path_factory.mktemp("data") / "surfaces"
    synthesize(place, domains=search.DOMAINS[:3], num_train=8, num_good=6, num_defective=6, size_px=64)
    return place


def test_the_plain_loop_fits_more_often_and_finds_the_same(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: dict[str, int] = {"FitExecutor": 0, "Unshared": 0}
    plain = search.FitExecutor.fitted

    def counted(self, key):  # type: ignore[no-untyped-def]
        method, fit_s = plain(self, key)
        fits[type(self).__name__] += bool(self.fits.computed and self.fits.computed[-1] == key.id)
        return method, fit_s

    monkeypatch.setattr(search.FitExecutor, "fitted", counted)
    arms = [arm for arm in search.ARMS if arm.name in ("plain loop", "all three")]
    search.components(data, tmp_path, 1, 64, arms)
    lines = [line for line in capsys.readouterr().out.splitlines() if "nested AUROC" in line]
    assert [line.partition("  ")[0] for line in lines] == ["plain loop", "all three"]
    assert lines[0].partition("nested AUROC")[2] == lines[1].partition("nested AUROC")[2]
    assert fits["Unshared"] > fits["FitExecutor"] > 0
    assert (tmp_path / "all_three" / "features").is_dir()
    assert not (tmp_path / "plain_loop" / "features").exists()


def test_what_counts_as_written_again_is_seen(tmp_path: Path) -> None:
    record = tmp_path / "x" / "records" / "a.parquet"
    record.parent.mkdir(parents=True)
    record.write_bytes(b"1")
    before = search._stamps(tmp_path)
    assert search._stamps(tmp_path) == before
    record.unlink()
    record.write_bytes(b"1")
    assert search._stamps(tmp_path) != before


def test_the_probe_has_a_line_a_surface(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["pooled_probe.py", "--data", str(data), "--weights", "none", "--image-size", "64"]
    monkeypatch.setattr("sys.argv", arguments)
    pooled_probe.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted(search.DOMAINS[:3])
    assert all(len(line.split()) == 5 for line in lines[1:])
