"""Heatmaps show what the map says, in the image's size."""

import io

import numpy as np
import pytest
from PIL import Image

from dgad.evaluation.heatmaps import colour, map_png, overlay_png, strip_png


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, size=(30, 50, 3), dtype=np.uint8)


def test_an_overlay_has_the_images_size_and_marks_the_place(image):
    heat = np.zeros((10, 10), dtype=np.float32)
    heat[0:3, 0:3] = 5.0
    shown = decode(overlay_png(image, heat, low=0.0, high=5.0))
    assert shown.shape == image.shape
    changed = np.abs(shown.astype(int) - image).sum(axis=2)
    assert changed[:6, :10].mean() > 50
    assert changed[15:, 25:].max() == 0


def test_the_scale_is_given_and_clipped(image):
    heat = np.full((8, 8), 3.0)
    assert np.array_equal(decode(overlay_png(image, heat, low=3.0, high=9.0)), image)
    assert np.array_equal(
        decode(overlay_png(image, heat, low=0.0, high=3.0)),
        decode(overlay_png(image, heat + 9, low=0.0, high=3.0)),
    )
    assert np.array_equal(decode(overlay_png(image, heat, low=2.0, high=2.0)), image)


def test_a_strip_is_image_outline_heatmap(image):
    mask = np.zeros((10, 10), dtype=bool)
    mask[4:6, 4:6] = True
    heat = np.zeros((10, 10))
    shown = decode(strip_png(image, mask, heat, low=0.0, high=1.0))
    assert shown.shape == (30, 3 * 50 + 2 * 4, 3)
    assert np.array_equal(shown[:, :50], image)
    outlined = shown[:, 54:104]
    differs = (outlined != image).any(axis=2)
    assert np.array_equal(outlined[12:18, 20:30], image[12:18, 20:30])  # the defect itself stays visible
    assert differs[11, 20:30].all()
    assert differs.sum() < 50
    assert np.array_equal(shown[:, 108:], image)


def test_a_strip_shows_only_what_is_known(image):
    heat = np.zeros((10, 10))
    assert decode(strip_png(image, None, heat, low=0, high=1)).shape[1] == 2 * 50 + 4
    assert decode(strip_png(image, None, None, low=0, high=1)).shape[1] == 50


def test_colours_rise_evenly_in_lightness():
    rgb = colour(np.linspace(0, 1, 101))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    steps = np.diff(lightness)
    assert lightness[0] < 3
    assert lightness[-1] > 95
    assert steps.min() > 0
    assert steps.max() < 2.0


def test_a_map_in_grey_is_clear_where_nothing_is_scored():
    heat = np.linspace(-1.0, 3.0, 20).reshape(4, 5)
    grey = decode(map_png(heat, low=0.0, high=2.0))
    assert grey.shape == (4, 5)
    assert grey == pytest.approx(np.clip(heat / 2, 0, 1) * 255, abs=0.5)
    heat[1, 2] = np.nan
    value, alpha = np.moveaxis(decode(map_png(heat, low=0.0, high=2.0)), -1, 0)
    assert np.array_equal(alpha == 0, np.isnan(heat))
    assert value[alpha > 0] == pytest.approx(grey[alpha > 0], abs=0)
