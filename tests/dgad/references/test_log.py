"""A change to its file and back; older formats are migrated."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from dgad.errors import StoreError
from dgad.references import log_file as log
from dgad.references.domain import Change, DomainSettings, Reference
from dgad.references.log import Log
from dgad.storage import REFERENCES, Storage

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
    assert log.decode(log.encode(CHANGE), "3.json", 3).change == CHANGE


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
    monkeypatch.setattr(log, "FORMAT_VERSION", 3)
    monkeypatch.setitem(log.MIGRATIONS, 2, lambda v: {"by" if k == "who" else k: x for k, x in v.items()})
    assert log.decode(_signed(old), "3.json", 3).change == CHANGE
    with pytest.raises(StoreError, match=r"3.json has format version 4, newer than 3"):
        log.decode(b'{"format_version": 4, "anything": 1}', "3.json", 3)
    with pytest.raises(StoreError, match="is damaged"):
        log.decode(_signed(values, 0), "3.json", 3)


def test_a_file_has_the_keys_it_always_had() -> None:
    kept = json.loads(log.encode(CHANGE))["change"]
    assert {"at", "by", "about"} <= kept.keys()
    assert (kept["at"], kept["by"]) == (CHANGE.made_at, CHANGE.author)


def _references(count: int) -> tuple[Reference, ...]:
    return tuple(
        Reference(id=f"{i:064x}", name=f"{i}.png", num_bytes=5, width_px=1, height_px=2, added_at="x")
        for i in range(count)
    )


MANY = _references(400)


@pytest.mark.parametrize(
    ("after", "put", "gone"),
    [
        (MANY[:5], 0, 0),
        (MANY[:7], 2, 0),
        (MANY[1:5], 0, 1),
        ((MANY[0], dataclasses.replace(MANY[1], near_duplicate_of=MANY[0].id), *MANY[2:4]), 1, 1),
        ((), 0, 5),
    ],
)
def test_what_differs_makes_the_change_again(after: tuple[Reference, ...], put: int, gone: int) -> None:
    change = dataclasses.replace(CHANGE, references=after)
    data = log.encode_difference(change, MANY[:5], 1)
    assert data is not None
    entry = log.decode(data, "3.json", 3)
    assert (len(entry.change.references), len(entry.gone), entry.since) == (put, gone, 1)
    assert entry.make_change(MANY[:5]) == change
    assert json.loads(data)["format_version"] == 2, "an earlier dgad says that it cannot read it"
    assert json.loads(log.encode(change))["format_version"] == 1, "and reads a domain's last change"


def test_another_order_is_no_difference() -> None:
    assert log.encode_difference(dataclasses.replace(CHANGE, references=MANY[4::-1]), MANY[:5], 1) is None


def test_a_log_grows_with_what_is_done_not_with_what_there_is(tmp_path: Path) -> None:
    """The bytes of 200 changes of one reference each among 400; as before every one lists them all."""
    storage = Storage(tmp_path, REFERENCES)
    written, changes = Log(storage), _changes(200)
    for change in changes:
        assert written.append("oak", change)
    folder = tmp_path / "domains/oak/changes"
    sizes = [p.stat().st_size for p in sorted(folder.iterdir())]
    assert sum(sizes) < sum(len(log.encode(c)) for c in changes) / 6
    assert sum(size > 50_000 for size in sizes) <= 4 + 16
    fresh = Log(storage)
    assert fresh.newest("oak") == changes[-1]
    assert fresh.all("oak") == tuple(changes)
    assert fresh.all("oak", after=150) == tuple(changes[150:])
    assert fresh.read("oak", 100) == changes[99]
    # The last change says all that scoring needs, whatever happens to those before it.
    (folder / "00000129.json").unlink()
    assert Log(storage).newest("oak") == changes[-1]
    with pytest.raises(StoreError, match=r"00000129.json is damaged .it is missing"):
        fresh.read("oak", 140)


def test_a_log_of_an_earlier_version_opens_and_becomes_small(tmp_path: Path) -> None:
    storage, changes = Storage(tmp_path, REFERENCES), _changes(48)
    for change in changes[:-1]:
        storage.create(f"domains/oak/changes/{change.sequence:08d}.json", log.encode(change))
    opened = Log(storage)
    assert opened.all("oak") == tuple(changes[:-1])
    assert opened.append("oak", changes[-1])
    assert opened.all("oak") == tuple(changes)
    folder = tmp_path / "domains/oak/changes"
    assert sum(p.stat().st_size > 50_000 for p in folder.iterdir()) == 2, "the first and the last"


@pytest.mark.parametrize("num_written", [0, 1, 7])
def test_killed_while_a_log_becomes_small_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_written: int
) -> None:
    storage, changes = Storage(tmp_path, REFERENCES), _changes(17)
    opened, write, left = Log(storage), Storage.write, [num_written]

    def write_until_killed(storage: Storage, name: str, data: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(storage, name, data)

    monkeypatch.setattr(Storage, "write", write_until_killed)
    for change in changes[:15]:
        opened.append("oak", change)
    with pytest.raises(KeyboardInterrupt):
        opened.append("oak", changes[15])
    fresh = Log(storage)
    assert fresh.all("oak") == tuple(changes[:16])
    assert fresh.append("oak", changes[16])
    assert fresh.all("oak") == tuple(changes)


def _changes(count: int) -> list[Change]:
    """Each with one reference more or less than the one before."""
    made, current = [], MANY
    for sequence in range(1, count + 1):
        current = current[:-1] if sequence % 3 else (*current, MANY[len(current)])
        made.append(dataclasses.replace(CHANGE, sequence=sequence, references=current))
    return made
