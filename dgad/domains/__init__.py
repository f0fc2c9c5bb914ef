"""Data sets as domains of samples: adapters, checks, safe decoding, synthetic textures."""

from dgad.domains.base import Dataset, Domain, EncodedImage, Sample
from dgad.domains.layouts import LAYOUTS, open_dataset

__all__ = ["LAYOUTS", "Dataset", "Domain", "EncodedImage", "Sample", "open_dataset"]
