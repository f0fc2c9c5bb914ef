"""Which device to run on."""

import gc

import torch

from dgad.errors import SettingsError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a CUDA device or in main memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU allocator has no class of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def release_memory() -> None:
    """Give back what torch keeps of a CUDA device for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else CPU; `SettingsError` for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"`device` must be auto, cpu, cuda or cuda:N, but got {name!r}.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"`device` is {name}, but no CUDA device is available here; use auto or cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"`device` is {name}, but there are {torch.cuda.device_count()} CUDA devices, counted from 0."
        )
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(f"`device` must be auto, cpu, cuda or cuda:N, but got {name!r}.")
    return device
