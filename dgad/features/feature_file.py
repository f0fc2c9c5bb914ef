"""One feature map as one Arrow IPC file that says whose it is and proves that it is whole."""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

FORMAT_VERSION = 1
_HEADER, _CHECKSUM = b"dgad.features", b"crc32"
_TYPES: dict[torch.dtype, pa.DataType] = {
    torch.float16: pa.float16(),
    torch.float32: pa.float32(),
    torch.float64: pa.float64(),
}
"""What Arrow and torch both have."""


class DamagedFileError(ValueError):
    """The file is torn, altered, of another format, or holds another map than its name says."""


def can_encode(feature: Tensor) -> bool:
    """Whether there is a file for such maps; for bfloat16 there is none."""
    return feature.dtype in _TYPES and feature.numel() > 0


def encode(feature: Tensor, key: str) -> bytes:
    """The whole file of a map of any shape and device, to be found under `key`."""
    values = feature.detach().cpu().contiguous()
    column = pa.array(values.view(-1).numpy(), type=_TYPES[values.dtype])
    header = json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "key": key,
            "shape": list(values.shape),
            "dtype": str(values.dtype),
        }
    ).encode()
    checksum = str(_checksum(header, column)).encode()
    schema = pa.schema([("values", column.type)], metadata={_HEADER: header, _CHECKSUM: checksum})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch([column], schema=schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def open_mapped(path: Path, key: str) -> Tensor:
    """The map in the file, as a tensor on the mapped file itself: nothing is copied, no file stays open.

    The memory is read-only, and a write into it kills the process: hand out copies only. The map stays
    readable when the file is removed or replaced. Raises `OSError` for a file that cannot be opened,
    `DamagedFileError` for one that is not the whole map of `key`.
    """
    with pa.memory_map(str(path)) as source:
        try:
            batch = pa.ipc.open_file(source).get_batch(0)
            metadata = batch.schema.metadata or {}
            header, column = metadata.get(_HEADER, b""), batch.column(0)
            about: dict[str, Any] = json.loads(header)
            shape = tuple(about["shape"])
            type_of_file = {str(t): arrow for t, arrow in _TYPES.items()}[about["dtype"]]
            is_whole = (
                about["format_version"] == FORMAT_VERSION
                and about["key"] == key
                and column.type == type_of_file
                and column.offset == 0
                and column.null_count == 0
                and len(column) == math.prod(shape)
                and metadata.get(_CHECKSUM) == str(_checksum(header, column)).encode()
            )
        # Whatever Arrow makes of changed bytes, a short file being an `OSError` of its own.
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, MemoryError) as error:
            raise DamagedFileError(f"{path}: {error}") from None
    if not is_whole:
        raise DamagedFileError(f"{path} is not the map of {key}.")
    # DLPack keeps the column, and so the mapping, alive with the tensor.
    return from_dlpack(column).view(shape)


def _checksum(header: bytes, column: pa.Array) -> int:
    """CRC-32 of the header and the values."""
    values = memoryview(column.buffers()[1])[: len(column) * column.type.bit_width // 8]
    return zlib.crc32(values, zlib.crc32(header))
