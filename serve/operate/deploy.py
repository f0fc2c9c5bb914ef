"""A service put on a Ray that runs."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from dgad.errors import RecordError, SettingsError
from dgad.storage import without_credentials
from serve.engine.bundle import check_bundle
from serve.operate.first_key import FirstKey, make_first_key
from serve.operate.rollout import SHIPPED_BUNDLE, roll_out, ship_bundle
from serve.operate.target import ConnectedService
from serve.replicas.config import make_service_config
from serve.settings import ServeSettings

_START_TIMEOUT_S = 900.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """What to tell whoever deployed it."""

    bundle_id: str
    host: str
    port: int
    key: str | None = dataclasses.field(repr=False)
    key_sentence: str


def deploy(
    connected: ConnectedService, settings: ServeSettings, *, report: Callable[[str], None]
) -> Deployed:
    """Ship code and bundle and deploy them; where the service runs already its bundle is rolled out.

    Raises `BundleError` or `SettingsError` before anything is sent, `ClusterError` where it does not come up.
    """
    info = check_bundle(settings.bundle)
    if settings.port == 0:
        raise SettingsError("--port must be a fixed one on a cluster, but got 0.")
    if without_credentials(settings.store) != settings.store:
        raise SettingsError(
            f"--store {without_credentials(settings.store)} was given with credentials, which others would"
            " see: set them where the hosts' own tools look, such as AWS_ACCESS_KEY_ID or a role."
        )
    before = connected.api.state()
    there = dataclasses.replace(
        settings, bundle=settings.bundle if "://" in settings.bundle else SHIPPED_BUNDLE
    )
    if before is not None and before.status == "RUNNING":
        if (before.settings.store, before.settings.host, before.settings.port) != (
            there.store,
            there.host,
            there.port,
        ):
            raise SettingsError(
                f"A service runs there with --store {before.settings.store} --host {before.settings.host}"
                f" --port {before.settings.port}: end it first (`dgad-serve down`), or name the same."
            )
        _check_is_held_to(settings, before.settings)
        roll_out(connected, settings.bundle, report=report)
        return Deployed(
            bundle_id=info.bundle_id, host=there.host, port=there.port, key=None, key_sentence="as before"
        )
    key = _key(settings)
    there = dataclasses.replace(there, keys=key.rule)
    report("Sending code and bundle.")
    working_dir = ship_bundle(connected, settings.bundle)
    connected.api.deploy(make_service_config(there, bundle_id=info.bundle_id, working_dir=working_dir))
    report("Starting.")
    connected.api.wait_until_running(
        after=before.deployed_at if before else None, timeout_s=_START_TIMEOUT_S, report=report
    )
    return Deployed(
        bundle_id=info.bundle_id, host=there.host, port=there.port, key=key.value, key_sentence=key.sentence
    )


def _check_is_held_to(asked: ServeSettings, running: ServeSettings) -> None:
    """Refuse what a roll-out would not change, where who asked for it would take it for so."""
    options = []
    if asked.keys == "required" and running.keys != "required":
        options.append("--require-keys")
    if asked.has_domain_labels != running.has_domain_labels:
        options.append("--domain-labels")
    if asked.limits != running.limits:
        options.append("--limit")
    if options:
        raise SettingsError(
            f"The service that runs there was started with another {', '.join(options)}: end it first"
            " (`dgad-serve down`), or name the same."
        )


def _key(settings: ServeSettings) -> FirstKey:
    """A first key where one is required and this machine reaches the store, as every node does."""
    how = f"dgad-serve keys create NAME --scope write --store {settings.store}"
    if "://" in settings.store or Path(settings.store).exists():
        try:
            return make_first_key(settings)
        except RecordError:
            if not settings.is_loopback:
                raise
    if not settings.is_loopback or settings.keys == "required":
        sentence = f"required; make one on a host of the cluster: {how}"
        return FirstKey(value=None, sentence=sentence, rule=settings.keys)
    sentence = "none is needed, unless the store has ever had some: only the head itself reaches the service"
    return FirstKey(value=None, sentence=sentence, rule=settings.keys)
