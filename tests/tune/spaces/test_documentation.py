"""The study files in docs/guide/search.md, as a user would copy them."""

import re
from pathlib import Path

from tune.spaces.initial_design import make_initial_design
from tune.study.settings import make_study, read_study_file

PAGE = Path(__file__).parents[3] / "docs" / "guide" / "search.md"


def _example(key: str) -> str:
    """The one YAML example that has the key."""
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (found,) = [e for e in examples if re.search(rf"^{key}:", e, flags=re.MULTILINE)]
    return str(found)


def test_the_example_of_objectives_and_bounds_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(_example("objectives"))
    study = make_study({**read_study_file(path), "data": "x"})
    assert study.objectives == ("image_auroc", "ms_per_image")
    assert [str(b) for b in study.bounds] == ["ms_per_image <= 20"]


def test_the_example_of_a_narrowed_space_is_accepted_and_presets_lie_in_it(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(_example("spaces"))
    study = make_study({**read_study_file(path), "data": "x"})
    assert set(study.spaces) == {"comparer", "patch_knn"}
    first = [
        make_initial_design(m, study.space_settings, seed=0, num_trials=8)[0].origin for m in study.methods
    ]
    assert first == ["preset robust", "preset default"]


def test_the_example_of_searched_features_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(_example("search_scale"))
    study = make_study({**read_study_file(path), "methods": ("patch_knn",)})
    assert study.search_scale == ("fit 128", "fit 256", "0.5", "native")
    features = [study.split(chosen)[1] for chosen in study.searched_features.combinations()]
    assert len(features) == 4 * 2 * 2 * 4
    assert {f.normalisation for f in features} == {"pretrained", "first"}
    assert {f.weights for f in features} == {"builtin", "imagenet", "/models/dinov2_small.safetensors"}
    assert [str(b) for b in study.bounds] == ["ms_per_megapixel <= 80"]
