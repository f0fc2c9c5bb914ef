"""The example in docs/search.md, as a user would copy it."""

import re
from pathlib import Path

from tune.opening import opening_design
from tune.study import read_study_file, study_from

PAGE = Path(__file__).parents[3] / "docs" / "search.md"


def test_the_example_of_a_narrowed_space_is_accepted_and_presets_lie_in_it(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    path = tmp_path / "study.yaml"
    path.write_text(example)
    study = study_from({**read_study_file(path), "data": "x"})
    assert set(study.spaces) == {"comparer", "patch_knn"}
    first = [opening_design(m, study.space_settings, seed=0, num_trials=8)[0].origin for m in study.methods]
    assert first == ["preset robust", "preset default"]
