"""Services that run on this machine: one file each in the user's cache, by port, while they run."""

import dataclasses
import json
import signal
from pathlib import Path

from dgad.errors import SettingsError
from dgad.files import write_atomic
from dgad.processes import read_birth, send_signal
from dgad.settings import from_dict, to_dict
from dgad.user_dirs import temporary_user_folder, user_cache_folder


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredService:
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


def register(service: RegisteredService) -> None:
    """Note a service that runs, in place of what ran on its port."""
    write_atomic(_file(service.port), json.dumps(to_dict(service), indent=2).encode())


def unregister(port: int) -> None:
    """Note that no service runs on the port any more."""
    _file(port).unlink(missing_ok=True)


def list_services() -> tuple[RegisteredService, ...]:
    """List the services that live; what is noted of dead ones is removed."""
    alive = []
    for file in sorted(_folder().glob("*.json")):
        try:
            service = from_dict(RegisteredService, json.loads(file.read_bytes()))
        except (ValueError, OSError, SettingsError):
            file.unlink(missing_ok=True)
            continue
        if is_alive(service):
            alive.append(service)
        else:
            file.unlink(missing_ok=True)
    return tuple(alive)


def find_service(port: int | None) -> RegisteredService:
    """Find the service on that port, or the only one; `SettingsError` where it is not there or not clear."""
    found = [s for s in list_services() if port in (None, s.port)]
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


def is_alive(service: RegisteredService) -> bool:
    """Whether that very process runs; not where its birth is not known, so such a one is never signalled."""
    return find_birth(service.pid) == service.began


def terminate(service: RegisteredService) -> bool:
    """Send SIGTERM to that very process, and to no other; False where it has ended meanwhile."""
    return send_signal(service.pid, signal.SIGTERM, lambda: is_alive(service))


def find_birth(pid: int) -> str | None:
    """When a process began, as the files here have it: clock ticks since the machine was started.

    None where none of the user's runs.
    """
    birth = read_birth(pid)
    return None if birth is None else str(birth.boot_ticks)


def _file(port: int) -> Path:
    return _folder() / f"{port}.json"


def _folder() -> Path:
    return (user_cache_folder() or temporary_user_folder()) / "serve" / "running"
