"""Folders of the user who runs dgad: what is kept between runs and belongs to no study, store or bundle."""

import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from dgad.errors import SettingsError

_APPLICATION = "dgad"


def user_cache_folder() -> Path | None:
    """Give the folder of what can be computed or fetched again; None for a user without a home.

    On Linux `dgad` in an absolute `XDG_CACHE_HOME`, else `~/.cache/dgad`. The folder is not made.
    """
    try:
        return platformdirs.user_cache_path(_APPLICATION, appauthor=False)
    except RuntimeError:  # neither a home nor the variable
        return None


def user_state_folder() -> Path | None:
    """Give the folder of logs and known hosts; None for a user without a home.

    On Linux `dgad` in an absolute `XDG_STATE_HOME`, else `~/.local/state/dgad`. The folder is not made.
    """
    try:
        return platformdirs.user_state_path(_APPLICATION, appauthor=False)
    except RuntimeError:
        return None


def temporary_user_folder() -> Path:
    """Give what stands in for a user without a home: `dgad-UID` in the temporary folder, nobody else's.

    Its name can be known before it is made, so one that another user made, or may write into, is refused
    (`SettingsError`).
    """
    folder = Path(tempfile.gettempdir()) / f"{_APPLICATION}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise SettingsError(
            f"{folder} must be a folder of yours that nobody else may write into, but another made it:"
            " set HOME, XDG_CACHE_HOME or TMPDIR to a folder of yours."
        )
    return folder
