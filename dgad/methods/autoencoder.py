"""`autoencoder`: the reconstruction baseline, a bottleneck and nothing else."""

from collections.abc import Mapping
from typing import Any, ClassVar

from dgad.methods.reconstruction import ReconstructionMethod
from dgad.reconstruction.memory import Bottleneck
from dgad.reconstruction.settings import AutoencoderSettings


class AutoencoderMethod(ReconstructionMethod):
    """Squared error of what a narrow latent lets through."""

    name: ClassVar[str] = "autoencoder"
    title: ClassVar[str] = "Autoencoder"
    settings_type: ClassVar[type[Any]] = AutoencoderSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": AutoencoderSettings()}
    settings: AutoencoderSettings

    def make_bottleneck(self) -> Bottleneck:
        """None but the latent's width."""
        return Bottleneck()
