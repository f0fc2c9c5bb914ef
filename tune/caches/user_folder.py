"""Folders in the cache of whoever runs dgad on a host."""

import os
from pathlib import Path


def user_folder() -> Path | None:
    """`dgad` in the user's cache folder, as XDG has it; None for a user without a home."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(told):  # the specification wants any other to be ignored
        return Path(told) / "dgad"
    try:
        return Path.home() / ".cache" / "dgad"
    except RuntimeError:
        return None


def features_folder() -> Path | None:
    """Where the features of frozen backbones are kept."""
    own = user_folder()
    return own / "features" if own else None
