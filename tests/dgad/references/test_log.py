"""A change to its file and back; older formats are migrated."""

import json
from typing import Any

import pytest

from dgad.errors import StoreError
from dgad.references import log
from dgad.references.domain import Change, DomainSettings, Reference

CHANGE = Change(
    sequence=3,
    action="enroll",
    made_at="2026-01-02T03:04:05.678+00:00",
    author="line 1 – \udcff",
    settings=DomainSettings(false_alarm_rate=0.05, calibration="split", coreset=20, note="ø"),
    version=2,
    references=(
        Reference(id="0" * 64, name="a\n.png", num_bytes=5, width_px=1, height_px=2, added_at="x"),
        Reference(
            id="f" * 64,
            name="",
            num_bytes=5,
            width_px=1,
            height_px=2,
            added_at="x",
            near_duplicate_of="0" * 64,
        ),
    ),
    details={"added": ["f" * 64], "highest_version": 2, "created_at": "x"},
)


def test_a_change_comes_back_as_it_was() -> None:
    assert log.decode(log.encode(CHANGE), "3.json", 3) == CHANGE


def test_a_file_under_another_number_is_refused() -> None:
    with pytest.raises(StoreError, match=r"4.json is damaged .it says that it is change 3"):
        log.decode(log.encode(CHANGE), "4.json", 4)


def _signed(values: dict[str, Any], format_version: int = 1) -> bytes:
    """A file whose checksum is right."""
    return json.dumps(
        {"format_version": format_version, "sha256": log._sha256(log._canonical(values)), "change": values}
    ).encode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", "3"),
        ("action", "explode"),
        ("settings", {"colour": 1}),
        ("settings", {"coreset": 1}),
        ("references", [{"id": "0" * 64}]),
        ("references", ["x"]),
        ("about", None),
        ("more", 1),
    ],
)
def test_a_whole_file_with_wrong_content_is_named(field: str, value: object) -> None:
    values = json.loads(log.encode(CHANGE))["change"]
    with pytest.raises(StoreError, match=r"3.json is damaged"):
        log.decode(_signed({**values, field: value}), "3.json", 3)
    traversal = [{**values["references"][0], "id": "../" + "0" * 61}]
    with pytest.raises(StoreError, match=r"is no id"):
        log.decode(_signed({**values, "references": traversal}), "3.json", 3)


def test_an_older_format_is_migrated_and_a_newer_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    values = json.loads(log.encode(CHANGE))["change"]
    old = {"who" if k == "by" else k: v for k, v in values.items()}
    monkeypatch.setattr(log, "FORMAT_VERSION", 2)
    monkeypatch.setitem(log.MIGRATIONS, 1, lambda v: {"by" if k == "who" else k: x for k, x in v.items()})
    assert log.decode(_signed(old), "3.json", 3) == CHANGE
    with pytest.raises(StoreError, match=r"3.json has format version 3, newer than 2"):
        log.decode(b'{"format_version": 3, "anything": 1}', "3.json", 3)
    with pytest.raises(StoreError, match="is damaged"):
        log.decode(_signed(values, 0), "3.json", 3)


def test_a_file_has_the_keys_it_always_had() -> None:
    kept = json.loads(log.encode(CHANGE))["change"]
    assert {"at", "by", "about"} <= kept.keys()
    assert (kept["at"], kept["by"]) == (CHANGE.made_at, CHANGE.author)
