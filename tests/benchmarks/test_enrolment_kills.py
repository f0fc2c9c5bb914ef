"""A process that enrols is killed at random moments: nothing acknowledged is lost, all stays readable."""

from pathlib import Path

import enrolment_kills
import pytest

from dgad.references.domain import DomainSettings
from dgad.references.store import ReferenceStore


@pytest.mark.slow
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    figures = enrolment_kills.run(tmp_path / "store", kills=8, seed=3, longest_life_s=0.5)
    assert figures.kills == 8
    assert figures.acknowledged > 0
    assert figures.is_good, figures.notes


def test_losses_would_be_seen(tmp_path: Path) -> None:
    store = ReferenceStore(tmp_path / "store")
    store.create("oak-0", DomainSettings(), author="kills")
    enrolment_kills._enrol(store, "oak-0", [1, 2], "key")
    figures = enrolment_kills.Figures()
    model = enrolment_kills.Model(figures)
    found = enrolment_kills._found(store, ["oak-0"])
    domain, ids = "oak-0", found["current"]["oak-0"]
    model.current = {domain: [*ids, "f" * 64]}
    model.compare(found)
    assert (figures.lost, figures.wrong_states, figures.unreadable) == (1, 1, 0)
    model.purged = {domain: {ids[0]}}
    model.look_at_disk(tmp_path / "store")
    assert figures.left_behind > 0
    (tmp_path / "store/domains" / domain / "images" / ids[0]).unlink()
    model.compare(enrolment_kills._found(store, [domain]))
    assert figures.unreadable == 1
    assert not figures.is_good
