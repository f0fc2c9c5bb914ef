"""Answers read by the client: what it passes over, and its sentence for what it cannot read."""

import json
from typing import Any

import pytest

from dgad.errors import SettingsError
from dgad.references.domain import DomainSettings
from serve.api.answer_reader import read_answer
from serve.api.schemas import DomainAnswer, ScoreAnswer
from tests.serve.support.answers_as_json import DOMAIN, THRESHOLD, score, scores


def test_fields_of_a_newer_service_are_passed_over_at_every_depth() -> None:
    newer = {
        **DOMAIN,
        "settings": {**DOMAIN["settings"], "note": "line 3", "roi": [1, 2]},
        "threshold": {**THRESHOLD, "kind": "estimated"},
    }
    domain = read_answer(DomainAnswer, json.dumps(newer))
    assert domain.settings == DomainSettings(note="line 3")
    assert domain.threshold is not None
    assert domain.threshold.value == 1.5
    result = {**score("a.png"), "tiles": 4}
    result["regions"][0]["kind"] = "scratch"
    answer = read_answer(ScoreAnswer, json.dumps(scores(result)))
    assert answer.results[0].regions[0].width == 3
    assert isinstance(answer.results, tuple)


def test_the_service_itself_adds_no_field_unseen() -> None:
    with pytest.raises(ValueError, match="a_field_of_next_year"):
        DomainAnswer.model_validate_json(json.dumps(DOMAIN))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"version": "3"}, "`answer.version` must be a whole number, but got '3'."),
        ({"version": 3.5}, "`answer.version` must be a whole number, but got 3.5."),
        ({"name": None}, "`answer.name` must be text, but got None."),
        ({"settings": 3}, "`answer.settings` must be a JSON object, but got int."),
        (
            {"settings": {"calibration": "odd"}},
            "`answer.settings.calibration` must be one of leave_one_out, split, but got 'odd'.",
        ),
        ({"settings": {"coreset": 1}}, "`coreset` must be at least 2, or null, but got 1."),
        (
            {"threshold": {**THRESHOLD, "guarantee": "odd"}},
            "`answer.threshold.guarantee` must be one of exact, approximate, none, but got 'odd'.",
        ),
        (
            {"threshold": {"value": 1.5}},
            "`answer.threshold` must have `false_alarm_rate`, but it is missing.",
        ),
    ],
)
def test_a_malformed_answer_is_told_by_field(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_answer(DomainAnswer, json.dumps({**DOMAIN, **changed}))
    assert str(caught.value) == sentence


def test_places_in_lists_are_named_and_other_text_is_no_answer() -> None:
    wrong = scores(score("a.png"), {**score("b.png"), "levels": [0.5, "high"]})
    with pytest.raises(SettingsError, match=r"`answer\.results\[1\]\.levels\[1\]` must be a number"):
        read_answer(ScoreAnswer, json.dumps(wrong))
    with pytest.raises(SettingsError, match="`answer` must be a JSON object, but got list"):
        read_answer(DomainAnswer, "[]")
    with pytest.raises(SettingsError, match="it is not JSON"):
        read_answer(DomainAnswer, b"<html>")
