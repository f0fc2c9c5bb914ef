"""Data sets as domains of samples: adapters, checks, safe decoding, synthetic textures.

Names are imported when they are first used, so that what only decodes an image loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgad.domains.base import Dataset, Domain, EncodedImage, Sample
    from dgad.domains.layouts import LAYOUTS, open_dataset

__all__ = ["LAYOUTS", "Dataset", "Domain", "EncodedImage", "Sample", "open_dataset"]

_MODULES = {"LAYOUTS": "layouts", "open_dataset": "layouts"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: Any = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'base')}"), name)
    globals()[name] = value
    return value
