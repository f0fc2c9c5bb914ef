"""What tests of several areas share: a small synthetic data set, and the command lines."""

import dataclasses
import importlib
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
import pytest

from cluster.embedded import prepare_environment
from tests.cluster.support.cluster_files import furnish_home
from tests.markers import group_of, install_guard, mark_by_fixtures, refuse_skip_in_ci, run_guarded
from tests.s3_server import KEYS, S3Server, missing, s3_server

if TYPE_CHECKING:  # torch takes seconds, which whoever only hands out or lists tests need not wait for
    from dgad.features import builtin


def pytest_configure() -> None:
    install_guard()
    prepare_environment()  # modules of tests import Ray, which takes its guards from what it finds then


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_by_fixtures(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope`, scopes are the groups of `group_of`.

    The groups of `--dist loadgroup` are lost without a word where pytest-xdist 3.8 runs on pytest 9.2.
    """
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    return GroupScheduling(config, log)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    yield from run_guarded(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    outcome = yield
    refuse_skip_in_ci(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, pluggy.Result[pytest.CollectReport], None]:
    outcome = yield
    refuse_skip_in_ci(outcome.get_result())


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """How a command line ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing is kept in the home of whoever runs the tests; Ray's workers inherit this."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small synthetic domains with masks: 12 train normals, 4 normal and 4 abnormal test images each."""
    from dgad.domains.demo import synthesize

    folder = tmp_path_factory.mktemp("data") / "demo"
    synthesize(
        folder,
        domains=("grid", "leather", "marble", "wood"),
        num_train=12,
        num_good=4,
        num_defective=4,
        size_px=64,
    )
    return folder


@pytest.fixture(scope="session")
def drawn_builtin(tmp_path_factory: pytest.TempPathFactory) -> "builtin.Builtin":
    """Weights of the shipped shape, drawn at random."""
    from tests.builtin_weights import drawn

    return drawn(tmp_path_factory.mktemp("builtin") / "weights")


@pytest.fixture(scope="session")
def s3_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for all tests."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    with s3_server(tmp_path_factory.mktemp("s3") / "server.log") as server:
        yield server


@pytest.fixture
def s3(s3_running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, and its keys where this process and its children look."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return s3_running


@pytest.fixture
def builtin_weights(drawn_builtin: "builtin.Builtin", monkeypatch: pytest.MonkeyPatch) -> "builtin.Builtin":
    """`weights: builtin` means those, in this process."""
    from dgad.features import builtin

    monkeypatch.setattr(builtin, "_shipped", lambda: drawn_builtin)
    return drawn_builtin


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`~` for this test: what cluster files of tests name there, and nothing of whoever runs them."""
    folder = tmp_path / "home"
    folder.mkdir()
    furnish_home(folder)
    monkeypatch.setenv("HOME", str(folder))
    return folder


MAINS = {"dgad": "dgad.cli", "dgad-tune": "tune.cli", "dgad-serve": "serve.cli"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `dgad ...` (or another script of ours) through its entry point, in an empty folder, in a pipe.

    In this process: starting Python and torch for each mistake would take minutes.
    """

    def call(*arguments: object, script: str = "dgad") -> Done:
        main = importlib.import_module(MAINS[script]).main
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            patched.setenv("NO_COLOR", "1")
            patched.setenv("COLUMNS", "200")
            patched.setattr(sys, "argv", [script, *map(str, arguments)])
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        captured = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(returncode=ended.value.code, stdout=captured.out, stderr=captured.err)

    return call
