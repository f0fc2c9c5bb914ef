"""What another user of this machine can do: a command as `nobody`, which only root can start."""

import os
import subprocess
import sys

import pytest

_DROP = """
import os, socket, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
"""

needs_another_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as another user"
)


def run_as_other(code: str, *arguments: object) -> str:
    """What Python code printed that ran as another user.

    It is started as root, since the interpreter may lie where that user cannot read it.
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", _DROP + code, *map(str, arguments)],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


TRY = """
def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"
def connect(path):
    if len(path) > 100:  # no socket's
        open(path).close()
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(path)
def replace(path):
    os.rename(path, path + ".away")
for path in sys.argv[1:]:
    actions = [lambda: os.listdir(os.path.dirname(path)), lambda: open(path).close(), lambda: connect(path),
               lambda: replace(path), lambda: replace(os.path.dirname(path))]
    print(*map(tried, actions))
"""
"""Lists the folder of each path, reads it, connects to it, replaces it, replaces its folder."""
REFUSED = " ".join(["PermissionError"] * 5)
