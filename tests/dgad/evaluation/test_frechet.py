"""The Fréchet distance, against the matrix square root and exact cases."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from dgad.errors import DataError
from dgad.evaluation.frechet import domain_distances, frechet_distance


def drawn(seed, count, num_features=6, shift=0.0):
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(num_features, num_features))
    return generator.normal(size=(count, num_features)) @ mixing + shift


def by_matrix_root(a, b):
    root = sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    gap = a.mean(0) - b.mean(0)
    return gap @ gap + np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_it_is_that_of_the_matrix_root(shift):
    a, b = drawn(0, 200), drawn(1, 150, shift=shift)
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-9)


def test_fewer_images_than_features_are_exact():
    # Equal spread along the same two of 500 directions: the distance is that of the means.
    generator = np.random.default_rng(2)
    a = np.zeros((10, 500))
    a[:, :2] = generator.normal(size=(10, 2))
    assert frechet_distance(a, a + 0.1) == pytest.approx(500 * 0.01)
    # Along orthogonal directions no root is left: both traces.
    b = np.roll(a, 2, axis=1)
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + 2 * np.trace(np.cov(a, rowvar=False))
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_it_is_a_distance():
    a, b = drawn(0, 12, 40).astype(np.float32), drawn(1, 9, 40).astype(np.float32)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, b) > 0


def test_means_leave_out_the_zero_with_itself():
    found = domain_distances({n: drawn(i, 20) for i, n in enumerate("abc")}, backbone="x")
    assert found.num_images == (20, 20, 20)
    assert found.num_features == 6
    assert np.array_equal(np.diag(found.distances), np.zeros(3))
    assert np.array_equal(found.distances, np.transpose(found.distances))
    assert found.mean_to_others("b") == pytest.approx((found.distances[1][0] + found.distances[1][2]) / 2)


def test_one_image_has_no_spread():
    with pytest.raises(DataError, match="needs 2 images of each, but got 5 and 1"):
        frechet_distance(drawn(0, 5), drawn(1, 1))
