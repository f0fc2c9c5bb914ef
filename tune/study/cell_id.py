"""How the settings of a cell are chosen, and how every output names it."""

from typing import Literal, get_args

Protocol = Literal["nested", "source-validation", "oracle"]
"""`nested`: judged on inner folds over the sources, the default. `source-validation`: one fit on all
sources, judged on test images of theirs that were held back. `oracle`: judged on the target itself, as much
published work does; no figure to expect, there to show what peeking is worth."""

PROTOCOLS: tuple[str, ...] = get_args(Protocol)


def protocol_of(name: str) -> str:
    """The protocol in a labelled name, or in the name of a cell."""
    label = name.rpartition("@")[0] or name
    return label.rpartition(" [")[2].removesuffix("]") if label.endswith("]") else "nested"
