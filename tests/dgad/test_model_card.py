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
