"""A new bundle on a running service, while it answers.

Before the switch all stores are embedded anew from their images, by a process of its own that leaves the
service the machine. Then Serve starts new scorers beside the old ones, which finish what they have.
"""

import dataclasses
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.jobs.client import find_last_line
from cluster.jobs.named_jobs import Jobs
from cluster.jobs.ship import pack_code
from dgad.bundle import CONTENT_FILES, BundleInfo
from dgad.errors import ClusterError, SettingsError
from dgad.sealed_folder import MANIFEST_FILE
from serve.engine.bundle import check_bundle, fetch_bundle
from serve.operate.registry import register
from serve.operate.serve_api import ServiceState
from serve.operate.target import ConnectedService
from serve.replicas.config import make_service_config
from serve.settings import ServeSettings

Report = Callable[[str], None]

SHIPPED_BUNDLE = "bundle"
"""Its folder in the package of code: replicas have that as their working directory."""
_SWITCH_TIMEOUT_S = 900.0
_EMBED_TIMEOUT_S = 24 * 3600.0


def ship_bundle(connected: ConnectedService, bundle: str) -> str:
    """URI of a package with this installation's code and the bundle."""
    with tempfile.TemporaryDirectory(prefix="dgad-ship-") as temporary:
        return connected.api.upload(pack_service(Path(temporary) / "code", bundle))


def pack_service(folder: Path, bundle: str) -> Path:
    """The code with the bundle beside it, in the new `folder`."""
    source = fetch_bundle(bundle)
    names = (*CONTENT_FILES, MANIFEST_FILE)
    return pack_code(
        folder, extra={f"{SHIPPED_BUNDLE}/{name}": (source / name).read_bytes() for name in names}
    )


def roll_out(connected: ConnectedService, bundle: str, *, report: Report) -> BundleInfo:
    """Let the running service use the bundle from now on; its info.

    Raises `BundleError` before anything is touched, `ClusterError` where the new scorers do not come up
    (then the old ones go on).
    """
    info = check_bundle(bundle)
    state = connected.api.state()
    if state is None:
        raise SettingsError("No service is deployed there: `dgad-serve deploy` puts one there.")
    if state.bundle_id == info.bundle_id and state.status == "RUNNING":
        report(f"The service uses {info.bundle_id} already.")
        return info
    settings, working_dir = state.settings, None
    if connected.running is not None:
        settings = dataclasses.replace(settings, bundle=str(fetch_bundle(bundle)))
    else:
        settings = dataclasses.replace(settings, bundle=bundle if "://" in bundle else SHIPPED_BUNDLE)
        working_dir = ship_bundle(connected, bundle)
    embed = _embed_here if connected.running is not None else _embed_there
    report(f"Embedding every store with {info.bundle_id}; meanwhile the old bundle answers.")
    report(f"{embed(connected, settings, bundle)} enrolled states made.")
    _switch(connected, state, settings, info.bundle_id, working_dir, report)
    embed(connected, settings, bundle)  # what was enrolled meanwhile
    return info


def _switch(
    connected: ConnectedService,
    state: ServiceState,
    settings: ServeSettings,
    bundle_id: str,
    working_dir: str | None,
    report: Report,
) -> None:
    report("Switching: new replicas begin, old ones finish what they have.")
    connected.api.deploy(make_service_config(settings, bundle_id=bundle_id, working_dir=working_dir))
    try:
        connected.api.wait_until_running(after=state.deployed_at, timeout_s=_SWITCH_TIMEOUT_S, report=report)
    except ClusterError as error:
        report("Going back to the old bundle.")
        connected.api.deploy(
            make_service_config(state.settings, bundle_id=state.bundle_id, working_dir=state.working_dir)
        )
        raise ClusterError(f"{error} The old bundle goes on.") from None
    if connected.running is not None:
        register(dataclasses.replace(connected.running, bundle=settings.bundle))


def embed_all(settings: ServeSettings) -> int:
    """Make every enrolled state that the settings' bundle lacks; this process gives way to others."""
    from serve.engine.store_writer import StoreWriter

    os.nice(10)
    bundle = fetch_bundle(settings.bundle)
    writer = StoreWriter(
        bundle, settings.store, device=settings.device, limits=settings.limits, is_alone=False
    )
    return writer.embed_all()


def _embed_here(connected: ConnectedService, settings: ServeSettings, bundle: str) -> int:
    """In a process of its own, which can give way to others without this one doing so for good."""
    del connected
    places = ["--bundle", bundle, "--store", settings.store, "--device", settings.device]
    command = [sys.executable, "-m", "serve.cli", "embed", *places]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 2:
        raise SettingsError(done.stderr.strip().removeprefix("Error: "))
    if done.returncode != 0:
        raise ClusterError(f"The stores could not be embedded: {find_last_line(done.stderr)}")
    return int(done.stdout)


def _embed_there(connected: ConnectedService, settings: ServeSettings, bundle: str) -> int:
    """On the head, as a job: this machine need not reach the store."""
    arguments = ["embed", "--bundle", settings.bundle, "--store", settings.store, "--device", settings.device]
    command = f"{connected.python} -m serve.cli {shlex.join(arguments)}"
    with tempfile.TemporaryDirectory(prefix="dgad-ship-") as temporary:
        folder = pack_service(Path(temporary) / "code", bundle)
        said = Jobs(connected.url, connected.token).run(command, folder, timeout_s=_EMBED_TIMEOUT_S)
    last = said.strip().splitlines()[-1:] or [""]
    if not last[0].isdigit():
        raise ClusterError(f"`{command}` on the head should have said a number, but said {last[0][:200]!r}.")
    return int(last[0])
