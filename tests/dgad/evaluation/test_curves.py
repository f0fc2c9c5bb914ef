"""Reference curves against plain numbers."""

import math

from dgad.evaluation.curves import curve_points


def test_points_are_means_over_seeds_with_their_standard_error() -> None:
    rows = [("agg", 1, 0.5), ("agg", 1, 0.7), ("agg", 1, 0.9), ("agg", 5, 0.8), ("trivial", 1, None)]
    first, second = curve_points(rows)
    assert (first.label, first.num_references, first.num_seeds) == ("agg", 1, 3)
    assert math.isclose(first.mean, 0.7)
    assert first.standard_error is not None
    assert math.isclose(first.standard_error, 0.2 / math.sqrt(3))
    assert (second.num_references, second.standard_error, second.num_seeds) == (5, None, 1)
