"""Synthetic domains: procedural surfaces with procedural defects and exact masks."""

from dgad.domains.demo.defects import DEFECTS, KINDS
from dgad.domains.demo.surfaces import SURFACES
from dgad.domains.demo.write import SynthesisSettings, render, synthesize

__all__ = ["DEFECTS", "KINDS", "SURFACES", "SynthesisSettings", "render", "synthesize"]
