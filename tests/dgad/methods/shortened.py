"""Every method's settings with few, small steps, for tests that fit it."""

import dataclasses
from typing import Any

from dgad.comparer.settings import ComparerSettings
from dgad.contextual.settings import ContextualSettings
from dgad.methods.agg import AggPairSettings, AggSettings
from dgad.methods.eisnet import EisnetPairSettings, EisnetSettings
from dgad.methods.epi_fcr import EpiFcrPairSettings, EpiFcrSettings
from dgad.methods.patchcore import PatchcoreSettings
from dgad.reconstruction.settings import AutoencoderSettings, MemAESettings, TrustMAESettings

QUICK_NETWORK = {"num_steps": 30, "learning_rate": 3e-3, "batch_size": 4, "crop_px": 32, "stride": 8}
ONE_OF_EACH = {"normals_per_domain": 1, "abnormals_per_domain": 1}
LIGHT_SUPERVISION = {"jigsaw_weight": 0.1, "triplet_weight": 0.1}
"""On stripes most puzzles cannot be solved: a tile that moves along them changes nothing."""
SHORTENED: dict[type[Any], dict[str, Any]] = {
    AggSettings: {"num_steps": 40},
    AggPairSettings: {"num_steps": 60},
    AutoencoderSettings: QUICK_NETWORK,
    ComparerSettings: {"num_steps": 3, "num_reference_patches": 64},
    ContextualSettings: {
        "num_steps": 2,
        "num_synthetic_sources": 1,
        "domains_per_step": 1,
        "references_per_domain": 2,
        "width": 8,
    },
    EisnetSettings: {"num_steps": 50, **LIGHT_SUPERVISION},
    EisnetPairSettings: {"num_steps": 60, **LIGHT_SUPERVISION, **ONE_OF_EACH},
    EpiFcrSettings: {"num_steps": 40, "learning_rate": 3e-4, "feature_weight": 0.2},
    EpiFcrPairSettings: {"num_steps": 40, "learning_rate": 5e-4, "feature_weight": 0.2, **ONE_OF_EACH},
    MemAESettings: QUICK_NETWORK,
    PatchcoreSettings: {"finest_stride": 4},
    TrustMAESettings: QUICK_NETWORK,
}
"""By settings class: few, small steps, that still learn enough to see an obvious defect.

Random weights show it at no coarser stride to PatchCore, which averages 3 x 3 patches of the small images.
"""


def short(settings: Any) -> Any:
    """The same settings with few, small steps, if they have any."""
    changes = SHORTENED.get(type(settings), {})
    return dataclasses.replace(settings, **changes) if getattr(settings, "num_steps", 1) else settings


def brief(settings: Any) -> Any:
    """A fit of a few steps that need not learn anything."""
    changes = {"num_steps": 3, "num_warmup_steps": 1}
    known = {f.name for f in dataclasses.fields(settings)}
    kept = {k: v for k, v in changes.items() if k in known and getattr(settings, k) > v}
    return dataclasses.replace(short(settings), **kept)
