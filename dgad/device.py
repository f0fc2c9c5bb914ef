"""Which device to run on."""

import torch

from dgad.errors import SettingsError


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
