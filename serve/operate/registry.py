"""Services that run on this machine: one file each in the user's cache, by port, while they run."""

import contextlib
import dataclasses
import json
import os
import tempfile
from pathlib import Path

from dgad.errors import SettingsError
from dgad.files import write_atomic
from dgad.settings import from_dict, to_dict


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A service that `dgad-serve up` runs."""

    url: str
    port: int
    pid: int
    began: str
    """What the system says of the process's begin, so that another of the same number is not taken for it."""
    dashboard_url: str
    token_file: str
    logs_folder: str
    bundle: str
    store: str


def cache_folder() -> Path:
    """`dgad/serve` in the user's cache folder, as XDG has it."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(told):  # the specification wants any other to be ignored
        return Path(told) / "dgad" / "serve"
    with contextlib.suppress(RuntimeError):
        return Path.home() / ".cache" / "dgad" / "serve"
    return Path(tempfile.gettempdir()) / f"dgad-{os.getuid()}" / "serve"


def remember(service: Running) -> None:
    """Note it, in place of what ran on its port."""
    write_atomic(_file(service.port), json.dumps(to_dict(service), indent=2).encode())


def forget(port: int) -> None:
    """No service runs there any more."""
    _file(port).unlink(missing_ok=True)


def services() -> tuple[Running, ...]:
    """Those that live; what is noted of dead ones goes."""
    alive = []
    for file in sorted((cache_folder() / "running").glob("*.json")):
        try:
            service = from_dict(Running, json.loads(file.read_bytes()))
        except (ValueError, OSError, SettingsError):
            file.unlink(missing_ok=True)
            continue
        if process_began(service.pid) == service.began:
            alive.append(service)
        else:
            file.unlink(missing_ok=True)
    return tuple(alive)


def the_service(port: int | None) -> Running:
    """The one on that port, or the only one; `SettingsError` where it is not there or not clear."""
    found = [s for s in services() if port in (None, s.port)]
    if len(found) == 1:
        return found[0]
    if found:
        ports = ", ".join(str(s.port) for s in found)
        raise SettingsError(f"Several services run here: name one with --port, of {ports}.")
    where = f" on port {port}" if port else ""
    raise SettingsError(
        f"No service runs on this machine{where} (as this user): start one with `dgad-serve up`, or name a"
        " cluster's with --address or --cluster."
    )


def process_began(pid: int) -> str | None:
    """When the process began, in a form that only serves to be compared; None where there is none."""
    try:
        # The name, in brackets, may hold anything; the begin in ticks is the 20th field after it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]  # a zombie has ended, though nobody asked how
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except PermissionError:
        return "unknown"
    except OSError:
        return None
    return "unknown"


def _file(port: int) -> Path:
    return cache_folder() / "running" / f"{port}.json"
