"""Services that run on this machine: one file each in the user's cache, by port, while they run."""

import dataclasses
import json
import os
from pathlib import Path

import psutil

from dgad.errors import SettingsError
from dgad.files import write_atomic
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
        if find_birth(service.pid) == service.began:
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


def find_birth(pid: int) -> str | None:
    """Tell when a process began, as text that only serves to be compared; None where none of the user's runs.

    Clock ticks since the machine was started, as files written before psutil was used here have it.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # it has ended, though nobody asked how
            return None
        began_at_s, started_at_s = process.create_time(), psutil.boot_time()
        while (again_s := psutil.Process(pid).create_time()) != began_at_s:  # the clock was set in between
            began_at_s, started_at_s = again_s, psutil.boot_time()
        return str(round((began_at_s - started_at_s) * os.sysconf("SC_CLK_TCK")))
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # another user's is none that this user started
        return None


def _file(port: int) -> Path:
    return _folder() / f"{port}.json"


def _folder() -> Path:
    return (user_cache_folder() or temporary_user_folder()) / "serve" / "running"
