"""The curve over the number of source domains: who is left out, what is paired, and how it goes on."""

from pathlib import Path

import curve_table
import numpy as np
import pytest
import source_curve as curve

from dgad.errors import SettingsError

GROUPS = {"a": ("a", "b", "c"), "d": ("d",), "e": ("e", "f")}


def test_a_target_and_its_siblings_are_no_sources_and_every_group_comes_before_a_second_of_any() -> None:
    for seed in range(4):
        order = curve.order_sources(GROUPS, "d", seed)
        assert sorted(order) == ["a", "b", "c", "e", "f"]
        assert sorted(name in "abc" for name in order[:2]) == [False, True]
        assert not set(curve.order_sources(GROUPS, "a", seed)) & set("abc")
    assert len({curve.order_sources(GROUPS, "d", seed) for seed in range(8)}) > 1


@pytest.mark.parametrize("groups", [[("a", "x")], [("a", "b"), ("b", "c")], [("a", "b", "c")]])
def test_groups_that_cannot_be_are_refused(groups: list[tuple[str, ...]]) -> None:
    with pytest.raises(SettingsError, match="groups"):
        curve.group_domains(("a", "b", "c"), groups)


def row(
    label: str, target: str, scores: list[float], *, draw: int = 0, seed: int = 0, count: int = 2
) -> curve_table.Row:
    return curve_table.Row(
        label=label,
        settings="",
        target=target,
        group=target,
        sources=tuple("xyz"[:count]),
        seed=seed,
        draw=draw,
        auroc=0.0,
        fit_s=0.0,
        labels=(0, 0, 0, 1, 1, 1),
        scores=tuple(scores),
    )


def auroc(scores: list[float]) -> float:
    """The share of pairs in order, ties half."""
    pairs = [(n, a) for n in scores[:3] for a in scores[3:]]
    return sum(1.0 if a > n else 0.5 if a == n else 0.0 for n, a in pairs) / len(pairs)


def test_a_difference_is_the_mean_over_targets_of_the_difference_of_aurocs() -> None:
    rng = np.random.default_rng(0)
    given = {
        (label, target, seed, draw): rng.integers(0, 5, 6).astype(float).tolist()
        for label in ("ours", "other")
        for target in "tu"
        for seed in range(2)
        for draw in range(2)
    }
    ours = {
        t: [row("ours", t, given["ours", t, s, d], seed=s, draw=d) for s in range(2) for d in range(2)]
        for t in "tu"
    }
    others = {t: [row("other", t, given["other", t, 0, d], draw=d) for d in range(2)] for t in "tu"}
    mean, replicates, by_target = curve_table.differences(ours, others)
    for t in "tu":
        mine = np.mean([auroc(given["ours", t, s, d]) for s in range(2) for d in range(2)])
        theirs = np.mean([auroc(given["other", t, 0, d]) for d in range(2)])
        assert by_target[t] == pytest.approx(mine - theirs)
    assert mean == pytest.approx(np.mean(list(by_target.values())))
    assert replicates.mean() == pytest.approx(mean, abs=4 * replicates.std() / len(replicates) ** 0.5 + 1e-9)
    same = curve_table.differences(others, others)
    assert (same[0], same[1].std()) == (0, 0)


def test_with_fewer_sources_than_asked_for_a_target_counts_with_all_it_has() -> None:
    rows = [row("m", "t", [0.0] * 6, count=c) for c in (1, 3)] + [row("m", "u", [0.0] * 6, count=2)]
    assert {t: len(r[0].sources) for t, r in curve_table.at_count(rows, 3).items()} == {"t": 3, "u": 2}


def test_a_curve_is_drawn_and_gone_on_with_where_it_was_cut_off(
    demo_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, out = tmp_path / "s.yaml", tmp_path / "rows.jsonl"
    settings.write_text("methods:\n  comparer:short: {preset: robust, num_steps: 1, width: 8, hidden: 4}\n")
    arguments = [
        *("--data", str(demo_data), "--settings", str(settings), "--method", "comparer:short"),
        *("--groups", "grid,leather", "--targets", "grid,marble", "--counts", "2,3", "--seeds", "0"),
        *("--draws", "1", "--num-references", "2", "--weights", "none", "--scale", "squash 64"),
        *("--out", str(out), "--csv", str(tmp_path / "curve.csv")),
    ]
    curve.main(arguments)
    first = capsys.readouterr()
    whole = out.read_text().splitlines()
    # Grid has marble and wood as sources, marble three: what is asked beyond is not fitted twice.
    assert [len(r.sources) for r in curve_table.read_rows(out) if r.label != "patch_knn"] == [2, 3, 2]
    out.write_text("\n".join(whole[:-1]) + "\n" + whole[-1][:40])
    curve.main(arguments)
    again = capsys.readouterr()
    assert again.out == first.out
    assert "3 sources" not in again.err
    assert out.read_text().splitlines()[:-1] == whole[:-1]
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1 + len(whole)
