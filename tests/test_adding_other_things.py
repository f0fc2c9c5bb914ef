"""Whatever else docs/howto tells to add is added to a copy of the code, as the page has it, and works."""

from pathlib import Path

import pytest

from tests.recipes import add_line, append_block, copy_code, python_blocks, run_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code with everything added at once: no page is in another's way."""
    folder = tmp_path_factory.mktemp("copy")
    copy_code(folder)

    (folder / "dgad/methods/mean_patch.py").write_text(python_blocks("method")[0])
    methods, spaces = folder / "dgad/methods/__init__.py", folder / "tune/spaces/__init__.py"
    add_line(methods, "from dgad.methods.comparer", "from dgad.methods.mean_patch import MeanPatchMethod")
    add_line(methods, '    "comparer":', '    "mean_patch": MeanPatchMethod,')
    module, entry = python_blocks("search_space")
    append_block(folder, module)
    add_line(spaces, "from tune.spaces import", "from tune.spaces import mean_patch")
    add_line(spaces, '    "trivial":', entry)

    objectives = folder / "tune/study/objectives.py"
    text = objectives.read_text()
    assert text.count('Literal["image_auroc"') == 1
    objectives.write_text(text.replace('Literal["image_auroc"', 'Literal["image_auroc_low", "image_auroc"'))
    add_line(objectives, '    "ms_per_image":', python_blocks("objective")[0])

    settings = folder / "tune/study/settings.py"
    text = settings.read_text()
    assert text.count('SamplerName = Literal["tpe"') == 1
    settings.write_text(text.replace('SamplerName = Literal["tpe"', 'SamplerName = Literal["qmc", "tpe"'))
    add_line(folder / "tune/search/samplers.py", '    "random":', python_blocks("sampler")[0])

    layouts = folder / "dgad/domains/layouts.py"
    variant, entry = python_blocks("layout")
    add_line(layouts, "LAYOUTS:", variant.partition("\n")[2])
    add_line(layouts, '    "folder":', entry)

    for block in python_blocks("endpoint"):
        append_block(folder, block)

    storage = folder / "dgad/storage.py"
    add_line(storage, "    filesystem, root = fs.FileSystem.from_uri", python_blocks("storage")[0])
    return folder


def test_a_space_is_searched_and_its_preset_comes_first(copy: Path) -> None:
    program = """
from dgad.features.settings import FeatureSettings
from tune.spaces import SpaceSettings
from tune.spaces.initial_design import make_initial_design
spaces = SpaceSettings(features=FeatureSettings(weights="none"))
print(make_initial_design("mean_patch", spaces, num_trials=4, seed=0)[0].params)
"""
    assert run_in(copy, "-c", program).strip() == "{'stride': 4}"
    shown = run_in(copy, "-c", "import tune.cli; tune.cli.main()", "space", "mean_patch")
    assert "stride" in shown
    assert "4, 8, 16" in shown


def test_an_objective_and_a_sampler_are_options_of_a_launch_by_themselves(copy: Path) -> None:
    said = run_in(copy, "-c", "import tune.cli; tune.cli.main()", "launch", "--help")
    assert "qmc" in said
    program = """
from dgad.evaluation.metrics import Metrics
from tune.search.samplers import make_sampler
from tune.study.objectives import check_objectives, parse_constraint
check_objectives(["image_auroc_low"])
print(parse_constraint("image_auroc_low >= 0.9"), type(make_sampler("qmc", seed=3)).__name__)
"""
    assert run_in(copy, "-c", program).split() == ["image_auroc_low", ">=", "0.9", "QMCSampler"]


def test_a_layout_is_recognised(copy: Path, tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from PIL import Image
from dgad.domains.layouts import LAYOUTS, open_dataset
root = Path({str(tmp_path)!r})
for name in ("normal/0", "normal/1", "inspected/pass/2", "inspected/cut/3", "masks/cut/3"):
    path = root / "belt" / (name + ".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(path)
found = open_dataset(root)
belt = found.domain("belt")
print(LAYOUTS["ours"].recognise(str(root)), len(belt.train_normals), sorted(s.kind for s in belt.tests))
"""
    assert run_in(copy, "-c", program).strip() == "True 2 ['cut', 'good']"


def test_an_endpoint_answers_and_asks_for_a_key(copy: Path, tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from tests.serve.support.http import served
with served(Path({str(tmp_path)!r})) as service:
    service.domain("belt", num_references=2)
    print(service.ask("GET", "/v1/domains/belt/count").json())
    print(service.ask("GET", "/v1/domains/none/count").status_code)
    print("/v1/domains/{{domain}}/count" in service.ask("GET", "/openapi.json").json()["paths"])
    service.ring.create("anna", "read")
    print(service.ask("GET", "/v1/domains/belt/count").status_code)
"""
    assert run_in(copy, "-c", program).splitlines() == ["{'count': 2}", "404", "True", "401"]


def test_a_storage_holds_a_reference_store(copy: Path) -> None:
    program = """
from dgad.references.domain import DomainSettings
from dgad.references.store import ReferenceStore
from dgad.storage import Storage
place = Storage("memory://factory/store")
place.write("a/b", b"x")
print(place.read("a/b"), place.sizes("a"))
store = ReferenceStore("memory://factory/store")
store.create("belt", DomainSettings(), author="anna")
print(ReferenceStore("memory://factory/store").domains())
"""
    assert run_in(copy, "-c", program).splitlines() == ["b'x' {'a/b': 1}", "('belt',)"]
