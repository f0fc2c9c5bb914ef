"""What a drawing must not do: hide a name behind another."""

import re

from dgad.report.plots import accuracy_by_latency, distance_by_auroc


def label_heights(svg: str, names: list[str]) -> list[float]:
    """Where each name stands in the picture, from above."""
    found = []
    for name in names:
        text = re.search(rf"<text [^>]*>{name}</text>", svg)
        assert text is not None, name
        place = re.search(r"translate\([\d.]+ ([\d.]+)\)|y=\"([\d.]+)\"", text.group())
        assert place is not None, text.group()
        found.append(float(place.group(1) or place.group(2)))
    return found


def test_names_of_points_with_equal_figures_stand_below_each_other() -> None:
    names = ["patch_knn", "comparer", "untrained"]
    best = accuracy_by_latency([(name, 30.0, 0.997, True) for name in names], name="x")
    far = distance_by_auroc([(name, 2.0, 0.9) for name in names], title="t", name="y")
    for plot in (best, far):
        first, *rest = sorted(label_heights(plot.svg, names))
        assert all(b - a >= 7 for a, b in zip([first, *rest], rest, strict=False)), "a line of 7 points each"
