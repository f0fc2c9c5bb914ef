import pwd
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dgad.errors import SettingsError
from dgad.user_dirs import temporary_user_folder, user_cache_folder, user_state_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems keep such folders elsewhere")

both = pytest.mark.parametrize(
    ("folder", "variable", "in_home"),
    [(user_cache_folder, "XDG_CACHE_HOME", ".cache"), (user_state_folder, "XDG_STATE_HOME", ".local/state")],
)


@both
def test_an_absolute_folder_of_the_environment_comes_first(
    folder: Callable[[], Path | None],
    variable: str,
    in_home: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv(variable, str(tmp_path / "named"))
    assert folder() == tmp_path / "named" / "dgad"
    assert not (tmp_path / "named").exists()


@both
@pytest.mark.parametrize("ignored", [None, "", "relative"])
def test_else_it_is_the_folder_in_the_home_that_earlier_versions_used(
    folder: Callable[[], Path | None],
    variable: str,
    in_home: str,
    ignored: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    if ignored is None:
        monkeypatch.delenv(variable, raising=False)
    else:
        monkeypatch.setenv(variable, ignored)
    assert folder() == Path("/home/me") / in_home / "dgad"


@both
def test_a_user_without_a_home_has_none(
    folder: Callable[[], Path | None], variable: str, in_home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert folder() is None


def test_what_stands_in_for_a_home_is_refused_where_another_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    folder = temporary_user_folder()
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert temporary_user_folder() == folder
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match="must be a folder of yours that nobody else may write into"):
        temporary_user_folder()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SettingsError, match="set HOME, XDG_CACHE_HOME or TMPDIR"):
        temporary_user_folder()
