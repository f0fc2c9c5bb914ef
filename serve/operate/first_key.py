"""The key that a service begins with, where it needs one."""

import dataclasses

from serve.settings import ServeSettings


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FirstKey:
    """What to tell whoever starts a service."""

    value: str | None = dataclasses.field(repr=False)
    """A write key that has just been made; it is kept nowhere but as a hash."""
    sentence: str


def make_first_key(settings: ServeSettings) -> FirstKey:
    """Make a write key where keys are required and the store has none."""
    from serve.keys import KeyRing

    ring = KeyRing(settings.store)
    names = [key.name for key in ring.list()]
    if names:
        sentence = f"required; the store knows {', '.join(names)} (the client takes it from DGAD_API_KEY)"
        return FirstKey(value=None, sentence=sentence)
    if settings.is_loopback:
        return FirstKey(value=None, sentence="none is needed: only this machine reaches the service")
    value = ring.create("first", "write")
    return FirstKey(value=value, sentence=f"{value} (shown this once; clients take it from DGAD_API_KEY)")
