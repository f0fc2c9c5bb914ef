"""The paper's figures stand beside the same images alone."""

import dataclasses

import numpy as np
import pytest

from dgad.report.paper import PRINTED, TEXTURES, explain_no_comparison, find_printed_figures
from tests.dgad.report.synthetic_run import make_record


def texture(name, *, good=None, **more):
    """A record with as many test images as MVTec AD has."""
    counts = TEXTURES[name]
    labels = [0] * (counts.good if good is None else good) + [1] * counts.defective
    record = make_record("comparer", name, num_images=len(labels), pixels=False, **more)
    return dataclasses.replace(record, labels=tuple(labels))


def test_the_averages_are_those_that_the_paper_prints():
    averages = {"agg": 0.845, "epi_fcr": 0.881, "eisnet": 0.898, "agg_pair": 0.854, "epi_fcr_pair": 0.907}
    for method, average in (averages | {"eisnet_pair": 0.909, "comparer": 0.918}).items():
        assert np.mean(PRINTED[method][1]) == pytest.approx(average, abs=0.0011)


@pytest.mark.parametrize(
    "label", ["comparer", "comparer:paper", "comparer [oracle]", "comparer:paper [oracle]"]
)
def test_the_paper_s_own_row(label):
    assert find_printed_figures(label) == (
        "Ours",
        {"carpet": 0.943, "grid": 0.73, "leather": 1, "tile": 0.956, "wood": 0.962},
    )


@pytest.mark.parametrize("label", ["comparer:untrained", "comparer:builtin", "patch_knn", "trivial"])
def test_what_the_paper_has_not_has_no_figures(label):
    assert find_printed_figures(label) is None


def test_names_alone_do_not_match_but_counts_must():
    assert (
        explain_no_comparison([texture("carpet"), texture("grid"), make_record("comparer", "other")]) is None
    )
    assert "`grid` has 20 normal and 57 abnormal" in explain_no_comparison(
        [texture("carpet"), texture("grid", good=20)]
    )
    assert "MVTec AD's has 28 and 89" in explain_no_comparison([make_record("comparer", "carpet")])


def test_without_a_scored_texture_there_is_nothing_to_say():
    assert explain_no_comparison([make_record("comparer", "other")]) == ""
    assert explain_no_comparison([make_record("comparer", "carpet", status="failed")]) == ""
    assert (
        explain_no_comparison([make_record("comparer", "carpet", status="failed"), texture("carpet")]) is None
    )
