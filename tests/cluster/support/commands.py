"""Python commands as the user of a cluster runs them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def output_of(
    *arguments: object,
    environment: Mapping[str, str],
    folder: Path,
    expect: int = 0,
    timeout_s: float = 400.0,
) -> str:
    """What `python ARGUMENTS` prints on standard output or, where it is to fail, as its error."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == expect, f"{arguments}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr if expect else done.stdout
