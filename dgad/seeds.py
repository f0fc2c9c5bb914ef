"""Seeds derived from names, so that no two uses share a stream and none depends on call order."""

import hashlib


def seed_for(seed: int, *names: str) -> int:
    """A seed in [0, 2**63) that depends on `seed` and every name: `seed_for(0, "grid", "episodes")`."""
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
