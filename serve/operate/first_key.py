"""The key that a service begins with, where it needs one."""

import dataclasses

from serve.settings import KeysRule, ServeSettings


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FirstKey:
    """What to tell whoever starts a service, and what the service is to hold to."""

    value: str | None = dataclasses.field(repr=False)
    """A write key that has just been made; it is kept nowhere but as a hash."""
    sentence: str
    rule: KeysRule
    """For the service's settings: that the store had keys, where it had."""


def make_first_key(settings: ServeSettings) -> FirstKey:
    """Make a write key where keys are required and the store has none."""
    from serve.keys import KeyRing

    ring = KeyRing(settings.store, rule=settings.keys)
    names = [key.name for key in ring.list()]
    rule: KeysRule = "required" if settings.keys == "required" else "expected"
    if names:
        sentence = f"required; the store knows {', '.join(names)} (the client takes it from DGAD_API_KEY)"
        return FirstKey(value=None, sentence=sentence, rule=rule)
    if ring.is_lost:
        sentence = (
            "required, but the store's keys.json is not there: put it back, or make a key"
            f" (dgad-serve keys create NAME --store {settings.store}); until then nobody is answered"
        )
        return FirstKey(value=None, sentence=sentence, rule=rule)
    if settings.is_loopback and not ring.is_closed:
        sentence = "none is needed: only this machine reaches the service"
        return FirstKey(value=None, sentence=sentence, rule=settings.keys)
    value = ring.create("first", "write")
    sentence = f"{value} (shown this once; clients take it from DGAD_API_KEY)"
    return FirstKey(value=value, sentence=sentence, rule=rule)
