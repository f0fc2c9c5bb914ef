"""Feature files: exact, mapped, and never taken for what they are not."""

import math
import os
from pathlib import Path

import pytest
import torch

from dgad.features.feature_file import DamagedFileError, can_encode, encode, open_mapped

has_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at the process in /proc")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.filterwarnings("error")  # such as torch's about a read-only array
def test_a_map_comes_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    feature = torch.randn(3, 5, 7).to(dtype)
    feature[0, 0, :4] = torch.tensor([math.nan, math.inf, -0.0, 1e-7])
    (tmp_path / "file").write_bytes(encode(feature, "key"))
    found = open_mapped(tmp_path / "file", "key")
    assert (found.shape, found.dtype) == (feature.shape, dtype)
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[feature.element_size()]
    assert torch.equal(found.view(bits), feature.view(bits))


def test_a_slice_of_a_batch_and_a_transposed_map_are_written_as_they_look(tmp_path: Path) -> None:
    batch = torch.randn(4, 6, 3, 2)
    for feature in (batch[2], batch[1].permute(2, 0, 1)):
        (tmp_path / "file").write_bytes(encode(feature, "key"))
        assert torch.equal(open_mapped(tmp_path / "file", "key"), feature)


def test_types_that_arrow_has_not_are_told() -> None:
    assert can_encode(torch.zeros(1))
    assert not can_encode(torch.zeros(1, dtype=torch.bfloat16))


@has_proc
def test_what_is_kept_is_the_file_itself_without_an_open_descriptor(tmp_path: Path) -> None:
    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count(str(tmp_path / "file"))

    (tmp_path / "file").write_bytes(encode(torch.randn(8, 16, 16), "key"))
    num_open = len(os.listdir("/proc/self/fd"))
    kept = [open_mapped(tmp_path / "file", "key") for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == num_open
    assert mappings() == 50
    view = kept[0][2:4]
    del kept
    assert mappings() == 1
    assert torch.isfinite(view).all()  # the part keeps the whole mapped
    del view
    assert mappings() == 0


def test_a_map_outlives_its_file(tmp_path: Path) -> None:
    feature = torch.randn(2, 4, 4)
    (tmp_path / "file").write_bytes(encode(feature, "key"))
    found = open_mapped(tmp_path / "file", "key")
    (tmp_path / "other").write_bytes(encode(torch.zeros(2, 4, 4), "key"))
    (tmp_path / "other").replace(tmp_path / "file")
    assert torch.equal(found, feature)


@pytest.mark.slow
def test_no_changed_bit_ever_gives_another_map(tmp_path: Path) -> None:
    feature = torch.randn(2, 3, 4)
    whole = encode(feature, "key")
    path = tmp_path / "file"
    num_refused = 0
    for position in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[position // 8] ^= 1 << (position % 8)
        path.write_bytes(changed)
        try:
            found = open_mapped(path, "key")
        except DamagedFileError:
            num_refused += 1
        else:  # a bit that nobody reads, such as those between the parts
            assert found.dtype == feature.dtype
            assert torch.equal(found, feature)
    assert num_refused >= 8 * feature.numel() * 4


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = encode(torch.randn(2, 3, 4), "key")
    for length in range(len(whole)):
        (tmp_path / "file").write_bytes(whole[:length])
        with pytest.raises(DamagedFileError):
            open_mapped(tmp_path / "file", "key")


def test_the_map_of_another_key_and_a_file_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(encode(torch.zeros(1, 2, 2), "other"))
    (tmp_path / "text").write_text("not an Arrow file, though it is long enough to be one" * 10)
    for name in ("file", "text"):
        with pytest.raises(DamagedFileError):
            open_mapped(tmp_path / name, "key")
    with pytest.raises(FileNotFoundError):
        open_mapped(tmp_path / "absent", "key")
