"""Procedural domains without end, drawn on the fly: what weights are pretrained on, never a real photograph.

Independent of `domains.demo`, whose surfaces stand in for a user's and are never trained on.
"""

from dgad.domains.procedural.defects import DEFECTS, HELD_OUT_DEFECTS, TRAINING_DEFECTS
from dgad.domains.procedural.domain import ProceduralDomain, draw_domain
from dgad.domains.procedural.surfaces import FAMILIES, HELD_OUT_FAMILIES, TRAINING_FAMILIES

__all__ = [
    "DEFECTS",
    "FAMILIES",
    "HELD_OUT_DEFECTS",
    "HELD_OUT_FAMILIES",
    "TRAINING_DEFECTS",
    "TRAINING_FAMILIES",
    "ProceduralDomain",
    "draw_domain",
]
