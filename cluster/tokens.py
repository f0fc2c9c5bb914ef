"""The token that a guarded Ray asks for: where it lies, never what it is."""

import dataclasses
import os
import secrets
import stat
from pathlib import Path

from dgad.errors import SettingsError
from dgad.files import write_atomic

_IN_HOME = Path(".ray") / "auth_token"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token with its source; only the source is ever shown."""

    value: str = dataclasses.field(repr=False)
    source: str
    """Where the token was found: `RAY_AUTH_TOKEN`, or the path of a file."""

    @property
    def authorization(self) -> str:
        """The value of an HTTP request's `Authorization` header."""
        return f"Bearer {self.value}"


def read_token() -> Token | None:
    """Read the token that Ray itself would use here; None where there is none.

    Looked for in `RAY_AUTH_TOKEN`, the file that `RAY_AUTH_TOKEN_PATH` names, and ~/.ray/auth_token. Raises
    `SettingsError` for a file that is named but cannot be read, or is empty.
    """
    if value := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return Token(value=value, source="RAY_AUTH_TOKEN")
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH", ""):
        return _from_file(Path(named), f"RAY_AUTH_TOKEN_PATH names {named}, which")
    in_home = Path.home() / _IN_HOME
    return _from_file(in_home, str(in_home)) if in_home.exists() else None


def keep_token_private() -> None:
    """Make the file of Ray's token the user's alone, and the token where there is none yet.

    Ray leaves it readable to every user of the machine, and it lets them run code.
    """
    if os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return
    file = find_token_file()
    try:
        found = file.stat()
    except FileNotFoundError:
        if "RAY_AUTH_TOKEN_PATH" not in os.environ:  # a file that is named must be there
            write_atomic(file, secrets.token_hex(32).encode(), private=True)
        return
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077:
        file.chmod(0o600)


def find_token_file() -> Path:
    """Give the file in which Ray looks for its token, whether it is there or not."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / _IN_HOME)


def _from_file(path: Path, subject: str) -> Token:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{subject} cannot be read: {error}.") from error
    if not value:
        raise SettingsError(f"{subject} holds no token: write one with `ray get-auth-token --generate`.")
    return Token(value=value, source=str(path))
