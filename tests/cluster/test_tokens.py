"""Ray's token is its user's alone, whoever made the file."""

import stat
from pathlib import Path

import pytest

from cluster.tokens import find_token_file, keep_token_private, read_token


@pytest.fixture(autouse=True)
def _no_token_of_ours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    find_token_file().unlink(missing_ok=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_where_there_is_none_one_is_made_that_nobody_else_reads() -> None:
    keep_token_private()
    assert mode(find_token_file()) == 0o600
    token = read_token()
    assert token is not None
    assert len(token.value) == 64
    keep_token_private()
    assert read_token() == token


def test_one_that_ray_left_readable_is_closed() -> None:
    file = find_token_file()
    file.parent.mkdir(exist_ok=True)
    file.write_text("secret")
    file.chmod(0o644)
    keep_token_private()
    assert mode(file) == 0o600
    assert file.read_text() == "secret"


def test_a_file_that_is_named_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    keep_token_private()
    assert not (tmp_path / "token").exists()
