"""`memae`: latents are read from a memory by shrunk similarity (Gong et al., ICCV 2019)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from dgad.methods.reconstruction import ReconstructionMethod
from dgad.reconstruction.memory import ShrunkMemory
from dgad.reconstruction.settings import MemAESettings


class MemAEMethod(ReconstructionMethod):
    """Squared error of what few memory slots, learnt on normal images, can say of a query."""

    name: ClassVar[str] = "memae"
    title: ClassVar[str] = "MemAE"
    settings_type: ClassVar[type[Any]] = MemAESettings
    presets: ClassVar[Mapping[str, Any]] = {"default": MemAESettings()}
    settings: MemAESettings

    def make_bottleneck(self) -> ShrunkMemory:
        """Make the memory that latents are replaced from, by shrunk similarity."""
        return ShrunkMemory(self.settings)
