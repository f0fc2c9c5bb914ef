"""Arms of recipes: each differs from the first in one thing, and what is kept is not run again."""

import json
from pathlib import Path

import pytest
import recipes

from dgad.settings import to_dict


def test_every_backbone_arm_changes_one_setting_of_the_shipped_recipe() -> None:
    shipped = to_dict(recipes.BACKBONE_ARMS["shipped"])
    for name, settings in recipes.BACKBONE_ARMS.items():
        own = to_dict(settings)
        assert sum(own[k] != shipped[k] for k in own) == (name != "shipped")


def test_the_table_sets_every_arm_against_the_first_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    rows = [
        {
            "stage": "comparer",
            "arm": arm,
            "seed": seed,
            "groups": {"held-out families": {"image": v, "pixel": v}},
        }
        for arm, values in {"as it starts": ([0.7], [0.8]), "rate 1e-3": ([0.71], [0.79])}.items()
        for seed, v in enumerate(values)
    ]
    out.write_text("".join(json.dumps(r) + "\n" for r in rows))
    chosen = ["--seeds", "0,1", "--arms", "as it starts;rate 1e-3"]
    monkeypatch.setattr("sys.argv", ["recipes.py", "comparer", "--out", str(out), *chosen])
    monkeypatch.setattr(recipes, "draw_held_out_targets", lambda **_: ())
    recipes.main()
    printed = capsys.readouterr().out
    assert "0.7500 ±0.0500" in printed
    assert "against the first: +1.0, -1.0" in printed
    assert len(out.read_text().splitlines()) == 4, "nothing was run again"
