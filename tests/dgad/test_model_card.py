"""The model card says what was learnt from what, and where the weights come from."""

import dataclasses
from typing import Any

import pytest

from dgad.comparer.settings import BUILTIN, ROBUST, ComparerSettings
from dgad.features.builtin import Builtin
from dgad.methods.comparer import ComparerMethod
from dgad.model_card import model_card
from tests.dgad.methods.surfaces import context


def card(settings: ComparerSettings, weights: str, domains: tuple[str, ...]) -> str:
    values: dict[str, Any] = {"num_references": 3, "protocol": "nested", "targets": {}, "comparison": {}}
    method = ComparerMethod(settings, context(weights))
    return model_card(method, label="comparer", training_domains=domains, **values)


def test_builtin_weights_are_dgad_s_own(builtin_weights: Builtin) -> None:
    text = card(BUILTIN, "builtin", ())
    for words in (
        "ship with dgad (Apache-2.0)",
        "procedural images alone",
        "no third party's weights or images",
    ):
        assert words in text.replace("\n", " ")
    assert "none: with these settings nothing is learnt" in text
    assert "no weight was trained on any of them" in text


def test_it_has_every_part_and_says_how_sure_its_figures_are() -> None:
    method = ComparerMethod(ROBUST, context("none"))
    metrics = {"image_auroc": 0.9, "image_auroc_low": 0.8, "image_auroc_high": 0.95, "pixel_auroc": None}
    text = model_card(
        method,
        label="comparer",
        training_domains=("grid", "tile"),
        num_references=3,
        protocol="nested",
        targets={"grid": metrics, "tile": {"image_auroc": 0.7}},
        comparison={"comparer": 0.8, "patch_knn": 0.85},
    )
    parts = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert parts == [
        "Intended use",
        "Training domains",
        "Expected performance",
        "Calibration",
        "Limits",
        "Origin and licence of the weights",
        "Settings",
    ]
    assert "| grid | 0.900 (0.800 to 0.950) | not applicable | not applicable | not applicable |" in text
    assert "| tile | 0.700 |" in text
    assert "| mean | 0.800 |" in text
    assert "`patch_knn` did better than `comparer`" in text
    assert "no third party's weights or images" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("changes", "domains", "expected"),
    [
        ({}, ("grid", "tile"), "## Training domains\n\ngrid, tile\n"),
        ({"num_synthetic_sources": 8}, ("grid",), "\n\ngrid; 8 procedural domains that dgad drew itself\n"),
        ({"num_synthetic_sources": 8}, (), "\n\n8 procedural domains that dgad drew itself\n"),
    ],
)
def test_training_domains_are_named(changes: dict[str, Any], domains: tuple[str, ...], expected: str) -> None:
    text = card(dataclasses.replace(ROBUST, **changes), "none", domains)
    assert expected in text
    assert ("The bundled weights were trained on all of them" in text) == bool(domains)
