"""The fields that procedural surfaces are made of, against plain loops where there is one."""

import math

import pytest
import torch

from dgad.domains.procedural.camera import _compress
from dgad.domains.procedural.fields import (
    Canvas,
    cells,
    displace,
    gaussian_blur,
    hash_lattice,
    lattice_noise,
    spectral,
    step,
)


def canvas(num_images: int = 3, size_px: int = 32, seed: int = 0) -> Canvas:
    return Canvas(num_images=num_images, size_px=size_px, generator=torch.Generator().manual_seed(seed))


def test_cells_find_the_two_nearest_of_all_points() -> None:
    v, u = torch.rand(1, 6, 6) * 8, torch.rand(1, 6, 6) * 8
    found = cells(v, u, salt=7, jitter=0.9)
    rows = torch.arange(-3, 12).repeat_interleave(15)
    columns = torch.arange(-3, 12).repeat(15)
    point_v = rows + 0.5 + 0.9 * (hash_lattice(rows, columns, 7) - 0.5)
    point_u = columns + 0.5 + 0.9 * (hash_lattice(rows, columns, 8) - 0.5)
    for i in range(6):
        for j in range(6):
            distance = torch.hypot(v[0, i, j] - point_v, u[0, i, j] - point_u)
            first, second = distance.sort().values[:2]
            assert math.isclose(float(found.nearest[0, i, j]), float(first), rel_tol=1e-5)
            assert math.isclose(float(found.second[0, i, j]), float(second), rel_tol=1e-5)
            nearest = int(distance.argmin())
            assert (float(found.row[0, i, j]), float(found.column[0, i, j])) == (
                rows[nearest],
                columns[nearest],
            )


def test_hashes_are_uniform_and_differ_by_salt() -> None:
    i, j = torch.meshgrid(torch.arange(-100, 100), torch.arange(-100, 100), indexing="ij")
    first, second = hash_lattice(i, j, 1).flatten(), hash_lattice(i, j, 2).flatten()
    assert first.min() >= 0
    assert first.max() < 1
    assert abs(float(first.mean()) - 0.5) < 0.01
    assert abs(float(first.var()) - 1 / 12) < 0.002
    together = torch.corrcoef(torch.stack((first, second)))[0, 1]
    beside = torch.corrcoef(torch.stack((first[:-1], first[1:])))[0, 1]
    assert abs(float(together)) < 0.02
    assert abs(float(beside)) < 0.02


def test_lattice_noise_has_its_values_at_whole_places_and_is_continuous() -> None:
    i, j = torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="ij")
    assert torch.allclose(lattice_noise(i, j, salt=3), 2 * hash_lattice(i, j, 3) - 1, atol=1e-6)
    line = torch.linspace(0, 4, 2001)
    assert lattice_noise(line, torch.full_like(line, 0.3), salt=3).diff().abs().max() < 0.01


@pytest.mark.parametrize("slope", [0.0, 1.5])
def test_spectral_noise_is_standard_and_keeps_its_band(slope: float) -> None:
    field = spectral(canvas(4, 64), slope=slope, shortest_px=8, longest_px=20)
    assert torch.allclose(field.mean((1, 2)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(field.square().mean((1, 2)), torch.ones(4), atol=1e-3)
    power = torch.fft.fft2(field).abs().square().mean(0)
    frequency = torch.hypot(torch.fft.fftfreq(64)[:, None], torch.fft.fftfreq(64)[None])
    assert float(power[frequency > 1 / 3].sum() / power.sum()) < 0.01


def test_oriented_noise_runs_across_its_waves() -> None:
    along = spectral(canvas(2, 64), shortest_px=4, angle_rad=0.0, angular_width=0.1)
    assert along.diff(dim=2).square().mean() > 5 * along.diff(dim=1).square().mean()


def test_blur_keeps_constants_and_the_mean_of_a_spot() -> None:
    flat = torch.full((1, 3, 16, 16), 0.4)
    assert torch.allclose(gaussian_blur(flat, 1.5), flat, atol=1e-6)
    spot = torch.zeros(1, 1, 33, 33)
    spot[0, 0, 16, 16] = 1
    blurred = gaussian_blur(spot, 2.0)
    assert math.isclose(float(blurred.sum()), 1, rel_tol=1e-4)
    assert math.isclose(float(blurred.max()), 1 / (2 * math.pi * 4), rel_tol=0.02)
    assert gaussian_blur(spot, 0.0) is spot


def test_displacement_by_whole_pixels_is_a_shift() -> None:
    image = torch.rand(1, 2, 12, 12)
    ones = torch.ones(1, 12, 12)
    moved = displace(image, 2 * ones, -1 * ones)
    assert torch.allclose(moved[:, :, :-2, 1:], image[:, :, 2:, :-1], atol=1e-5)


def test_a_step_rises_from_0_to_1_around_its_edge() -> None:
    values = torch.tensor([-1.0, 0.4, 0.5, 0.6, 2.0])
    assert step(values, 0.5, 0.2).tolist() == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)


def test_compression_loses_more_at_lower_quality_and_keeps_flat_images() -> None:
    image = torch.rand(1, 3, 32, 32)
    errors = [float((_compress(image, q) - image).square().mean()) for q in (0.95, 0.6, 0.2)]
    assert 0 < errors[0] < errors[1] < errors[2]
    flat = torch.full((1, 3, 16, 16), 0.5)
    assert (_compress(flat, 0.5) - flat).abs().max() < 0.02
