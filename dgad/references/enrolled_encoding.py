"""An enrolled state and its calibration as the bytes of one safetensors file, with a checksum over all of it.

The tensors are the method's (`enrolled.*`) and the calibration scores; the metadata hold the rest.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_bytes
from torch import Tensor

from dgad.calibration.threshold import Calibration
from dgad.methods.base import Enrolled
from dgad.references.enrolled_files import IDS

FORMAT_VERSION = 1
"""Part of every key of a store: a file of another format is one that nobody asks for."""
_SCORES = "calibration.scores"
_PREFIX = "enrolled."
_SCALARS = ("scheme", "guarantee", "num_compared", "map_low", "map_high", "map_limit")


def encode_enrolled(enrolled: Enrolled, calibration: Calibration, ids: Sequence[str]) -> bytes:
    """An enrolled state and its calibration as one safetensors file; the inverse of `decode_enrolled`.

    Args:
        enrolled: The method's tensors, on any device.
        calibration: Made with the same references.
        ids: The photographs it was made with, 64 hex digits each.

    Returns:
        The file's bytes. Its metadata carry a SHA-256 over all else, so that damage is found.
    """
    tensors = {f"{_PREFIX}{n}": t.detach().cpu().contiguous() for n, t in enrolled.tensors.items()}
    tensors[_SCORES] = torch.from_numpy(np.array(calibration.scores, dtype=np.float64))
    values: Mapping[str, Any] = {name: getattr(calibration, name) for name in _SCALARS}
    metadata = {
        "format_version": str(FORMAT_VERSION),
        "method": enrolled.method,
        "num_references": str(enrolled.num_references),
        "calibration": json.dumps(values),
        IDS: json.dumps(sorted(ids)),
    }
    metadata["sha256"] = _checksum(metadata, tensors)
    # Tensors that share memory are written apart.
    return save_bytes({n: t.clone() for n, t in tensors.items()}, metadata)


def decode_enrolled(
    metadata: Mapping[str, str], tensors: Mapping[str, Tensor]
) -> tuple[Enrolled, Calibration]:
    """The state and the calibration in a file that was read or mapped.

    Args:
        metadata: Of the safetensors file.
        tensors: Of the same file, by name; they are kept as they are, not copied.

    Raises:
        ValueError, KeyError, TypeError, SettingsError: Something differs from what was written.
    """
    if metadata["sha256"] != _checksum(metadata, tensors):
        raise ValueError("its checksum differs")
    values = json.loads(metadata["calibration"])
    calibration = Calibration(scores=tensors[_SCORES].numpy().astype(np.float64), **values)
    enrolled = Enrolled(
        method=metadata["method"],
        num_references=int(metadata["num_references"]),
        tensors={n.removeprefix(_PREFIX): t for n, t in tensors.items() if n != _SCORES},
    )
    return enrolled, calibration


def _checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the metadata but this entry, and every tensor's name, type, shape and bytes."""
    total = hashlib.sha256()
    total.update(json.dumps({k: v for k, v in metadata.items() if k != "sha256"}, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel() > 0:  # torch cannot view an empty one as bytes
            total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
