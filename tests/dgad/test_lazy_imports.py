"""What needs no torch does not import it: help, and a look into a bundle."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dgad.bundle import write_bundle
from dgad.device import resolve_device
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.methods.base import Context

HEAVY = ("numpy", "pyarrow", "ray", "scipy", "sklearn", "timm", "torch")
PROGRAM = """
import json, sys
from dgad.cli import main
try:
    main()
except SystemExit as ended:
    print(json.dumps({"code": ended.code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


def run_and_list_modules(*arguments: str) -> tuple[str, set[str]]:
    """Run `dgad` in a new process; returns (what it printed, the modules it had imported at its end)."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ended = json.loads(done.stderr.splitlines()[-1])
    assert ended["code"] in (0, None), done.stderr
    return done.stdout, set(ended["modules"])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    method_type = METHODS["patch_knn"]
    context = Context(
        features=FeatureSettings(scale="squash 64"), device=resolve_device("cpu"), cache=FeatureCache()
    )
    method = method_type(next(iter(method_type.presets.values())), context)
    write_bundle(tmp_path / "bundle", method, metrics={}, card="# Card", provenance={"training_domains": []})
    return tmp_path / "bundle"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_look_into_a_bundle_imports_nothing_heavy(bundle: Path, options: tuple[str, ...]) -> None:
    printed, modules = run_and_list_modules("bundle", "show", str(bundle), *options)
    assert "patch_knn" in printed
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [("bundle", "--help"), ("bundle", "show", "--help"), ("--version",)])
def test_help_for_bundles_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    printed, modules = run_and_list_modules(*arguments)
    assert printed
    assert modules.isdisjoint(HEAVY)


def test_help_that_lists_every_command_imports_no_torch() -> None:
    printed, modules = run_and_list_modules("--help")
    for name in ("bundle", "domains", "evaluate", "pretrain", "score"):
        assert name in printed
    assert modules.isdisjoint({"ray", "timm", "torch"})
