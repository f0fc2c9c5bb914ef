import numpy as np
import pytest
import torch
from PIL import Image

from dgad.domains import images as images_module
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.domains.images import load_image_files
from dgad.domains.region import RegionOfInterest
from dgad.errors import DataError


def image(height: int, width: int, value: int = 0) -> torch.Tensor:
    return torch.full((3, height, width), value, dtype=torch.uint8)


def test_images_of_any_sizes_stand_together_but_do_not_stack() -> None:
    images = ImageSet(images=[image(4, 6), image(5, 3)], keys=("a", "b"))
    assert images.sizes == ((4, 6), (5, 3))
    assert images.take([1, 0, 1]).sizes == ((5, 3), (4, 6), (5, 3))
    with pytest.raises(DataError, match="6 x 4, 3 x 5"):
        images.stack()
    assert ImageSet(images=torch.zeros(2, 3, 4, 6, dtype=torch.uint8)).stack().shape == (2, 3, 4, 6)


def test_regions_and_keys_follow_their_images() -> None:
    whole = RegionOfInterest(polygons=(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),))
    images = ImageSet(
        images=[image(4, 4, v) for v in range(3)], keys=("a", "b", "c"), regions=(None, whole, None)
    )
    taken = images.take([2, 1])
    assert taken.keys == ("c", "b")
    assert taken.region(1) == whole
    assert taken.region(0) is None
    assert [int(i[0, 0, 0]) for batch in images.batches(2) for i in batch.images] == [0, 1, 2]
    with pytest.raises(DataError, match="one region per image"):
        ImageSet(images=[image(4, 4)], regions=(None, None))


def test_beyond_the_bound_photographs_are_decoded_again_and_equal(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for number in range(4):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(paths[-1])
    kept = load_image_files(paths, Geometry(scale="native"))
    monkeypatch.setattr(images_module, "_KEPT_BYTES", 2 * 3 * 40 * 30)
    lazy = load_image_files(paths, Geometry(scale="native"))
    assert not isinstance(lazy.images, tuple)
    assert lazy.sizes == kept.sizes == ((40, 30),) * 4
    assert lazy.keys == kept.keys
    assert torch.equal(lazy.take([3, 1]).take([1, 0]).stack(), kept.take([1, 3]).stack())
