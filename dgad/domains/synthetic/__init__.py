"""Synthetic domains: procedural surfaces with procedural defects and exact masks."""

from dgad.domains.synthetic.defects import DEFECTS, KINDS
from dgad.domains.synthetic.surfaces import SURFACES
from dgad.domains.synthetic.write import SynthesisSettings, render, synthesize

__all__ = ["DEFECTS", "KINDS", "SURFACES", "SynthesisSettings", "render", "synthesize"]
