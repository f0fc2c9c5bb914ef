"""A method is added to a copy of the code by the recipe of CONTRIBUTING.md, and works everywhere."""

import json
import re
from pathlib import Path

import pytest

from tests.recipes import ROOT, add_line, copy_code, python_blocks, run_in

NAME = "mean_patch"


def _files_of_the_recipe() -> set[str]:
    """The files that CONTRIBUTING.md says a new method touches."""
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## A new method\n")[1].split("\n## ")[0]
    return {path.replace("NAME", NAME) for path in re.findall(r"^- `([^`]+)`:", section, flags=re.MULTILINE)}


def _contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code with the method of docs/howto/method.md added, in exactly the files that are named."""
    folder = tmp_path_factory.mktemp("copy")
    copy_code(folder)
    before = _contents(folder)

    (folder / f"dgad/methods/{NAME}.py").write_text(python_blocks("method")[0])
    registry = folder / "dgad/methods/__init__.py"
    add_line(registry, "from dgad.methods.comparer", f"from dgad.methods.{NAME} import MeanPatchMethod")
    add_line(registry, '    "comparer":', f'    "{NAME}": MeanPatchMethod,')
    add_line(
        folder / "tune/spaces/__init__.py", '    "comparer":', f'    "{NAME}": neighbours.trivial_space,'
    )
    row = f"| `{NAME}` | distance to the mean reference patch | no | no | none |"
    add_line(folder / "docs/guide/methods.md", "| `trivial` ", row)

    after = _contents(folder)
    assert {path for path in after if after[path] != before.get(path)} == _files_of_the_recipe()
    return folder


@pytest.mark.slow
def test_it_keeps_the_contract_and_has_a_space(copy: Path) -> None:
    settings = copy / "pytest.ini"
    settings.write_text("[pytest]\n")
    contract = "tests/dgad/methods/test_contract.py"
    said = run_in(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", contract, "-k", NAME)
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 5
    imports = "from dgad.methods import METHODS; from tune.spaces import SPACES"
    program = f"{imports}; assert set(METHODS) == set(SPACES); print('{NAME}' in METHODS)"
    assert run_in(copy, "-c", program).strip() == "True"
    run_in(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/tune/spaces/test_spaces.py")


@pytest.mark.slow
def test_it_is_evaluated_like_every_other(copy: Path, tmp_path: Path) -> None:
    dgad = ("-c", "import dgad.cli; dgad.cli.main()")
    few = ("--num-train", "6", "--num-good", "4", "--num-defective", "4", "--size", "64")
    run_in(copy, *dgad, "domains", "synthesize", str(tmp_path / "data"), "--domains", "grid,wood", *few)
    asked = ("--data", str(tmp_path / "data"), "--target", "wood", "--num-references", "4", "--json")
    said = run_in(copy, *dgad, "evaluate", *asked, "--method", f"{NAME},trivial")
    (row,) = [each for each in json.loads(said)["results"] if each["method"] == NAME]
    assert 0 <= row["image_auroc"] <= 1
    assert 0 <= row["pixel_auroc"] <= 1
