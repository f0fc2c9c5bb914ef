"""What folders of normal images are called, and names that say so without being one of them."""

import re

NORMAL_NAMES: tuple[str, ...] = ("good", "ok", "normal", "defect_free", "MT_Free")
"""Names of a folder of normal images: MVTec AD's and its followers' `good`; BTAD's and Real-IAD's `ok`;
VisA's own and anomalib's `normal`; `defect_free`; the magnetic tiles' `MT_Free`. In any case, and whatever
stands between the letters: `Good`, `O.K.`, `defect-free`."""

_PRAISES = frozenset({"good", "goods", "ok", "oks", "okay", "normal", "normals", "intact", "healthy"})
_PRAISES_ALONE = frozenset(
    {"clean", "fine", "pass", "passed", "perfect", "accept", "accepted", "negative", "io"}
)
_DENIALS = frozenset({"no", "non", "not", "n", "without", "zero", "never"})
_FAULTS = ("defect", "fault", "flaw", "anomal", "damage", "error")
# Not whatever begins or ends so: `notch_defect`, `uneven_damage` and `free_form_fault` are defects indeed.
_DENIED_FAULT = re.compile(
    rf"^(?:no|non|without|un)(?:{'|'.join(_FAULTS)})|(?:{'|'.join(_FAULTS)})(?:s|y|ies)?(?:free|less)"
)


def is_normal_name(name: str) -> bool:
    """Whether a folder of this name holds normal images."""
    return _letters(name) in _LETTERS


def suggests_normal(name: str) -> bool:
    """Whether a kind of defect is called what one would call no defect: `okay`, `Good_2`, `no_defect`."""
    words = re.findall(r"[^\W\d_]+", name.casefold())
    joined = "".join(words)
    if any(fault in joined for fault in _FAULTS):
        return bool(_DENIALS & set(words)) or _DENIED_FAULT.search(joined) is not None
    if _DENIALS & set(words):
        return False
    return bool(_PRAISES & set(words)) or joined in _PRAISES_ALONE or words[-1:] == ["free"]


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


_LETTERS = frozenset(map(_letters, NORMAL_NAMES))
