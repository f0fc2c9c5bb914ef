"""Domain-generalised anomaly detection for textured surfaces: learn on some, find defects on others.

    import dgad

    comparer = dgad.load_comparer("builtin")
    surface = comparer.enroll("good_parts")
    for scored in surface.score("parts"):
        print(scored.name, scored.verdict, scored.p_value)

Names are imported when they are first used: `import dgad` alone loads neither torch nor anything else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgad.api.enrolled_references import NearDuplicateWarning, ScoredReferenceWarning
    from dgad.api.evaluation import EvaluationRow, EvaluationTable, evaluate
    from dgad.api.scored import ScoredImage
    from dgad.api.surfaces import Comparer, Surface, load_comparer, load_surface
    from dgad.bundle import BundleInfo, read_bundle
    from dgad.domains.base import Dataset
    from dgad.domains.checks import check_dataset
    from dgad.domains.demo import synthesize
    from dgad.domains.layouts import open_dataset
    from dgad.domains.wide_values import NarrowRangeWarning
    from dgad.errors import DataWarning, DgadError, UserError
    from dgad.evaluation.regions import Region
    from dgad.features.settings import FeatureSettings
    from dgad.methods import METHODS

    __version__: str

__all__ = [
    "METHODS",
    "BundleInfo",
    "Comparer",
    "DataWarning",
    "Dataset",
    "DgadError",
    "EvaluationRow",
    "EvaluationTable",
    "FeatureSettings",
    "NarrowRangeWarning",
    "NearDuplicateWarning",
    "Region",
    "ScoredImage",
    "ScoredReferenceWarning",
    "Surface",
    "UserError",
    "__version__",
    "check_dataset",
    "evaluate",
    "load_comparer",
    "load_surface",
    "open_dataset",
    "read_bundle",
    "synthesize",
]

_MODULES = {
    "METHODS": "dgad.methods",
    "BundleInfo": "dgad.bundle",
    "Comparer": "dgad.api.surfaces",
    "DataWarning": "dgad.errors",
    "Dataset": "dgad.domains.base",
    "DgadError": "dgad.errors",
    "EvaluationRow": "dgad.api.evaluation",
    "EvaluationTable": "dgad.api.evaluation",
    "FeatureSettings": "dgad.features.settings",
    "NarrowRangeWarning": "dgad.domains.wide_values",
    "NearDuplicateWarning": "dgad.api.enrolled_references",
    "Region": "dgad.evaluation.regions",
    "ScoredImage": "dgad.api.scored",
    "ScoredReferenceWarning": "dgad.api.enrolled_references",
    "Surface": "dgad.api.surfaces",
    "UserError": "dgad.errors",
    "check_dataset": "dgad.domains.checks",
    "evaluate": "dgad.api.evaluation",
    "load_comparer": "dgad.api.surfaces",
    "load_surface": "dgad.api.surfaces",
    "open_dataset": "dgad.domains.layouts",
    "read_bundle": "dgad.bundle",
    "synthesize": "dgad.domains.demo",
}
"""Where each name is defined (PEP 562); the imports above say the same to type checkers and editors."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("dgad")
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
