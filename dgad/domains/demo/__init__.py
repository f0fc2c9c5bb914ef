"""Synthetic domains: procedural surfaces with procedural defects and exact masks."""

from dgad.domains.demo.defects import DEFECTS, KINDS
from dgad.domains.demo.look import Look, make_look, parse_defect_px, parse_size
from dgad.domains.demo.photograph import render
from dgad.domains.demo.surfaces import SURFACES
from dgad.domains.demo.write import DEFECTS_FILE, SynthesisSettings, synthesize

__all__ = [
    "DEFECTS",
    "DEFECTS_FILE",
    "KINDS",
    "SURFACES",
    "Look",
    "SynthesisSettings",
    "make_look",
    "parse_defect_px",
    "parse_size",
    "render",
    "synthesize",
]
