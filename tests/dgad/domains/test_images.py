import hashlib
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from dgad.domains import open_dataset
from dgad.domains.images import expand_image_paths, load_image_files, load_images, load_masks, resize_mask
from dgad.errors import DataError, ImageError
from tests.geometries import squash

from .trees import mvtec_domain, mvtec_tree, noise, save


def test_images_are_uint8_rgb_with_content_keys(tmp_path):
    samples = open_dataset(str(mvtec_tree(tmp_path))).domain("beta").samples
    images = load_images(samples, squash(32))
    assert images.stack().dtype == torch.uint8
    assert tuple(images.stack().shape) == (5, 3, 32, 32)
    for sample, key in zip(samples, images.keys, strict=True):
        assert hashlib.sha256(sample.image.read()).hexdigest() in key
    assert set(images.keys).isdisjoint(load_images(samples, squash(64)).keys)


def test_samples_travel_to_other_processes(tmp_path):
    samples = open_dataset(str(mvtec_tree(tmp_path))).domain("beta").samples
    copies = pickle.loads(pickle.dumps(samples))
    assert [c.image.read() for c in copies] == [s.image.read() for s in samples]


def test_shrinking_averages_instead_of_skipping(tmp_path):
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    path = save(tmp_path / "stripes.png", stripes)
    small = load_image_files([str(path)], squash(32)).stack()
    assert small.float().std() < 4
    assert 120 < small.float().mean() < 135


def test_masks_of_normal_abnormal_and_unlabelled_pixels(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "ground_truth/scratch/001_mask.png").unlink()
    samples = open_dataset(str(tmp_path)).domain("a").tests
    by_id = dict(zip((s.id for s in samples), load_masks(samples, [(32, 32)] * len(samples)), strict=True))
    assert not by_id["a/test/good/000"].any()
    assert by_id["a/test/scratch/000"].shape == (32, 32)
    assert by_id["a/test/scratch/000"].any()
    assert by_id["a/test/scratch/001"] is None


def test_a_mask_that_marks_nothing_counts_as_none(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    save(folder / "ground_truth/scratch/000_mask.png", np.zeros((24, 20), np.uint8))
    samples = [s for s in open_dataset(str(tmp_path)).domain("a").tests if s.id == "a/test/scratch/000"]
    assert load_masks(samples, [(32, 32)] * len(samples)) == (None,)


@pytest.mark.parametrize("size", [(1000, 700), (129, 128), (128, 1024)])
def test_a_hairline_survives_shrinking_and_stays_in_place(size):
    mask = np.zeros(size, bool)
    row = size[0] // 3
    mask[row] = True
    small = resize_mask(mask, (128, 128))
    assert small.shape == (128, 128)
    marked = np.flatnonzero(small.any(axis=1))
    assert small[marked].all()
    assert len(marked) <= 2
    assert row * 128 // size[0] in marked


def test_resizing_masks_equals_the_plain_definition():
    rng = np.random.default_rng(0)
    for size in ((50, 37), (10, 64), (32, 32)):
        mask = rng.random(size) < 0.05
        got = resize_mask(mask, (32, 32))

        def cells(length):
            if length <= 32:
                return [slice(k := int((i + 0.5) * length / 32), k + 1) for i in range(32)]
            return [
                slice(int(np.floor(i * length / 32)), int(np.ceil((i + 1) * length / 32))) for i in range(32)
            ]

        expected = [[mask[r, c].any() for c in cells(size[1])] for r in cells(size[0])]
        np.testing.assert_array_equal(got, expected)


def test_paths_expand_to_image_files_by_name(tmp_path):
    for name in ("b.PNG", "a.jpg"):
        Image.fromarray(noise(name)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    found = expand_image_paths([str(tmp_path), str(tmp_path / "b.PNG")])
    assert [p.rsplit("/", 1)[1] for p in found] == ["a.jpg", "b.PNG", "b.PNG"]
    assert len(load_image_files(found, squash(32))) == 3


def test_paths_without_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        expand_image_paths([str(tmp_path)])
    with pytest.raises(DataError, match="No image file or folder"):
        expand_image_paths([str(tmp_path / "none.png")])


def test_a_broken_image_is_named(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no")
    with pytest.raises(ImageError, match=r"broken\.png"):
        load_image_files([str(path)], squash(32))
