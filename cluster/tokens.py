"""The token that a guarded Ray asks for: where it lies, never what it is."""

import dataclasses
import os
from pathlib import Path

from dgad.errors import SettingsError

_IN_HOME = Path(".ray") / "auth_token"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token and its source; only the source is ever shown."""

    value: str = dataclasses.field(repr=False)
    source: str
    """Such as `RAY_AUTH_TOKEN` or the path of a file."""

    @property
    def authorization(self) -> str:
        """Value of the `Authorization` header."""
        return f"Bearer {self.value}"


def read_token() -> Token | None:
    """The token that Ray itself would use here, from `RAY_AUTH_TOKEN`, the file that `RAY_AUTH_TOKEN_PATH`
    names, or ~/.ray/auth_token; None where there is none. Raises `SettingsError` for a file that is named
    but cannot be read."""
    if value := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return Token(value=value, source="RAY_AUTH_TOKEN")
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH", ""):
        return _from_file(Path(named), f"RAY_AUTH_TOKEN_PATH names {named}, which")
    in_home = Path.home() / _IN_HOME
    return _from_file(in_home, str(in_home)) if in_home.exists() else None


def _from_file(path: Path, subject: str) -> Token:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{subject} cannot be read: {error}.") from error
    if not value:
        raise SettingsError(f"{subject} holds no token: write one with `ray get-auth-token --generate`.")
    return Token(value=value, source=str(path))
