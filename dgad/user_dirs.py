"""Folders of the user who runs dgad: what is kept between runs and belongs to no study, store or bundle."""

import os
import tempfile
from pathlib import Path

import platformdirs

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
    """Give what stands in for a user without a home: `dgad-UID` in the temporary folder; not made."""
    return Path(tempfile.gettempdir()) / f"{_APPLICATION}-{os.getuid()}"
